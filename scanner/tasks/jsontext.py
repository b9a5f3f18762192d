"""JSON as ``json.loads`` takes it, without building values: is it one, and which keys does its object have.

``msgspec`` skips over values at ten times the speed of ``json.loads``, and says yes to less and to more. Its yes is
confirmed here for the three things it does not look at (UTF-8 inside values, very long integers, depth); its no is
asked again of ``json.loads``, which takes NaN and unpaired surrogates. So the answers are those of ``json.loads``.
"""

from __future__ import annotations

import json
from itertools import accumulate
from typing import Any, TypeAlias

import msgspec

Raws: TypeAlias = dict[str, msgspec.Raw]

MAX_DEPTH = 900
"""Deeper nesting does not parse. ``json.loads`` gives up near 1,000, sooner the deeper its caller stands."""

_MAX_DIGITS = 4300
"""Longest integer that Python converts (``sys.int_info.default_max_str_digits``); ``json.loads`` fails beyond."""

_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SPACE = frozenset({b" ", b"\t", b"\n", b"\r"})
_OBJECT = msgspec.json.Decoder(Raws)
_VALUE = msgspec.json.Decoder(msgspec.Raw)
_NO_KEYS: dict[str, Any] = {}


class Json(msgspec.Struct, gc=False):
    """A text that parses. ``members`` are the members of its object (a key once, the last value), else empty.

    Values are :class:`msgspec.Raw` or, where msgspec would not read the text, what ``json.loads`` made of them.
    """

    is_object: bool
    members: dict[str, Any]


def parse(data: bytes) -> Json | None:
    """``data`` read as UTF-8 JSON; None where it is not UTF-8 or ``json.loads`` fails. Never raises."""
    size = len(data)  # most texts are too short to nest deeply or to hold a long integer
    if (not data.isascii() and not is_utf8(data)) or (size > MAX_DEPTH and not _is_shallow(data)):
        return None
    if size <= _MAX_DIGITS or not _has_long_integer(data):
        try:
            if not opens_object(data):
                _VALUE.decode(data)
                return Json(is_object=False, members=_NO_KEYS)
            return Json(is_object=True, members=_OBJECT.decode(data))
        except (msgspec.DecodeError, RecursionError):
            pass
    try:
        value = json.loads(str(data, "utf-8"))
    except (ValueError, RecursionError):
        return None
    return Json(is_object=True, members=value) if type(value) is dict else Json(is_object=False, members=_NO_KEYS)


def is_utf8(data: bytes) -> bool:
    """Whether ``data`` decodes."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def opens_object(data: bytes) -> bool:
    """Whether the first thing in ``data`` after JSON's white space is ``{``: without it, it is no object."""
    return data.startswith(b"{") or (data[:1] in _SPACE and data.lstrip(b" \t\n\r").startswith(b"{"))


def value_of(member: Any) -> Any:
    """The value of one of :attr:`Json.members`, built."""
    return built(str(member, "utf-8")) if type(member) is msgspec.Raw else member


def built(text: str) -> Any:
    """The value of a JSON text; None where it does not parse."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_shallow(data: bytes) -> bool:
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return True
    outside_strings = data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    steps = b"".join(outside_strings).translate(_STEPS, _NO_BRACKETS)
    return max(accumulate(memoryview(steps).cast("b")), default=0) <= MAX_DEPTH


def _has_long_integer(data: bytes) -> bool:
    """Whether there is a run of digits longer than Python converts: any such run covers one of these samples."""
    for at in range(_MAX_DIGITS, len(data), _MAX_DIGITS):
        if data[at : at + 1].isdigit():
            start = at - len(data[at - _MAX_DIGITS : at]) + len(data[at - _MAX_DIGITS : at].rstrip(b"0123456789"))
            end = at + _MAX_DIGITS + 1
            tail = data[at:end]
            if at - start + len(tail) - len(tail.lstrip(b"0123456789")) > _MAX_DIGITS:
                return True
    return False
