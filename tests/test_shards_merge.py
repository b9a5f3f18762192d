"""Parts of a plan, scanned apart and merged: the bytes of one machine, and a name for everything that is missing."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parquet_files import make_dataset, task, write_rows

import scanner
from scanner.cli import main
from scanner.corpus import make_corpus
from scanner.model import Unit
from scanner.run import Manifest, Run
from scanner.shards import ShardFolder
from scanner.sources import InputFile
from scanner.sources.units import share_of, unit_bytes
from scanner.storage import open_folder

N_PARTS = 7


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A look-alike of the dataset with one row of each hostile kind, in many Units."""
    folder = tmp_path_factory.mktemp("made") / "corpus"
    make_corpus(folder, rows=1500, seed=1, hostile=True, workers=1)
    return folder


@pytest.fixture(scope="session")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The corpus scanned at once."""
    return scanner.scan(corpus, out=tmp_path_factory.mktemp("whole") / "run", engine="serial")


@pytest.fixture(scope="session")
def parts(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The corpus scanned as ``--shard 1/7`` to ``7/7``."""
    folder = tmp_path_factory.mktemp("parts")
    for part in range(1, N_PARTS + 1):
        scanner.scan(corpus, out=folder / f"part-{part}", shard=(part, N_PARTS), engine="serial")
    return [folder / f"part-{part}" for part in range(1, N_PARTS + 1)]


@pytest.fixture
def own_parts(parts: list[Path], tmp_path: Path) -> list[Path]:
    """The parts in copies that a test may spoil."""
    return [Path(shutil.copytree(part, tmp_path / "parts" / part.name)) for part in parts]


def outputs(run: Run) -> dict[str, bytes]:
    """All that does not depend on time and machine, the shards included."""
    names = [
        "records.parquet",
        "members.parquet",
        "stats.json",
        *(str(p.relative_to(run.folder)) for p in run.folder.glob("shards/*/*")),
    ]
    return {name: (run.folder / name).read_bytes() for name in names if not name.startswith("shards")} | {
        name: b"" for name in names if name.startswith("shards")
    }


@given(
    rows=st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 10**9)), max_size=5),
    unit_rows=st.integers(1, 900),
    n_parts=st.integers(1, 40),
)
def test_parts_cover_the_plan_and_weigh_the_same(rows: list[tuple[int, int]], unit_rows: int, n_parts: int) -> None:
    """Parts follow one another without gap or overlap, and none is off its share of bytes by more than a Unit."""
    inputs = [InputFile(f"{i}", n, size, "") for i, (n, size) in enumerate(rows)]
    units: list[Unit] = []
    for each in inputs:
        assert each.rows is not None
        for first in range(0, each.rows, unit_rows):
            units.append(Unit(len(units), each.file, first, min(unit_rows, each.rows - first)))
    cuts = [share_of(units, inputs, part, n_parts) for part in range(1, n_parts + 1)]
    assert cuts[0][0] == 0
    assert cuts[-1][1] == len(units)
    assert all(before[1] == after[0] for before, after in pairwise(cuts))
    sizes = unit_bytes(units, inputs)
    for first, end in cuts:
        assert abs(sum(sizes[first:end]) - sum(sizes) / n_parts) <= max(sizes, default=0) + 1


def test_merged_parts_are_the_bytes_of_one_machine(whole: Run, parts: list[Path], tmp_path: Path) -> None:
    """Parts 1/7 to 7/7, given in any order, merge to the very records, statistics and shards of one scan."""
    run = scanner.merge([parts[i] for i in (3, 0, 6, 1, 5, 2, 4)], tmp_path / "run")
    assert outputs(run) == outputs(whole)
    assert run.account == whole.account
    assert run.manifest.state == "complete"
    assert run.manifest.arguments == whole.manifest.arguments
    assert run.manifest.inputs == whole.manifest.inputs
    assert run.manifest.n_units == whole.manifest.n_units
    assert run.manifest.counters.rows == whole.manifest.counters.rows
    assert run.manifest.engine["parts"] == N_PARTS


def test_a_merged_run_is_continued_like_any_other(corpus: Path, whole: Run, parts: list[Path], tmp_path: Path) -> None:
    """A scan of the whole into a merged Run finds every row done."""
    scanner.merge(parts, tmp_path / "run")
    again = scanner.scan(corpus, out=tmp_path / "run", engine="serial")
    assert again.manifest.counters.rows == 0
    assert outputs(again) == outputs(whole)


