"""One contract over all engines, and what becomes of rows that kill, of workers that are killed, and of the parent."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import engine_works as works
import multiprocess
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.batch import Batch
from scanner.engines import Engine, Outcome, Work
from scanner.engines.limits import peak_memory
from scanner.engines.processes import ProcessEngine
from scanner.engines.serial import SerialEngine
from scanner.errors import EngineError

SLOT_BYTES = 16 * 1024
MEMORY_BYTES = 256 << 20


def processes(workers: int, row_seconds: float | None = 20.0) -> ProcessEngine:
    return ProcessEngine(workers, slot_bytes=SLOT_BYTES, memory_bytes=MEMORY_BYTES, row_seconds=row_seconds)


ENGINES: dict[str, Callable[[], Engine]] = {
    "serial": SerialEngine,
    "1 worker": lambda: processes(1),
    "2 workers": lambda: processes(2),
    "7 workers": lambda: processes(7),
}

SHAPES: dict[str, list[list[int]]] = {
    "no batch": [],
    "one row": [[100]],
    "a batch without rows": [[10], [], [10]],
    "empty blobs": [[0, 0, 0], [0]],
    "more batches than slots": [[50, 60, 70]] * 100,
    "batches larger than a slot": [[100_000], [10], [5_000] * 40, [10], [1_000_000, 10], [10]],
}


def answers(outcomes: Iterator[Outcome], batches: Sequence[Batch]) -> dict[tuple[int, int], bytes | str]:
    """Digest or cause of each (batch, position), having checked that each is answered once and none is not."""
    found: dict[tuple[int, int], bytes | str] = {}
    for outcome in outcomes:
        positions = [(outcome.batch, outcome.first + i) for i in range(outcome.n_rows)]
        assert not found.keys() & positions
        if outcome.payload is None:
            assert outcome.n_rows == 1
            assert outcome.death is not None
            assert outcome.packed is not None
            batch, packed = batches[outcome.batch], Batch.unpack(outcome.packed)
            assert (len(packed), packed.rows[0]) == (1, batch.rows[outcome.first])
            assert works.digest(memoryview(outcome.packed)) in works.digest(memoryview(batch.pack()))
            found[positions[0]] = outcome.death.cause
        else:
            assert len(outcome.payload) == works.DIGEST.size * outcome.n_rows
            at = range(0, len(outcome.payload), works.DIGEST.size)
            found.update(zip(positions, (outcome.payload[i : i + works.DIGEST.size] for i in at), strict=True))
    assert found.keys() == {(number, row) for number, batch in enumerate(batches) for row in range(len(batch))}
    return found


def run(engine: Engine, batches: Sequence[Batch], make_work: Callable[[], Work]) -> dict[tuple[int, int], bytes | str]:
    return answers(engine.run(iter(batches), make_work), batches)


def n_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """After each test no worker lives and no descriptor is open that was not before."""
    list(processes(1).run(iter(works.batches_of([[1]])), works.make_digest))  # the forkserver stays for the next
    before = n_descriptors()
    yield
    assert not multiprocess.active_children()
    assert n_descriptors() == before


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_row_is_answered_once_as_the_work_says(engine: str, shape: str) -> None:
    """Every engine yields what the work makes of each row, and takes each batch once."""
    batches = works.batches_of(SHAPES[shape])
    found = run(ENGINES[engine](), batches, works.make_digest)
    expected = b"".join(works.digest(memoryview(batch.pack())) for batch in batches)
    assert b"".join(digest for _, digest in sorted(found.items()) if isinstance(digest, bytes)) == expected


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 9_000), max_size=6), max_size=15), st.integers(1, 3))
def test_engines_agree_on_any_batches(sizes: list[list[int]], slots: int) -> None:
    """Whatever the batches and the bound of the queue, processes and the serial engine give the same."""
    batches = works.batches_of(sizes)
    engine = ProcessEngine(2, slot_bytes=SLOT_BYTES, slots_per_worker=slots)
    assert run(engine, batches, works.make_digest) == run(SerialEngine(), batches, works.make_digest)
    assert engine.tally.bytes_copied == sum(map(sum, sizes))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_consumer_may_leave_early(engine: str) -> None:
    """Closing the iterator ends the workers, whatever they are at, and asks for no more batches than were in hand."""
    batches = iter(works.batches_of([[10]] * 1000))
    with contextlib.closing(ENGINES[engine]().run(batches, works.make_digest)) as outcomes:
        next(outcomes)
    assert len(list(batches)) >= 1000 - 7 * 2


@pytest.mark.parametrize("engine", ENGINES)
def test_an_error_of_the_source_comes_through(engine: str) -> None:
    """What the batch iterator raises reaches the consumer unchanged."""

    def batches() -> Iterator[Batch]:
        yield from works.batches_of([[10]] * 3)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(ENGINES[engine]().run(batches(), works.make_digest))


@pytest.mark.parametrize(("act", "cause"), [("raise", "ValueError: bad luck"), ("sys.exit", "SystemExit: 3")])
@pytest.mark.parametrize("engine", ENGINES)
def test_work_that_raises_fails_its_rows_alone(engine: str, act: str, cause: str) -> None:
    """A bug of the work is a Death of the row it is about; the other rows of the batch are fine."""
    batches = works.batches_of([[10, 20, 30]] * 4)
    found = run(ENGINES[engine](), batches, works.Poison(act, [1, 11]))
    bad = {at: answer for at, answer in found.items() if isinstance(answer, str)}
    assert bad == dict.fromkeys([(0, 1), (3, 2)], f"exception: {cause}")


DEATHS = {
    "SIGKILL": "signal 9 (SIGKILL)",
    "SIGTERM": "signal 15 (SIGTERM)",
    "SIGSEGV": "signal 11 (SIGSEGV)",
    "SIGABRT": "signal 6 (SIGABRT)",
    "_exit": "exit code 5",
    "memory": "memory limit of 256 MiB",
    "loop": "watchdog: no progress for 0.2 s of processor time",
    "loop in C": "watchdog: no progress for 0.2 s of processor time",
    "block": "watchdog: no progress for 3 s",
}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("act", DEATHS)
def test_a_row_that_kills_is_found_and_costs_no_other(act: str, workers: int) -> None:
    """Exactly the rows that kill their worker are answered with a Death, which names the signal, code or limit."""
    batches = works.batches_of([[10] * 5] * 10 + [[100_000]])
    clean = run(SerialEngine(), batches, works.make_digest)
    poison = [50] if act == "block" else [0, 7, 8, 50]
    engine = processes(workers, {"loop": 0.2, "loop in C": 0.2, "block": 0.3}.get(act))
    found = run(engine, batches, works.Poison(act, poison))
    assert found == clean | {divmod(row, 5): DEATHS[act] for row in poison}
    assert engine.tally.bytes_copied == 10 * 5 * 10 + 100_000
    assert engine.tally.workers_started >= engine.tally.worker_deaths >= len(poison)


def test_a_slow_batch_that_tells_its_progress_is_left_alone() -> None:
    """The watchdog's time is that of one row where the work says between rows that it goes on."""
    batches = works.batches_of([[10] * 8])
    engine = processes(1, 0.4)
    run(engine, batches, works.Poison("burn", range(8), calls_progress=True))
    assert engine.tally.worker_deaths == 0


