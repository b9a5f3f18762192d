"""Rows come from Parquet as they are there: each once, in order, whatever the layout of the file."""

from __future__ import annotations

import base64
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parquet_files import make_dataset, task, write_rows

import scanner
from scanner.batch import Batch
from scanner.errors import ColumnError, NoMatchError, SourceError, UsageError
from scanner.model import Unit
from scanner.sources import parquet as parquet_module
from scanner.sources.arrow import Columns, Piece, read_columns, to_batches
from scanner.sources.files import find_local, is_selected
from scanner.sources.memory import TableSource
from scanner.sources.parquet import ParquetSource
from scanner.sources.units import UNIT_ROWS, select, units_of


def open_local(location: Path | str, **options: object) -> ParquetSource:
    files = find_local(str(location), options.pop("include", ()), options.pop("exclude", ()))  # type: ignore[arg-type]
    return ParquetSource(str(location), files, columns=Columns(), **options)  # type: ignore[arg-type]


def rows_of(batches: Iterator[Batch]) -> list[tuple[int, str, int, str, bytes | None, str | None]]:
    rows: list[tuple[int, str, int, str, bytes | None, str | None]] = []
    for batch in batches:
        packed = batch.pack()  # before the next batch is asked for: buffers live that long
        for blob in Batch.unpack(packed):
            data = None if blob.data is None else bytes(blob.data)
            rows.append((batch.unit, blob.file, blob.row, blob.path, data, blob.flaw))
    return rows


def read_all(source: ParquetSource | TableSource) -> list[tuple[int, str, int, str, bytes | None, str | None]]:
    plan = source.plan()
    return rows_of(source.read(plan, range(len(plan.units)), fail))


def fail(file: str, unit: int, reason: str) -> None:
    raise AssertionError((file, unit, reason))


