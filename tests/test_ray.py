"""The Ray engine on real clusters of two nodes: the bytes of the serial engine, whoever dies meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hub_scans import make_repo
from hub_server import TOKEN, hub_of
from parquet_files import make_dataset
from ray_gate import DeadlyPortion, Gate, Keeper, die_at_seven

import scanner
from scanner.cli import main
from scanner.corpus import make_corpus
from scanner.model import Unit
from scanner.options import Limits
from scanner.run import Run
from scanner.sources.arrow import Columns
from scanner.sources.files import find_local
from scanner.sources.parquet import ParquetSource
from scanner.sources.portions import portions_of
from scanner.worker import ScanWork

pytest.importorskip("ray", reason="Ray is not installed (the extra `ray`)")

# Ray leaves sockets and files to the collector, on the driver's side too.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("small_ray")]

STORE_BYTES = 80 << 20


@pytest.fixture(scope="session")
def small_ray() -> Iterator[None]:
    """Ray as it is asked for here: no telephoning home, and the helper of these tests installed on every node."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        patch.delenv("RAY_ADDRESS", raising=False)
        yield


@pytest.fixture(scope="module")
def cluster(small_ray: None) -> Iterator[Any]:
    """A head and a second node, one processor each."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args=node_arguments())
    made.add_node(**node_arguments())
    yield made
    made.shutdown()


def node_arguments() -> dict[str, Any]:
    return {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight sources of one Unit each: eight portions for two workers."""
    return make_dataset(tmp_path_factory.mktemp("ray") / "data", {f"a__{i}": 40 for i in range(8)})


def outputs(run: Run) -> dict[str, bytes]:
    return {name: (run.folder / name).read_bytes() for name in ("records.parquet", "members.parquet", "stats.json")}


def scan_in_thread(source: Path, out: Path, cluster: Any, **options: Any) -> Callable[[], Run]:
    """Start a scan; what is returned waits for its end and gives the Run, or raises what the scan did."""
    runs: list[Run] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            runs.append(scanner.scan(source, out=out, engine="ray", ray_address=cluster.address, **options))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()

    def finished() -> Run:
        thread.join()
        if errors:
            raise errors[0]
        return runs[0]

    return finished


