"""Explorer, sampling, conditions and slices: single rows of a dataset, the same ones everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parquet_files import make_dataset, write_rows
from parquet_files import task as packed

import scanner
from scanner.corpus import make_corpus
from scanner.errors import ColumnError, NoMatchError, OutputError, RunError, SourceError, UsageError
from scanner.explore import Explorer
from scanner.explore.sampling import spread_sample
from scanner.explore.table import write_slice
from scanner.explore.where import Where
from scanner.records import SCHEMA
from scanner.run import Run
from scanner.task import Task


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explore") / "corpus"
    make_corpus(folder, rows=400, hostile=True, workers=1)
    return folder


@pytest.fixture(scope="module")
def run(data: Path) -> Run:
    return scanner.scan(data, out=data.parent / "run", engine="serial")


@pytest.fixture(scope="module")
def explorer(data: Path) -> Explorer:
    return Explorer(data)


# -- single rows ------------------------------------------------------------------------------------------------------


def test_rows_are_numbered_as_the_records_are(explorer: Explorer, run: Run) -> None:
    """Row N of the Explorer is row N of ``records.parquet``, by number, and by file and row."""
    records = run.records().select("path", "file", "row").collect()
    assert len(explorer) == len(records)
    for number in range(0, len(records), 37):
        path, file, row = records.row(number)
        assert (explorer[number].file, explorer[number].row) == (file, row)
        assert explorer.open(row, file=file).path == explorer[number].path
        if path.isascii() and path.isprintable():
            assert explorer[number].path == path
    assert explorer[-1].row == records["row"][-1]


def test_a_task_has_the_record_of_the_scan(explorer: Explorer, run: Run) -> None:
    """What a Task says of itself is what the scan wrote, for every row."""
    columns = ("status", "format", "verifier_kind", "content_id")
    wanted = run.records().select(columns).collect().rows()
    assert [tuple(getattr(task.record, name) for name in columns) for task in explorer] == wanted


def test_a_row_by_its_path(explorer: Explorer, run: Run) -> None:
    """A path that is there once finds its row; the path column alone tells."""
    paths = run.records().group_by("path").len().filter(pl.col("len") == 1).collect()["path"].sort()
    for path in [path for path in paths if path.isascii() and path.isprintable()][::41]:
        assert explorer.open(path=path).path == path


@pytest.mark.parametrize(
    ("which", "error", "words"),
    [
        ({"row": 10_000_000}, NoMatchError, "has no row 10,000,000: it has"),
        (
            {"row": 0, "file": "opentasks__stack-pytests/tasks.parquet"},
            NoMatchError,
            "did you mean opentasks__stack-pytest",
        ),
        ({"row": 99_999, "file": "opentasks__stack-pytest/tasks.parquet"}, NoMatchError, "has no row 99,999"),
        ({"path": "path-duplicate"}, UsageError, "2 rows are called 'path-duplicate': name one of"),
        ({"path": "row-nul"}, NoMatchError, "did you mean row-null"),
        ({"path": "nothing of the kind"}, NoMatchError, "comes near"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_row_that_is_not_there(explorer: Explorer, which: dict[str, Any], error: type[Exception], words: str) -> None:
    """Rows, files and paths that are not there, or several times, are told in a sentence that names what comes near."""
    with pytest.raises(error, match=words):
        explorer.open(**which)


def test_one_row_reads_one_row_group(tmp_path: Path) -> None:
    """Of a file whose other row groups are destroyed, a row in a sound one is read: the others are not looked at."""
    path = tmp_path / "t.parquet"
    table = pa.table({"path": [f"t-{i}" for i in range(100)], "task_binary": [bytes([i]) * 5000 for i in range(100)]})
    pq.write_table(table, path, row_group_size=10, compression="none", use_dictionary=False)
    with pq.ParquetFile(path) as parquet:
        group = parquet.metadata.row_group(7)
        keep = (
            group.column(0).data_page_offset,
            group.column(1).data_page_offset + group.column(1).total_compressed_size,
        )
        footer = parquet.metadata.row_group(9).column(1)
        end = footer.data_page_offset + footer.total_compressed_size
    raw = bytearray(path.read_bytes())
    raw[4 : keep[0]] = bytes(keep[0] - 4)
    raw[keep[1] : end] = bytes(end - keep[1])
    path.write_bytes(raw)
    explorer = Explorer(path)
    assert explorer[75].raw() == bytes([75]) * 5000
    with pytest.raises(scanner.SourceError):
        explorer[5]


def test_a_file_that_cannot_be_read_can_be_left_out(tmp_path: Path) -> None:
    """Rows have no numbers while nobody knows how many a file has: the error says how to go on without it."""
    data = make_dataset(tmp_path / "data", {"a__b": 5, "c__[d]": 6})
    file = data / "c__[d]" / "tasks.parquet"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(scanner.SourceError, match=r"--exclude '(.*)' leaves it out$") as caught:
        scanner.Explorer(data)
    exclude = str(caught.value).rpartition("--exclude '")[2].partition("'")[0]
    assert len(scanner.Explorer(data, exclude=[exclude])) == 5


def test_streams_are_no_source_of_single_rows() -> None:
    """What can only be read in order is refused by the Explorer, in a sentence."""
    with pytest.raises(UsageError, match="in order only"):
        Explorer([{"path": "a", "task_binary": b""}])


# -- many rows --------------------------------------------------------------------------------------------------------


def test_iter_takes_a_limit_and_a_filter(explorer: Explorer) -> None:
    """Tasks come in plan order; a filter is searched for in the source."""
    assert [task.row for task in explorer.iter(3)] == [0, 1, 2]
    assert {task.source for task in explorer.iter(20, "stack-py")} == {"opentasks__stack-pytest"}
    assert len(list(explorer)) == len(explorer)


def test_summary_of_rows_is_the_summary_of_the_run(explorer: Explorer, run: Run) -> None:
    """Explorer and Run give the same table: the notebook's columns, largest source first, rounded to 2 digits."""
    summary = run.summary()
    assert explorer.summary().equals(summary)
    assert summary.columns == ["source", "n", "mean_compressed_kb", "mean_raw_kb", "mean_n_files", "verifier_rate"]
    assert summary["n"].to_list() == sorted(summary["n"].to_list(), reverse=True)
    assert summary["n"].sum() == len(explorer)
    means = run.records().group_by("source").agg(pl.col("compressed_size").mean() / 1000).collect()
    exact = dict(means.iter_rows())
    assert all(
        abs(exact[source] - mean) <= 0.005001 for source, mean in summary.select("source", "mean_compressed_kb").rows()
    )


