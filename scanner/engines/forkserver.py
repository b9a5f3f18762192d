"""Starting worker processes: ``multiprocess``'s forkserver, with what it does not do by itself.

A forkserver because fork alone copies locks that pyarrow's threads hold, and spawn would import everything again for
each worker. What is added, and why:

* It is started with SIGINT blocked, and a signal mask is inherited: Ctrl-C, which the terminal sends to everybody, can
  not kill a worker at birth. A mask, unlike a handler, can be set from any thread.
* ``PYTHONPATH`` is the parent's ``sys.path`` while it starts: a module to preload that it cannot find is skipped in
  silence, and each worker would import it again. BLAS gets one thread: the workers are the threads.
  Arrow takes its memory from malloc: 15 MB a worker less than its own pool keeps.
* ``__main__`` is not imported again in the workers: what they need comes dilled, by value. So a script needs no
  ``if __name__ == "__main__"``, and a notebook's or pytest's main module is left alone.
* What a killed group left in the temporary folder is swept up by the next start.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import multiprocess
from multiprocess import forkserver, resource_tracker, spawn, util

from scanner.interrupts import sigint_blocked

_PRELOAD = ("scanner.engines.child", "scanner.engines.tidy")
_SETTINGS = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
_MAIN = ("init_main_from_name", "init_main_from_path")

_YOUNG_SECONDS = 60.0
"""The file of a listener is there a moment before anybody is bound to it: of one so young, nothing can be told."""

_starting = threading.Lock()
_swept = threading.Event()


def warm_up(preload: tuple[str, ...]) -> None:
    """Start the forkserver, or see that it still lives, and let it import ``preload`` while we go on (0.1 s)."""
    with _starting, sigint_blocked():
        _ensure(preload)


def start(target: Callable[..., None], args: tuple[Any, ...], name: str, preload: tuple[str, ...]) -> Any:
    """A running ``multiprocess`` Process of ``target(*args)``. Raises OSError or EOFError when none can be made."""
    process = multiprocess.get_context("forkserver").Process(target=target, args=args, name=name, daemon=True)
    with _starting, sigint_blocked():
        _ensure(preload)
        try:
            with _main_left_alone():
                process.start()
        except ConnectionRefusedError:  # it has closed its socket but is not quite dead, so it seemed to be running
            with contextlib.suppress(FileNotFoundError):
                forkserver._forkserver._stop()  # noqa: SLF001 - waits for its end and forgets it
            raise
    return process


def _ensure(preload: tuple[str, ...]) -> None:
    if not _swept.is_set():
        _swept.set()
        sweep(Path(tempfile.gettempdir()))
    resource_tracker.ensure_running()  # first: its start unblocks SIGINT
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    Path(util.get_temp_dir()).mkdir(mode=0o700, exist_ok=True)  # gone if another forkserver has ended
    forkserver.set_forkserver_preload([*preload, *_PRELOAD])
    with _environment():
        forkserver.ensure_running()


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """The forkserver's environment; ours again afterwards."""
    changes = {name: value for name, value in _SETTINGS.items() if name not in os.environ}
    changes["PYTHONPATH"] = os.pathsep.join(entry or "." for entry in sys.path if isinstance(entry, str))
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _main_left_alone() -> Iterator[None]:
    original = spawn.get_preparation_data

    def without_main(name: str) -> dict[str, Any]:
        return {key: value for key, value in original(name).items() if key not in _MAIN}

    spawn.get_preparation_data = without_main
    try:
        yield
    finally:
        spawn.get_preparation_data = original


def sweep(folder: Path) -> None:
    """Remove forkserver folders in ``folder`` that are ours and that no process listens in any more."""
    for listener in folder.glob("pymp-*/listener-*"):
        with contextlib.suppress(OSError):
            status = listener.stat()
            is_young = time.time() - status.st_mtime < _YOUNG_SECONDS
            if status.st_uid == os.getuid() and not is_young and _is_deserted(listener):
                remove_listener(listener)


def remove_listener(listener: Path) -> None:
    """Remove a forkserver's socket and then its ``pymp-*`` folder, unless somebody keeps other things there."""
    with contextlib.suppress(OSError):
        listener.unlink()
    with contextlib.suppress(OSError):
        listener.parent.rmdir()


def _is_deserted(listener: Path) -> bool:
    """Whether nothing is bound to ``listener``; asked with a socket of the wrong type, which its owner never sees.

    A connection of the right type would do harm: a forkserver ends on one that sends nothing.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        return probe.connect_ex(str(listener)) == errno.ECONNREFUSED