@pytest.mark.parametrize("row_group_size", [1, 7, 32, 5000])
@pytest.mark.parametrize("n_rows", [1, 31, 2500])
def test_every_row_comes_once_in_order(tmp_path: Path, n_rows: int, row_group_size: int) -> None:
    """Rows of one file come in order, each in its Unit, whatever the size of the row groups."""
    blobs = [b"%d" % i * (i % 50) for i in range(n_rows)]
    write_rows(tmp_path / "x.parquet", blobs, row_group_size=row_group_size)
    rows = read_all(open_local(tmp_path / "x.parquet"))
    assert [row[2:] for row in rows] == [(i, f"task-{i:04d}", blob, None) for i, blob in enumerate(blobs)]
    assert all(unit == row // UNIT_ROWS for unit, _, row, *_ in rows)


KINDS = {
    "binary": pa.binary(),
    "large_binary": pa.large_binary(),
    "binary_view": pa.binary_view(),
    "dictionary": pa.dictionary(pa.int32(), pa.binary()),
    "list<uint8>": pa.list_(pa.uint8()),
    "list<int64>": pa.list_(pa.int64()),
    "large_list<int32>": pa.large_list(pa.int32()),
    "base64 string": pa.string(),
    "base64 large_string": pa.large_string(),
}


@pytest.mark.parametrize("name", KINDS)
def test_blob_columns_of_every_kind(name: str) -> None:
    """Binary, lists of ints and base64 text give the same bytes; nulls are a flaw of their row alone."""
    blobs = [b"\x1f\x8b\x00", b"", None, bytes(range(256)), b"end"]
    kind = KINDS[name]
    if "string" in name:
        column = pa.array([None if b is None else base64.b64encode(b).decode() for b in blobs], kind)
    elif "list" in name:
        column = pa.array([None if b is None else list(b) for b in blobs], kind)
    elif name == "dictionary":
        column = pa.array(blobs, pa.binary()).dictionary_encode().cast(kind)
    else:
        column = pa.array(blobs, kind)
    table = pa.table({"path": list("abcde"), "task_binary": column})
    expected = [(i, blob, "null-blob" if blob is None else None) for i, blob in enumerate(blobs)]
    assert [
        (row, data, flaw) for _, _, row, _, data, flaw in read_all(TableSource(table, columns=Columns()))
    ] == expected
    sliced = read_all(TableSource(table.slice(1, 3), columns=Columns()))
    assert [data for *_, data, _ in sliced] == blobs[1:4]


def test_numbers_that_are_no_bytes_flaw_their_row() -> None:
    """A list with a number outside 0..255 or a null is no blob; the rows around it are read."""
    column = pa.array([[1, 2], [256], [-1, 5], [None, 7], [3]], pa.list_(pa.int32()))
    rows = read_all(TableSource(pa.table({"path": list("abcde"), "task_binary": column}), columns=Columns()))
    assert [(data, flaw) for *_, data, flaw in rows] == [
        (b"\x01\x02", None),
        (None, "bad-encoding"),
        (None, "bad-encoding"),
        (None, "bad-encoding"),
        (b"\x03", None),
    ]


@given(st.lists(st.integers(0, 300), max_size=12), st.integers(1, 4))
def test_batches_are_bounded(sizes: list[int], piece_rows: int) -> None:
    """No batch is larger than the bound unless it is one row; together they are the Unit."""
    blobs = [bytes(size) for size in sizes]
    pieces = (
        Piece(at, pa.array(["p"] * len(part)), pa.array(part, pa.binary()))
        for at in range(0, len(blobs), piece_rows)
        if (part := blobs[at : at + piece_rows])
    )
    seen: list[int] = []
    for batch in to_batches(0, "f", pieces, most_bytes=100):
        assert batch.blob_bytes <= 100 or len(batch) == 1
        seen += list(np.diff([0, *batch.blob_ends]))
    assert seen == sizes


def test_blobs_are_not_copied_on_the_way_to_a_batch() -> None:
    """The sections of a Batch are the buffers of the Arrow column."""
    column = pa.array([b"abc", b"defg"], pa.binary())
    (batch,) = to_batches(0, "f", iter([Piece(0, pa.array(["a", "b"]), column)]))
    address = column.buffers()[2].address
    assert np.frombuffer(batch.blob_parts[0], np.uint8).ctypes.data == address


@pytest.mark.parametrize("n_rows", [0, 1, 1000, 5000])
@pytest.mark.parametrize("blob_bytes", [0, 10**5, 10**9])
def test_units_cover_a_file_once(n_rows: int, blob_bytes: int) -> None:
    """Units follow one another without gaps, and none has more rows than allowed."""
    units = units_of("f", n_rows, blob_bytes, 5)
    assert [unit.index for unit in units] == list(range(5, 5 + len(units)))
    covered = [row for unit in units for row in range(unit.first_row, unit.first_row + unit.n_rows)]
    assert covered == list(range(n_rows))
    assert all(0 < unit.n_rows <= UNIT_ROWS for unit in units)


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(1, 500), st.integers(0, 9), st.integers(1, 500)
)
def test_samples_and_limits_take_what_they_say(counts: list[int], n: int, seed: int, limit: int) -> None:
    """A sample has that many distinct rows and is the same for the same seed; a limit takes the first rows."""
    units = [Unit(i, "f", sum(counts[:i]), count) for i, count in enumerate(counts)]
    sampled = select(units, sample=n, seed=seed, limit=None)
    rows = [row for unit in sampled for row in unit.picks or ()]
    assert len(rows) == len(set(rows)) == min(n, sum(counts)) == sum(unit.n_planned for unit in sampled)
    assert sampled == select(units, sample=n, seed=seed, limit=None)
    assert rows == sorted(rows)
    limited = select(units, sample=None, seed=0, limit=limit)
    assert sum(unit.n_planned for unit in limited) == min(limit, sum(counts))
    assert [unit.index for unit in limited] == list(range(len(limited)))


def test_picked_rows_are_read_alone(tmp_path: Path) -> None:
    """A sample of a file gives the very rows it drew."""
    write_rows(tmp_path / "x.parquet", [b"%d" % i for i in range(3000)], row_group_size=100)
    rows = read_all(open_local(tmp_path / "x.parquet", sample=40, seed=3))
    assert len(rows) == 40
    assert all(data == b"%d" % row for _, _, row, _, data, _ in rows)


def test_some_units_alone_are_read_as_in_a_full_pass(tmp_path: Path) -> None:
    """Resuming with any Units gives the same rows as those Units have in a full pass."""
    write_rows(tmp_path / "x.parquet", [b"%d" % i * 4000 for i in range(4000)], row_group_size=300)
    source = open_local(tmp_path / "x.parquet")
    plan = source.plan()
    everything = rows_of(source.read(plan, range(len(plan.units)), fail))
    wanted = {unit.index for unit in plan.units[1::3]}
    assert rows_of(source.read(plan, wanted, fail)) == [row for row in everything if row[0] in wanted]


