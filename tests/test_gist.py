"""Tasks that mean the same are found by their gist: what is found is what reading each of them says."""

from __future__ import annotations

import pytest
from compiler import where_compiled
from hypothesis import example, given, settings
from hypothesis import strategies as st
from task_fixtures import TOML
from test_ordinary import assert_same, blobs_of, plain, task

from scanner.corpus.pack import gzip_blob
from scanner.options import Limits
from scanner.ordinary import Ordinary
from scanner.probe import Probe
from scanner.tasks.standing import CONFIGS

PLAIN = {
    "task.toml": TOML.encode(),
    "instruction.md": b"Write it down.\n",
    "environment/Dockerfile": b"FROM python:3.12-slim\nRUN true\n",
    "environment/docker-compose.yaml": b"services: {}\n",
    "solution/solve.sh": b"echo 1 > out\n",
    "tests/test.sh": b"#!/bin/bash\npytest\n",
    "tests/data.json": b'{"a": 1, "b": [2]}',
    "tests/asset": b"text",
}

TOMLS = [
    *(PLAIN["task.toml"], b"", b"[", b'version = "1.0"\n', b"version = 1\n", TOML.encode().replace(b"\n", b"\r\n")),
    *((TOML + more).encode() for more in ("# \u00e9\n", "#" * 4096, "\n[verifier]\n", '\n[verifier]\nuser = ""\n')),
    *((TOML + f'\n[verifier]\nenvironment_mode = "{mode}"\n').encode() for mode in ("shared", "separate", "none")),
    *((TOML + f'\n[environment]\ndocker_image = "{image}"\n').encode() for image in ("", "a", "b")),
    *((TOML + f'\n[environment]\nos = "{system}"\n').encode() for system in ("linux", "windows")),
    *((TOML + f'\n[[steps]]\nname = "{name}"\n').encode() for name in ("one", "two")),
]
DOCKERFILES = [
    *(b"", b"FROM", b"FROM ", b"FROM a", b"FROM a\n", b"FROM b\n", b"FROM a\nRUN x\n", b"FROM a AS b\n", b"FROM  a\n"),
    *(
        b"from a\n",
        b"FROM --platform=x a\n",
        b"FROM $X\n",
        b"ARG X=1\nFROM a:$X\n",
        b"ARG X=2\nFROM a:$X\n",
        b"FROM a$X",
        b"FROM --x y\n",
        b"FROM --x z\n",
    ),
    *(b"# escape=`\nFROM a`\n", b"FROM a\\\nb\n", b"FROM a \\\nb\n", b"FROM a\r\n", b"FROM 'a'\n", b"FROM a\tb\n"),
    b"FROM a$X",
    b"FROM --x y\n",
    b"FROM --x z\n",
    *(b"FROM " + b"a" * n for n in (255, 256, 300, 511, 600)),
    *(b"# " + b"x" * n + b"\nFROM a\n" for n in (499, 501, 502, 503)),
    *(b"FROM reg.io:5000/a_b-c@sha256:0123\n", "FROM \u00e9\n".encode(), b"FROM a\0b\n", b"\xef\xbb\xbfFROM a\n"),
]
SCRIPTS = [
    *(b"", b"a", b"#", b"#a", b"# a\n", b"#!/bin/sh\n", b"#!/bin/sh\npytest\n", b" # a\n\tb", b" \t\r\n#\n", b"\n\n"),
    *(
        b"a\r\n",
        b"a\r",
        b"\r",
        b"\r\n",
        b"a\r\r\n",
        b"\r\ra\n",
        b"#a\r\nb\n",
        b"\x0c",
        b"\x0ca",
        b"\n\x0b\na",
        b"a\x0c",
    ),
]
JSONS = [
    *(b'{"a": 1}', b'{"b": 1}', b"{}", b"[]", b"", b"{", b'{"a": NaN}', b'{"a": 1, "a": 2}', b'{"\\u0061": 1}'),
    *(
        b'{"verifier": {}}',
        b'{"tests": [1]}',
        b'{"tests": []}',
        b'{"rubric": 1, "judge": 2}',
        b'{"judge": 2, "rubric": 1}',
    ),
    *(b'{"a": "verifier"}', b'{"a": "TEST_PATCH"}', b'{"verifier": "test_patch"}', b'["verifier"]', b'"\xff"'),
]
YAMLS = [b"", b"a: 1\n", b"verifier: 1\n", b'{"judge": 1}', b"a" * 512, b"a" * 513, b"test_patch"]
ASSETS = [b"", b"text", b"\x89PNG\r\n\x1a\n", b"%PDF-1.4\n", b"caf\xe9", b"a\0b"]
INSTRUCTIONS = [b"", b"x", "caf\u00e9".encode(), b"\xff", b"\xe4\xb8", b"word " * 99, b"\r\n"]

