"""show, sample, find, export and slice as a person runs them: output, errors, exit codes, the help's examples."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import scanner
from scanner.cli import main
from scanner.corpus import hostile_cases, make_corpus
from scanner.report.terminal import safe

COMMANDS = ("show", "sample", "find", "export", "slice")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("person") / "corpus"
    make_corpus(folder, rows=400, hostile=True, workers=1)
    return folder


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    scanner.scan(data, out=data.parent / "run", engine="serial")
    return data.parent / "run"


def examples() -> list[tuple[str, str]]:
    found = []
    for name in COMMANDS:
        command = importlib.import_module(f"scanner.cli.{name}").command
        found += [(name, line) for line in command.examples]
    return found


def test_every_example_of_the_help_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The examples work on the embedded sample, one after another, as they stand in the help."""
    monkeypatch.chdir(tmp_path)
    for line in dict.fromkeys(line for _, line in examples()):
        assert main(shlex.split(line)[1:]) == 0, (line, capsys.readouterr().err)
    for name in COMMANDS:
        assert main([name, "--help"]) == 0
        shown = capsys.readouterr().out
        assert all(line in shown for command, line in examples() if command == name)


# -- show -------------------------------------------------------------------------------------------------------------

FACES = {
    "harbor": ["layout    harbor", "task.toml", "instruction", "verifier", "tests/test.sh", "tar: ustar at byte 257"],
    "harbor-steps": ["harbor-steps", "steps/"],
    "terminal-bench": ["terminal-bench", "run-tests.sh", "does not load it: no task.toml"],
    "json": ["JSON", "content"],
}


