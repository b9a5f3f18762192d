"""Colours by role. Charts are drawn in the light ones; the page swaps each for its CSS variable, so dark mode is free.

Light values keep 4.5:1 against white for text and 3:1 for marks (WCAG 2.2, 1.4.3 and 1.4.11), the dark ones in
``page.css`` against the dark ground. Values are distinct, for a colour stands for its role in a finished SVG.
"""

from __future__ import annotations

import re
from typing import Final, get_args

from scanner.model import VerifierKind

INK: Final = "#1c2128"
MUTED: Final = "#57606a"
GRID: Final = "#e2e5e9"
SURFACE: Final = "#fefefe"
ACCENT: Final = "#2f6fd0"
SECOND: Final = "#c2691a"
REST: Final = "#8c949e"

RATES: Final = ("#c43d33", "#c8611f", "#a67c00", "#6f8a1f", "#2c8a4b")
"""Bad to good, in fifths."""

BAD: Final = RATES[0]

KINDS: Final = dict(
    zip(
        get_args(VerifierKind),
        (
            "#1b4f9c",  # blues and greens: something a harness runs
            "#3b7be0",
            "#6ba0ea",
            "#0f7c7c",
            "#2fa595",
            "#6a4bb0",  # violets: data for a verifier, which somebody has to supply
            "#9470cc",
            "#b794dd",
            "#b58a1a",  # yellow, orange: hardly anything
            "#d4762c",
            "#9aa1a9",  # grey: nothing
        ),
        strict=True,
    )
)
"""Verifier kinds, strongest first."""

VARIABLES: Final = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    SURFACE: "surface",
    ACCENT: "accent",
    SECOND: "second",
    REST: "rest",
    **{colour: f"rate{at}" for at, colour in enumerate(RATES)},
    **{colour: f"kind{at}" for at, colour in enumerate(KINDS.values())},
}
"""CSS variable of each colour."""

_COLOUR: Final = re.compile(r'="(#[0-9a-f]{6})"')


def themed(svg: str) -> str:
    """``svg`` with each colour of the palette as its CSS variable. Text in it is escaped, so no text is touched."""
    return _COLOUR.sub(lambda found: f'="var(--{VARIABLES[found[1]]})"' if found[1] in VARIABLES else found[0], svg)
