"""Ours, the floor and every alternative in alternation in one run: costs a row, and medians of paired ratios.

A round runs everybody once. Slow peers take the first rows of the corpus only (a column says how many) and are
compared by the row. Another version of this scanner (:mod:`bench.release`) is run as a command, and so is this tree
once more, so that the two differ in nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from shutil import get_terminal_size
from typing import Final, NamedTuple

import msgspec

from bench import peers
from bench.corpora import HOME, ROOT, Corpus, corpus
from bench.release import installed
from scanner.bench.ratios import Cost, Ratio, alternate, cost_of, ratio_of
from scanner.manifest import usable_cores

SLOW_ROWS: Final = 10_000
"""Seconds each, so that starting processes does not count against those that do."""
LARGE_ROWS: Final = 120
SIDE_ROWS: Final = 10_000
WIDE_COLUMNS: Final = 104


class Peer(NamedTuple):
    """One line of the table."""

    title: str
    call: Callable[[Corpus, int], peers.Answer]
    slow: bool
    ours: str
    """Title of the line of ours that it is compared with: that takes as many cores."""


def line_up(release: str | None = None) -> list[Peer]:
    """Everybody, ours first; ``release`` as :func:`bench.release.installed` takes it."""
    cores = usable_cores()
    one, all_cores, command = "scanner, one process", f"scanner, {cores} workers", "scanner, command"
    lines = [
        Peer(one, lambda c, _: peers.ours(c, 0), slow=False, ours=one),
        Peer(all_cores, lambda c, _: peers.ours(c, cores), slow=False, ours=all_cores),
        Peer("floor: inflate only", peers.floor, slow=False, ours=one),
        Peer("libarchive, listing only", peers.libarchive_list, slow=False, ours=one),
        Peer("notebook's way", peers.notebook, slow=True, ours=one),
        Peer("datasets, streaming", peers.streaming, slow=True, ours=one),
        Peer(f"datasets.map, {cores} processes", peers.datasets_map, slow=True, ours=all_cores),
        Peer(f"multiprocessing.Pool, {cores}", peers.pool, slow=True, ours=all_cores),
    ]
    if release is not None:
        lines.append(Peer(command, partial(peers.command, ROOT), slow=False, ours=command))
        other = partial(peers.command, installed(release))
        lines.append(Peer(f"{Path(release).name[:18]}, command", other, slow=False, ours=command))
    return lines


class Line(msgspec.Struct):
    """A peer's figures, µs a row; ratios are its cost over ours (on as many cores), so above 1 we are faster."""

    peer: str
    rows: int
    cpu_us: float
    wall_us: float
    cpu_ratio: Ratio | None
    """Processor time over ours; None for ours."""
    wall_ratio: Ratio | None


class Table(msgspec.Struct):
    """The figures on one corpus."""

    corpus: str
    rows: int
    pairs: int
    lines: list[Line]
    over_floor: Ratio
    """Processor time of a whole scan in one process over inflating alone."""
    scaling: Ratio
    """Wall time in one process over that with all workers."""


def measure(data: Corpus, rounds: int, everybody: Sequence[Peer]) -> Table:
    """Everybody on one corpus. Raises RuntimeError where peers find different things."""
    rows = {peer.title: min(data.n_rows, SLOW_ROWS) if peer.slow else data.n_rows for peer in everybody}
    found: dict[str, int | None] = {}

    def run(peer: Peer) -> Cost:
        answers: list[peers.Answer] = []
        cost = cost_of(lambda: answers.append(peer.call(data, rows[peer.title])))
        found[peer.title] = answers[0].verified
        return answers[0].cost or cost

    calls = {peer.title: partial(run, peer) for peer in everybody}
    for call in calls.values():  # imports, caches, the forkserver
        call()
    costs = alternate(calls, rounds)
    _must_agree(found, rows)
    each = {title: [cost.per(rows[title]) for cost in taken] for title, taken in costs.items()}
    one, all_cores, floor = (each[everybody[i].title] for i in range(3))
    lines = [_line(peer, rows[peer.title], each[peer.title], each[peer.ours]) for peer in everybody]
    return Table(data.name, data.n_rows, rounds, lines, _cpu(one, floor), _wall(one, all_cores))


def _line(peer: Peer, rows: int, mine: list[Cost], ours: list[Cost]) -> Line:
    same = mine is ours
    cpu, wall = (sorted(values)[len(values) // 2] * 1e6 for values in zip(*mine, strict=True))
    ratios = (None, None) if same else (_cpu(mine, ours), _wall(mine, ours))
    return Line(peer.title, rows, round(cpu, 1), round(wall, 1), *ratios)


def _cpu(above: list[Cost], below: list[Cost]) -> Ratio:
    return ratio_of([cost.cpu_seconds for cost in above], [cost.cpu_seconds for cost in below])


def _wall(above: list[Cost], below: list[Cost]) -> Ratio:
    return ratio_of([cost.wall_seconds for cost in above], [cost.wall_seconds for cost in below])


def _must_agree(found: dict[str, int | None], rows: dict[str, int]) -> None:
    for n in set(rows.values()):
        counts = {title: count for title, count in found.items() if rows[title] == n and count is not None}
        if len(set(counts.values())) > 1:
            raise RuntimeError(f"peers do not do the same work: {counts}")


def show(table: Table, columns: int) -> str:
    """The table as text; on a narrow terminal without the intervals of its lines."""
    out = [f"{table.corpus}, {table.rows:,} rows, {table.pairs} rounds in alternation; µs a row, medians"]
    wide = columns >= WIDE_COLUMNS
    over = ("processor, over ours", "wall, over ours") if wide else ("over ours", "over ours")
    width = max(map(len, over)) + 2
    out.append(f"  {'':28}{'rows':>8}{'processor':>11}{'wall':>9}" + "".join(title.rjust(width) for title in over))
    for line in table.lines:
        ratios = "".join(_cell(ratio, wide=wide).rjust(width) for ratio in (line.cpu_ratio, line.wall_ratio))
        out.append(f"  {line.peer:28}{line.rows:>8,}{line.cpu_us:>11.1f}{line.wall_us:>9.1f}{ratios}".rstrip())
    out.append(f"  one process over the floor: {table.over_floor} in processor time")
    out.append(f"  all workers over one process: {table.scaling} times as fast")
    return "\n".join(out)


def _cell(ratio: Ratio | None, *, wide: bool) -> str:
    if ratio is None:
        return ""
    return str(ratio) if wide else f"{ratio.median:.2f}"


def measure_all(corpora: Iterable[str], rows: int, rounds: int, release: str | None = None) -> list[Table]:
    """Measure and print one table after the other."""
    everybody = line_up(release)
    HOME.mkdir(parents=True, exist_ok=True)
    sizes = {"pax": rows, "plain": min(rows, SIDE_ROWS), "large": LARGE_ROWS, "real": 0}
    tables = []
    for name in corpora:
        tables.append(measure(corpus(name, sizes[name]), rounds, everybody))
        print(show(tables[-1], get_terminal_size((WIDE_COLUMNS, 0)).columns), end="\n\n", flush=True)
    return tables
