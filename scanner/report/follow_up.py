"""Where a person goes on from a Run: what a static verdict is worth, and the commands to copy."""

from __future__ import annotations

import shlex
from typing import Final

from scanner.faults import FAULTS
from scanner.report.terminal import safe
from scanner.run import Manifest, Run

HONEST: Final = (
    "Every verdict here is static: archives were read, nothing was run. A task whose verifier always passes, or whose "
    "image no longer builds, looks like any other."
)
"""The line every face of a Run carries. Always-pass verifiers of this kind of data were found only by running them."""

COMMAND_CHARS: Final = 400
"""A file whose name is longer makes no command to copy."""

_GLOB: Final = frozenset("*?[")


def commands(run: Run) -> list[str]:
    """Command lines that go on from ``run``: its page, and one row of its most frequent fault."""
    folder = shlex.quote(run.location)
    lines = [f"scanner report {folder} --html report.html"]
    overall = run.stats.overall
    kinds = sorted(overall.faults, key=lambda kind: kind in FAULTS and FAULTS[kind].severity == "note")
    for example in (example for kind in kinds for example in overall.examples.get(kind, [])):
        command = show_command(run.manifest, example.file, example.row)
        if command is not None:
            return [*lines, command]
    return lines


def show_command(manifest: Manifest, file: str, row: int) -> str | None:
    """What shows this row when it is pasted into a POSIX shell; None where the file's name is too long.

    Names come from the data: they are quoted, and a name with characters that act (a newline, an escape) gets no
    command at all, for pasting is no place to be clever.
    """
    target = _file_address(manifest, file)
    if len(target) > COMMAND_CHARS or safe(target) != target:
        return None
    return f"scanner show {shlex.quote(target)} --row {row}"


def _file_address(manifest: Manifest, file: str) -> str:
    """Where ``file`` is, as a SOURCE of its own: what ``--row`` counts within."""
    source = manifest.source
    if manifest.revision is not None:
        repository = "/".join(source.removeprefix("hf://").removeprefix("datasets/").split("@")[0].split("/")[:2])
        return f"hf://datasets/{repository}@{manifest.revision}/{file}"
    glob = [at for at, char in enumerate(source) if char in _GLOB]
    if source.endswith(".parquet") and not glob:
        return source
    root = source[: glob[0]].rpartition("/")[0] if glob else source.rstrip("/")
    return f"{root}/{file}" if root else file
