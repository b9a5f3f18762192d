"""``make bench-check``: whether this tree costs more than the commit it is based on, on any machine, busy or not.

    python -m bench.check [--base COMMIT] [--rows 1000] [--rounds 11] [--fail-above 1.05] [--no-valgrind]

Both trees scan the same rows. First exact counters are compared: bytes inflated, copies and requests must be equal,
bytecodes, calls, allocations and instructions may grow by a percent. Then both run in alternation, each in a process of
its own; the gate fails where the whole interval of the median ratio lies above the bound. No absolute time counts, and
nothing is compared with another run. Instructions are counted where valgrind is there: a minute of processor time.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple, Self

from bench.corpora import HOME, ROOT, corpus
from scanner.bench.compare import FAIL_ABOVE, Finding, compare_exact
from scanner.bench.exact import count, has_valgrind, write_packed
from scanner.bench.ratios import Ratio, ratio_of

ROWS = 1_000
ROUNDS = 11
FLAVOURS = ("pax", "plain")


BUILD = "setup.py"
"""Compiles what a tree has to compile, as when it is installed."""

CONTENDER = [sys.executable, str(ROOT / "bench" / "contender.py")]
"""The command that runs a tree."""


class Contender:
    """A tree that scans on demand, in a process of its own."""

    def __init__(self, tree: Path, packed: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
        command = [*CONTENDER, str(packed), "serve"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True, cwd=tree)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def scan(self) -> float:
        """Processor seconds of scanning the rows once."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a contender ended; what it said is above")
        return float(line)


class Sides(NamedTuple):
    """The two trees."""

    base: Path
    tree: Path


def ratio(sides: Sides, packed: Path, rounds: int) -> Ratio:
    """Processor time of the tree over that of its base, round by round in alternation."""
    with Contender(sides.base, packed) as base, Contender(sides.tree, packed) as tree:
        for side in (base, tree):
            side.scan()
        pairs = [
            (tree.scan(), base.scan()) if number % 2 else (base.scan(), tree.scan())[::-1] for number in range(rounds)
        ]
    return ratio_of(*zip(*pairs, strict=True))


def slower(sides: Sides, packed: Path, rounds: int, fail_above: float) -> Finding:
    """Whether the tree surely takes longer. What seems so is measured once more: chance seldom repeats itself."""
    found = ratio(sides, packed, rounds)
    if found.low > fail_above:
        found = min(found, ratio(sides, packed, rounds), key=lambda each: each.low)
    return Finding(f"processor time (bound {fail_above:.2f})", "1", str(found), found.low > fail_above)


def check(sides: Sides, *, rows: int, rounds: int, fail_above: float, valgrind: bool) -> list[Finding]:
    """All findings, over both flavours."""
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory() as folder:
        for flavour in FLAVOURS:
            packed = Path(folder) / flavour
            few = Path(folder) / f"{flavour}-few"
            write_packed(corpus(flavour, rows).packed, packed, rows)
            write_packed(corpus(flavour, rows).packed, few)
            before, now = (count(few, valgrind=valgrind, command=CONTENDER, python_path=str(side)) for side in sides)
            of_flavour = [*compare_exact(before, now), slower(sides, packed, rounds, fail_above)]
            findings += [finding._replace(what=f"{flavour}: {finding.what}") for finding in of_flavour]
    return findings


def unpack(commit: str, folder: Path) -> Path:
    """The tree of a commit, in ``folder``, with what it compiles."""
    listed = subprocess.run(
        ["git", "ls-tree", "--name-only", commit], cwd=ROOT, check=True, capture_output=True, text=True
    )
    wanted = [name for name in ("scanner", BUILD) if name in listed.stdout.splitlines()]
    done = subprocess.run(["git", "archive", commit, *wanted], cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    if BUILD in wanted:
        build = [sys.executable, BUILD, "--quiet", "build_ext", "--inplace"]
        subprocess.run(build, cwd=folder, check=True, capture_output=True)
    return folder


def show(findings: list[Finding]) -> str:
    """One line each."""
    return "\n".join(
        f"{'WORSE' if each.is_worse else 'ok':6}{each.what:38}{each.before:>16} -> {each.now}" for each in findings
    )


def main() -> None:
    """Compare the working tree with its base; exit with 1 where it got worse."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="HEAD")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--fail-above", type=float, default=FAIL_ABOVE)
    parser.add_argument("--no-valgrind", action="store_true", help="count no instructions: a minute less")
    options = parser.parse_args()
    HOME.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        findings = check(
            Sides(unpack(options.base, Path(folder)), ROOT),
            rows=options.rows,
            rounds=options.rounds,
            fail_above=options.fail_above,
            valgrind=has_valgrind() and not options.no_valgrind,
        )
    print(show(findings))
    sys.exit(any(finding.is_worse for finding in findings))


if __name__ == "__main__":
    main()
