"""Where rows come from: Parquet files (local or remote), streams, memory.

A Source makes a Plan without reading data, and reads the Units it is asked for as Batches over Arrow buffers. Sources
know nothing of archives, engines or Runs.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Container, Iterator
from typing import Protocol

import msgspec

from scanner.batch import Batch
from scanner.errors import SourceError
from scanner.model import Unit


class InputFile(msgspec.Struct, frozen=True):
    """One file (or stream) of a Plan, as it was when the plan was made."""

    file: str
    """Relative to the dataset root, with ``/``."""
    rows: int | None
    """Rows by its footer; None where nobody knows: for a stream, and for a footer that cannot be read."""
    size_bytes: int | None
    identity: str
    """Changes when the bytes do: ETag or LFS sha256 on the Hub, size and mtime locally."""
    row_groups: int | None = None
    blob_bytes: int | None = None
    """Decompressed bytes of its blob column by the footer, which its Units are cut by."""


class Plan(msgspec.Struct):
    """All that is going to be read. The same for any number of workers and any engine."""

    inputs: list[InputFile]
    units: list[Unit]
    """In plan order, ``units[i].index == i``. A source of unknown length appends to it while it is read."""
    compressed_bytes: int | None = None
    """Estimated bytes of the blobs planned, from footers."""
    revision: str | None = None
    """Commit that was pinned, for sources that have one."""
    share: tuple[int, int] | None = None
    """(first, end): this scan is about ``units[first:end]`` alone (``--shard``); None: about all of them."""
    unreadable: dict[str, str] = {}
    """Files whose footer could not be read, and why, in a sentence. They have Units where an earlier plan of the same
    bytes knew their rows, else none."""

    @property
    def mine(self) -> list[Unit]:
        """The Units that this scan is about."""
        return self.units if self.share is None else self.units[slice(*self.share)]

    @property
    def first_row(self) -> int:
        """Rows that are planned before those of this scan."""
        return 0 if self.share is None else sum(unit.n_planned for unit in self.units[: self.share[0]])

    @property
    def n_rows(self) -> int:
        """Rows that the scan must account for."""
        return sum(unit.n_planned for unit in self.mine)

    @property
    def uncounted(self) -> list[str]:
        """Those of the unreadable files whose rows nobody knows: the plan is without them."""
        return [each.file for each in self.inputs if each.rows is None and each.file in self.unreadable]

    def whole(self) -> Plan:
        """This plan, for those who need all rows of it. Raises SourceError where a file cannot be read."""
        for file, reason in self.unreadable.items():
            raise SourceError(f"{reason}; --exclude {shlex.quote(file)} leaves it out")
        return self


Unreadable = Callable[[str, int, str], None]
"""Called with (file, first unit that cannot be read, reason in a sentence): the rest of the file is not reached."""


class Source(Protocol):
    """Somewhere rows come from."""

    location: str
    """As the user named it."""
    open_ended: bool
    """Whether the number of rows is known only at the end; such a source cannot be resumed."""

    def plan(self) -> Plan:
        """List and measure the input from listings and footers alone.

        A file whose footer cannot be read is told in ``Plan.unreadable``; SourceError is raised where no file can be.
        """

    def read(self, plan: Plan, wanted: Container[int], unreadable: Unreadable) -> Iterator[Batch]:
        """Batches of the wanted Units (by index) in plan order, each within one Unit, covering its rows once, in order.

        A Batch's buffers live until the next is asked for. What cannot be read is told to ``unreadable`` and left out.
        """
