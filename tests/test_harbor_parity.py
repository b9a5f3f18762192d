"""Our verdict on a task directory is Harbor's, on directories that differ in one rule each and on real tasks."""

from __future__ import annotations

import os
from pathlib import Path

import harbor_oracle
import pytest
from task_fixtures import TOML, Files, Link, as_bytes, members_of, real_blobs, tar_members, task, write

from scanner.tasks import TaskFile, interpret

STEPS = '[[steps]]\nname = "one"\n\n[[steps]]\nname = "two"\n'
TWO_STEPS = {"steps/one/instruction.md": "One.\n", "steps/two/instruction.md": "Two.\n"}
SEPARATE = TOML + '\n[verifier]\nenvironment_mode = "separate"\n'
MCP = '[[environment.mcp_servers]]\nname = "m"\n'


def _with(text: str) -> Files:
    """A task whose task.toml is the usual one and then ``text``, which begins in [environment]."""
    return task(toml=TOML + text)


CASES: dict[str, Files] = {
    # the directory
    "a plain task": task(),
    "no task.toml": task(toml=None),
    "task.toml is a directory": task({"task.toml": None}, toml=None),
    "no instruction.md": task(without=["instruction.md"]),
    "instruction.md is a directory": task({"instruction.md": None}),
    "no tests/test.sh": task(without=["tests/test.sh"]),
    "tests/test.sh is a directory": task({"tests/test.sh": None}),
    "tests/test.sh is empty": task({"tests/test.sh": ""}),
    "tests/test.bat on linux": task({"tests/test.bat": "x"}, without=["tests/test.sh"]),
    "no environment": task(without=["environment/Dockerfile"]),
    "environment is a file": task({"environment": "x"}, without=["environment/Dockerfile"]),
    "environment is empty": task({"environment": None}, without=["environment/Dockerfile"]),
    "an image instead of environment": task(
        toml=TOML + 'docker_image = "debian:12"\n', without=["environment/Dockerfile"]
    ),
    "an empty image instead of environment": task(
        toml=TOML + 'docker_image = ""\n', without=["environment/Dockerfile"]
    ),
    "no solution": task(without=["solution/solve.sh"]),
    # task.toml as a text
    "an empty task.toml": task(toml=""),
    "task.toml does not parse": task(toml="[task"),
    "task.toml with a key twice": task(toml="a = 1\na = 2\n"),
    "task.toml with a table twice": task(toml="[agent]\n[agent]\n"),
    "task.toml with a BOM": task(toml="\ufeff" + TOML),
    "task.toml in UTF-16": task(toml=TOML.encode("utf-16")),
    "task.toml in Latin-1": task(toml='source = "caf\xe9"\n'.encode("latin-1")),
    "task.toml with CRLF": task(toml=TOML.replace("\n", "\r\n")),
    "task.toml with CR alone": task(toml=TOML.replace("\n", "\r")),
    "indented tables": task(toml='  [task]\n    name = "org/task"\n  [environment]\n    cpus = 1\n'),
    "TOML 1.1 inline table": task(toml='task = { name = "org/task", }\n'),
    "TOML 1.1 escape": task(toml='source = "\\e"\n'),
    "unknown keys and tables": task(toml='new = 1\n[future]\nx = 1\n[environment]\nimage = "x"\n'),
    # [task]
    "no [task]": task(toml="[environment]\ncpus = 1\n"),
    "[task] has no name": task(toml='[task]\ndescription = "x"\n'),
    "[task] name without org": task(toml='[task]\nname = "task"\n'),
    "[task] name with two slashes": task(toml='[task]\nname = "a/b/c"\n'),
    "[task] name with a space": task(toml='[task]\nname = "a/b c"\n'),
    "[task] name with two dots": task(toml='[task]\nname = "a/b..c"\n'),
    "[task] name with a leading dot": task(toml='[task]\nname = ".a/b"\n'),
    "[task] name ends in a newline": task(toml='[task]\nname = "a/b\\n"\n'),
    "[task] version is empty": task(toml='[task]\nname = "a/b"\nversion = ""\n'),
    "[task] version is a number": task(toml='[task]\nname = "a/b"\nversion = 1.0\n'),
    "authors as names": task(toml='[task]\nname = "a/b"\nauthors = ["x"]\n'),
    "authors without name": task(toml='[task]\nname = "a/b"\nauthors = [{ email = "x" }]\n'),
    "authors as tables": task(toml='[task]\nname = "a/b"\n[[task.authors]]\nname = "x"\n'),
    "keywords as one string": task(toml='[task]\nname = "a/b"\nkeywords = "x"\n'),
    # the root of task.toml
    "version is the old schema_version": task(toml='version = "1.0"\n'),
    "version is a number": task(toml="version = 1.0\n"),
    "version is a number beside schema_version": task(toml='schema_version = "1.4"\nversion = 1.0\n'),
    "schema_version is a number": task(toml="schema_version = 1\n"),
    "metadata is a list": task(toml="metadata = []\n"),
    "metadata holds anything": task(toml="[metadata]\nx = [1, { y = 2020-01-01 }]\n"),
    "reward strategy": task(toml='multi_step_reward_strategy = "mean"\n'),
    "unknown reward strategy": task(toml='multi_step_reward_strategy = "max"\n'),
    "artifacts": task(toml='artifacts = ["/app", { source = "x", destination = "y" }]\n'),
    "artifact with ..": task(toml='artifacts = ["/app/../x"]\n'),
    "artifact to manifest.json": task(toml='artifacts = [{ source = "x", destination = "manifest.json" }]\n'),
    "artifact of a sidecar, relative": task(toml='artifacts = [{ source = "x", service = "db" }]\n'),
    "artifact of a sidecar, absolute": task(toml='artifacts = [{ source = "/x", service = "db" }]\n'),
    # [environment]
    "cpus is a fraction": task(toml="[environment]\ncpus = 0.5\n"),
    "cpus is infinite": task(toml="[environment]\ncpus = inf\n"),
    "cpus is a word": task(toml='[environment]\ncpus = "two"\n'),
    "memory_mb is a whole float": task(toml="[environment]\nmemory_mb = 2048.0\n"),
    "memory_mb is a fraction": task(toml="[environment]\nmemory_mb = 0.5\n"),
    "memory_mb is a string of a number": task(toml='[environment]\nmemory_mb = "2048"\n'),
    "memory_mb is a size": task(toml='[environment]\nmemory_mb = "2G"\n'),
    "memory is a size": _with('memory = "2G"\n'),
    "memory is a size in small letters": _with('memory = "512m"\n'),
    "memory is a size in bytes": _with('memory = "2GB"\n'),
    "memory is infinite": _with('memory = "infG"\n'),
    "memory is a number": _with("memory = 2\n"),
    "memory and memory_mb agree": _with('memory = "2G"\nmemory_mb = 2048\n'),
    "memory and memory_mb contradict": _with('memory = "2G"\nmemory_mb = 1024\n'),
    "storage is no size": _with('storage = "big"\n'),
    "os in capitals": _with('os = "LINUX"\n'),
    "os is unknown": _with('os = "plan9"\n'),
    "os is windows, with test.sh": _with('os = "windows"\n'),
    "os is windows, with test.bat": task({"tests/test.bat": "x"}, toml=TOML + 'os = "windows"\n'),
    "build timeout is a string of a number": _with('build_timeout_sec = "600"\n'),
    "build timeout is true": _with("build_timeout_sec = true\n"),
    "build timeout is a date": _with("build_timeout_sec = 2020-01-01\n"),
    "env holds a number": _with("[environment.env]\nX = 1\n"),
    "network mode in capitals": _with('network_mode = "Public"\n'),
    "hosts without an allowlist": _with('allowed_hosts = ["example.com"]\n'),
    "no hosts without an allowlist": _with("allowed_hosts = []\n"),
    "hosts with an allowlist": _with('network_mode = "allowlist"\nallowed_hosts = ["*.example.com", "10.0.0.0/8"]\n'),
    "a URL in the allowlist": _with('network_mode = "allowlist"\nallowed_hosts = ["https://example.com"]\n'),
    "allow_internet is a word": _with('allow_internet = "yes"\n'),
    "allow_internet is two": _with("allow_internet = 2\n"),
    "a healthcheck": _with('healthcheck = { command = "true", retries = 3 }\n'),
    "a healthcheck without a command": _with("healthcheck = { retries = 3 }\n"),
    "a TPU": _with('tpu = { type = "v6e", topology = "2x4" }\n'),
    "a TPU without dimensions": _with('tpu = { type = "v6e", topology = "8" }\n'),
    "an MCP server without a url": _with(MCP),
    "an MCP server": _with(MCP + 'url = "http://m"\n'),
    "an MCP server over stdio without a command": _with(MCP + 'transport = "stdio"\n'),
    "an MCP server with a literal credential": _with(
        MCP + 'url = "http://m"\nheaders = { Authorization = "Bearer x" }\n'
    ),
    "an MCP server with a credential by name": _with(
        MCP + 'url = "http://m"\nheaders = { Authorization = "Bearer ${X}" }\n'
    ),
    # [agent], [verifier]
    "user is a number": task(toml="[agent]\nuser = 1000\n"),
    "user is a list": task(toml="[agent]\nuser = []\n"),
    "agent hosts without a mode": task(toml="[agent]\nallowed_hosts = []\n"),
    "verifier timeout is a word": task(toml='[verifier]\ntimeout_sec = "long"\n'),
    "verifier is shared, with an environment": task(
        toml='[verifier]\nenvironment_mode = "shared"\n[verifier.environment]\n'
    ),
    "verifier mode is unknown": task(toml='[verifier]\nenvironment_mode = "other"\n'),
    "a collect hook": task(toml='[[verifier.collect]]\ncommand = "x"\nservice = "db"\n'),
    "a collect hook for no service": task(toml='[[verifier.collect]]\ncommand = "x"\nservice = ""\n'),
    # the separate verifier
    "separate, no image, test.sh": task(toml=SEPARATE),
    "separate, no image, no test.sh": task(toml=SEPARATE, without=["tests/test.sh"]),
    "separate, tests/Dockerfile": task({"tests/Dockerfile": "FROM x\n"}, toml=SEPARATE, without=["tests/test.sh"]),
    "separate, tests/docker-compose.yaml": task(
        {"tests/docker-compose.yaml": "x: 1\n"}, toml=SEPARATE, without=["tests/test.sh"]
    ),
    "separate, tests/docker-compose.yml": task(
        {"tests/docker-compose.yml": "x: 1\n"}, toml=SEPARATE, without=["tests/test.sh"]
    ),
    "separate by its environment, with an image": task(
        toml='[verifier.environment]\ndocker_image = "x"\n', without=["tests/test.sh"]
    ),
    "separate by its environment, without an image": task(
        toml="[verifier.environment]\ncpus = 1\n", without=["tests/test.sh"]
    ),
    "shared, tests/Dockerfile": task({"tests/Dockerfile": "FROM x\n"}, without=["tests/test.sh"]),
    "separate verifier on windows": task(toml='[verifier.environment]\nos = "windows"\n'),
    "separate verifier on linux, task on windows": task(
        toml='[environment]\nos = "windows"\n[verifier.environment]\nos = "linux"\n'
    ),
    # steps
    "steps with shared tests": task(TWO_STEPS, toml=STEPS, without=["instruction.md"]),
    "steps with their own tests": task(
        {**TWO_STEPS, "steps/one/tests/test.sh": "x", "steps/two/tests/test.sh": "x"},
        toml=STEPS,
        without=["tests/test.sh"],
    ),
    "steps, one without a test": task(
        {**TWO_STEPS, "steps/one/tests/test.sh": "x"}, toml=STEPS, without=["tests/test.sh"]
    ),
    "steps, one without an instruction": task({"steps/one/instruction.md": "x", "steps/two/x": "x"}, toml=STEPS),
    "steps, one without a directory": task({"steps/one/instruction.md": "x"}, toml=STEPS),
    "steps, an image for one": task(
        {**TWO_STEPS, "steps/one/tests/test.sh": "x"},
        toml=STEPS + '[steps.verifier.environment]\ndocker_image = "x"\n',
        without=["tests/test.sh"],
    ),
    "steps with one name": task(TWO_STEPS, toml=STEPS.replace("two", "one")),
    "steps with names that differ in case": task(TWO_STEPS, toml=STEPS.replace("two", "ONE")),
    "a step without a name": task(TWO_STEPS, toml="[[steps]]\nmin_reward = 0.5\n"),
    "a step named like a device": task({"steps/nul/instruction.md": "x"}, toml='[[steps]]\nname = "nul"\n'),
    "a step with a path for a name": task({"steps/a/b/instruction.md": "x"}, toml='[[steps]]\nname = "a/b"\n'),
    "no steps in the list": task(toml="steps = []\n"),
    "a reward per key": task(TWO_STEPS, toml='[[steps]]\nname = "one"\nmin_reward = { a = 1, b = "2" }\n'),
    # links
    "a link within the task": task({"tests/test.sh": Link("../solution/solve.sh")}),
    "a link to nothing": task({"tests/test.sh": Link("gone.sh")}),
    "a link out of tests": task({"tests/data": Link("../../elsewhere")}),
    "an absolute link in tests": task({"tests/data": Link("/nowhere/at/all")}),
    "a link out of solution": task({"solution/data": Link("../../elsewhere")}),
    "a link out of environment": task({"environment/data": Link("../../elsewhere")}),
    "a link out of environment, for a separate verifier": task(
        {"environment/data": Link("../../elsewhere")}, toml=SEPARATE
    ),
    "a link that is a loop": task({"tests/data": Link("data")}),
    "a directory that links to its parent": task({"tests/data": Link(".")}),
    "tests is a link": task({"tests": Link("checks"), "checks/test.sh": "x"}, without=["tests/test.sh"]),
    "a step that links out": task({**TWO_STEPS, "steps/one/data": Link("../../../x")}, toml=STEPS),
    # .harborignore
    "an ignore file that leaves out test.sh": task({"tests/.harborignore": "*.sh\n"}),
    "an ignore file that takes test.sh back": task({"tests/.harborignore": "*.sh\n!test.sh\n"}),
    "an ignore file at the root": task({".harborignore": "*\n"}),
    "an ignore file for a directory": task({"tests/.harborignore": "test.sh/\n"}),
    "an ignore file with a class": task({"tests/.harborignore": "te[!a-m]t.?h\n"}),
    "an ignored link that leads out": task({"tests/data": Link("../../x"), "tests/.harborignore": "/data\n"}),
    "an ignore file with a bare !": task({"tests/deep/.harborignore": "!\n"}),
    "an ignore file that is not UTF-8": task({"tests/.harborignore": b"\xff\n"}),
}


