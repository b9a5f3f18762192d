"""Bounded memory of what contents mean: the same Dockerfile or test.sh comes back thousands of times.

Contents are looked up by the digest that was made of them anyway (a tenth of the time of hashing them again), and
compared whole: whoever makes two contents of one digest changes nothing but their own time.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from scanner.model import Buffer

MAX_BYTES = 4096
"""Contents up to this size are remembered; larger ones repeat too rarely for the memory they would hold."""

_MET_BITS: Final = 12

V = TypeVar("V")


class ContentMemo(Generic[V]):
    """A pure function of contents that remembers ``entries`` answers, with contents of at most 4 KiB each."""

    def __init__(self, read: Callable[[bytes], V], entries: int, *, seldom: bool = False) -> None:
        """``seldom``: most contents never come back, so one is remembered when it comes for the second time.

        To keep each would cost memory that is not in the caches. Of those that came once 64 bits of the digest are
        noted, as in :class:`scanner.twins.Twins`.
        """
        self._read = read
        self._entries = entries
        self._known: dict[bytes, tuple[bytes, V]] = {}
        self._met = array("Q", bytes(8 << _MET_BITS)) if seldom else None
        self._asked = 0
        self._missed = 0

    def __call__(self, content: Buffer, digest: bytes | None) -> V:
        """``read`` of ``content``. Runs up to a few times a row; keeps no view."""
        self._asked += 1
        raw = bytes(content)
        known = self._known.get(digest or raw)
        if known is not None and known[0] == raw:
            return known[1]
        self._missed += 1
        answer = self._read(raw)
        if len(raw) <= MAX_BYTES and self._came_before(digest):
            if len(self._known) >= self._entries:
                self._known.clear()
            self._known[digest or raw] = (raw, answer)
        return answer

    def _came_before(self, digest: bytes | None) -> bool:
        """Whether a content of this digest was noted, if that is what counts."""
        if self._met is None or digest is None:
            return True
        sign = int.from_bytes(digest[:8], "little")
        slot = sign & ((1 << _MET_BITS) - 1)
        if self._met[slot] == sign:
            return True
        self._met[slot] = sign
        return False

    def counts(self) -> tuple[int, int]:
        """Hits and misses so far."""
        return self._asked - self._missed, self._missed
