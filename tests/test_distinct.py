"""Distinct ids: exact, however many rows are held at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scanner import distinct
from scanner.distinct import ID_COLUMNS, DistinctIds
from scanner.model import Record
from scanner.readings import Readings
from scanner.records import to_arrow
from scanner.stats import Distinct

IDS = st.none() | st.sampled_from([f"{n:016x}" + "0" * 16 for n in (0, 1, 10, 16, 0xFFFF, 2**60, 2**64 - 1)])
ROWS = st.lists(st.tuples(st.sampled_from(["s", "t", ""]), IDS, IDS, IDS), min_size=1, max_size=30)


def record(source: str, *ids: str | None) -> Record:
    return Record(
        source=source, path="", file="", row=0, status="ok", compressed_size=0,
        **dict(zip(ID_COLUMNS, ids, strict=True)),  # type: ignore[arg-type]
    )  # fmt: skip


def counted(folder: Path, groups: Sequence[Sequence[Record]]) -> dict[str | None, dict[str, Distinct]]:
    """What is counted of these row groups."""
    ids = DistinctIds(folder)
    for group in groups:
        if group:
            ids.add(pa.Table.from_batches([to_arrow(Readings.of(group))]))
    return ids.count()


def by_dictionary(records: Sequence[Record]) -> dict[str | None, dict[str, Distinct]]:
    """The same by plain dictionaries."""
    out: dict[str | None, dict[str, Distinct]] = {None: {}}
    for column in ID_COLUMNS:
        rows = [(each.source, getattr(each, column)) for each in records if getattr(each, column) is not None]
        sources = defaultdict(set)
        for source, id_ in rows:
            sources[id_].add(source)
        for name in [None, *dict.fromkeys(source for source, _ in rows)]:
            mine = [id_ for source, id_ in rows if name in (None, source)]
            shared = sum(len(sources[id_]) > 1 for id_ in mine)
            out.setdefault(name, {})[column] = Distinct(len(mine), len(set(mine)), shared)
    return out


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(rows=ROWS, cut=st.integers(0, 30), held=st.sampled_from([8, 11, 1_000]))
def test_dictionaries_count_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[tuple[str | None, ...]], cut: int, held: int
) -> None:
    """Rows, distinct ids and rows shared with another source, whether ids wait in memory or in files."""
    monkeypatch.setattr(distinct, "HELD_ROWS", held)
    monkeypatch.setattr(distinct, "BUCKET_ROWS", held)
    records = [record(str(source), *ids) for source, *ids in rows]
    assert counted(tmp_path, [records[:cut], records[cut:]]) == by_dictionary(records)
    assert not list(tmp_path.iterdir())


def test_every_hexadecimal_digit_counts(tmp_path: Path) -> None:
    """Ids that differ in one of their first 16 digits are distinct; the rest is not looked at."""
    digits = "0123456789abcdef"
    ids = ["0" * at + digit + "0" * (31 - at) for at in range(16) for digit in digits]
    records = [record("s", each, each[:16] + "f" * 48, None) for each in ids]
    found = counted(tmp_path, [records])["s"]
    assert found == {name: Distinct(256, 256 - 15, 0) for name in ("blob_id", "content_id")}


def test_sliced_rows(tmp_path: Path) -> None:
    """Rows out of the middle of a table are counted, and no others."""
    records = [record("st"[n % 2], f"{n:016x}" + "0" * 16, None, f"{n:016x}" + "0" * 48) for n in range(9)]
    records = [*records[:4], record("s", None, None, None), *records[4:]]
    ids = DistinctIds(tmp_path)
    ids.add(pa.Table.from_batches([to_arrow(Readings.of(records)).slice(3, 4)]))
    assert ids.count() == by_dictionary(records[3:7])


def test_one_id_in_nearly_all_rows_is_counted_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket that is much longer than the others, since equal ids are in one, is never held whole."""
    monkeypatch.setattr(distinct, "HELD_ROWS", 40)
    monkeypatch.setattr(distinct, "BUCKET_ROWS", 10)
    longest = 0

    def noted(pairs: distinct._Pairs, times: distinct._Numbers) -> tuple[distinct._Pairs, distinct._Numbers]:
        nonlocal longest
        longest = max(longest, len(pairs))
        return folded(pairs, times)

    folded = distinct._folded
    monkeypatch.setattr(distinct, "_folded", noted)
    same = "ab" * 16
    records = [record("st"[n % 2], same if n % 10 else f"{n:016x}" + "0" * 16, None, None) for n in range(400)]
    assert counted(tmp_path, [records[at : at + 20] for at in range(0, 400, 20)]) == by_dictionary(records)
    assert 0 < longest <= 40


def test_sources_beyond_those_with_statistics_count_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the statistics do it, so that a source a row costs no more than a thousand sources."""
    monkeypatch.setattr(distinct, "SOURCES_KEPT", 3)
    records = [record(f"source-{n}", f"{n:016x}" + "0" * 16, None, None) for n in range(9)]
    found = counted(tmp_path, [records])
    assert {name: each["blob_id"].n for name, each in found.items() if "blob_id" in each} == {
        None: 9, "source-0": 1, "source-1": 1, "source-2": 1, "(other sources)": 6,
    }  # fmt: skip


def test_a_source_without_a_name_is_not_the_whole(tmp_path: Path) -> None:
    """Rows with an empty path in a file of no folder have the source "", which is counted by itself."""
    records = [record("", "00" * 16, None, None), record("s", "11" * 16, None, None)]
    found = counted(tmp_path, [records])
    assert found[None]["blob_id"] == Distinct(2, 2, 0)
    assert found[""]["blob_id"] == Distinct(1, 1, 0)
