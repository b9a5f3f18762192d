"""Where the work runs. An engine moves Batches to workers and brings back what they made of them.

Engines know nothing of archives: the work is a callable from a packed Batch (see :mod:`scanner.batch`) to bytes.
:mod:`scanner.engines.serial` is the specification; every other engine must yield the same Outcomes, in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from scanner.batch import Batch
from scanner.engines.tally import Tally
from scanner.model import Unit

Work: TypeAlias = Callable[[memoryview], bytes]
"""Runs in a worker, once per batch: packed batch in, result out. Must not keep the view."""


class Death(NamedTuple):
    """Why a worker died on a row, in words for the record: ``signal 11 (SIGSEGV)``, ``memory limit of 2,048 MiB``."""

    cause: str


class Outcome(NamedTuple):
    """What became of rows ``first .. first + n_rows`` (positions within the batch) of one batch.

    Every batch is answered by Outcomes that cover each of its positions exactly once: one for the whole batch, or,
    after a death, one per row. ``payload`` is the work's result; None with ``death`` where the row killed its worker.
    """

    batch: int
    """Number of the batch, counting from 0 in the order the engine took them."""
    first: int
    n_rows: int
    payload: bytes | None
    death: Death | None = None
    packed: bytes | bytearray | None = None
    """With ``death``: the row as a packed Batch of its own, so that the caller can say which row it was."""


Unreadable: TypeAlias = Callable[[str, int, str], None]
"""Called with (file, first Unit that cannot be read, reason in a sentence)."""


class Portion(Protocol):
    """Some Units of a source that can be read anywhere: it is pickled and travels to where the work is."""

    @property
    def units(self) -> Sequence[Unit]:
        """In plan order."""

    @property
    def credentials(self) -> str | None:
        """What lets its reader in, where it was made. It stays out of the pickle, which may be written to a disk."""

    def read(self, unreadable: Unreadable, credentials: str | None = None) -> Iterator[Batch]:
        """Batches of its Units, each within one Unit, covering its rows once, in order."""

    def halves(self) -> Sequence[Portion]:
        """The same Units in two portions (or one, where it is one Unit)."""


class Engine(Protocol):
    """A way to run work over batches."""

    name: str
    workers: int
    """Processes that work at a time; 0: this one."""

    @property
    def tally(self) -> Tally:
        """What it counted so far (batches, bytes copied, waits, deaths), for ``run.json``."""

    def run(self, batches: Iterator[Batch], make_work: Callable[[], Work]) -> Generator[Outcome, None, None]:
        """Run ``make_work()`` (called once in each worker) over all ``batches``; Outcomes as they come.

        ``batches`` is consumed only as fast as workers keep up: a Batch's buffers need to live only until the next
        one is asked for. Raises :class:`scanner.EngineError` when workers cannot start or die without progress.
        Closing the iterator (or an exception in the consumer) ends all workers and frees all shared memory.
        """


class RemoteEngine(Protocol):
    """A way to run work where the rows are read, so that blobs do not pass through this process."""

    name: str

    @property
    def workers(self) -> int:
        """Portions that are worked on at a time."""

    @property
    def tally(self) -> Tally:
        """See :class:`Engine`."""

    def run_portions(
        self, portions: Iterator[Portion], make_work: Callable[[], Work], unreadable: Unreadable
    ) -> Generator[Outcome, None, None]:
        """Run the work over all portions, wherever; Outcomes as they come.

        As :meth:`Engine.run`, but that a Unit counts as one batch of all its rows: ``Outcome.batch`` is the Unit's
        index, ``Outcome.first`` a position within the Unit. What cannot be read is told to ``unreadable`` and left out.
        """

    def close(self) -> None:
        """Leave what was connected to; a scan that ends before its first portion does it, too."""
