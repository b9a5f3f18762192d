"""Layouts, verifier kinds, signals and solutions: a table of tasks on both sides of each border."""

from __future__ import annotations

import pytest
from task_fixtures import TOML, Files, members_of, task
from task_tables import KINDS, LAYOUTS, read

from scanner.tasks import interpret
from scanner.tasks.shape import MAX_SIGNAL_CHARS, MAX_SIGNALS


@pytest.mark.parametrize(("files", "layout"), LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(files: Files, layout: str) -> None:
    """Each layout, and what just misses it."""
    assert read(files).layout == layout


@pytest.mark.parametrize(("files", "kind"), KINDS.values(), ids=KINDS)
def test_verifier_kinds(files: Files, kind: str) -> None:
    """Each kind of the graded list, and what just misses it."""
    assert read(files).verifier_kind == kind


@pytest.mark.parametrize("prefix", ["./", "task-1/", "./task-1/"])
@pytest.mark.parametrize("files", [files for files, _ in [*KINDS.values(), *LAYOUTS.values()]][::3])
def test_prefixes_change_nothing(files: Files, prefix: str) -> None:
    """``./`` before each name and one enclosing directory give the meaning of the bare task."""
    bare, wrapped = read(files), read(files, prefix)
    for field in ("layout", "verifier_kind", "harbor_loadable", "harbor_reason", "has_solution", "base_image"):
        assert getattr(wrapped, field) == getattr(bare, field), field
    assert wrapped.instruction_id == bare.instruction_id


def test_a_part_is_no_wrapping() -> None:
    """A lone tests/ directory is the tests of a task without the rest, not a task named tests."""
    meaning = read({"tests/test.sh": "x"})
    assert (meaning.verifier_kind, meaning.harbor_reason) == ("harbor-shared", "no task.toml")


def test_the_last_of_equal_names_counts() -> None:
    """As on extraction, a later member replaces an earlier one of its name."""
    first, last = members_of({"task.toml": "["}), members_of({"./task.toml": TOML})
    rest = members_of(task(toml=None))
    assert interpret([*first, *rest, *last]).harbor_loadable
    assert not interpret([*last, *rest, *first]).harbor_loadable


SOLUTIONS: dict[str, tuple[Files, bool]] = {
    "solution/solve.sh": ({"solution/solve.sh": "x"}, True),
    "solution/.gitkeep": ({"solution/.gitkeep": ""}, False),
    "an empty solution": ({"solution": None}, False),
    "solution.sh": ({"solution.sh": "x"}, True),
    "solution.md": ({"solution.md": "x"}, False),
    "a step's": ({"steps/a/solution/solve.sh": "x", "task.toml": ""}, True),
    "elsewhere": ({"environment/solution/solve.sh": "x"}, False),
}


@pytest.mark.parametrize(("files", "expected"), SOLUTIONS.values(), ids=SOLUTIONS)
def test_solutions(files: Files, *, expected: bool) -> None:
    """A solution is a visible file in solution/ or a ``solution.*`` script."""
    assert read(files).has_solution is expected


def test_signals() -> None:
    """Signals name what was seen and where; they are bounded in number and length."""
    meaning = read(
        task({"tests/verify.py": "x", "tests/config.json": '{"FAIL_TO_PASS": []}', "x.yaml": "a: Test_Patch"})
    )
    assert {"name:tests/verify.py", "json-key:FAIL_TO_PASS@tests/config.json", "text:test_patch@x.yaml"} <= set(
        meaning.verifier_signals
    )
    many = read({f"score{index}/{'d' * 300}": "" for index in range(1000)})
    assert len(many.verifier_signals) == MAX_SIGNALS
    assert max(map(len, many.verifier_signals)) == MAX_SIGNAL_CHARS
