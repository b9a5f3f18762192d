"""Probes: the type of a column is decided before the first row, and a digest tells whether a function is the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Optional

import pytest

from scanner.model import Blob, Record
from scanner.options import Limits
from scanner.probes import Probes, digest_of

SOURCES = {
    "the same": "k = 7\ndef f(task):\n    return len(task.names()) + k\n",
    "another default": "k = 7\ndef f(task, n=1):\n    return len(task.names()) + k\n",
    "another constant": "k = 7\ndef f(task):\n    return len(task.names()) + k + 1\n",
    "another global": "k = 8\ndef f(task):\n    return len(task.names()) + k\n",
    "another method": "k = 7\ndef f(task):\n    return len(task.members()) + k\n",
    "a helper": "k = 7\ndef g(task):\n    return 1\ndef f(task):\n    return len(task.names()) + k + g(task)\n",
    "another helper": "k = 7\ndef g(task):\n    return 2\ndef f(task):\n    return len(task.names()) + k + g(task)\n",
}


def made(source: str, where: str = "<cell 1>") -> Callable[..., Any]:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, where, "exec"), names)
    function: Callable[..., Any] = names["f"]
    return function


def test_a_digest_is_of_what_a_function_does() -> None:
    """Another cell and other lines change nothing; another constant, default, global, method or helper does."""
    digests = {name: digest_of(made(source)) for name, source in SOURCES.items()}
    assert len(set(digests.values())) == len(SOURCES)
    for name, source in SOURCES.items():
        assert digest_of(made("\n\n# moved\n" + source, "<cell 2>")) == digests[name]


def test_a_function_that_calls_itself_has_a_digest() -> None:
    """Recursion ends."""
    assert digest_of(made("def f(task, n=3):\n    return f(task, n - 1) if n else 0\n"))


def _bool(task: object) -> bool:
    return True


def _optional(task: object) -> int | None:
    return None


def _old_optional(task: object) -> Optional[float]:  # noqa: UP045 - as older code has it
    return 1


def _list(task: object) -> list[str]:
    return ["b", "a"]


def _lying(task: object) -> int:
    return "three"  # type: ignore[return-value]


VALUES: dict[str, tuple[Any, str, Any]] = {
    "bool by annotation": (_bool, "bool", True),
    "int or None": (_optional, "int64", None),
    "Optional[float]": (_old_optional, "double", 1.0),
    "anything else is JSON": (_list, "string", '["b","a"]'),
    "a lambda is JSON": (lambda task: {"b": {2, 1}, "a": None}, "string", '{"a":null,"b":[1,2]}'),
    "declared by type": ((lambda task: 3, int), "int64", 3),
    "declared by name": ((lambda task: 3, "float64"), "double", 3.0),
    "text with a lone surrogate": ((lambda task: "a\ud800", str), "string", "a\\xed\\xa0\\x80"),
}


def values_of(probe: Any) -> tuple[str, Any, Record]:
    probes = Probes({"x": probe})
    record = Record(source="s", path="p", file="f", row=0, status="ok", compressed_size=2)
    (value,) = probes.values(Blob(memoryview(b"{}"), "p", "f", 0), record, Limits())
    return str(probes.fields[0].type), value, record


@pytest.mark.parametrize("case", VALUES)
def test_types_are_decided_without_data(case: str) -> None:
    """Declared, annotated or JSON text; the value fits the column."""
    probe, kind, value = VALUES[case]
    assert values_of(probe)[:2] == (kind, value)
    assert not values_of(probe)[2].faults


MISFITS: dict[str, Any] = {
    "not what it says": _lying,
    "not a bool": (lambda task: 1, bool),
    "too large": (lambda task: 1 << 63, int),
    "not a number": (lambda task: "1", float),
    "not a text": (lambda task: b"x", str),
    "nothing JSON can hold": lambda task: object(),
    "raises": lambda task: 1 // 0,
}


@pytest.mark.parametrize("case", MISFITS)
def test_what_does_not_fit_is_a_fault_with_the_name_of_the_probe(case: str) -> None:
    """A value that does not fit, and whatever is raised: null, and ``probe-error`` on a degraded row."""
    _, value, record = values_of(MISFITS[case])
    assert value is None
    assert record.status == "degraded"
    (fault,) = record.faults
    assert fault.kind == "probe-error"
    assert (fault.detail or "").startswith("x: ")
