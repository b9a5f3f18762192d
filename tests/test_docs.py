"""The pages tell the truth: their commands run, their targets and links exist, each help's example works."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from scanner.cli import COMMANDS, commands, main
from scanner.cli.help import Command

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
AWAY = re.compile(
    r"open-thoughts/|hf://|s3://|gs://|ORG|ray-address|needs the network|\$[A-Z{(]|/mnt/|/data/|/scratch/"
)
"""What a line names that is not on this machine: such commands are parsed, not run."""
VARIABLE = re.compile(r"\$\(\(.*?\)\)|\$\{.*?\}|\$\w+")


def lines_of(page: Path, program: str) -> Iterator[str]:
    for language, code in BLOCK.findall(page.read_text("utf-8")):
        if language in {"sh", "bash", "console"}:
            for line in code.replace("\\\n", " ").splitlines():
                stripped = line.strip().removeprefix("$ ")
                if stripped.startswith(program + " "):
                    yield stripped


def words_of(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|>")
    lexer.whitespace_split = True
    words = list(lexer)
    ends = [at for at, word in enumerate(words) if set(word) <= set(";&|>")]
    return words[1 : ends[0] if ends else None]


def parse(arguments: list[str]) -> None:
    """Check names of commands and options as click does, without running anything."""
    with click.Context(commands) as context:
        found = commands.get_command(context, arguments[0])
        assert found is not None, arguments
        found.make_context(arguments[0], arguments[1:], parent=context)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `corpus` and `run`, where commands of the pages can be run."""
    folder = tmp_path_factory.mktemp("docs")
    assert main(["make-corpus", str(folder / "corpus"), "--rows", "300"]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["scan", "corpus", "--out", "run", "--engine", "serial", "--format", "quiet"]) == 0
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_on_a_page_is_one(page: Path) -> None:
    """Each `scanner …` line has a command and options that exist."""
    for line in lines_of(page, "scanner"):
        parse(words_of(VARIABLE.sub("1", line)))


def test_the_commands_of_the_readme_run(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line of the README that needs no network ends with 0 on the embedded sample."""
    monkeypatch.chdir(workplace)
    ran = 0
    for line in lines_of(ROOT / "README.md", "scanner"):
        words = words_of(line)
        if AWAY.search(line) or words[0] == "make-corpus":
            continue
        assert main(words) == 0, line
        ran += 1
    assert ran >= 7


def test_the_python_of_the_readme_runs(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its blocks of Python run one after the other, as in a notebook."""
    monkeypatch.chdir(workplace)
    names: dict[str, object] = {"__name__": "__main__"}
    codes = [code for language, code in BLOCK.findall((ROOT / "README.md").read_text("utf-8")) if language == "python"]
    for code in codes:
        exec(compile(code, "README.md", "exec"), names)
    assert codes


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_targets_and_links_exist(page: Path) -> None:
    """Each `make …` names a target of the Makefile, each relative link a file."""
    text = page.read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for line in lines_of(page, "make"):
        assert {word for word in words_of(line) if "=" not in word} <= targets, line
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        assert link.startswith(("http", "mailto:")) or (page.parent / link).exists(), link


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_each_help_is_one(name: str) -> None:
    """Every command's help ends with an example of commands and options that exist; its own test runs it."""
    with click.Context(commands) as context:
        command = commands.get_command(context, name)
    assert isinstance(command, Command)
    assert command.examples
    for line in command.examples:
        parse(words_of(line))


@pytest.mark.parametrize("name", ["report", "sources"])
def test_the_example_of_a_help_runs(name: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples work on the embedded sample as they stand."""
    with click.Context(commands) as context:
        command = commands.get_command(context, name)
    assert isinstance(command, Command)
    monkeypatch.chdir(workplace)
    for line in command.examples:
        words = words_of(line)
        if words[0] == name:
            assert main(words) == 0, line