@pytest.mark.parametrize(
    ("file", "include", "exclude", "selected"),
    [
        ("a__b/tasks.parquet", [], [], True),
        ("deprecated/a__b/tasks.parquet", [], [], False),
        ("deprecated/a__b/tasks.parquet", ["deprecated/**"], [], True),
        ("a__b/tasks.parquet", ["deprecated/**"], [], False),
        ("a__b/tasks.parquet", ["a__*/*"], [], True),
        ("a__b/data/x.parquet", ["a__b/*"], [], False),
        ("a__b/data/x.parquet", ["a__b/**"], [], True),
        ("a__b/data/x.parquet", ["a__b"], [], True),
        ("a__b/data/x.parquet", ["**/x.parquet"], [], True),
        ("a__b/tasks.parquet", ["a__b/**"], ["a__b"], False),
        ("a+b/[x].parquet", ["a+b/*"], [], True),
    ],
)
def test_globs(file: str, include: list[str], exclude: list[str], selected: bool) -> None:
    """Excludes win, retired sources are left out unless named, and ``*`` stops at a slash."""
    assert is_selected(file, include, exclude) is selected


def test_what_a_location_means(tmp_path: Path) -> None:
    """A file, a folder and a glob find the same files, named relative to their root."""
    make_dataset(tmp_path, {"a__b": 2, "c__d": 2, "deprecated/e__f": 2})
    assert find_local(str(tmp_path), [], []).names == ["a__b/tasks.parquet", "c__d/tasks.parquet"]
    assert find_local(f"{tmp_path}/c__*/*.parquet", [], []).names == ["c__d/tasks.parquet"]
    assert find_local(str(tmp_path / "a__b" / "tasks.parquet"), [], []).names == ["tasks.parquet"]
    assert find_local(str(tmp_path), [], [], skip=tmp_path / "c__d").names == ["a__b/tasks.parquet"]
    assert find_local(str(tmp_path / "deprecated"), [], []).names == ["e__f/tasks.parquet"]


@pytest.mark.parametrize(
    ("case", "error", "words"),
    [
        ("missing", SourceError, "does not exist"),
        ("empty folder", SourceError, "no Parquet file"),
        ("nothing selected", NoMatchError, "is selected"),
        ("text file", SourceError, "not a readable Parquet file"),
        ("truncated", SourceError, "not a readable Parquet file"),
        ("no blob column", ColumnError, "columns: path: string, other: int64"),
        ("blob of floats", ColumnError, "cannot hold bytes"),
    ],
)
def test_sources_that_cannot_be_read(tmp_path: Path, case: str, error: type[Exception], words: str) -> None:
    """What cannot be planned is one error that says what is wrong, before any work starts."""
    file = tmp_path / "d" / "x.parquet"
    write_rows(file, [task(1)])
    options: dict[str, object] = {}
    location: Path = tmp_path / "d"
    if case == "missing":
        location = tmp_path / "nowhere"
    elif case == "empty folder":
        file.unlink()
    elif case == "nothing selected":
        options["include"] = ["zzz/**"]
    elif case == "text file":
        file.write_text("no parquet at all")
    elif case == "truncated":
        file.write_bytes(file.read_bytes()[:-10])
    elif case == "no blob column":
        pq.write_table(pa.table({"path": ["a"], "other": [1]}), file)
    elif case == "blob of floats":
        pq.write_table(pa.table({"path": ["a"], "task_binary": [1.5]}), file)
    with pytest.raises(error, match=words):
        open_local(location, **options).plan()


def test_a_file_that_changes_is_not_mixed(tmp_path: Path) -> None:
    """A file replaced after the plan was made is reported as unreadable; the other files are read."""
    make_dataset(tmp_path, {"a__b": 3, "c__d": 3})
    source = open_local(tmp_path)
    plan = source.plan()
    write_rows(tmp_path / "a__b" / "tasks.parquet", [task(i) for i in range(9)])
    told: list[tuple[str, int, str]] = []
    rows = rows_of(source.read(plan, range(9), lambda *what: told.append(what)))
    assert {row[1] for row in rows} == {"c__d/tasks.parquet"}
    assert [(file, unit) for file, unit, _ in told] == [("a__b/tasks.parquet", 0)]
    assert "changed" in told[0][2]


