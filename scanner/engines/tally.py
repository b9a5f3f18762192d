"""What an engine counts."""

from __future__ import annotations

import msgspec


class Tally(msgspec.Struct, kw_only=True):
    """Counters over all runs of an engine, for ``run.json``: what went through the queue, and how it went."""

    batches: int = 0
    outcomes: int = 0
    bytes_copied: int = 0
    """Blob bytes copied for the workers: exactly the blob bytes of all batches, each once, whoever died in between."""
    waits: int = 0
    """How often the producer had to wait because no slot was free."""
    wait_seconds: float = 0.0
    workers_started: int = 0
    worker_deaths: int = 0
    """Worker processes that ended before they were told to."""
    peak_worker_bytes: int = 0
    """Largest resident memory of one worker, shared pages included."""
