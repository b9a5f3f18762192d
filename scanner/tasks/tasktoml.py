"""task.toml, parsed exactly as ``tomllib`` does, at a fraction of its cost.

Runs for a file whose outline (:mod:`scanner.tasks.outline`) is new. What makes a shortcut exact is a property of TOML:
a document is a sequence of expressions, each ended by a newline, and the parser carries no state from one to the next
but the tables built so far. So where a text is cut at newlines and *every* piece parses alone, no construct crosses a
cut, and the pieces hold the expressions of the whole. A text is cut before each line that begins with ``[``, and each
piece is looked up, or parsed line by line by the same property. Joining replays the rules on tables that are defined
twice. Whatever does not fit (dotted or quoted keys, a piece that does not parse alone, a conflict) goes to
``tomllib``, which also words every error. The compiled ``tomli`` is no substitute for it: it reads TOML 1.1, and
Harbor, on the standard library, does not.
"""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

Table: TypeAlias = dict[str, Any]

MAX_CHARS = 1 << 20
"""Longer texts are not parsed: ``tomllib`` takes seconds for each MiB, and a real task.toml has a few kB."""

MAX_DOTS = 64
"""Longer dotted keys are not parsed: ``tomllib`` needs time that grows with the square of their length."""

_MEMO_CHARS = 2048
_PLAIN = r"[^\"\\\x00-\x08\n\x0b-\x1f\x7f]*"
_COMMENT = r"[ \t]*(?:#[^\x00-\x08\n\x0b-\x1f\x7f]*)?"
_CUT = re.compile(r"\n(?=[ \t]*\[)")
_HEADER = re.compile(
    r"[ \t]*\[(\[?)[ \t]*([A-Za-z0-9_-]+(?:[ \t]*\.[ \t]*[A-Za-z0-9_-]+)*)[ \t]*\](\]?)" + _COMMENT + r"(?:\n|\Z)"
)
_LINE = re.compile(
    r"^[ \t]*(?:([A-Za-z0-9_-]+)[ \t]*=[ \t]*(?:"  # a bare key and one of:
    rf'"({_PLAIN}(?:\\["\\bfnrt]{_PLAIN})*)"'  # a string
    r"|([+-]?(?:0|[1-9][0-9]{0,17}))"  # an integer of up to 18 digits
    r"|([+-]?(?:0|[1-9][0-9]{0,17})\.[0-9]{1,17})"  # a float
    r"|(true|false)"
    # an array of strings without escapes
    rf'|(\[[ \t]*(?:"{_PLAIN}"(?:[ \t]*,[ \t]*"{_PLAIN}")*[ \t]*,?[ \t]*)?\])'
    rf"))?{_COMMENT}$",
    re.MULTILINE,
)
"""The lines that nearly all files are made of; blank lines and comments match with no key."""

