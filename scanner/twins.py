"""Exact duplicates: a blob met lately is not scanned again, its Record is the earlier one under another path.

In some sources nine rows of ten are copies. Blobs are found by their id and compared byte for byte, so a crafted
collision gains nothing. What is kept is bounded in number and in bytes, the oldest go first.
"""

from __future__ import annotations

from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

from scanner.model import Census, Record

V = TypeVar("V")

ENTRIES: Final = 1_024
BLOB_BYTES: Final = 16 << 10
"""Larger blobs are not kept: all together take 16 MiB at most."""


class Twin(NamedTuple):
    """A row that was scanned, and the blob it was."""

    blob: bytes
    record: Record
    census: Census


class Twins:
    """Small blobs that came twice, lately. ``hits`` and ``misses`` count the look-ups.

    A blob is kept when it comes for the second time: keeping each at its first costs every row 4 µs, mostly in memory
    that is not used again at once, and most rows never come back; to remember their ids alone costs 0.3.
    """

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0
        self._once: _Recent[None] = _Recent(16 * ENTRIES)
        self._twins: _Recent[Twin] = _Recent(ENTRIES)

    def find(self, blob_id: str, data: memoryview) -> Twin | None:
        """The row that had these very bytes. Runs once a row: a look-up, and for a hit one comparison."""
        twin = self._twins.get(blob_id)
        if twin is None or twin.blob != bytes(data):
            self.misses += 1
            return None
        self.hits += 1
        return twin

    def keep(self, data: memoryview, record: Record, census: Census) -> None:
        """Remember a row whose result depends on its blob alone: no limit of time was near."""
        if len(data) > BLOB_BYTES or record.status != "ok" or record.blob_id is None:
            return
        if record.blob_id in self._once:
            # A copy: whoever was given the record may add to it, as probes do, what is not this blob's.
            self._twins[record.blob_id] = Twin(bytes(data), msgspec.structs.replace(record), census)
        else:
            self._once[record.blob_id] = None


class _Recent(Generic[V]):
    """The last entries put in: at least half of ``most``, at most all of that.

    Two generations: when the young one is full the old one goes. To let the oldest entry of one dict go each time would
    walk over all the holes that the ones before it left: 3 µs.
    """

    def __init__(self, most: int) -> None:
        self._half = most // 2
        self._young: dict[str, V] = {}
        self._old: dict[str, V] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._young or key in self._old

    def get(self, key: str) -> V | None:
        return self._young.get(key) or self._old.get(key)

    def __setitem__(self, key: str, value: V) -> None:
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[key] = value
