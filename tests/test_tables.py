"""Files that grow in two threads: whole, or not there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scanner import tables
from scanner.tables import TableWriter

SCHEMA = pa.schema([("n", pa.int64())])


def rows(first: int, n: int) -> pa.Table:
    return pa.table({"n": range(first, first + n)}, schema=SCHEMA)


def open_files() -> int:
    """Descriptors of this process, where the system tells of them."""
    descriptors = Path("/proc/self/fd")
    return len(list(descriptors.iterdir())) if descriptors.is_dir() else 0


def failing_at(call: int) -> Callable[[pa.Table], None]:
    """A tap that fails once, as a disk does that was full for a moment."""
    calls = iter(range(1, 100))

    def tap(_rows: pa.Table) -> None:
        if next(calls) == call:
            raise OSError(28, "No space left on device")

    return tap


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROW_GROUP_ROWS", 10)


@pytest.mark.parametrize("cuts", [[25], [3, 3, 3, 3, 3, 10], [10, 10, 5], [1] * 25])
def test_the_bytes_depend_on_the_rows_alone(tmp_path: Path, cuts: list[int]) -> None:
    """However the rows come, row groups are of ten, and the file is the same."""
    for name, parts in (("one", [25]), ("other", cuts)):
        with TableWriter(tmp_path / name, SCHEMA, dictionary=[]) as writer:
            at = 0
            for n in parts:
                writer.write(rows(at, n))
                at += n
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    file = pq.ParquetFile(tmp_path / "other")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [10, 10, 5]
    assert file.read()["n"].to_pylist() == list(range(25))


def test_rows_that_wait_become_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of tables of a row each no more than a few wait by themselves, whatever a row group takes; same bytes."""
    monkeypatch.setattr(tables, "ROW_GROUP_ROWS", 100)
    with TableWriter(tmp_path / "one", SCHEMA, dictionary=[]) as writer:
        writer.write(rows(0, 250))
    monkeypatch.setattr(tables, "PIECES_HELD", 4)
    loaded: list[int] = []

    def load(at: int) -> pa.Table:
        loaded.append(at)
        return rows(at, 1)

    with TableWriter(tmp_path / "other", SCHEMA, dictionary=[]) as writer:
        for at in range(250):
            writer.write_from(partial(load, at), 1)
            writer.settle()
            assert len(loaded) > at - 4
    assert loaded == list(range(250))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


@pytest.mark.parametrize("call", [1, 2, 3])
def test_what_failed_once_is_never_put_in_place(tmp_path: Path, call: int) -> None:
    """After an error that passed, rows are missing: every later call says so, and closing leaves no file or thread."""
    before, threads = open_files(), set(threading.enumerate())
    writer = TableWriter(tmp_path / "table", SCHEMA, dictionary=[], tap=failing_at(call))
    failed = 0
    for first in range(0, 60, 10):
        try:
            writer.write(rows(first, 10))
        except OSError:
            failed += 1
    assert failed
    with pytest.raises(OSError, match="No space left"):
        writer.close()
    assert not list(tmp_path.iterdir())
    assert not [each for each in set(threading.enumerate()) - threads if each.name.startswith("scanner-encode")]
    assert open_files() <= before


def test_closing_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """The last row group may be the one that does not fit; ``with`` is no different."""
    with (
        pytest.raises(OSError, match="No space left"),
        TableWriter(tmp_path / "table", SCHEMA, dictionary=[], tap=failing_at(1)) as writer,
    ):
        writer.write(rows(0, 5))
    assert not list(tmp_path.iterdir())