CONTENTS = {
    "task.toml": TOMLS,
    "instruction.md": INSTRUCTIONS,
    "environment/Dockerfile": DOCKERFILES,
    "environment/docker-compose.yaml": YAMLS,
    "solution/solve.sh": SCRIPTS,
    "tests/test.sh": SCRIPTS,
    "tests/data.json": JSONS,
    "tests/asset": ASSETS,
}


def found_of(rows: list[dict[str, bytes]]) -> list[bool]:
    """Which of these tasks, read one after the other, were found by their gist."""
    ordinary = Ordinary(Probe(Limits()))
    found = []
    for blob in blobs_of([gzip_blob(task(files)) for files in rows]):
        before = ordinary.gists_found
        ordinary.read(blob)
        found.append(ordinary.gists_found > before)
    return found


def learnt(like: dict[str, bytes]) -> list[dict[str, bytes]]:
    """Tasks after which those of this gist are known: one whose template is new, one that is read by its template."""
    return [{**like, "instruction.md": b"%d" % number} for number in range(2)]


def changed(**files: bytes) -> dict[str, bytes]:
    """The plain task with other contents; ``test_sh`` stands for tests/test.sh and so on."""
    names = {name.rpartition("/")[2].replace(".", "_").replace("-", "_"): name for name in PLAIN}
    return {**PLAIN, **{names[name]: data for name, data in files.items()}}


SAME = {
    "nothing": changed(),
    "another instruction": changed(instruction_md="\u00e9".encode() * 999),
    "other keys of JSON": changed(data_json=b'{"c": {"d": 1}}'),
    "another name in task.toml": changed(task_toml=TOML.replace("one", "other").encode()),
    "a key in task.toml that no rule looks at": changed(task_toml=(TOML + "\n[metadata]\nx = 5\n").encode()),
    "what a Dockerfile does": changed(Dockerfile=b"FROM python:3.12-slim AS base\nRUN false\n"),
    "what scripts do": changed(test_sh=b"#!/bin/bash\n\n# nothing\nmake test\n", solve_sh=b"cat\n"),
}
OTHER = {
    "another image": changed(Dockerfile=b"FROM python:3.13-slim\n"),
    "an image to be filled in": changed(Dockerfile=b"ARG X=1\nFROM python:$X\n"),
    "a script that ends lines as on Windows": changed(solve_sh=b"cat\r\n"),
    "an entry without code": changed(test_sh=b"#!/bin/bash\n# to do\n"),
    "a verifier in task.toml": changed(task_toml=(TOML + "\n[verifier]\ntimeout_sec = 5.0\n").encode()),
    "JSON that tells of a verifier": changed(data_json=b'{"rubric": 1}'),
    "JSON that does not parse": changed(data_json=b"{"),
    "another compose file": changed(docker_compose_yaml=b"services: {a: {}}\n"),
    "another type of file": changed(solve_sh=b"#!/usr/bin/env python3\nprint(1)\n"),
}
NEVER = {
    "a long Dockerfile that does not begin with its image": changed(Dockerfile=b"#" * 600 + b"\nFROM a\n"),
    "task.toml not in ASCII": changed(task_toml=(TOML + "# \u00e9\n").encode()),
    "steps": changed(task_toml=(TOML + '\n[[steps]]\nname = "one"\n').encode()),
    "another .toml": {**PLAIN, "environment/pyproject.toml": b"a = 1\n"},
    "an ignore file": {**PLAIN, "tests/.harborignore": b"x\n"},
    "no instruction.md": {name: data for name, data in PLAIN.items() if name != "instruction.md"},
}


