"""The truth on disk while a scan runs: one Shard per Unit, each in place whole or not at all.

A shard file is an 8-byte xxh3 of what follows and a msgpack :class:`Shard`. A file that is cut, damaged, of another
schema or made for other bytes or options counts as not there: its Unit is scanned again. What a power
cut kept from the disk, the checksum finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Final

import msgspec
import pyarrow as pa
from xxhash import xxh3_64_digest

from scanner.errors import OutputError
from scanner.model import SCHEMA_VERSION
from scanner.records import from_ipc, to_ipc
from scanner.stats import Stats
from scanner.storage import Folder

_SUM_BYTES: Final = 8


class Counters(msgspec.Struct, gc=False):
    """What the work on a shard cost, for ``run.json``. Sums; never part of ``stats.json`` or the records."""

    rows: int = 0
    skipped: int = 0
    """Rows left out by ``--source-filter`` once their path was known."""
    blob_bytes: int = 0
    """Compressed bytes that were scanned."""
    raw_bytes: int = 0
    """Bytes that came out of the codecs."""
    streamed_rows: int = 0
    """Rows too large (or too odd) for one call, which were streamed."""
    cpu_ns: int = 0
    """Processor time of the workers on these rows."""
    timed_ns: int = 0
    """Processor time of inflating alone, of a few rows spread over all."""
    timed_bytes: int = 0
    """Bytes that came out of those."""
    memos: dict[str, tuple[int, int]] = {}
    """Hits and misses of each bounded memo."""

    @property
    def inflating_seconds(self) -> float:
        """Processor time that inflating takes of all, by the rows that were timed; 0 where none was."""
        return self.timed_ns / 1e9 * self.raw_bytes / self.timed_bytes if self.timed_bytes else 0.0

    def merge(self, other: Counters) -> None:
        """Fold ``other`` in."""
        self.rows += other.rows
        self.skipped += other.skipped
        self.blob_bytes += other.blob_bytes
        self.raw_bytes += other.raw_bytes
        self.streamed_rows += other.streamed_rows
        self.cpu_ns += other.cpu_ns
        self.timed_ns += other.timed_ns
        self.timed_bytes += other.timed_bytes
        for name, (hits, misses) in other.memos.items():
            mine = self.memos.get(name, (0, 0))
            self.memos[name] = (mine[0] + hits, mine[1] + misses)


class Shard(msgspec.Struct, gc=False):
    """The result of one Unit (in a worker's reply: of some consecutive rows of one)."""

    schema: int
    unit: int
    key: str
    """What the result depends on: see :mod:`scanner.pipeline`. Resume takes a shard only under the same key."""
    n_rows: int
    """Rows it accounts for: those with a record and those skipped."""
    records: memoryview
    """Arrow IPC of the record columns, in row order."""
    members: memoryview
    """Arrow IPC of :data:`scanner.members.SCHEMA`, a row a record."""
    stats: Stats
    counters: Counters

    @property
    def n_records(self) -> int:
        """Rows that have a record."""
        return self.n_rows - self.counters.skipped

    @property
    def n_faulty(self) -> int:
        """Rows whose status is not ``ok``."""
        return sum(stats.rows - stats.status.get("ok", 0) for stats in self.stats.sources.values())

    def table(self) -> pa.Table:
        """The records as an Arrow table."""
        return from_ipc(self.records)

    def member_table(self) -> pa.Table:
        """The lists of members as an Arrow table."""
        return from_ipc(self.members)


class _Key(msgspec.Struct):
    """As much of a shard as it is found by."""

    key: str


def encode(shard: Shard) -> bytes:
    """A shard as msgpack."""
    return _ENCODER.encode(shard)


def decode(data: bytes) -> Shard:
    """What :func:`encode` made, with views of ``data``. Raises msgspec.DecodeError for anything else."""
    return _DECODER.decode(data)


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Shard)
_KEYS: Final = msgspec.msgpack.Decoder(_Key)


def join(parts: Sequence[Shard]) -> Shard:
    """The shard of a Unit from its parts, given in row order."""
    if len(parts) == 1:
        return parts[0]
    records = pa.concat_tables([part.table() for part in parts])
    members = pa.concat_tables([part.member_table() for part in parts]).combine_chunks()  # one dictionary
    stats, counters = Stats(), Counters()
    for part in parts:
        stats.merge(part.stats)
        counters.merge(part.counters)
    first = parts[0]
    n_rows = sum(part.n_rows for part in parts)
    return Shard(first.schema, first.unit, first.key, n_rows, to_ipc(records), to_ipc(members), stats, counters)


class ShardFolder:
    """The ``shards/`` folder of a Run."""

    def __init__(self, run: Folder) -> None:
        self._run = run

    def name(self, unit: int) -> str:
        """Where the shard of a Unit lies in its Run; a thousand to a folder, so that a folder stays listable."""
        return f"shards/{unit // 1000:04d}/{unit:07d}.msgpack"

    def write(self, shard: Shard) -> None:
        """Put a shard in place, whole or not at all. Raises OutputError where the disk does not take it."""
        data, name = bytearray(_SUM_BYTES), self.name(shard.unit)
        _ENCODER.encode_into(shard, data, _SUM_BYTES)  # a shard is large: in place, as copies cost more than all else
        data[:_SUM_BYTES] = xxh3_64_digest(memoryview(data)[_SUM_BYTES:])
        try:
            self._run.write(name, data)
        except OSError as error:
            raise self._unwritable(name, error) from error

    def adopt(self, unit: int, data: bytes, origin: Folder) -> None:
        """Put a shard file of another Run in place: a hard link where that is possible, else a copy of ``data``."""
        name = self.name(unit)
        try:
            if not self._run.link(name, origin):
                self._run.write(name, data)
        except OSError as error:
            raise self._unwritable(name, error) from error

    def read(self, unit: int, key: str) -> Shard | None:
        """The shard of a Unit where a sound one made under ``key`` is there, else None."""
        shard = read_shard(self.read_encoded(unit))
        return shard if shard is not None and shard.unit == unit and shard.key == key else None

    def read_encoded(self, unit: int) -> bytes:
        """The shard file of a Unit as it is, sound or not; empty where there is none."""
        try:
            return self._run.read(self.name(unit))
        except FileNotFoundError:
            return b""

    def units(self) -> Iterator[int]:
        """Numbers of the Units that have a file, sound or not, in order."""
        names = (PurePosixPath(name) for name in self._run.names("shards"))
        yield from sorted(int(name.stem) for name in names if name.suffix == ".msgpack" and name.stem.isdigit())

    def remove(self, units: Iterable[int]) -> None:
        """Forget these shards."""
        self._run.remove(map(self.name, units))

    def _unwritable(self, name: str, error: OSError) -> OutputError:
        path, why = f"{self._run.location}/{name}", error.strerror or error
        return OutputError(f"cannot write {path}: {why}; free space and run the same command again")


def key_of(data: bytes) -> str | None:
    """The key of a shard file, without a look at the rest of it; None where there is none."""
    try:
        return _KEYS.decode(memoryview(data)[_SUM_BYTES:]).key
    except msgspec.DecodeError:
        return None


def read_shard(data: bytes) -> Shard | None:
    """The shard in a file's bytes; None where they are empty, damaged, or of another schema."""
    body = memoryview(data)[_SUM_BYTES:]
    if not body or xxh3_64_digest(body) != data[:_SUM_BYTES]:
        return None
    try:
        shard = _DECODER.decode(body)
    except msgspec.DecodeError:
        return None
    return shard if shard.schema == SCHEMA_VERSION else None
