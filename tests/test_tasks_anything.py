"""Whatever the members are: what is read of them, what is remembered, and inputs made to explode."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from task_fixtures import Files, Link, task
from task_tables import read

from scanner.tasks import TaskFile, cache_info, interpret, wants


def test_wants() -> None:
    """Only what a rule reads is asked for."""
    wanted = (
        "task.toml a/b/c.json x.yml Dockerfile environment/Dockerfile tests/test.sh steps/a/instruction.md README.md"
    )
    assert all(wants(name) for name in wanted.split())
    assert not any(wants(name) for name in ["a.py", "data/deep/down/in/notes.txt", "tests/data.csv", "a.jsonl"])


def test_cache_info() -> None:
    """Hits and misses grow as rows repeat."""
    read(task())
    before = cache_info()
    read(task())
    after = cache_info()
    assert after.keys() == before.keys()
    assert after["task-toml"][0] == before["task-toml"][0] + 1


NAMES = st.sampled_from(
    [
        "task.toml",
        "./tests/test.sh",
        "a/../b.json",
        "/etc/x.yaml",
        "..",
        ".",
        "",
        "a//b",
        "tests",
        "tests/",
        "task.yaml",
    ]
) | st.text(max_size=12)
KINDS_OF_MEMBER = st.sampled_from(["file", "file", "file", "dir", "symlink", "hardlink", "device", "fifo", "other"])


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.builds(TaskFile, NAMES, KINDS_OF_MEMBER, st.integers(0, 9), st.none() | st.binary(max_size=60), NAMES))
)
def test_any_members(files: list[TaskFile]) -> None:
    """Whatever the members are, there is a Meaning, twice the same, in valid Unicode."""
    meaning = interpret(files)
    assert meaning == interpret(files)
    repr(meaning).encode()
    assert meaning.harbor_loadable == (meaning.harbor_reason is None)
    assert {fault.kind for fault in meaning.faults} <= {
        "invalid-json",
        "invalid-toml",
        "invalid-yaml",
        "empty-test-entry",
        "crlf-script",
    }


HOSTILE: dict[str, Files] = {
    "a deep name": {"/".join(["a"] * 50_000): "x"},
    "deep JSON": {"a.json": "[" * 200_000, "b.json": "[" * 2000 + "]" * 2000},
    "deep YAML": {"task.yaml": "- " * 20_000, "x": ""},
    "deep flow YAML": {"task.yaml": "[" * 100_000, "x": ""},
    "aliases that multiply": {
        "task.yaml": "a: &a [x, x]\n"
        + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)),
        "x": "",
    },
    "a long dotted key": {"task.toml": "a." * 50_000 + "a = 1"},
    "a long integer in JSON": {"a.json": "1" * 100_000},
    "links that multiply": {
        **{f"tests/{i}/{name}": Link(f"../{i + 1}") for i in range(60) for name in "ab"},
        "tests/60/x": "",
        "environment/x": "",
        "task.toml": "",
    },
    "a Dockerfile of continuations": {"Dockerfile": "FROM \\\n" * 50_000},
    "a Dockerfile of growing arguments": {"Dockerfile": "ARG A=aa\n" + "ARG A=$A$A\n" * 200 + "FROM $A\n"},
}


@pytest.mark.parametrize("files", HOSTILE.values(), ids=HOSTILE)
def test_hostile_tasks(files: Files) -> None:
    """Inputs made to explode end quickly, in a Meaning of bounded size."""
    assert len(repr(read(files))) < 20_000
