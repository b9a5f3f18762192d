"""From Outcomes to outputs: parts of Units become shards, shards in plan order become records and statistics."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import msgspec
import pyarrow as pa

from scanner.batch import Batch
from scanner.distinct import COLUMNS as ID_COLUMNS
from scanner.distinct import DistinctIds
from scanner.engines import Outcome
from scanner.members import FILE as MEMBERS
from scanner.members import MemberLists, members_writer
from scanner.model import SCHEMA_VERSION, Fault, Unit
from scanner.probe import failed_reading
from scanner.readings import Readings
from scanner.records import SCHEMA, RecordsWriter, from_ipc, to_arrow, to_ipc
from scanner.rowgroups import RowGroup
from scanner.run import Account
from scanner.shards import Counters, Shard, decode, join
from scanner.stats import Stats, StatsFile
from scanner.storage import TABLES, Folder, digest_of

AHEAD_SHARDS: Final = 64
"""Shards held in memory for Units that are done before earlier ones; more are read back from disk."""


class Assembly:
    """Which Unit each batch under way belongs to, and the parts of Units that are not whole yet."""

    def __init__(self, extra: Sequence[pa.Field] = ()) -> None:
        self._extra = extra
        self._units: dict[int, int] = {}
        """Unit of each batch that has been read."""
        self._rows: dict[int, int] = {}
        """Rows of each batch that are not answered yet."""
        self._parts: dict[int, list[tuple[int, int, Shard]]] = {}
        self._answered: dict[int, int] = {}

    def watch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches, noted as they pass: the engine numbers them in this order."""
        for number, batch in enumerate(batches):
            self._units[number] = batch.unit
            self._rows[number] = len(batch)
            yield batch

    def expect(self, units: Iterable[Unit]) -> None:
        """Whole Units are going to be answered, each as one batch numbered like it (see ``RemoteEngine``)."""
        for unit in units:
            self._units[unit.index] = unit.index
            self._rows[unit.index] = unit.n_planned

    def add(self, outcome: Outcome, units: list[Unit]) -> Shard | None:
        """Take an Outcome; the shard of its Unit once all its rows are answered."""
        part = decode(outcome.payload) if outcome.payload is not None else _dead_row(outcome, self._extra)
        unit = self._units[outcome.batch]
        part.unit = unit
        self._rows[outcome.batch] -= outcome.n_rows
        if not self._rows[outcome.batch]:
            del self._rows[outcome.batch], self._units[outcome.batch]
        parts = self._parts.setdefault(unit, [])
        parts.append((outcome.batch, outcome.first, part))
        self._answered[unit] = self._answered.get(unit, 0) + outcome.n_rows
        if self._answered[unit] < units[unit].n_planned:
            return None
        del self._answered[unit]
        parts = sorted(self._parts.pop(unit), key=itemgetter(0, 1))
        # By batches first: one that was run row by row counts as it would have whole (see scanner.stats).
        return join([join([shard for _, _, shard in batch]) for _, batch in groupby(parts, itemgetter(0))])