def test_a_slow_batch_that_tells_nothing_loses_nothing() -> None:
    """Otherwise the batch is cut into rows, and each has the whole time."""
    batches = works.batches_of([[10] * 8])
    engine = processes(1, 0.4)
    found = run(engine, batches, works.Poison("burn", range(8)))
    assert engine.tally.worker_deaths == 1
    assert found == run(SerialEngine(), batches, works.make_digest)


@pytest.mark.parametrize("seed", range(3))
def test_workers_killed_at_random_lose_nothing(seed: int) -> None:
    """Workers killed from outside, again and again, cost time only."""
    rng = random.Random(seed)
    batches = works.batches_of([[rng.randrange(30_000) for _ in range(rng.randrange(6))] for _ in range(500)])
    engine = processes(3)
    outcomes = []
    for outcome in engine.run(iter(batches), works.make_digest):
        outcomes.append(outcome)
        if rng.random() < 0.1 and (workers := multiprocess.active_children()):
            rng.choice(workers).kill()
    assert answers(iter(outcomes), batches) == run(SerialEngine(), batches, works.make_digest)
    assert engine.tally.worker_deaths > 10
    assert engine.tally.batches == 500


def test_a_batch_in_work_when_its_worker_is_killed_is_run_again_whole(tmp_path: Path) -> None:
    """One SIGKILL is no reason to suspect the rows: no batch is cut up for it."""
    engine = processes(1)
    outcomes = list(engine.run(iter(works.batches_of([[10] * 5] * 4)), works.KilledOnce(tmp_path / "marker")))
    assert sorted(outcome[:3] for outcome in outcomes) == [(number, 0, 5) for number in range(4)]
    assert engine.tally.worker_deaths == 1


