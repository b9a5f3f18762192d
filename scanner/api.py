"""Scanning from Python: :func:`scan` opens the source, picks the engine and hands both to the bridge."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from scanner.engines import Engine, RemoteEngine
from scanner.errors import UsageError
from scanner.manifest import usable_cores
from scanner.options import Limits, Options, Selection, globs
from scanner.pipeline import run_scan
from scanner.probes import ProbeLike, Probes
from scanner.progress import progress_for, teller_for
from scanner.run import Manifest, Run
from scanner.sources import InputFile, Plan, Source
from scanner.sources.arrow import Columns
from scanner.sources.opening import open_source
from scanner.sources.parquet import ParquetSource
from scanner.sources.units import share_of, unit_bytes
from scanner.storage import open_folder

if TYPE_CHECKING:
    import pyarrow as pa

ENGINES: Final = ("processes", "serial", "ray")
"""Names of the engines, the default first."""

PRELOAD: Final = ("scanner.worker",)
"""Imported once, before the workers are forked off."""


def scan(
    source: str | os.PathLike[str] | pa.Table | Iterable[Mapping[str, Any]],
    *,
    out: str | os.PathLike[str] | None = None,
    split: str | None = None,
    config: str | None = None,
    revision: str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    source_filter: str | None = None,
    limit: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    shard: tuple[int, int] | None = None,
    workers: int | None = None,
    engine: str = "processes",
    ray_address: str | None = None,
    fresh: bool = False,
    reuse: Sequence[str | os.PathLike[str]] = (),
    download: bool = False,
    limits: Limits | None = None,
    columns: Columns | None = None,
    probes: Mapping[str, ProbeLike] | None = None,
    progress: str = "quiet",
) -> Run:
    """Scan every row of ``source`` into the Run at ``out``, or continue the Run that is there.

    Args:
        source: A Parquet file, a folder of them, a glob, a dataset on the Hub (``ORG/NAME`` or
            ``hf://datasets/ORG/NAME[@revision][/glob]``), an Arrow table, a ``datasets`` object, or anything
            that yields rows as mappings.
        out: Folder of the Run, or a URL for fsspec (``s3://bucket/run``); by default ``runs/<name of the source>``.
        split: What ``datasets.load_dataset`` calls a split; read by it where the dataset is not Parquet.
        config: Likewise, a configuration.
        revision: Branch, tag or commit of a dataset on the Hub. It is resolved to a commit once, and an interrupted
            scan goes on with that one.
        include: Globs on file paths relative to the dataset root; files that match one are read.
        exclude: Likewise; files that match one are left out. ``deprecated/**`` is, unless an include names it.
        source_filter: Regular expression that is searched for in each row's source.
        limit: Scan the first so many rows of the plan.
        sample: Scan so many rows drawn from the whole plan by ``seed``: the same rows on every machine.
        seed: Seed of ``sample``.
        shard: (I, N): scan the I-th (from 1) of N parts of the plan, of about equal bytes; :func:`merge` joins them.
        workers: Worker processes; by default one for each core this process may use.
        engine: ``processes``, ``serial`` for this process alone, or ``ray`` for a cluster (the extra ``ray``).
        ray_address: Of the Ray cluster; by default ``RAY_ADDRESS``, else Ray is started on this machine.
        fresh: Start over where ``out`` holds a Run.
        reuse: Other Runs, of other revisions say: rows of files that are the same are taken from there.
        download: Mirror files on the Hub into its cache first, and read them there.
        limits: Bounds on one row.
        columns: Names of the two columns.
        probes: Functions of a :class:`scanner.Task` by the names of the columns that they add, lambdas and functions
            of a notebook included; see :mod:`scanner.probes` for the types. One that raises gives the row the fault
            ``probe-error``.
        progress: ``human``, ``json`` or ``quiet``: what is told on stderr meanwhile.

    Returns:
        The Run, complete or not: ``run.account.is_whole`` tells whether every row was scanned.

    Raises:
        ScannerError: see :mod:`scanner.errors`; nothing that is wrong with the data raises.
    """
    names = columns or Columns()
    options = Options(
        selection=Selection(
            split=split,
            config=config,
            revision=revision,
            include=globs(include),
            exclude=globs(exclude),
            source_filter=source_filter,
            limit=limit,
            sample=sample,
            seed=seed,
            shard=_checked(shard),
        ),
        limits=limits or Limits(),
        path_column=names.path,
        blob_column=names.blob,
        workers=workers,
        engine=engine,
        ray_address=ray_address,
        download=download,
    )
    asked = Probes(probes) if probes else None
    folder = open_folder(out if out is not None else default_folder(source, shard))
    runner = open_engine(options)
    with ExitStack() as stack:
        if hasattr(runner, "close"):
            stack.callback(runner.close)
        before = Run(folder.location).manifest if not fresh and folder.exists("run.json") else None
        opened = open_source(
            source,
            options,
            skip=folder.location,
            pinned=_pinned(source, revision, before),
            known={each.file: InputFile(*msgspec.structs.astuple(each)) for each in before.inputs} if before else None,
            tell=teller_for(progress),
        )
        plan = opened.plan()
        if shard is not None:
            _take_share(opened, plan, *shard)
        planned_rows = None if opened.open_ended else plan.n_rows
        watcher = progress_for(
            progress, planned_rows=planned_rows, planned_bytes=plan.compressed_bytes, workers=options.workers
        )
        with watcher as told:
            if isinstance(opened, ParquetSource):
                opened.tell = told.note
            earlier = [os.fspath(run) for run in reuse]
            return run_scan(opened, plan, runner, folder, options, told, fresh=fresh, reuse=earlier, probes=asked)


def _pinned(source: Any, revision: str | None, before: Manifest | None) -> str | None:
    """The commit that an unfinished scan of the same is at: a branch may have moved on meanwhile."""
    if before is None or before.state == "complete":
        return None
    asked = before.arguments.get("source"), before.arguments.get("revision")
    return before.revision if asked == (source, revision) else None


def open_engine(options: Options) -> Engine | RemoteEngine:
    """The engine that ``options`` ask for. Raises UsageError for an unknown one."""
    if options.engine not in ENGINES:
        raise UsageError(f"no engine {options.engine!r}; there are {', '.join(ENGINES)}")
    if options.workers is not None and options.workers < 0:
        raise UsageError(f"--workers {options.workers} is negative; 0 scans in this process, 1 and more in others")
    if options.engine == "ray" and options.workers == 0:
        raise UsageError("--workers 0 scans in this process; with --engine ray give 1 or more, or leave it out")
    if options.engine == "serial" or options.workers == 0:
        from scanner.engines.serial import SerialEngine  # noqa: PLC0415 - only the engine that is used

        return SerialEngine()
    # The probe ends a row at its limit by itself; the watchdog is for what never comes back to it.
    patience = max(120.0, 4 * options.limits.seconds) if options.limits.seconds else None
    if options.engine == "ray":
        return _ray_engine(options, patience)
    from scanner.engines.processes import ProcessEngine  # noqa: PLC0415 - only the engine that is used

    return ProcessEngine(options.workers or usable_cores(), preload=PRELOAD, row_seconds=patience)


def _ray_engine(options: Options, row_seconds: float | None) -> RemoteEngine:
    try:
        from scanner.engines.ray import RayEngine  # noqa: PLC0415 - an extra, and two seconds to load
    except ImportError as error:
        raise UsageError("--engine ray needs Ray: pip install 'tasktrove-scanner[ray]'") from error
    return RayEngine(options.ray_address, options.workers, preload=PRELOAD, row_seconds=row_seconds)


def _checked(shard: tuple[int, int] | None) -> tuple[int, int] | None:
    if shard is not None and not 1 <= shard[0] <= shard[1]:
        raise UsageError(f"--shard {shard[0]}/{shard[1]}: there are parts 1 to N; give one as I/N")
    return shard


def _take_share(source: Source, plan: Plan, part: int, n_parts: int) -> None:
    """Leave ``plan`` as it is but for what is to be scanned of it here."""
    if source.open_ended:
        raise UsageError(f"--shard {part}/{n_parts}: the length of {source.location} is known at its end only")
    plan.share = share_of(plan.units, plan.inputs, part, n_parts)
    if plan.compressed_bytes is not None:
        sizes = unit_bytes(plan.units, plan.inputs)
        plan.compressed_bytes = plan.compressed_bytes * sum(sizes[slice(*plan.share)]) // max(sum(sizes), 1)


def default_folder(source: Any, shard: tuple[int, int] | None = None) -> Path:
    """``runs/<name>``: the same source goes to the same folder, so the same command continues it.

    Parts of a plan go to folders of their own: ``runs/<name>-3-of-7``.
    """
    name = os.fspath(source) if isinstance(source, str | os.PathLike) else type(source).__name__
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name.strip("/")).strip("-.") or "run"
    return Path("runs") / (slug[-80:] + (f"-{shard[0]}-of-{shard[1]}" if shard is not None else ""))
