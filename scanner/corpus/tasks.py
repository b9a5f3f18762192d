"""The files of one task, for each layout and verifier kind of the dataset.

As in the real sources, a source stamps its tasks out of a few templates: Dockerfile, test entry and fixtures are the
template's, while instruction, tests, solution and ``task.toml`` are the row's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TypeAlias

from scanner.corpus.draw import Draw, Template

Files: TypeAlias = dict[str, bytes]
"""Name to content, to be packed."""
Maker: TypeAlias = Callable[[Draw, Template], Files | bytes]
"""Makes one row: files to be packed, or the bytes themselves where the row is no archive."""


def task_toml(
    draw: Draw, shared: Template, *, steps: Sequence[str] = (), environment: str = "", verifier: str = ""
) -> bytes:
    """A ``task.toml`` that is the row's own, in the spellings seen: old and new version key, "2G" or megabytes."""
    pad = "    " if draw.chance(0.03) else ""
    old = draw.chance(0.4)
    lines = ['version = "1.0"' if old else f'schema_version = "1.{draw.pick("0123")}"', ""]
    if not old or draw.chance(0.5):
        description = draw.pick(draw.topic.sentences).replace('"', "'").replace("\\", "")
        lines += ["[task]", f'{pad}name = "{draw.org}/{draw.name}"', f'{pad}description = "{description}"']
        lines += [f"{pad}keywords = {json.dumps(draw.words(3))}", ""]
    author = f"{draw.pick(draw.topic.names)} {draw.pick(draw.topic.names)}"
    lines += [
        "[metadata]",
        f'{pad}author_name = "{author}"',
        f'{pad}author_email = "{author.replace(" ", ".").lower()}@example.org"',
        f'{pad}difficulty = "{draw.pick(("easy", "medium", "medium", "hard"))}"',
        f'{pad}category = "{shared.category}"',
        f"{pad}tags = {json.dumps(draw.words(2 + int(draw.random() * 3)))}",
        f"{pad}expert_time_estimate_min = {draw.pick(('5', '10.0', '30', '45.0', '90'))}",
        "",
        "[verifier]",
        f"{pad}timeout_sec = {draw.pick(draw.topic.numbers)}.0",
        *verifier.splitlines(),
        "",
        "[agent]",
        f"{pad}timeout_sec = {draw.pick(draw.topic.numbers)}.0",
        "",
        "[environment]",
        f"{pad}build_timeout_sec = {draw.pick(('300', '600.0', '1800.0'))}",
        f"{pad}cpus = {draw.pick('1124')}",
        *(
            f'{pad}{key} = "{draw.pick("248")}G"' if old else f"{pad}{key}_mb = {draw.pick((2048, 4096, 10240))}"
            for key in ("memory", "storage")
        ),
        *environment.splitlines(),
        "",
    ]
    for step in steps:
        lines += ["[[steps]]", f'name = "{step}"', f"timeout_sec = {draw.pick(draw.topic.numbers)}.0", ""]
    return "\n".join(lines).encode()


def instruction(draw: Draw, typical: int = 20) -> bytes:
    """A task in words: a title, some paragraphs, now and then a list and a code block."""
    topic = draw.topic
    what = f"{draw.pick(topic.verbs).capitalize()} the {draw.pick(topic.adjectives)} {draw.pick(topic.nouns)}"
    title = f"# {what} of {draw.pick(topic.names)}\n\n"
    text = title + draw.text(draw.size(typical))
    if draw.chance(0.5):
        text += "\n## Requirements\n\n" + "".join(f"- {line}\n" for line in draw.some(draw.topic.sentences, 4))
    if draw.chance(0.3):
        text += "\n```bash\n" + "".join(draw.some(draw.topic.shell, 3)) + "```\n"
    return text.encode()


