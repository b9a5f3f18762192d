"""Which values Harbor 0.25 accepts in task.toml, as data: scalars that coerce as pydantic's lax mode does, and tables.

A :data:`Check` takes a value as TOML gives it and returns what is wrong with it, or None where it is accepted.
:mod:`scanner.tasks.config` lists the tables of task.toml in these terms.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias


class Wrong(NamedTuple):
    """Why a value is not accepted: ``message`` reads on from the key at ``path``."""

    message: str
    path: tuple[str, ...] = ()

    def below(self, key: str) -> Wrong:
        """The same, seen from the table that holds the value under ``key``."""
        return Wrong(self.message, (key, *self.path))


Check: TypeAlias = Callable[[Any], Wrong | None]

_INTEGER = re.compile(r"[+-]?[0-9]+(?:_[0-9]+)*(?:\.0+)?")
_REAL = re.compile(r"[+-]?(?:inf|infinity|nan|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)", re.IGNORECASE)
_MAX_INTEGER_CHARS = 4300
_TRUTHS = frozenset({"true", "t", "yes", "y", "on", "1", "false", "f", "no", "n", "off", "0"})
_RUST_SPACE = (
    " \t\n\x0b\x0c\r\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005"
    "\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
"""What Rust's ``str::trim`` takes off, which pydantic reads numbers with; Python's ``strip`` takes 0x1C to 0x1F too."""


def text(value: Any) -> Wrong | None:
    """A string, and nothing that could be turned into one."""
    return None if type(value) is str else Wrong("must be a string")


def non_empty_text(value: Any) -> Wrong | None:
    """A string of at least one character."""
    return text(value) or (None if value else Wrong("must not be empty"))


def integer(value: Any) -> Wrong | None:
    """A whole number: an integer, a boolean, a float without fraction within 64 bits, or a string of one."""
    if type(value) is int or type(value) is bool:
        return None
    if type(value) is float and value.is_integer() and -(2**63) < value < 2**63:
        return None
    if type(value) is str and _is_integer(value):
        return None
    return Wrong("must be a whole number")


def _is_integer(value: str) -> bool:
    trimmed = value.strip(_RUST_SPACE)
    return len(trimmed) <= _MAX_INTEGER_CHARS and _INTEGER.fullmatch(trimmed) is not None


def number(value: Any) -> Wrong | None:
    """A number: an integer that a double can hold, a boolean, a float (infinite or NaN too), or a string of one."""
    if type(value) is float or type(value) is bool:
        return None
    if type(value) is int:
        try:
            float(value)
        except OverflowError:
            return Wrong("must be a number that a double can hold")
        return None
    if type(value) is str and _real(value) is not None:
        return None
    return Wrong("must be a number")


def _real(value: str) -> float | None:
    """The number that pydantic reads in a string, None where it reads none. Underscores may stand inside, singly."""
    trimmed = value.strip(_RUST_SPACE)
    if trimmed.startswith("_") or trimmed.endswith("_") or "__" in trimmed:
        return None
    plain = trimmed.replace("_", "")
    return float(plain) if _REAL.fullmatch(plain) else None


def finite(value: Any) -> Wrong | None:
    """An integer of any size or a finite number (``cpus``)."""
    real = value
    if type(value) is str:
        real = 0 if _is_integer(value) else _real(value)
    if type(real) is int or type(real) is bool:
        return None
    if type(real) is not float:
        return Wrong("must be a number")
    return None if math.isfinite(real) else Wrong("must be finite")


def truth(value: Any) -> Wrong | None:
    """A boolean, 0 or 1 as a number, or one of the words that pydantic reads as one."""
    if type(value) is bool or (type(value) in {int, float} and value in {0, 1}):
        return None
    if type(value) is str and value.lower() in _TRUTHS:
        return None
    return Wrong("must be true or false")


def text_or_integer(value: Any) -> Wrong | None:
    """The name or the number of a user."""
    return None if type(value) is str or integer(value) is None else Wrong("must be a string or a whole number")


def any_table(value: Any) -> Wrong | None:
    """A table, whatever it holds."""
    return None if type(value) is dict else Wrong("must be a table")


_ALWAYS: dict[Check, frozenset[type]] = {
    text: frozenset({str}),
    integer: frozenset({int, bool}),
    number: frozenset({float, bool}),
    finite: frozenset({int, bool}),
    truth: frozenset({bool}),
    text_or_integer: frozenset({str, int, bool}),
    any_table: frozenset({dict}),
}
"""Types of which a check accepts every value: most fields hold one, and need no call."""


def table_of(fields: Mapping[str, Check], required: tuple[str, ...] = (), rules: tuple[Check, ...] = ()) -> Check:
    """A table with known keys; unknown ones are ignored, as Harbor does. Rules see a table whose fields are right.

    The check gives the first thing wrong: with the fields as they stand, with what is missing, with the rules.
    """
    entries = {key: (field, _ALWAYS.get(field, frozenset())) for key, field in fields.items()}

    def check(value: Any) -> Wrong | None:
        if type(value) is not dict:
            return Wrong("must be a table")
        for key, inner in value.items():
            entry = entries.get(key)
            if entry is not None and type(inner) not in entry[1] and (wrong := entry[0](inner)) is not None:
                return wrong.below(key)
        for key in required:
            if key not in value:
                return Wrong(f"has no {key}")
        for rule in rules:
            if (wrong := rule(value)) is not None:
                return wrong
        return None

    return check


def one_of(*choices: str, fold: bool = False) -> Check:
    """One of ``choices``; with ``fold`` in any case."""
    accepted = frozenset(choices)
    wrong = Wrong("must be " + " or ".join(f'"{choice}"' for choice in choices))

    def check(value: Any) -> Wrong | None:
        return None if type(value) is str and (value.lower() if fold else value) in accepted else wrong

    return check


def array_of(item: Check) -> Check:
    """An array whose items all pass ``item``."""

    def check(value: Any) -> Wrong | None:
        if type(value) is not list:
            return Wrong("must be an array")
        for index, inner in enumerate(value):
            if (wrong := item(inner)) is not None:
                return wrong.below(str(index))
        return None

    return check


def mapping_of(item: Check) -> Check:
    """A table of any keys whose values all pass ``item``."""

    def check(value: Any) -> Wrong | None:
        if type(value) is not dict:
            return Wrong("must be a table")
        for key, inner in value.items():
            if (wrong := item(inner)) is not None:
                return wrong.below(key)
        return None

    return check


def either(first: Check, second: Check) -> Check:
    """What one of two checks accepts; the second one's complaint where neither does."""

    def check(value: Any) -> Wrong | None:
        return None if first(value) is None else second(value)

    return check


def matching(pattern: str, expected: str) -> Check:
    """A string that ``pattern`` matches as a whole."""
    compiled = re.compile(pattern)
    wrong = Wrong(expected)

    def check(value: Any) -> Wrong | None:
        return text(value) or (None if compiled.fullmatch(value) else wrong)

    return check
