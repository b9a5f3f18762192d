"""Work in this process, one batch after the other: what every other engine must equal."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

from scanner.batch import Batch
from scanner.engines import Death, Outcome, Work
from scanner.engines.causes import RAISED, of_exception
from scanner.engines.tally import Tally


class SerialEngine:
    """The specification. It cannot outlive a row that kills its process, and it limits neither memory nor time."""

    name = "serial"
    workers = 0

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.tally = Tally()

    def run(self, batches: Iterator[Batch], make_work: Callable[[], Work]) -> Generator[Outcome, None, None]:
        """See :meth:`scanner.engines.Engine.run`."""
        work = make_work()
        for number, batch in enumerate(batches):
            self.tally.batches += 1
            self.tally.bytes_copied += batch.blob_ends[-1] if len(batch) else 0
            for outcome in _outcomes(number, len(batch), self._pack(batch), work):
                self.tally.outcomes += 1
                yield outcome

    def _pack(self, batch: Batch) -> memoryview:
        size = batch.packed_size
        if size > len(self._buffer):
            self._buffer = bytearray(size)
        view = memoryview(self._buffer)
        batch.pack_into(view)
        return view[:size].toreadonly()


def _outcomes(number: int, n_rows: int, packed: memoryview, work: Work) -> Iterator[Outcome]:
    try:
        whole = work(packed)
    except RAISED as error:  # a bug of the work: find the row it is about
        if n_rows == 0:
            yield Outcome(number, 0, 0, None, Death(of_exception(error)), bytes(packed))
    else:
        yield Outcome(number, 0, n_rows, whole)
        return
    batch = Batch.unpack(packed)
    for row in range(n_rows):
        yield _single(number, row, batch.single(row).pack(), work)


def _single(number: int, row: int, packed: bytearray, work: Work) -> Outcome:
    try:
        return Outcome(number, row, 1, work(memoryview(packed).toreadonly()))
    except RAISED as error:
        return Outcome(number, row, 1, None, Death(of_exception(error)), packed)
