"""One seat for a worker: its ring, its link, and what it has not answered yet. The worker may die; the lane stays.

Of a dead worker three things are known: its replies sent before death (still in the socket), the ticket it was at (its
pulse), and its batches (still in their slots). So nothing but the batch in work is suspect: that is run again row by
row in a new worker, and a row that kills alone, and again, is answered with a Death. All else simply goes to the new
worker. What looks like a kill from outside is given the benefit of the doubt, so that it costs time and nothing more.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
from collections import deque
from typing import Any, Final, NamedTuple

from scanner.batch import Batch
from scanner.engines import Death, Outcome, causes, forkserver
from scanner.engines.child import DONE, READY, REPLY, TICKET, UNFIT, Inherited, Outfit, main
from scanner.engines.jobs import FORKSERVER_DIED, FROM_OUTSIDE, Held, Job
from scanner.engines.ring import PULSE_BYTES, Pulse, Ring, open_segment
from scanner.engines.tally import Tally
from scanner.errors import EngineError

CREDIT: Final = 8
"""Tickets on their way to a worker. Few enough that sending one can never block, whatever the socket's buffer."""

HOPELESS: Final = 5
"""Deaths in a row, on one lane, while nothing was in work there and no lane had an outcome. (A death in work is no
cause for despair: it narrows the search for the row.)"""

READ_BYTES: Final = 256 * 1024


class Terms(NamedTuple):
    """What all lanes of a run are given."""

    make_work: bytes
    """Dilled."""
    slots: int
    slot_bytes: int
    memory_bytes: int | None
    row_seconds: float | None
    preload: tuple[str, ...]


