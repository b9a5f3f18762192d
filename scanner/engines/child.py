"""Inside a worker process: take a ticket, run the work on the slot it names, answer, until the parent hangs up.

The link is a stream socket. Down it come tickets of 32 bytes, so the parent can never block on a full buffer; up go
replies, a header and its payload, in the order of the tickets.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import struct
import traceback
from pathlib import Path
from typing import Any, Final, NamedTuple

import dill
from multiprocess import parent_process, reduction

from scanner.batch import Batch
from scanner.engines import Work, causes, limits
from scanner.engines.ring import Pulse, Window

TICKET: Final = struct.Struct("<qqqq")
"""serial number (from 1), slot, packed size in bytes, row (:data:`WHOLE` or a position within the batch)."""
REPLY: Final = struct.Struct("<qq")
"""kind, size of the payload in bytes."""
WHOLE: Final = -1

READY, DONE, RAISED, UNFIT = range(4)
"""Kinds of reply: the work is made; a result; the work raised (its cause follows); the work cannot be made (why)."""


class Inherited:
    """A descriptor on its way into a worker: pickles only while one is being started, arrives as an int."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrive, (reduction.DupFd(self._fd),)


def _arrive(duplicate: Any) -> Any:
    return duplicate.detach()


def _keep_descriptors() -> None:
    """Let nothing that the work may execute inherit ours: what came through a socket is not closed on exec yet."""
    for path in Path("/dev/fd").iterdir():
        if int(path.name) > 2:
            with contextlib.suppress(OSError):  # the one that listed them
                os.set_inheritable(int(path.name), False)


class Outfit(NamedTuple):
    """All that a worker is given. Descriptors are :class:`Inherited` when sent and ints when they arrive."""

    link: Any
    pulse: Any
    slots: tuple[Any, ...]
    slot_bytes: int
    make_work: bytes
    """Dilled."""
    memory_bytes: int | None
    row_seconds: float | None


def main(outfit: Outfit) -> None:
    """Run one worker to its end. Never returns to its caller's cleanup, which could wait for threads of the work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole terminal; the parent decides
    limits.die_with_parent(parent_process().sentinel)
    limits.die_first()
    _keep_descriptors()
    link = socket.socket(fileno=outfit.link)
    try:
        work: Work = dill.loads(outfit.make_work)()  # noqa: S301 - our parent's, over a pipe of ours
    except causes.RAISED:
        _reply(link, UNFIT, traceback.format_exc(limit=-3).strip().encode())
        os._exit(1)
    _reply(link, READY, b"")
    gc.freeze()  # what exists now stays: no collection looks at it again, no page of it is copied
    if outfit.memory_bytes is not None:
        limits.limit_memory(outfit.memory_bytes)
    if outfit.row_seconds is not None:
        limits.watch_rows(outfit.row_seconds)
    _serve(link, Pulse(outfit.pulse), [Window(fd, outfit.slot_bytes) for fd in outfit.slots], work)
    os._exit(0)


def _serve(link: socket.socket, pulse: Pulse, windows: list[Window], work: Work) -> None:
    """Answer tickets until the link closes. Runs once a batch: 32 bytes in, one header and one payload out."""
    while ticket := link.recv(TICKET.size, socket.MSG_WAITALL):
        serial, slot, size, row = TICKET.unpack(ticket)
        pulse.ticket = serial
        limits.start_watch()
        try:
            kind, payload = DONE, _run(work, windows[slot].view(size), row)
        except MemoryError:
            os._exit(causes.OUT_OF_MEMORY_EXIT)
        except causes.RAISED as error:
            kind, payload = RAISED, memoryview(causes.of_exception(error).encode("utf-8", "backslashreplace"))
        limits.stop_watch()
        pulse.ticket = 0
        pulse.peak_bytes = limits.peak_memory()
        windows[slot].settle()
        _reply(link, kind, payload)


def _run(work: Work, packed: memoryview, row: int) -> memoryview:
    if row != WHOLE:
        packed = memoryview(Batch.unpack(packed).single(row).pack()).toreadonly()
    return memoryview(work(packed))


def _reply(link: socket.socket, kind: int, payload: bytes | memoryview) -> None:
    try:
        link.sendall(REPLY.pack(kind, len(payload)))
        link.sendall(payload)
    except OSError:  # the parent hung up
        os._exit(0)
