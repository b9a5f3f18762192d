"""Rows that match a condition, found by scanning them: the first ones in this process, the others on every core.

Most searches end within the first rows, and workers take half a second to start, so they are started only when the
first Units did not give enough. What workers find is handed on in plan order, whoever is done first: the hits are those
of one process. Whoever has enough closes the iterator, which ends the workers.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Final, cast

import msgspec

from scanner.api import open_engine
from scanner.batch import Batch
from scanner.engines import Engine, Outcome
from scanner.errors import SourceError
from scanner.explore.find import Hit
from scanner.explore.seek import Place, Rows
from scanner.explore.where import Where
from scanner.model import Blob, Fault, Reading, Record, source_of
from scanner.options import Limits, Options
from scanner.probe import Probe, failed_reading
from scanner.readings import Readings
from scanner.records import SCHEMA, to_arrow

FIRST_UNITS: Final = 2
"""Units that are scanned in this process before workers are started: some 6 MiB of blobs."""

_PIECE_ROWS: Final = 64
"""Rows that are scanned here before the condition is asked: the first hit of many is there at once."""

_HELD_BYTES: Final = 64 << 20
"""Blobs of hits that wait for earlier rows are kept up to this size; others are read again by whoever wants them."""


def find_by_scanning(
    rows: Rows, expression: str, limits: Limits, *, source_filter: str | None = None, workers: int | None = None
) -> Generator[Hit, None, None]:
    """Rows of a source that match, in plan order, scanned as far as the iterator is asked to go.

    Args:
        rows: The rows.
        expression: SQL over the record columns; see :class:`scanner.explore.where.Where`.
        limits: Bounds on one row.
        source_filter: Regular expression that a row's source has to match.
        workers: Processes that go on where the first rows did not suffice; None: one for each core, 0: none.

    Raises:
        UsageError: The expression is wrong, or ``workers`` negative; raised before anything is read.
        SourceError: A file cannot be read; raised after the hits before it.
    """
    Where(expression, SCHEMA)
    engine = cast("Engine", open_engine(Options(limits=limits, workers=workers)))  # remote ones have to be asked for
    return _found(rows, partial(_Condition, expression, limits, source_filter), engine)


def _found(rows: Rows, make_condition: partial[_Condition], engine: Engine) -> Generator[Hit, None, None]:
    units = rows.plan.units
    n_here = FIRST_UNITS if engine.workers else len(units)
    condition = make_condition()
    for batch in rows.batches(range(n_here)):
        blobs = list(batch)
        for at in range(0, len(blobs), _PIECE_ROWS):
            for position, record in condition(blobs[at : at + _PIECE_ROWS]):
                yield _hit(rows, record, blobs[at + position])
    if n_here < len(units):
        reading = _Reading(rows, n_here)
        with closing(engine.run(iter(reading), partial(_SearchWork, make_condition))) as outcomes:
            yield from _in_order(rows, reading, outcomes, condition)
        if reading.error is not None:
            raise reading.error


def _hit(rows: Rows, record: Record, blob: Blob | None) -> Hit:
    return Hit(rows.number_of(Place(record.file, record.row)), record, blob)


class _Condition:
    """Scans rows and keeps those that match."""

    def __init__(self, expression: str, limits: Limits, source_filter: str | None) -> None:
        self._probe = Probe(limits)
        self._where = Where(expression, SCHEMA)
        self._filter = re.compile(source_filter) if source_filter is not None else None

    def __call__(self, blobs: Sequence[Blob]) -> list[tuple[int, Record]]:
        """Position, ascending, and Record of each of ``blobs`` that matches."""
        positions: Sequence[int] = range(len(blobs))
        if self._filter is not None:
            wanted = self._filter.search
            positions = [at for at, blob in enumerate(blobs) if wanted(source_of(blob.file, blob.path))]
        asked = [blobs[at] for at in positions]
        readings = list(map(self._probe.read, asked))
        matches = self._where.matches(to_arrow(Readings.of_blobs(asked, readings)))
        return [(positions[at], readings[at].record(asked[at])) for at in matches]

    def holds(self, blob: Blob, reading: Reading) -> bool:
        """Whether a row matches that was not scanned here, and that the filter let pass."""
        return bool(self._where.matches(to_arrow(Readings.of_blobs([blob], [reading]))))


# -- in workers -------------------------------------------------------------------------------------------------------


class _Match(msgspec.Struct, array_like=True):
    """A row that matches, as it travels from a worker."""

    record: Record
    packed: bytes | None
    """The row as a packed Batch of its own; None where it was let go of."""


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(list[_Match])


class _SearchWork:
    """What a worker does with a packed Batch: see :data:`scanner.engines.Work`."""

    def __init__(self, make_condition: partial[_Condition]) -> None:
        self._condition = make_condition()

    def __call__(self, packed: memoryview) -> bytes:
        batch = Batch.unpack(packed)
        found = self._condition(list(batch))
        return _ENCODER.encode([_Match(record, bytes(batch.single(at).pack())) for at, record in found])


class _Reading:
    """The batches of the Units from ``first`` on, noted as the engine takes them. A file that breaks ends them."""

    def __init__(self, rows: Rows, first: int) -> None:
        self._rows = rows
        self._first = first
        self.n_rows: list[int] = []
        """Of each batch that was read."""
        self.error: SourceError | None = None

    def __iter__(self) -> Iterator[Batch]:
        try:
            for batch in self._rows.borrowed(range(self._first, len(self._rows.plan.units))):
                self.n_rows.append(len(batch))
                yield batch
        except SourceError as error:  # raised when the hits before it are told, as in one process
            self.error = error


def _in_order(
    rows: Rows, reading: _Reading, outcomes: Iterator[Outcome], condition: _Condition
) -> Generator[Hit, None, None]:
    """The hits of all batches, in the order the batches were read."""
    answers: dict[int, list[tuple[int, list[_Match]]]] = {}
    answered: dict[int, int] = {}
    held_bytes = next_batch = 0
    for outcome in outcomes:
        matches = _matches(outcome, condition)
        held_bytes += _shed(matches, held_bytes)
        answers.setdefault(outcome.batch, []).append((outcome.first, matches))
        answered[outcome.batch] = answered.get(outcome.batch, 0) + outcome.n_rows
        while next_batch in answered and answered[next_batch] == reading.n_rows[next_batch]:
            for _, each in sorted(answers.pop(next_batch), key=lambda answer: answer[0]):
                held_bytes -= _bytes_of(each)
                for match in each:
                    yield _hit(rows, match.record, _blob(match))
            del answered[next_batch]
            next_batch += 1


def _matches(outcome: Outcome, condition: _Condition) -> list[_Match]:
    if outcome.payload is not None:
        return _DECODER.decode(outcome.payload)
    assert outcome.packed is not None
    assert outcome.death is not None
    (blob,) = Batch.unpack(outcome.packed)  # the row killed its worker: a failed record, as in a scan
    reading = failed_reading(blob, [Fault("worker-died", detail=outcome.death.cause)])
    return [_Match(reading.record(blob), bytes(outcome.packed))] if condition.holds(blob, reading) else []


def _shed(matches: list[_Match], held_bytes: int) -> int:
    """Let go of blobs where too many are held; the bytes of those that are kept."""
    if held_bytes + _bytes_of(matches) > _HELD_BYTES:
        for match in matches:
            match.packed = None
    return _bytes_of(matches)


def _bytes_of(matches: list[_Match]) -> int:
    return sum(len(match.packed) for match in matches if match.packed is not None)


def _blob(match: _Match) -> Blob | None:
    return next(iter(Batch.unpack(match.packed))) if match.packed is not None else None
