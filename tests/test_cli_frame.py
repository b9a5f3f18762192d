"""The command line's frame: its table, its help, one sentence for every error, its exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import click
import pytest
from run_maker import make_run

import scanner.cli
from scanner.cli import COMMANDS, Commands, commands, main
from scanner.errors import NoMatchError, NotReachedError, RunError

LISTED = commands.list_commands(click.Context(commands))


def load(name: str) -> click.Command:
    """The command of a name, as the frame gets it."""
    command = commands.get_command(click.Context(commands), name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", LISTED)
def test_table_tells_what_the_command_says(name: str) -> None:
    """The one-line help of the table is the command's own, or begins it."""
    assert load(name).get_short_help_str(200).startswith(COMMANDS[name])
    assert len(COMMANDS[name]) + max(map(len, COMMANDS)) + 4 <= 80


@pytest.mark.parametrize("name", LISTED)
def test_help_of_a_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--help explains each option and ends with an example of this command."""
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    unexplained = [p.name for p in load(name).params if isinstance(p, click.Option) and not p.help]
    assert not unexplained
    assert f"scanner {name} " in shown.out.partition("Example:")[2]


def test_help_imports_no_command() -> None:
    """What --help loads stays small: neither commands nor the libraries they stand on (this is what its speed is)."""
    code = (
        "import sys; from scanner.cli import main; main(['--help']); "
        "heavy = {'pyarrow', 'polars', 'numpy', 'rich', 'datasets', 'huggingface_hub', 'msgspec', 'asyncio'}; "
        "print(sorted(m for m in sys.modules if m in heavy or m.startswith('scanner.cli.')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert done.stderr.strip() == "[]"
    assert all(f"  {name} " in done.stdout for name in LISTED)


def test_only_installed_commands_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of the table whose file is not there is neither listed nor found."""
    monkeypatch.setitem(COMMANDS, "fly-away", "Not there")
    group = Commands()
    assert "fly-away" not in group.list_commands(click.Context(group))
    assert group.get_command(click.Context(group), "fly-away") is None


def test_bare_call_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command the help comes on stderr with exit code 2; --version is one line."""
    assert main([]) == 2
    assert "Commands:" in capsys.readouterr().err
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("scanner 0.")


USAGE = {
    "unknown command": (["reprot"], "no such command 'reprot'; did you mean report or export? (see scanner --help)"),
    "nothing like it": (["xyzzy"], "no such command 'xyzzy' (see scanner --help)"),
    "unknown option": (
        ["report", "--markdwon"],
        "no such option '--markdwon'; did you mean --markdown? (see scanner report --help)",
    ),
    "option of the group": (["--verison"], "no such option '--verison'; did you mean --version? (see scanner --help)"),
    "missing argument": (["report"], "Missing argument 'RUN' (see scanner report --help)"),
    "bad value": (
        ["report", "x", "--top", "0"],
        "Invalid value for '--top': 0 is not in the range x>=1 (see scanner report --help)",
    ),
    "no Run": (["report", "nowhere"], "nowhere holds no Run (run.json is missing); make one with `scanner scan`"),
    "a seed alone": (
        ["scan", ".", "--seed", "3", "--out", "nowhere"],
        "seed is 3, and nothing is drawn without a sample; give both",
    ),
    "a revision of a folder": (
        ["sources", ".", "--revision", "x"],
        "--revision x is of a dataset on the Hub, and . is none",
    ),
    "two documents": (
        ["report", "x", "--json", "--markdown"],
        "--markdown and --json both go to stdout: leave one out",
    ),
    "escapes": (["report", "\x1b[2Jx"], r"\x1b[2Jx holds no Run (run.json is missing); make one with `scanner scan`"),
}


@pytest.mark.parametrize(("arguments", "sentence"), USAGE.values(), ids=USAGE)
def test_usage_errors(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage is exit code 2 and one sentence that says what is near or where to look."""
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"scanner: error: {sentence}\n"


