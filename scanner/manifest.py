"""What ``run.json`` says of the machine, the versions and the cost of a scan."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import msgspec

from scanner import compiled
from scanner.engines import Engine, RemoteEngine
from scanner.engines.limits import peak_memory
from scanner.shards import Counters

_PACKAGES: Final = (
    "tasktrove-scanner",
    "pyarrow",
    "msgspec",
    "deflate",
    "zlib-ng",
    "zstandard",
    "multiprocess",
    "numpy",
)


def now_utc() -> str:
    """The time, ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results or speed depend on; whether we have our compiled parts."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    found["compiled parts"] = "no" if compiled.library() is None else "yes"
    return found


def machine() -> dict[str, str]:
    """What the figures were measured on. No host name: a Run is made to be shared."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "cpu": _cpu_model(),
        "cores": str(usable_cores()),
    }


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cost_of(
    engine: Engine | RemoteEngine, scanned: Counters, wall_seconds: float, cpu_seconds: float
) -> dict[str, Any]:
    """The fields of a Manifest that tell what a scan cost; ``cpu_seconds`` are those of this process."""
    wall = max(wall_seconds, 1e-9)
    workers_cpu_seconds = scanned.cpu_ns / 1e9
    if not engine.workers:  # the work was done here
        cpu_seconds = max(cpu_seconds - workers_cpu_seconds, 0.0)
    return {
        "engine": {"name": engine.name, "workers": engine.workers, **msgspec.to_builtins(engine.tally)},
        "throughput": {
            "rows_per_second": round(scanned.rows / wall, 1),
            "mb_per_second": round(scanned.blob_bytes / wall / 1e6, 2),
            "raw_mb_per_second": round(scanned.raw_bytes / wall / 1e6, 2),
            **_efficiency(scanned, cpu_seconds + workers_cpu_seconds),
        },
        "cpu_seconds": {
            "parent": round(cpu_seconds, 3),
            "workers": round(workers_cpu_seconds, 3),
        },
        "peak_memory_mb": {
            "parent": round(peak_memory() / 1e6, 1),
            "largest_worker": round(engine.tally.peak_worker_bytes / 1e6, 1),
        },
    }


def _efficiency(scanned: Counters, cpu_seconds: float) -> dict[str, float]:
    """Processor time of the scan over that of inflating alone, estimated from the rows that were timed; 1 is best."""
    floor_seconds = scanned.inflating_seconds
    return {"efficiency": round(cpu_seconds / floor_seconds, 2)} if floor_seconds else {}


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - no path of ours
            return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown")
    except OSError:
        return platform.processor() or "unknown"