@where_compiled
@pytest.mark.parametrize("name", SAME)
def test_what_is_alike(name: str) -> None:
    """Tasks that differ in nothing but this are found by the gist of one that was read."""
    known = learnt(PLAIN) + learnt(changed(task_toml=SAME[name]["task.toml"]))  # texts of its kind were judged
    assert found_of([*known, SAME[name]])[-1]


@where_compiled
@pytest.mark.parametrize("name", OTHER)
def test_what_is_not_alike(name: str) -> None:
    """A task that differs in this is read, and then others like it are found."""
    assert found_of([*learnt(PLAIN), OTHER[name], OTHER[name] | {"instruction.md": b"2"}])[-2:] == [False, True]


@where_compiled
@pytest.mark.parametrize("name", NEVER)
def test_what_has_no_gist(name: str) -> None:
    """Tasks that more decides of than is looked at are read each time."""
    assert not any(found_of([NEVER[name] | {"tests/test.sh": b"echo %d\n" % number} for number in range(5)]))


def renamed(files: dict[str, bytes]) -> dict[str, bytes]:
    """The same files, and its solution is not called one."""
    return {name.replace("solution/", "s/"): data for name, data in files.items()}


@where_compiled
def test_texts_that_say_the_same() -> None:
    """Where two kinds of task.toml ask for the same, tasks of one are found by the gist of the other."""
    more = changed(task_toml=(TOML + '\n[metadata]\nx = "a"\n').encode())
    assert found_of([*learnt(PLAIN), *map(renamed, learnt(more)), more])[-1]


def test_templates_are_told_apart() -> None:
    """Tasks of two templates that are alike in all that is looked at keep to what their own names say."""
    rows = [*learnt(PLAIN), *map(renamed, learnt(PLAIN)), PLAIN, renamed(PLAIN)]
    assert_same([gzip_blob(task(files, mtime=number + 0.5)) for number, files in enumerate(rows)])


@pytest.mark.parametrize("name", [*SAME, *OTHER, *NEVER])
def test_found_or_read(name: str) -> None:
    """Between tasks of another gist, each gives the record that the probe gives."""
    other = {**SAME, **OTHER, **NEVER}[name]
    rows = [*learnt(PLAIN), *learnt(other), PLAIN, other, PLAIN]
    assert_same([gzip_blob(task(files, mtime=number + 0.5)) for number, files in enumerate(rows)])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.fixed_dictionaries({name: st.sampled_from(each) for name, each in CONTENTS.items()}), max_size=8))
@example([{**PLAIN, "tests/test.sh": script} for script in SCRIPTS])
@example([{**PLAIN, "environment/Dockerfile": dockerfile} for dockerfile in DOCKERFILES])
@example([{**PLAIN, "task.toml": toml} for toml in TOMLS])
@example([{**PLAIN, "tests/data.json": data} for data in JSONS])
@example([{**PLAIN, "environment/docker-compose.yaml": data} for data in YAMLS])
@example([{**PLAIN, "instruction.md": data} for data in INSTRUCTIONS])
@example([{**PLAIN, "tests/asset": data} for data in ASSETS])
def test_any_contents(rows: list[dict[str, bytes]]) -> None:
    """Tasks of one template with any of these contents, each met again, give the records that the probe gives."""
    archives = [task(files, mtime=number + 0.5) for number, files in enumerate([*rows, *rows, *rows])]
    assert_same([gzip_blob(raw) for raw in archives])


