"""What ``zipfile`` and libarchive say of a zip, asked in a child process that may hang, exhaust itself or crash."""

from __future__ import annotations

import base64
import io
import json
import resource
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

try:
    import libarchive
except (ImportError, OSError, AttributeError, TypeError):  # no package, or no library behind it
    libarchive = None

HAS_LIBARCHIVE = libarchive is not None

Listing = list[tuple[str, str, int]]
"""Name, kind, size (0 for all but files)."""

_SECONDS = 5
_MEMORY_BYTES = 2 << 30


class Answer(NamedTuple):
    """What one oracle listed, and the error that ended it early (None: it read to the end)."""

    members: Listing
    error: str | None


def ask(who: str, archives: Iterable[bytes]) -> Iterator[Answer]:
    """``who`` is ``zipfile`` or ``libarchive``; one Answer per archive, in order. A child that dies answers too."""
    child: subprocess.Popen[str] | None = None
    try:
        for raw in archives:
            if child is None or child.poll() is not None:
                child = subprocess.Popen(
                    [sys.executable, __file__, who], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(base64.b64encode(raw).decode() + "\n")
            child.stdin.flush()
            line = child.stdout.readline()
            if not line:
                _end(child)
                child = None
                yield Answer([], "the oracle died")
                continue
            members, error = json.loads(line)
            yield Answer([tuple(member) for member in members], error)
    finally:
        if child is not None:
            _end(child)


def _end(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.communicate()


def _by_zipfile(raw: bytes, found: Listing) -> None:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        for info in archive.infolist():
            is_dir = info.filename.endswith("/")  # is_dir() raises for an empty name
            found.append((info.filename, "dir" if is_dir else "file", 0 if is_dir else info.file_size))


def _by_libarchive(raw: bytes, found: Listing) -> None:
    with libarchive.memory_reader(raw, format_name="zip", filter_name="none") as archive:
        for entry in archive:
            kinds = {"dir": entry.isdir, "symlink": entry.issym, "file": entry.isreg}
            kind = next((kind for kind, holds in kinds.items() if holds), "other")
            name = entry.pathname or ""
            name = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
            found.append((name, kind, (entry.size or 0) if kind == "file" else 0))


def _time_out(*_: Any) -> None:
    raise TimeoutError


def _serve(who: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    signal.signal(signal.SIGALRM, _time_out)
    oracle = {"zipfile": _by_zipfile, "libarchive": _by_libarchive}[who]
    for line in sys.stdin:
        found: Listing = []
        error = None
        signal.alarm(_SECONDS)
        try:
            oracle(base64.b64decode(line), found)
        except BaseException as e:  # noqa: BLE001 - whatever it raises is the answer
            error = f"{type(e).__name__}: {e}"
        signal.alarm(0)
        print(json.dumps([found[:200_000], error]), flush=True)  # noqa: T201 - the protocol


if __name__ == "__main__":
    _serve(sys.argv[1])
