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
* The names of steps are left out where all are plain and distinct, since Harbor asks no more of them. They are in the
  verdict, as directories are called so, and are put into it (:meth:`scanner.tasks.taskconfig.TaskConfig.named`).
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Final, TypeAlias

import msgspec

from scanner import compiled
from scanner.tasks import tasktoml

MAX_BYTES: Final = 4096
"""Longer texts have no outline: what is remembered must stay bounded."""

Alike: TypeAlias = Callable[[bytes], object]
"""Whether a string is one of those that rules find alike."""

Slots: TypeAlias = tuple[tuple[int, Alike], ...]
"""Which strings of a text, by the quote that opens them, enter its outline: whole, unless they are alike."""

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
ORG_NAME: Final[Alike] = re.compile(
    rb"[a-zA-Z0-9][a-zA-Z0-9_-]*+(?:\.[a-zA-Z0-9_-]++)*+/[a-zA-Z0-9][a-zA-Z0-9_-]*+(?:\.[a-zA-Z0-9_-]++)*+"
).fullmatch
"""Most names that Harbor accepts."""

NOT_EMPTY: Final[Alike] = bool

_STEP_NAME = re.compile(rb"(?!(?:con|prn|aux|nul|com[1-9]|lpt[1-9])\Z)[a-z0-9][a-z0-9_-]{0,63}").fullmatch
"""Names of steps of which any will do in the place of another."""

_NONE = frozenset[bytes]().__contains__

_ITEM = "[]"
_STEPS = ("steps", _ITEM, "name")
_FREE = frozenset(
    {
        _STEPS,  # in a way of their own
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
    ("task", "name"): ORG_NAME,
    ("environment", "docker_image"): NOT_EMPTY,
    ("environment", "memory"): _SIZES,
    ("environment", "storage"): _SIZES,
    ("verifier", "environment", "docker_image"): NOT_EMPTY,
    ("verifier", "environment", "memory"): _SIZES,
    ("verifier", "environment", "storage"): _SIZES,
}
"""Where rules find many strings alike: which ones. Other strings enter whole."""


class Cut(msgspec.Struct, gc=False):
    """A text taken apart."""

    text: bytes
    quotes: Sequence[int]
    """Where each ``"`` stands: the first opens the first string, the second closes it."""
    skeleton: bytes


Cutter: TypeAlias = Callable[[bytes], Cut | None]
"""Cuts a text in UTF-8; None where it has no skeleton. Once a task."""


def cut_in_python(text: bytes) -> Cut | None:
    """The :data:`Cutter` that is the specification."""
    pieces = text.split(b'"')
    strings = b"".join(pieces[1::2])
    if len(pieces) % 2 == 0 or strings.translate(_PLAIN) != strings:
        return None
    quotes = [at - 1 for at in accumulate([len(piece) + 1 for piece in pieces[:-1]])]
    return Cut(text, quotes, _NUMBER.sub(_REPLACED, b'"'.join(pieces[::2])))


def compiled_cutter() -> Cutter | None:
    """The one of ``outline.c``; None where that was not compiled."""
    library = compiled.library()
    if library is None:
        return None
    cut = library.scanner_outline
    cut.restype = ctypes.c_int64
    cut.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    idle: list[_Places] = []  # as many as there ever were threads at a time

    def cut_compiled(text: bytes) -> Cut | None:
        if len(text) > MAX_BYTES:  # there is no place for its answer
            return cut_in_python(text)
        try:
            places = idle.pop()
        except IndexError:
            places = _Places()
        n_quotes = cut(text, len(text), *places.addresses)
        pieces = None
        if n_quotes >= 0:
            pieces = Cut(text, places.quotes[:n_quotes].tolist(), bytes(places.skeleton[: places.length.value]))
        idle.append(places)
        return pieces

    return cut_compiled


class _Places:
    """Where a call of ``outline.c`` puts its answer."""

    def __init__(self) -> None:
        quotes, self.skeleton, self.length = bytearray(4 * MAX_BYTES), bytearray(MAX_BYTES), ctypes.c_int64()
        self.quotes = memoryview(quotes).cast("i")
        self.addresses = compiled.address(quotes), compiled.address(self.skeleton), ctypes.addressof(self.length)


cut: Cutter = compiled_cutter() or cut_in_python


class Outline:
    """What the texts with one skeleton have in common."""

    __slots__ = ("_document", "_steps", "slots")

    def __init__(self, document: dict[str, Any], slots: Slots, steps: Sequence[int]) -> None:
        """``steps``: the quotes that open names of steps, in order."""
        self._document = document
        self.slots = slots
        self._steps = steps

    @property
    def has_steps(self) -> bool:
        """Whether a text has names of steps, which enter its verdict."""
        return bool(self._steps)

    def names(self, cut: Cut) -> Sequence[str]:
        """The names of the steps of a text, where others in their places would do as well. Once a task."""
        if not self._steps:
            return ()
        names = self._strings(cut)
        is_plain = all(map(_STEP_NAME, names)) and len(set(names)) == len(names)
        return [name.decode() for name in names] if is_plain else ()

    def key(self, cut: Cut, names: Sequence[str] = ()) -> tuple[object, ...]:
        """What of the strings of a text decides its verdict, but for these ``names``. Once a task."""
        text, quotes = cut.text, cut.quotes
        key = [None if alike(string := text[quotes[at] + 1 : quotes[at + 1]]) else string for at, alike in self.slots]
        if self._steps and not names:
            key += self._strings(cut)
        return tuple(key)

    def _strings(self, cut: Cut) -> list[bytes]:
        return [cut.text[cut.quotes[at] + 1 : cut.quotes[at + 1]] for at in self._steps]

    def document(self, cut: Cut) -> dict[str, Any]:
        """The text as parsed, but with 2 for each number that the skeleton has a 2 for. Nothing is parsed again."""
        filled: dict[str, Any] = _filled(self._document, cut)
        return filled


def _filled(value: Any, cut: Cut) -> Any:
    if type(value) is dict:
        return {key: _filled(inner, cut) for key, inner in value.items()}
    if type(value) is list:
        return [_filled(inner, cut) for inner in value]
    if type(value) is str and value.startswith(_MARK):
        at = _quote_of(value)
        return cut.text[cut.quotes[at] + 1 : cut.quotes[at + 1]].decode()
    return value


def _quote_of(marked: str) -> int:
    """Which quote opens the string that a marker stands for."""
    return 2 * int(marked[len(_MARK) :])


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
    steps: list[int] = []
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
            found[_quote_of(value)] = _looked_at(path)
            if path == _STEPS:
                steps.append(_quote_of(value))
    if len(found) != len(pieces):
        return None
    slots = [(at, alike) for at in sorted(found) if (alike := found[at]) is not None]
    return Outline(document, tuple(slots), sorted(steps))


def _looked_at(path: tuple[str, ...]) -> Alike | None:
    """Which strings at ``path`` are alike; None where all of them are."""
    if path in _FREE or path[:1] in _FREE_TABLES or path[:2] in _FREE_TABLES:
        return None
    return _LOOKED_AT.get(path, _NONE)
