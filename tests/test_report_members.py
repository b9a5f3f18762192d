"""Which files changed inside changed rows: what two real scans of two revisions tell."""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parquet_files import write_rows

import scanner
from scanner.corpus.hostile import hostile_cases
from scanner.report import compare_inside, html
from scanner.report.changes import FileChanges
from scanner.report.compare import compare, render_text
from scanner.report.compare_markdown import render_markdown

Files: TypeAlias = Sequence[tuple[str, bytes]]


def tar(files: Files) -> bytes:
    """A tar of these files; a name may occur twice."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as out:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    return raw.getvalue()


def runs_of(folder: Path, old: Sequence[bytes | None], new: Sequence[bytes | None]) -> tuple[scanner.Run, scanner.Run]:
    """Scans of two revisions of these rows: the new one, and the old."""
    runs = []
    for name, blobs in (("new", new), ("old", old)):
        write_rows(folder / name / "o__s" / "tasks.parquet", blobs)
        runs.append(scanner.scan(folder / name, out=folder / f"{name}-run", engine="serial", fresh=True))
    return runs[0], runs[1]


def fates(files: FileChanges | None) -> dict[str, dict[str, int]]:
    """By fate, names and rows."""
    assert files is not None
    tallies = {"added": files.added, "removed": files.removed, "changed": files.changed}
    return {fate: tally.counts for fate, tally in tallies.items() if tally.counts}


A, B = ("a", b"1"), ("b", b"2")
CASES: dict[str, tuple[Files, Files, dict[str, dict[str, int]]]] = {
    "content": ([A, B], [A, ("b", b"x")], {"changed": {"b": 1}}),
    "content of the same size in both": ([A, B], [("a", b"x"), ("b", b"y")], {"changed": {"a": 1, "b": 1}}),
    "added": ([A], [A, B], {"added": {"b": 1}}),
    "removed": ([A, B], [B], {"removed": {"a": 1}}),
    "renamed": ([A], [("c", b"1")], {"removed": {"a": 1}, "added": {"c": 1}}),
    "swapped": ([A, B], [("a", b"2"), ("b", b"1")], {"changed": {"a": 1, "b": 1}}),
    "reordered, one changed": ([A, B], [("b", b"x"), A], {"changed": {"b": 1}}),
    "reordered": ([A, B], [B, A], {}),
    "leading dot": ([A, B], [("./a", b"1"), ("./b", b"x")], {"changed": {"b": 1}}),
    "a name twice, the second changed": ([A, A, B], [A, ("a", b"x"), B], {"changed": {"a": 1}}),
    "a name twice, both changed": ([A, A], [("a", b"x"), ("a", b"y")], {"changed": {"a": 1}}),
    "a name twice, then once": ([A, A], [A], {"removed": {"a": 1}}),
    "a line feed in a name": ([("a\nb", b"1")], [("a\nb", b"2")], {"changed": {"a\\x0ab": 1}}),
    "from nothing": ([], [A, B], {"added": {"a": 1, "b": 1}}),
    "to nothing": ([A], [], {"removed": {"a": 1}}),
    "a long name": ([("d/" * 200 + "f", b"1")], [("d/" * 200 + "f", b"2")], {"changed": {"d/" * 128 + "…": 1}}),
}


@pytest.mark.parametrize(("old", "new", "expected"), CASES.values(), ids=CASES)
def test_fates(tmp_path: Path, old: Files, new: Files, expected: dict[str, dict[str, int]]) -> None:
    """Each file of a changed row is added, removed, changed or the same."""
    assert fates(compare(*runs_of(tmp_path, [tar(old)], [tar(new)])).files) == expected


FILES = st.lists(st.tuples(st.sampled_from(["a", "b", "c/d", "é"]), st.sampled_from([b"", b"1", b"2"])), max_size=4)


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=40)
@given(rows=st.lists(st.tuples(FILES, FILES), max_size=6), at_once=st.sampled_from([1, 2, 1_000]))
def test_a_dictionary_finds_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    rows: list[tuple[Files, Files]],
    at_once: int,
) -> None:
    """Rows by name and fate equal those of plain dictionaries, whatever is compared at a time."""
    monkeypatch.setattr(compare_inside, "SPAN_ROWS", at_once)
    old, new = ([tar(row[side]) for row in rows] for side in (0, 1))
    found = compare(*runs_of(tmp_path_factory.mktemp("law"), old, new)).files
    expected: dict[str, Counter[str]] = {"added": Counter(), "removed": Counter(), "changed": Counter()}
    for row in rows:
        before, after = map(_numbered, row)
        expected["added"].update({name for name, _ in after.keys() - before.keys()})
        expected["removed"].update({name for name, _ in before.keys() - after.keys()})
        both = before.keys() & after.keys()
        expected["changed"].update({key[0] for key in both if before[key] != after[key]})
    assert fates(found) == {fate: dict(names) for fate, names in expected.items() if names}


def _numbered(files: Files) -> Mapping[tuple[str, int], bytes]:
    seen: Counter[str] = Counter()
    out = {}
    for name, content in files:
        out[name, seen[name]] = content
        seen[name] += 1
    return out


def test_rows_without_lists_are_counted(tmp_path: Path) -> None:
    """A row that is no archive on one side, or has too many files, is left out and told of."""
    many = [(f"f{n}", b"") for n in range(1_100)]
    old = [tar([A]), b"text", tar(many), tar([A])]
    new = [b"text", tar([A]), tar([*many, A]), tar([B])]
    found = compare(*runs_of(tmp_path, old, new))
    assert found.files is not None
    assert found.files.unlisted == 3
    assert fates(found.files) == {"removed": {"a": 1}, "added": {"b": 1}}
    assert any("not known of 3 rows" in limit for limit in found.limits)


@pytest.mark.parametrize("side", ["old", "new"])
def test_a_run_without_lists(tmp_path: Path, side: str) -> None:
    """Where a Run keeps no lists, one line says so, in the text and on the page."""
    new, old = runs_of(tmp_path, [tar([A])], [tar([B])])
    {"old": old, "new": new}[side].folder.joinpath("members.parquet").unlink()
    found = compare(new, old)
    assert found.files is None
    said = f"Which files changed is not known: the {side}er Run keeps no lists of members."
    assert said in found.limits
    assert said in render_text(found)
    assert said in html.render(new, old)


def test_what_every_face_shows(tmp_path: Path) -> None:
    """Text, Markdown and page list names by rows, the most frequent first, and no name acts on any."""
    evil = "<script>alert(1)</script>\u202e\x1b[2J"
    old = [tar([A, B, (evil, b"")])] * 3 + [tar([A])]
    new = [tar([A, ("b", b"x"), (evil, b"x")])] * 2 + [tar([A, B, (evil, b"y")]), tar([])]
    runs = runs_of(tmp_path, old, new)
    found = compare(*runs)
    assert found.files is not None
    shown = r"<script>alert(1)</script>\u202e\x1b[2J"
    assert found.files.top(2) == [(evil, (3, 0, 0)), ("b", (2, 0, 0))]
    text = render_text(found)
    assert [line.split()[-3:] for line in text.splitlines() if shown in line] == [["3", "0", "0"]]
    assert text.replace("\n", "").isprintable()
    markdown = render_markdown(found)
    assert [line.split(" | ")[1:] for line in markdown.splitlines() if "alert" in line] == [["3", "0", "0 |"]]
    assert markdown.replace("\n", "").isprintable()
    page = html.render(*runs)
    assert "<script>" not in markdown
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert page.replace("\n", "").isprintable()


def test_the_hostile_corpus(tmp_path: Path) -> None:
    """Every hostile archive turned into another one: every row is accounted for, and nothing of it acts."""
    blobs = [blob for _, blob in hostile_cases()]
    new, old = runs_of(tmp_path, blobs, [*blobs[1:], blobs[0]])
    found = compare(new, old)
    listed = new.members().collect().drop_nulls().height
    assert found.files is not None
    assert found.rows.changed > len(blobs) // 2
    assert 0 < found.files.unlisted < 2 * (len(blobs) - listed)
    assert max(map(len, found.files.added.counts)) <= 257
    assert render_text(found).replace("\n", "").isprintable()
    assert render_markdown(found).replace("\n", "").isprintable()
    assert html.render(new, old).replace("\n", "").isprintable()
