"""What a worker is asked for, and when it is to blame for the worker's end."""

from __future__ import annotations

import signal
from typing import Final

from scanner.engines.causes import WATCHDOG_SIGNALS
from scanner.engines.child import WHOLE

FORKSERVER_DIED: Final = 255
"""``multiprocess``'s exit code for a process whose forkserver is gone; also that of ``sys.exit(-1)``."""

FROM_OUTSIDE: Final = (-signal.SIGKILL, -signal.SIGTERM, FORKSERVER_DIED)
"""Ends that may well be somebody else's doing: a person's, or the kernel's for want of memory."""

_TRIES: Final = {
    **dict.fromkeys(FROM_OUTSIDE, (2, 4)),
    **dict.fromkeys((-signum for signum in WATCHDOG_SIGNALS), (1, 1)),
}
"""How often a whole batch and a lone row are run before they count as the cause of such an end."""

_TRIES_OF_A_CRASH: Final = (1, 2)
"""The same for all other ends: the first time may be the late effect of a row before, in the same process."""


class Held:
    """A batch in a slot."""

    __slots__ = ("n_left", "n_rows", "number", "size", "slot")

    def __init__(self, number: int, slot: int, size: int, n_rows: int) -> None:
        self.number = number
        self.slot = slot
        self.size = size
        self.n_rows = n_rows
        self.n_left = n_rows


class Job:
    """What one ticket asks for: a whole batch, or one row of it."""

    __slots__ = ("held", "row", "serial", "tries")

    def __init__(self, held: Held, row: int = WHOLE) -> None:
        self.held = held
        self.row = row
        self.serial = 0
        self.tries = 0

    @property
    def is_lone(self) -> bool:
        """Whether it is about one row alone (or a batch without rows)."""
        return self.row != WHOLE or self.held.n_rows <= 1

    @property
    def span(self) -> tuple[int, int]:
        """The rows it is about: position of the first within the batch, how many."""
        return (0, self.held.n_rows) if self.row == WHOLE else (self.row, 1)

    def singles(self) -> list[Job]:
        """The same rows, one by one."""
        return [Job(self.held, row) for row in range(self.held.n_rows)]

    def is_to_blame(self, code: int) -> bool:
        """Count an end with exit ``code`` while this was in work; True when it was tried often enough."""
        self.tries += 1
        return self.tries >= _TRIES.get(code, _TRIES_OF_A_CRASH)[self.is_lone]
