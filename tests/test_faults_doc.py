"""docs/faults.md and the list of fault kinds say the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from scanner.faults import FAULTS, FaultKind

PAGE = Path(__file__).parents[1] / "docs" / "faults.md"
ROW = re.compile(r"\| `([^`]+)` \| (\w+) \| (.+?) \| (.+?) \|")


def documented() -> list[tuple[str, str]]:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    matches = [ROW.fullmatch(row) for row in rows]
    assert None not in matches, "each row of a table has four cells: kind, severity, meaning, advice"
    return [(match[1], match[2]) for match in matches if match]


def test_every_kind_is_documented_with_its_severity() -> None:
    """The page lists every kind once, in the order of the code, with the same severity."""
    assert documented() == [(kind, about.severity) for kind, about in FAULTS.items()]


def test_the_table_is_in_the_order_of_the_kinds() -> None:
    """The type and the table of the code hold the same kinds in the same order."""
    assert tuple(FAULTS) == get_args(FaultKind)


def test_every_kind_says_what_it_means_and_what_to_do() -> None:
    """Meaning and advice are sentences."""
    for kind, about in FAULTS.items():
        for sentence in (about.meaning, about.advice):
            assert sentence[0].isupper(), kind
            assert sentence[-1] in ".!", kind
