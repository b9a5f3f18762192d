"""Parts whose row groups are taken as they are: the bytes of one machine, and of encoding all of them again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parquet_files import task

import scanner
from scanner import splice, tables
from scanner.corpus import make_corpus
from scanner.rowgroups import RowGroup
from scanner.run import Manifest, Run
from scanner.tables import TableWriter

N_PARTS = 4
GROUP = 100
N_ROWS = 1500


@pytest.fixture(autouse=True, scope="module")
def small_groups() -> Iterator[None]:
    """Row groups of so few rows that every part has some."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "ROW_GROUP_ROWS", GROUP)
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A look-alike of the dataset with one row of each hostile kind, in many Units."""
    folder = tmp_path_factory.mktemp("made") / "corpus"
    make_corpus(folder, rows=N_ROWS, seed=1, hostile=True, workers=1)
    return folder


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The corpus scanned at once."""
    return scanner.scan(corpus, out=tmp_path_factory.mktemp("whole") / "run", engine="serial")


@pytest.fixture(scope="module")
def parts(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The corpus scanned in parts."""
    return scan_parts(corpus, tmp_path_factory.mktemp("parts"))


@pytest.fixture
def own_parts(parts: list[Path], tmp_path: Path) -> list[Path]:
    """The parts in copies that a test may spoil."""
    return [Path(shutil.copytree(part, tmp_path / "parts" / part.name)) for part in parts]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each row group that was taken as it is, in both tables."""
    rows: list[int] = []
    take = TableWriter.take

    def noted(self: TableWriter, group: RowGroup) -> None:
        take(self, group)
        rows.append(group.n_rows)

    monkeypatch.setattr(TableWriter, "take", noted)
    return rows


def scan_parts(corpus: Path, folder: Path, **options: Any) -> list[Path]:
    for part in range(1, N_PARTS + 1):
        scanner.scan(corpus, out=folder / f"part-{part}", shard=(part, N_PARTS), engine="serial", **options)
    return [folder / f"part-{part}" for part in range(1, N_PARTS + 1)]


def outputs(run: Run) -> dict[str, bytes]:
    """All that does not depend on time and machine."""
    return {name: (run.folder / name).read_bytes() for name in ("records.parquet", "members.parquet", "stats.json")}


def edit(part: Path, change: Callable[[Manifest], object]) -> None:
    manifest = msgspec.json.decode((part / "run.json").read_bytes(), type=Manifest)
    change(manifest)
    (part / "run.json").write_bytes(msgspec.json.encode(manifest))


def largest(parts: list[Path]) -> Path:
    """The part of the most rows."""
    return max(parts, key=lambda part: Run(part).account.planned)


def whole_groups(parts: list[Path]) -> int:
    """Row groups of the whole that lie in one part."""
    first = n_groups = 0
    for part in parts:
        end = first + Run(part).account.planned
        n_groups += max(0, end // GROUP - -(-first // GROUP))
        first = end
    return n_groups


def test_what_lies_in_one_part_is_not_encoded_again(
    whole: Run, parts: list[Path], tmp_path: Path, taken: list[int]
) -> None:
    """Every row group that no two parts share is taken, of both tables, and the outputs are those of one scan."""
    run = scanner.merge(parts, tmp_path / "run")
    assert outputs(run) == outputs(whole)
    assert taken == [GROUP] * 2 * whole_groups(parts)
    assert len(taken) > N_ROWS // GROUP
    assert run.manifest.digests == whole.manifest.digests
    assert run.stats == whole.stats


def _by_another_version(part: Path) -> None:
    edit(part, lambda manifest: manifest.versions.update(pyarrow="0.1"))


def _without_digests(part: Path) -> None:
    edit(part, lambda manifest: manifest.digests.clear())


def _with_one_digest(part: Path) -> None:
    edit(part, lambda manifest: manifest.digests.pop("members.parquet"))


def _changed(part: Path) -> None:
    data = bytearray((part / "records.parquet").read_bytes())
    data[1000] ^= 1
    (part / "records.parquet").write_bytes(data)


def _cut(part: Path) -> None:
    data = (part / "members.parquet").read_bytes()
    (part / "members.parquet").write_bytes(data[:-1000])


def _gone(part: Path) -> None:
    (part / "records.parquet").unlink()


SPOILT: dict[str, Callable[[Path], None]] = {
    "another version": _by_another_version,
    "an earlier scanner": _without_digests,
    "a digest missing": _with_one_digest,
    "a byte changed": _changed,
    "cut short": _cut,
    "removed": _gone,
}


@pytest.mark.parametrize("case", SPOILT)
def test_tables_that_are_not_what_was_written_are_left(
    whole: Run, own_parts: list[Path], tmp_path: Path, taken: list[int], case: str
) -> None:
    """Of such a part nothing is taken, of the others all, and the outputs are the same: the shards have everything."""
    SPOILT[case](largest(own_parts))
    run = scanner.merge(own_parts, tmp_path / "run")
    assert run.account.is_whole
    assert outputs(run) == outputs(whole)
    assert 0 < len(taken) < 2 * whole_groups(own_parts)


def test_shards_that_are_too_many_to_wait_are_encoded(
    whole: Run, parts: list[Path], tmp_path: Path, taken: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a row group has more shards than may wait, nothing is taken; the few that wait are joined ahead."""
    monkeypatch.setattr(splice, "SHARDS_HELD", 1)
    monkeypatch.setattr(tables, "PIECES_HELD", 2)
    assert outputs(scanner.merge(parts, tmp_path / "run")) == outputs(whole)
    assert len(taken) < 2 * whole_groups(parts)


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_no_row_comes_without_its_shard(whole: Run, own_parts: list[Path], tmp_path: Path, place: str) -> None:
    """A damaged shard leaves its rows out of records and statistics alike, though the part's tables have them."""
    shards = sorted(largest(own_parts).glob("shards/*/*"))
    path = shards[{"first": 0, "middle": len(shards) // 2, "last": -1}[place]]
    path.write_bytes(path.read_bytes()[:-9] + bytes(9))
    run = scanner.merge(own_parts, tmp_path / "run")
    for part in own_parts:
        edit(part, lambda manifest: manifest.digests.clear())
    encoded = scanner.merge(own_parts, tmp_path / "encoded")
    assert outputs(run) == outputs(encoded)
    assert run.account.balances()
    n_records = run.records().select(pl.len()).collect().item()
    assert n_records == run.account.planned - run.account.not_reached == run.stats.overall.rows
    assert 0 < run.account.not_reached < whole.account.planned


def test_rows_that_were_left_out_move_all_that_follow(tmp_path: Path) -> None:
    """With a source filter there are fewer records than planned rows: the outputs are still those of one scan."""
    names = [f"{'kept' if number % 3 else 'left'}-{number:04d}" for number in range(3000)]
    rows = pa.table({"path": names, "task_binary": [task(number) for number in range(3000)]})
    pq.write_table(rows, tmp_path / "tasks.parquet", row_group_size=100)
    parts = scan_parts(tmp_path / "tasks.parquet", tmp_path, source_filter="kept")
    whole = scanner.scan(tmp_path / "tasks.parquet", out=tmp_path / "whole", source_filter="kept", engine="serial")
    assert whole.account.skipped == 1000
    assert outputs(scanner.merge(parts, tmp_path / "run")) == outputs(whole)


def test_parts_behind_a_url_are_taken_too(whole: Run, parts: list[Path], tmp_path: Path, taken: list[int]) -> None:
    """Tables of a Run in a store are fetched for it, and no copy of them stays."""
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(str(parts[0].parent), "/splice", recursive=True)
    try:
        run = scanner.merge([f"memory://splice/{part.name}" for part in parts], tmp_path / "run")
    finally:
        memory.rm("/splice", recursive=True)
    assert outputs(run) == outputs(whole)
    assert len(taken) == 2 * whole_groups(parts)
