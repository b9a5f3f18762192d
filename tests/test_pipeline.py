"""The whole scan: every planned row is recorded once, the outputs depend on the plan alone, and Runs continue."""

from __future__ import annotations

import json
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parquet_files import make_dataset, tar_gz, task, write_rows

import scanner
from scanner.corpus import make_corpus
from scanner.model import Record
from scanner.run import Run
from scanner.shards import ShardFolder
from scanner.storage import open_folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A look-alike of the dataset with one row of each hostile kind."""
    folder = tmp_path_factory.mktemp("made") / "corpus"
    make_corpus(folder, rows=1500, seed=1, hostile=True, workers=1)
    return folder


@pytest.fixture(scope="session")
def undisturbed(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The serial scan of the corpus: what every other way of scanning it must equal."""
    return scanner.scan(corpus, out=tmp_path_factory.mktemp("serial") / "run", engine="serial")


def outputs(run: Run) -> dict[str, bytes]:
    return {name: (run.folder / name).read_bytes() for name in ("records.parquet", "members.parquet", "stats.json")}


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_any_number_of_workers_writes_the_same_bytes(
    corpus: Path, undisturbed: Run, tmp_path: Path, workers: int
) -> None:
    """records.parquet and stats.json are the same bytes for the serial engine and for 1, 2 and 7 workers."""
    assert outputs(scanner.scan(corpus, out=tmp_path / "run", workers=workers)) == outputs(undisturbed)


def test_every_planned_row_is_there_once(corpus: Path, undisturbed: Run) -> None:
    """The records are the rows of the footers, in plan order, and the account balances."""
    files = sorted(p for p in corpus.rglob("*.parquet") if "deprecated" not in p.parts)
    expected = [
        (str(file.relative_to(corpus)), row) for file in files for row in range(pq.read_metadata(file).num_rows)
    ]
    records = undisturbed.records().select("file", "row").collect().rows()
    assert records == expected
    account = undisturbed.account
    assert account.balances()
    assert account.planned == len(expected)
    assert account.not_reached == account.skipped == 0


def test_no_row_broke_the_scanner(undisturbed: Run) -> None:
    """Not one row of the corpus, hostile ones included, is an internal error."""
    assert "internal-error" not in undisturbed.stats.overall.faults


def test_blobs_are_copied_once(corpus: Path, tmp_path: Path) -> None:
    """The ring took exactly the bytes of the blob column, each once."""
    run = scanner.scan(corpus, out=tmp_path / "run", workers=2)
    column_bytes = sum(
        sum(
            len(blob) for blob in pq.read_table(file, columns=["task_binary"]).column(0).to_pylist() if blob is not None
        )
        for file in corpus.rglob("*.parquet")
        if "deprecated" not in file.parts
    )
    assert run.manifest.engine["bytes_copied"] == column_bytes


def test_records_have_the_contract_columns(undisturbed: Run) -> None:
    """The columns of records.parquet are those of the contract, in order."""
    assert pq.read_schema(undisturbed.folder / "records.parquet").names == list(Record.__struct_fields__)


def test_outputs_hold_no_clock_and_no_worker(corpus: Path, undisturbed: Run, tmp_path: Path) -> None:
    """A second scan at another time into another folder writes the same bytes."""
    assert outputs(scanner.scan(corpus, out=tmp_path / "elsewhere", engine="serial")) == outputs(undisturbed)


def test_members_equal_tarfile_on_real_tasks(real_corpus: Path, tmp_path: Path) -> None:
    """Member counts and the largest file equal what tarfile says, on every real row."""
    run = scanner.scan(real_corpus, out=tmp_path / "run", workers=2)
    assert (run.account.planned, run.account.ok) == (892, 892)
    records = {(r["file"], r["row"]): r for r in run.records().collect().to_dicts()}
    for file in sorted(real_corpus.rglob("*.parquet")):
        for row, blob in enumerate(pq.read_table(file, columns=["task_binary"]).column(0).to_pylist()):
            record = records[str(file.relative_to(real_corpus)), row]
            with tarfile.open(fileobj=BytesIO(blob)) as tar:
                members = tar.getmembers()
            files = [m for m in members if m.isfile()]
            assert (record["n_members"], record["n_files"]) == (len(members), len(files))
            assert record["largest_file_size"] == max(m.size for m in files)


def test_a_finished_run_is_not_scanned_again(corpus: Path, undisturbed: Run, tmp_path: Path) -> None:
    """The same command on a complete Run reads no row and writes the same bytes."""
    scanner.scan(corpus, out=tmp_path / "run", engine="serial")
    again = scanner.scan(corpus, out=tmp_path / "run", engine="serial")
    assert again.manifest.counters.rows == 0
    assert again.manifest.reused_rows == again.account.planned
    assert outputs(again) == outputs(undisturbed)


