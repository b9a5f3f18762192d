"""What ``tarfile`` and libarchive say of a tar, asked in a child process that may hang, exhaust itself or crash.

The child answers one request a line; each has a time limit, and the child a memory limit.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import resource
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, Self

try:
    import libarchive
except (ImportError, OSError, AttributeError, TypeError):  # no package, or no library behind it
    libarchive = None

HAS_LIBARCHIVE = libarchive is not None

Listing = list[tuple[str, str, int]]

_CPU_SECONDS = 1
"""Of one answer: ``tarfile`` reads some of these for ever. Processor time, so that a busy machine changes nothing."""
_MEMORY_BYTES = 2 << 30


class Answer(NamedTuple):
    """What one oracle listed, and the error that ended it early (None: it read to the end)."""

    members: Listing
    error: str | None


class Oracle:
    """The child process; use as a context manager."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def ask(self, who: str, raw: bytes) -> Answer:
        """``who`` is ``tarfile`` or ``libarchive``; with ``:*`` behind it, ``raw`` may be compressed (or a zip)."""
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(f"{who} {base64.b64encode(raw).decode()}\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            self._end()
            return Answer([], "the oracle died")
        members, error = json.loads(line)
        return Answer([tuple(member) for member in members], error)

    def _end(self) -> None:
        if self._child is not None:
            assert self._child.stdin is not None
            assert self._child.stdout is not None
            self._child.kill()
            self._child.wait()
            self._child.stdin.close()
            self._child.stdout.close()
            self._child = None


def tarfile_kind(info: tarfile.TarInfo) -> str:
    """Our word for the kind of a member that ``tarfile`` lists."""
    tests = {
        "file": info.isreg,
        "dir": info.isdir,
        "symlink": info.issym,
        "hardlink": info.islnk,
        "fifo": info.isfifo,
        "device": info.isdev,
    }
    return next((kind for kind, holds in tests.items() if holds()), "other")


def _by_tarfile(raw: bytes, found: Listing, mode: Literal["r:", "r:*"] = "r:") -> None:
    archive = tarfile.open(fileobj=io.BytesIO(raw), mode=mode)  # noqa: SIM115  # the child ends with it
    while (info := archive.next()) is not None:
        kind = tarfile_kind(info)
        found.append((info.name, kind, info.size if kind == "file" else 0))


def _by_libarchive(raw: bytes, found: Listing, format_name: str = "tar", filter_name: str = "none") -> None:
    with libarchive.memory_reader(raw, format_name=format_name, filter_name=filter_name) as archive:
        for entry in archive:
            kinds = {
                "hardlink": entry.islnk,
                "file": entry.isreg,
                "dir": entry.isdir,
                "symlink": entry.issym,
                "fifo": entry.isfifo,
                "device": entry.isdev,
            }
            kind = next((kind for kind, holds in kinds.items() if holds), "other")
            name = entry.pathname or ""  # bytes where they are not of the locale
            name = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
            found.append((name, kind, (entry.size or 0) if kind == "file" else 0))


def _time_out(*_: Any) -> None:
    raise TimeoutError


def _serve() -> None:
    with contextlib.suppress(ValueError, OSError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    signal.signal(signal.SIGPROF, _time_out)
    oracles: dict[str, Callable[[bytes, Listing], None]] = {
        "tarfile": _by_tarfile,
        "tarfile:*": partial(_by_tarfile, mode="r:*"),
        "libarchive": _by_libarchive,
        "libarchive:*": partial(_by_libarchive, format_name="all", filter_name="all"),
    }
    for line in sys.stdin:
        who, _, data = line.partition(" ")
        found: Listing = []
        error = None
        signal.setitimer(signal.ITIMER_PROF, _CPU_SECONDS)
        try:
            oracles[who](base64.b64decode(data), found)
        except BaseException as e:  # noqa: BLE001  # whatever it raises is the answer
            error = f"{type(e).__name__}: {e}"
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps([found[:200_000], error]), flush=True)  # noqa: T201  # the protocol


if __name__ == "__main__":
    _serve()