@pytest.fixture
def boom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A command `boom` in a file of its own, as every command; what it does is set by the test."""
    (tmp_path / "boom.py").write_text(
        "import click\n\ndo = lambda: 0\n\n\n@click.command()\ndef command():\n    return do()\n"
    )
    monkeypatch.setattr(scanner.cli, "__path__", [*scanner.cli.__path__, str(tmp_path)])
    monkeypatch.setitem(COMMANDS, "boom", "Boom")
    monkeypatch.delitem(sys.modules, "scanner.cli.boom", raising=False)
    return import_module("scanner.cli.boom")


REPORT_IT = "set SCANNER_DEBUG=1 to see where, and please report it"
OUTCOMES = {
    "usage": (RunError("x is no Run"), 2, "scanner: error: x is no Run"),
    "not reached": (NotReachedError("3 rows were not reached"), 3, "scanner: error: 3 rows were not reached"),
    "no match": (NoMatchError("nothing\n  matched"), 4, "scanner: error: nothing matched"),
    "interrupt": (KeyboardInterrupt(), 130, "scanner: interrupted"),
    "interrupt, told": (KeyboardInterrupt("stopped; run it again"), 130, "scanner: stopped; run it again"),
    "abort": (click.Abort(), 130, "scanner: interrupted"),
    "system": (OSError(28, "No space left on device", "out/x"), 2, "scanner: error: out/x: No space left on device"),
    "system, bare": (TimeoutError(), 2, "scanner: error: TimeoutError"),
    "bug": (KeyError("k"), 3, f"scanner: error: the scanner itself failed with KeyError: 'k'; {REPORT_IT}"),
}


@pytest.mark.parametrize(("error", "code", "line"), OUTCOMES.values(), ids=OUTCOMES)
def test_every_end_is_a_code_and_a_sentence(
    boom: ModuleType,
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever a command raises ends as an exit code of the contract and one line, without a traceback."""
    monkeypatch.delenv("SCANNER_DEBUG", raising=False)

    def fail() -> None:
        raise error

    boom.do = fail  # type: ignore[attr-defined]
    assert main(["boom"]) == code
    assert capsys.readouterr().err == line + "\n"


def test_traceback_on_request(
    boom: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SCANNER_DEBUG=1 shows where it happened, before the sentence."""
    monkeypatch.setenv("SCANNER_DEBUG", "1")
    boom.do = lambda: 1 // 0  # type: ignore[attr-defined]
    assert main(["boom"]) == 3
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback")
    assert shown.splitlines()[-1].startswith("scanner: error: the scanner itself failed with ZeroDivisionError")


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (1, 1), (4, 4)])
def test_a_command_returns_its_exit_code(boom: ModuleType, result: int | None, code: int) -> None:
    """What a command returns is the exit code; nothing is 0."""
    boom.do = lambda: result  # type: ignore[attr-defined]
    assert main(["boom"]) == code


def test_a_pipe_that_is_not_stdout_is_a_bug(boom: ModuleType, tmp_path: Path) -> None:
    """Only a reader of stdout that goes away ends quietly: a worker's pipe that breaks is told."""
    code = (
        "import sys, scanner.cli as cli\n"
        f"cli.__path__.append({str(tmp_path)!r}); cli.COMMANDS['boom'] = 'Boom'\n"
        "import scanner.cli.boom as boom\n"
        "def fail(): raise BrokenPipeError(32, 'Broken pipe')\n"
        "boom.do = fail\n"
        "sys.exit(cli.main(['boom']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 3
    assert (
        done.stderr
        == f"scanner: error: the scanner itself failed with BrokenPipeError: [Errno 32] Broken pipe; {REPORT_IT}\n"
    )


def scanner_process(*arguments: str, stdout: int) -> subprocess.Popen[bytes]:
    """``python -m scanner`` with these arguments."""
    return subprocess.Popen([sys.executable, "-m", "scanner", *arguments], stdout=stdout, stderr=subprocess.PIPE)


@pytest.mark.parametrize("face", [["--json"], ["--top", "500"]])
def test_a_reader_that_goes_away(tmp_path: Path, face: list[str]) -> None:
    """`scanner report RUN | head` ends quietly, in code and in words."""
    make_run(tmp_path, rows=900, sources=93)
    reading, writing = os.pipe()
    os.close(reading)
    process = scanner_process("report", str(tmp_path), *face, stdout=writing)
    os.close(writing)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_stdout(tmp_path: Path) -> None:
    """Output that does not fit on the disk is an error, said once."""
    make_run(tmp_path, rows=50)
    with Path("/dev/full").open("wb") as full:
        process = scanner_process("report", str(tmp_path), stdout=full.fileno())
        _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (2, b"scanner: error: No space left on device\n")


def test_a_terminal_without_unicode(tmp_path: Path) -> None:
    """An ASCII terminal still gets every line."""
    make_run(tmp_path, rows=50, hostile=True)
    done = subprocess.run(
        [sys.executable, "-m", "scanner", "report", str(tmp_path)],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        timeout=300,
        check=True,
    )
    assert done.stdout.isascii()
    assert b"To go on:" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The script for a shell names the function that completes `scanner`."""
    if shell == "bash" and not Path("/bin/bash").exists():
        pytest.skip("click asks bash for its version")
    monkeypatch.setenv("_SCANNER_COMPLETE", f"{shell}_source")
    assert main([]) == 0
    assert "scanner" in capsys.readouterr().out