def test_two_nodes_write_the_bytes_of_the_serial_engine(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A look-alike of the dataset, hostile rows included, is the same bytes from two nodes as from this process."""
    folder = tmp_path_factory.mktemp("hostile")
    make_corpus(folder / "corpus", rows=1500, seed=1, hostile=True, workers=1)
    expected = scanner.scan(folder / "corpus", out=folder / "serial", engine="serial")
    run = scanner.scan(folder / "corpus", out=folder / "ray", engine="ray", ray_address=cluster.address)
    assert outputs(run) == outputs(expected)
    assert run.manifest.state == "complete"
    assert run.manifest.engine["nodes"] == run.manifest.engine["workers"] == 2
    assert run.manifest.engine["tasks"] >= 4
    assert run.manifest.engine["bytes_copied"] > 0


@pytest.mark.parametrize("victim", ["task", "worker"])
def test_a_killed_process_costs_time_alone(victim: str, cluster: Any, dataset: Path, tmp_path: Path) -> None:
    """SIGKILL for the process of a task, or for the worker below it, in mid-row: complete, and the same bytes."""
    gate = Gate(tmp_path)
    options: dict[str, Any] = {"probes": {"let_through": (gate, bool)}}
    with Keeper(gate) as keeper:
        finished = scan_in_thread(dataset, tmp_path / "run", cluster, **options)
        os.kill(getattr(next(keeper.hellos()), victim), signal.SIGKILL)
        keeper.open()
        run = finished()
        expected = scanner.scan(dataset, out=tmp_path / "serial", engine="serial", **options)
    assert outputs(run) == outputs(expected)
    assert run.manifest.engine["tasks_lost"] == (victim == "task")
    assert run.manifest.engine["worker_deaths"] == (victim == "worker")


def test_a_removed_node_costs_time_alone(cluster: Any, dataset: Path, tmp_path: Path) -> None:
    """A node that goes while it works: the other one finishes, and the bytes are the same."""
    third = cluster.add_node(**node_arguments())
    raylet = third.all_processes["raylet"][0].process.pid
    gate = Gate(tmp_path)
    options: dict[str, Any] = {"probes": {"let_through": (gate, bool)}}
    with Keeper(gate) as keeper:
        finished = scan_in_thread(dataset, tmp_path / "run", cluster, **options)
        assert any(hello.node == raylet for hello in islice(keeper.hellos(), 3)), "three nodes have a row each"
        cluster.remove_node(third, allow_graceful=False)
        keeper.open()
        run = finished()
        expected = scanner.scan(dataset, out=tmp_path / "serial", engine="serial", **options)
    assert outputs(run) == outputs(expected)
    assert run.manifest.engine["nodes"] == 3
    assert run.manifest.engine["tasks_lost"] >= 1


DRIVER = """
import sys
from pathlib import Path
from ray_gate import Gate
import scanner
data, out, address, gate, from_row = sys.argv[1:]
probes = {"let_through": (Gate(Path(gate), int(from_row)), bool)}
scanner.scan(data, out=out, engine="ray", ray_address=address, probes=probes)
"""


def test_a_killed_driver_is_started_again_and_resumes(cluster: Any, tmp_path: Path) -> None:
    """After SIGKILL of the process that called ``scan``, the same command takes what is on disk and completes it."""
    data = make_dataset(tmp_path / "data", {f"a__{i}": 10 * (i + 1) for i in range(8)})
    gate = Gate(tmp_path, from_row=70)  # only the last portion's rows wait
    command = [sys.executable, "-c", DRIVER, data, tmp_path / "run", cluster.address, tmp_path, "70"]
    with Keeper(gate) as keeper:
        with subprocess.Popen([*map(str, command)], stderr=subprocess.DEVNULL) as driver:
            next(keeper.hellos())
            driver.kill()
        assert list((tmp_path / "run" / "shards").rglob("*.msgpack"))
        keeper.open()
        subprocess.run([*map(str, command)], check=True, capture_output=True, timeout=300)
        run = Run(tmp_path / "run")
        expected = scanner.scan(data, out=tmp_path / "serial", engine="serial", probes={"let_through": (gate, bool)})
    assert outputs(run) == outputs(expected)
    assert run.manifest.reused_rows > 0
    assert run.manifest.counters.rows == run.account.planned - run.manifest.reused_rows


def test_a_deadly_row_has_the_record_of_the_local_engine(cluster: Any, dataset: Path, tmp_path: Path) -> None:
    """A row that kills whoever scans it is recorded as ``worker-died``, with the same cause as on one machine."""
    options: dict[str, Any] = {"probes": {"alive": (die_at_seven, bool)}}
    run = scanner.scan(dataset, out=tmp_path / "ray", engine="ray", ray_address=cluster.address, **options)
    expected = scanner.scan(dataset, out=tmp_path / "local", workers=2, **options)
    assert outputs(run) == outputs(expected)
    assert run.stats.overall.faults["worker-died"] == 8
    assert run.manifest.engine["tasks_lost"] == 0


def test_a_unit_nobody_survives_reading_is_bisected_and_told(cluster: Any) -> None:
    """Where a Unit takes the task itself along, its portion is halved down to it; all other Units are answered."""
    from scanner.engines.ray import TRIES, RayEngine

    units = [Unit(i, "file", i, 1) for i in range(5)]
    told: list[tuple[str, int, str]] = []
    engine = RayEngine(cluster.address, 1)
    portions = iter([DeadlyPortion(units, deadly=3)])
    outcomes = list(engine.run_portions(portions, partial(ScanWork, Limits()), lambda *what: told.append(what)))
    assert sorted((outcome.batch, outcome.first, outcome.n_rows) for outcome in outcomes) == [
        (unit, 0, 1) for unit in (0, 1, 2, 4)
    ]
    assert [(file, unit) for file, unit, _ in told] == [("file", 3)]
    assert engine.tally.tasks_lost == 3 * TRIES  # of five Units, of the two left of them, of the one


def test_what_a_node_cannot_read_is_told(cluster: Any, dataset: Path, tmp_path: Path) -> None:
    """A file that is damaged behind its footer costs its rows only, as with a local engine."""
    data = make_dataset(tmp_path / "data", {"a__b": 40, "c__d": 40})
    file = data / "a__b" / "tasks.parquet"
    sound = file.read_bytes()
    file.write_bytes(sound[:100] + bytes(2000) + sound[2100:])
    run = scanner.scan(data, out=tmp_path / "run", engine="ray", ray_address=cluster.address)
    assert (run.account.ok, run.account.not_reached) == (40, 40)
    assert list(run.manifest.not_reached) == ["a__b/tasks.parquet"]
    del dataset


def test_the_hub_is_read_where_the_work_is(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Tasks ask the endpoint of the driver, with its token, which the nodes do not have and no file of Ray's gets."""
    repo = make_repo(tmp_path / "repo", [1300, 1100, 900])
    expected = scanner.scan(repo, out=tmp_path / "serial", engine="serial")
    with hub_of(repo, require_token=True) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        run = scanner.scan("org/tasks", out=tmp_path / "run", engine="ray", ray_address=cluster.address)
        assert outputs(run) == outputs(expected)
        assert run.manifest.engine["tasks"] > 1
        assert run.manifest.inputs[0].identity == server.digests(repo / "a__1" / "tasks.parquet")[1]
        assert {request.authorized for request in server.requests if request.host == "hub"} == {True}
        assert {request.authorized for request in server.requests if request.host == "storage"} == {False}
    session = Path(cluster.head_node.get_session_dir_path())
    files = [path for folder in (session, run.folder) for path in folder.rglob("*") if path.is_file()]
    assert any(path.name.startswith("worker-") for path in files)
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]
    assert TOKEN not in "".join(capfd.readouterr())