def test_a_sample_is_the_same_everywhere(explorer: Explorer) -> None:
    """A seed names its rows; sources take turns; another seed draws others."""
    first = [task.path for task in explorer.sample(12, seed=3)]
    assert first == [task.path for task in explorer.sample(12, seed=3)]
    assert first != [task.path for task in explorer.sample(12, seed=4)]
    assert len({task.source for task in explorer.sample(12, seed=3)}) == 12


def test_a_sample_keeps_to_the_filter(data: Path) -> None:
    """Rows of a file without a directory are of sources by their paths: those alone that match are drawn."""
    one = next(path for path in sorted(data.rglob("*.parquet")) if "hostile" in str(path))
    every = Explorer(one)
    sources = [task.source for task in every]
    wanted = sources[len(sources) // 2]
    numbers = [number for number, source in enumerate(sources) if source == wanted]
    filtered = Explorer(one, source_filter=f"^{re.escape(wanted)}$")
    assert [hit.number for hit in filtered.sample_hits(len(sources))] == numbers
    assert {task.source for task in filtered.sample(2)} == {wanted}


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.integers(0, 200), st.integers(0, 10))
def test_a_spread_sample_is_distinct_ascending_and_fair(sizes: list[int], n: int, seed: int) -> None:
    """As many rows as there are, each once; no source gives two rows more than another that has any left."""
    numbers = spread_sample(sizes, n, seed)
    assert numbers == sorted(set(numbers))
    assert len(numbers) == min(n, sum(sizes))
    starts = [sum(sizes[:at]) for at in range(len(sizes) + 1)]
    taken = [sum(low <= number < high for number in numbers) for low, high in pairwise(starts)]
    unfilled = [count for count, size in zip(taken, sizes, strict=True) if count < size]
    assert not unfilled or max(taken) - min(unfilled) <= 1


