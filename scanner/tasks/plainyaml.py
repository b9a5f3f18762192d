"""The plain YAML that nearly every task.yaml is written in, read at a fraction of the parser's cost.

Where a text is in this subset of YAML 1.1, its keys and values are those that libyaml finds; any other text is the
parser's (:mod:`scanner.tasks.taskyaml`). A text is in it when each of its lines belongs to one of these, and all of
them end where a line begins further left:

* ``key:`` at the left edge, with a plain or quoted scalar on its line, a flow list of words, or nothing;
* ``key: |`` or ``key: |-``, and lines indented alike, or empty. No tab or empty line comes before the first character
  of the block, so its indentation is what it seems;
* ``key:`` and a list of plain scalars, one a line, all indented by 0, 2 or 4;
* ``key:`` and a list of mappings written as ``··- key:`` and ``····key:``, with values as above except lists;
* empty lines, and comments at the left edge.

Plain scalars begin with a letter, a digit or one of ``_/.(`` (which no indicator is) and hold no ``: ``, `` #`` or
tab. A text with a character that YAML does not allow, or takes for a line end, is not in the subset.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias


class Scalar(NamedTuple):
    """A value, and whether its looks decide its type: it is neither quoted nor a block."""

    text: str
    is_plain: bool


Field: TypeAlias = Scalar | list[dict[str, Scalar]] | None
"""Of a key: a scalar; the mappings of a list; None for a value of any other sort."""

_ALLOWED = bytes([32 if code == 127 or (code < 32 and code not in b"\t\n") else code for code in range(256)])
"""Leaves a text as it is that holds no control but tab and newline."""

_ASCII = bytes(range(128))
_NOT_ALLOWED = re.compile("[^\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""Among characters beyond ASCII."""

KEYS = ("instruction", "prompts", "descriptions")
"""The fields that are read; of others only the form is looked at."""

_MAX_INDENT = 16
_ITEM_INDENT = 4
_KEY = "(?P<key>[A-Za-z_][A-Za-z0-9_-]{0,63}+):"
_PLAIN = r"[A-Za-z0-9_/.(][^\n\t:#]*+(?:(?::(?=[^ \n\t])|(?<=[^ ])\#)[^\n\t:#]*+)*+"
_QUOTED = r"\"[^\"\\\n\t]*+\"|'[^'\n\t]*+'"
_WORD = rf"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*+|{_QUOTED})"
_IN_LINE = rf"""
    [ ]++(?:(?P<plain>{_PLAIN}) | (?P<quoted>{_QUOTED})[ ]*+ | \[(?:{_WORD}(?:,[ ]{_WORD})*+)?\][ ]*+)\n
"""
_BLOCK = rf"[ ]\|(?P<chomp>-?)\n(?P<indent>[ ]{{1,{_MAX_INDENT}}}+)(?=[^ \t\n])"
"""The beginning of one, up to its first character."""

_PLAIN_LIST = "[ ]*+\\n(?:" + "|".join(rf"(?:{at}-[ ]{_PLAIN}\n)++" for at in ("", "[ ][ ]", "[ ]{4}")) + ")"
_MAPPINGS = r"[ ]*+\n(?P<mappings>(?=[ ]{2}-[ ]))"
_NOTHING = r"[ ]*+\n(?![ ]*-)"
_EMPTY = r"(?:\#[^\n]*+)?\n"
_ENTRY = re.compile(
    rf"{_KEY}(?:{_IN_LINE}|{_BLOCK}|(?P<list>{_PLAIN_LIST})|{_MAPPINGS}|{_NOTHING}) | {_EMPTY}", re.VERBOSE
)
_ITEM_ENTRY = re.compile(rf"[ ]{{2}}(?P<dash>[- ])[ ]{_KEY}(?:{_IN_LINE}|{_BLOCK}) | \n++", re.VERBOSE)
_OTHER = rf"(?!(?:{'|'.join(KEYS)}):)(?:{_KEY}(?:{_IN_LINE}|{_PLAIN_LIST}|{_NOTHING}) | {_EMPTY})"
_OTHERS = re.compile(rf"(?:{re.sub('[?]P<[a-z]+>', '?:', _OTHER)})*+", re.VERBOSE)
"""Any number of other fields without blocks and mappings, in one step. Without groups: in possessive repeats, ``re`` of
Python 3.11 fails over them."""

_BLANK_LINE = re.compile(r"\n[ ]+\n")
"""With spaces, which may belong to a block or not."""

_HAS_KEY = re.compile("^[A-Za-z_]", re.MULTILINE)
_END_OF_BLOCK = [re.compile(rf"\n[ ]{{0,{max(indent - 1, 0)}}}+(?=[^ \n])") for indent in range(_MAX_INDENT + 1)]
"""By indentation: the line end before the first line that is indented by less and not blank, and its indentation."""


def read(data: bytes) -> dict[str, Field] | None:
    """Those of :data:`KEYS` that a document has, the last of each; None where it is not in the subset.

    Runs once a task.yaml.
    """
    if not data or data.translate(_ALLOWED) != data:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    if not text.isascii() and _NOT_ALLOWED.search(data.translate(None, _ASCII).decode()):
        return None
    if " \n" in text and _BLANK_LINE.search(text):
        return None
    if not text.endswith("\n"):
        if text[text.rfind("\n") + 1] == " ":  # it may belong to a block, which a last line end would change
            return None
        text += "\n"
    fields: dict[str, Field] = {}
    at = 0
    while at < len(text):
        entry = _ENTRY.match(text, at)
        if entry is None:
            return None
        key, listed, mappings = entry.group("key", "list", "mappings")
        at = _end_of_value(entry, text)
        if mappings is not None:
            start, at = at, _end_of_block(text, at, 1)
            items = _mappings(text[start:at])
            if items is None:
                return None
            fields[key] = items
        elif key in KEYS:
            fields[key] = [] if listed is not None else _scalar(entry, text[entry.end() : at])
        others = _OTHERS.match(text, at)
        at = at if others is None else others.end()
    return fields if _HAS_KEY.search(text) else None


def _end_of_value(entry: re.Match[str], text: str) -> int:
    indent = entry["indent"]
    return entry.end() if indent is None else _end_of_block(text, entry.end(), len(indent))


def _end_of_block(text: str, start: int, indent: int) -> int:
    found = _END_OF_BLOCK[indent].search(text, start)
    return len(text) if found is None else found.start() + 1


def _scalar(entry: re.Match[str], block: str) -> Scalar | None:
    """The value of an entry. ``block`` is what follows the first indentation, where there is one."""
    plain, quoted, indent = entry.group("plain", "quoted", "indent")
    if plain is not None:
        return Scalar(plain.rstrip(" "), is_plain=True)
    if quoted is not None:
        return Scalar(quoted[1:-1], is_plain=False)
    if indent is None:
        return None
    text = block.replace("\n" + indent, "\n").rstrip("\n")
    return Scalar(text if entry["chomp"] else text + "\n", is_plain=False)


def _mappings(text: str) -> list[dict[str, Scalar]] | None:
    """The items of a list of mappings; None where it is not in the subset."""
    found: list[dict[str, Scalar]] = []
    at = 0
    while at < len(text):
        entry = _ITEM_ENTRY.match(text, at)
        if entry is None or len(entry["indent"] or "") in range(1, _ITEM_INDENT + 1):
            return None
        at = _end_of_value(entry, text)
        key, dash = entry.group("key", "dash")
        if dash == "-":
            found.append({})
        if key is not None:
            value = _scalar(entry, text[entry.end() : at])
            found[-1].pop(key, None)
            if value is not None:
                found[-1][key] = value
    return found
