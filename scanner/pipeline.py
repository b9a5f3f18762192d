"""The bridge: source -> engine(worker) -> shards -> Run. The one place that knows all of them.

Batches come back in any order. Parts of a Unit are held until the Unit is whole, then its shard is put on disk; the
Units that are whole from the plan's start are appended to ``records.parquet`` and folded into the statistics while the
workers go on. So the outputs depend on the plan alone, and whatever ends the scan leaves a Run that can be resumed.
"""

from __future__ import annotations

import time
from collections.abc import Container, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import Any, Protocol

import msgspec
from xxhash import xxh3_128_hexdigest

from scanner.assembly import Assembly, Outputs, write_json
from scanner.engines import Engine, Outcome, RemoteEngine
from scanner.errors import NotReachedError, OutputError, RunError, UsageError
from scanner.interrupts import Interrupts
from scanner.manifest import cost_of, machine, now_utc, versions
from scanner.members import FILE as MEMBERS
from scanner.model import SCHEMA_VERSION, Unit
from scanner.options import Options
from scanner.probes import Probes, schema_of
from scanner.reuse import EarlierRun
from scanner.run import Account, Input, Manifest, Run, Share
from scanner.shards import Counters, Shard, ShardFolder, key_of
from scanner.sources import Plan, Source
from scanner.sources.portions import portions_of
from scanner.storage import Folder, alone_in, is_same_place
from scanner.worker import ScanWork


class Watcher(Protocol):
    """Who is told how the scan goes on: :class:`scanner.progress.Progress`."""

    def update(self, rows: int, blob_bytes: int, faults: int) -> None:
        """So many more rows, compressed bytes and rows with a fault are done."""

    def note(self, text: str) -> None:
        """Tell of one event in a line."""


def run_scan(
    source: Source,
    plan: Plan,
    engine: Engine | RemoteEngine,
    folder: Folder,
    options: Options,
    watcher: Watcher,
    *,
    fresh: bool = False,
    reuse: Sequence[str] = (),
    probes: Probes | None = None,
) -> Run:
    """Scan the planned rows of ``source`` with ``engine`` into the Run at ``folder``; continue it where it exists.

    ``probes`` add a column each. Rows of files that are the same in one of the Runs at ``reuse`` are taken from
    there, whatever revision it is of.

    Returns the Run, complete or not: ``run.account.is_whole`` tells. On KeyboardInterrupt the partial Run is
    written (a second one leaves it at the shards), then the interrupt goes on and says how far the scan has come.
    Raises RunError where ``folder`` holds a Run of other arguments, OutputError where it cannot be written from the
    start and NotReachedError where that ends midway, EngineError where the workers cannot work; all of them leave what
    is done on disk.
    """
    scan = _Scan(source, plan, folder, options, watcher, probes)
    with Interrupts() as interrupts, alone_in(folder, "--out"):
        scan.open(fresh=fresh, reuse=reuse)
        interrupts.check()
        with interrupts.held():
            scan.begin()
            try:
                try:
                    scan.work(engine, interrupts)
                finally:
                    scan.finish(engine)
                interrupts.check()
            except OutputError as error:
                scan.abandon()
                raise NotReachedError(str(error)) from error
            except KeyboardInterrupt:
                raise KeyboardInterrupt(scan.standing()) from None
    return Run(folder.location)


