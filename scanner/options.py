"""What a person can ask for: the limits a row must keep, and the options of one scan."""

from __future__ import annotations

import msgspec

MIB = 1 << 20


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on one row. 0 switches a limit off. A hit is a ``limit:<name>`` fault; members seen so far are kept."""

    output_bytes: int = 1 << 30
    """Bytes that may come out of all decompressors of one row (counted as they come, never as announced)."""
    members: int = 100_000
    header_bytes: int = MIB
    """One PAX header, GNU long name or zip directory entry."""
    depth: int = 0
    """Levels of archives inside archives that are opened; 0 opens none. At most 3 are useful."""
    seconds: float = 30.0
    """Processor time of one row."""


SMALL_BYTES = 8 * MIB
"""A row whose decompressed bytes fit is inflated in one call; a larger one streams through in constant memory."""

CHUNK_BYTES = 256 * 1024
"""Size of the pieces a large row is streamed in."""

INTERPRET_BYTES = 5 * MIB
"""A file is read for its meaning (JSON keys, TOML, signals) only up to this size: what has to be whole in memory.

The largest members of real tasks have 4 MB; a JSON object of nothing but short keys takes 35 times its size."""

MAGIC_BYTES = 1024
"""The window at the start of a file that its content type is judged by."""


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of SOURCE are planned."""

    split: str | None = None
    config: str | None = None
    revision: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    source_filter: str | None = None
    """Regular expression that is searched for in the source of each row."""
    limit: int | None = None
    """The first so many rows of the plan."""
    sample: int | None = None
    """So many rows drawn from the whole plan, by ``seed``."""
    seed: int = 0
    shard: tuple[int, int] | None = None
    """(I, N): the I-th of N parts of the plan, from 1."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one scan is asked for, besides SOURCE and where the Run goes."""

    selection: Selection = Selection()
    limits: Limits = Limits()
    path_column: str = "path"
    blob_column: str = "task_binary"
    workers: int | None = None
    """Worker processes; None takes one for each core that this process may use."""
    engine: str = "processes"
    """``processes``, ``serial`` or ``ray``."""
    ray_address: str | None = None
    """Of the Ray cluster; None takes ``RAY_ADDRESS``, else starts Ray on this machine."""
    download: bool = False
    """Whether files on the Hub are mirrored into its cache first and read there."""