# -- conditions -------------------------------------------------------------------------------------------------------

CONDITIONS = [
    "layout = 'harbor' AND NOT harbor_loadable",
    "array_contains(fault_kinds, 'link-escape')",
    "n_files > 9 OR raw_size / compressed_size > 100",
    "path LIKE 'tar-%' AND status <> 'ok'",
    "instruction_chars IS NULL AND format = 'tar'",
]


@pytest.mark.parametrize("where", CONDITIONS)
def test_found_by_scanning_is_found_in_the_run(explorer: Explorer, run: Run, where: str) -> None:
    """Both ways find the same rows in the same order, and there are some."""
    scanned = [(hit.number, msgspec.json.encode(hit.record)) for hit in explorer.find(where)]
    looked_up = [(hit.number, msgspec.json.encode(hit.record)) for hit in explorer.find(where, run=run)]
    assert scanned == looked_up
    assert scanned


def test_find_reads_no_further_than_it_must(explorer: Explorer) -> None:
    """The first hit comes from the first batch: nothing behind it is scanned."""
    hit = next(explorer.find("n_files > 0"))
    assert hit.number == 0
    assert hit.blob is not None
    assert hit.record == Task(hit.blob).record


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("n_fils > 3", "no column 'n_fils'; did you mean n_files"),
        ("n_files >", "is no SQL expression"),
        ("select 1", "is no SQL expression"),
        ("nosuch(path)", "is no SQL expression"),
        ("n_files = 'x'", "does not fit the columns"),
        ("path", "does not fit the columns"),
        ("count(*) > 1", "no condition on the columns of one row"),
        ("max(n_files) > 1", "no condition on the columns of one row"),
        ("1 = 1", "no condition on the columns of one row"),
        ("path IN (SELECT path FROM read_csv('/etc/passwd'))", "no condition on the columns of one row"),
    ],
)
def test_wrong_conditions_are_told_before_any_row(where: str, words: str) -> None:
    """Unknown columns, other SQL, types that do not fit and aggregates: one sentence each."""
    with pytest.raises(UsageError, match=words) as error:
        Where(where, SCHEMA)
    assert "\n" not in str(error.value)


# -- slices -----------------------------------------------------------------------------------------------------------


def test_a_slice_opens_everywhere(run: Run, tmp_path: Path) -> None:
    """Selected rows and columns, in the order asked for, as polars, pandas, Arrow and ``datasets`` read them."""
    path = tmp_path / "slice.parquet"
    n = write_slice(run, path, where="n_files > 5", columns=["n_files", "path", "faults"], limit=50)
    table = pq.read_table(path)
    assert (n, table.num_rows, table.column_names) == (50, 50, ["n_files", "path", "faults"])
    assert pl.read_parquet(path)["n_files"].min() > 5  # type: ignore[operator]
    assert list(table.to_pandas().columns) == table.column_names
    datasets = pytest.importorskip("datasets")
    opened = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache"))
    assert opened.num_rows == 50
    whole = tmp_path / "whole.parquet"
    assert write_slice(run, whole) == run.account.planned
    assert pq.read_schema(whole).names == SCHEMA.names


def test_slices_that_cannot_be(run: Run, tmp_path: Path) -> None:
    """Columns that are not there, no match, a file that exists: errors that leave no file behind."""
    path = tmp_path / "slice.parquet"
    with pytest.raises(UsageError, match="'raw_siz'; did you mean raw_size"):
        write_slice(run, path, columns=["raw_siz"])
    with pytest.raises(NoMatchError, match="n_files > 1000000"):
        write_slice(run, path, where="n_files > 1000000")
    assert not list(tmp_path.iterdir())
    path.write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        write_slice(run, path)
    assert path.read_text() == "mine"
    assert write_slice(run, path, overwrite=True, limit=1) == 1
    with pytest.raises(RunError, match="holds no Run"):
        write_slice(Run(tmp_path), tmp_path / "x.parquet")


# -- probes and sources of scan ---------------------------------------------------------------------------------------

