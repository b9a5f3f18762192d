r"""``members.parquet``: which files are in each row's archive, and what is in them. A row a record, in the same order.

It answers what records cannot: which files of a row changed between two revisions of a dataset (``scanner report NEW
--against OLD``). Kept of a file are its name and the first 4 bytes of the xxh3-128 of its content, so a change goes
unnoticed once in 2^32 changed files.

=======  ======  ==================================================================================================
names    string  names of the files, joined by line feeds, in the order of the archive; without a leading ``./``,
                 valid Unicode, a line feed in a name as ``\x0a``
digests  binary  4 bytes of each file, in that order: their number is the number of files
=======  ======  ==================================================================================================

Both are null where the row is no archive, and where its lists are longer than :data:`FILES_KEPT` or
:data:`NAMES_BYTES`. Archives inside the archive count as the files they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from scanner.columns import to_array
from scanner.model import Common, printable
from scanner.readings import Readings
from scanner.tables import TableWriter

FILE: Final = "members.parquet"
SCHEMA: Final = pa.schema([("names", pa.dictionary(pa.int32(), pa.string())), ("digests", pa.binary())])
"""As it lies in a shard; in the file, names are plain strings."""

FILES_KEPT: Final = 1_024
NAMES_BYTES: Final = 32 << 10
"""Longest lists that are kept, in files and in UTF-8. With both at their ends, a row group takes 600 MiB; 9 files and
150 bytes are usual."""

DIGEST_BYTES: Final = 4
_WHOLE_DIGEST_BYTES: Final = 16
_DICTIONARY_BYTES: Final = 16 << 20


class MemberLists:
    """The lists of consecutive rows, as columns. Rows of one template have the same names: each list is kept once.

    Hot: runs for every row.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int]] = {}
        """By names joined as they are in the archive: how many they are, and the number of the list."""
        self._lists: dict[str, int] = {}
        """The number of a list by its names as they are written."""
        self._rows: list[int | None] = []
        self._digests: list[bytes] = []

    def add(self, readings: Readings) -> None:
        """Take the next rows."""
        rows, kept = self._rows, self._digests
        numbers: dict[Common, tuple[int, int | None]] = {}  # files of a Common and their list; its names are not kept
        for common, digests in zip(readings.commons, readings.column("digests"), strict=True):
            if digests is None or len(digests) > FILES_KEPT * _WHOLE_DIGEST_BYTES:
                rows.append(None)
                kept.append(b"")
                continue
            n_files = len(digests) // _WHOLE_DIGEST_BYTES
            found = numbers.get(common)
            if found is None or found[0] != n_files:
                found = numbers[common] = n_files, self._number(common.names[:n_files])
            number = found[1]
            rows.append(number)
            kept.append(digests if number is not None else b"")

    def _number(self, names: Sequence[str]) -> int | None:
        joined = "\n".join(names)
        found = self._known.get(joined)
        # Where a name has a line feed, the joined names are also those of a longer list.
        return found[1] if found is not None and found[0] == len(names) else self._learn(names, joined)

    def _learn(self, names: Sequence[str], joined: str) -> int | None:
        """The number of a list that was not met yet; None where it is too long."""
        is_plain = joined.count("\n") == len(names) - 1
        written = joined
        if not (is_plain and joined.isascii()) or joined.startswith("./") or "\n./" in joined:
            written = "\n".join([printable(name.removeprefix("./")).replace("\n", "\\x0a") for name in names])
        if len(written) > NAMES_BYTES or len(written.encode()) > NAMES_BYTES:
            return None
        number = self._lists.setdefault(written, len(self._lists))
        if is_plain:
            self._known[joined] = (len(names), number)
        return number

    def to_arrow(self) -> pa.RecordBatch:
        """The rows taken, as one batch of :data:`SCHEMA`."""
        n = len(self._rows)
        dictionary = to_array(tuple(self._lists), pa.string())
        numbers = to_array(self._rows, pa.int32())
        whole = np.frombuffer(b"".join(self._digests), np.uint8).reshape(-1, _WHOLE_DIGEST_BYTES)
        ends = np.zeros(n + 1, np.int32)
        np.cumsum(np.fromiter(map(len, self._digests), np.int32, n), out=ends[1:])
        ends //= _WHOLE_DIGEST_BYTES // DIGEST_BYTES
        kept = pa.py_buffer(np.ascontiguousarray(whole[:, :DIGEST_BYTES]))
        digests = pa.Array.from_buffers(pa.binary(), n, [numbers.buffers()[0], pa.py_buffer(ends), kept])
        return pa.RecordBatch.from_arrays([pa.DictionaryArray.from_arrays(numbers, dictionary), digests], schema=SCHEMA)


def members_writer(path: Path, *, first_row: int = 0) -> TableWriter:
    """The writer of the file, from the tables of shards in plan order."""
    return TableWriter(
        path,
        SCHEMA,
        dictionary=["names"],
        dictionary_bytes=_DICTIONARY_BYTES,
        store_schema=False,
        first_row=first_row,
    )
