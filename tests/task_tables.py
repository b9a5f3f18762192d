"""Tasks on both sides of each border that layouts and verifier kinds have, as tables; several tests go over them."""

from __future__ import annotations

from task_fixtures import TOML, Files, members_of, task

from scanner.model import Meaning
from scanner.tasks import interpret

SEPARATE = TOML + '\n[verifier]\nenvironment_mode = "separate"\n'
STEPS = '[[steps]]\nname = "one"\n'
YAML = "instruction: |-\n  Do it.\n  Well.\ndifficulty: easy\n"
NO_TEST: list[str] = ["tests/test.sh"]


LAYOUTS: dict[str, tuple[Files, str]] = {
    "task.toml": ({"task.toml": ""}, "harbor"),
    "a lost task.toml, tests left": ({"instruction.md": "x", "tests/test.sh": "x"}, "harbor"),
    "a lost task.toml, environment left": ({"instruction.md": "x", "environment/Dockerfile": "x"}, "harbor"),
    "an instruction alone": ({"instruction.md": "x"}, "unknown"),
    "steps": ({"task.toml": STEPS, "steps/one/instruction.md": "x"}, "harbor-steps"),
    "no steps in the list": ({"task.toml": "steps = []\n"}, "harbor"),
    "steps in a file that does not parse": ({"task.toml": STEPS + "["}, "harbor"),
    "task.yaml": ({"task.yaml": YAML, "run-tests.sh": "x"}, "terminal-bench"),
    "task.yaml and task.toml": ({"task.yaml": YAML, "task.toml": ""}, "harbor"),
    "task.yaml in a folder of others": ({"a/task.yaml": YAML, "b/x": ""}, "unknown"),
    "logs": ({"trial.log": "x", "agent/logs/out.txt": "x", "result.json": "{}"}, "log-pack"),
    "logs, but fewer than half": ({"trial.log": "x", "a.py": "", "b.py": ""}, "unknown"),
    "logs beside a task": ({"trial.log": "x", "job.log": "x", "task.toml": ""}, "harbor"),
    "nothing": ({}, "unknown"),
}