def test_a_batch_of_nothing_but_killers() -> None:
    """Any number of killing rows in a row is found, each for itself."""
    found = run(processes(2), works.batches_of([[10] * 8, [10]]), works.Poison("SIGKILL", range(8)))
    assert sorted(at for at, answer in found.items() if answer == "signal 9 (SIGKILL)") == [
        (0, row) for row in range(8)
    ]


def test_a_stopped_worker_does_not_stop_the_others() -> None:
    """All that a stopped worker does not hold is answered meanwhile; it goes on where it was."""
    batches = works.batches_of([[10]] * 60)
    engine = processes(2)
    outcomes = engine.run(iter(batches), works.make_pid)
    first = next(outcomes)
    assert first.payload is not None
    os.kill(int(first.payload), signal.SIGSTOP)
    seen = [first, *(next(outcomes) for _ in range(60 - 1 - 2))]
    os.kill(int(first.payload), signal.SIGCONT)
    seen += outcomes
    assert sorted(outcome.batch for outcome in seen) == list(range(60))
    assert engine.tally.worker_deaths == 0


def test_a_killed_forkserver_is_replaced() -> None:
    """Without its forkserver no worker's end can be told; they are replaced by those of a new one."""
    batches = works.batches_of([[10] * 3] * 100)
    outcomes = processes(2).run(iter(batches), works.make_digest)
    seen = [next(outcomes)]
    os.kill(multiprocess.forkserver._forkserver._forkserver_pid, signal.SIGKILL)
    seen += outcomes
    assert answers(iter(seen), batches) == run(SerialEngine(), batches, works.make_digest)


def test_a_forkserver_that_ends_between_runs_is_replaced() -> None:
    """One that ends in order takes its folder with it; the next run makes a new one."""
    with contextlib.suppress(FileNotFoundError):
        multiprocess.forkserver._forkserver._stop()
    assert len(list(processes(2).run(iter(works.batches_of([[10]] * 5)), works.make_digest))) == 5


def test_large_results_come_through() -> None:
    """A payload far beyond a pipe's buffer neither blocks nor breaks."""
    batches = works.batches_of([[10]] * 9)
    outcomes = list(processes(2).run(iter(batches), works.Large(5_000_000)))
    assert {o.batch: o.payload for o in outcomes} == {n: bytes([n]) * 5_000_000 for n in range(9)}


def test_work_that_cannot_be_made() -> None:
    """An exception while the work is set up is an EngineError that quotes it."""
    with pytest.raises(EngineError, match="LookupError: no such model"):
        list(processes(2).run(iter(works.batches_of([[1]])), works.make_never))