@pytest.mark.parametrize("flaw", ["missing", "truncated", "damaged", "of another schema", "left-over part"])
def test_what_is_missing_is_scanned_again(tmp_path: Path, flaw: str) -> None:
    """A shard that is gone, cut, damaged or foreign is scanned again, and the outputs are the same bytes."""
    data = make_dataset(tmp_path / "data", {"a__b": 2500, "c__d": 300})
    whole = scanner.scan(data, out=tmp_path / "whole", engine="serial")
    run = scanner.scan(data, out=tmp_path / "run", engine="serial")
    shards = ShardFolder(open_folder(run.folder))
    path = run.folder / shards.name(1)
    content = path.read_bytes()
    if flaw == "missing":
        path.unlink()
    elif flaw == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif flaw == "damaged":
        path.write_bytes(content[:-100] + bytes(100))
    elif flaw == "of another schema":
        path.write_bytes((run.folder / shards.name(2)).read_bytes())
    else:
        path.unlink()
        path.with_suffix(".part").write_bytes(content[:10])
    again = scanner.scan(data, out=tmp_path / "run", engine="serial")
    assert again.manifest.counters.rows == 1024
    assert outputs(again) == outputs(whole)
    assert not list(run.folder.rglob("*.part"))


def test_a_replaced_file_is_scanned_again(tmp_path: Path) -> None:
    """A file whose bytes changed since the Run is scanned again, the others are not."""
    data = make_dataset(tmp_path / "data", {"a__b": 30, "c__d": 40})
    scanner.scan(data, out=tmp_path / "run", engine="serial")
    write_rows(data / "a__b" / "tasks.parquet", [task(i) for i in range(900, 920)])
    again = scanner.scan(data, out=tmp_path / "run", engine="serial")
    assert again.manifest.counters.rows == 20
    assert outputs(again) == outputs(scanner.scan(data, out=tmp_path / "new", engine="serial"))


def test_other_arguments_are_refused_until_fresh(tmp_path: Path) -> None:
    """A Run is not continued with other arguments: the error names them, and ``fresh`` starts over."""
    data = make_dataset(tmp_path / "data", {"a__b": 30})
    scanner.scan(data, out=tmp_path / "run", engine="serial", limit=10)
    with pytest.raises(scanner.RunError, match="limit: 10 there, 20 now"):
        scanner.scan(data, out=tmp_path / "run", engine="serial", limit=20)
    run = scanner.scan(data, out=tmp_path / "run", engine="serial", limit=20, fresh=True)
    assert run.account.planned == 20


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    """A folder that holds something else is never written to."""
    data = make_dataset(tmp_path / "data", {"a__b": 3})
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("precious")
    with pytest.raises(scanner.OutputError, match="holds no Run"):
        scanner.scan(data, out=other, engine="serial", fresh=True)
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]


def test_limit_sample_and_filter_change_the_plan_only(corpus: Path, undisturbed: Run, tmp_path: Path) -> None:
    """Rows of a limited, sampled or filtered scan have the very records of the full scan."""
    everything = undisturbed.records().collect()
    cases: dict[str, tuple[dict[str, Any], pl.DataFrame]] = {
        "limit": ({"limit": 77}, everything.head(77)),
        "filter": ({"source_filter": "^termgym"}, everything.filter(pl.col("source").str.contains("^termgym"))),
        "exclude": ({"exclude": ["hostile__rows"]}, everything.filter(pl.col("source") != "hostile__rows")),
    }
    for name, (options, expected) in cases.items():
        run = scanner.scan(corpus, out=tmp_path / name, engine="serial", **options)
        assert run.records().collect().equals(expected), name
        assert run.account.planned == len(expected)
    run = scanner.scan(corpus, out=tmp_path / "sample", engine="serial", sample=50, seed=4)
    sampled = run.records().collect()
    assert len(sampled) == 50
    assert sampled.equals(everything.join(sampled.select("file", "row"), on=["file", "row"], how="semi"))


def test_rows_without_directory_are_filtered_by_their_path(tmp_path: Path) -> None:
    """Where the source is the path's prefix, filtered rows are counted as skipped: the account still balances."""
    file = write_rows(tmp_path / "all.parquet", [task(i) for i in range(20)], prefix="stack-pytest")
    run = scanner.scan(file, out=tmp_path / "run", engine="serial", source_filter="nothing-like-it")
    assert (run.account.planned, run.account.skipped) == (20, 20)
    run = scanner.scan(file, out=tmp_path / "run2", engine="serial", source_filter="stack")
    assert (run.account.planned, run.account.ok, run.account.skipped) == (20, 20, 0)
    assert run.records().select("source").unique().collect().to_dicts() == [{"source": "stack-pytest"}]


