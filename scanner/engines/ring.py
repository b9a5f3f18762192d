"""The bounded queue: slots of shared memory that the producer fills and one worker reads in place.

Invariant: a slot is free, or it holds exactly one packed Batch from :meth:`Ring.put` until :meth:`Ring.free`, which the
engine calls when each of its rows is answered. A worker that dies takes nothing with it: its batches are still in their
slots and are run again from there, without asking the source twice.

Choosing the bound: two slots a worker keep it busy (one is read while the next is filled); more only hide a producer
that stutters, at ``slot_bytes`` each. Below 1 MiB the cost of a ticket shows, above 4 MiB the caches are missed.
``Tally.waits`` says how it works out: many waits mean that the workers are the bottleneck, which is as it should be;
hardly any mean that they starve.

Memory is bounded by slots times the larger of ``slot_bytes`` and the largest packed batch: a batch that does not fit
makes its slot grow for as long as it is held.

A slot is a memfd (an unlinked temporary file where there is none), never a name in ``/dev/shm``: no name, nothing to
leave behind when everybody is killed, and no resource tracker that unlinks what another process still uses.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from collections import deque

from scanner.batch import Batch
from scanner.engines.tally import Tally
from scanner.options import MIB

SLOT_BYTES = 4 * MIB
PULSE_BYTES = mmap.PAGESIZE


def open_segment(size_bytes: int) -> int:
    """Descriptor (closed on exec) of nameless shared memory of ``size_bytes`` zeros, which take no memory yet."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("scanner", os.MFD_CLOEXEC)
    else:  # macOS
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size_bytes)  # sparse: cannot fail for want of space
    return fd


class Slot:
    """The producer's side of one segment: mapped writable, grown for a batch that does not fit."""

    def __init__(self, slot_bytes: int) -> None:
        self.fd = open_segment(slot_bytes)
        self._slot_bytes = slot_bytes
        self._map()

    def _map(self) -> None:
        self._memory = mmap.mmap(self.fd, 0)
        self._view = memoryview(self._memory)

    def _unmap(self) -> None:
        self._view.release()
        self._memory.close()

    def _resize(self, size_bytes: int) -> None:
        self._unmap()
        os.ftruncate(self.fd, size_bytes)
        self._map()

    @property
    def capacity_bytes(self) -> int:
        """Bytes of shared memory that the slot may take now."""
        return len(self._view)

    def fill(self, batch: Batch) -> int:
        """Pack ``batch`` into the slot and return its packed size in bytes. The one copy of its blobs."""
        size = batch.packed_size
        if size > len(self._view):
            self._resize(size)
        return batch.pack_into(self._view)

    def read(self, size_bytes: int) -> Batch:
        """The batch that :meth:`fill` packed, as views that must be gone when the slot is emptied or closed."""
        return Batch.unpack(self._view[:size_bytes])

    def empty(self) -> None:
        """Give back what an oversized batch took. A slot of the usual size keeps its pages: they are warm."""
        if len(self._view) > self._slot_bytes:
            self._resize(self._slot_bytes)

    def close(self) -> None:
        """Unmap and close; the memory is gone once the worker's mapping is."""
        with contextlib.suppress(BufferError):  # views in the traceback of what made us close; unmapped with them
            self._unmap()
        os.close(self.fd)


class Ring:
    """The slots of one worker. It outlives the worker: the next one reads what the last one left."""

    def __init__(self, n_slots: int, slot_bytes: int, tally: Tally) -> None:
        self.slots: list[Slot] = []
        self._free: deque[int] = deque(range(n_slots))
        self._tally = tally
        try:
            for _ in range(n_slots):
                self.slots.append(Slot(slot_bytes))
        except OSError:
            self.close()
            raise

    @property
    def n_free(self) -> int:
        """Slots that :meth:`put` can take."""
        return len(self._free)

    def put(self, batch: Batch) -> tuple[int, int]:
        """Copy ``batch`` into a free slot and return the slot's index and the packed size in bytes.

        Raises IndexError when no slot is free: asking :attr:`n_free` first is the producer's back-pressure.
        """
        index = self._free.popleft()
        size = self.slots[index].fill(batch)
        self._tally.batches += 1
        self._tally.bytes_copied += batch.blob_ends[-1] if len(batch) else 0
        return index, size

    def free(self, index: int) -> None:
        """The batch in slot ``index`` is answered."""
        self.slots[index].empty()
        self._free.append(index)

    def close(self) -> None:
        """Free all shared memory."""
        for slot in self.slots:
            slot.close()
        self.slots.clear()


class Window:
    """The worker's side of one slot: mapped read-only, kept from batch to batch."""

    def __init__(self, fd: int, slot_bytes: int) -> None:
        self._fd = fd
        self._slot_bytes = slot_bytes
        self._memory: mmap.mmap | None = None

    def view(self, size_bytes: int) -> memoryview:
        """The first ``size_bytes`` of the slot, read-only; valid until :meth:`settle`."""
        if self._memory is None or len(self._memory) < size_bytes:
            self._drop()
            self._memory = mmap.mmap(self._fd, 0, access=mmap.ACCESS_READ)
        return memoryview(self._memory)[:size_bytes]

    def settle(self) -> None:
        """The batch is done. A mapping that an oversized batch made is dropped, for its pages are about to go."""
        if self._memory is not None and len(self._memory) > self._slot_bytes:
            self._drop()

    def _drop(self) -> None:
        if self._memory is not None:
            with contextlib.suppress(BufferError):  # a view is left in some cycle: unmapped when that is collected
                self._memory.close()
            self._memory = None


class Pulse:
    """Two shared words on how the worker is: written by the worker, read when it has ended.

    A store into memory costs nothing that a message would, and it is still there after SIGKILL. The segment behind
    ``fd`` has :data:`PULSE_BYTES`.
    """

    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, PULSE_BYTES)
        self._words = memoryview(self._memory).cast("q")

    @property
    def ticket(self) -> int:
        """Serial number of the ticket in work; 0 between tickets."""
        return self._words[0]

    @ticket.setter
    def ticket(self, serial: int) -> None:
        self._words[0] = serial

    @property
    def peak_bytes(self) -> int:
        """Largest resident memory so far."""
        return self._words[1]

    @peak_bytes.setter
    def peak_bytes(self, size_bytes: int) -> None:
        self._words[1] = size_bytes

    def close(self) -> None:
        """Unmap."""
        self._words.release()
        self._memory.close()