KINDS: dict[str, tuple[Files, str]] = {
    "separate, image by name": (
        task(toml=TOML + '[verifier.environment]\ndocker_image = "x"\n'),
        "harbor-separate",
    ),
    "separate, tests/Dockerfile": (task({"tests/Dockerfile": "FROM x"}, toml=SEPARATE), "harbor-separate"),
    "separate without an image": (task(toml=SEPARATE), "harbor-shared"),
    "an image, but not separate": (task({"tests/Dockerfile": "FROM x"}), "harbor-shared"),
    "an image in a task.toml that Harbor refuses": (
        task(toml='[task]\n[verifier.environment]\ndocker_image = "x"\n'),
        "harbor-shared",
    ),
    "steps, an image each": (
        {"task.toml": STEPS + '[steps.verifier.environment]\ndocker_image = "x"\n', "steps/one/instruction.md": "x"},
        "harbor-separate",
    ),
    "steps with a shared test": (task(toml=STEPS), "harbor-steps"),
    "steps with their tests": ({"task.toml": STEPS, "steps/one/tests/test.sh": "x"}, "harbor-steps"),
    "steps without a test": ({"task.toml": STEPS, "steps/one/instruction.md": "x"}, "none"),
    "test.sh": (task(), "harbor-shared"),
    "test.sh without task.toml": (task(toml=None), "harbor-shared"),
    "test.bat": (task({"tests/test.bat": "x"}, without=NO_TEST), "harbor-shared"),
    "test.sh elsewhere": (task({"test.sh": "x"}, without=NO_TEST), "none"),
    "test.sh deeper": (task({"tests/unit/test.sh": "x"}, without=NO_TEST), "tests-without-entry"),
    "run-tests.sh with tests": ({"task.yaml": YAML, "run-tests.sh": "x", "tests/test_it.py": "x"}, "terminal-bench"),
    "run-tests.sh with an empty tests": ({"task.yaml": YAML, "run-tests.sh": "x", "tests": None}, "terminal-bench"),
    "run-tests.sh without tests": ({"task.yaml": YAML, "run-tests.sh": "x"}, "none"),
    "tests/verifier.py": (task({"tests/verifier.py": "x"}, without=NO_TEST), "verifier-script"),
    "tests/verify.py": (task({"tests/verify.py": "x"}, without=NO_TEST), "tests-without-entry"),
    "verifier.py at the root": (task({"verifier.py": "x"}, without=NO_TEST), "none"),
    "FAIL_TO_PASS as a list": (task({"tests/config.json": '{"FAIL_TO_PASS": ["t"]}'}, without=NO_TEST), "swe-config"),
    "PASS_TO_PASS as a string of a list": (
        task({"tests/config.json": '{"PASS_TO_PASS": "[\\"t\\"]"}'}, without=NO_TEST),
        "swe-config",
    ),
    "FAIL_TO_PASS that is empty": (
        task({"tests/config.json": '{"FAIL_TO_PASS": [], "PASS_TO_PASS": "[]"}'}, without=NO_TEST),
        "tests-without-entry",
    ),
    "FAIL_TO_PASS as a word": (
        task({"tests/config.json": '{"FAIL_TO_PASS": "test_it"}'}, without=NO_TEST),
        "tests-without-entry",
    ),
    "FAIL_TO_PASS deeper": (
        task({"tests/config.json": '{"x": {"FAIL_TO_PASS": ["t"]}}'}, without=NO_TEST),
        "tests-without-entry",
    ),
    "FAIL_TO_PASS beside test.sh": (task({"tests/config.json": '{"FAIL_TO_PASS": ["t"]}'}), "harbor-shared"),
    "judge.toml": (task({"judge.toml": "x = 1"}, without=NO_TEST), "judge-config"),
    "a rubric": (task({"grading.json": '{"rubric": []}'}, without=NO_TEST), "judge-config"),
    "a rubric in YAML": (task({"grading.yaml": "rubric: []"}, without=NO_TEST), "none"),
    "verifier_data.json": (task({"tests/verifier_data.json": "{}"}, without=NO_TEST), "data-config"),
    "expected output": (task({"tests/expected_output.txt": "1"}, without=NO_TEST), "data-config"),
    "expected output at the root": (task({"expected_output.txt": "1"}, without=NO_TEST), "none"),
    "inputs with outputs": (task({"tests/1.in": "1", "tests/1.out": "1"}, without=NO_TEST), "data-config"),
    "inputs without outputs": (task({"tests/1.in": "1", "tests/2.out": "1"}, without=NO_TEST), "tests-without-entry"),
    "cases in JSON": (task({"cases.json": '{"inputs": [], "outputs": []}'}, without=NO_TEST), "data-config"),
    "half the cases in JSON": (task({"cases.json": '{"inputs": []}'}, without=NO_TEST), "none"),
    "a test file": (task({"tests/test_it.py": "x"}, without=NO_TEST), "tests-without-entry"),
    "an empty tests": (task({"tests": None}, without=NO_TEST), "none"),
    "a hidden file in tests": (task({"tests/.gitkeep": ""}, without=NO_TEST), "none"),
    "a [verifier] table": (task(toml="[verifier]\n", without=NO_TEST), "toml-only"),
    "a verifier that is no table": (task(toml="verifier = 1\n", without=NO_TEST), "none"),
    "a [verifier] table beside a test file": (
        task({"tests/test_it.py": "x"}, toml="[verifier]\n", without=NO_TEST),
        "tests-without-entry",
    ),
    "no sign of one": (task(without=NO_TEST), "none"),
}


def read(files: Files, prefix: str = "") -> Meaning:
    return interpret(members_of(files, prefix))
