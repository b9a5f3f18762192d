"""What changed between two Runs, as values: what :func:`scanner.report.compare.compare` finds and every face shows."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from scanner.report.facts import Place
from scanner.stats import Tally

COLUMNS: Final = {
    "instruction_id": "the instruction",
    "n_files": "the number of files",
    "raw_size": "the size once decompressed",
    "largest_file": "the name of the largest file",
    "largest_file_size": "the size of the largest file",
    "base_image": "the base image",
    "layout": "the layout",
    "verifier_kind": "the kind of verifier",
    "harbor_loadable": "whether Harbor loads it",
    "has_solution": "whether it has a solution",
    "status": "the status",
}
"""Columns that are compared in rows whose content changed, in words."""

State: TypeAlias = Literal["kept", "renamed", "added", "removed"]
Counts: TypeAlias = dict[str, tuple[int, int]]
"""By kind: how many rows (or files) in the old Run and in the new one."""


class Rows(msgspec.Struct):
    """How rows fared. ``old = removed + changed + repacked + same``, ``new = added + changed + repacked + same``."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    """The same path, other content."""
    repacked: int = 0
    """The same content in a blob of other bytes."""
    same: int = 0

    def moved(self) -> int:
        """Rows of other content than before."""
        return self.added + self.removed + self.changed

    def add(self, other: Rows) -> None:
        """Fold ``other`` in."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class SourceChange(msgspec.Struct):
    """One source in both Runs."""

    source: str
    """Its name in the new Run, or in the old one where it was removed."""
    state: State
    old_source: str | None
    """Its name in the old Run, where it was renamed."""
    rows: Rows


class FileChanges(msgspec.Struct):
    """The files of changed rows: by name, in how many rows a file of that name was added, removed or changed.

    Exact until a fate has met :data:`scanner.stats.NAMES_KEPT` names.
    """

    unlisted: int = 0
    """Changed rows left out: one side is no archive, or its list was too long to be kept."""
    added: Tally = msgspec.field(default_factory=Tally)
    removed: Tally = msgspec.field(default_factory=Tally)
    changed: Tally = msgspec.field(default_factory=Tally)

    def top(self, n: int) -> list[tuple[str, tuple[int, int, int]]]:
        """The ``n`` names met in most rows, each with its rows changed, added and removed."""
        tallies = (self.changed, self.added, self.removed)
        names = {name for tally in tallies for name in tally.counts}
        rows = [(name, tuple(tally.counts.get(name, 0) for tally in tallies)) for name in names]
        return sorted(rows, key=lambda each: (-sum(each[1]), each[0]))[:n]  # type: ignore[return-value]


class Comparison(msgspec.Struct):
    """What changed from the old Run to the new one."""

    old: str
    """Dataset, revision and date of the older Run."""
    new: str
    rows: Rows
    sources: list[SourceChange]
    """All sources, those with the most added, removed and changed rows first."""
    columns: dict[str, int]
    """Of the changed rows: in how many each column differs. One row may count under several."""
    undescribed: int
    """Changed rows in which no column differs: some file changed that records do not describe."""
    files: FileChanges | None
    """Which files changed in them; None where a Run keeps no lists of members."""
    names: Counts
    """Files of each name, where the two Runs differ most; -1 where a Run did not list the name."""
    status: Counts
    layouts: Counts
    verifier_kinds: Counts
    heuristic_verifier: tuple[int, int]
    harbor_loadable: tuple[int, int]
    faults: Counts
    examples: dict[str, list[Place]]
    """Rows of each fate: ``added``, ``removed``, ``changed``."""
    limits: list[str]
    """What this comparison cannot know, in whole sentences."""
