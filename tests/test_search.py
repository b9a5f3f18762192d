"""Finding rows by scanning on every core: the hits of one process, in its order, and nothing left behind."""

from __future__ import annotations

import os
import random
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path

import msgspec
import pytest
from processes_of import command_of, descendants, still_there

from scanner.batch import Batch
from scanner.cli import main
from scanner.corpus import make_corpus
from scanner.engines import Death, Outcome
from scanner.errors import SourceError, UsageError
from scanner.explore import Explorer, search
from scanner.explore.find import Hit
from scanner.explore.seek import Rows
from scanner.model import Blob
from scanner.options import Limits


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search") / "corpus"
    make_corpus(folder, rows=400, hostile=True, workers=1)
    return folder


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers from the first row on."""
    monkeypatch.setattr(search, "FIRST_UNITS", 0)


def told(hit: Hit) -> tuple[int, bytes, bytes | None, str]:
    """A hit as a value."""
    assert hit.blob is not None
    data = hit.blob.data
    return hit.number, msgspec.json.encode(hit.record), None if data is None else bytes(data), hit.blob.path


CONDITIONS = ["n_files > 9", "status = 'failed'", "array_contains(fault_kinds, 'null-blob')", "path LIKE '%no such%'"]


@pytest.mark.parametrize("first_units", [0, 1, 3])
def test_workers_find_what_one_process_finds(data: Path, monkeypatch: pytest.MonkeyPatch, first_units: int) -> None:
    """The same hits with the same bytes in the same order, wherever the workers take over."""
    monkeypatch.setattr(search, "FIRST_UNITS", first_units)
    explorer = Explorer(data)
    for where in CONDITIONS:
        alone = list(map(told, explorer.find(where, workers=0)))
        assert list(map(told, explorer.find(where, workers=2))) == alone
        assert bool(alone) == ("no such" not in where)


@pytest.mark.usefixtures("at_once")
def test_whoever_has_enough_leaves_no_process(data: Path) -> None:
    """Closing the iterator, or dropping it, ends the workers; what stays is the forkserver that waits for the next."""
    explorer = Explorer(data)
    before = set(descendants(os.getpid()))
    with closing(explorer.find("n_files > 0", workers=2)) as hits:
        assert [hit.number for hit in islice(hits, 3)] == [0, 1, 2]
        assert set(descendants(os.getpid())) - before
    dropped = explorer.find("n_files > 0", workers=2)
    next(dropped)
    del dropped
    workers = [pid for pid in set(descendants(os.getpid())) - before if "forkserver" not in command_of(pid)]
    assert not still_there(pid for pid in workers if "resource_tracker" not in command_of(pid))


@pytest.mark.usefixtures("at_once")
def test_hits_before_a_file_that_breaks_are_told(data: Path, tmp_path: Path) -> None:
    """Of two files the second breaks: its error comes after the hits of the first, as in one process."""
    whole = next(iter(sorted(data.rglob("*.parquet"))))
    (tmp_path / "a.parquet").write_bytes(whole.read_bytes())
    broken = bytearray(whole.read_bytes())
    broken[100 : len(broken) // 2] = bytes(len(broken) // 2 - 100)
    (tmp_path / "b.parquet").write_bytes(broken)

    def numbers(workers: int) -> list[int]:
        hits = explorer.find("n_files > 0", workers=workers)
        found: list[int] = []
        with pytest.raises(SourceError, match=r"b\.parquet"):
            found.extend(hit.number for hit in hits)  # keeps what came before the error
        return found

    explorer = Explorer(tmp_path)
    assert numbers(2) == numbers(0) != []


def test_the_filter_of_sources_holds_for_every_row(data: Path) -> None:
    """``source_filter`` also picks among the rows of a file without a directory, whose sources are in the paths."""
    one = next(iter(sorted(data.rglob("*.parquet"))))
    everywhere = [hit.record.source for hit in Explorer(one).find("n_files >= 0", workers=0)]
    wanted = everywhere[0]
    hits = Explorer(one, source_filter=f"^{wanted}$").find("n_files >= 0", workers=0)
    assert {hit.record.source for hit in hits} == {wanted}


@pytest.mark.parametrize("held_bytes", [1 << 30, 0], ids=["held", "let go of"])
def test_any_order_of_outcomes_gives_one_order_of_hits(
    data: Path, monkeypatch: pytest.MonkeyPatch, held_bytes: int
) -> None:
    """Batches answered in any order, in whole or row by row, with a row that killed its worker among them."""
    monkeypatch.setattr(search, "_HELD_BYTES", held_bytes)
    rows = Explorer(data, include=["**/tasks.parquet"]).rows
    make = partial(search._Condition, "n_files > 0 OR status = 'failed'", Limits(), None)
    work = search._SearchWork(make)
    reading = search._Reading(rows, 0)
    outcomes: list[Outcome] = []
    for number, batch in enumerate(reading):
        kept = Batch.unpack(batch.pack())
        if number % 2:
            outcomes.append(Outcome(number, 0, len(kept), work(memoryview(kept.pack()))))
            continue
        for at in range(len(kept)):
            packed = kept.single(at).pack()
            is_deadly = at == 1
            payload, death = (None, Death("signal 11")) if is_deadly else (work(memoryview(packed)), None)
            outcomes.append(Outcome(number, at, 1, payload, death, packed if is_deadly else None))
    wanted = _hits(rows, reading, outcomes, make())
    assert [number for number, *_ in wanted] == sorted(number for number, *_ in wanted)
    assert any("worker-died" in kinds for _, kinds, _ in wanted)
    random.Random(0).shuffle(outcomes)
    assert [each[:2] for each in _hits(rows, reading, outcomes, make())] == [each[:2] for each in wanted]
    assert any(blob is None for *_, blob in wanted) == (held_bytes == 0)


def _hits(
    rows: Rows, reading: search._Reading, outcomes: list[Outcome], condition: search._Condition
) -> list[tuple[int, list[str], Blob | None]]:
    hits = search._in_order(rows, reading, iter(outcomes), condition)
    return [(hit.number, [fault.kind for fault in hit.record.faults], hit.blob) for hit in hits]


@pytest.mark.parametrize(("where", "workers"), [("n_fils > 1", 1), ("n_files > 1", -1)], ids=["column", "workers"])
def test_what_is_wrong_is_told_before_anything_is_read(data: Path, where: str, workers: int) -> None:
    """A wrong expression or number of workers raises where it is given, not at the first row."""
    with pytest.raises(UsageError):
        Explorer(data).find(where, workers=workers)


@pytest.mark.usefixtures("at_once")
def test_the_command_prints_the_same_for_any_number_of_workers(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``scanner find`` with and without processes."""
    printed = []
    for workers in ("0", "2"):
        assert main(["find", str(data), "--where", "n_files > 9", "-n", "7", "--json", "--workers", workers]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert len(printed[0].splitlines()) == 7


@pytest.mark.usefixtures("at_once")
def test_exported_are_the_rows_that_were_found(data: Path, tmp_path: Path) -> None:
    """``scanner export --where`` writes the same folders whoever looked for the rows."""

    def exported(name: str, workers: str) -> dict[str, bytes]:
        target = tmp_path / name
        arguments = ["--where", "n_files > 9", "-n", "9", "--workers", workers]
        assert main(["export", str(data), "-o", str(target), *arguments]) == 0
        return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}

    assert exported("alone", "0") == exported("together", "2")