def test_damage_inside_a_file_is_told(tmp_path: Path) -> None:
    """Bytes damaged behind a sound footer make the rest of that file unreadable, with a reason."""
    blobs = [random.Random(i).randbytes(500) * 9 for i in range(4000)]
    file = write_rows(tmp_path / "x.parquet", blobs, row_group_size=100, compression="zstd")
    data = bytearray(file.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200_000] = bytes(200_000)
    file.write_bytes(data)
    source = open_local(tmp_path)
    plan = source.plan()
    told: list[tuple[str, int, str]] = []
    rows = rows_of(source.read(plan, range(len(plan.units)), lambda *what: told.append(what)))
    assert [data for *_, data, _ in rows] == blobs[: len(rows)]
    ((name, unit, reason),) = told
    assert name == "x.parquet"
    assert plan.units[unit].first_row <= len(rows) < plan.units[unit].first_row + plan.units[unit].n_rows
    assert reason


def repeated(values: list[bytes | None], numbers: list[int], kind: pa.DataType) -> pa.Array:
    """A column of a few values, each as often as its number is there."""
    items = [None if v is None else list(v) for v in values] if pa.types.is_list(kind) else values
    return pa.array(items, kind).take(pa.array(numbers))


BIG = b"blob" * (1 << 18)
EXPANDING = {
    "equal": (pa.binary(), [0] * 600),
    "small ones first": (pa.binary(), [1] * 2000 + [0, 2] * 300),
    "large_binary": (pa.large_binary(), [0] * 600),
    "list": (pa.list_(pa.uint8()), [0] * 100),
}


@pytest.mark.parametrize("case", EXPANDING)
def test_a_value_that_is_repeated_by_a_dictionary_takes_its_memory_a_few_times(tmp_path: Path, case: str) -> None:
    """A column of a few kB that decodes to gigabytes is read row by row as others are, in bounded memory."""
    kind, numbers = EXPANDING[case]
    values = [BIG, b"", None]
    paths = pa.array([f"p-{i}" for i in range(len(numbers))])
    table = pa.table({"path": paths, "task_binary": repeated(values, numbers, kind)})
    pq.write_table(table, tmp_path / "x.parquet", compression="zstd", dictionary_pagesize_limit=1 << 30)
    del table
    source = open_local(tmp_path)
    plan = source.plan()
    before, peak, row = pa.total_allocated_bytes(), 0, 0
    for batch in source.read(plan, range(len(plan.units)), fail):
        peak = max(peak, pa.total_allocated_bytes() - before)
        for blob in Batch.unpack(batch.pack()):
            assert blob.row == row
            assert (None if blob.data is None else blob.data) == values[numbers[row]]
            row += 1
    assert row == len(numbers)
    assert peak < 200_000_000


def test_a_path_that_is_repeated_by_a_dictionary(tmp_path: Path) -> None:
    """Nor do equal paths take more, with the blobs or alone."""
    paths = pa.array(["p" * (1 << 20)]).take(pa.array([0] * 1000))
    table = pa.table({"path": paths, "task_binary": pa.array([b"x"] * 1000, pa.binary())})
    pq.write_table(table, tmp_path / "x.parquet", compression="zstd", dictionary_pagesize_limit=1 << 30)
    del table, paths
    source = open_local(tmp_path)
    source.plan()
    before, peak, n_rows = pa.total_allocated_bytes(), 0, 0
    for array in source.paths("x.parquet"):
        peak = max(peak, pa.total_allocated_bytes() - before)
        n_rows += len(array)
        assert set(array.unique().to_pylist()) == {"p" * (1 << 20)}
        del array
    assert n_rows == 1000
    assert peak < 200_000_000


