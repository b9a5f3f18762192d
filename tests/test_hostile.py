"""The hostile corpus: what each row becomes, at any chunk size, and that none of them costs another row anything."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from corpus import CRASHES, Case, cases, due, expected, line_of, scan
from parquet_files import write_rows

import scanner
from scanner.faults import FAULTS
from scanner.model import Record
from scanner.options import SMALL_BYTES, Limits
from scanner.probe import Inflated, Probe

CHUNKS = (1, 7, 511, 65_536)
"""Sizes of the pieces that streams are read in, besides whole."""

PATIENCE_BYTES = {1: 100_000, 7: 500_000}
"""Rows that inflate to more are not fed in such small pieces: bombs are the same bytes over and over."""


class Streaming(Probe):
    """A probe that never inflates a row in one call."""

    def inflate(self, data: memoryview) -> Inflated:
        inflated = super().inflate(data)
        return inflated if inflated.codec == "none" else Inflated(inflated.codec, None)


@pytest.fixture(scope="module")
def records() -> dict[str, Record]:
    """The record of each case, by name."""
    return {case.name: scan(case) for case in cases()}


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    """There are hundreds of cases, each under a name of its own, each in the table."""
    names = [case.name for case in cases()]
    assert len(names) == len(set(names)) > 400
    assert len(expected()) == len(names)


def test_each_case_becomes_the_record_of_the_table(records: dict[str, Record]) -> None:
    """Status, codec, format, sizes, members, layout and faults of every case are those of the table."""
    table = expected()
    lines = {line_of(case, records[case.name]).rstrip() for case in cases()}
    assert lines == set(table.values())


def test_what_is_due_is_reported(records: dict[str, Record]) -> None:
    """The fault that a case was made for is in the table."""
    table = expected()
    missing = {name: kind for name, kind in due().items() if kind not in table[name].split()}
    assert not missing


@pytest.mark.parametrize("chunk_bytes", CHUNKS)
def test_the_size_of_pieces_does_not_matter(records: dict[str, Record], chunk_bytes: int) -> None:
    """Each case streamed in pieces has the very record of the case read whole, offsets and details included."""
    probes = {
        depth: Streaming(Limits(depth=depth), chunk_bytes=chunk_bytes) for depth in {case.depth for case in cases()}
    }
    for case in cases():
        whole = records[case.name]
        patience_bytes = PATIENCE_BYTES.get(chunk_bytes, 1 << 30)
        if (whole.raw_size or 0) <= patience_bytes and ("bomb" not in case.name or chunk_bytes == max(CHUNKS)):
            assert _beside_reach(scan(case, probes[case.depth])) == _beside_reach(whole), case.name


def _beside_reach(record: Record) -> Record:
    """Without how far a row was read when a limit stopped it: one call reads further than small pieces do."""
    if not any(fault.kind.startswith("limit:") for fault in record.faults):
        return record
    faults = [fault for fault in record.faults if fault.kind != "high-ratio"]
    return msgspec.structs.replace(record, raw_size=None, faults=faults)


def test_one_probe_for_all_rows(records: dict[str, Record]) -> None:
    """No row leaves anything behind: one probe over all cases, forth and back, gives each the record it has alone."""
    probe = Probe(Limits())
    for case in (*cases(), *reversed(cases())):
        if not case.depth:
            assert scan(case, probe) == records[case.name], case.name


def test_only_notes_leave_a_row_ok(records: dict[str, Record]) -> None:
    """A row with damage is degraded or failed, a row without is ok; a failed row has no members."""
    for name, record in records.items():
        damaged = any(FAULTS[fault.kind].severity == "damage" for fault in record.faults)
        assert (record.status != "ok") == damaged, name
        assert record.status != "failed" or not record.n_members, name
        assert all(fault.kind != "internal-error" for fault in record.faults), name


def test_every_kind_of_fault_on_archives_is_met(records: dict[str, Record]) -> None:
    """The corpus has a case for every fault of codecs, tar, zip and names."""
    met = {fault.kind for record in records.values() for fault in record.faults}
    about_bytes = {kind for kind in FAULTS if kind.startswith(("codec", "tar", "zip"))}
    notes = set(list(FAULTS)[list(FAULTS).index("trailing-data") : list(FAULTS).index("lying-extension")])
    assert not (about_bytes | notes) - met


def test_texts_in_records_are_valid_and_bounded(records: dict[str, Record]) -> None:
    """Names and details are valid Unicode of a few hundred characters, whatever the archive says."""
    for name, record in records.items():
        for fault in record.faults:
            for text in (fault.member, fault.detail):
                assert text is None or len(text.encode()) <= 4 * 301, name


def test_the_whole_corpus_in_one_scan(tmp_path: Path) -> None:
    """All cases as rows of one file, in workers: every row has the record it has alone, and the account balances."""
    chosen = [case for case in cases() if not case.depth]
    file = write_rows(tmp_path / "h.parquet", [case.blob for case in chosen])
    run = scanner.scan(file, out=tmp_path / "run", workers=2)
    assert run.account.balances()
    assert not run.account.not_reached
    rows = run.records().select("status", "format", "n_members").collect().rows()
    assert rows == [(r.status, r.format, r.n_members) for r in map(scan, chosen)]


def test_crashes_are_named_for_their_flaw() -> None:
    """Whatever fuzzing found stays in the corpus, small, and under a name that says what was wrong."""
    for path in CRASHES.glob("*"):
        assert "-" in path.name
        assert path.stat().st_size <= SMALL_BYTES // 64


def test_a_case_alone() -> None:
    """The corpus can be asked for one case, as a person who debugs it does."""
    assert scan(Case("nothing", b"")).format == "empty"
