"""The summary for a terminal and the JSON document: they fit, they count right, and no name acts on the terminal."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len
from run_maker import HOSTILE, make_run

from scanner.report.document import document
from scanner.report.follow_up import commands, show_command
from scanner.report.terminal import Cut, console, cut, safe
from scanner.report.text import print_summary, render
from scanner.run import Account, Input, Manifest, Run

LONG = [f"very-long-organisation-name-{n}__an-even-longer-name-of-a-source-of-terminal-tasks-v{n}" for n in range(93)]


def text_of(run: Run, *, width: int = 80, top: int = 10) -> str:
    """The summary as a terminal without colours shows it."""
    out = io.StringIO()
    console(out, width=width).print(render(run, top=top))
    return out.getvalue()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An ordinary Run of five sources."""
    return make_run(tmp_path_factory.mktemp("plain"), rows=400)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A Run whose every name comes from an attacker."""
    return make_run(tmp_path_factory.mktemp("hostile"), rows=600, hostile=True, not_reached=7, skipped=3)


def test_names_come_before_means_where_there_is_little_room(tmp_path: Path) -> None:
    """In 40 columns a source keeps both ends of its name, and what verifies it; the means are left out."""
    names = [f"laboratory{at}__collection-of-tasks-{at}" for at in range(5)]
    run = make_run(tmp_path, sources=names)
    shown = text_of(run, width=40)
    for at in range(5):
        assert re.search(rf"^laborator\S*…\S*-tasks-{at} +\d", shown, re.MULTILINE)
    assert "by name" in shown
    assert "Means per row" not in shown
    assert "Means per row" in text_of(run, width=60)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
@pytest.mark.parametrize("sources", [0, 1, 5, LONG], ids=["none", "one", "five", "93 long"])
def test_every_line_fits(tmp_path: Path, width: int, sources: int | list[str]) -> None:
    """No line is wider than the terminal, however many sources there are and however long their names."""
    run = make_run(tmp_path, rows=300 if sources else 0, sources=sources)
    lines = text_of(run, width=width).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert len(lines) < 200


def test_hostile_lines_fit(hostile: Run) -> None:
    """Wide characters and names of hundreds of characters widen nothing."""
    assert max(map(cell_len, text_of(hostile, width=60).splitlines())) <= 60


def test_nothing_from_the_data_acts_on_the_terminal(hostile: Run) -> None:
    """Control characters, bidirectional and zero-width marks appear as escapes, markup as it stands."""
    shown = text_of(hostile, width=160, top=60)
    assert all(char.isprintable() for char in shown.replace("\n", ""))
    for escaped in (r"\x1b[2J", r"\u202e", r"\u200b", "[bold]markup[/bold] :smile: [/]", "<script>"):
        assert escaped in shown


def test_colours_are_the_only_escapes(hostile: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal nothing but colour sequences is written, and with NO_COLOR no colour."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = text_of(hostile, width=100)
    assert "\x1b[" in coloured
    assert all(char.isprintable() for char in re.sub(r"\x1b\[[0-9;]*m|\n", "", coloured))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", text_of(hostile, width=100))


def test_account_is_whole(hostile: Run) -> None:
    """Each part of the account is printed with its number, and why rows were not reached."""
    shown, account = text_of(hostile), hostile.account
    parts = ("ok", "degraded", "failed", "skipped", "not reached")
    numbers = (account.ok, account.degraded, account.failed, account.skipped, account.not_reached)
    for name, number in zip(parts, numbers, strict=True):
        assert re.search(rf"[=+] +{number} {name} ", shown)
    assert f"{account.planned} rows planned" in shown
    assert "SIGKILL" in shown


def test_an_account_that_does_not_balance_is_said(plain: Run, tmp_path: Path) -> None:
    """A row that is lost is no secret."""
    manifest = msgspec.structs.replace(plain.manifest, account=Account(5, 1, 1, 1, 1, 0))
    for name in ("stats.json", "records.parquet"):
        (tmp_path / name).write_bytes((plain.folder / name).read_bytes())
    (tmp_path / "run.json").write_bytes(msgspec.json.encode(manifest))
    assert "does not balance" in text_of(Run(tmp_path))
    assert "does not balance" not in text_of(plain)


def test_sources_add_up(tmp_path: Path) -> None:
    """The lines shown, the rest and the whole: rows are sorted, thousands separated, and sum to the whole."""
    run = make_run(tmp_path, rows=3_000, sources=40)
    lines = text_of(run, width=120, top=4).splitlines()
    start = next(at for at, line in enumerate(lines) if re.match(r"\d+ sources", line))
    rows = [
        int(m[1].replace(",", ""))
        for line in lines[start + 1 : start + 7]
        if (m := re.search(r" ([\d,]+)  +\S+ %", line))
    ]
    assert rows[:4] == sorted(rows[:4], reverse=True)
    assert sum(rows[:5]) == rows[5] == 3_000
    assert "3,000" in lines[start + 6]
    assert "… and 36 more" in lines[start + 5]


def test_a_run_without_rows_says_so(tmp_path: Path) -> None:
    """No empty tables, no division by zero: one line."""
    shown = text_of(make_run(tmp_path, rows=0, sources=0))
    assert "No row was scanned." in shown
    assert not any(word in shown for word in ("File names", "Duplicates", "Damage", "n/a", "formats"))


def test_sections_with_nothing_are_left_out(tmp_path: Path) -> None:
    """A Run of failed rows only has no names to list."""
    run = make_run(tmp_path, rows=40)
    overall = run.stats.overall
    overall.faults, overall.lies.counts = {}, {}
    shown = text_of(run)
    assert "No faults." in shown
    assert "Extensions that lie" not in shown


def test_commands_can_be_copied(plain: Run) -> None:
    """Each command is on one line, however narrow the terminal."""
    out = io.StringIO()
    print_summary(plain, console(out, width=50))
    lines = [line.strip() for line in out.getvalue().splitlines()]
    assert len(commands(plain)) == 2
    assert all(command in lines for command in commands(plain))


COMMIT = "5d1f0c2a9e7b4c3d8f6a1b0e2d4c6f8a9b7e5d3c"
PLACES = {
    "Hub": ("open-thoughts/TaskTrove", COMMIT, "a/tasks.parquet", f"hf://datasets/open-thoughts/TaskTrove@{COMMIT}/a/tasks.parquet"),
    "Hub, address": ("hf://datasets/o/n@main/a/*", COMMIT, "a/t.parquet", f"hf://datasets/o/n@{COMMIT}/a/t.parquet"),
    "file": ("data/tasks.parquet", None, "tasks.parquet", "data/tasks.parquet"),
    "folder": ("corpus/", None, "a/tasks.parquet", "corpus/a/tasks.parquet"),
    "glob": ("corpus/*/tasks.parquet", None, "a/tasks.parquet", "corpus/a/tasks.parquet"),
    "glob here": ("*.parquet", None, "a.parquet", "a.parquet"),
    "quoted": ("my corpus", None, "it's/tasks.parquet", "'my corpus/it'\"'\"'s/tasks.parquet'"),
    "escape": ("corpus", None, "a\x1b[2J/tasks.parquet", None),
    "line feed": ("corpus", None, "a\nrm -r x/tasks.parquet", None),
    "too long": ("corpus", None, "a" * 1_000, None),
}  # fmt: skip


@pytest.mark.parametrize(("source", "revision", "file", "place"), PLACES.values(), ids=PLACES)
def test_show_command(plain: Run, source: str, revision: str | None, file: str, place: str | None) -> None:
    """The command names the file as a SOURCE of its own and is quoted, or is not given at all."""
    inputs = [Input(file, 1, 1, "x")]
    manifest: Manifest = msgspec.structs.replace(plain.manifest, source=source, revision=revision, inputs=inputs)
    assert show_command(manifest, file, 7) == (None if place is None else f"scanner show {place} --row 7")


@given(st.text())
@example("\x1b]0;title\x07")
@example("e" + "\u0301" * 50)
@example("\ud800")
def test_safe_text_is_visible(text: str) -> None:
    """What comes out is printable, has no pile of marks, and is the same when it is made safe again."""
    shown = safe(text)
    assert shown.isprintable()
    assert not re.search("[\u0300-\u036f]{5}", shown)
    assert safe(shown) == shown


@pytest.mark.parametrize("text", ["", "plain name.txt", "文件名.md", "naïve café", "e\u0301", "👍", "100 %", "[x]"])
def test_plain_text_stays(text: str) -> None:
    """Ordinary names of any script are not touched."""
    assert safe(text) == text


def test_several_lines_stay_on_request() -> None:
    """A preview keeps its lines and tabs, nothing else."""
    assert safe("a\n\tb\x1b\r", multiline=True) == "a\n\tb\\x1b\\r"
    assert safe("a\nb") == r"a\nb"


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Cf"])), st.integers(0, 40))
@example("文件名文件名文件名", 7)
def test_cut_fits(text: str, width: int) -> None:
    """A cut text fits; one that fits is not cut; both its ends are kept."""
    short = cut(text, width)
    assert cell_len(short) <= width
    if cell_len(text) <= width and len(text) <= width:
        assert short == text
    elif width > 0:
        head, tail = short.split("…")[0], short.rsplit("…")[-1]
        assert text.startswith(head)
        assert text.endswith(tail)


def test_parts_on_one_line_shrink_the_longest() -> None:
    """The row number stays readable next to a path of ten thousand characters."""
    out = io.StringIO()
    console(out, width=60).print(Cut("tasks.parquet", "row 1234567", "p" * 10_000, "m" * 10_000))
    assert out.getvalue() == "tasks.parquet · row 1234567 · pppppp…pppppp · mmmmmm…mmmmmm\n"


def test_document_is_the_run(hostile: Run) -> None:
    """The JSON document holds run.json and stats.json, in ASCII without control characters, always the same."""
    text = document(hostile)
    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    whole = json.loads(text)
    assert list(whole) == ["schema", "manifest", "stats"]
    assert whole["manifest"] == json.loads((hostile.folder / "run.json").read_bytes())
    assert whole["stats"] == json.loads((hostile.folder / "stats.json").read_bytes())
    assert HOSTILE[0] in whole["stats"]["overall"]["base_images"]["counts"]
    assert document(Run(hostile.folder)) == text