@pytest.mark.parametrize("row_group_size", [1, 7, 300, 5000])
def test_decoders_heed_how_many_rows_are_asked_for(
    tmp_path: Path, row_group_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where dictionaries allow a few rows at a time, each row comes once all the same, and no piece has more."""
    monkeypatch.setattr(parquet_module, "_EXPANDED_BYTES", 60_000)
    blobs = [b"%d" % i * 40 if i % 900 < 500 else b"same" * 5000 for i in range(2500)]
    write_rows(tmp_path / "x.parquet", blobs, row_group_size=row_group_size)
    sizes: list[int] = []

    def flatten(unit: int, file: str, pieces: Iterator[Piece]) -> Iterator[Batch]:
        for piece in pieces:
            sizes.append(piece.blobs.nbytes)
            yield from to_batches(unit, file, iter([piece]))

    monkeypatch.setattr(parquet_module, "to_batches", flatten)
    assert [row[4] for row in read_all(open_local(tmp_path))] == blobs
    assert max(sizes) < 100_000
    assert [path for array in open_local_planned(tmp_path).paths("x.parquet") for path in array.to_pylist()] == [
        f"task-{i:04d}" for i in range(2500)
    ]


def open_local_planned(location: Path) -> ParquetSource:
    source = open_local(location)
    source.plan()
    return source


def forged(file: Path, n_rows: int) -> Path:
    """A file of 100 rows, with a footer that claims ``n_rows``."""
    write_rows(file, [b"x"] * 100, compression="none")
    raw = file.read_bytes()
    start = len(raw) - 8 - int.from_bytes(raw[-8:-4], "little")
    footer = raw[start:-8].replace(b"\x16" + _zigzag(100), b"\x16" + _zigzag(n_rows))  # a field of 64 bits
    file.write_bytes(raw[:start] + footer + struct.pack("<L", len(footer)) + b"PAR1")
    return file


def _zigzag(number: int) -> bytes:
    """A positive number as Thrift's compact protocol has it."""
    number *= 2
    groups = [number >> at & 0x7F for at in range(0, max(number.bit_length(), 1), 7)]
    return bytes(group | 0x80 for group in groups[:-1]) + bytes(groups[-1:])


def test_a_footer_that_claims_more_rows_than_its_file_can_hold(tmp_path: Path) -> None:
    """Such a file is no file to plan for: it is named with the reason, and the others are planned and read."""
    make_dataset(tmp_path, {"a__b": 3, "c__d": 3})
    forged(tmp_path / "b__b" / "tasks.parquet", 2 * 10**9)
    source = open_local(tmp_path)
    plan = source.plan()
    assert list(plan.unreadable) == ["b__b/tasks.parquet"]
    assert "claims 2,000,000,000 rows" in plan.unreadable["b__b/tasks.parquet"]
    assert [unit.file for unit in plan.units] == ["a__b/tasks.parquet", "c__d/tasks.parquet"]
    assert len(rows_of(source.read(plan, range(len(plan.units)), fail))) == 6
    with pytest.raises(SourceError, match="claims 2,000,000,000 rows in"):
        open_local(tmp_path / "b__b").plan()


def test_very_many_rows_in_very_few_bytes(tmp_path: Path) -> None:
    """Ten million null rows take a few kB, and are planned like any others."""
    nulls = pa.nulls(10_000_000)
    pq.write_table(
        pa.table({"path": nulls.cast(pa.string()), "task_binary": nulls.cast(pa.binary())}),
        tmp_path / "x.parquet",
        compression="zstd",
    )
    assert (tmp_path / "x.parquet").stat().st_size < 100_000
    assert sum(unit.n_rows for unit in open_local(tmp_path).plan().units) == 10_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [("path=p,blob=b", Columns("p", "b")), ("blob=b", Columns("path", "b")), ("path=p", Columns("p", "task_binary"))],
)
def test_column_option(text: str, expected: Columns) -> None:
    """``--column`` names one or both columns."""
    assert read_columns(text) == expected


@pytest.mark.parametrize("text", ["", "p", "path=", "path=a,other=b", "path=a,b"])
def test_column_option_errors(text: str) -> None:
    """Anything else is refused in a sentence."""
    with pytest.raises(UsageError, match="not of the form"):
        read_columns(text)


def test_a_run_is_no_source(tmp_path: Path) -> None:
    """Its records are Parquet, too, but no tasks: the error says what it is."""
    scanner.scan(write_rows(tmp_path / "a.parquet", [task(1)]), out=tmp_path / "run", engine="serial")
    with pytest.raises(scanner.UsageError, match="is a Run; name the dataset"):
        scanner.scan(tmp_path / "run", out=tmp_path / "again", engine="serial")


def test_a_file_that_is_not_there_is_not_asked_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``folder/name.parquet`` has the form of a dataset's id and is none."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(scanner.SourceError, match=r"folder/a.parquet does not exist"):
        scanner.scan("folder/a.parquet", out="run")
