"""Whether figures are worse than earlier ones, by evidence that a noisy machine cannot make up.

Counters are exact, so they are held to equality (those a row, to one percent) where both runs counted the same rows
under the same Python, and those of the machine on the same machine. Ratios were taken in alternation within each run;
they fail only where the whole interval of their change lies above the bound. Absolute times are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from scanner.bench.exact import Exact
from scanner.bench.measure import Figures
from scanner.bench.ratios import change_of

FAIL_ABOVE: Final = 1.05
TOLERANCE: Final = 1.01
"""Of counters a row: what the growth of a dictionary or a table of the allocator may make of it."""

EQUAL: Final = ("raw_bytes", "copies", "requests")
NEAR: Final = ("bytecodes_per_row", "calls_per_row")
OF_MACHINE: Final = ("allocations_per_row", "allocated_bytes_per_row", "instructions_per_row")
"""Near too, but the C library allocates, and libraries choose their instructions, by what the machine is."""


class Finding(NamedTuple):
    """One comparison."""

    what: str
    before: str
    now: str
    is_worse: bool


def compare_exact(before: Exact, now: Exact, *, same_machine: bool = True) -> Iterator[Finding]:
    """Each counter that both have. Less than before is better, and fine; other bytes inflated never are."""
    for name in (*EQUAL, *NEAR, *(OF_MACHINE if same_machine else ())):
        was, is_ = getattr(before, name), getattr(now, name)
        if was is None or is_ is None:
            continue
        worse = is_ != was if name == "raw_bytes" else is_ > was * (1 if name in EQUAL else TOLERANCE)
        yield Finding(name.replace("_", " "), f"{was:,.1f}".removesuffix(".0"), f"{is_:,.1f}".removesuffix(".0"), worse)


def compare(before: Figures, now: Figures, fail_above: float = FAIL_ABOVE) -> list[Finding]:
    """All findings. Counters are left out where the rows or the versions that they depend on are others."""
    findings: list[Finding] = []
    if _comparable(before, now):
        findings += compare_exact(before.exact, now.exact, same_machine=before.machine == now.machine)
    change = change_of(now.efficiencies, before.efficiencies)
    findings.append(
        Finding(f"scan over floor (bound: {fail_above:.2f} of before)", "1", str(change), change.low > fail_above)
    )
    return findings


def _comparable(before: Figures, now: Figures) -> bool:
    same_rows = (before.exact.rows, before.exact.blob_bytes) == (now.exact.rows, now.exact.blob_bytes)
    return same_rows and all(
        version == now.versions.get(name) for name, version in before.versions.items() if name != "tasktrove-scanner"
    )


def explain(before: Figures, now: Figures) -> str | None:
    """Why some counters are not compared; None where all are that both have."""
    if not _comparable(before, now):
        return "counters are not compared: the rows or the versions of Python and packages are others than in the base"
    if before.machine != now.machine:
        return "allocations and instructions are not compared: the base was measured on another machine"
    return None


def read_figures(data: bytes) -> Figures:
    """What ``scanner bench --json`` printed. Raises msgspec.DecodeError (a ValueError) for anything else."""
    return msgspec.json.decode(data, type=Figures)
