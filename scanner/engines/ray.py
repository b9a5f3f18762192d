"""Work on a Ray cluster: portions of the plan are tasks that read their own rows; only results come back.

::

    portions --> todo --> tasks, as many as there are processors (and as many again waiting)
                  ^            on each: portion.read -> ProcessEngine of one worker -> Outcomes
                  |  lost          |
                  +----------------+--> Outcomes, some MB a task, through the object store

Two floors look after what can go wrong. Within a task, the process engine runs the work in a worker of its own, under
the same limits as on one machine: a row that kills is found there, and its record is the same bytes. What is left to
happen to a task is that its node, its process or its result is lost. Then it is simply run again; if it is lost
:data:`TRIES` times, its halves are, and a Unit that nobody survives reading is told as unreadable. Ray itself retries
nothing (``max_retries=0``), so that nothing is run more often than this.

Ray Core and not Ray Data: rows never become Ray's data.
"""

from __future__ import annotations

import logging
import os
import platform
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, NamedTuple

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError, RuntimeEnvSetupError, TaskUnschedulableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from scanner.batch import Batch
from scanner.engines import Outcome, Portion, Unreadable, Work
from scanner.engines.processes import ProcessEngine
from scanner.engines.tally import Tally
from scanner.errors import EngineError
from scanner.model import SCHEMA_VERSION
from scanner.options import MIB

TRIES: Final = 3
"""How often a portion may be lost before it is halved: nodes come and go, and one portion may meet two of them."""

HOPELESS: Final = 40
"""Portions lost in a row while none was answered: a Unit that nobody survives reading explains at most 24."""

GREETING_SECONDS: Final = 60.0
"""A node that does not answer for so long is not waited for; its tasks are checked all the same."""

LOCAL_STORE_BYTES: Final = 256 * MIB
"""Object store of a cluster that is started for one scan: results of a few tasks lie there, some MB each."""


class RayTally(Tally, kw_only=True):
    """What the process engines of all tasks counted, and what became of the tasks."""

    tasks: int = 0
    """Portions that were answered."""
    tasks_lost: int = 0
    """Tasks whose node, process or result was lost."""
    nodes: int = 0
    """Nodes that were there at the start."""


class Versions(NamedTuple):
    """What must be the same wherever work is done."""

    python: str
    scanner: str
    schema: int

    def difference(self, other: Versions) -> str | None:
        """What differs in ``other``, in words; None where nothing does."""
        for name, mine, its in zip(("Python", "scanner", "schema"), self, other, strict=True):
            if mine != its:
                return f"{name} {its}, this is {mine}"
        return None


def versions_here() -> Versions:
    """Those of this process, wherever it is."""
    try:
        scanner = version("tasktrove-scanner")
    except PackageNotFoundError:
        scanner = "unknown"
    return Versions(".".join(platform.python_version_tuple()[:2]), scanner, SCHEMA_VERSION)


class Terms(NamedTuple):
    """What every task is given besides its portion."""

    versions: Versions
    make_work: Callable[[], Work]
    memory_bytes: int | None
    row_seconds: float | None
    preload: tuple[str, ...]


class Answer(NamedTuple):
    """What a task brings back."""

    outcomes: list[Outcome]
    unreadable: list[tuple[str, int, str]]
    tally: Tally


class Attempt:
    """A portion on its way, and how often it was lost."""

    __slots__ = ("lost", "portion")

    def __init__(self, portion: Portion) -> None:
        self.portion = portion
        self.lost = 0


