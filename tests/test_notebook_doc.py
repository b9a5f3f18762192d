"""docs/notebook.md: every block runs, in order, and prints what stands below it.

After a change that is meant to change what is printed, ``python tests/test_notebook_doc.py`` writes the page anew.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from scanner.cli import main

PAGE = Path(__file__).parent.parent / "docs/notebook.md"
_BLOCK = re.compile(r"```(sh|python)\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)


class Block(NamedTuple):
    """A block of the page, and what it says is printed; None where it does not say."""

    language: str
    code: str
    printed: str | None


def blocks() -> Iterator[Block]:
    for found in _BLOCK.finditer(PAGE.read_text("utf-8")):
        yield Block(found[1], found[2], found[3])


def run_block(block: Block, names: dict[str, Any]) -> str:
    """Run a block in the current folder; what it printed on stdout, without trailing spaces."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        if block.language == "sh":
            for line in block.code.splitlines():
                assert main(shlex.split(line)[1:]) == 0, line
        else:
            exec(compile(block.code, str(PAGE), "exec"), names)
    return "".join(line.rstrip() + "\n" for line in told.getvalue().splitlines())


def namespace() -> dict[str, Any]:
    """As in a notebook: functions of ``__main__``, which no worker can import."""
    return {"__name__": "__main__"}


def test_the_page_runs_and_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command and every block of Python of the tutorial, one after another."""
    pytest.importorskip("altair")
    monkeypatch.chdir(tmp_path)
    names = namespace()
    for block in blocks():
        printed = run_block(block, names)
        if block.printed is not None:
            assert printed == block.printed, block.code


def test_the_page_shows_what_is_printed() -> None:
    """Each block of Python says what it prints: nothing on the page is a promise."""
    assert all(block.printed for block in blocks() if block.language == "python" and "print(" in block.code)


def rewrite() -> None:
    """Run the page and put what is printed below each block."""
    page, names = PAGE.read_text("utf-8"), namespace()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for block in list(blocks()):
            printed = run_block(block, names)
            if block.printed is not None:
                before = f"```{block.language}\n{block.code}```\n\n```text\n"
                page = page.replace(f"{before}{block.printed}```\n", f"{before}{printed}```\n", 1)
    PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    rewrite()