PROBES: dict[str, Any] = {
    "uses_pip": (lambda task: "pip" in task.text("environment/Dockerfile"), bool),
    "n_names": (lambda task: len(task.names()), "int64"),
    "first": lambda task: {"name": task.names()[0]},
}


@pytest.mark.parametrize("workers", [0, 2])
def test_probes_add_columns(data: Path, tmp_path: Path, workers: int) -> None:
    """Lambdas travel to the workers; each adds a column of its declared type; what raises leaves a fault and null."""
    run = scanner.scan(data, out=tmp_path / "run", workers=workers, probes=PROBES)
    records = run.records().collect()
    assert records.columns == [*SCHEMA.names, *PROBES]
    assert [records[name].dtype for name in PROBES] == [pl.Boolean, pl.Int64, pl.String]
    whole = records.filter(pl.col("status") == "ok", pl.col("format") == "tar")
    assert (whole["n_names"] == whole["n_files"]).all()
    raised = records.filter(pl.col("uses_pip").is_null(), pl.col("compressed_size") > 0)
    assert len(raised)
    assert "ok" not in raised["status"].to_list()
    fault = next(fault for fault in raised["faults"][0] if fault["kind"] == "probe-error")
    assert fault["detail"].startswith(("uses_pip: NoMatchError", "uses_pip: SourceError"))
    found = next(Explorer(data).find("uses_pip AND n_names > 3", run=run))
    assert found.record.n_files > 3


def test_probes_do_not_depend_on_workers(data: Path, tmp_path: Path) -> None:
    """The records with probes are the same bytes in one process and in two."""
    files = []
    for workers in (0, 2):
        run = scanner.scan(data, out=tmp_path / f"run{workers}", workers=workers, probes=PROBES)
        files.append(run.records_path.read_bytes())
    assert files[0] == files[1]


def test_other_probes_are_other_arguments(data: Path, tmp_path: Path) -> None:
    """A Run is continued with the same probes only; the same function elsewhere is the same."""

    def twice(task: Task) -> int:
        return 2 * task.row

    scanner.scan(data, out=tmp_path / "run", engine="serial", limit=50, probes={"x": twice})
    scanner.scan(data, out=tmp_path / "run", engine="serial", limit=50, probes={"x": twice})
    with pytest.raises(RunError, match="probes"):
        scanner.scan(data, out=tmp_path / "run", engine="serial", limit=50, probes={"x": (lambda task: task.row, int)})


@pytest.mark.parametrize(
    ("probes", "words"),
    [
        ({"path": len}, "names a new column"),
        ({"a b": len}, "names a new column"),
        ({"x": 7}, "is no function"),
        ({"x": (len, "date")}, "cannot have the type 'date'"),
    ],
)
def test_wrong_probes_are_told_before_the_scan(data: Path, tmp_path: Path, probes: Any, words: str) -> None:
    """Names that are taken, things that are no functions, types there are not."""
    with pytest.raises(UsageError, match=words):
        scanner.scan(data, out=tmp_path / "run", probes=probes)
    assert not (tmp_path / "run").exists()


ROWS: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "list of mappings": list,
    "generator": iter,
    "arrow table": pa.Table.from_pylist,
}


@pytest.mark.parametrize("given_as", ROWS)
def test_scan_takes_rows_however_they_come(given_as: str, tmp_path: Path) -> None:
    """Lists and generators of mappings, and Arrow tables, give the same records."""
    rows = [{"path": f"org-{n}", "task_binary": b'{"rubric": %d}' % n} for n in range(2_500)]
    run = scanner.scan(ROWS[given_as](rows), out=tmp_path / "run", engine="serial")
    records = run.records().collect()
    assert records["path"].to_list() == [row["path"] for row in rows]
    assert records["row"].to_list() == list(range(2_500))
    assert set(records["verifier_kind"]) == {"judge-config"}
    assert run.account.balances()
    assert run.account.planned == 2_500


