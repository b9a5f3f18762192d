"""What ``datasets`` streams: its objects and splits, as the same records that the Parquet files of the rows have."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_scans import make_repo, noisy_tasks, outputs
from hub_server import COMMIT_1, Fault, HubServer, Repo
from huggingface_hub.utils import close_session, get_session  # type: ignore[attr-defined]
from parquet_files import write_rows

import scanner
from scanner.errors import ColumnError, SourceError, UsageError
from scanner.sources.arrow import Columns
from scanner.sources.stream import StreamSource
from scanner.sources.units import UNIT_ROWS

ROWS = 150


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``train.jsonl`` and ``test.jsonl`` with base64 blobs, and a Parquet file of the training rows."""
    folder = tmp_path_factory.mktemp("rows")
    for split, n, prefix in (("train", ROWS, "task"), ("test", 7, "other")):
        blobs = noisy_tasks(n)
        lines = [
            json.dumps({"path": f"{prefix}-{i:04d}", "task_binary": base64.b64encode(blob).decode(), "extra": i})
            for i, blob in enumerate(blobs)
        ]
        (folder / "lines" / f"{split}.jsonl").parent.mkdir(exist_ok=True)
        (folder / "lines" / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    write_rows(folder / "rows.parquet", noisy_tasks(ROWS))
    return folder


@pytest.fixture(scope="module")
def expected(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The records of the training rows, scanned from Parquet, less the file they were in."""
    return records(scanner.scan(folder / "rows.parquet", out=tmp_path_factory.mktemp("run") / "run", engine="serial"))


@pytest.fixture
def hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """``org/lines`` (JSON lines in two splits) and ``org/tasks`` (Parquet), for ``datasets`` too."""
    repos = {
        "org/lines": Repo({COMMIT_1: folder / "lines"}, {"main": COMMIT_1}),
        "org/tasks": Repo({COMMIT_1: make_repo(tmp_path / "repo")}, {"main": COMMIT_1}),
    }
    with HubServer(repos) as server:
        point_to(server, tmp_path / "cache", monkeypatch)
        yield server


def point_to(server: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``datasets`` and ``huggingface_hub``, which look at ``HF_ENDPOINT`` on import alone, talk to ``server``."""
    import datasets.config
    from huggingface_hub import HfFileSystem, constants
    from huggingface_hub import hf_api as api

    monkeypatch.setenv("HF_ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    for module, name, value in (
        (constants, "ENDPOINT", server.url),
        (constants, "HUGGINGFACE_CO_URL_TEMPLATE", template),
        (constants, "HF_HUB_CACHE", str(cache)),
        (api, "ENDPOINT", server.url),
        (datasets.config, "HF_ENDPOINT", server.url),
        (datasets.config, "HF_DATASETS_CACHE", cache),
    ):
        monkeypatch.setattr(module, name, value, raising=False)
    HfFileSystem.clear_instance_cache()


def records(run: scanner.Run) -> list[dict[str, Any]]:
    return run.records().drop("file").collect().to_dicts()


def in_memory(kind: str) -> Any:
    """The training rows as an object of ``datasets``."""
    blobs = noisy_tasks(ROWS)
    columns: dict[str, Any] = {"path": [f"task-{i:04d}" for i in range(ROWS)], "task_binary": blobs, "extra": blobs}
    dataset = datasets.Dataset.from_dict(columns)
    if kind == "iterable":
        return dataset.to_iterable_dataset(num_shards=3)
    if kind == "generator":
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        return datasets.IterableDataset.from_generator(lambda: iter(rows))
    if kind == "shuffled and back":
        return dataset.select(range(ROWS - 1, -1, -1)).select(range(ROWS - 1, -1, -1))
    if kind == "dictionary":
        return datasets.DatasetDict({"train": dataset})
    return dataset


@pytest.mark.parametrize("kind", ["dataset", "iterable", "generator", "shuffled and back", "dictionary"])
def test_objects_of_datasets_are_sources(expected: list[dict[str, Any]], tmp_path: Path, kind: str) -> None:
    """Datasets, iterable or not, indexed or not, alone in a dictionary or not, give the records of their rows."""
    run = scanner.scan(in_memory(kind), out=tmp_path / "run", workers=1)
    assert records(run) == expected
    assert run.manifest.state == "complete"


def test_rows_come_as_arrow_and_are_cut_the_same_way(tmp_path: Path) -> None:
    """Units are cut by rows and bytes: none is larger than promised, and a limit ends the reading."""
    table = pa.table({"path": [f"t-{i}" for i in range(3000)], "task_binary": [b"x" * 100] * 3000})
    dataset = datasets.Dataset(table).to_iterable_dataset()
    source = StreamSource(dataset, columns=Columns(), limit=2500)
    plan = source.plan()
    batches = list(source.read(plan, range(10**9), lambda *_: None))
    assert [unit.n_rows for unit in plan.units] == [UNIT_ROWS, UNIT_ROWS, 2500 - 2 * UNIT_ROWS]
    assert sum(len(batch) for batch in batches) == 2500


def test_a_split_that_is_not_parquet(hub: HubServer, expected: list[dict[str, Any]], tmp_path: Path) -> None:
    """``--split`` streams what ``datasets`` can: JSON lines with base64 blobs give the records of the Parquet rows."""
    run = scanner.scan("org/lines", split="train", out=tmp_path / "run", engine="serial")
    assert records(run) == expected
    assert run.manifest.revision == COMMIT_1
    run = scanner.scan("org/lines", split="test", limit=5, out=tmp_path / "run 2", engine="serial")
    assert run.records().select("path").collect()["path"].to_list() == [f"other-{i:04d}" for i in range(5)]


def test_a_split_of_parquet_files_is_read_as_such(hub: HubServer, tmp_path: Path) -> None:
    """Only which files it is made of is asked: rows keep their file, and the Run is that of a plain scan."""
    run = scanner.scan("org/tasks", split="train", out=tmp_path / "run", engine="serial")
    plain = scanner.scan("org/tasks", out=tmp_path / "plain", engine="serial")
    assert outputs(run) == outputs(plain)
    assert run.manifest.revision == COMMIT_1


def test_a_split_of_a_local_folder(tmp_path: Path) -> None:
    """A folder that ``datasets`` can load has splits too, by the names of its files."""
    for split in ("train", "test"):
        write_rows(tmp_path / "data" / f"{split}.parquet", noisy_tasks(9), prefix=split)
    run = scanner.scan(tmp_path / "data", split="test", out=tmp_path / "run", engine="serial")
    assert run.records().select("file").unique().collect()["file"].to_list() == ["test.parquet"]


WRONG = {
    "no such split": ("org/lines", {"split": "dev"}, UsageError, "no split 'dev'; there are: train, test"),
    "which split": ("org/lines", {"config": "default"}, UsageError, r"several splits \(train, test\)"),
    "no such configuration": ("org/lines", {"config": "french"}, SourceError, "cannot be loaded: .*french"),
    "no such dataset": ("org/none", {"split": "train"}, SourceError, "org/none cannot be loaded"),
    "a glob": ("hf://datasets/org/tasks/a__1", {"split": "train"}, UsageError, "leave a__1 out"),
    "a sample": ("org/lines", {"split": "train", "sample": 3}, UsageError, "use limit"),
}


@pytest.mark.parametrize(("location", "options", "error", "sentence"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_streamed_is_said(
    hub: HubServer, tmp_path: Path, location: str, options: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    """A split, configuration or dataset that is not there is one sentence, without an address."""
    with pytest.raises(error, match=sentence) as caught:
        scanner.scan(location, out=tmp_path / "run", engine="serial", **options)
    assert "http" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_other_columns_are_named(tmp_path: Path) -> None:
    """A stream without the columns says which it has; ``columns`` names them."""
    dataset = datasets.Dataset.from_dict({"id": ["a-1"], "archive": [b""]}).to_iterable_dataset()
    with pytest.raises(ColumnError, match="no column 'path'"):
        scanner.scan(dataset, out=tmp_path / "run", engine="serial")
    run = scanner.scan(dataset, columns=Columns("id", "archive"), out=tmp_path / "run", engine="serial")
    assert run.account.ok == 1


def test_a_stream_that_breaks_is_not_complete(tmp_path: Path) -> None:
    """What came before is kept, the reason is told without addresses, and the Run is partial."""

    def rows() -> Iterator[dict[str, Any]]:
        for i, blob in enumerate(noisy_tasks(2 * UNIT_ROWS, size=10)):
            yield {"path": f"t-{i}", "task_binary": blob}
        raise OSError("https://signed.example/x?Signature=secret went away")

    dataset = datasets.IterableDataset.from_generator(rows)
    run = scanner.scan(dataset, out=tmp_path / "run", engine="serial")
    assert run.manifest.state == "partial"
    assert run.account.ok == 2 * UNIT_ROWS
    (reason,) = run.manifest.not_reached.values()
    assert "went away" in reason
    assert "secret" not in reason


def test_a_stream_from_the_hub_outlives_its_hiccups(
    hub: HubServer, expected: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``datasets`` retries what passes; the rows are all there."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    hub.faults.append(Fault("status", 503, times=2, match=lambda r: r.path.endswith("train.jsonl")))
    run = scanner.scan("org/lines", split="train", out=tmp_path / "run", engine="serial")
    assert records(run) == expected


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("org/tasks", {}),
        ("org/tasks", {"download": True}),
        ("org/tasks", {"split": "train"}),
        ("org/lines", {"split": "train"}),
    ],
    ids=["in place", "mirrored", "a split of files", "a split that is streamed"],
)
def test_every_request_has_a_timeout(hub: HubServer, tmp_path: Path, source: str, options: dict[str, Any]) -> None:
    """Whoever sends it, ours or ``huggingface_hub`` or ``datasets``: no request may wait for ever."""
    timeouts: list[tuple[str, dict[str, float | None]]] = []

    def note(request: Any) -> None:
        timeouts.append((request.url.path, request.extensions["timeout"]))

    client = get_session()
    client.event_hooks = {**client.event_hooks, "request": [*client.event_hooks["request"], note]}
    try:
        scanner.scan(source, out=tmp_path / "run", engine="serial", **options)
    finally:
        close_session()
    assert len(timeouts) >= 4
    assert [path for path, timeout in timeouts if None in timeout.values()] == []


def test_the_fixture_is_what_it_says(folder: Path) -> None:
    """The Parquet file and the JSON lines hold the same blobs."""
    lines = [json.loads(line) for line in (folder / "lines" / "train.jsonl").read_text().splitlines()]
    table = pq.read_table(folder / "rows.parquet")
    assert [base64.b64decode(line["task_binary"]) for line in lines] == table.column("task_binary").to_pylist()