def test_an_unreadable_file_is_not_reached_and_the_next_run_finishes(tmp_path: Path) -> None:
    """A file damaged behind its footer costs its rows only; once mended, the same command completes the Run."""
    data = make_dataset(tmp_path / "data", {"a__b": 40, "c__d": 40})
    file = data / "a__b" / "tasks.parquet"
    sound = file.read_bytes()
    stat = file.stat()
    file.write_bytes(sound[:100] + bytes(2000) + sound[2100:])
    run = scanner.scan(data, out=tmp_path / "run", engine="serial")
    assert run.account.balances()
    assert run.account.not_reached == 40
    assert run.manifest.state == "partial"
    assert list(run.manifest.not_reached) == ["a__b/tasks.parquet"]
    file.write_bytes(sound)
    assert file.stat().st_size == stat.st_size
    again = scanner.scan(data, out=tmp_path / "run", engine="serial")
    assert again.account.ok == 80
    assert again.manifest.counters.rows == 40


def test_tables_are_sources_too(tmp_path: Path) -> None:
    """A pyarrow table is scanned like a file of the same rows."""
    table = pa.table({"path": ["a-1", "a-2"], "task_binary": [task(1), b""]})
    run = scanner.scan(table, out=tmp_path / "run", engine="serial")
    assert run.records().select("source", "format").collect().rows() == [("a", "tar"), ("a", "empty")]


CONTENT = {
    "instruction.md": b"Do it.\n",
    "task.toml": b'version = "1.0"\n',
    "tests/test.sh": b"exit 0\n",
    "a.json": b'{"k": 1}',
}


def test_run_json_says_what_was_done(tmp_path: Path) -> None:
    """The manifest holds arguments, inputs with identity, versions, account and throughput."""
    data = make_dataset(tmp_path / "data", {"a__b": 5})
    run = scanner.scan(data, out=tmp_path / "run", workers=1)
    manifest = json.loads((run.folder / "run.json").read_text())
    assert manifest["state"] == "complete"
    assert manifest["inputs"][0]["file"] == "a__b/tasks.parquet"
    assert manifest["inputs"][0]["rows"] == 5
    assert manifest["account"]["planned"] == 5
    assert manifest["engine"]["name"] == "processes"
    assert manifest["throughput"]["rows_per_second"] > 0
    assert "pyarrow" in manifest["versions"]


def test_large_rows_are_streamed_to_the_same_record(tmp_path: Path) -> None:
    """A row too large for one call has the record of the same files packed with another codec."""
    import zstandard

    files = {**CONTENT, "big.bin": bytes(range(256)) * 40_000}
    gz = tar_gz(files)
    import gzip

    zst = zstandard.ZstdCompressor().compress(gzip.decompress(gz))
    file = write_rows(tmp_path / "x.parquet", [gz, zst])
    run = scanner.scan(file, out=tmp_path / "run", engine="serial")
    first, second = run.records().collect().to_dicts()
    for name in ("path", "row", "compressed_size", "codec", "blob_id", "faults"):
        first.pop(name), second.pop(name)
    assert first == second
    assert run.manifest.counters.streamed_rows >= 1


def test_a_path_that_is_no_text(tmp_path: Path) -> None:
    """A path that is not UTF-8, in a file of no folder, is escaped in every column that shows it; other rows stay."""
    paths = pa.array([b"a-1", b"\xff\xfe-2", b"c-3"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"path": paths, "task_binary": [task(n) for n in range(3)]}), tmp_path / "a.parquet")
    for workers in (0, 2):
        run = scanner.scan(tmp_path / "a.parquet", out=tmp_path / f"run-{workers}", workers=workers)
        assert run.account.ok == 3
        assert run.records().collect()["path"].to_list() == ["a-1", "\\xff\\xfe-2", "c-3"]
        assert run.records().collect()["source"].to_list() == ["a", "\\xff\\xfe", "c"]


def test_another_table_is_not_the_one_before(tmp_path: Path) -> None:
    """Tables have no name: one of as many rows and bytes, scanned into the same folder, is scanned."""
    for content in (b'{"x":1}', b"hello!!"):
        table = pa.table({"path": ["a-1", "a-2"], "task_binary": [content, content]})
        run = scanner.scan(table, out=tmp_path / "run", engine="serial")
        assert run.manifest.counters.rows == 2
        assert run.records().collect()["format"].to_list() == ["json" if b"x" in content else "text"] * 2
    assert scanner.scan(table, out=tmp_path / "run", engine="serial").manifest.counters.rows == 0


def test_reusing_itself_is_refused_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``./run`` is ``run``: starting over from what is being removed would reuse nothing."""
    monkeypatch.chdir(tmp_path)
    data = write_rows(tmp_path / "a.parquet", [task(1)])
    scanner.scan(data, out="run", engine="serial")
    with pytest.raises(scanner.UsageError, match="is this Run itself"):
        scanner.scan(data, out="run", engine="serial", fresh=True, reuse=["./run"])
