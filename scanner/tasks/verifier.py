"""What verifies a task, from its structure: the graded kind, the signals seen, and the notebook's rule.

None of it proves a verifier sound: one that always passes looks like any other until it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import msgspec

from scanner.model import VerifierKind
from scanner.tasks import harbor, jsontext
from scanner.tasks.demands import Step
from scanner.tasks.tree import Tree, Unusable

HEURISTIC_KEYS = frozenset(
    {"verifier", "verifier_config", "judge", "grader", "rubric", "test_patch", "FAIL_TO_PASS", "tests"}
)
"""What the notebook looks for among the keys of a JSON object."""

HEURISTIC_TEXTS = ("verifier", "test_patch")
"""What it looks for, in any case, in the text of JSON and YAML files."""

_VERIFIER, _TEST_PATCH = (word.encode() for word in HEURISTIC_TEXTS)
SWE_KEYS = frozenset({"FAIL_TO_PASS", "PASS_TO_PASS"})
JUDGE_KEYS = frozenset({"rubric", "rubrics", "criteria"})
CASE_KEYS = frozenset({"inputs", "outputs"})
_TELLING_KEYS = HEURISTIC_KEYS | SWE_KEYS | JUDGE_KEYS
_LOOKED_AT = _TELLING_KEYS | CASE_KEYS

_RANK: dict[VerifierKind, int] = {kind: rank for rank, kind in enumerate(get_args(VerifierKind))}
"""The graded list, strongest first."""


def stronger(first: VerifierKind, second: VerifierKind) -> VerifierKind:
    """The one that stands higher in the graded list."""
    return first if _RANK[first] <= _RANK[second] else second


def kind_of_config(task: harbor.Directory) -> VerifierKind:
    """What an accepted task.toml adds: an image of the verifier's own, or steps with a test each.

    Several steps make ``harbor-separate`` where each has an image, and ``harbor-steps`` where each has a test or one.
    """
    steps = task.steps
    try:
        if all(task.has_own_image(step) for step in steps or (None,)):
            return "harbor-separate"
        if steps and all(task.has_own_image(step) or _has_test(task.tree, step) for step in steps):
            return "harbor-steps"
    except Unusable:
        pass  # the verdict says which link or ignore file it was
    return "none"


def _has_test(tree: Tree, step: Step) -> bool:
    places = ("tests", f"steps/{step.name}/tests")
    return any(tree.is_file(f"{place}/{entry}") for place in places for entry in ("test.sh", "test.bat"))


def says_nothing(members: Mapping[str, Any]) -> bool:
    """Whether the keys of a JSON object say nothing of a verifier. Runs for nearly every JSON file."""
    return _LOOKED_AT.isdisjoint(members)


def kind_of_json(members: Mapping[str, Any]) -> VerifierKind:
    """What the members of a JSON object say: tests to pass, a rubric to judge by, or inputs with their outputs."""
    keys = members.keys()
    if not keys.isdisjoint(SWE_KEYS) and any(_lists_something(members[key]) for key in SWE_KEYS & keys):
        return "swe-config"
    if not keys.isdisjoint(JUDGE_KEYS):
        return "judge-config"
    return "data-config" if keys >= CASE_KEYS else "none"


def _lists_something(member: Any) -> bool:
    """Whether a member is a list that is not empty, or a string that holds one as JSON."""
    if type(member) is msgspec.Raw and (text := bytes(member)).startswith(b"["):  # nothing needs to be built to see it
        return not text[1:].lstrip(b" \t\n\r").startswith(b"]")
    value = jsontext.value_of(member)
    if isinstance(value, str):
        value = jsontext.built(value)
    return isinstance(value, list) and bool(value)


def telling_keys(members: Mapping[str, Any]) -> tuple[str, ...]:
    """Those keys of a JSON object that say something of a verifier, in its order."""
    keys = members.keys()
    return () if keys.isdisjoint(_TELLING_KEYS) else tuple([key for key in keys if key in _TELLING_KEYS])


def told_by_keys(members: Mapping[str, Any]) -> bool:
    """Whether a JSON object satisfies the notebook's rule."""
    return not members.keys().isdisjoint(HEURISTIC_KEYS)


def telling_texts(data: bytes) -> tuple[str, ...]:
    """Which of the notebook's words stand in ``data``, in any case. Lower-casing ASCII is enough for them.

    (No other character has one of their letters as its lower case: only K and Å have such doubles.)
    """
    lower = data.lower()
    if _VERIFIER not in lower and _TEST_PATCH not in lower:  # nearly all
        return ()
    return tuple([word for word in HEURISTIC_TEXTS if word.encode() in lower])
