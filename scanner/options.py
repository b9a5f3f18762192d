"""What a person can ask for: the limits a row must keep, and the options of one scan."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from scanner.errors import UsageError

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
    """Processor time of one row; at most :data:`MOST_SECONDS`."""

    def __post_init__(self) -> None:
        """Raise UsageError for what is no limit."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not 0 <= value < math.inf:  # nor NaN, which is not comparable
                raise UsageError(f"the limit {name} is {value}; it is 0 for none, or a positive number")
        if self.seconds > MOST_SECONDS:
            raise UsageError(f"the limit seconds is {self.seconds:g}; at most {MOST_SECONDS:,}, or 0 for none")


MOST_SECONDS = 10**6
"""Longest time for a row: eleven days. Timers of the system take no number of any size."""


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

    def __post_init__(self) -> None:
        """Raise UsageError where no row can be meant, or what is given has no effect."""
        for name in ("limit", "sample"):
            n = getattr(self, name)
            if n is not None and n < 1:
                raise UsageError(f"{name} is {n}; give 1 or more, or leave it out")
        if self.seed and self.sample is None:
            raise UsageError(f"seed is {self.seed}, and nothing is drawn without a sample; give both")


def globs(given: str | Iterable[str]) -> tuple[str, ...]:
    """Globs as they were given: several, or one by itself."""
    return (given,) if isinstance(given, str) else tuple(given)


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