@pytest.mark.parametrize("width", ["80", "120"])
@pytest.mark.parametrize("layout", FACES)
def test_show(
    layout: str, width: str, data: Path, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each layout shows what is telling about it, within the width of the terminal."""
    monkeypatch.setenv("COLUMNS", width)
    where = f"layout = '{layout}' AND status = 'ok' AND source NOT LIKE 'hostile%'"
    assert main(["find", str(run), "--where", where, "-n", "1", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert main(["show", str(data), "--row", str(record["number"])]) == 0
    shown = capsys.readouterr().out
    assert record["path"] in shown
    for words in FACES[layout]:
        assert words in shown, words
    assert max(map(len, shown.splitlines())) <= int(width)


@pytest.mark.parametrize("width", ["40", "60", "120"])
def test_rows_and_sources_keep_their_names(
    width: str, data: Path, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """However narrow the terminal, lines fit, and what a row and a source are called is not what is cut first."""
    monkeypatch.setenv("COLUMNS", width)
    assert main(["find", str(run), "--where", "source = 'opentasks__stack-pytest'", "-n", "2"]) == 0
    found = capsys.readouterr().out.splitlines()
    assert all(re.search(r"stack-p[^ ]*\d\d", line) for line in found[1:])
    assert main(["sources", str(data)]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert any(re.match(r"opentasks_*[^ ]*k-pytest ", line) for line in listed)
    assert max(map(len, [*found, *listed])) <= int(width)


def test_show_says_what_was_cut(data: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Long texts and long lists end in a line that counts what is not shown."""
    assert main(["show", str(data), "--path", "tar-20000-members"]) == 0
    assert "more, " in capsys.readouterr().out
    assert main(["show", str(data), "--path", "row-random-binary"]) == 0
    assert "3,842 more bytes" in capsys.readouterr().out


def test_show_member_prints_the_very_bytes(data: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Into a pipe a file goes as it is."""
    assert main(["show", str(data), "--row", "0", "--member", "task.toml"]) == 0
    assert capfdbinary.readouterr().out == scanner.Explorer(data)[0].read("task.toml")


def test_show_json_is_ascii_json(data: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The document has the record, the members and the excerpts, and nothing that acts on a terminal."""
    for path in ("instruction-bidi", "path-bidi-\u202efdp.exe"):
        assert main(["show", str(data), "--path", path, "--json"]) == 0
        shown = capsys.readouterr().out
        assert shown.isascii()
        document = json.loads(shown)
        assert document["record"]["path"] == path
        assert {member["name"] for member in document["members"]} >= {"instruction.md", "task.toml"}
        assert document["blob_head"]["hex"].startswith(("1f 8b", "65 6e"))


def test_show_bears_every_hostile_row(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each hostile row is shown, and nothing reaches the terminal that acts on it or is wider than it."""
    explorer = scanner.Explorer(data, include=["hostile__rows"])
    assert len(explorer) == len(hostile_cases())
    for task in explorer:
        task.show()
        shown = capsys.readouterr().out
        assert shown
        assert safe(shown, multiline=True) == shown
        assert max(map(len, shown.splitlines())) <= 80


ERRORS = {
    "row out of range": (["--row", "9999999"], 4, "has no row 9,999,999: it has"),
    "no such path": (["--path", "row-nul"], 4, "did you mean row-null"),
    "several rows": (["--path", "path-duplicate"], 2, "2 rows are called 'path-duplicate': name one of"),
    "path and row": (["--path", "x", "--row", "1"], 2, "--path and --row both name a row"),
    "no such member": (["--row", "0", "--member", "tasks.toml"], 4, "did you mean task.toml"),
    "no such file": (["--row", "0", "--file", "x.parquet"], 4, "has no file 'x.parquet'"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_show_errors(case: str, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence that says what and names what comes near; exit code 2, or 4 where nothing matches."""
    arguments, code, words = ERRORS[case]
    assert main(["show", str(data), *arguments]) == code
    shown = capsys.readouterr()
    assert words in shown.err
    assert shown.err.count("\n") == 1
    assert not shown.out


def test_showing_the_last_row_starts_little() -> None:
    """``show`` loads neither pandas nor polars nor an engine: that is what makes it answer within a second."""
    code = (
        "import sys; from scanner.explore import Explorer; import scanner.explore.text; "
        "print([name for name in ('pandas', 'polars', 'multiprocess', 'datasets', 'scanner.engines', 'altair') "
        "if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


# -- sample and find --------------------------------------------------------------------------------------------------


def test_sample_is_a_table_of_rows(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line a row, whose number ``show`` takes; the same seed, the same lines; as JSON, the records."""
    assert main(["sample", str(data), "-n", "6", "--seed", "2"]) == 0
    first = capsys.readouterr().out
    assert len(first.splitlines()) == 7
    assert main(["sample", str(data), "-n", "6", "--seed", "2"]) == 0
    assert capsys.readouterr().out == first
    assert main(["sample", str(data), "-n", "6", "--seed", "2", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    explorer = scanner.Explorer(data)
    assert [explorer[line["number"]].path for line in lines] == [line["path"] for line in lines]
    assert main(["sample", str(data), "-n", "1", "--show"]) == 0
    assert "status" in capsys.readouterr().out


def test_find(data: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The dataset, the dataset with its Run, and the Run alone find the same rows."""
    where = ["--where", "NOT harbor_loadable AND n_files > 5", "-n", "4"]
    outputs = set()
    for source in ([str(data)], [str(data), "--run", str(run)], [str(run)]):
        assert main(["find", *source, *where]) == 0
        outputs.add(capsys.readouterr().out)
    assert len(outputs) == 1
    assert len(outputs.pop().splitlines()) == 5


def test_find_show_prints_the_verifier(data: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--show`` each hit's verifier files stand below it, the one that starts it first."""
    where = ["--where", "verifier_kind = 'harbor-shared'", "-n", "1", "--show"]
    assert main(["find", str(data), "--run", str(run), *where]) == 0
    shown = capsys.readouterr().out
    assert "tests/test.sh" in shown
    assert "#!/bin/bash" in shown


FIND_ERRORS = {
    "unknown column": ("n_fils > 1", 2, "no column 'n_fils'; did you mean n_files"),
    "no SQL": ("n_files >", 2, "is no SQL expression"),
    "nothing matches": ("n_files > 1000000", 4, "matches 'n_files > 1000000'"),
}


@pytest.mark.parametrize("command", ["find", "find --run", "export", "slice"])
@pytest.mark.parametrize("case", FIND_ERRORS)
def test_wrong_conditions(
    case: str, command: str, data: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown column, broken SQL and no match are one sentence, in every command that takes a condition."""
    where, code, words = FIND_ERRORS[case]
    arguments = {
        "find": ["find", str(data)],
        "find --run": ["find", str(data), "--run", str(run)],
        "export": ["export", str(data), "--run", str(run), "-o", str(tmp_path / "out")],
        "slice": ["slice", str(run), "-o", str(tmp_path / "out.parquet")],
    }[command]
    assert main([*arguments, "--where", where]) == code
    shown = capsys.readouterr()
    assert words in shown.err
    assert shown.err.count("\n") == 1


# -- export and slice -------------------------------------------------------------------------------------------------


def test_export(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Folders, a manifest and a sentence; a target that exists is refused unless told otherwise."""
    target = tmp_path / "out"
    assert main(["export", str(data), "-o", str(target), "-n", "5"]) == 0
    assert "5 tasks (" in capsys.readouterr().out
    lines = [json.loads(line) for line in (target / "manifest.jsonl").read_text().splitlines()]
    assert [(line["file"], line["row"]) for line in lines] == [(lines[0]["file"], row) for row in range(5)]
    assert main(["export", str(data), "-o", str(target), "-n", "5"]) == 2
    assert "exists and is not empty" in capsys.readouterr().err
    assert main(["export", str(data), "-o", str(target), "-n", "7", "--on-exist", "skip"]) == 0
    assert "2 tasks (" in (shown := capsys.readouterr().out)
    assert "5 tasks there already" in shown


def test_export_of_one_path_and_of_a_condition(data: Path, run: Path, tmp_path: Path) -> None:
    """One row by its path; rows by a condition, looked up in a Run."""
    assert main(["export", str(data), "-o", str(tmp_path / "one"), "--path", "row-text"]) == 0
    assert (tmp_path / "one/row-text/task.txt").exists()
    where = ["--run", str(run), "--where", "layout = 'terminal-bench' AND status = 'ok'", "-n", "2"]
    assert main(["export", str(data), "-o", str(tmp_path / "two"), *where]) == 0
    assert len(list((tmp_path / "two").rglob("task.yaml"))) == 2


def test_slice(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The chosen columns and rows; the notebook's table with what it consists of; no file is replaced unasked."""
    path = tmp_path / "slice.parquet"
    assert main(["slice", str(run), "-o", str(path), "--columns", "path,raw_size", "--limit", "9"]) == 0
    assert pq.read_table(path).shape == (9, 2)
    assert main(["slice", str(run), "-o", str(path), "--notebook"]) == 2
    assert "exists" in capsys.readouterr().err
    assert main(["slice", str(run), "-o", str(path), "--notebook", "--overwrite", "--limit", "300"]) == 0
    shown = capsys.readouterr()
    assert "wrote 300 records" in shown.err
    assert shown.out.split()[:5] == ["source", "n", "n_verified", "mean_raw_kb", "mean_n_files"]
    assert main(["slice", str(run), "-o", str(path), "--notebook", "--columns", "path"]) == 2
    assert "both choose the columns" in capsys.readouterr().err
