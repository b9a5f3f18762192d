"""Two Runs compared: every row has one fate, and the fates are those a plain dictionary finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from run_maker import make_run

from scanner.model import Census, Record
from scanner.readings import Readings
from scanner.records import RecordsWriter, to_arrow
from scanner.report import compare_rows
from scanner.report.changes import Comparison, Rows
from scanner.report.compare import compare, render_text
from scanner.run import Run
from scanner.stats import SOURCES_KEPT, Stats, StatsFile


def record(source: str, path: str, content: str | None = "c", blob: str = "b", **more: object) -> Record:
    """A row that was read: only what a comparison looks at."""
    given: dict[str, object] = {"status": "ok", "instruction_id": "i", "instruction_file": "instruction.md", **more}
    return Record(
        source=source, path=path, file=f"{source}/tasks.parquet", row=0, compressed_size=1, content_id=content,
        blob_id=f"{content}{blob}", **given,  # type: ignore[arg-type]
    )  # fmt: skip


def run_of(folder: Path, records: Sequence[Record], names: Sequence[Sequence[str]] = ()) -> Run:
    """A Run of these rows, each with files of these names."""
    made = make_run(folder, rows=0, sources=0)
    records = [msgspec.structs.replace(each, row=at) for at, each in enumerate(records)]
    censuses = [Census(names=names[at] if at < len(names) else ()) for at in range(len(records))]
    censuses = [msgspec.structs.replace(each, content_types=["text/plain"] * len(each.names)) for each in censuses]
    stats = Stats()
    for each, census in zip(records, censuses, strict=True):  # one by one, as merging Units would
        part = Stats()
        part.add(Readings.of([each], [census]))
        stats.merge(part)
    (folder / "stats.json").write_bytes(msgspec.json.encode(StatsFile.of(stats, {})))
    with RecordsWriter(folder / "records.parquet") as writer:
        writer.write(pa.Table.from_batches([to_arrow(Readings.of(records))]))
    assert made.folder == folder
    return Run(folder)


def compared(folder: Path, old: Sequence[Record], new: Sequence[Record]) -> Comparison:
    """What changed from these rows to those."""
    return compare(run_of(folder / "new", new), run_of(folder / "old", old))


A = record("s", "a")
CASES = {
    "nothing": ([A], [A], Rows(same=1)),
    "both empty": ([], [], Rows()),
    "added": ([], [A], Rows(added=1)),
    "removed": ([A], [], Rows(removed=1)),
    "changed": ([A], [record("s", "a", "other")], Rows(changed=1)),
    "repacked": ([A], [record("s", "a", blob="other")], Rows(repacked=1)),
    "moved to another source": ([A], [record("t", "a")], Rows(added=1, removed=1)),
    "same path in two sources": ([A, record("t", "a")], [A, record("t", "a", "x")], Rows(same=1, changed=1)),
    "a path twice": ([A, A], [A, A], Rows(same=2)),
    "a path twice, then once": ([A, A], [A], Rows(same=1, removed=1)),
    "a path twice, the second changed": ([A, A], [A, record("s", "a", "x")], Rows(same=1, changed=1)),
    "could not be read, then could": ([record("s", "a", None)], [A], Rows(changed=1)),
    "never could be read": ([record("s", "a", None)], [record("s", "a", None)], Rows(same=1)),
    "renamed source": ([record("o__n-v1", "a")], [record("o__n-v2", "a")], Rows(same=1)),
    "first version renamed": ([record("o__n", "a")], [record("o__n-v2", "a", "x")], Rows(changed=1)),
}


@pytest.mark.parametrize(("old", "new", "rows"), CASES.values(), ids=CASES)
def test_fates(tmp_path: Path, old: list[Record], new: list[Record], rows: Rows) -> None:
    """Each row is added, removed, changed, repacked or the same."""
    assert compared(tmp_path, old, new).rows == rows


ROWS = st.lists(
    st.builds(record, *map(st.sampled_from, ("stu", "abc", [None, "x", "y"], "bc"))),
    max_size=12,
)  # fmt: skip


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=60
)
@given(old=ROWS, new=ROWS, chunk=st.sampled_from([1, 4, 1_000]))
def test_a_dictionary_finds_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    old: list[Record],
    new: list[Record],
    chunk: int,
) -> None:
    """Fates equal those of a plain dictionary by (source, path, occurrence), whatever is compared at a time."""
    monkeypatch.setattr(compare_rows, "CHUNK_ROWS", chunk)
    found = compared(tmp_path_factory.mktemp("law"), old, new)
    left, right = _numbered(old), _numbered(new)
    both = left.keys() & right.keys()
    changed = {key for key in both if left[key].content_id != right[key].content_id}
    repacked = {key for key in both - changed if left[key].blob_id != right[key].blob_id}
    same = len(both) - len(changed) - len(repacked)
    assert found.rows == Rows(len(right) - len(both), len(left) - len(both), len(changed), len(repacked), same)
    summed = Rows()
    for source in found.sources:
        summed.add(source.rows)
    assert summed == found.rows
    assert found.undescribed <= found.rows.changed


def _numbered(records: Sequence[Record]) -> dict[tuple[str, str, int], Record]:
    seen: Counter[tuple[str, str]] = Counter()
    out = {}
    for each in records:
        key = (each.source, each.path)
        out[(*key, seen[key])] = each
        seen[key] += 1
    return out


def test_sources_and_their_states(tmp_path: Path) -> None:
    """A source is kept, renamed to another -vN, added or removed; one that was renamed is named with its old name."""
    old = [record("keep", "a"), record("o__n-v1", "a"), record("gone", "a"), record("x-v1", "a"), record("x-v2", "a")]
    new = [record("keep", "a"), record("o__n-v2", "a"), record("came", "a"), record("x-v3", "a")]
    states = {each.source: (each.state, each.old_source) for each in compared(tmp_path, old, new).sources}
    assert states == {
        "keep": ("kept", None), "o__n-v2": ("renamed", "o__n-v1"), "came": ("added", None), "gone": ("removed", None),
        "x-v3": ("renamed", "x-v2"), "x-v1": ("removed", None),
    }  # fmt: skip


def test_what_changed_in_rows(tmp_path: Path) -> None:
    """Columns that differ are counted, and so are rows that none of them describes."""
    old = [record("s", str(n), largest_file="tests/t.py", largest_file_size=10, n_files=3) for n in range(4)]
    new = [
        record("s", "0", "x", instruction_id="j", largest_file="tests/t.py", largest_file_size=10, n_files=3),
        record("s", "1", "x", largest_file="tests/t.py", largest_file_size=11, n_files=3),
        record("s", "2", "x", largest_file="data.csv", largest_file_size=99, n_files=4),
        record("s", "3", "x", largest_file="tests/t.py", largest_file_size=10, n_files=3),
    ]
    found = compared(tmp_path, old, new)
    assert found.columns == {"instruction_id": 1, "largest_file_size": 2, "largest_file": 1, "n_files": 1}
    assert found.undescribed == 1


def test_names_and_counts_stand_side_by_side(tmp_path: Path) -> None:
    """Counters of both Runs are there, names in order of their difference; equal ones are left out."""
    old = run_of(tmp_path / "old", [A, record("s", "b", verifier_kind="none")], [["x", "y", "z"], ["x", "y"]])
    new = run_of(tmp_path / "new", [A, record("s", "b", verifier_kind="harbor-shared")], [["x", "w"], ["w"]])
    found = compare(new, old)
    assert list(found.names.items()) == [("w", (0, 2)), ("y", (2, 0)), ("x", (2, 1)), ("z", (1, 0))]
    assert found.verifier_kinds == {"none": (1, 0), "harbor-shared": (0, 1)}


def test_examples_lead_to_rows(tmp_path: Path) -> None:
    """Up to three rows of each fate, in plan order, removed ones in the old Run; each with its command."""
    old = [record("s", f"gone-{n}") for n in range(5)] + [record("s", f"stays-{n}") for n in range(5)]
    new = [record("s", f"stays-{n}", "x") for n in range(5)] + [record("t", f"new-{n}") for n in range(5)]
    found = compared(tmp_path, old, new)
    shown = {fate: [place.path for place in places] for fate, places in found.examples.items()}
    assert shown == {
        "added": ["new-0", "new-1", "new-2"], "removed": ["gone-0", "gone-1", "gone-2"],
        "changed": ["stays-0", "stays-1", "stays-2"],
    }  # fmt: skip
    assert found.examples["removed"][1].command
    assert found.examples["removed"][1].command.endswith("--row 1")


def test_sources_without_statistics_of_their_own(tmp_path: Path) -> None:
    """Rows of the sources beyond the cap are compared too, as one."""
    many = [record(f"s{n:05}", "a", str(n)) for n in range(SOURCES_KEPT + 20)]
    changed = [msgspec.structs.replace(each, content_id="x") for each in many[-5:]]
    assert compared(tmp_path, many, many[:-5] + changed).rows == Rows(same=len(many) - 5, changed=5)


@pytest.mark.parametrize("hostile", [False, True], ids=["plain", "hostile"])
def test_a_run_equals_itself(tmp_path: Path, hostile: bool) -> None:
    """Nothing changed, and every face says so without a character that acts."""
    run = make_run(tmp_path / "run", rows=300, hostile=hostile)
    found = compare(run, run)
    assert found.rows == Rows(same=300)
    assert [found.columns, found.names] == [{}, {}]
    shown = render_text(found)
    assert "sources  none changed" in shown
    assert shown.replace("\n", "").isprintable()
    assert shown.endswith("\n")
    assert msgspec.json.decode(msgspec.json.encode(found), type=Comparison) == found


def test_text_shows_what_changed(tmp_path: Path) -> None:
    """Hostile names are shown as escapes, sources with their fates, and the limits of the comparison."""
    old = [record("o__n-v1", "a"), record("evil\u202e\x1b[2J", "b")]
    shown = render_text(compared(tmp_path, old, [record("o__n-v2", "a", "x")]))
    assert r"evil\u202e\x1b[2J" in shown
    assert "renamed" in shown
    assert "was o__n-v1" in shown
    assert "0 added, 1 removed, 1 changed" in shown
    assert "note: Which files changed is not known: the older Run keeps no lists of members." in shown


def test_runs_that_were_asked_for_different_things(tmp_path: Path) -> None:
    """Other options, rows that were not reached and other versions are named as reasons for differences."""
    old, new = make_run(tmp_path / "old", not_reached=4), make_run(tmp_path / "new", rows=10)
    new.manifest.arguments["limit"] = 10
    new.manifest.versions["scanner"] = "9"
    said = " ".join(compare(new, old).limits)
    assert all(words in said for words in ("asked for different things", "older scan lacks 4", "different versions"))