def test_a_file_that_nobody_could_plan_is_named(cluster: Any, tmp_path: Path) -> None:
    """A file without a footer is left out here as it is by the other engines, and read once it has one."""
    data = make_dataset(tmp_path / "data", {"a__b": 40, "c__d": 40, "e__f": 40})
    expected = scanner.scan(data, out=tmp_path / "serial", engine="serial")
    file = data / "c__d" / "tasks.parquet"
    sound = file.read_bytes()
    file.write_bytes(sound[:-1])
    run = scanner.scan(data, out=tmp_path / "run", engine="ray", ray_address=cluster.address)
    assert (run.account.ok, run.account.uncounted_files) == (80, 1)
    file.write_bytes(sound)
    again = scanner.scan(data, out=tmp_path / "run", engine="ray", ray_address=cluster.address)
    assert again.manifest.counters.rows == 40
    assert outputs(again) == outputs(expected)


def test_other_versions_are_refused_at_the_start(
    cluster: Any, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node with another schema (or Python, or scanner) is named before a row is read."""
    monkeypatch.setattr("scanner.engines.ray.SCHEMA_VERSION", 99)
    with pytest.raises(scanner.EngineError, match=r"node [\d.]+ has schema 1, this is 99; install the same"):
        scanner.scan(dataset, out=tmp_path / "run", engine="ray", ray_address=cluster.address)


def test_rows_in_memory_stay_here(cluster: Any, tmp_path: Path) -> None:
    """Rows that no node could read are an error of usage, not a copy through the object store."""
    table = pa.table({"path": ["a"], "task_binary": [b""]})
    with pytest.raises(scanner.UsageError, match="cannot be read from elsewhere"):
        scanner.scan(table, out=tmp_path / "run", engine="ray", ray_address=cluster.address)


def test_without_an_address_ray_is_started_and_stopped(dataset: Path, tmp_path: Path) -> None:
    """On a machine alone, Ray lives as long as the scan does, and a second scan may follow."""
    import ray

    run = scanner.scan(dataset, out=tmp_path / "run", engine="ray", workers=1)
    assert outputs(run) == outputs(scanner.scan(dataset, out=tmp_path / "serial", engine="serial"))
    assert run.manifest.engine["workers"] == 1
    assert not ray.is_initialized()


def test_a_scan_that_ends_before_its_first_portion_lets_ray_go(tmp_path: Path) -> None:
    """Where there is nothing to read, Ray does not stay up, to be taken for the caller's by the next scan."""
    import ray

    with pytest.raises(scanner.SourceError):
        scanner.scan(tmp_path / "missing", out=tmp_path / "run", engine="ray", workers=1)
    assert not ray.is_initialized()


def test_without_ray_the_error_says_what_to_install(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where Ray is missing, ``--engine ray`` names the extra, and nothing else needs it."""
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "scanner.engines.ray", raising=False)
    assert main(["scan", str(dataset), "--out", str(tmp_path / "run"), "--engine", "ray"]) == 2
    assert "pip install 'tasktrove-scanner[ray]'" in capsys.readouterr().err


@pytest.mark.parametrize("workers", [1, 3, 64])
def test_portions_are_the_plan_in_order(workers: int, tmp_path: Path) -> None:
    """Every wanted Unit is in one portion, in plan order, and portions begin where row groups do."""
    data = make_dataset(tmp_path / "data", {"a__b": 5000, "c__d": 3000}, row_group_size=1024)
    source = ParquetSource("data", find_local(str(data), [], []), columns=Columns())
    plan = source.plan()
    wanted = {unit.index for unit in plan.units} - {1}
    portions = list(portions_of(source, plan, wanted, workers))
    assert [unit for portion in portions for unit in portion.units] == [u for u in plan.units if u.index in wanted]
    assert len(portions) >= min(4 * workers, len(wanted)) // 2
    told: list[Any] = []
    batches = [batch for each in portions for batch in each.read(lambda *what: told.append(what))]
    rows = [(batch.file, row) for batch in batches for row in batch.rows]
    chosen = [unit for unit in plan.units if unit.index in wanted]
    assert rows == [(u.file, row) for u in chosen for row in range(u.first_row, u.first_row + u.n_rows)]
    assert not told