def test_missing_parts_are_named_and_can_be_scanned(
    corpus: Path, whole: Run, parts: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without its first and last part the Run is partial, says so with exit code 3, and a scan into it completes it."""
    assert main(["merge", *map(str, parts[1:-1]), "-o", str(tmp_path / "run")]) == 3
    assert "part 7 of 7: no Run of it was given" in capsys.readouterr().err
    run = Run(tmp_path / "run")
    assert run.account.balances()
    assert run.account.not_reached == sum(Run(parts[i]).account.planned for i in (0, -1))
    assert run.manifest.state == "partial"
    assert sorted(run.manifest.not_reached) == ["part 1 of 7", "part 7 of 7"]
    assert outputs(scanner.scan(corpus, out=run.folder, engine="serial")) == outputs(whole)


@pytest.mark.parametrize("flaw", ["missing", "damaged", "moved"])
def test_a_partial_part_makes_a_partial_run(whole: Run, own_parts: list[Path], tmp_path: Path, flaw: str) -> None:
    """A shard that is gone, damaged or another's leaves its rows out, and the part is named."""
    part = max(map(Run, own_parts), key=lambda run: run.manifest.n_units)
    share = part.manifest.share
    assert share is not None
    shards = ShardFolder(open_folder(part.folder))
    path, other = (part.folder / shards.name(unit) for unit in (share.first_unit, share.first_unit + 1))
    if flaw == "missing":
        path.unlink()
    else:
        path.write_bytes(other.read_bytes() if flaw == "moved" else path.read_bytes()[:-9] + bytes(9))
    run = scanner.merge(own_parts, tmp_path / "run")
    assert run.account.balances()
    assert 0 < run.account.not_reached < whole.account.planned
    assert run.manifest.not_reached == {
        f"{part.folder.name.replace('-', ' ')} of 7": f"{part.folder} is not complete; run its scan again"
    }


def test_more_parts_than_units_leave_empty_ones(tmp_path: Path) -> None:
    """A part without a Unit is a complete Run of no rows, and merges."""
    data = make_dataset(tmp_path / "data", {"a__b": 5, "c__d": 6})
    runs = [scanner.scan(data, out=tmp_path / f"{i}", shard=(i, 5), engine="serial") for i in range(1, 6)]
    assert [run.manifest.state for run in runs] == ["complete"] * 5
    assert 0 in [run.account.planned for run in runs]
    merged = scanner.merge([run.folder for run in runs], tmp_path / "run")
    assert outputs(merged) == outputs(scanner.scan(data, out=tmp_path / "whole", engine="serial"))


def _other_options(manifest: Manifest) -> None:
    manifest.arguments["limit"] = 5


def _other_cut(manifest: Manifest) -> None:
    manifest.arguments["shard"][1] = 8


def _other_bytes(manifest: Manifest) -> None:
    manifest.inputs[1] = msgspec.structs.replace(manifest.inputs[1], identity="else")


def _other_files(manifest: Manifest) -> None:
    del manifest.inputs[1]


def _other_plan(manifest: Manifest) -> None:
    assert manifest.share is not None
    manifest.share = msgspec.structs.replace(manifest.share, plan="else")


def _other_place(manifest: Manifest) -> None:
    assert manifest.share is not None
    manifest.share = msgspec.structs.replace(manifest.share, first_unit=0)


def _no_part(manifest: Manifest) -> None:
    manifest.share = None


def _other_schema(manifest: Manifest) -> None:
    manifest.schema = 99


REFUSED: dict[str, tuple[Callable[[Manifest], None], str]] = {
    "other options": (_other_options, "differ in limit: None and 5"),
    "other number of parts": (_other_cut, "one of 7 parts, .* one of 8"),
    "a file that changed": (_other_bytes, "different inputs: .* changed in between"),
    "a file less": (_other_files, "different inputs: .* is in one of them alone"),
    "another plan": (_other_plan, "planned differently"),
    "parts that overlap": (_other_place, "overlap"),
    "a whole scan": (_no_part, "the Run of a whole scan"),
    "another schema": (_other_schema, "schema 99"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_belong_together_is_refused(own_parts: list[Path], tmp_path: Path, case: str) -> None:
    """Parts whose options, inputs, plan, cut or schema differ are refused with what differs; nothing is written."""
    spoil, message = REFUSED[case]
    path = own_parts[-1] / "run.json"
    manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    spoil(manifest)
    path.write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(scanner.RunError, match=message):
        scanner.merge(own_parts, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_doubled_parts_are_named(own_parts: list[Path], tmp_path: Path) -> None:
    """A part that is given twice is an error that says which and where."""
    with pytest.raises(scanner.RunError, match=r"given twice: part 3 \(.*part-3 and .*part-3\), part 5"):
        scanner.merge([*own_parts, own_parts[2], own_parts[4]], tmp_path / "run")


def test_nothing_is_overwritten_but_a_run_by_fresh(parts: list[Path], tmp_path: Path) -> None:
    """A folder that holds something is refused; a Run in it gives way to ``fresh`` alone."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("precious")
    for fresh in (False, True):
        with pytest.raises(scanner.OutputError, match="not empty"):
            scanner.merge(parts, other, fresh=fresh)
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]
    run = scanner.merge(parts, tmp_path / "run")
    with pytest.raises(scanner.OutputError, match="--fresh"):
        scanner.merge(parts, run.folder)
    assert outputs(scanner.merge(parts, run.folder, fresh=True)) == outputs(run)


@pytest.mark.parametrize("text", ["0/3", "4/3", "x", "1", "1/0", "-1/3", "1/2/3"])
def test_parts_are_given_as_one_of_n(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--shard`` takes I/N with 1 <= I <= N and says so otherwise."""
    assert main(["scan", "corpus", "--out", str(tmp_path / "run"), f"--shard={text}"]) == 2
    assert "give I/N" in capsys.readouterr().err


def test_rows_of_unknown_number_have_no_parts(tmp_path: Path) -> None:
    """A source whose length is known at its end only cannot be cut."""
    with pytest.raises(scanner.UsageError, match="known at its end"):
        scanner.scan([{"path": "a", "task_binary": b""}], out=tmp_path / "run", shard=(1, 2))


def test_shards_of_bytes_that_changed_are_forgotten(tmp_path: Path) -> None:
    """Once a part is scanned again, no shard of the file's earlier bytes is left for ``merge`` to take."""
    data = make_dataset(tmp_path / "data", {"a__b": 2500})
    run = scanner.scan(data, out=tmp_path / "part", shard=(1, 1), engine="serial")
    assert len(list(run.folder.glob("shards/*/*"))) == 3
    write_rows(data / "a__b" / "tasks.parquet", [task(i) for i in range(20)])
    scanner.scan(data, out=tmp_path / "part", shard=(1, 1), engine="serial")
    assert len(list(run.folder.glob("shards/*/*"))) == 1
    assert scanner.merge([run.folder], tmp_path / "run").account.ok == 20


def test_a_part_is_not_merged_over(own_parts: list[Path], tmp_path: Path) -> None:
    """``-o`` naming one of the parts is refused, also with ``--fresh``, which would have erased it first."""
    before = outputs(Run(own_parts[1]))
    with pytest.raises(scanner.UsageError, match="is one of the parts"):
        scanner.merge(own_parts, own_parts[1].parent / "." / own_parts[1].name, fresh=True)
    assert outputs(Run(own_parts[1])) == before


def test_a_merge_that_fails_leaves_no_file_half_written(own_parts: list[Path], tmp_path: Path) -> None:
    """A shard that cannot be read is told as such; nothing half written stays, and ``--fresh`` merges again."""
    (shard, *_) = sorted(own_parts[-1].glob("shards/*/*"))
    data = shard.read_bytes()
    shard.unlink()
    shard.mkdir()
    with pytest.raises(scanner.RunError, match="cannot be read: Is a directory"):
        scanner.merge(own_parts, tmp_path / "run")
    assert not list((tmp_path / "run").glob("*.part"))
    shard.rmdir()
    shard.write_bytes(data)
    assert scanner.merge(own_parts, tmp_path / "run", fresh=True).account.is_whole


def test_a_merge_leaves_the_collector_as_it_was(own_parts: list[Path], tmp_path: Path) -> None:
    """It is off while shards are folded; however that ends, it is on again, and stays off where it was off."""
    scanner.merge(own_parts, tmp_path / "run")
    assert gc.isenabled()
    gc.disable()
    try:
        scanner.merge(own_parts, tmp_path / "again")
        assert not gc.isenabled()
    finally:
        gc.enable()
    (shard, *_) = sorted(own_parts[-1].glob("shards/*/*"))
    shard.unlink()
    shard.mkdir()
    with pytest.raises(scanner.RunError):
        scanner.merge(own_parts, tmp_path / "failed")
    assert gc.isenabled()


def test_starting_over_leaves_a_report_where_it_is(parts: list[Path], tmp_path: Path) -> None:
    """What a person put beside the Run is no reason to refuse to merge again, and stays."""
    scanner.merge(parts, tmp_path / "run")
    (tmp_path / "run" / "report.html").write_text("<p>mine")
    assert scanner.merge(parts, tmp_path / "run", fresh=True).account.is_whole
    assert (tmp_path / "run" / "report.html").read_text() == "<p>mine"