def pytest_file(draw: Draw, typical: int = 22) -> bytes:
    """A pytest file of about ``typical`` tests."""
    module, name = draw.pick(draw.topic.nouns), draw.pick(draw.topic.idents)
    head = f"import pytest\nfrom pathlib import Path\n\nfrom app.{module} import {name}\n\n\n"
    return (head + "\n\n".join(draw.some(draw.topic.tests, draw.size(typical)))).encode()


def solve_sh(draw: Draw, typical: int = 30) -> bytes:
    """A reference solution as a shell script."""
    return ("#!/bin/bash\nset -e\n\n" + "".join(draw.some(draw.topic.shell, draw.size(typical)))).encode()


def harbor(draw: Draw, shared: Template) -> Files:
    """Single-step, verified in the task's own environment: the bulk of the dataset (``harbor-shared``)."""
    return bare(draw, shared) | {"tests/test.sh": shared.test_sh, "tests/test_outputs.py": pytest_file(draw)}


def bare(draw: Draw, shared: Template) -> Files:
    """A task without tests: what only its ``[verifier]`` table speaks for (``toml-only``)."""
    files = {
        "environment/Dockerfile": shared.dockerfile,
        "instruction.md": instruction(draw),
        "task.toml": task_toml(draw, shared),
    }
    files.update(shared.fixtures)
    if draw.chance(0.85):
        files["solution/solve.sh"] = solve_sh(draw)
    if draw.chance(0.3):
        files["metadata.json"] = json_of({"id": draw.name, "tags": draw.words(4), "source": draw.org})
    return files


def unverified(draw: Draw, shared: Template) -> Files:
    """Not even a ``[verifier]`` table (``none``)."""
    toml = f'version = "1.0"\n\n[metadata]\ncategory = "{shared.category}"\n\n[environment]\ncpus = 1\n'
    return bare(draw, shared) | {"task.toml": toml.encode()}


def entryless(draw: Draw, shared: Template) -> Files:
    """Tests that nothing starts (``tests-without-entry``)."""
    return bare(draw, shared) | {"tests/test_outputs.py": pytest_file(draw)}


def separate(draw: Draw, shared: Template) -> Files:
    """A verifier with an image of its own, in one of the three ways to say so (``harbor-separate``)."""
    files = harbor(draw, shared)
    way = draw.pick(("image", "dockerfile", "compose"))
    if way == "image":
        table = f'environment_mode = "separate"\n\n[verifier.environment]\ndocker_image = "{shared.image}"\ncpus = 1'
        files["task.toml"] = task_toml(draw, shared, verifier=table)
        return files
    files["task.toml"] = task_toml(draw, shared, verifier="\n[verifier.environment]\nmemory_mb = 1024")
    if way == "dockerfile":
        files["tests/Dockerfile"] = shared.dockerfile + b'COPY . /tests/\nCMD ["/tests/test.sh"]\n'
    else:
        files["tests/docker-compose.yaml"] = f"services:\n  main:\n    image: {shared.image}\n".encode()
    return files


def steps(draw: Draw, shared: Template) -> Files:
    """Several steps, each with its instruction; tests per step or shared (``harbor-steps``)."""
    names = [f"{number:02d}-{draw.pick(draw.topic.verbs)}" for number in range(1, 3 + int(draw.random() * 3))]
    files = {"task.toml": task_toml(draw, shared, steps=names), "environment/Dockerfile": shared.dockerfile}
    per_step = draw.chance(0.6)
    for name in names:
        files[f"steps/{name}/instruction.md"] = instruction(draw, 6)
        if per_step:
            files[f"steps/{name}/tests/test.sh"] = shared.test_sh
            files[f"steps/{name}/tests/test_outputs.py"] = pytest_file(draw, 4)
    if not per_step:
        files["tests/test.sh"] = shared.test_sh
        files["tests/test_outputs.py"] = pytest_file(draw)
    return files


