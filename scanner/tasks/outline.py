r"""A task.toml by its outline: everything that decides its verdict, without what its strings and numbers happen to say.

Nearly every task.toml is different, and nearly all of one source differ in descriptions, names, tags and timeouts
alone. Two documents of one outline parse alike, and Harbor judges them alike, so a verdict is found by it.

The outline is the skeleton (the text with the content of each string left out and each number replaced), and with it
what rules look at in strings. It exists only for a text that passes these conditions, and then it is exact:

* Quotes come in pairs. No string holds a control character (a newline, too) or a backslash, and none is multi-line. By
  TOML 1.0 ("String") such a basic string ends at the next ``"``, whatever stands in it, so the parser is in the same
  state behind it whatever it says. That each ``"`` does open or close one (and stands in no comment, key or literal
  string) is not assumed: the skeleton is parsed once with a marker in each string, and each must come back as a value.
* A number right behind ``= `` is replaced, unless it is 0 or 1. Another one in its place has the same type, is whole
  or not like it (its fraction stays, of at most three digits), and is not 0 or 1 either: :mod:`scanner.tasks.config`
  asks no more of a number. The one exception, ``memory`` that contradicts ``memory_mb``, has no outline. That the
  number ends where it seems to is seen from what follows it, and that it stands in no literal string from the rest of
  its line, which holds no ``'``. In a comment it changes nothing.
* The strings left out are those in fields where Harbor takes any string and where nothing of ours looks at it.
  Keys are never left out, so keys that come twice are found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from scanner.tasks import tasktoml

Alike: TypeAlias = Callable[[bytes], object]
"""Whether a string is one of those that rules find alike."""

Slots: TypeAlias = tuple[tuple[int, Alike], ...]
"""Which pieces of a text (cut at each quote) enter its outline: whole, unless they are alike."""

_PLAIN = bytes([32 if code in b"\x7f\\" or (code < 32 and code != 9) else code for code in range(256)])
"""Leaves a text as it is that holds no control (but tab) and no backslash."""

_NUMBER = re.compile(rb"= (?:[2-9][0-9]{0,8}|1[0-9]{1,8})")
"""With nine digits and three decimals at most, which a double tells from the next whole number."""

_REPLACED = b"= 2"
_REPLACED_WRONGLY = re.compile(_REPLACED + rb"(?!(?:\.[0-9]{1,3})?[ \t]*(?:\n|\Z|[,}#][^'\n]*(?:\n|\Z)))")
_SAME_SIZES = (("memory", "memory_mb"), ("storage", "storage_mb"))

_MAX_DEPTH = 32
"""Texts whose tables and arrays nest deeper have no outline: they are filled by recursion."""

_MARK = "\ue000"
"""A character for private use: no text that holds it outside of strings has an outline."""


_SIZES = frozenset(
    [b"%d%c" % (n, unit) for n in (*range(1, 129), 256, 512, 1024, 2048, 4096) for unit in b"GgMm"]
).__contains__
_ORG_NAME = re.compile(
    rb"[a-zA-Z0-9][a-zA-Z0-9_-]*+(?:\.[a-zA-Z0-9_-]++)*+/[a-zA-Z0-9][a-zA-Z0-9_-]*+(?:\.[a-zA-Z0-9_-]++)*+"
).fullmatch
"""Most names that Harbor accepts."""

_NONE = frozenset[bytes]().__contains__

_ITEM = "[]"
_FREE = frozenset(
    {
        ("schema_version",),
        ("version",),
        ("source",),
        ("task", "description"),
        ("task", "keywords", _ITEM),
        ("task", "authors", _ITEM, "name"),
        ("task", "authors", _ITEM, "email"),
    }
)
_FREE_TABLES = frozenset({("metadata",), ("environment", "env"), ("verifier", "env"), ("solution", "env")})
"""Tables in which each string may say anything, however deep."""

_LOOKED_AT: dict[tuple[str, ...], Alike] = {
    ("task", "name"): _ORG_NAME,
    ("environment", "docker_image"): bool,
    ("environment", "memory"): _SIZES,
    ("environment", "storage"): _SIZES,
    ("verifier", "environment", "docker_image"): bool,
    ("verifier", "environment", "memory"): _SIZES,
    ("verifier", "environment", "storage"): _SIZES,
}
"""Where rules find many strings alike: which ones. Other strings enter whole."""


def skeleton_of(pieces: Sequence[bytes]) -> bytes | None:
    """The skeleton of a text in UTF-8, which is given cut at each ``"``; None where it has none. Once a task."""
    strings = b"".join(pieces[1::2])
    if len(pieces) % 2 == 0 or strings.translate(_PLAIN) != strings:
        return None
    return _NUMBER.sub(_REPLACED, b'"'.join(pieces[::2]))


class Outline:
    """What the texts with one skeleton have in common."""

    __slots__ = ("_document", "_slots")

    def __init__(self, document: dict[str, Any], slots: Slots) -> None:
        self._document = document
        self._slots = slots

    def key(self, pieces: Sequence[bytes]) -> tuple[object, ...]:
        """What of the strings of a text (cut at each ``"``) decides its verdict. Once a task."""
        return tuple([None if alike(pieces[index]) else pieces[index] for index, alike in self._slots])

    def document(self, pieces: Sequence[bytes]) -> dict[str, Any]:
        """The text as parsed, but with 2 for each number that the skeleton has a 2 for. Nothing is parsed again."""
        filled: dict[str, Any] = _filled(self._document, pieces)
        return filled


def _filled(value: Any, pieces: Sequence[bytes]) -> Any:
    if type(value) is dict:
        return {key: _filled(inner, pieces) for key, inner in value.items()}
    if type(value) is list:
        return [_filled(inner, pieces) for inner in value]
    return pieces[_index(value)].decode() if type(value) is str and value.startswith(_MARK) else value


def _index(marked: str) -> int:
    """Index of the piece that a string with a marker stands for."""
    return 2 * int(marked[len(_MARK) :]) + 1


def outline_of(skeleton: bytes) -> Outline | None:
    """The outline of texts with this skeleton; None where none would be exact."""
    text = skeleton.decode()
    if _MARK in text or "'''" in text or _REPLACED_WRONGLY.search(skeleton):
        return None
    first, *pieces = text.split('"')
    document = tasktoml.parse(first + "".join([f'"{_MARK}{at}"{piece}' for at, piece in enumerate(pieces)])).value
    if document is None:
        return None
    found: dict[int, Alike | None] = {}
    todo: list[tuple[tuple[str, ...], Any]] = [((), document)]
    while todo:
        path, value = todo.pop()
        if len(path) > _MAX_DEPTH:
            return None
        if type(value) is dict:
            if any(old in value and new in value for old, new in _SAME_SIZES):
                return None
            todo += [((*path, key), inner) for key, inner in value.items()]
        elif type(value) is list:
            todo += [((*path, _ITEM), inner) for inner in value]
        elif type(value) is str and value.startswith(_MARK):
            found[_index(value)] = _looked_at(path)
    if len(found) != len(pieces):
        return None
    slots = [(index, alike) for index in sorted(found) if (alike := found[index]) is not None]
    return Outline(document, tuple(slots))


def _looked_at(path: tuple[str, ...]) -> Alike | None:
    """Which strings at ``path`` are alike; None where all of them are."""
    if path in _FREE or path[:1] in _FREE_TABLES or path[:2] in _FREE_TABLES:
        return None
    return _LOOKED_AT.get(path, _NONE)