def test_mixed_blobs_are_read_one_by_one(tmp_path: Path) -> None:
    """Bytes, base64, integers, nulls and things that are no blob may stand in one column of mappings."""
    blobs = [b"{}", "e30=", [123, 125], None, "!", [1, 300], {"no": "blob"}, 3.5]
    rows = ({"path": f"t-{n}", "task_binary": blob} for n, blob in enumerate(blobs))
    run = scanner.scan(rows, out=tmp_path / "run", engine="serial")
    records = run.records().collect()
    assert records["format"].to_list() == ["json"] * 3 + [None] * 5
    kinds = [faults[0]["kind"] if len(faults) else None for faults in records["faults"]]
    assert kinds == [None, None, None, "null-blob", *["bad-encoding"] * 4]


def test_rows_that_are_no_mappings(tmp_path: Path) -> None:
    """Rows without the columns name what they have; other things are no source at all."""
    with pytest.raises(ColumnError, match="row 0 has no 'path', only 'name'"):
        scanner.scan([{"name": "x"}], out=tmp_path / "a", engine="serial")
    with pytest.raises(ColumnError, match="row 0 is no mapping but int"):
        scanner.scan(range(3), out=tmp_path / "b", engine="serial")
    with pytest.raises(UsageError, match="cannot read rows from a int"):
        scanner.scan(7, out=tmp_path / "c", engine="serial")


# -- what a notebook shows --------------------------------------------------------------------------------------------


def test_a_notebook_shows_what_it_is_given(explorer: Explorer, run: Run) -> None:
    """Run, Explorer and every Task have an HTML face that holds no markup of the data."""
    assert "opentasks__stack-pytest" in run._repr_html_()
    assert f"{len(explorer):,} rows" in explorer._repr_html_()
    for task in explorer.iter(None, "hostile"):
        page = task._repr_html_()
        assert "<script" not in page
        assert "<img" not in page
        assert not any(ord(char) < 32 and char not in "\n\t" for char in page)


def test_a_condition_that_fails_on_a_row_is_told(tmp_path: Path) -> None:
    """What only a value shows to be wrong is an error of usage, too, and no defect of the scanner."""
    explorer = Explorer(write_rows(tmp_path / "a.parquet", [packed(1)]))
    with pytest.raises(UsageError, match="fails on a row: conversion from `str` to `i32` failed"):
        list(explorer.find("CAST(path AS INT) > 0"))


@pytest.mark.parametrize("call", [lambda ex: ex.sample(-1), lambda ex: ex.iter(limit=-1)])
def test_numbers_that_mean_no_rows_are_refused(tmp_path: Path, call: Callable[[Explorer], object]) -> None:
    """At once, and in a sentence."""
    with pytest.raises(UsageError):
        call(Explorer(write_rows(tmp_path / "a.parquet", [packed(1)])))


def test_one_glob_may_be_given_by_itself(tmp_path: Path) -> None:
    """A string is one pattern, not one a letter."""
    for name in ("a", "b"):
        write_rows(tmp_path / name / "a.parquet", [packed(1)])
    assert len(Explorer(tmp_path, include="a/*")) == 1


def test_a_run_is_looked_in_for_the_rows_that_are_chosen(tmp_path: Path) -> None:
    """With a Run, too, ``include`` and ``source_filter`` count; one of another source or an older one is refused."""
    for name in ("a__one", "b__two"):
        write_rows(tmp_path / "data" / name / "a.parquet", [packed(1), packed(2)])
    run = scanner.scan(tmp_path / "data", out=tmp_path / "run", engine="serial")
    explorer = Explorer(tmp_path / "data", include="b*/*")
    assert [(hit.number, hit.record.source) for hit in explorer.find("raw_size > 0", run=run)] == [
        (0, "b__two"),
        (1, "b__two"),
    ]
    filtered = Explorer(tmp_path / "data", source_filter="two")
    assert [hit.record.source for hit in filtered.find("raw_size > 0", run=run)] == ["b__two"] * 2
    write_rows(tmp_path / "other" / "c__three" / "a.parquet", [packed(3)])
    with pytest.raises(UsageError, match="has none of these files"):
        list(Explorer(tmp_path / "other").find("raw_size > 0", run=run))
    write_rows(tmp_path / "data" / "b__two" / "a.parquet", [packed(4), packed(5), packed(6)])
    with pytest.raises(SourceError, match="has changed since"):
        list(Explorer(tmp_path / "data").find("raw_size > 0", run=run))
