"""Ctrl-C while a Run is written: the first waits until nothing is half done, the second waits for nothing.

While a scan is planned, and while it waits for its workers, the first one raises KeyboardInterrupt as ever. In between
(a shard is put on disk, its rows are appended and counted, the outputs are closed) that would leave a row written and
not counted: there it is kept for the next time the scan waits.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self


class Interrupts:
    """A context in which :meth:`held` delays the first SIGINT. Elsewhere than in the main thread it does nothing.

    Entered within another one it is that one: who plans a scan and who runs it see the same signals. A handler of the
    caller's own is left in place: then steps are not protected, and what is on disk still resumes.
    """

    def __init__(self) -> None:
        self._seen = 0
        self._is_held = False
        self._is_installed = False

    def __enter__(self) -> Self:
        handler = signal.getsignal(signal.SIGINT)
        outer = getattr(handler, "__self__", None)
        if isinstance(outer, type(self)):
            return outer
        if handler is signal.default_int_handler and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._on_signal)
            self._is_installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Steps: the first SIGINT is kept until :meth:`released` or :meth:`check`, the second raises at once."""
        yield from self._while_held(is_held=True)

    @contextmanager
    def released(self) -> Iterator[None]:
        """A wait among steps: the first SIGINT, kept or to come, raises KeyboardInterrupt. Once a batch; 1 µs."""
        yield from self._while_held(is_held=False)

    def check(self) -> None:
        """Raise the KeyboardInterrupt that was kept.

        So is one that was raised before and swallowed on its way: by an import, a destructor, code in C that clears
        what a callback raised.
        """
        if self._seen:
            raise KeyboardInterrupt

    def _while_held(self, *, is_held: bool) -> Iterator[None]:
        before, self._is_held = self._is_held, is_held
        try:
            if not is_held:  # only now: one that comes while this is asked is not kept either
                self.check()
            yield
        finally:
            self._is_held = before

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of handlers
        self._seen += 1
        if self._seen > 1 or not self._is_held:
            raise KeyboardInterrupt


@contextmanager
def sigint_blocked() -> Iterator[None]:
    """Delay SIGINT for this thread until the block ends; for what is started within it, for good.

    A mask is inherited, also by what is too young to have a handler, and can be set from any thread. Starting Python's
    resource tracker lifts it: see that it runs before.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