@where_compiled
def test_more_gists_than_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """When they are full all start over, and nothing is found by the number of another."""
    monkeypatch.setattr("scanner.ordinary._GISTS", 3)
    numbers = [(number, number // 4 % 5) for number in range(80)]
    images = [changed(Dockerfile=b"FROM a:%d\n" % image, instruction_md=b"%d" % number) for number, image in numbers]
    assert sum(found_of(images)) >= 20
    assert_same([gzip_blob(task(files, mtime=number + 0.5)) for number, files in enumerate(images)])


@where_compiled
def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON that is a cause for something else each time counts as a gist does, and templates are let go with them."""
    monkeypatch.setattr("scanner.ordinary._GISTS", 4)
    monkeypatch.setattr("scanner.ordinary._TEMPLATES", 2)
    causes = [changed(data_json=data, instruction_md=b"%d" % n) for n, data in enumerate([*JSONS, *JSONS, *JSONS])]
    names = [{**PLAIN, f"tests/{n // 4}": b"", "instruction.md": b"%d" % n} for n in range(40)]
    ordinary = Ordinary(Probe(Limits()))
    for blob in blobs_of([gzip_blob(task(files)) for files in (*causes, *names)]):
        ordinary.read(blob)
        assert sum(map(len, ordinary._known)) <= 4
        assert len({id(known.common.names) for each in ordinary._known for known in each.values()}) <= 2
    assert ordinary.gists_found >= 10
    assert_same([gzip_blob(task(files, mtime=1.5)) for files in (*causes, *names)])


@where_compiled
def test_rows_of_many_findings() -> None:
    """Rows with more findings than is remembered are read each time, with all of them."""
    lies = {f"tests/{n}.png": b"no picture" for n in range(9)}
    rows = [{**PLAIN, **lies, "instruction.md": b"%d" % number} for number in range(4)]
    assert not any(found_of(rows))
    assert_same([gzip_blob(task(files)) for files in rows])


@where_compiled
def test_texts_whose_config_is_not_told_yet() -> None:
    """Between the moment a kind of text is noted and that at which C is told what it says, such tasks have no gist."""
    rows = [gzip_blob(task(PLAIN, mtime=number + 0.5)) for number in range(6)]
    ordinary = Ordinary(Probe(Limits()))
    for blob in blobs_of(rows[:5]):
        ordinary.read(blob)
    found = ordinary.gists_found
    assert CONFIGS.likes is not None
    number = CONFIGS.likes.find(PLAIN["task.toml"])
    CONFIGS.likes.note_config(number, 0)
    ordinary.read(blobs_of(rows)[5])
    CONFIGS._forget()
    assert found == ordinary.gists_found > 0


@where_compiled
def test_a_defect_of_gists_costs_time_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where finding or noting one fails, rows are read another way, and say the same."""

    def fails(*_: object) -> int:
        raise IndexError("a defect")

    for name in ("find", "note"):
        monkeypatch.setattr(f"scanner.tasks.gist.Gists.{name}", fails)
        assert_same([gzip_blob(task(PLAIN, mtime=number + 0.5)) for number in range(5)])


@where_compiled
def test_numbers_of_what_was_forgotten() -> None:
    """When what is known of task.toml starts over, a text that gets the number of another one is not taken for it."""
    ordinary = Ordinary(Probe(Limits()))
    refused = changed(task_toml=b'version = "1.0"\n[task]\nname = "no slash"\n')
    for files in (changed(), refused, changed()):
        CONFIGS._forget()
        rows = [gzip_blob(task(files, mtime=number + 0.5)) for number in range(4)]
        for blob in blobs_of(rows):
            reading = ordinary.read(blob)
            assert plain((reading.record(blob), reading.census())) == plain(Probe(Limits())(blob))
    assert ordinary.gists_found