class Lane:
    """A ring and its worker, driven by ``selector``.

    Whose key of the link or of the worker's sentinel becomes readable calls the key's data, which returns the Outcomes
    at hand.
    """

    def __init__(self, terms: Terms, tally: Tally, selector: selectors.BaseSelector) -> None:
        self._terms = terms
        self._tally = tally
        self._selector = selector
        self._todo: deque[Job] = deque()
        self._sent: deque[Job] = deque()
        self._inbox = bytearray()
        self._process: Any = None
        self._link: Any = None
        self._serial = 0
        self._fruitless_deaths = 0
        self._outcomes_before = 0
        self._ring = Ring(terms.slots, terms.slot_bytes, tally)
        with contextlib.ExitStack() as unless_complete:
            unless_complete.callback(self._ring.close)
            self._pulse_fd = open_segment(PULSE_BYTES)
            unless_complete.callback(os.close, self._pulse_fd)
            self._pulse = Pulse(self._pulse_fd)
            unless_complete.pop_all()

    @property
    def n_free(self) -> int:
        """Slots that :meth:`accept` can fill."""
        return self._ring.n_free

    @property
    def is_idle(self) -> bool:
        """Whether it holds no batch."""
        return self._ring.n_free == self._terms.slots

    def accept(self, number: int, batch: Batch) -> None:
        """Copy the batch into a free slot and hand it to the worker, which is started when there is none."""
        slot, size = self._ring.put(batch)
        self._todo.append(Job(Held(number, slot, size, len(batch))))
        if self._process is None:
            self._start()
        self._send()

    def kill(self) -> None:
        """Have the worker end now, whatever it is at, without waiting for it."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """Wait for the worker that was killed, and free everything."""
        if self._process is not None:
            self._dismiss()
        self._pulse.close()
        os.close(self._pulse_fd)
        self._ring.close()

    def _start(self) -> None:
        """Start a worker, if need be several times."""
        while self._process is None:
            try:
                self._process, self._link = self._launch()
            except (OSError, EOFError) as error:
                self._despair(f"cannot be started: {error!r}")
        self._tally.workers_started += 1
        self._selector.register(self._link, selectors.EVENT_READ, self._on_reply)
        self._selector.register(self._process.sentinel, selectors.EVENT_READ, self._on_death)

    def _launch(self) -> tuple[Any, socket.socket]:
        """A new worker and our end of its link."""
        self._pulse.ticket = 0
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as unless_started:
            unless_started.callback(ours.close)
            process = forkserver.start(main, (self._outfit(theirs),), "scanner-worker", self._terms.preload)
            unless_started.pop_all()
        ours.setblocking(False)
        return process, ours

    def _outfit(self, link: socket.socket) -> Outfit:
        return Outfit(
            link=Inherited(link.fileno()),
            pulse=Inherited(self._pulse_fd),
            slots=tuple(Inherited(slot.fd) for slot in self._ring.slots),
            slot_bytes=self._terms.slot_bytes,
            make_work=self._terms.make_work,
            memory_bytes=self._terms.memory_bytes,
            row_seconds=self._terms.row_seconds,
        )

    def _send(self) -> None:
        """Keep the worker in tickets. Runs once a batch."""
        while self._todo and len(self._sent) < CREDIT:
            job = self._todo.popleft()
            self._serial += 1
            job.serial = self._serial
            self._sent.append(job)
            with contextlib.suppress(ConnectionError):  # it died just now: the sentinel will tell
                self._link.send(TICKET.pack(job.serial, job.held.slot, job.held.size, job.row))

    def _on_reply(self) -> list[Outcome]:
        """Take what the link has to give. Runs once or a few times a batch."""
        if self._link is None:  # a key that was ready together with the sentinel, which came first
            return []
        if self._receive() == b"":  # it hung up, so it is ending; make sure, and leave the rest to the sentinel
            self._selector.unregister(self._link)
            self._process.kill()
        outcomes = self._answers()
        self._send()
        return outcomes

    def _receive(self) -> bytes | None:
        """A piece of the reply stream, empty at its end; None when there is nothing yet."""
        try:
            data: bytes = self._link.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except ConnectionError:  # it died with tickets unread
            return b""
        self._inbox += data
        return data

    def _answers(self) -> list[Outcome]:
        """What the complete replies of the inbox mean."""
        outcomes: list[Outcome] = []
        inbox = self._inbox
        while len(inbox) >= REPLY.size:
            kind, size = REPLY.unpack_from(inbox)
            end = REPLY.size + size
            if len(inbox) < end:
                break
            with memoryview(inbox) as view:
                payload = bytes(view[REPLY.size : end])
            del inbox[:end]
            outcomes += self._answer(kind, payload)
        return outcomes

    def _answer(self, kind: int, payload: bytes) -> list[Outcome]:
        if kind == UNFIT:
            raise EngineError(f"The work cannot be set up in a worker: {payload.decode(errors='replace')}")
        if kind == READY:
            return []
        job = self._sent.popleft()
        if kind == DONE:
            return [self._settle(job, payload)]
        return self._blame(job, payload.decode(errors="replace"))

    def _settle(self, job: Job, payload: bytes | None, death: Death | None = None) -> Outcome:
        """The answer for the rows of ``job``; its slot is free when that was the last of them."""
        held = job.held
        first, n_rows = job.span
        packed = None
        if death is not None:
            batch = self._ring.slots[held.slot].read(held.size)
            packed = (batch.single(first) if n_rows else batch).pack()
            del batch  # its views would keep the slot from shrinking
        held.n_left -= n_rows
        if held.n_left == 0:
            self._ring.free(held.slot)
        self._tally.outcomes += 1
        return Outcome(held.number, first, n_rows, payload, death, packed)

    def _judge(self, job: Job, code: int, cause: str) -> list[Outcome]:
        """A worker ended with ``code`` while it was at ``job``: try that again, or blame it."""
        if job.is_to_blame(code):
            return self._blame(job, cause)
        if code in FROM_OUTSIDE:  # to the end: it shall not be the one in work each time that somebody kills
            self._todo.append(job)
        else:  # first thing in a fresh worker
            self._todo.appendleft(job)
        return []

    def _blame(self, job: Job, cause: str) -> list[Outcome]:
        """The cause lies in ``job``: it is the answer for a lone row; the rows of a batch are run one by one."""
        if job.is_lone:
            return [self._settle(job, None, Death(cause))]
        self._todo.extendleft(reversed(job.singles()))
        return []

    def _on_death(self) -> list[Outcome]:
        """The worker has ended: hear what it said before, judge what it was at, and give the rest to the next."""
        outcomes: list[Outcome] = []
        while self._receive():
            outcomes += self._answers()
        code = self._process.exitcode
        cause = causes.of_exit(code, self._terms.memory_bytes, self._terms.row_seconds)
        at = self._pulse.ticket
        self._dismiss()
        self._tally.worker_deaths += 1
        self._todo.extendleft(reversed(self._sent))
        self._sent.clear()
        if at and self._todo and self._todo[0].serial == at:  # 0: it was at nothing, and is of jobs not sent yet
            outcomes += self._judge(self._todo.popleft(), code, cause)
        else:
            self._despair(cause)
        if self._todo:
            self._start()
            self._send()
        return outcomes

    def _despair(self, cause: str) -> None:
        if self._tally.outcomes != self._outcomes_before:
            self._outcomes_before = self._tally.outcomes
            self._fruitless_deaths = 0
        self._fruitless_deaths += 1
        if self._fruitless_deaths >= HOPELESS:
            raise EngineError(
                f"Workers end again and again without a result, {HOPELESS} times in a row; the last one: {cause}."
            )

    def _dismiss(self) -> None:
        """Be rid of a worker that has ended or was told to."""
        process, link = self._process, self._link
        self._tally.peak_worker_bytes = max(self._tally.peak_worker_bytes, self._pulse.peak_bytes)
        self._process = self._link = None
        with contextlib.suppress(KeyError):
            self._selector.unregister(link)
        self._selector.unregister(process.sentinel)
        process.join()
        if process.exitcode == FORKSERVER_DIED:  # then nobody knows whether it ended
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        process.close()
        link.close()
        self._inbox.clear()
