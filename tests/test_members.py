"""``members.parquet``: a row a record, the files of its archive as ``tarfile`` lists them, with their digests."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parquet_files import tar_gz, write_rows
from xxhash import xxh3_128_digest

import scanner
from scanner.members import FILES_KEPT, NAMES_BYTES, SCHEMA, MemberLists
from scanner.model import Census, Record
from scanner.readings import Readings
from scanner.records import from_ipc, to_ipc

Row = dict[str, bytes | str | None]


def census(names: Sequence[str], inside: Sequence[str] = ()) -> Census:
    """What is counted of a row with files of these names, and with others in archives ``inside``."""
    return Census(
        [*names, *inside], digests=b"".join(xxh3_128_digest(name.encode("utf-8", "replace")) for name in names)
    )


def readings(censuses: Sequence[Census]) -> Readings:
    """Rows of which only that is known."""
    records = [Record("s", "p", "s/tasks.parquet", row, "ok", 1) for row in range(len(censuses))]
    return Readings.of(records, censuses)


def written(*rows: Census) -> list[Row]:
    """The rows as they stand in the file."""
    lists = MemberLists()
    lists.add(readings(rows))
    batch = lists.to_arrow()
    batch.validate(full=True)
    return list(batch.to_pylist())


def digests(*names: str) -> bytes:
    return b"".join(xxh3_128_digest(name.encode("utf-8", "replace"))[:4] for name in names)


CASES: dict[str, tuple[Census, Row]] = {
    "plain": (census(["a", "b/c"]), {"names": "a\nb/c", "digests": digests("a", "b/c")}),
    "a name twice": (census(["a", "a"]), {"names": "a\na", "digests": digests("a", "a")}),
    "dot slash": (census(["./a", "././b"]), {"names": "a\n./b", "digests": digests("./a", "././b")}),
    "line feed": (census(["a\nb"]), {"names": "a\\x0ab", "digests": digests("a\nb")}),
    "not ASCII": (census(["文"]), {"names": "文", "digests": digests("文")}),
    "not UTF-8": (census(["\udcff"]), {"names": "\\xff", "digests": digests("\udcff")}),
    "archives inside": (census(["a.zip"], ["a.zip!/b"]), {"names": "a.zip", "digests": digests("a.zip")}),
    "no file": (census([]), {"names": "", "digests": b""}),
    "a file without a name": (census([""]), {"names": "", "digests": digests("")}),
    "no archive": (Census(), {"names": None, "digests": None}),
    "as many files as are kept": (
        census(["x"] * FILES_KEPT), {"names": "\n".join(["x"] * FILES_KEPT), "digests": digests("x") * FILES_KEPT}
    ),
    "too many files": (census(["x"] * (FILES_KEPT + 1)), {"names": None, "digests": None}),
    "as long a list as is kept": (
        census(["x" * NAMES_BYTES]), {"names": "x" * NAMES_BYTES, "digests": digests("x" * NAMES_BYTES)}
    ),
    "too long a list": (census(["é" * (NAMES_BYTES // 2), ""]), {"names": None, "digests": None}),
}  # fmt: skip


@pytest.mark.parametrize(("row", "expected"), CASES.values(), ids=CASES)
def test_rows(row: Census, expected: Row) -> None:
    """Names are joined in order, as text without line feeds of their own; what is too long is null."""
    assert written(row) == [expected]
    assert written(row, row) == [expected, expected]


def test_all_cases_in_one_batch() -> None:
    """Rows do not depend on the rows around them."""
    assert written(*(row for row, _ in CASES.values())) == [expected for _, expected in CASES.values()]


LISTS = st.none() | st.lists(st.sampled_from(["a", "b", "./a", "a\nb", "\n", "", "é", "\udcff"]), max_size=3)


@given(rows=st.lists(LISTS, max_size=12), cut=st.integers(0, 12))
def test_rows_do_not_depend_on_batches(rows: list[list[str] | None], cut: int) -> None:
    """A list is that of the row alone, and the parts of a Unit joined are the bytes of the whole."""
    censuses = [Census() if names is None else census(names) for names in rows]
    assert written(*censuses) == [row for each in censuses for row in written(each)]
    parts = []
    for some in (censuses, censuses[:cut], censuses[cut:]):
        lists = MemberLists()
        lists.add(readings(some))
        parts.append(from_ipc(to_ipc(lists.to_arrow())))
    whole, *cuts = parts
    assert to_ipc(pa.concat_tables(cuts).combine_chunks()) == to_ipc(whole.combine_chunks())
    assert whole.schema == SCHEMA


def test_files_are_those_that_tarfile_lists(tmp_path: Path) -> None:
    """A scan writes the names and digests of each archive's files, in its order; a row a record."""
    tars = [tar_gz({"b": b"1", "a/c": b"22", "文": b""}), tar_gz({}), tar_gz({"./x": bytes(99)})]
    write_rows(
        tmp_path / "data" / "tasks.parquet", [tars[0], None, tars[1], b'{"json": 1}', tars[2], b"\x1f\x8b no gzip"]
    )
    run = scanner.scan(tmp_path / "data", out=tmp_path / "run", engine="serial")
    expected: list[tuple[str | None, bytes | None]] = [(None, None)] * 6
    for row, packed in zip((0, 2, 4), tars, strict=True):
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            contents = [file.read() for each in tar if (file := tar.extractfile(each)) is not None]
            names = [name.removeprefix("./") for name in tar.getnames()]
        expected[row] = ("\n".join(names), b"".join(xxh3_128_digest(content)[:4] for content in contents))
    assert run.members().select("names", "digests").collect().rows() == expected
    assert run.records().collect().height == 6


def test_a_run_without_lists_says_so(tmp_path: Path) -> None:
    """Runs of earlier scanners have no such file: that is told, and raises where it is asked for."""
    write_rows(tmp_path / "data" / "tasks.parquet", [tar_gz({"a": b"1"})])
    run = scanner.scan(tmp_path / "data", out=tmp_path / "run", engine="serial")
    assert run.has_members
    (run.folder / "members.parquet").unlink()
    assert not run.has_members
    with pytest.raises(scanner.RunError, match="keeps no lists of members"):
        run.members()


def test_laying_out_does_not_load_pandas() -> None:
    """Pandas would cost every worker a second."""
    code = (
        "import sys; from scanner.members import MemberLists; from scanner.model import Common, Reading\n"
        "from scanner.readings import Readings; from scanner.records import to_arrow; m = MemberLists()\n"
        "two = [Reading(Common('ok', names=['a']), digests=bytes(16)), Reading(Common('failed'))]\n"
        "rows = Readings(['s'] * 2, ['p'] * 2, ['f'] * 2, [0, 1], two)\n"
        "m.add(rows); m.to_arrow(); to_arrow(rows); print('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
