"""Nothing escapes: a scan writes to its own folder alone, and what rows hold reaches no terminal or browser."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from corpus import cases
from parquet_files import write_rows

from scanner.corpus import make_corpus

BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
MARKS = ("owned", "evil", "onerror", "alert(1)")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole hostile corpus: that of the command, paths included, and that of the tests."""
    folder = tmp_path_factory.mktemp("escape") / "data"
    make_corpus(folder, rows=300, seed=3, hostile=True, workers=1)
    write_rows(
        folder / "more__hostile" / "x\x1b[31m<b>.parquet", [case.blob for case in cases()], prefix="\x1b[2J\u202e<i>"
    )
    return folder


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "scanner", *arguments],
        cwd=cwd,
        capture_output=True,
        timeout=300,
        check=False,
        env={**os.environ, "TMPDIR": str(cwd / "tmp"), "HOME": str(cwd / "home"), "COLUMNS": "120"},
    )


def snapshot(*roots: Path) -> dict[str, tuple[int, int, int]]:
    """Kind, size and change time of everything below ``roots``."""
    found = {}
    for root in roots:
        for path in [root, *root.rglob("*")]:
            stat = path.lstat()
            found[str(path)] = stat.st_mode, stat.st_size if path.is_file() else 0, stat.st_mtime_ns
    return found


WATCHED = ("/etc", "/root", "/usr/local", "/var/tmp", "/opt")


def test_a_scan_changes_nothing_but_its_folder(data: Path, tmp_path: Path) -> None:
    """The file system before and after a scan that opens every archive: only ``--out`` is new."""
    home = tmp_path / "home"
    for folder in ("tmp", "home", "work"):
        (tmp_path / folder).mkdir()
    readable = [Path(name) for name in WATCHED if os.access(name, os.R_OK | os.X_OK) and name != str(home)]
    roots = [tmp_path, data, *(root for root in readable if root != Path("/root"))]
    before = snapshot(*roots)
    ended = run("scan", str(data), "--out", str(tmp_path / "out"), "--depth", "3", "--workers", "2", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    after = snapshot(*roots)
    out = str(tmp_path / "out")
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    # the folders that hold something new have a new time; a temporary folder is made there and removed again
    assert {path for path in changed if not path.startswith(out)} <= {str(tmp_path), str(tmp_path / "tmp")}
    assert not list((tmp_path / "tmp").iterdir())


@pytest.fixture(scope="module")
def scanned(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Run over everything, its report in every form beside it."""
    folder = tmp_path_factory.mktemp("scanned")
    (folder / "tmp").mkdir()
    ended = run("scan", str(data), "--out", "out", "--depth", "3", "--workers", "2", cwd=folder)
    (folder / "scan.out").write_bytes(ended.stdout + ended.stderr)
    for name, options in {"text.out": [], "text.json": ["--json"], "text.md": ["--markdown"]}.items():
        (folder / name).write_bytes(run("report", "out", *options, cwd=folder).stdout)
    assert run("report", "out", "--html", "page.html", cwd=folder).returncode == 0
    return folder


def controls(text: str) -> Iterator[str]:
    """Characters that a terminal acts on, line ends aside."""
    for c in text:
        if (unicodedata.category(c) == "Cc" and c != "\n") or c in BIDI:
            yield c


@pytest.mark.parametrize("name", ["scan.out", "text.out", "text.md", "text.json"])
def test_output_holds_no_control_characters(scanned: Path, name: str) -> None:
    """Summaries, reports, Markdown and JSON have no escape, no other control character and no bidi override."""
    text = (scanned / name).read_bytes().decode()
    assert len(text) > 200
    assert set(controls(text)) <= ({"\x1b"} if name == "never" else set())


def test_errors_hold_no_control_characters(data: Path, tmp_path: Path) -> None:
    """What a person typed, or a file is called, comes back without its escapes."""
    (tmp_path / "tmp").mkdir()
    for arguments in (["scan", "\x1b[31mred\u202e"], ["report", "no\x07such\x1b]0;owned\x07run"], ["sc\x1b[2Jan"]):
        ended = run(*arguments, cwd=tmp_path)
        assert ended.returncode == 2
        assert not set(controls(ended.stderr.decode()))


@pytest.mark.parametrize("row", range(4, 254, 31))
def test_a_task_shown_holds_no_control_characters(data: Path, tmp_path: Path, row: int) -> None:
    """``scanner show`` of a hostile row, names and contents included, says nothing to the terminal."""
    (tmp_path / "tmp").mkdir()
    ended = run("show", str(data / "hostile__rows" / "tasks.parquet"), "--row", str(row), cwd=tmp_path)
    assert b"Traceback" not in ended.stderr
    assert not set(controls((ended.stdout + ended.stderr).decode()))


class Page(HTMLParser):
    """What a browser would act on: elements, and attributes that run something."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts = 0
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        for key, value in attrs:
            if key.startswith("on") or (value or "").strip().lower().startswith("javascript:"):
                self.bad.append(f"{tag} {key}={value}")
            if key in {"src", "href"} and tag != "a" and re.match(r"(https?:)?//", value or ""):
                self.bad.append(f"{tag} {key}={value}")


def test_the_page_runs_nothing_from_the_data(scanned: Path) -> None:
    """No handler, no foreign script, no control or bidi character in the HTML report; hostile names are plain text."""
    text = (scanned / "page.html").read_text()
    page = Page()
    page.feed(text)
    assert not page.bad
    assert "<img src=x" not in text
    assert "<script>alert" not in text
    assert not set(controls(text)) - {"\t"}


def test_json_is_json(scanned: Path) -> None:
    """The JSON of a Run parses and holds no lone surrogate."""
    for path in (scanned / "out" / "run.json", scanned / "out" / "stats.json", scanned / "text.json"):
        text = path.read_bytes().decode()
        json.dumps(json.loads(text), ensure_ascii=False).encode()
        assert not set(controls(text)), path.name
