"""Exact duplicates: a blob met lately is not scanned again, it says what the earlier one said.

In some sources nine rows of ten are copies. Blobs are found by their id and compared byte for byte, so a crafted
collision gains nothing. What is kept is bounded in number and in bytes, the oldest go first.
"""

from __future__ import annotations

from array import array
from typing import Final, Generic, NamedTuple, TypeVar

from scanner.model import Reading

V = TypeVar("V")

ENTRIES: Final = 1_024
BLOB_BYTES: Final = 16 << 10
"""Larger blobs are not kept: all together take 16 MiB at most."""

MET_BITS: Final = 14
"""How many bits of an id say where it is noted."""


class Twin(NamedTuple):
    """A row that was scanned: the blob it was, and what that says."""

    blob: bytes
    reading: Reading


class Twins:
    """Small blobs that came twice, lately. ``hits`` and ``misses`` count the look-ups.

    A blob is kept when it comes for the second time: keeping each at its first costs every row 4 µs, mostly in memory
    that is not used again at once, and most rows never come back. Of those that came once, 64 bits of the id are
    noted in a table of 128 kB, where a new one takes the place of another: 1 to 2 µs less than a dictionary of them.
    """

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0
        self.met = array("Q", bytes(8 << MET_BITS))
        """The first 64 bits of ids that came, where their first :data:`MET_BITS` say: ``quick.c`` notes them, too."""
        self._twins: _Recent[Twin] = _Recent(ENTRIES)

    def find(self, blob_id: str, data: memoryview) -> Reading | None:
        """What the row said that had these very bytes. Runs once a row: a look-up, and for a hit one comparison."""
        twin = self._twins.get(blob_id)
        if twin is None or twin.blob != bytes(data):
            self.misses += 1
            return None
        self.hits += 1
        return twin.reading

    def keep(self, data: memoryview, reading: Reading) -> None:
        """Remember a row whose result depends on its blob alone: no limit of time was near."""
        blob_id = reading.blob_id
        if len(data) > BLOB_BYTES or blob_id is None or reading.common.status != "ok":
            return
        sign = int(blob_id[:16], 16)
        slot = sign >> (64 - MET_BITS)
        if self.met[slot] == sign:
            self._twins[blob_id] = Twin(bytes(data), reading)
        else:
            self.met[slot] = sign


class _Recent(Generic[V]):
    """The last entries put in: at least half of ``most``, at most all of that.

    Two generations: when the young one is full the old one goes. To let the oldest entry of one dict go each time would
    walk over all the holes that the ones before it left: 3 µs.
    """

    def __init__(self, most: int) -> None:
        self._half = most // 2
        self._young: dict[str, V] = {}
        self._old: dict[str, V] = {}

    def get(self, key: str) -> V | None:
        return self._young.get(key) or self._old.get(key)

    def __setitem__(self, key: str, value: V) -> None:
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[key] = value
