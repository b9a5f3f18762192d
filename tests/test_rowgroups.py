"""Row groups that go from file to file as they are: the bytes of encoding them again, or a ValueError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner import tables
from scanner.rowgroups import EncodedTable
from scanner.tables import TableWriter

GROUP = 10
FAULT = pa.struct([("kind", pa.string()), ("offset", pa.int64())])
ROWS = pa.table(
    {
        "id": pa.array([f"{i * 7919:08x}" for i in range(70)], pa.string()),
        "kind": pa.array(["tar", None, "zip", "tar"] * 17 + ["tar", "tar"], pa.string()),
        "size": pa.array(range(70), pa.int64()),
        "is_odd": pa.array([bool(i % 2) if i % 5 else None for i in range(70)]),
        "ratio": pa.array([i / 3 for i in range(70)], pa.float64()),
        "faults": pa.array([[{"kind": "cut", "offset": i}] * (i % 3) for i in range(70)], pa.list_(FAULT)),
        "blob": pa.array([bytes([i]) * i for i in range(70)], pa.binary()),
    }
)
"""Every type that a record has, and a double."""


@pytest.fixture(autouse=True, scope="module")
def small_groups() -> Iterator[None]:
    """Row groups of ten rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "ROW_GROUP_ROWS", GROUP)
        yield


def writer(path: Path, first_row: int = 0) -> TableWriter:
    return TableWriter(path, ROWS.schema, dictionary=["kind"], statistics=["id", "size"], first_row=first_row)


def write(path: Path, rows: pa.Table, first_row: int = 0) -> Path:
    with writer(path, first_row) as table:
        table.write(rows)
    return path


@given(n_rows=st.integers(0, 70), cuts=st.lists(st.integers(0, 70), max_size=3).map(sorted))
def test_taken_row_groups_are_the_bytes_that_encoding_gives(n_rows: int, cuts: list[int]) -> None:
    """However rows are cut into parts, a file of row groups taken where they can be is that of all rows, byte for byte.

    A part has its first row group end where one of the whole does, so all but its first and last are taken.
    """
    edges = [0, *(min(cut, n_rows) for cut in cuts), n_rows]
    taken = expected = 0
    with TemporaryDirectory() as folder:
        whole = write(Path(folder, "whole"), ROWS.slice(0, n_rows))
        with writer(Path(folder, "joined")) as joined:
            for start, end in pairwise(edges):
                part = write(Path(folder, "part"), ROWS.slice(start, end - start), first_row=start)
                expected += max(0, end // GROUP - -(-start // GROUP))
                at = start
                with closing(EncodedTable(part)) as table:
                    for group in table:
                        if joined.is_between and group.n_rows == GROUP:
                            joined.take(group)
                            taken += 1
                        else:
                            joined.write(ROWS.slice(at, group.n_rows))
                        at += group.n_rows
                    joined.settle()
        assert Path(folder, "joined").read_bytes() == whole.read_bytes()
        assert taken == expected
        assert pq.read_table(Path(folder, "joined")) == ROWS.slice(0, n_rows)


def test_what_is_tapped_of_a_taken_row_group_are_its_columns(tmp_path: Path) -> None:
    """Whoever looks at rows on their way sees those of row groups that are taken, too: the columns it asked for."""
    seen: list[pa.Table] = []
    part = write(tmp_path / "part", ROWS.slice(0, 20))
    with closing(EncodedTable(part)) as table:
        joined = TableWriter(tmp_path / "joined", ROWS.schema, dictionary=[], tap=seen.append, tapped=["size", "blob"])
        for group in table:
            joined.take(group)
        joined.settle()
    joined.close()
    assert pa.concat_tables(seen) == ROWS.slice(0, 20).select(["size", "blob"])
    assert all(column.num_chunks == 1 for rows in seen for column in rows.columns)


def test_nothing_is_taken_where_no_row_group_begins(tmp_path: Path) -> None:
    """In the middle of a row group, or of another size than the ones here: ValueError, and nothing is lost."""
    part = write(tmp_path / "part", ROWS.slice(0, 13))
    with closing(EncodedTable(part)) as table, writer(tmp_path / "joined") as joined:
        whole, short = table
        with pytest.raises(ValueError, match="not where a row group is"):
            joined.take(short)
        joined.write(ROWS.slice(0, 1))
        with pytest.raises(ValueError, match="not where a row group is"):
            joined.take(whole)
        joined.write(ROWS.slice(1, 12))
    assert (tmp_path / "joined").read_bytes() == part.read_bytes()


@pytest.mark.parametrize(
    "options", [{"write_page_index": True}, {"bloom_filter_options": {"id": {"ndv": 10, "fpp": 0.1}}}]
)
def test_a_row_group_that_depends_on_its_file_is_not_taken(tmp_path: Path, options: dict[str, object]) -> None:
    """Page indexes and Bloom filters lie outside of row groups: such a file is refused, not copied in half."""
    pq.write_table(ROWS, tmp_path / "other", **options)
    with closing(EncodedTable(tmp_path / "other")) as table, pytest.raises(ValueError, match="depends on its file"):
        list(table)


def test_damaged_footers_are_refused_or_read(tmp_path: Path) -> None:
    """Cut anywhere, or with any byte of its footer changed: ValueError or row groups within the file, nothing else."""
    data = write(tmp_path / "whole", ROWS.slice(0, 20)).read_bytes()
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    cut = [data[:end] for end in range(0, len(data), 7)]
    changed = [
        data[:at] + bytes([value]) + data[at + 1 :]
        for at in range(footer, len(data))
        for value in (data[at] ^ 0x80, data[at] ^ 1, 0xFF, 0x1C)
    ]
    nested = data[:footer] + b"\x3c" * 3000 + (3000).to_bytes(4, "little") + b"PAR1"
    refused = 0
    for spoilt in (*cut, *changed, nested):
        (tmp_path / "spoilt").write_bytes(spoilt)
        try:
            with closing(EncodedTable(tmp_path / "spoilt")) as table:
                assert all(len(group.encoded()) <= len(spoilt) for group in table)
        except ValueError:
            refused += 1
    assert refused > len(cut)
