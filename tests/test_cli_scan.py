"""``scanner scan`` as a person or a script calls it: exit codes, one-sentence errors, what goes where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parquet_files import make_dataset, task, write_rows

from scanner.cli import main


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two small sources and a retired one."""
    return make_dataset(tmp_path / "data", {"a__b": 5, "c__d": 4, "deprecated/e__f": 3})


def no_parquet(data: Path) -> list[str]:
    (data / "empty").mkdir()
    return [str(data / "empty")]


def empty_parquet(data: Path) -> list[str]:
    write_rows(data / "none.parquet", [])
    return [str(data / "none.parquet")]


def truncated_parquet(data: Path) -> list[str]:
    file = data / "a__b" / "tasks.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    return [str(data)]


def missing_column(data: Path) -> list[str]:
    pq.write_table(pa.table({"path": ["x"], "payload": [b"y"]}), data / "other.parquet")
    return [str(data / "other.parquet")]


def named_columns(data: Path) -> list[str]:
    pq.write_table(pa.table({"id": ["x"], "payload": [task(1)], "more": [1]}), data / "other.parquet")
    return [str(data / "other.parquet"), "--column", "path=id,blob=payload"]


def unwritable_out(data: Path) -> list[str]:
    (data / "file").write_text("in the way")
    return [str(data), "--out", str(data / "file" / "run")]


CASES: dict[str, tuple[Callable[[Path], list[str]], int, str]] = {
    "no Parquet": (no_parquet, 2, "no Parquet file found in"),
    "no such source": (lambda data: [str(data / "nowhere")], 2, "does not exist"),
    "empty Parquet": (empty_parquet, 0, ""),
    "truncated Parquet": (truncated_parquet, 3, "a__b/tasks.parquet is not a readable Parquet file"),
    "missing column": (missing_column, 2, "no column 'task_binary' (columns: path: string, payload: binary)"),
    "columns by name": (named_columns, 0, ""),
    "unwritable out": (unwritable_out, 2, "cannot write to"),
    "unknown option": (lambda data: [str(data), "--wrokers", "2"], 2, "--workers"),
    "unknown fault": (lambda data: [str(data), "--fail-on", "tar-truncatd"], 2, "did you mean tar-truncated"),
    "bad column option": (lambda data: [str(data), "--column", "blob"], 2, "not of the form path=NAME,blob=NAME"),
    "bad regex": (lambda data: [str(data), "--source-filter", "("], 2, "not a regular expression"),
    "nothing selected": (lambda data: [str(data), "--include", "zzz/**"], 4, "is selected"),
    "no source matches": (lambda data: [str(data), "--source-filter", "zzz"], 4, "no source in"),
    "everything": (lambda data: [str(data)], 0, ""),
}


@pytest.mark.parametrize("case", CASES)
def test_exit_codes_and_errors(
    case: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each way to go wrong has its exit code and one sentence on stderr that says what and where."""
    make_arguments, code, words = CASES[case]
    monkeypatch.chdir(tmp_path)
    arguments = make_arguments(data)
    assert main(["scan", "--engine", "serial", "--format", "quiet", *arguments]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert words in shown.err
    assert len(shown.err.splitlines()) == (1 if words else 0)
    assert "Traceback" not in shown.err


@pytest.mark.parametrize(
    ("kinds", "code"), [(["degraded"], 1), (["tar-truncated", "codec-truncated"], 1), (["failed"], 0)]
)
def test_fail_on(kinds: list[str], code: int, tmp_path: Path) -> None:
    """``--fail-on`` gives exit 1 when a row has the fault or status, and the Run is written all the same."""
    file = write_rows(tmp_path / "x.parquet", [task(1), task(2)[:-20]])
    options = [part for kind in kinds for part in ("--fail-on", kind)]
    out = ["--out", str(tmp_path / "run"), "--format", "quiet", "--engine", "serial"]
    assert main(["scan", str(file), *out, *options]) == code
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "complete"


def test_rows_not_reached_give_exit_3(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be read behind its footer leaves rows out: exit 3, and the summary says which and why."""
    file = data / "a__b" / "tasks.parquet"
    sound = file.read_bytes()
    file.write_bytes(sound[:60] + bytes(400) + sound[460:])
    assert main(["scan", str(data), "--out", str(tmp_path / "run"), "--engine", "serial"]) == 3
    shown = capsys.readouterr()
    assert "a__b/tasks.parquet" in shown.out + shown.err
    file.write_bytes(sound)
    assert main(["scan", str(data), "--out", str(tmp_path / "run"), "--engine", "serial"]) == 0


def test_json_on_stdout_is_json(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--format json`` prints one document, and nothing on stderr."""
    assert main(["scan", str(data), "--out", str(tmp_path / "run"), "--engine", "serial", "--format", "json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)
    assert shown.err == ""


def test_retired_sources_are_left_out_unless_named(data: Path, tmp_path: Path) -> None:
    """``deprecated/**`` is scanned only when an include names it."""
    quiet = ["--engine", "serial", "--format", "quiet"]
    main(["scan", str(data), "--out", str(tmp_path / "live"), *quiet])
    main(["scan", str(data), "--out", str(tmp_path / "retired"), "--include", "deprecated/**", *quiet])
    planned = [
        json.loads((tmp_path / name / "run.json").read_text())["account"]["planned"] for name in ("live", "retired")
    ]
    assert planned == [9, 3]


def test_the_default_folder_is_named_after_the_source(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without ``--out`` the Run goes to runs/NAME, so the same command continues it."""
    monkeypatch.chdir(tmp_path)
    assert main(["scan", "data", "--engine", "serial", "--format", "quiet"]) == 0
    assert (tmp_path / "runs" / "data" / "records.parquet").exists()
    assert data.exists()


def test_the_command_runs_as_a_program(data: Path, tmp_path: Path) -> None:
    """``python -m scanner scan`` with two workers ends with 0 and leaves only the Run behind."""
    before = set(tmp_path.rglob("*"))
    command = [sys.executable, "-m", "scanner", "scan", str(data), "--out", str(tmp_path / "run"), "--workers", "2"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=300, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "9 rows" in " ".join(done.stdout.split())
    assert {path.relative_to(tmp_path).parts[0] for path in set(tmp_path.rglob("*")) - before} == {"run"}
