"""A Batch: consecutive blobs over one buffer, and its packed form, which is what crosses the process boundary.

Packed layout (native byte order: it never leaves the machine; every section 8-byte aligned)::

    header   u32 magic, u32 n, i64 unit, u32 flags, u32 len(file), i64 len(paths), i64 len(blobs)
    file     utf-8
    rows     i64[n]      row within the file
    flaws    u8[n]       index into FLAWS: 0 is none
    path_ends, blob_ends i64[n]   where each path and blob ends in its section
    paths    utf-8
    blobs    the bytes, as in the Arrow buffer they were copied from: the one copy they get before the decompressor

Unpacking copies nothing: blobs are slices of the packed view.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from scanner.faults import FaultKind
from scanner.model import Blob, Buffer

_HEADER: Final = struct.Struct("=IIqIIqq")
_MAGIC: Final = 0x31544142
_BASE64: Final = 1

FLAWS: Final[tuple[FaultKind | None, ...]] = (None, "null-blob", "bad-encoding")
"""Why a row holds no bytes; the packed form stores the index."""


def _aligned(n: int) -> int:
    return (n + 7) & ~7


class Batch:
    """Rows of one Unit, in order. Sections are anything with the buffer protocol; nothing is copied to build one.

    ``rows``, ``path_ends`` and ``blob_ends`` hold int64, ``flaws`` uint8 indices into :data:`FLAWS`. Ends count from
    the start of ``paths`` and ``blobs``, which may be given in parts that follow one another (Arrow batches need not be
    joined to be packed); only a batch in one part, as unpacked ones are, can be iterated. With ``base64`` the blobs are
    base64 text and are decoded row by row.
    """

    __slots__ = ("base64", "blob_ends", "blob_parts", "file", "flaws", "path_ends", "path_parts", "rows", "unit")

    def __init__(
        self,
        unit: int,
        file: str,
        rows: Buffer,
        flaws: Buffer,
        path_ends: Buffer,
        paths: Sequence[Buffer],
        blob_ends: Buffer,
        blobs: Sequence[Buffer],
        *,
        base64: bool = False,
    ) -> None:
        self.unit = unit
        self.file = file
        self.rows = memoryview(rows).cast("B").cast("q")
        self.flaws = memoryview(flaws).cast("B")
        self.path_ends = memoryview(path_ends).cast("B").cast("q")
        self.path_parts = tuple(memoryview(part).cast("B") for part in paths)
        self.blob_ends = memoryview(blob_ends).cast("B").cast("q")
        self.blob_parts = tuple(memoryview(part).cast("B") for part in blobs)
        self.base64 = base64

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Blob]:
        """Each row as a Blob over this batch's buffer. Runs once a row; copies the path, never the blob."""
        (paths,), (blobs,), file = self.path_parts, self.blob_parts, self.file
        path_start = blob_start = 0
        for row, flaw, path_end, blob_end in zip(self.rows, self.flaws, self.path_ends, self.blob_ends, strict=True):
            path = str(paths[path_start:path_end], "utf-8", "surrogateescape")
            data: memoryview | None = blobs[blob_start:blob_end]
            why = FLAWS[flaw]
            if why is not None:
                data = None
            elif self.base64:
                data, why = _from_base64(blobs[blob_start:blob_end])
            yield Blob(data, path, file, row, why)
            path_start, blob_start = path_end, blob_end

    @property
    def blob_bytes(self) -> int:
        """Bytes of all blobs, as they stand in the column."""
        return sum(map(len, self.blob_parts))

    @property
    def packed_size(self) -> int:
        """Bytes that :meth:`pack_into` writes."""
        n = len(self.rows)
        n_paths = sum(map(len, self.path_parts))
        parts = (len(self.file.encode()), 8 * n, n, 8 * n, 8 * n, n_paths, self.blob_bytes)
        return _HEADER.size + sum(_aligned(part) for part in parts)

    def pack_into(self, target: memoryview) -> int:
        """Write the packed form to the start of ``target`` (writable, format ``B``) and return its size in bytes."""
        file = self.file.encode()
        _HEADER.pack_into(
            target,
            0,
            _MAGIC,
            len(self.rows),
            self.unit,
            _BASE64 if self.base64 else 0,
            len(file),
            sum(map(len, self.path_parts)),
            self.blob_bytes,
        )
        at = _HEADER.size
        sections = ((file,), (self.rows,), (self.flaws,), (self.path_ends,), (self.blob_ends,))
        for parts in (*sections, self.path_parts, self.blob_parts):
            start = at
            for part in parts:
                data = memoryview(part).cast("B")
                target[at : at + len(data)] = data
                at += len(data)
            at = start + _aligned(at - start)
        return at

    def pack(self) -> bytearray:
        """The packed form in a buffer of its own, for engines without shared memory."""
        out = bytearray(self.packed_size)
        self.pack_into(memoryview(out))
        return out

    @classmethod
    def unpack(cls, packed: Buffer) -> Batch:
        """A Batch over ``packed``, which must outlive it. Copies nothing but the file name."""
        view = memoryview(packed).cast("B")
        magic, n, unit, flags, n_file, n_paths, n_blobs = _HEADER.unpack_from(view)
        if magic != _MAGIC:
            raise ValueError("not a packed batch")
        at = _HEADER.size
        sections: list[memoryview] = []
        for size in (n_file, 8 * n, n, 8 * n, 8 * n, n_paths, n_blobs):
            sections.append(view[at : at + size])
            at += _aligned(size)
        file, rows, flaws, path_ends, blob_ends, paths, blobs = sections
        base64 = bool(flags & _BASE64)
        return cls(unit, str(file, "utf-8"), rows, flaws, path_ends, (paths,), blob_ends, (blobs,), base64=base64)

    def single(self, index: int) -> Batch:
        """The batch of row ``index`` alone: what the engine runs to find the row that kills workers."""
        (paths,), (blobs,) = self.path_parts, self.blob_parts
        path_start = self.path_ends[index - 1] if index else 0
        blob_start = self.blob_ends[index - 1] if index else 0
        path_end, blob_end = self.path_ends[index], self.blob_ends[index]
        return Batch(
            self.unit,
            self.file,
            self.rows[index : index + 1],
            self.flaws[index : index + 1],
            struct.pack("=q", path_end - path_start),
            (paths[path_start:path_end],),
            struct.pack("=q", blob_end - blob_start),
            (blobs[blob_start:blob_end],),
            base64=self.base64,
        )


def _from_base64(text: memoryview) -> tuple[memoryview | None, FaultKind | None]:
    try:
        return memoryview(binascii.a2b_base64(text, strict_mode=True)), None
    except binascii.Error:
        pass
    try:  # line breaks and missing padding occur in the wild; anything else does not decode
        compact = bytes(text).translate(None, b"\r\n \t")
        return memoryview(binascii.a2b_base64(compact + b"=" * (-len(compact) % 4), strict_mode=True)), None
    except binascii.Error:
        return None, "bad-encoding"
