"""Whether the gate can be trusted: it must pass on an unchanged tree, time after time, and find every seeded slowdown.

    python -m bench.gate_selftest [--times 10] [--through check|compare] [--valgrind]

Both doors of the gate are tried, unless one is named: ``check`` is ``make bench-check``, which compares two trees side
by side; ``compare`` is ``scanner bench SOURCE --compare BASE.json``, which compares a tree with what was measured
before. The trees are copies of the last commit; slowdowns (:mod:`bench.slowdowns`) are put into one of them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.check import ROUNDS, ROWS, Sides, check, show, unpack
from bench.corpora import HOME, corpus
from bench.record import load
from bench.slowdowns import SLOWDOWNS, put_into
from scanner.bench.compare import FAIL_ABOVE

Trial = Callable[[Path], tuple[list[str], str]]
"""Tries a tree: what it was found to be worse in, and all that was found."""

_BENCH: Final = ("--rows", "3000", "--workers", "1", "--json")


def through_check(base: Path, _folder: Path, *, valgrind: bool) -> Trial:
    """Compare trees with ``base``, side by side."""

    def trial(tree: Path) -> tuple[list[str], str]:
        findings = check(Sides(base, tree), rows=ROWS, rounds=ROUNDS, fail_above=FAIL_ABOVE, valgrind=valgrind)
        return [each.what for each in findings if each.is_worse], show(findings)

    return trial


def through_compare(base: Path, folder: Path, *, valgrind: bool) -> Trial:
    """Compare trees with the figures of ``base``, which are taken once, at the beginning."""
    figures = folder / "base.json"
    options = [*_BENCH, "--valgrind"] if valgrind else [*_BENCH]
    figures.write_text(_bench(base, folder, *options).stdout, encoding="utf-8")

    def trial(tree: Path) -> tuple[list[str], str]:
        done = _bench(tree, folder, *options, "--compare", str(figures), "--fail-above", str(FAIL_ABOVE))
        worse = [line.removeprefix("WORSE")[:46].strip() for line in done.stderr.splitlines() if "WORSE" in line]
        if bool(worse) != bool(done.returncode):
            raise RuntimeError(f"exit code {done.returncode}: {done.stderr}")
        return worse, done.stderr

    return trial


def _bench(tree: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """``scanner bench`` of that tree."""
    command = [sys.executable, "-m", "scanner", "bench", str(corpus("pax", 10_000).folder), *options]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return done


DOORS: Final = {"check": through_check, "compare": through_compare}


def main() -> None:
    """Print a line for each trial, and all findings of those that went wrong; exit with 1 where one did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--through", choices=[*DOORS])
    parser.add_argument("--valgrind", action="store_true", help="count instructions too: a minute more each time")
    options = parser.parse_args()
    HOME.mkdir(parents=True, exist_ok=True)
    wrong = 0
    with tempfile.TemporaryDirectory() as named:
        folder = Path(named)
        trees = {name: unpack("HEAD", folder / (name or "unchanged")) for name in ("", *SLOWDOWNS)}
        for slowdown in SLOWDOWNS:
            put_into(trees[slowdown], slowdown)
        for door in [options.through] if options.through else DOORS:
            trial = DOORS[door](unpack("HEAD", folder / "base"), folder, valgrind=options.valgrind)
            for slowdown in (*SLOWDOWNS, *[""] * options.times):
                wrong += not as_it_should(door, slowdown, trees[slowdown], trial)
    sys.exit(bool(wrong))


def as_it_should(door: str, slowdown: str, tree: Path, trial: Trial) -> bool:
    """Whether the gate found the slowdown, or nothing where there is none; tells.

    A slowdown that changes what comes out is none: the tree is broken.
    """
    started = time.monotonic()
    worse, findings = trial(tree)
    is_right = bool(worse) == bool(slowdown) and not any("raw bytes" in what for what in worse)
    verdict = f"found by {', '.join(worse)}" if worse else "passed"
    about = f"{time.monotonic() - started:.0f} s, load {load():.1f}"
    print(f"{'' if is_right else 'WRONG '}{door}, {slowdown or 'unchanged'}: {verdict} ({about})", flush=True)
    if not is_right:
        print(findings)
    return is_right


if __name__ == "__main__":
    main()