def terminal_bench(draw: Draw, shared: Template) -> Files:
    """The older layout: ``task.yaml`` with the instruction inside, ``run-tests.sh`` (``terminal-bench``)."""
    body = "".join(f"  {line}\n" if line else "\n" for line in draw.text(draw.size(18)).splitlines())
    yaml = (
        f"instruction: |-\n{body}author_name: {draw.pick(draw.topic.names)}\ndifficulty: medium\n"
        f"category: {shared.category}\ntags:\n  - {draw.pick(draw.topic.nouns)}\n  - {draw.pick(draw.topic.verbs)}\n"
        f"parser_name: pytest\nmax_agent_timeout_sec: {draw.pick(draw.topic.numbers)}.0\n"
        "max_test_timeout_sec: 180.0\nrun_tests_in_same_shell: false\n"
    )
    compose = (
        "services:\n  client:\n    build:\n      dockerfile: Dockerfile\n"
        "    image: ${T_BENCH_TASK_DOCKER_CLIENT_IMAGE_NAME}\n"
        '    command: ["sh", "-c", "sleep infinity"]\n    volumes:\n      - ${T_BENCH_TASK_LOGS_PATH}:/logs\n'
    )
    return {
        "Dockerfile": shared.dockerfile,
        "docker-compose.yaml": compose.encode(),
        "run-tests.sh": shared.test_sh.replace(b"/tests/", b"$TEST_DIR/"),
        "solution.sh": solve_sh(draw),
        "task.yaml": yaml.encode(),
        "tests/test_outputs.py": pytest_file(draw),
    }


def swe(draw: Draw, shared: Template) -> Files:
    """A repository bug with the names of its tests in JSON, now and then JSON inside JSON (``swe-config``)."""
    files = bare(draw, shared)
    names = [f"tests/test_{draw.pick(draw.topic.nouns)}.py::test_{name}" for name in draw.some(draw.topic.idents, 7)]
    fail, passing = names[:2], names[2:]
    patch = "".join(f"+{line}\n" for line in "".join(draw.some(draw.topic.tests, draw.size(7))).splitlines())
    config: dict[str, object] = {
        "instance_id": draw.name,
        "repo": draw.name.replace("__", "/").rpartition("-")[0],
        "base_commit": f"{draw.rng.getrandbits(160):040x}",
        "test_patch": f"diff --git a/tests/test_new.py b/tests/test_new.py\n@@ -0,0 +1,{patch.count('+')} @@\n{patch}",
        "FAIL_TO_PASS": json.dumps(fail) if draw.chance(0.3) else fail,
        "PASS_TO_PASS": passing,
    }
    return files | {"tests/config.json": json_of(config)}


def swe_with_entry(draw: Draw, shared: Template) -> Files:
    """The same with a ``tests/test.sh`` that reads it (``harbor-shared``)."""
    return swe(draw, shared) | {"tests/test.sh": shared.test_sh}


def verifier_script(draw: Draw, shared: Template) -> Files:
    """NeMo style: a ``tests/verifier.py`` and its data, no ``test.sh`` (``verifier-script``)."""
    body = b'import json\nimport sys\n\n\ndef verify(answer: str) -> float:\n    """Reward."""\n' + pytest_file(draw, 8)
    return data_only(draw, shared) | {"tests/verifier.py": body}


def data_only(draw: Draw, shared: Template) -> Files:
    """Inputs and expected outputs without anything that compares them (``data-config``)."""
    files = bare(draw, shared)
    rows = draw.some(draw.topic.records, draw.size(30))
    match draw.pick(("verifier_data", "expected", "stdio")):
        case "verifier_data":
            cases = [{"input": f"{len(row)}\n{row}\n", "output": row.partition(",")[0] + "\n"} for row in rows]
            files["tests/verifier_data.json"] = json_of({"type": "stdio", "cases": cases, "time_limit": 2})
        case "expected":
            files["tests/expected_output.txt"] = "\n".join(rows).encode()
        case _:
            files["tests/inputs_outputs.json"] = json_of({"inputs": rows, "outputs": [len(row) for row in rows]})
    return files