_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {'"': '"', "\\": "\\", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ITEM = re.compile(r'"([^"]*)"')
_KEY = re.compile(r"[ \t]*([A-Za-z0-9_-]+)[ \t]*=[ \t]*")
_KEY_PART = r"(?:[^\s.=#\"'\[\]{},]+|\"[^\"\n]*\"|'[^'\n]*')[ \t]*\.[ \t]*"
_LONG_KEY = re.compile(rf"(?m)^[ \t\[]*(?:{_KEY_PART}){{{MAX_DOTS}}}")


class Parsed(NamedTuple):
    """The value of a document, or why it has none."""

    value: Table | None
    """Borrowed and shared: never to be changed."""
    error: str = ""


class _Piece(NamedTuple):
    """One table of a document, alone: ``path`` is empty for the keys before the first header."""

    path: tuple[str, ...]
    in_array: bool
    values: Table


def parse(text: str) -> Parsed:
    r"""The document ``text`` (line ends already ``\\n``), or the parser's message. Never raises.

    Equal to ``tomllib.loads`` for every text, except that texts over :data:`MAX_CHARS` and dotted keys of more than
    :data:`MAX_DOTS` parts are refused.
    """
    if len(text) > MAX_CHARS:
        return Parsed(None, f"longer than {MAX_CHARS:,} characters, not read")
    value = _joined(text)
    if value is not None:
        return Parsed(value)
    if _LONG_KEY.search(text):
        return Parsed(None, f"a key of more than {MAX_DOTS} parts, not read")
    try:
        return Parsed(tomllib.loads(text))
    except RecursionError:
        return Parsed(None, "nested too deeply")
    except ValueError as error:
        return Parsed(None, str(error))


def _joined(text: str) -> Table | None:
    """The document from its pieces; None where that is not at once what ``tomllib`` says (a rare order, a conflict)."""
    first, *rest = _CUT.split(text)
    piece = _piece_of(first)
    if piece is None:
        return None
    if piece.path:
        rest.insert(0, first)
        root: Table = {}
    else:
        root = piece.values
    document = root.copy()
    made: set[tuple[str, ...]] = set()  # paths below the root that headers made, in the array elements now open
    for source in rest:
        piece = _piece_of(source)
        if piece is None:
            return None
        path, in_array, values = piece
        if len(path) == 1 and not in_array:
            if path[0] in document:
                return None
            document[path[0]] = values.copy()
        elif not path or path[0] in root or not _nest(document, made, path, values.copy(), in_array=in_array):
            return None
    return document


def _piece_of(source: str) -> _Piece | None:
    return _piece(source) if len(source) <= _MEMO_CHARS else _read_piece(source)


def _nest(document: Table, made: set[tuple[str, ...]], path: tuple[str, ...], fresh: Table, *, in_array: bool) -> bool:
    """Put ``fresh`` into ``document`` as a ``[[table]]`` or nested ``[table]``; False where the parser should judge.

    A header may enter what a header made: top-level keys other than the root's own, and the paths in ``made``. It is
    left to the parser where two or more of the tables on its way are not there yet.
    """
    table = document
    for depth, key in enumerate(path[:-1], 1):
        inner = table.get(key)
        if inner is None and depth == 1:
            inner = table[key] = {}
        elif inner is None or (depth > 1 and path[:depth] not in made):
            return False
        table = inner[-1] if type(inner) is list else inner
    key = path[-1]
    if key not in table:
        table[key] = [fresh] if in_array else fresh
    elif in_array and type(table[key]) is list and (len(path) == 1 or path in made):
        table[key].append(fresh)
        made -= {other for other in made if other[: len(path)] == path}
    else:
        return False
    made.add(path)
    return True


def _read_piece(source: str) -> _Piece | None:
    """One header and the keys below it; None for anything that needs the whole parser."""
    path: tuple[str, ...] = ()
    in_array = False
    header = _HEADER.match(source)
    if header is not None:
        opening, dotted, closing = header.groups()
        if len(opening) != len(closing):
            return None
        path = tuple([part.strip(" \t") for part in dotted.split(".")])
        in_array = bool(opening)
        source = source[header.end() :]
    found = _LINE.findall(source)
    values = _values(found) if len(found) == source.count("\n") + 1 else _values_with_others(source.split("\n"))
    return None if values is None else _Piece(path, in_array, values)


def _values(found: list[tuple[str, str, str, str, str, str]]) -> Table | None:
    """Keys and values of lines as :data:`_LINE` reads them; None where a key comes twice."""
    values: Table = {}
    for key, text, integer, real, truth, array in found:
        if not key:
            continue
        if key in values:
            return None
        if integer:
            values[key] = int(integer)
        elif real:
            values[key] = float(real)
        elif truth:
            values[key] = truth == "true"
        elif array:
            values[key] = _ITEM.findall(array)
        elif "\\" in text:
            values[key] = _ESCAPE.sub(lambda match: _ESCAPED[match[1]], text)
        else:
            values[key] = text
    return values


def _values_with_others(lines: list[str]) -> Table | None:
    """As :func:`_values`, with statements among the lines that are parsed one by one."""
    values: Table = {}
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        one = _other_line(line)
        if one is None:
            start = _KEY.match(line)
            if start is None:
                return None
            end = _end_of_value(line[start.end() :], lines, at)
            statement = "\n".join(lines[at - 1 : end])
            at = end
            one = _statement_of(statement)
        if one is None or not values.keys().isdisjoint(one):
            return None
        values.update(one)
    return values


def _other_line(line: str) -> Table | None:
    """What a line holds that is a whole statement with a bare key, a comment or blank; None for any other."""
    found = _LINE.findall(line)
    if found:
        return _values(found)
    return _statement_of(line) if _KEY.match(line) else None


def _statement_of(text: str) -> Table | None:
    return _statement(text) if len(text) <= _MEMO_CHARS else _read_statement(text)


def _end_of_value(value: str, lines: list[str], at: int) -> int:
    """Index of the line after the value that begins as ``value``; a guess, that parsing then proves or refutes."""
    quotes = value[:3]
    if quotes in {'"""', "'''"}:
        if quotes in value[3:]:
            return at
        return next((i + 1 for i in range(at, len(lines)) if quotes in lines[i]), len(lines))
    if value.rstrip(" \t") == "[":
        return next((i + 1 for i in range(at, len(lines)) if lines[i].lstrip(" \t").startswith("]")), len(lines))
    return at


def _read_statement(statement: str) -> Table | None:
    """The one key of ``statement``, where it is one whole statement with a bare key."""
    try:
        one = tomllib.loads(statement)
    except (ValueError, RecursionError):
        return None
    return one if len(one) == 1 else None


_piece = lru_cache(4096)(_read_piece)
_statement = lru_cache(4096)(_read_statement)
MEMOS = {"toml-tables": _piece, "toml-statements": _statement}
