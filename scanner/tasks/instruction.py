"""Where a task says what is to be done, and the words themselves."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from scanner.model import Buffer, Meaning, printable
from scanner.tasks import jsontext

PREVIEW_CHARS = 300
JSON_KEYS = ("instruction", "instructions", "prompt", "problem_statement", "question", "problem", "task", "description")
"""Keys of a JSON task that hold its instruction when they hold a text; the first one that does counts."""


def of_bytes(meaning: Meaning, name: str, content: Buffer) -> None:
    """The instruction is the whole content of the file ``name``."""
    meaning.instruction_file = printable(name)
    meaning.instruction_chars, meaning.instruction_preview, meaning.instruction_id = told(content)


def told(content: Buffer) -> tuple[int, str, str]:
    """Its length in characters, how it begins, and its id. Bytes that are not UTF-8 count as U+FFFD."""
    text = str(content, "utf-8", "replace")
    return len(text), text[:PREVIEW_CHARS], sha256(content).hexdigest()


def of_text(meaning: Meaning, name: str | None, text: str) -> None:
    """The instruction is a string in a file: its exact bytes are its UTF-8 form."""
    text = printable(text)
    meaning.instruction_file = None if name is None else printable(name)
    meaning.instruction_chars = len(text)
    meaning.instruction_preview = text[:PREVIEW_CHARS]
    meaning.instruction_id = sha256(text.encode()).hexdigest()


def in_json(members: Mapping[str, Any]) -> str | None:
    """The instruction in a JSON object, by :data:`JSON_KEYS`."""
    for key in JSON_KEYS:
        if key in members:
            value = jsontext.value_of(members[key])
            if isinstance(value, str) and value.strip():
                return value
    return None
