"""Two Runs side by side: what changed between two revisions of a dataset, from the records and statistics alone.

A row is the same row when source and path are (a source renamed to another ``-vN`` counts as the same source); it
changed when its ``content_id`` did. Rows that share source and path are told apart by their order.

What a comparison cannot know stands in :attr:`Comparison.limits`, which every face shows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from scanner.report.changes import Comparison, Counts, FileChanges, Rows, SourceChange
from scanner.report.compare_inside import Inside
from scanner.report.compare_rows import Found, chunks, sides_of
from scanner.report.compare_text import render_text
from scanner.report.facts import Place, place_of
from scanner.report.figures import count, counted, uncounted
from scanner.run import Run
from scanner.stats import StatsFile, Tally

__all__ = ["Comparison", "compare", "render_text"]

NAMES_SHOWN: Final = 20
"""Names whose counts differ most."""


def compare(new: Run, old: Run) -> Comparison:
    """Compare two Runs, reading the records of both some sources at a time. Raises RunError where one is incomplete."""
    before, after = old.stats, new.stats
    sources = _matched(before, after)
    found = Found({source.source: source.rows for source in sources})
    for chunk in chunks(sources, before, after):
        found.take(*sides_of(old, new, chunk))
    rows = Rows()
    for source in sources:
        rows.add(source.rows)
    sources.sort(key=lambda each: (-each.rows.moved(), each.source))
    inside = Inside(old, new, pl.concat(found.changed))
    a, b = before.overall, after.overall
    return Comparison(
        old=_called(old),
        new=_called(new),
        rows=rows,
        sources=sources,
        columns={name: n for name, n in sorted(inside.columns.items(), key=lambda item: -item[1]) if n},
        undescribed=inside.undescribed,
        files=inside.files,
        names=_names(a.names, b.names),
        status=_beside(a.status, b.status),
        layouts=_beside(a.layout, b.layout),
        verifier_kinds=_beside(a.verifier_kind, b.verifier_kind),
        heuristic_verifier=(a.heuristic_verifier, b.heuristic_verifier),
        harbor_loadable=(a.harbor_loadable, b.harbor_loadable),
        faults=_beside(a.faults, b.faults),
        examples={fate: _places(old if fate == "removed" else new, at) for fate, at in found.examples.items() if at},
        limits=_limits(new, old, inside.files),
    )


def _called(run: Run) -> str:
    manifest = run.manifest
    revision = f"@{manifest.revision[:12]}" if manifest.revision else ""
    return f"{manifest.source}{revision}, scanned {manifest.started[:10]}"


_VERSION: Final = re.compile(r"-v\d+$")


def _matched(before: StatsFile, after: StatsFile) -> list[SourceChange]:
    """Sources of both Runs; one that went and one that came are the same if their names differ in ``-vN`` alone."""
    gone = [name for name in before.sources if name not in after.sources]
    came = [name for name in after.sources if name not in before.sources]
    stems: dict[str, list[str]] = {}
    for name in gone:
        stems.setdefault(_VERSION.sub("", name), []).append(name)
    out = [SourceChange(name, "kept", None, Rows()) for name in after.sources if name in before.sources]
    for name in came:
        heirs = stems.get(_VERSION.sub("", name))
        was = heirs.pop() if heirs else None
        out.append(SourceChange(name, "renamed" if was else "added", was, Rows()))
    renamed = {each.old_source for each in out}
    return out + [SourceChange(name, "removed", None, Rows()) for name in gone if name not in renamed]


def _places(run: Run, at: Sequence[int]) -> list[Place]:
    rows = pl.concat(run.records().slice(n, 1).select("source", "file", "row", "path") for n in at).collect()
    return [place_of(run.manifest, *row) for row in rows.iter_rows()]


def _beside(old: Mapping[str, int], new: Mapping[str, int]) -> Counts:
    both = {kind: (old.get(kind, 0), new.get(kind, 0)) for kind in [*old, *new]}
    return dict(sorted(both.items(), key=lambda item: (-max(item[1]), item[0])))


def _names(old: Tally, new: Tally) -> Counts:
    def of(tally: Tally, name: str) -> int:
        return tally.counts.get(name, -1 if tally.omitted_names or tally.error else 0)

    both = {name: (of(old, name), of(new, name)) for name in {**old.counts, **new.counts}}
    differing = [(name, pair) for name, pair in both.items() if pair[0] != pair[1]]
    return dict(sorted(differing, key=lambda item: (-abs(item[1][1] - item[1][0]), item[0]))[:NAMES_SHOWN])


_PLACE: Final = frozenset({"source", "revision"})
"""Arguments that say where the data was: two revisions differ in them by nature."""


def _limits(new: Run, old: Run, files: FileChanges | None) -> list[str]:
    said = []
    for run, called in ((old, "older"), (new, "newer")):
        if not run.has_members:
            said.append(f"Which files changed is not known: the {called} Run keeps no lists of members.")
    if files is not None and files.unlisted:
        said.append(
            f"Which files changed is not known of {counted(files.unlisted, 'row')}: no archive, or too many files."
        )
    asked, asked_before = new.manifest.arguments, old.manifest.arguments
    others = [key for key in {**asked_before, **asked} if asked.get(key) != asked_before.get(key) and key not in _PLACE]
    if others:
        said.append(f"The two scans were asked for different things, which shows as changes: {', '.join(others)}.")
    for run, called in ((old, "older"), (new, "newer")):
        if run.account.not_reached or run.account.skipped:
            left_out = count(run.account.not_reached + run.account.skipped)
            said.append(f"The {called} scan lacks {left_out} planned rows; they count as removed or added.")
        if run.account.uncounted_files:
            said.append(f"The {called} scan lacks {uncounted(run.account.uncounted_files)}; likewise.")
    if new.manifest.versions.get("scanner") != old.manifest.versions.get("scanner"):
        said.append(
            "The scans were made by different versions of the scanner, which may judge the same bytes otherwise."
        )
    return said