def test_workers_that_end_at_birth() -> None:
    """Workers that end before any result, time after time, are an EngineError with the cause."""
    with pytest.raises(EngineError, match=r"5 times in a row.*exit code 7"):
        list(processes(2).run(iter(works.batches_of([[1]])), works.make_exit))


def test_more_workers_than_descriptors(tmp_path: Path) -> None:
    """A system limit in the way of the workers is an EngineError, and what had begun is ended."""
    body = """
import resource
from scanner.errors import EngineError
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
try:
    list(ProcessEngine(50).run(iter(works.batches_of([[10]] * 500)), works.Poison("block", range(500))))
except EngineError as error:
    print("Too many open files" in str(error))
"""
    with script(tmp_path, body) as parent:
        assert parent.communicate()[0] == "True\n"


def test_work_that_cannot_be_sent() -> None:
    """Work that no pickle carries is an EngineError before anything starts."""
    unsendable = (number for number in range(3))
    with pytest.raises(EngineError, match="cannot be sent"):
        list(processes(1).run(iter(works.batches_of([[1]])), lambda: lambda _: bytes(unsendable)))


def test_lambdas_and_closures_travel() -> None:
    """Work made from what is at hand in a notebook arrives by value."""
    factor = 3
    outcomes = processes(1).run(
        iter(works.batches_of([[1, 2]])), lambda: lambda view: bytes([factor * len(view) % 251])
    )
    assert [o.payload for o in outcomes] == [bytes([3 * works.batches_of([[1, 2]])[0].packed_size % 251])]


def test_engines_side_by_side() -> None:
    """Two runs in turn and another in a thread do not get in one another's way."""
    batches = works.batches_of([[10, 20]] * 50)
    expected = run(SerialEngine(), batches, works.make_digest)
    in_thread: list[object] = []
    thread = threading.Thread(target=lambda: in_thread.append(run(processes(2), batches, works.make_digest)))
    thread.start()
    first, second = (processes(1).run(iter(batches), works.make_digest) for _ in range(2))
    pairs = list(zip(first, second, strict=True))
    assert answers(iter([a for a, _ in pairs]), batches) == expected
    assert answers(iter([b for _, b in pairs]), batches) == expected
    thread.join()
    assert in_thread == [expected]


def test_pressure_is_counted() -> None:
    """A producer faster than its worker waits, and says how often and how long."""
    engine = processes(1)
    run(engine, works.batches_of([[10]] * 50), works.Poison("burn", [49]))
    assert engine.tally.waits > 0
    assert engine.tally.wait_seconds > 0


def test_starts_and_stops_leak_nothing() -> None:
    """300 runs, each with a worker that is born and ended (the fixture counts descriptors)."""
    batches = works.batches_of([[10]])
    for _ in range(300):
        next(processes(1).run(iter(batches), works.make_digest))


def test_programs_started_by_workers_inherit_nothing() -> None:
    """All descriptors of a worker but the standard ones close on exec."""
    (outcome,) = processes(1).run(iter(works.batches_of([[1]])), works.make_descriptors)
    assert outcome.payload == b"[]"


