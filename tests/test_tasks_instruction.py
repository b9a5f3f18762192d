"""What a task asks for and where it runs: instructions in each layout, and base images."""

from __future__ import annotations

import hashlib

import pytest
from task_fixtures import Files, task
from task_tables import STEPS, YAML, read

from scanner.tasks.dockerfile import base_image

INSTRUCTIONS: dict[str, tuple[Files, str | None, str | None]] = {
    "instruction.md": (task(), "instruction.md", "Do it.\n"),
    "task.yaml": ({"task.yaml": YAML}, "task.yaml", "Do it.\nWell."),
    "prompts of a task.yaml": (
        {"task.yaml": "prompts:\n  - key: base\n    prompt: Do it.\n"},
        "task.yaml",
        "Do it.",
    ),
    "a task.yaml without one, a README": ({"task.yaml": "a: 1\n", "README.md": "R"}, "README.md", "R"),
    "an instruction that is a number": ({"task.yaml": "instruction: 1\n"}, None, None),
    "the first step": (
        {"task.toml": STEPS, "steps/two/instruction.md": "2", "steps/one/instruction.md": "1"},
        "steps/one/instruction.md",
        "1",
    ),
    "a README": ({"README.md": "R", "a.py": "x"}, "README.md", "R"),
    "a prompt before a README": ({"README.md": "R", "prompt.txt": "P"}, "prompt.txt", "P"),
    "the longest text": ({"a.txt": "1", "b.md": "22", "c/d.md": "333"}, "b.md", "22"),
    "nothing": ({"a.py": "x"}, None, None),
}


@pytest.mark.parametrize(("files", "name", "text"), INSTRUCTIONS.values(), ids=INSTRUCTIONS)
def test_instructions(files: Files, name: str | None, text: str | None) -> None:
    """Where the instruction is found in each layout, with its length and the hash of its exact bytes."""
    meaning = read(files)
    assert meaning.instruction_file == name
    assert meaning.instruction_preview == text
    assert meaning.instruction_chars == (None if text is None else len(text))
    assert meaning.instruction_id == (None if text is None else hashlib.sha256(text.encode()).hexdigest())


def test_long_and_broken_instructions() -> None:
    """The preview has 300 characters, the length counts all, the hash is of the bytes; bad UTF-8 shows as U+FFFD."""
    data = ("\u4e2d" * 400).encode() + b"\xff"
    meaning = read(task({"instruction.md": data}))
    assert meaning.instruction_preview == "\u4e2d" * 300
    assert meaning.instruction_chars == 401
    assert meaning.instruction_id == hashlib.sha256(data).hexdigest()


DOCKERFILES: dict[str, tuple[str, str | None]] = {
    "plain": ("FROM debian:12\nRUN x\n", "debian:12"),
    "small letters, AS": ("from debian:12 as build\n", "debian:12"),
    "a flag": ("FROM --platform=$BUILDPLATFORM debian:12\n", "debian:12"),
    "comments before": ("# FROM a\n\n  # FROM b\nFROM c\n", "c"),
    "a default": ("ARG TAG=12\nARG IMAGE=debian:${TAG}\nFROM $IMAGE\n", "debian:12"),
    "a quoted default": ('ARG IMAGE="debian:12"\nFROM ${IMAGE}\n', "debian:12"),
    "an inline default": ("ARG TAG\nFROM debian:${TAG:-12}\n", "debian:12"),
    "no default": ("ARG TAG\nFROM debian:${TAG}\n", "debian:${TAG}"),
    "a continued line": ("FROM \\\n  # why\n  debian:12\n", "debian:12"),
    "another escape": ("# escape=`\nFROM `\n  debian:12\n", "debian:12"),
    "the first of several": ("FROM a AS x\nFROM b\n", "a"),
    "a byte order mark, CRLF": ("\ufeffFROM debian:12\r\nRUN x\r\n", "debian:12"),
    "none": ("RUN x\n", None),
    "without an image": ("FROM\n", None),
    "a word that begins like it": ("FROMAGE x\nFROM a\n", "a"),
    "empty": ("", None),
}


@pytest.mark.parametrize(("text", "image"), DOCKERFILES.values(), ids=DOCKERFILES)
def test_base_images(text: str, image: str | None) -> None:
    """The first FROM of a Dockerfile, however it is written."""
    assert base_image(text.encode()) == image


def test_which_dockerfile() -> None:
    """environment/Dockerfile counts before the one at the root, and no other does."""
    files = {"environment/Dockerfile": "FROM a", "Dockerfile": "FROM b", "tests/Dockerfile": "FROM c"}
    assert read(files).base_image == "a"
    assert read({k: v for k, v in files.items() if k != "environment/Dockerfile"}).base_image == "b"
    assert read({"tests/Dockerfile": "FROM c", "a": ""}).base_image is None
