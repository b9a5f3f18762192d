"""One task read whole: its members in, its Meaning out.

Runs once a row, so whatever rows have in common is remembered: what their names say, what names and task.toml say
together, and what a file says that comes again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

from scanner.faults import FaultKind
from scanner.model import Buffer, Fault, Meaning, printable
from scanner.tasks import documents, instruction, shape, tasktoml, taskyaml
from scanner.tasks.dockerfile import base_image
from scanner.tasks.memo import ContentMemo
from scanner.tasks.shape import Shape
from scanner.tasks.standing import CONFIGS, standing_of

_MAX_DETAIL_CHARS = 200
_CR = 13
_CODE = re.compile(rb"(?:[ \t\r]*+(?:#[^\n]*+)?\n)*+[ \t\r]*+[^#\s]")
"""Takes what stands before the first character of code; no match where all is blank or comment."""

Contents: TypeAlias = Sequence[Buffer | None]
Digests: TypeAlias = Sequence[bytes | None]


def meaning_of(names: Sequence[str], seen: Shape, contents: Contents, digests: Digests) -> Meaning:
    """See :meth:`scanner.tasks.KnownNames.meaning`."""
    layout, kind, signals, reason, faults = standing_of(names, contents, seen)
    image = None
    index = seen.dockerfile
    if index is not None and (content := contents[index]) is not None:
        image = _base_image(content, digests[index])
    meaning = Meaning(
        layout=layout,
        verifier_kind=kind,
        verifier_signals=signals,
        heuristic_verifier=seen.heuristic,
        harbor_loadable=reason is None,
        harbor_reason=reason,
        has_solution=seen.has_solution,
        base_image=image,
        faults=faults,
    )
    if seen.jsons or seen.yamls:
        documents.read(names, contents, digests, seen, meaning)
    if seen.tomls:
        _other_tomls(names, contents, digests, seen, meaning)
    for index, is_entry in seen.scripts:  # line ends of what starts things, and test entries that do nothing
        content = contents[index]
        if content is None:
            continue
        has_crlf, is_empty = _entry(content, digests[index]) if is_entry else (_has_crlf(bytes(content)), False)
        if has_crlf:
            _note(meaning, "crlf-script", names[index])
        if is_empty:
            _note(meaning, "empty-test-entry", names[index])
    index = seen.instruction
    if index is None:
        _other_instruction(names, contents, seen, meaning)
    elif (content := contents[index]) is not None:
        instruction.of_bytes(meaning, names[index], content)
    return meaning


def _note(meaning: Meaning, kind: FaultKind, name: str, detail: str | None = None) -> None:
    fault = Fault(kind, printable(name), None, detail and printable(detail)[:_MAX_DETAIL_CHARS])
    meaning.faults = (*meaning.faults, fault)


def _other_tomls(names: Sequence[str], contents: Contents, digests: Digests, seen: Shape, meaning: Meaning) -> None:
    for index in seen.tomls:
        content = contents[index]
        if content is not None and (error := _toml_error(content, digests[index])):
            _note(meaning, "invalid-toml", names[index], error)


def _read_toml_error(data: bytes) -> str:
    """Why a .toml file other than task.toml does not parse; empty where it does."""
    try:
        return tasktoml.parse(data.decode().replace("\r\n", "\n")).error
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {error.start}"


def _has_crlf(raw: bytes) -> bool:
    """Whether a line ends as on Windows. A byte is found at 20 times the speed of two, and scripts rarely hold it."""
    return _CR in raw and b"\r\n" in raw


def _read_entry(raw: bytes) -> tuple[bool, bool]:
    return _has_crlf(raw), not _CODE.match(raw)


def _other_instruction(names: Sequence[str], contents: Contents, seen: Shape, meaning: Meaning) -> None:
    """In a step, in task.yaml; else a text at the root: one with a telling name, or the longest."""
    if meaning.layout == "harbor-steps":
        paths = sorted(seen.tree.files.items())
        index = next((index for path, index in paths if path.endswith("/instruction.md")), None)
        if index is not None:
            content = contents[index]
            if content is not None:
                instruction.of_bytes(meaning, names[index], content)
            return
    index = seen.task_yaml
    if index is not None and (content := contents[index]) is not None:
        task = taskyaml.in_yaml(bytes(content))
        if task.error:
            _note(meaning, "invalid-yaml", names[index], task.error)
        elif task.instruction is not None:
            instruction.of_text(meaning, names[index], task.instruction)
            return
    by_size = sorted(seen.texts, key=lambda index: -len(contents[index] or b""))
    for index in (*seen.prompts, *by_size):
        if content := contents[index]:
            instruction.of_bytes(meaning, names[index], content)
            return


_base_image = ContentMemo(base_image, 1024)
_entry = ContentMemo(_read_entry, 256)
_toml_error = ContentMemo(_read_toml_error, 256)


def cache_info() -> dict[str, tuple[int, int]]:
    """See :func:`scanner.tasks.cache_info`."""
    contents: dict[str, ContentMemo[Any]] = {
        "dockerfile": _base_image,
        "test-entry": _entry,
        "other-toml": _toml_error,
        **documents.MEMOS,
    }
    return {
        "task-toml": CONFIGS.counts(),
        "name-lists": shape.counts(),
        **{name: memo.counts() for name, memo in contents.items()},
        **{name: memo.cache_info()[:2] for name, memo in tasktoml.MEMOS.items()},
    }
