"""A Run on disk: ``run.json``, ``stats.json``, ``records.parquet``, ``members.parquet``.

Reading one needs neither data nor network.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from scanner.errors import RunError
from scanner.members import FILE as MEMBERS
from scanner.model import SCHEMA_VERSION
from scanner.shards import Counters
from scanner.stats import StatsFile
from scanner.storage import Folder, is_url, open_folder

if TYPE_CHECKING:
    import os

    import polars as pl


class Account(msgspec.Struct, frozen=True):
    """Where every planned row is found again: ``planned == ok + degraded + failed + skipped + not_reached``."""

    planned: int
    ok: int
    degraded: int
    failed: int
    skipped: int
    """Rows that ``--source-filter`` left out once their path was read."""
    not_reached: int
    uncounted_files: int = 0
    """Files whose footer could not be read: nobody knows how many rows they hold, so they are in none of the above."""

    @property
    def is_whole(self) -> bool:
        """Whether every row was reached, and none is unknown."""
        return not self.not_reached and not self.uncounted_files

    def balances(self) -> bool:
        """Whether every planned row is accounted for."""
        return self.planned == self.ok + self.degraded + self.failed + self.skipped + self.not_reached


class Input(msgspec.Struct, frozen=True):
    """One input file as it was when the plan was made."""

    file: str
    """Relative to the dataset root."""
    rows: int | None
    """Rows of its footer; None where nobody knows: for a stream, and for a footer that could not be read."""
    size_bytes: int | None
    identity: str
    """What changes when the bytes do: ETag or LFS sha256 on the Hub, size and mtime locally."""
    row_groups: int | None = None
    blob_bytes: int | None = None
    """Decompressed bytes of its blob column by the footer, which its Units are cut by."""


class Share(msgspec.Struct, frozen=True):
    """Which part of which plan a Run of ``--shard`` is about: what ``scanner merge`` goes by."""

    plan: str
    """Digest of all Units of the plan and all that their results depend on; the same for every part."""
    plan_units: int
    plan_rows: int
    """Rows planned in all parts together."""
    first_unit: int
    """Units ``first_unit .. end_unit`` are this Run's."""
    end_unit: int


class Manifest(msgspec.Struct, kw_only=True):
    """``run.json``: what was asked, of which bytes, what came of it and what it cost."""

    schema: int = SCHEMA_VERSION
    source: str
    """SOURCE as given."""
    revision: str | None = None
    """Commit of the Hub repository that was read."""
    arguments: dict[str, Any]
    """Every option that the result depends on."""
    state: str
    """``complete``, ``partial`` (not every planned row was reached) or ``running`` (or killed)."""
    inputs: list[Input]
    n_units: int
    share: Share | None = None
    """Of a Run that covers a part of the plan (``--shard``)."""
    account: Account
    not_reached: dict[str, str] = {}
    """Why: by file (or ``*``), a sentence."""
    reused_rows: int = 0
    """Rows whose shards were on disk already, from an interrupted scan of the same Run."""
    reused_from: dict[str, int] = {}
    """Rows taken from other Runs (``--reuse``), by Run folder."""
    started: str
    """UTC, ISO 8601."""
    wall_seconds: float
    engine: dict[str, Any] = {}
    """Name, workers, deaths, waits of the producer, bytes copied."""
    digests: dict[str, str] = {}
    """xxh3-128 hex of ``records.parquet`` and ``members.parquet`` as they were written."""
    counters: Counters = msgspec.field(default_factory=Counters)
    throughput: dict[str, float] = {}
    """rows_per_second, mb_per_second (compressed), raw_mb_per_second, of the rows scanned by this process; efficiency:
    processor time of the scan over that of inflating alone, estimated from the rows that were timed. 1 is best; it is
    missing where no row was timed, and in merged Runs."""
    cpu_seconds: dict[str, float] = {}
    """Processor time of the parent and of the workers."""
    peak_memory_mb: dict[str, float] = {}
    versions: dict[str, str]
    machine: dict[str, str]


class Run:
    """A Run folder, for reading. Raises RunError where there is none or it is of another schema.

    >>> run = Run("run")  # doctest: +SKIP
    >>> run.summary()  # doctest: +SKIP
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._files = open_folder(folder)
        self.location = self._files.location
        self.manifest: Manifest = _read(self._files, "run.json", Manifest)
        if self.manifest.schema != SCHEMA_VERSION:
            raise RunError(
                f"{self.location} has schema {self.manifest.schema}, this scanner reads {SCHEMA_VERSION}; scan again"
            )
        self._stats: StatsFile | None = None

    @property
    def folder(self) -> Path:
        """Where it lies on disk. Raises RunError for a Run behind a URL (:attr:`location` names any)."""
        if is_url(self.location):
            raise RunError(f"{self.location} is no local folder; copy the Run first")
        return Path(self.location)

    @property
    def stats(self) -> StatsFile:
        """The aggregates, overall and per source."""
        if self._stats is None:
            self._stats = _read(self._files, "stats.json", StatsFile)
        return self._stats

    @property
    def account(self) -> Account:
        """Where every planned row is found again."""
        return self.manifest.account

    def records(self) -> pl.LazyFrame:
        """The records, a row per scanned row in plan order, as a polars LazyFrame; nothing is read yet."""
        return self._files.scan_parquet("records.parquet")

    def members(self) -> pl.LazyFrame:
        """Names and digests of the files of each record's archive, as :mod:`scanner.members` tells.

        A row a record, in the order of :meth:`records`. Raises RunError where the Run has none (:attr:`has_members`).
        """
        if not self.has_members:
            raise RunError(f"{self.location} keeps no lists of members; scan again with --fresh")
        return self._files.scan_parquet(MEMBERS)

    @property
    def has_members(self) -> bool:
        """Whether lists of members were kept: Runs of earlier scanners have none."""
        return self._files.exists(MEMBERS)

    @property
    def records_path(self) -> Path:
        """``records.parquet`` on disk. Raises RunError where it is not: behind a URL, or never written."""
        path = self.folder / "records.parquet"
        if not path.exists():
            raise RunError(f"{self.location} has no records yet; run the same `scanner scan` again to complete it")
        return path

    def summary(self) -> pl.DataFrame:
        """A row a source, the largest first: source, n, mean_compressed_kb, mean_raw_kb, mean_n_files, verifier_rate.

        Means are rounded to 2 digits; 1 kB is 1,000 bytes. The rate is that of the file-name and JSON-key heuristic.
        """
        from scanner.report.frames import summary_of  # noqa: PLC0415 - polars, as for the records

        return summary_of(self.stats.sources)

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Write the page about this Run to ``path``, one HTML file that needs nothing else.

        Raises:
            UsageError: The extra ``report`` is not installed.
            OutputError: ``path`` cannot be written.
        """
        from scanner.report.html import write_html  # noqa: PLC0415 - charts, for those who look

        write_html(self, Path(path))
        return Path(path)

    def _repr_html_(self) -> str:
        """The account and the largest sources, as a notebook shows it."""
        from scanner.report.cell import run_html  # noqa: PLC0415 - for those who look

        return run_html(self)

    def __repr__(self) -> str:
        account = self.account
        return f"<Run {self.location!r}: {account.ok:,} ok of {account.planned:,} rows, {self.manifest.state}>"


def _read(folder: Folder, name: str, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(folder.read(name), type=kind)
    except FileNotFoundError:
        raise RunError(f"{folder.location} holds no Run ({name} is missing); make one with `scanner scan`") from None
    except (msgspec.DecodeError, OSError) as error:
        raise RunError(f"{folder.location}/{name} cannot be read ({error}); scan again with --fresh") from error
