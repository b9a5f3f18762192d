"""The compiled parts: they are there, warn of nothing, and keep to their buffers whatever they are fed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from compiler import where_compiled, with_compiler

from scanner import compiled

ROOT = Path(__file__).parent.parent
SOURCES = sorted(map(str, (ROOT / "scanner").rglob("*.c")))
HEADERS = sorted(map(str, (ROOT / "scanner").rglob("*.h")))


@where_compiled
def test_it_was_compiled() -> None:
    """An installation with a compiler has the compiled parts: without them a scan takes up to twice as long."""
    assert compiled.library() is not None, "is there a C compiler? then install the package anew"


def test_another_version_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an older tree compiled has other structures: it is left alone, as if it were not there."""
    monkeypatch.setattr(compiled, "VERSION", compiled.VERSION + 1)
    assert compiled.library() is None
    monkeypatch.setattr(compiled, "MODULE", "xxhash._xxhash")
    assert compiled.library() is None, "a library without a version"


ROOM = """
import os
from pathlib import Path
from scanner import compiled

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

before = resident_bytes()
kept = compiled.room(64 << 20)
assert resident_bytes() - before < 1 << 20, "it is not written to"
child = os.fork()
if not child:
    kept[:4] = b"mine"
    os._exit(kept[:4] != b"mine")
assert os.waitpid(child, 0)[1] == 0
assert kept[:4] == bytes(4), "it is shared"
"""


@pytest.mark.skipif(sys.platform != "linux", reason="what a process takes is told by /proc")
def test_room_takes_no_memory_and_is_not_shared() -> None:
    """Room for what C remembers takes memory once it is used, and what a forked worker writes there is its own."""
    subprocess.run([sys.executable, "-c", ROOM], check=True)


def test_all_sources_are_compiled() -> None:
    """What setup.py names is what there is."""
    named = (ROOT / "setup.py").read_text()
    assert len(SOURCES) == 4
    assert all(str(Path(path).relative_to(ROOT)) in named for path in (*SOURCES, *HEADERS))


@with_compiler
def test_nothing_to_warn_of() -> None:
    """As strict C11, with every warning an error."""
    strict = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
    for source in SOURCES:
        subprocess.run(["cc", *strict, "-c", "-o", os.devnull, source], check=True)


@with_compiler
@pytest.mark.skipif(sys.platform != "linux", reason="how a sanitizer gets into Python depends on the system")
def test_sanitizers(tmp_path: Path) -> None:
    """Crafted tars and texts by the thousand, under the address and undefined behaviour sanitizers."""
    library = tmp_path / "compiled.so"
    sanitize = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-shared", "-fPIC"]
    subprocess.run(["cc", *sanitize, "-o", str(library), *SOURCES], check=True)
    asan = subprocess.run(["cc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True)
    environment = {
        **os.environ,
        "LD_PRELOAD": asan.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONMALLOC": "malloc",  # each buffer an allocation of its own, with a guard behind it
        "PYTHONPATH": str(ROOT / "tests"),
    }
    command = [sys.executable, str(ROOT / "tests" / "sanitized.py"), str(library)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
