"""Fuzz with coverage to guide it.

``python -m fuzz --runs N`` shares N inputs among all targets, ``--seconds S`` gives each so long; two run at a time.
``python -m fuzz TARGET [libFuzzer options] [folders of inputs]`` runs one. Inputs start from the hostile corpus of the
tests; what breaks a target is left in ``out/fuzz/found``, to be made a case in ``tests/crashes``.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import re
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SHARES = {"row": 8, "codecs": 6, "zip": 18, "meaning": 21, "texts": 21, "tar": 26}
"""Hundredths of the inputs that each target gets, the slowest first: about as long for each."""

OUT = Path("out/fuzz")
SLOW_SECONDS = 1
"""An input that takes more processor time is a finding, although counting coverage makes everything slower."""

HUNG_SECONDS = 60
"""So is one that takes more wall time: it would never come back."""


def write_seeds(folder: Path) -> None:
    """Every small case of the hostile corpus, and what its gzip holds: a fuzzer makes no valid checksums."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from corpus import cases  # noqa: PLC0415 - of the tests, found on the path just made

    folder.mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(cases()):
        blobs = [case.blob or b""]
        with contextlib.suppress(OSError, EOFError, zlib.error):
            blobs.append(gzip.decompress(blobs[0]))
        for part, blob in enumerate(blobs):
            if len(blob) < 16_384:
                (folder / f"{number:04}-{part}").write_bytes(blob)


def run_one(target: str, limit: str) -> int:
    """One target in a process of its own; how many inputs it took. Raises where one of them broke it."""
    for folder in (OUT / target, OUT / "found"):
        folder.mkdir(parents=True, exist_ok=True)
    options = [limit, f"-timeout={HUNG_SECONDS}", "-rss_limit_mb=2048", f"-artifact_prefix={OUT}/found/{target}-"]
    command = [sys.executable, "-m", "fuzz", target, *options, str(OUT / target), str(OUT / "seeds")]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)  # noqa: S603 - ours
    done = re.search(r"Done (\d+) runs in (\d+) second", ended.stderr)
    if ended.returncode or done is None:
        raise SystemExit(f"{target}: {ended.stderr[-4000:]}")
    print(f"{target:8} {int(done[1]):>9,} inputs in {done[2]} s, nothing found", flush=True)  # noqa: T201 - its purpose
    return int(done[1])


def run_all() -> None:
    """Every target, two at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--runs", type=int)
    how.add_argument("--seconds", type=int)
    asked = parser.parse_args()
    write_seeds(OUT / "seeds")
    limits = {name: f"-runs={asked.runs * share // 100}" for name, share in SHARES.items()} if asked.runs else {}
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run_one, name, limits.get(name, f"-max_total_time={asked.seconds}")) for name in SHARES]
        print(f"{sum(run.result() for run in runs):,} inputs in all")  # noqa: T201 - its purpose


def main() -> None:
    """All targets, or the one that is named first: then the rest goes to libFuzzer."""
    if sys.argv[1].startswith("-"):
        run_all()
        return
    import atheris  # noqa: PLC0415 - here alone, and not on every system

    with atheris.instrument_imports(include=["scanner.formats", "scanner.content", "scanner.tasks", "scanner.probe"]):
        from fuzz.targets import TARGETS  # noqa: PLC0415 - instrumented while it is imported
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, in_time(target))
    atheris.Fuzz()


def in_time(target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """``target``, which is broken by what takes too long."""

    def call(data: bytes) -> None:
        started = time.process_time()
        target(bytes(data))
        took = time.process_time() - started
        if took > SLOW_SECONDS:
            raise AssertionError(f"took {took:.1f} s of processor time")

    return call


if __name__ == "__main__":
    main()
