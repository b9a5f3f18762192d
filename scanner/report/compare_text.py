"""A Comparison in words and columns, for a terminal or a log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from scanner.report.changes import COLUMNS, Comparison, FileChanges, SourceChange
from scanner.report.figures import count
from scanner.report.markup import visible

SOURCES_SHOWN: Final = 30
FILES_SHOWN: Final = 20
_NAME_CHARS: Final = 48


def render_text(comparison: Comparison) -> str:
    """The comparison as plain text, ending with a line feed. Names are shown as on a terminal, never acting on it."""
    rows = comparison.rows
    fates = (
        (rows.added, "added"),
        (rows.removed, "removed"),
        (rows.changed, "changed"),
        (rows.repacked, "repacked with the same content"),
        (rows.same, "the same"),
    )
    lines = [
        f"old  {visible(comparison.old)}",
        f"new  {visible(comparison.new)}",
        "",
        f"rows  {', '.join(f'{count(n)} {fate}' for n, fate in fates)}",
    ]
    for fate, places in comparison.examples.items():
        lines += [f"  {fate}: {visible(place.source)} {visible(place.path)} (row {place.row})" for place in places]
    lines += _sources(comparison.sources)
    if rows.changed:
        columns = [(f"{COLUMNS[name]} differs", n) for name, n in comparison.columns.items()]
        lines += _counted(
            "in the changed rows", [*columns, ("nothing that records describe differs", comparison.undescribed)]
        )
    lines += _files(comparison.files)
    lines += _beside("files by name, where counts differ most", comparison.names.items())
    lines += _beside("status", comparison.status.items())
    lines += _beside("layouts", comparison.layouts.items())
    verdicts = (("heuristic verifier", comparison.heuristic_verifier), ("loads in Harbor", comparison.harbor_loadable))
    lines += _beside("verifiers", [*verdicts, *comparison.verifier_kinds.items()])
    lines += _beside("faults", comparison.faults.items())
    lines += ["", *(f"note: {visible(limit)}" for limit in comparison.limits)]
    return "\n".join(lines) + "\n"


def _sources(sources: list[SourceChange]) -> list[str]:
    touched = [each for each in sources if each.state != "kept" or each.rows.moved()]
    if not touched:
        return ["", "sources  none changed"]
    lines = ["", f"{'sources':<{_NAME_CHARS}}  {'state':<8}{'added':>11}{'removed':>11}{'changed':>11}{'same':>11}"]
    for each in touched[:SOURCES_SHOWN]:
        rows = each.rows
        figures = "".join(
            f"{count(n):>11}" for n in (rows.added, rows.removed, rows.changed, rows.repacked + rows.same)
        )
        lines.append(f"{visible(each.source, _NAME_CHARS):<{_NAME_CHARS}}  {each.state:<8}{figures}")
        if each.old_source:
            lines.append(f"  was {visible(each.old_source, _NAME_CHARS)}")
    left = len(touched) - SOURCES_SHOWN
    return [*lines, f"  and {count(left)} more"] if left > 0 else lines


def _counted(title: str, counted: Iterable[tuple[str, int]]) -> list[str]:
    lines = [f"  {visible(kind, _NAME_CHARS):<{_NAME_CHARS}}{count(n):>13}" for kind, n in counted]
    return ["", title, *lines] if lines else []


def _files(files: FileChanges | None) -> list[str]:
    rows = files.top(FILES_SHOWN) if files is not None else []
    lines = [
        f"  {visible(name, _NAME_CHARS):<{_NAME_CHARS}}{''.join(f'{count(n):>13}' for n in ns)}" for name, ns in rows
    ]
    heads = "".join(f"{fate:>13}" for fate in ("changed", "added", "removed"))
    return ["", f"{'files of changed rows, in rows':<{_NAME_CHARS + 2}}{heads}", *lines] if lines else []


def _beside(title: str, pairs: Iterable[tuple[str, tuple[int, int]]]) -> list[str]:
    lines = []
    for kind, (old, new) in pairs:
        figures = f"{_known(old):>13}{_known(new):>13}{difference(old, new):>13}"
        lines.append(f"  {visible(kind, _NAME_CHARS):<{_NAME_CHARS}}{figures}".rstrip())
    return ["", f"{title:<{_NAME_CHARS + 2}}{'old':>13}{'new':>13}{'change':>13}", *lines] if lines else []


def _known(n: int) -> str:
    return "not listed" if n < 0 else count(n)


def difference(old: int, new: int) -> str:
    """New less old with its sign; nothing where they are equal or one is not known.

    >>> difference(3, 5), difference(1200, 0), difference(2, 2), difference(-1, 4)
    ('+2', '-1,200', '', '')
    """
    return "" if old == new or min(old, new) < 0 else f"{new - old:+,}"