@pytest.fixture(scope="module", autouse=True)
def _harbor() -> None:
    """These tests ask the real package; without its environment there is nothing to ask."""
    if harbor_oracle.is_installed():
        return
    if os.environ.get("CI") == "true" and harbor_oracle.pythons():
        pytest.fail("a Python 3.12 is at hand: `make test-harbor` installs Harbor first")
    pytest.skip("Harbor is not installed: python tests/harbor_oracle.py install (needs Python 3.12)")


def test_hand_made_directories(tmp_path: Path) -> None:
    """Directories that differ from a good task in one rule each get Harbor's verdict, and a reason when it is no."""
    directories = {name: tmp_path / f"{index}" / "task" for index, name in enumerate(CASES)}
    for name, directory in directories.items():
        write(CASES[name], directory)
    harbor = harbor_oracle.judge(list(directories.values()))
    ours = {name: interpret(members_of(files)) for name, files in CASES.items()}
    assert {name: meaning.harbor_loadable for name, meaning in ours.items()} == {
        name: harbor[directory] for name, directory in directories.items()
    }
    assert all((meaning.harbor_reason is None) == meaning.harbor_loadable for meaning in ours.values())


def test_the_table_is_rich_enough() -> None:
    """At least sixty directories, and both verdicts are common: a verdict that never changes proves nothing."""
    verdicts = [interpret(members_of(files)).harbor_loadable for files in CASES.values()]
    assert len(CASES) >= 60
    assert min(verdicts.count(True), verdicts.count(False)) >= 30


def test_real_tasks(tmp_path: Path) -> None:
    """Every row of the real corpus, unpacked, gets Harbor's verdict."""
    rows = {name: tar_members(blob) for name, blob in real_blobs()}
    directories = {name: tmp_path / str(index) for index, name in enumerate(rows)}
    for name, members in rows.items():
        unpack(members, directories[name])
    harbor = harbor_oracle.judge(list(directories.values()))
    assert {name: interpret(files).harbor_loadable for name, files in rows.items()} == {
        name: harbor[directory] for name, directory in directories.items()
    }


def unpack(members: list[TaskFile], root: Path) -> None:
    """Files and directories only, each checked to lie below ``root``; contents that no rule reads stay empty."""
    root.mkdir()
    for member in members:
        target = (root / member.name).resolve()
        assert target.is_relative_to(root), member.name
        if member.kind == "dir":
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"" if member.data is None else as_bytes(bytes(member.data)))
