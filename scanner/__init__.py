"""A parallel high-throughput scanner for packed-task datasets: every row, every core, nothing extracted.

How a scan flows::

    source ──plan──> Units
      │ read                                  in each worker
      ▼                                 ┌─────────────────────────┐
    Batches ──> ring of shared memory ─>│ sniff > inflate > walk  │──> Shards ──> Run
      (one copy of each blob)           │ > interpret > aggregate │    on disk    run.json
                                        └─────────────────────────┘               stats.json
                                                                                  records.parquet

Everything public is imported from here; nothing is loaded before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scanner.api import scan
    from scanner.errors import (
        ColumnError,
        EngineError,
        NoMatchError,
        NotReachedError,
        OutputError,
        RunError,
        ScannerError,
        SourceError,
        UsageError,
    )
    from scanner.explore import Explorer
    from scanner.explore.export import Exported
    from scanner.explore.find import Hit
    from scanner.merging import merge
    from scanner.model import Fault, Member, Record
    from scanner.options import Limits
    from scanner.run import Run
    from scanner.sources.arrow import Columns
    from scanner.task import Task, open_task

_HOMES = {
    "Columns": "scanner.sources.arrow",
    "Explorer": "scanner.explore",
    "Exported": "scanner.explore.export",
    "Fault": "scanner.model",
    "Hit": "scanner.explore.find",
    "Limits": "scanner.options",
    "Member": "scanner.model",
    "Record": "scanner.model",
    "Run": "scanner.run",
    "Task": "scanner.task",
    "open_task": "scanner.task",
    "merge": "scanner.merging",
    "scan": "scanner.api",
    "ColumnError": "scanner.errors",
    "EngineError": "scanner.errors",
    "NoMatchError": "scanner.errors",
    "NotReachedError": "scanner.errors",
    "OutputError": "scanner.errors",
    "RunError": "scanner.errors",
    "ScannerError": "scanner.errors",
    "SourceError": "scanner.errors",
    "UsageError": "scanner.errors",
}

__all__ = [
    "ColumnError",
    "Columns",
    "EngineError",
    "Explorer",
    "Exported",
    "Fault",
    "Hit",
    "Limits",
    "Member",
    "NoMatchError",
    "NotReachedError",
    "OutputError",
    "Record",
    "Run",
    "RunError",
    "ScannerError",
    "SourceError",
    "Task",
    "UsageError",
    "merge",
    "open_task",
    "scan",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562): ``import scanner`` costs nothing."""
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
