"""What is said of a task for a person to act on: reasons against, findings, and the keys of JSON."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from task_fixtures import Files, Link, task
from task_tables import NO_TEST, read

from scanner.names import facts_of
from scanner.tasks import interpret_json

REASONS: dict[str, tuple[Files, str]] = {
    "no task.toml": (task(toml=None), "no task.toml"),
    "no name": (task(toml='[task]\nversion = "1"\n'), "task.toml: [task] has no name"),
    "a nested value": (
        task(toml='[environment]\nhealthcheck = { command = "x", retries = "y" }\n'),
        "task.toml: [environment] healthcheck.retries must be a whole number",
    ),
    "a root value": (task(toml="schema_version = 1\n"), "task.toml: schema_version must be a string"),
    "a step": (task(toml="[[steps]]\n"), "task.toml: [[steps]] 0 has no name"),
    "a table": (task(toml="agent = 1\n"), "task.toml: [agent] must be a table"),
    "no test": (task(without=NO_TEST), "no tests/test.sh and no verifier image"),
    "no environment": (
        task(without=["environment/Dockerfile"]),
        "no environment/ and no [environment].docker_image",
    ),
    "a link": (task({"tests/x": Link("/etc/passwd")}), "tests/x: a link leads out of the task"),
}


@settings(max_examples=2000)
@given(st.text(alphabet="ab./\\: @-+\x7f\t\n\u00e9\udcff", max_size=9))
@example("./a/../b")
@example("..")
@example("...")
@example("a/.")
def test_names_that_are_unsafe(name: str) -> None:
    """A name that is not normal, or means something else on another system, is noted; no other one is."""
    plain = name.removeprefix("./").removesuffix("/")
    is_odd = not {"", ".", ".."}.isdisjoint(plain.split("/")) or "\\" in plain or plain[1:2] == ":"
    is_unsafe = plain not in {"", "."} and (is_odd or any(char < " " or char == "\x7f" for char in plain))
    notes = facts_of(name).notes
    assert ("unsafe-name" in notes) == is_unsafe
    assert ("non-utf8-name" in notes) == ("\udcff" in name)


@pytest.mark.parametrize(("files", "reason"), REASONS.values(), ids=REASONS)
def test_reasons(files: Files, reason: str) -> None:
    """The first reason against says what to change."""
    assert read(files).harbor_reason == reason


def test_a_parse_error_is_the_reason() -> None:
    """A task.toml that does not parse gives the parser's message, as reason and as finding."""
    meaning = read(task(toml="[task\n"))
    assert (meaning.harbor_reason or "").startswith("task.toml: Expected ']'")
    assert [(fault.kind, fault.member) for fault in meaning.faults] == [("invalid-toml", "task.toml")]


FINDINGS: dict[str, tuple[Files, list[tuple[str, str]]]] = {
    "invalid JSON": (task({"a.json": "{"}), [("invalid-json", "a.json")]),
    "NaN in JSON": (task({"a.json": '{"x": NaN}'}), []),
    "an empty JSON file": (task({"a.json": ""}), [("invalid-json", "a.json")]),
    "another TOML file": (task({"pyproject.toml": "["}), [("invalid-toml", "pyproject.toml")]),
    "a task.yaml": ({"task.yaml": "a: [\n"}, [("invalid-yaml", "task.yaml")]),
    "another YAML file": (task({"a.yaml": "a: [\n"}), []),
    "an empty test": (task({"tests/test.sh": "#!/bin/sh\n\n# later\n"}), [("empty-test-entry", "tests/test.sh")]),
    "an empty test elsewhere": (task({"lib/test.sh": ""}), []),
    "a test of one line": (task({"tests/test.sh": "true"}), []),
    "Windows line ends": (task({"tests/test.sh": "#!/bin/sh\r\ntrue\r\n"}), [("crlf-script", "tests/test.sh")]),
    "Windows line ends in a batch file": (task({"tests/test.bat": "exit\r\n"}), []),
    "none": (task(), []),
}


@pytest.mark.parametrize(("files", "found"), FINDINGS.values(), ids=FINDINGS)
def test_findings(files: Files, found: list[tuple[str, str]]) -> None:
    """What is worth knowing about contents, by kind and member."""
    assert [(fault.kind, fault.member) for fault in read(files).faults] == found


def test_json_keys() -> None:
    """A key counts once for each object it is in; arrays, scalars and nested objects add none."""
    files = {
        "a.json": '{"x": {"y": 1}, "x": 2}',
        "b.json": '{"x": 1, "z": [{"w": 1}]}',
        "c.json": "[{}]",
        "d.json": "1",
    }
    assert sorted(read(files).json_keys) == ["x", "x", "z"]


JSON_BLOBS: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "an object": (
        '{"prompt": "Do it.", "FAIL_TO_PASS": ["a"]}',
        False,
        {
            "verifier_kind": "swe-config",
            "heuristic_verifier": True,
            "instruction_preview": "Do it.",
            "json_keys": ["prompt", "FAIL_TO_PASS"],
            "verifier_signals": ("json-key:FAIL_TO_PASS@",),
        },
    ),
    "a list": ('[{"verifier": 1}]', False, {"heuristic_verifier": False, "json_keys": [], "verifier_kind": "none"}),
    "lines": (
        '{"a": 1}\n\n{"a": 2, "tests": []}\n[1]\n',
        True,
        {"json_keys": ["a", "a", "tests"], "heuristic_verifier": False},
    ),
    "damage": ("{", False, {"layout": "json", "json_keys": [], "instruction_preview": None}),
}


@pytest.mark.parametrize(("text", "lines", "expected"), JSON_BLOBS.values(), ids=JSON_BLOBS)
def test_json_blobs(text: str, expected: dict[str, Any], *, lines: bool) -> None:
    """A blob that is itself JSON, or JSON lines."""
    meaning = interpret_json(memoryview(text.encode()), lines=lines)
    assert meaning.layout == "json"
    assert {field: getattr(meaning, field) for field in expected} == expected
