"""Where the time of a scan goes: samples of the running scan, counted by the module they fall into.

The file listing is the pipeline, so a module says which stage it belongs to, and nothing has to be instrumented. The
kernel's profiling timer counts processor time, so a busy machine changes how long the sampling takes, not what it says.
"""

from __future__ import annotations

import signal
from collections import Counter
from types import FrameType
from typing import Any, Final, Self

INTERVAL_SECONDS: Final = 0.001
"""Asked for; kernels tick 100 to 1,000 times a second, and a sample costs some 3 µs."""

STAGES: Final = {
    "read": ("sources",),
    "transport": ("engines", "batch"),
    "inflate": tuple(f"formats.{name}" for name in ("gzip", "zstd", "bzip2", "xz", "lz4", "streams")),
    "walk": ("formats", "sniff", "compiled", "quick"),
    "interpret": (
        *("ordinary", "template", "probe", "collector", "names", "content", "tasks", "twins"),
        *("model", "faults", "options", "worker"),
    ),
    "write": (
        *("readings", "stats", "records", "members", "columns", "tables", "shards", "storage"),
        *("distinct", "assembly", "pipeline", "merging", "reuse", "rowgroups", "splice", "run", "manifest", "progress"),
    ),
}
"""Modules of each stage, in the order of the pipeline; the first stage that names a module or a part of it has it.

``quick`` inflates and walks in one call: :func:`shares` tells the two apart.
``interpret`` is everything between the walk and the finished Record: hashes, content types, what a task means.
``write`` is everything after it: columns, statistics, shards, the outputs.
"""

OTHER: Final = "other"
_PACKAGE: Final = __name__.partition(".")[0] + "."
_OURSELVES: Final = __name__.rpartition(".")[0]


class Sampler:
    """Counts modules of the package while it is entered, in the main thread. Where there is no such timer: nothing."""

    def __init__(self) -> None:
        self.modules: Counter[str] = Counter()
        self._before: Any = None

    def __enter__(self) -> Self:
        if hasattr(signal, "setitimer"):
            self._before = signal.signal(signal.SIGPROF, self._tick)
            signal.setitimer(signal.ITIMER_PROF, INTERVAL_SECONDS, INTERVAL_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, self._before)

    def _tick(self, _signal: int, frame: FrameType | None) -> None:
        """Count the innermost frame of the package: what a library does is done for the module that called it."""
        while frame is not None:
            module = frame.f_globals.get("__name__", "")
            if module.startswith(_PACKAGE) and not module.startswith(_OURSELVES):
                self.modules[module.removeprefix(_PACKAGE)] += 1
                return
            frame = frame.f_back


def shares(modules: Counter[str], inflating: float = 0.0) -> dict[str, float]:
    """Share of each stage in samples by module, in pipeline order; empty where there are no samples.

    ``inflating``: the share of it by the rows that a scan times, since samples cannot look into a call of C. As much of
    ``quick`` is counted as ``inflate``.
    """
    total = modules.total()
    counts = Counter[str]()
    for module, count in modules.items():
        counts[stage_of(module)] += count
    moved = min(max(round(inflating * total) - counts["inflate"], 0), modules["quick"])
    counts["inflate"] += moved
    counts["walk"] -= moved
    return {stage: counts[stage] / total for stage in (*STAGES, OTHER) if total and (counts[stage] or stage != OTHER)}


def stage_of(module: str) -> str:
    """The stage a module (without the package's name) belongs to.

    >>> stage_of("formats.gzip"), stage_of("formats.tar_pax"), stage_of("tasks.reading"), stage_of("api")
    ('inflate', 'walk', 'interpret', 'other')
    """
    for stage, modules in STAGES.items():
        if any(module == name or module.startswith(name + ".") for name in modules):
            return stage
    return OTHER
