"""Work in processes on this machine: a single-threaded loop between a bounded queue and workers that may die.

::

    batches --put--> ring of slots (shared memory)  ==read in place==>  worker
                     lane: one a worker             --- ticket ------>  (child.py)
    Outcomes <------ loop                           <-- reply ---------

The loop waits on every worker's link and on every worker's sentinel at once, without a timeout: whatever can happen to
a worker makes one of them readable. Replies go before new batches. No free slot means that the producer waits: a
:class:`Batch` is asked for only when there is room for it.

A worker that somebody has stopped (SIGSTOP) keeps what it holds, and is waited for at the end; the others go on.
"""

from __future__ import annotations

import contextlib
import selectors
import time
from collections.abc import Callable, Generator, Iterator
from typing import Final

import dill

from scanner.batch import Batch
from scanner.engines import Outcome, Work, forkserver
from scanner.engines.lane import Lane, Terms
from scanner.engines.limits import need_descriptors
from scanner.engines.ring import SLOT_BYTES
from scanner.engines.tally import Tally
from scanner.errors import EngineError
from scanner.interrupts import sigint_blocked
from scanner.options import MIB

LANE_DESCRIPTORS: Final = 24
"""More than a worker's start takes, here and in the forkserver, which has fewer open and the same limit."""


class ProcessEngine:
    """Up to ``workers`` processes, started as batches come, that live until the run ends.

    Args:
        workers: how many processes work at a time.
        slot_bytes: size of one slot of the queue; a larger batch makes its slot grow while it is held.
        slots_per_worker: batches a worker holds at most, the one in work included.
        memory_bytes: private memory of a worker; None for no limit. Allocating beyond it fails, and kills the row.
        row_seconds: processor time (and ten times as much wall time) in which a worker must make progress, see
            :func:`scanner.engines.limits.progress`; None for no limit. Should exceed what the work allows itself.
        preload: modules that all workers share, imported once. They must do nothing when imported.
    """

    name = "processes"

    def __init__(
        self,
        workers: int,
        *,
        slot_bytes: int = SLOT_BYTES,
        slots_per_worker: int = 2,
        memory_bytes: int | None = 2048 * MIB,
        row_seconds: float | None = 120.0,
        preload: tuple[str, ...] = (),
    ) -> None:
        if workers < 1 or slots_per_worker < 1:
            raise ValueError("an engine needs at least one worker and one slot")
        self.workers = workers
        self.tally = Tally()
        self._terms = Terms(b"", slots_per_worker, slot_bytes, memory_bytes, row_seconds, preload)

    def run(self, batches: Iterator[Batch], make_work: Callable[[], Work]) -> Generator[Outcome, None, None]:
        """See :meth:`scanner.engines.Engine.run`. Close the iterator (``contextlib.closing``) to end early."""
        terms = self._terms._replace(make_work=_dilled(make_work))
        with contextlib.suppress(OSError):  # the first worker's start will say it better
            forkserver.warm_up(terms.preload)
        lanes: list[Lane] = []
        selector = selectors.DefaultSelector()
        try:
            yield from self._pump(batches, terms, lanes, selector)
        finally:
            with sigint_blocked():
                for lane in lanes:
                    lane.kill()
                for lane in lanes:
                    lane.close()
                selector.close()

    def _pump(
        self, batches: Iterator[Batch], terms: Terms, lanes: list[Lane], selector: selectors.BaseSelector
    ) -> Iterator[Outcome]:
        numbered = enumerate(batches)
        has_more = True
        while True:
            lane = self._lane_with_room(terms, lanes, selector) if has_more else None
            if lane is None and all(lane.is_idle for lane in lanes):
                return
            for key, _ in self._wait(selector, may_block=lane is None, is_pressed=has_more):
                yield from key.data()
            if lane is not None:
                has_more = False
                for number, batch in numbered:
                    lane.accept(number, batch)
                    has_more = True
                    break

    def _wait(
        self, selector: selectors.BaseSelector, *, may_block: bool, is_pressed: bool
    ) -> list[tuple[selectors.SelectorKey, int]]:
        if not (may_block and is_pressed):
            return selector.select(None if may_block else 0)
        start = time.perf_counter()
        ready = selector.select()
        self.tally.waits += 1
        self.tally.wait_seconds += time.perf_counter() - start
        return ready

    def _lane_with_room(self, terms: Terms, lanes: list[Lane], selector: selectors.BaseSelector) -> Lane | None:
        """The emptiest lane; a new one rather than a second batch for a worker that is busy."""
        best = max(lanes, key=lambda lane: lane.n_free, default=None)
        if best is not None and best.is_idle:
            return best
        if len(lanes) < self.workers:
            try:
                need_descriptors(LANE_DESCRIPTORS)
                lanes.append(Lane(terms, self.tally, selector))
            except OSError as error:
                n_workers = f"{len(lanes) + 1} workers" if lanes else "a worker"
                hint = "; ask for fewer" if lanes else ""
                raise EngineError(f"No room for {n_workers}: {error.strerror or error}{hint}.") from error
            return lanes[-1]
        return best if best is not None and best.n_free else None


def _dilled(make_work: Callable[[], Work]) -> bytes:
    try:
        data: bytes = dill.dumps(make_work, recurse=True)
    except Exception as error:
        raise EngineError(f"The work cannot be sent to workers: {error}") from error
    return data