class Outputs:
    """``records.parquet``, ``members.parquet`` and ``stats.json`` as they grow, in plan order.

    Those of a part of a plan begin with its row ``first_row``.
    """

    def __init__(self, folder: Folder, schema: pa.Schema = SCHEMA, *, first_row: int = 0) -> None:
        self._folder = folder
        records = folder.stage("records.parquet")
        self._ids = DistinctIds(records.parent)
        self._records = RecordsWriter(records, schema, tap=self._ids.add, tapped=ID_COLUMNS, first_row=first_row)
        self._members = members_writer(folder.stage(MEMBERS), first_row=first_row)
        self._stats = Stats()
        self._skipped = 0
        self.next_unit = 0
        self.held: dict[int, Shard] = {}
        self.digests: dict[str, str] = {}
        """xxh3-128 hex of the two tables, once they are in place."""

    def hold(self, shards: dict[int, Shard]) -> None:
        """Keep shards that may have to wait for earlier ones; too many are left to the disk."""
        if len(self.held) < AHEAD_SHARDS:
            self.held.update(shards)

    def append(self, shard: Shard) -> None:
        """Take the next shard in plan order."""
        self.count(shard)
        self.write(shard.records, shard.members, 0, shard.n_records)

    def count(self, shard: Shard) -> None:
        """Take what the next shard says of its rows in sum; the rows come by themselves."""
        self._stats.merge(shard.stats)
        self._skipped += shard.counters.skipped
        self.next_unit += 1

    def write(self, records: memoryview, members: memoryview, start: int, n_rows: int) -> None:
        """Take the next rows: ``n_rows`` of what a shard has, from ``start`` on. It is decoded in a thread.

        Only the encoded columns are held meanwhile: the statistics of a shard may be as large, and shards as small as
        a row.
        """
        self._records.write_from(partial(from_ipc, records), n_rows, start)
        self._members.write_from(partial(from_ipc, members), n_rows, start)

    @property
    def lacking_rows(self) -> int:
        """Rows until the next row group begins; those of a whole one where it does here."""
        return self._records.lacking_rows

    @property
    def is_between(self) -> bool:
        """Whether a whole row group begins here."""
        return self._records.is_between

    def take(self, records: RowGroup, members: RowGroup) -> None:
        """Take the next rows as row groups of the tables of another Run. Raises ValueError where none begins here."""
        self._records.take(records)
        self._members.take(members)

    def settle(self) -> None:
        """Wait until the row groups that were taken have been read."""
        self._records.settle()
        self._members.settle()

    def close(self) -> None:
        """Put the files in place: all that can fail for want of space is done before the first one is."""
        self._records.seal()
        self._members.seal()
        distinct = self._ids.count()
        self._records.close()
        self._members.close()
        for name in TABLES:
            self.digests[name] = digest_of(self._folder.stage(name))
            self._folder.publish(name)
        write_json(self._folder, "stats.json", StatsFile.of(self._stats, distinct))

    def discard(self) -> None:
        """Leave nothing behind of what is not whole."""
        self._records.discard()
        self._members.discard()
        self._ids.discard()

    @staticmethod
    def empty_account(planned: int, uncounted_files: int = 0) -> Account:
        """Where the planned rows are before the first one."""
        return Account(planned, 0, 0, 0, 0, planned, uncounted_files)

    def account(self, planned: int, uncounted_files: int = 0) -> Account:
        """Where the planned rows are."""
        status = self._stats.total().status
        ok, degraded, failed = (status.get(name, 0) for name in ("ok", "degraded", "failed"))
        not_reached = planned - ok - degraded - failed - self._skipped
        return Account(planned, ok, degraded, failed, self._skipped, not_reached, uncounted_files)


def _dead_row(outcome: Outcome, extra: Sequence[pa.Field]) -> Shard:
    """The part of a row that killed its worker: a failed Record, made here; null in the ``extra`` columns."""
    assert outcome.packed is not None
    assert outcome.death is not None
    (blob,) = Batch.unpack(outcome.packed)
    reading = failed_reading(blob, [Fault("worker-died", detail=outcome.death.cause)])
    rows = Readings.of_blobs([blob], [reading])
    stats, members = Stats(), MemberLists()
    stats.add(rows)
    members.add(rows)
    counters = Counters(rows=1, blob_bytes=reading.compressed_size)
    records = to_arrow(rows, extra, [(None,)] * len(extra))
    return Shard(SCHEMA_VERSION, 0, "", 1, to_ipc(records), to_ipc(members.to_arrow()), stats, counters)


def write_json(folder: Folder, name: str, content: Any) -> None:
    """Write ``content`` as indented JSON, whole or not at all."""
    data = msgspec.json.format(msgspec.json.encode(content), indent=1)
    folder.write(name, _UNSEEN.sub(_escaped, data) + b"\n")


_UNSEEN: Final = re.compile(rb"\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xaa-\xae]|\xe2\x81[\xa6-\xa9]")
"""C1 controls and what turns the direction of text, in UTF-8: JSON allows them as they are, a terminal acts on them."""


def _escaped(character: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(character[0].decode())
