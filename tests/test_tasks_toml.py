"""Our shortcut through TOML gives tomllib's answer: the same value, or no value for the same texts."""

from __future__ import annotations

import math
import tomllib
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from task_fixtures import real_blobs, tar_members

from scanner.tasks import tasktoml

FRAGMENTS = [
    *(
        'k = "a',
        'b"',
        'x = "a\\nb"',
        '# "',
        'k = ["a", "b"]',
        'k = ["a", "b',
        'c"]',
        "k = 0",
        "k = 0.5",
        "[x.a]",
        "[[x.a]]",
    ),
    *(
        "[a]",
        "[b]",
        "[a.b]",
        "[ a . b ]",
        "[[a]]",
        "[[a.b]]",
        "[[steps]]",
        "[steps.x]",
        '["q"]',
        "[a",
        "[[a]",
        "[ [a]]",
    ),
    *("  [a]", "\t[[a]]", "[a] # c", "[a] x", "[a.b.c]", "[]", "[a.]", "[a]]"),
    *("k = 1", "b = 2", "a = 3", "k = 'v'", 'k = "v"', 'k = "\\""', 'k = "\\\\n"', 'k = "\\q"', 'k = "\\u00e9"'),
    *('k = ""', 'k = """', '"""', "k = '''", "'''", 'k = """x"""', 'x"""', 'k = "a', 'k = "a" "b"', 'k = "a" # "b'),
    *("k = -0", "k = 00", "k = +1_0", "k = 0x1f", "k = 1.50", "k = 01.5", "k = 1e3", "k = -inf", "k = nan", "k = 1."),
    *("k = true", "k = True", "k = 2020-01-01", "k = 07:32:00", "k = 07:32", "k = 123456789012345678901"),
    *("k = []", 'k = ["a", "b",]', "k = [,]", 'k = ["a" "b"]', "k = [", "1,", "]", "] # c", "k = [[1], [2]]", "[1],"),
    *("k = { x = 1 }", "k = { x = 1, }", "k = {}", "k.x = 1", "k . y = 2", "'k' = 1", "k =", "= 1", "k", "k = 1 k = 2"),
    *("# comment", "", "  ", "# \x01", "k = 'a\tb'", 'k = "a\tb"', 'k = "\x7f"', "k = 1 # \x7f", "\ufeff", "k = 1\r"),
    *(
        "k-1 = 1",
        "k_1=1",
        "1 = 1",
        "\u00e9 = 1",
        'k = "\u00e9\u4e2d"',
        "k = 1\x0b",
        "k = 1\x0c",
        "k\u00a0= 1",
        "k = \u0661",
    ),
]


def _expected(text: str) -> Any:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return None


def _same(first: Any, second: Any) -> bool:
    """Equality that tells 1 from true and 1.0, 0.0 from -0.0, and finds NaN equal to itself."""
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return list(first) == list(second) and all(_same(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(_same, first, second))
    if isinstance(first, float):
        return (math.isnan(first) and math.isnan(second)) or (
            first == second and math.copysign(1, first) == math.copysign(1, second)
        )
    return bool(first == second)


def _check(text: str) -> None:
    parsed = tasktoml.parse(text)
    expected = _expected(text)
    assert (parsed.value is None) == (expected is None), text
    shortcut = tasktoml._joined(text)
    assert shortcut is None or _same(shortcut, expected), text
    assert (parsed.value is None) == bool(parsed.error), text
    if expected is not None:
        assert _same(parsed.value, expected), text


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=9).map("\n".join))
@example("[a.b]\n[a]\nb = 1")
@example("[[a]]\n[a.b]\n[[a]]\n[a.b]")
@example("[[a.b]]\n[a]\nk = 1")
@example("[a]\n[a.b]\n[a]")
@example("a = []\n[[a]]")
@example("a = {}\n[a.b]")
@example("[[a]]\n[a]")
def test_lines_in_any_order(text: str) -> None:
    """Documents drawn from lines that clash, span and break: values and refusals are tomllib's."""
    _check(text)


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet="ab.=[]{}\"'\\#,_-+ \t\n\r019etu\x00\x7f\u00e9", max_size=40))
def test_any_text(text: str) -> None:
    """Short texts of TOML's own characters."""
    _check(text)


def test_real_files_and_damaged_ones() -> None:
    """Every real task.toml parses the same, whole and with one line removed, doubled or cut."""
    seen: set[str] = set()
    for _, blob in real_blobs():
        seen |= {bytes(m.data or b"").decode() for m in tar_members(blob) if m.name == "task.toml"}
    for text in sorted(seen)[::4]:
        _check(text)
        lines = text.split("\n")
        for index, line in enumerate(lines):
            for changed in ([], [line, line], [line[: len(line) // 2]]):
                _check("\n".join(lines[:index] + changed + lines[index + 1 :]))


def test_most_real_files_need_no_whole_parse() -> None:
    """The shortcut answers for nearly all real files: else it would only cost."""
    texts = [
        bytes(m.data or b"").decode() for _, blob in real_blobs() for m in tar_members(blob) if m.name == "task.toml"
    ]
    joined = [tasktoml._joined(text) is not None for text in texts]
    assert sum(joined) >= 0.95 * len(texts)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (".".join(["a"] * 5000) + " = 1", "parts"),
        ("[" + ".".join(['"a"'] * 100) + "]", "parts"),
        ("# " + "x" * tasktoml.MAX_CHARS, "longer"),
        ("a = " + "[" * 100_000, "nested"),
    ],
    ids=["a dotted key", "a dotted header", "a long text", "deep nesting"],
)
def test_refusals(text: str, error: str) -> None:
    """What tomllib would need minutes or a deep stack for is refused, with the reason."""
    parsed = tasktoml.parse(text)
    assert parsed.value is None
    assert error in parsed.error
