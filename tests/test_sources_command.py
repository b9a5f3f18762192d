"""``scanner sources``: what SOURCE is made of, from listings and footers alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import pytest
from hub_scans import make_repo, noisy_tasks
from hub_server import COMMIT_1, hub_of
from parquet_files import write_rows

from scanner.cli import main


class Shown(Protocol):
    """What ``scanner sources`` with these arguments prints: on stdout, or on stderr where it ends with another code."""

    def __call__(self, *arguments: str, code: int = 0) -> str: ...


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources, one of them of two files and one large enough not to be read by accident."""
    repo = make_repo(tmp_path_factory.mktemp("repo"), [150, 200, 60])
    write_rows(repo / "c__3" / "data" / "more.parquet", noisy_tasks(5), prefix="more")
    write_rows(repo / "plain" / "tasks.parquet", noisy_tasks(2), prefix="plain")
    return repo


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    """Run the command line and give what it printed."""

    def run(*arguments: str, code: int = 0) -> str:
        assert main(["sources", *arguments]) == code
        captured = capsys.readouterr()
        return captured.out if code == 0 else captured.err

    return run


def test_the_table_has_a_line_per_source(repo: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources with files, rows, row groups and size, the largest first, and the whole."""
    monkeypatch.setenv("COLUMNS", "100")
    lines = [line.split() for line in shown(str(repo)).splitlines()]
    assert [line[:4] for line in lines] == [
        ["4", "sources", "files", "rows"],
        ["b__2", "1", "200", "7"],
        ["a__1", "1", "150", "5"],
        ["c__3", "2", "65", "3"],
        ["plain", "1", "2", "1"],
        ["all", "5", "417", "16"],
    ]
    assert "c__3/data/more.parquet" in shown(str(repo), "--files")


def test_json_has_every_file(repo: Path, shown: Shown) -> None:
    """One document: totals, sources and inputs with rows, bytes and identity."""
    document = json.loads(shown(str(repo), "--json", "--exclude", "plain"))
    assert (document["files"], document["rows"], document["row_groups"]) == (4, 415, 15)
    assert [source["source"] for source in document["sources"]] == ["a__1", "b__2", "c__3"]
    assert document["inputs"][0]["size_bytes"] == (repo / "a__1" / "tasks.parquet").stat().st_size
    assert document["revision"] is None


def test_directories_are_those_of_the_notebook(repo: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names with ``__``, from the listing: no byte of a file is asked for."""
    with hub_of(repo) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        assert shown("org/tasks", "--directories").split() == ["a__1", "b__2", "c__3"]
    assert [request for request in server.requests if not request.path.startswith("/api/")] == []
    assert shown(str(repo), "--directories", "--source-filter", "^b").split() == ["b__2"]


def test_on_the_hub_footers_are_all_that_is_read(repo: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers as on disk, at a commit, for the price of a tail per file."""
    with hub_of(repo) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        remote = json.loads(shown("org/tasks", "--json"))
    local = json.loads(shown(str(repo), "--json"))
    assert remote["revision"] == COMMIT_1
    assert remote["sources"] == local["sources"]
    assert len(server.data_requests) == remote["files"] == 5
    assert server.bytes_asked <= 5 * 65_536


WRONG = {
    "two ways": (["--json", "--files"], 2, "choose one"),
    "no match": (["--include", "nothing/*"], 4, "check --include"),
    "no source of that name": (["--source-filter", "^nothing$"], 4, "matches --source-filter"),
    "no directory of the kind": (["--directories", "--include", "plain"], 4, "no directory with __"),
    "other columns": (["--column", "path=id"], 2, "no column 'id'"),
}


@pytest.mark.parametrize(("options", "code", "sentence"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_listed_is_said(repo: Path, shown: Shown, options: list[str], code: int, sentence: str) -> None:
    """Wrong usage is exit code 2, nothing found 4, each with a sentence."""
    assert sentence in shown(str(repo), *options, code=code)