def script(folder: Path, body: str, *flags: str) -> subprocess.Popen[str]:
    """A Python program with its own temporary folder; its stdout ends only when all that it started has ended."""
    folder.mkdir(exist_ok=True)
    (folder / "temporary").mkdir(exist_ok=True)
    program = folder / "program.py"
    program.write_text("import engine_works as works\nfrom scanner.engines.processes import ProcessEngine\n" + body)
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    env = os.environ | {"TMPDIR": str(folder / "temporary"), "PYTHONPATH": path}
    env.pop("OPENBLAS_NUM_THREADS", None)
    return subprocess.Popen(
        [sys.executable, *flags, str(program)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


LOOPING = """
batches = works.batches_of([[10]] * 4)
for outcome in ProcessEngine(3, row_seconds=None).run(iter(batches), works.Poison("loop in C", [1, 2, 3])):
    print("going", flush=True)
"""


@pytest.mark.parametrize(("send", "signum"), [(os.kill, signal.SIGKILL), (os.killpg, signal.SIGTERM)])
def test_a_killed_parent_leaves_nothing(send: Callable[[int, int], None], signum: int, tmp_path: Path) -> None:
    """When the parent is killed its workers end, even within C code that holds the GIL, and its folder goes."""
    with script(tmp_path, LOOPING) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "going\n"
        send(parent.pid, signum)
        assert parent.stdout.read() == ""  # the end of the pipe: workers, forkserver and tracker are gone
    assert not any((tmp_path / "temporary").iterdir())


def test_what_a_killed_group_leaves_is_swept_at_the_next_start(tmp_path: Path) -> None:
    """When all are killed at once the socket's folder stays, until the next start; that of a living one is let be."""
    with script(tmp_path, LOOPING) as parent, script(tmp_path, LOOPING) as other:
        assert parent.stdout is not None
        assert other.stdout is not None
        assert parent.stdout.readline() == other.stdout.readline() == "going\n"
        os.killpg(parent.pid, signal.SIGKILL)
        assert parent.stdout.read() == ""
        listeners = list((tmp_path / "temporary").glob("*/listener-*"))
        assert len(listeners) == 2
        for listener in listeners:
            os.utime(listener, (0, 0))  # as if they were not about to be bound
        with script(
            tmp_path, "list(ProcessEngine(1).run(iter(works.batches_of([[1]])), works.make_digest))"
        ) as next_one:
            assert next_one.communicate()[0] == ""
        assert len(list((tmp_path / "temporary").iterdir())) == 1
        other.kill()
        assert other.stdout.read() == ""
    assert not any((tmp_path / "temporary").iterdir())


def test_ctrl_c_ends_all_at_once(tmp_path: Path) -> None:
    """SIGINT to the whole terminal: the parent's KeyboardInterrupt ends the workers, which say nothing themselves."""
    body = "try:\n" + "".join(f"    {line}\n" for line in LOOPING.splitlines())
    with script(tmp_path, body + "except KeyboardInterrupt:\n    print('interrupted')\n") as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "going\n"
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.stdout.read() == "interrupted\n"
        assert parent.wait() == 0
    assert not any((tmp_path / "temporary").iterdir())


def test_a_script_needs_no_main_guard(tmp_path: Path) -> None:
    """Workers do not run the caller's main module again, and still get its functions and what these refer to."""
    body = """
import zlib
from scanner.batch import Batch
print("main")
class Suffix:
    text = b"!"
def count(view):
    return zlib.compress(str(len(Batch.unpack(view))).encode() + Suffix.text)
def make():
    return count
for outcome in ProcessEngine(2).run(iter(works.batches_of([[1, 2, 3]])), make):
    print(zlib.decompress(outcome.payload))
"""
    with script(tmp_path, body) as parent:
        assert parent.communicate()[0] == "main\nb'3!'\n"


def test_the_forkserver_has_its_modules_and_its_environment(tmp_path: Path) -> None:
    """What is to be preloaded is, found along the parent's path; BLAS has one thread; the parent's own is unchanged."""
    body = """
import os
before = dict(os.environ)
(outcome,) = ProcessEngine(1, preload=("wave",)).run(iter(works.batches_of([[1]])), works.make_surroundings)
print(outcome.payload.decode())
print(os.environ == before)
"""
    with script(tmp_path, body) as parent:
        seen, unchanged = parent.communicate()[0].splitlines()
    assert json.loads(seen) == {"preloaded": True, "threads": "1"}
    assert unchanged == "True"


def test_peak_memory_is_the_process_own() -> None:
    """A small command that a large process starts does not take over its peak, as ``ru_maxrss`` would on Linux."""
    code = "from scanner.engines.limits import peak_memory; print(peak_memory())"
    ballast = bytearray(b"x") * (300 << 20)
    peak = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert 5 << 20 < peak < 200 << 20
    assert peak_memory() > len(ballast)
