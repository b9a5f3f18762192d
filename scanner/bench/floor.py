"""The floor: what inflating the blobs alone costs, by the fastest wheel there is, one call a blob.

gzip goes through the ``deflate`` wheel's own door, not through ours: a floor that shares code with what is measured
would sink with it. Everything else, and what the wheel refuses, goes through the codec's stream. Of several gzip
members in one blob the wheel reads the first alone, which a floor may.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import deflate

from scanner.batch import Batch
from scanner.faults import FaultKind
from scanner.model import Buffer
from scanner.options import CHUNK_BYTES, SMALL_BYTES, Limits
from scanner.sniff import HEAD_BYTES, codec_of

_GZIP_MAGIC: Final = b"\x1f\x8b\x08"
_GZIP_LEAST: Final = 18
_MOST: Final = Limits().output_bytes


def inflate_all(packed: Iterable[Buffer]) -> int:
    """Inflate every blob of packed Batches and drop what comes out; the number of bytes that came."""
    total = 0
    for buffer in packed:
        for blob in Batch.unpack(buffer):
            if blob.data is not None:
                total += _inflate(blob.data)
    return total


def _inflate(data: memoryview) -> int:
    """Bytes that come out of one blob; once a row."""
    head = bytes(data[:HEAD_BYTES])
    announced = int.from_bytes(data[-4:], "little")  # what the wheel allocates, however forged it is
    if head.startswith(_GZIP_MAGIC) and len(data) >= _GZIP_LEAST and announced <= SMALL_BYTES:
        try:
            return len(deflate.gzip_decompress(data))
        except deflate.DeflateError:
            pass
    codec = codec_of(head)
    if codec is None:
        return len(data)
    total = 0
    for piece in codec.stream(data, _Deaf(), CHUNK_BYTES):
        total += len(piece)
        if total > _MOST:  # a bomb: the scan stops it there too
            break
    return total


class _Deaf:
    """A report that nobody reads: flaws cost what they cost."""

    def fault(
        self, kind: FaultKind, *, member: str | None = None, offset: int | None = None, detail: str | None = None
    ) -> None:
        """Ignore it."""
