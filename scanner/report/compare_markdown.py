"""A Comparison in Markdown: what a release note of a dataset can say, with names escaped as in the summary."""

from __future__ import annotations

from collections.abc import Iterable

from scanner.report.changes import COLUMNS, Comparison
from scanner.report.compare_text import FILES_SHOWN, SOURCES_SHOWN, difference
from scanner.report.figures import count
from scanner.report.markdown import name, table


def render_markdown(comparison: Comparison) -> str:
    """The comparison, ending with a line feed. Tables without a line are left out."""
    rows = comparison.rows
    fates = ("added", "removed", "changed", "repacked", "same")
    parts = [
        "## What changed",
        f"From {name(comparison.old, 500)} to {name(comparison.new, 500)}.",
        table(fates, [[count(getattr(rows, fate)) for fate in fates]]),
    ]
    touched = [each for each in comparison.sources if each.state != "kept" or each.rows.moved()][:SOURCES_SHOWN]
    for title, heads, lines in (
        (
            "Sources",
            ("source", "state", *fates),
            [(name(each.source), each.state, *(count(getattr(each.rows, fate)) for fate in fates)) for each in touched],
        ),
        (
            "Files of changed rows",
            ("file", "changed in rows", "added", "removed"),
            _named(comparison.files.top(FILES_SHOWN) if comparison.files is not None else ()),
        ),
        (
            "What differs in changed rows",
            ("", "rows"),
            [(COLUMNS[column], count(n)) for column, n in comparison.columns.items()],
        ),
        ("Verifiers", ("kind", "old", "new", "change"), _beside(comparison.verifier_kinds.items())),
        ("Faults", ("kind", "old", "new", "change"), _beside(comparison.faults.items())),
    ):
        if lines:
            parts += [f"### {title}", table(heads, lines)]
    return "\n\n".join([*parts, *(f"*{name(limit, 500)}*" for limit in comparison.limits)]) + "\n"


def _named(rows: Iterable[tuple[str, tuple[int, int, int]]]) -> list[tuple[str, ...]]:
    return [(name(file), *map(count, ns)) for file, ns in rows]


def _beside(pairs: Iterable[tuple[str, tuple[int, int]]]) -> list[tuple[str, ...]]:
    return [(name(kind), count(old), count(new), difference(old, new)) for kind, (old, new) in pairs]