def judge(draw: Draw, shared: Template) -> Files:
    """Judged by a model: ``judge.toml``, or a rubric or criteria in JSON (``judge-config``)."""
    files = bare(draw, shared)
    lines = draw.some(draw.topic.sentences, 12)
    match draw.pick(("toml", "rubric", "criteria")):
        case "toml":
            text = "".join(f'[[criteria]]\nname = "c{i}"\nweight = {i + 1}\n\n' for i in range(len(lines)))
            files["tests/judge.toml"] = f'model = "judge-large"\nscale = 5\n\n{text}'.encode()
        case "rubric":
            rubric = [{"criterion": line, "points": i % 4 + 1} for i, line in enumerate(lines)]
            files["tests/rubric.json"] = json_of({"rubric": rubric, "reference": draw.text(20)})
        case _:
            files["tests/judging.json"] = json_of({"criteria": lines, "judge": "judge-large", "max_score": 10})
    return files


def windows(draw: Draw, shared: Template) -> Files:
    """For Windows containers: ``tests/test.bat`` with CRLF lines (``harbor-shared``)."""
    bat = shared.test_sh.replace(b"#!/bin/bash", b"@echo off").replace(b"\n", b"\r\n")
    toml = task_toml(draw, shared, environment='os = "windows"')
    return bare(draw, shared) | {"task.toml": toml, "tests/test.bat": bat, "tests/test_outputs.py": pytest_file(draw)}


def prebuilt(draw: Draw, shared: Template) -> Files:
    """No ``environment/``, but an image named in ``task.toml``: legal, and easily taken for broken."""
    files = {name: data for name, data in harbor(draw, shared).items() if not name.startswith("environment/")}
    return files | {"task.toml": task_toml(draw, shared, environment=f'docker_image = "{shared.image}"')}


def log_pack(draw: Draw, _shared: Template) -> Files:
    """Logs of one run, no task at all."""
    log = "".join(
        f"2025-0{draw.pick('123456789')}-1{at % 10} 1{at // 60 % 10}:{at % 60:02d}:{at * 7 % 60:02d} {line}\n"
        for at, line in enumerate(draw.some(draw.topic.log_lines, draw.size(140)))
    )
    turns = [
        {"role": "assistant", "content": text, "step": i} for i, text in enumerate(draw.some(draw.topic.sentences, 20))
    ]
    return {
        "logs/agent.log": log.encode(),
        "logs/trajectory.json": json_of({"schema_version": "ATIF-v1.2", "steps": turns}),
        "logs/verifier/reward.txt": draw.pick((b"0\n", b"1\n")),
        "logs/verifier/stdout.log": "".join(draw.some(draw.topic.log_lines, 20)).encode(),
        "result.json": json_of({"task": draw.name, "reward": draw.pick((0, 1)), "n_steps": len(turns)}),
    }


def json_row(draw: Draw, shared: Template) -> bytes:
    """One JSON object, half of them with a key the verifier heuristic knows."""
    key = draw.pick(("verifier", "rubric", "answer", "reference"))
    row = {"prompt": draw.text(draw.size(24)), key: draw.pick(draw.topic.numbers), "tags": draw.words(3)}
    return json_of(row | {"category": shared.category, "solution": draw.text(draw.size(20))})


def jsonl_row(draw: Draw, _shared: Template) -> bytes:
    """A JSON object per line."""
    turns = draw.some(draw.topic.sentences, draw.size(40))
    return b"".join(
        json_line({"turn": i, "role": "user" if i % 2 else "tool", "text": text}) for i, text in enumerate(turns)
    )


def text_row(draw: Draw, _shared: Template) -> bytes:
    """Plain prose."""
    return draw.text(draw.size(50)).encode()


def json_of(value: object) -> bytes:
    """JSON as ``json.dump(indent=2)`` users write it."""
    return json.dumps(value, indent=2, ensure_ascii=False).encode()


def json_line(value: object) -> bytes:
    """One line of JSONL."""
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