class _Scan:
    """One scan under way."""

    def __init__(
        self,
        source: Source,
        plan: Plan,
        folder: Folder,
        options: Options,
        watcher: Watcher,
        probes: Probes | None = None,
    ) -> None:
        self._source = source
        self._probes = probes
        self._plan = plan
        self._folder = folder
        self._options = options
        self._watcher = watcher
        self._shards = ShardFolder(folder)
        self._keys = _Keys(plan, options, probes)
        self._arguments = arguments_of(source, options, probes)
        self._earlier: list[EarlierRun] = []
        self._started = now_utc()
        self._started_s = time.monotonic()
        self._started_cpu_s = time.process_time()
        self._not_reached: dict[str, str] = {}
        self._ended = False
        """Whether the source was read to its end: where its length is unknown, only this tells."""
        self._on_disk: set[int] = set()
        self._reused_rows = 0
        self._reused_from: dict[str, int] = {}
        self._scanned = Counters()
        self._output: Outputs | None = None

    # -- before -------------------------------------------------------------------------------------------------------

    def open(self, *, fresh: bool, reuse: Sequence[str]) -> None:
        """See what is there, and drop what is stale; Ctrl-C may come at any time. Nothing is read from the source."""
        folder = self._folder
        if any(is_same_place(folder.location, location) for location in reuse):
            raise UsageError(f"--reuse {folder.location} is this Run itself, which is continued anyway")
        self._earlier = [EarlierRun(location) for location in reuse]
        with self._unwritable_from_the_start():
            if fresh and folder.exists("run.json"):
                folder.remove_all("shards")  # first: merge takes those that lie in a Run for the Run's
                folder.remove(("stats.json", "records.parquet", MEMBERS))
                self._mark_running()  # on top of what it was: wherever this ends, the folder remains a Run
            self._check_folder()
            self._find_done()

    def begin(self) -> None:
        """Make the folder a Run under way, with what earlier Runs have of it. Ctrl-C is held from here on."""
        with self._unwritable_from_the_start():
            self._mark_running()
            for run in self._earlier:
                self._take_over(run)
            if self._earlier:
                self._mark_running()
            self._output = Outputs(self._folder, schema_of(self._arguments), first_row=self._plan.first_row)

    @contextmanager
    def _unwritable_from_the_start(self) -> Iterator[None]:
        where = self._folder.location
        try:
            yield
        except OSError as error:
            raise OutputError(f"cannot write to {where}: {error.strerror or error}; choose another --out") from error

    def _mark_running(self) -> None:
        account = Outputs.empty_account(self._plan.n_rows, len(self._plan.uncounted))
        self._write_manifest("running", account, {})

    def _check_folder(self) -> None:
        where = self._folder.location
        if not self._folder.exists("run.json"):
            if any(self._folder.names()):
                raise OutputError(f"{where} exists and holds no Run; choose another --out or empty it")
            return
        manifest = Run(where).manifest
        self._reused_from = dict(manifest.reused_from)  # as far as an interrupted scan has come, they are on disk
        before = manifest.arguments
        changed = sorted(name for name in {*before, *self._arguments} if before.get(name) != self._arguments.get(name))
        if changed:
            name = changed[0]
            raise RunError(
                f"{where} is a Run with other arguments ({', '.join(changed)}: {before.get(name)!r} there, "
                f"{self._arguments.get(name)!r} now); choose another --out, or --fresh to start over"
            )
        self._folder.sweep()  # this Run is ours to continue: only now may anything be removed

    def _find_done(self) -> None:
        """See which Units are on disk already, and forget shards of other bytes or options: ``merge`` takes any."""
        found = set(self._shards.units())
        self._on_disk = {unit.index for unit in self._plan.mine if unit.index in found and self._load(unit) is not None}
        self._bring_back(found - self._on_disk)
        self._shards.remove(found - self._on_disk)

    def _bring_back(self, displaced: set[int]) -> None:
        """Put shards in place that an earlier plan had elsewhere: files were missing then, or are more now.

        Both plans have the files in one order. So those that go up, from the last, and then those that go down, from
        the first, never take a place that another one has not left yet: killed at any point, a disk loses nothing.
        """
        if not displaced:
            return
        places = {key_of(self._shards.read_encoded(place)): place for place in sorted(displaced)}
        missing = [unit for unit in self._plan.mine if unit.index not in self._on_disk]
        moves = [(places[key], unit) for unit in missing if (key := self._keys.of(unit)) in places]
        up = [(place, unit) for place, unit in reversed(moves) if place < unit.index]
        for place, unit in [*up, *((place, unit) for place, unit in moves if place > unit.index)]:
            shard = self._shards.read(place, self._keys.of(unit))
            if shard is not None:
                shard.unit = unit.index
                self._shards.write(shard)
                self._on_disk.add(unit.index)

    def _take_over(self, run: EarlierRun) -> None:
        """Put the shards that ``run`` has of Units still missing in place here."""
        for unit in self._plan.mine:
            shard = run.find(self._keys.of(unit)) if unit.index not in self._on_disk else None
            if shard is not None:
                shard.unit = unit.index
                self._shards.write(shard)
                self._on_disk.add(unit.index)
                self._reused_from[run.location] = self._reused_from.get(run.location, 0) + unit.n_planned

    # -- the work -----------------------------------------------------------------------------------------------------

    def work(self, engine: Engine | RemoteEngine, interrupts: Interrupts) -> None:
        """Run everything that is not on disk yet."""
        units = self._plan.mine
        if self._on_disk:
            self._resume(units)
        missing = self._readable({unit.index for unit in units} - self._on_disk)
        if not missing and not self._source.open_ended:
            self._ended = True
            return
        assembly = Assembly(self._probes.fields if self._probes is not None else ())
        with closing(self._outcomes(engine, assembly, missing)) as outcomes:
            while (outcome := self._next(outcomes, interrupts)) is not None:
                if outcome.death is not None:
                    self._watcher.note(f"a row killed its worker: {outcome.death.cause}")
                whole = assembly.add(outcome, self._plan.units)
                if whole is not None:
                    self._take(whole)
        self._ended = True

    @staticmethod
    def _next(outcomes: Generator[Outcome, None, None], interrupts: Interrupts) -> Outcome | None:
        with interrupts.released():
            return next(outcomes, None)

    def _readable(self, missing: set[int]) -> set[int]:
        """``missing`` without the Units of files that cannot be read now; those files are told of."""
        units, reasons = self._plan.units, self._plan.unreadable
        lost = [index for index in sorted(missing) if units[index].file in reasons] if reasons else []
        for file in dict.fromkeys([*self._plan.uncounted, *(units[index].file for index in lost)]):
            self._not_reached[file] = reasons[file]
            self._watcher.note(f"{file} cannot be read: {reasons[file]}")
        return missing.difference(lost)

    def _outcomes(
        self, engine: Engine | RemoteEngine, assembly: Assembly, missing: set[int]
    ) -> Generator[Outcome, None, None]:
        """What the engine makes of the missing Units: of batches read here, or of portions it reads elsewhere."""
        make_work = partial(ScanWork, self._options.limits, self._options.selection.source_filter, self._probes)
        if hasattr(engine, "run_portions"):
            assembly.expect(unit for unit in self._plan.mine if unit.index in missing)
            portions = portions_of(self._source, self._plan, missing, engine.workers)
            return engine.run_portions(portions, make_work, self._unreadable)
        wanted: Container[int] = _Everything() if self._source.open_ended else missing
        batches = assembly.watch(self._source.read(self._plan, wanted, self._unreadable))
        return engine.run(batches, make_work)

    def _resume(self, units: list[Unit]) -> None:
        done = sum(unit.n_planned for unit in units if unit.index in self._on_disk)
        self._reused_rows = max(0, done - sum(self._reused_from.values()))
        self._watcher.note(f"{done:,} of {self._plan.n_rows:,} rows are done already")
        self._watcher.update(done, 0, 0)
        self._advance({})

    def _load(self, unit: Unit) -> Shard | None:
        return self._shards.read(unit.index, self._keys.of(unit))

    def _take(self, shard: Shard) -> None:
        """A Unit is whole: put its shard on disk, then bring the outputs as far as they go."""
        shard.key = self._keys.of(self._plan.units[shard.unit])
        self._shards.write(shard)
        self._on_disk.add(shard.unit)
        self._scanned.merge(shard.counters)
        self._advance({shard.unit: shard})
        self._watcher.update(shard.n_rows, shard.counters.blob_bytes, shard.n_faulty)

    def _advance(self, fresh: dict[int, Shard]) -> None:
        output = self._output
        assert output is not None
        output.hold(fresh)
        try:
            self._append_ready(output)
        except OSError as error:
            raise self._unwritable(error) from error

    def _append_ready(self, output: Outputs) -> None:
        """Append the Units that are whole from where the outputs end."""
        units = self._plan.mine
        while output.next_unit < len(units) and units[output.next_unit].index in self._on_disk:
            unit = units[output.next_unit]
            shard = output.held.pop(unit.index, None) or self._load(unit)
            if shard is None:
                raise RunError(
                    f"a shard vanished from {self._folder.location} during the scan; run the same command again"
                )
            output.append(shard)

    def _unreadable(self, file: str, unit: int, reason: str) -> None:
        self._not_reached[file] = reason
        self._watcher.note(f"{file} cannot be read from unit {unit} on: {reason}")

    # -- after --------------------------------------------------------------------------------------------------------

    def finish(self, engine: Engine | RemoteEngine) -> None:
        """Write records, statistics and manifest of whatever is done: a Run that says what is missing."""
        output = self._output
        assert output is not None
        units = self._plan.mine
        try:
            for unit in units[output.next_unit :]:
                shard = output.held.pop(unit.index, None) or (self._load(unit) if unit.index in self._on_disk else None)
                if shard is not None:
                    output.append(shard)
            output.close()
            self._folder.flush()
            account = output.account(self._plan.n_rows, len(self._plan.uncounted))
            is_complete = self._ended and account.is_whole and not self._not_reached
            seconds, cpu_s = time.monotonic() - self._started_s, time.process_time() - self._started_cpu_s
            cost = cost_of(engine, self._scanned, seconds, cpu_s)
            self._write_manifest("complete" if is_complete else "partial", account, cost, output.digests)
        except OSError as error:
            raise self._unwritable(error) from error
        except Exception:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Nothing more can be written: give back the space of what is not whole, and leave the shards as they are."""
        with suppress(OSError):
            if self._output is not None:
                self._output.discard()
        with suppress(OSError):  # where somebody removed the folder: without it the same command would not continue
            if not self._folder.exists("run.json"):
                self._mark_running()

    def standing(self) -> str:
        """How far the scan has come, for a person."""
        done = sum(unit.n_planned for unit in self._plan.mine if unit.index in self._on_disk)
        planned = "" if self._source.open_ended else f" of {self._plan.n_rows:,}"
        return f"interrupted; {done:,}{planned} rows are done and kept in {self._folder.location}"

    def _unwritable(self, error: OSError) -> OutputError:
        where, why = self._folder.location, error.strerror or error
        return OutputError(f"cannot write {where}: {why}; free space and run the same command again")

    def _write_manifest(
        self, state: str, account: Account, cost: dict[str, Any], digests: dict[str, str] | None = None
    ) -> None:
        manifest = Manifest(
            source=self._source.location,
            revision=self._plan.revision,
            arguments=self._arguments,
            state=state,
            inputs=[Input(*msgspec.structs.astuple(each)) for each in self._plan.inputs],
            n_units=len(self._plan.mine),
            share=self._keys.share(),
            account=account,
            not_reached=self._not_reached,
            reused_rows=self._reused_rows,
            reused_from=self._reused_from,
            started=self._started,
            wall_seconds=round(time.monotonic() - self._started_s, 3),
            versions=versions(),
            machine=machine(),
            digests=digests or {},
            counters=self._scanned,
            **cost,
        )
        write_json(self._folder, "run.json", manifest)
        self._folder.flush()


class _Everything:
    """All Units of a source whose plan grows while it is read."""

    def __contains__(self, unit: object) -> bool:
        return True


class _Keys:
    """What the result of a Unit depends on, as a short text: resume and reuse take a shard only under the same one."""

    def __init__(self, plan: Plan, options: Options, probes: Probes | None) -> None:
        self._plan = plan
        self._identities = {each.file: each.identity for each in plan.inputs}
        self._basis = (
            SCHEMA_VERSION,
            options.limits,
            options.path_column,
            options.blob_column,
            options.selection.source_filter,
            *([probes.digests] if probes is not None else []),
        )

    def of(self, unit: Unit) -> str:
        identity = self._identities.get(unit.file, "")
        return xxh3_128_hexdigest(
            msgspec.msgpack.encode((self._basis, unit.file, identity, unit.first_row, unit.n_rows, unit.picks))
        )

    def share(self) -> Share | None:
        """Which part of the plan this is, where it is one."""
        if self._plan.share is None:
            return None
        units = self._plan.units
        whole = xxh3_128_hexdigest(msgspec.msgpack.encode((self._basis, self._identities, units)))
        return Share(whole, len(units), sum(unit.n_planned for unit in units), *self._plan.share)


def arguments_of(source: Source, options: Options, probes: Probes | None = None) -> dict[str, Any]:
    """Every option that the result depends on, as it stands in ``run.json``. Workers and engine are none of them."""
    arguments: dict[str, Any] = {"source": source.location}
    arguments |= msgspec.to_builtins(options.selection)
    arguments |= msgspec.to_builtins(options.limits)
    arguments |= {"path_column": options.path_column, "blob_column": options.blob_column}
    if probes is not None:
        arguments["probes"] = probes.digests
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(arguments))  # as they come back from run.json
    return plain