class RayEngine:
    """Portions on a Ray cluster, one processor each.

    Args:
        address: Of the cluster (``auto``, ``HOST:6379``, ``ray://…``); None takes ``RAY_ADDRESS``, else starts Ray on
            this machine for the time of the scan. A program that has called ``ray.init`` is left its connection.
        workers: Tasks that work at a time; None takes every processor of the cluster, those that join it later too.
        memory_bytes: See :class:`scanner.engines.processes.ProcessEngine`; likewise ``row_seconds`` and ``preload``.
    """

    name = "ray"

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        *,
        memory_bytes: int | None = 2048 * MIB,
        row_seconds: float | None = 120.0,
        preload: tuple[str, ...] = (),
    ) -> None:
        self.tally = RayTally()
        self._asked_workers = workers
        self._limits = (memory_bytes, row_seconds, preload)
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            _connect(address or os.environ.get("RAY_ADDRESS"), workers)
        self._lost_in_a_row = 0
        self._workers = workers or _processors()

    @property
    def workers(self) -> int:
        """Tasks that work at a time, as last seen."""
        return self._workers

    def run_portions(
        self, portions: Iterator[Portion], make_work: Callable[[], Work], unreadable: Unreadable
    ) -> Generator[Outcome, None, None]:
        """See :class:`scanner.engines.RemoteEngine`."""
        running: dict[Any, Attempt] = {}
        try:
            terms = Terms(versions_here(), make_work, *self._limits)
            self._greet(terms.versions)
            yield from self._pump(portions, ray.put(terms), running, unreadable)
        finally:
            for reference in running:
                with suppress(RayError):
                    ray.cancel(reference, force=True)
            self.close()

    def close(self) -> None:
        """See :class:`scanner.engines.RemoteEngine`: a Ray that this engine has started or connected to is let go."""
        if self._is_ours:
            ray.shutdown()

    def _greet(self, here: Versions) -> None:
        """Ask every node for its versions. Raises EngineError naming the first that differs, or has no scanner."""
        nodes = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
        self.tally.nodes = len(nodes)
        ask = ray.remote(num_cpus=0, max_retries=2)(versions_here)
        asked = [
            (address, ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote())
            for node, address in nodes.items()
        ]
        for address, reference in asked:
            try:
                difference = here.difference(ray.get(reference, timeout=GREETING_SECONDS))
            except RayTaskError as error:
                raise EngineError(f"node {address} cannot run the scanner ({_first_line(error.cause)})") from error
            except (GetTimeoutError, RayError):  # gone already, or slow: its tasks will tell
                continue
            if difference is not None:
                raise EngineError(f"node {address} has {difference}; install the same version everywhere")

    def _pump(
        self, portions: Iterator[Portion], terms: Any, running: dict[Any, Attempt], unreadable: Unreadable
    ) -> Iterator[Outcome]:
        task = ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")(run_portion)
        again: deque[Attempt] = deque()
        fresh = map(Attempt, portions)
        outcomes: list[Outcome] = []
        while True:
            while len(running) < self._most_running():
                attempt = again.popleft() if again else next(fresh, None)
                if attempt is None:
                    break
                running[task.remote(attempt.portion, attempt.portion.credentials, terms)] = attempt
            yield from outcomes  # only now, so that no processor idles while they are put on disk
            outcomes = []
            if not running:
                return
            (done,), _ = ray.wait(list(running), num_returns=1)
            attempt = running.pop(done)
            try:
                answer: Answer = ray.get(done)
            except (RayTaskError, RuntimeEnvSetupError, TaskUnschedulableError) as error:
                raise EngineError(f"The work cannot be done on Ray: {_first_line(error)}") from error
            except RayError as error:
                again.extendleft(reversed(self._lost(attempt, _first_line(error), unreadable)))
                continue
            self._lost_in_a_row = 0
            self._count(answer.tally)
            for told in answer.unreadable:
                unreadable(*told)
            outcomes = answer.outcomes

    def _most_running(self) -> int:
        """As many waiting as working, so that no processor idles while an answer travels; never more than asked."""
        if self._asked_workers is not None:
            return self._asked_workers
        self._workers = _processors()
        return 2 * self._workers

    def _lost(self, attempt: Attempt, cause: str, unreadable: Unreadable) -> list[Attempt]:
        """What is to be tried now that a task was lost."""
        self.tally.tasks_lost += 1
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= HOPELESS:
            raise EngineError(f"Tasks are lost again and again, {HOPELESS} times in a row; the last one: {cause}")
        attempt.lost += 1
        if attempt.lost < TRIES:
            return [attempt]
        halves = attempt.portion.halves()
        if len(halves) > 1:
            return [Attempt(half) for half in halves]
        for unit in attempt.portion.units:
            unreadable(unit.file, unit.index, f"the task that reads it was lost {TRIES} times ({cause})")
        return []

    def _count(self, tally: Tally) -> None:
        mine = self.tally
        mine.tasks += 1
        for name in (
            "batches",
            "outcomes",
            "bytes_copied",
            "waits",
            "wait_seconds",
            "workers_started",
            "worker_deaths",
        ):
            setattr(mine, name, getattr(mine, name) + getattr(tally, name))
        mine.peak_worker_bytes = max(mine.peak_worker_bytes, tally.peak_worker_bytes)


def run_portion(portion: Portion, credentials: str | None, terms: Terms) -> Answer:
    """Read and work on a portion, in a task. Answers Unit by Unit, as ``RemoteEngine`` says.

    The credentials are an argument of their own: one so small travels with the call and is never an object of Ray's
    store, which spills to disks.
    """
    difference = terms.versions.difference(versions_here())
    if difference is not None:  # a node that joined after the start
        raise EngineError(f"a node has {difference}; install the same version everywhere")
    told: list[tuple[str, int, str]] = []
    places: list[tuple[int, int]] = []
    """Of each batch: its Unit, and the position of its first row within the Unit."""

    def watched() -> Iterator[Batch]:
        unit = rows = -1
        for batch in portion.read(lambda *what: told.append(what), credentials):
            rows = rows if batch.unit == unit else 0
            unit = batch.unit
            places.append((unit, rows))
            rows += len(batch)
            yield batch

    engine = ProcessEngine(1, memory_bytes=terms.memory_bytes, row_seconds=terms.row_seconds, preload=terms.preload)
    outcomes = []
    for outcome in engine.run(watched(), terms.make_work):
        unit, before = places[outcome.batch]
        outcomes.append(outcome._replace(batch=unit, first=before + outcome.first))
    return Answer(outcomes, told, engine.tally)


def _connect(address: str | None, workers: int | None) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    here: dict[str, Any] = {"address": address}
    if address is None:
        here = {
            "address": "local",
            "num_cpus": workers,
            "include_dashboard": False,
            "object_store_memory": LOCAL_STORE_BYTES,
        }
    try:
        ray.init(**here, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:  # RuntimeError: another Ray or Python there
        where = f"Ray at {address}" if address is not None else "Ray on this machine"
        raise EngineError(f"{where} cannot be used: {_first_line(error)}") from error


def _processors() -> int:
    """Of the whole cluster, as it is now."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1 if isinstance(error, RayTaskError) else 0] if lines else type(error).__name__
