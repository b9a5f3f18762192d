"""Blocks of remote files, fetched by several threads before they are needed, in bounded memory.

Threads take Blocks in the order they will be needed, across files, as long as what is held (being fetched, or fetched
and not read to the end) stays within the window. What the reader asks for is fetched in any case, so a wrong guess at
the order costs time and never a deadlock. Each byte is read once: a Block is let go when all that is wanted of it was.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from scanner.sources.ranges import BLOCK_BYTES, Block

CONNECTIONS: Final = 8
"""Requests under way at a time. A storage server gives each some 20 to 50 MB/s."""

SPARE_BLOCKS: Final = 4
"""Blocks that may wait to be read, besides one for each connection."""

Fetch = Callable[[str, int, int], bytearray]
"""Bytes ``start .. end`` of a file, by name."""


class _Slot:
    """A Block on its way: queued, being fetched, then with data or an error."""

    __slots__ = ("data", "end", "error", "left", "name", "start", "taken")

    def __init__(self, name: str, block: Block) -> None:
        self.name = name
        self.start, self.end, self.left = block
        self.data: memoryview | None = None
        self.error: Exception | None = None
        self.taken = False
        """Whether a thread fetches (or fetched) it, so that it counts as held."""

    def holds(self, name: str, at: int) -> bool:
        return self.name == name and self.start <= at < self.end


class Prefetch:
    """Reads of files whose Blocks are known beforehand. One reader, who makes it; call :meth:`close` at the end.

    Args:
        fetch: Called from the threads.
        blocks: Each file's name with its Blocks, in the order the files will be read.
        connections: Threads.
        window_bytes: What may be held; by default a Block for each connection and some to spare.
        tell: Called by the reader's thread with each text given to :meth:`note`.
    """

    def __init__(
        self,
        fetch: Fetch,
        blocks: Iterator[tuple[str, list[Block]]],
        *,
        connections: int = CONNECTIONS,
        window_bytes: int | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._fetch = fetch
        self._files = blocks
        self._window = window_bytes if window_bytes is not None else (connections + SPARE_BLOCKS) * BLOCK_BYTES
        self._tell = tell
        self._changed = threading.Condition()
        self._queue: deque[_Slot] = deque()
        """Not yet taken, in order."""
        self._urgent: deque[_Slot] = deque()
        """Not yet taken, and the reader waits for them."""
        self._slots: list[_Slot] = []
        """Taken and not yet let go: as many as fit the window, so searching them is nothing."""
        self._seen: set[str] = set()
        """Files whose Blocks are or were queued."""
        self._held = 0
        self._closed = False
        self._notes: deque[str] = deque()
        self._reader = threading.get_ident()
        self._idle = [threading.Thread(target=self._work, name="prefetch", daemon=True) for _ in range(connections)]
        """Threads that the first read starts, so that whoever fetches knows by then whom to tell of waits."""

    @property
    def held_bytes(self) -> int:
        """Bytes of the Blocks that are being fetched or wait to be read."""
        return self._held

    def read(self, name: str, start: int, end: int) -> memoryview:
        """Bytes ``start .. end`` of a file. Raises what ``fetch`` raised for them."""
        part = self._part(name, start, end)
        if len(part) == end - start:
            return part
        whole = bytearray(part)
        while len(whole) < end - start:
            whole += self._part(name, start + len(whole), end)
        return memoryview(whole)

    def note(self, text: str) -> None:
        """Tell the reader something, from any thread: at once, or when it next waits for bytes."""
        if threading.get_ident() == self._reader:  # it fetches what nobody foresaw, and nobody else would tell
            self._tell(text)
            return
        with self._changed:
            self._notes.append(text)
            self._changed.notify_all()

    def forget(self, name: str) -> None:
        """The reader is done with a file, whatever was expected."""
        with self._changed:
            self._queue = deque(slot for slot in self._queue if slot.name != name)
            self._urgent = deque(slot for slot in self._urgent if slot.name != name)
            for slot in [slot for slot in self._slots if slot.name == name]:
                self._let_go(slot)

    def close(self) -> None:
        """End the threads; those with a request under way end with it."""
        with self._changed:
            self._closed = True
            self._queue.clear()
            self._urgent.clear()
            self._slots.clear()
            self._changed.notify_all()

    # -- the reader's side --------------------------------------------------------------------------------------------

    def _part(self, name: str, start: int, end: int) -> memoryview:
        """Bytes from ``start`` on, as far as one Block has them."""
        while self._idle:
            self._idle.pop().start()
        with self._changed:
            slot = self._find(name, start)
            while slot is not None:
                while self._notes:
                    self._tell(self._notes.popleft())
                if slot.data is not None or slot.error is not None:
                    return self._taken_from(slot, start, end)
                self._changed.wait()
        # Not foreseen: a reader that went back, or a footer that lies.
        data = memoryview(self._fetch(name, start, end))
        return data[: end - start]

    def _taken_from(self, slot: _Slot, start: int, end: int) -> memoryview:
        if slot.error is not None:
            raise slot.error
        assert slot.data is not None
        part = slot.data[start - slot.start : end - slot.start]
        slot.left -= len(part)
        if slot.left <= 0:
            self._let_go(slot)
        return part

    def _find(self, name: str, at: int) -> _Slot | None:
        for slot in self._slots:
            if slot.holds(name, at):
                return slot
        while name not in self._seen and self._extend():
            pass
        for slot in self._queue:
            if slot.holds(name, at):
                self._queue.remove(slot)
                self._urgent.append(slot)
                self._slots.append(slot)
                self._changed.notify_all()
                return slot
        return None

    def _let_go(self, slot: _Slot) -> None:
        self._slots.remove(slot)
        if slot.taken:
            self._held -= slot.end - slot.start
        self._changed.notify_all()

    # -- the threads' side --------------------------------------------------------------------------------------------

    def _extend(self) -> bool:
        """Queue the Blocks of the next file; whether there was one."""
        following = next(self._files, None)
        if following is None:
            return False
        name, blocks = following
        self._seen.add(name)
        self._queue.extend(_Slot(name, block) for block in blocks)
        return True

    def _next(self) -> _Slot | None:
        """Wait for a Block to fetch; None at the end."""
        with self._changed:
            while not self._closed:
                slot = self._urgent.popleft() if self._urgent else self._next_in_window()
                if slot is not None:
                    slot.taken = True
                    self._held += slot.end - slot.start
                    return slot
                self._changed.wait()
        return None

    def _next_in_window(self) -> _Slot | None:
        while not self._queue:
            if not self._extend():
                return None
        first = self._queue[0]
        if self._held and self._held + first.end - first.start > self._window:
            return None
        self._slots.append(self._queue.popleft())
        return first

    def _work(self) -> None:
        while (slot := self._next()) is not None:
            data, error = None, None
            try:
                data = memoryview(self._fetch(slot.name, slot.start, slot.end))
            except Exception as reason:  # noqa: BLE001 - raised again where the bytes are asked for
                error = reason
            with self._changed:
                slot.data, slot.error = data, error
                self._changed.notify_all()
