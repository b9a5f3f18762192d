"""``scanner report``: which face goes where."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_maker import make_run

from scanner.cli import main
from scanner.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A Run of three sources."""
    return make_run(tmp_path_factory.mktemp("new"), rows=300, sources=["a__x-v2", "b__y", "c__z"], seed=2)


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An earlier Run of nearly the same sources."""
    return make_run(tmp_path_factory.mktemp("old"), rows=280, sources=["a__x-v1", "b__y"], seed=1)


def test_text_by_default(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Without options the summary goes to stdout; --top bounds its lists."""
    assert main(["report", str(run.folder), "--top", "2"]) == 0
    shown = capsys.readouterr()
    assert "300 rows planned" in shown.out
    assert "… and 1 more" in shown.out
    assert shown.err == ""


def test_json(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """--json is one document on stdout and nothing else."""
    assert main(["report", str(run.folder), "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["manifest"]["account"]["planned"] == 300
    assert shown.err == ""


def test_markdown(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """--markdown goes to stdout and ends with one line feed."""
    assert main(["report", str(run.folder), "--markdown"]) == 0
    shown = capsys.readouterr().out
    assert "open-thoughts/TaskTrove" in shown
    assert "open-thoughts/TaskTrove" in shown
    assert shown.endswith("\n")
    assert not shown.endswith("\n\n")


def test_markdown_of_changes(run: Run, old: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """--markdown with --against tells of the changes, every table in order, and ends with one line feed."""
    assert main(["report", str(run.folder), "--against", str(old.folder), "--markdown"]) == 0
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if line.startswith("#")] == [
        "## What changed", "### Sources", "### What differs in changed rows", "### Verifiers", "### Faults",
    ]  # fmt: skip
    assert "| a\\_\\_x-v2 | renamed |" in shown
    assert "the older Run keeps no lists of members" in shown
    assert shown.endswith("*\n")


def test_files(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--html writes the page and says so on stderr; stdout stays free for what is piped."""
    page = tmp_path / "report.html"
    assert main(["report", str(run.folder), "--html", str(page)]) == 0
    shown = capsys.readouterr()
    assert page.read_text(encoding="utf-8").startswith("<!")
    assert (shown.out, shown.err) == ("", f"wrote {page}\n")


def test_a_page_that_cannot_be_written(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder where the file should be is exit code 2 and a sentence that names it."""
    assert main(["report", str(run.folder), "--html", str(tmp_path)]) == 2
    shown = capsys.readouterr().err
    assert str(tmp_path) in shown
    assert shown.count("\n") == 1


def test_against(run: Run, old: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """--against tells what changed, as text and as JSON."""
    assert main(["report", str(run.folder), "--against", str(old.folder)]) == 0
    assert "c__z" in capsys.readouterr().out
    assert main(["report", str(run.folder), "--against", str(old.folder), "--json"]) == 0
    changes = json.loads(capsys.readouterr().out)
    assert {source["source"]: source["state"] for source in changes["sources"]} == {
        "a__x-v2": "renamed",
        "b__y": "kept",
        "c__z": "added",
    }


def test_against_nothing(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An OLD_RUN that is none is said before anything is written."""
    page = tmp_path / "report.html"
    assert main(["report", str(run.folder), "--html", str(page), "--against", str(tmp_path / "none")]) == 2
    assert "holds no Run" in capsys.readouterr().err
    assert not page.exists()


def test_a_report_says_that_a_part_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ten rows of a dataset are not the dataset: text, Markdown and page say which options left the others out."""
    assert main(["make-corpus", str(tmp_path / "corpus"), "--rows", "60"]) == 0
    scan = ["scan", str(tmp_path / "corpus"), "--out", str(tmp_path / "run"), "--limit", "10", "--include", "*/*"]
    assert main([*scan, "--engine", "serial", "--format", "quiet"]) == 0
    capsys.readouterr()
    assert main(["report", str(tmp_path / "run")]) == 0
    assert "asked for: --include */*, --limit 10" in capsys.readouterr().out
    assert main(["report", str(tmp_path / "run"), "--markdown"]) == 0
    assert "Not the whole source was asked for: --include" in capsys.readouterr().out


def test_a_page_goes_where_a_link_leads(run: Run, tmp_path: Path) -> None:
    """A link stays a link, as /dev/stdout does; a folder is refused and nothing is left beside it."""
    (tmp_path / "real.html").write_text("")
    (tmp_path / "link.html").symlink_to("real.html")
    assert main(["report", str(run.folder), "--html", str(tmp_path / "link.html")]) == 0
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "real.html").stat().st_size > 10_000
    (tmp_path / "folder").mkdir()
    assert main(["report", str(run.folder), "--html", str(tmp_path / "folder")]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link.html", "real.html"]
