"""What follows from the names of files: what is odd about them, what they promise, and what their content then shows.

Asked for each member of nearly every row, so what follows from one name is remembered, within bounds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias, TypeVar

from scanner.content import FINDINGS, promise_of
from scanner.content.promises import extension_of
from scanner.faults import FaultKind
from scanner.model import Fault, printable
from scanner.tasks import wants

Lie: TypeAlias = tuple[str, str, str]
"""Extension, content type and name of a file whose extension lies."""

K = TypeVar("K")
V = TypeVar("V")

MEMO_CHARS: Final = 128
"""Nothing is remembered of longer names."""

_MEMO_ENTRIES: Final = 32_768


class NameFacts(NamedTuple):
    """Everything that follows from a name alone."""

    notes: tuple[FaultKind, ...]
    wanted: bool
    """Whether the task rules read such a file."""
    promised: frozenset[str] | None
    """Content types that keep what its extension promises."""
    key: bytes
    """The name as it enters the content id: without a leading ``./``, and a NUL."""


FACTS: dict[str, NameFacts] = {}
"""By name; who asks for each member of each row looks here first."""

_NORMAL = re.compile(r"(?:(?!\.\.?/)[\w.+@ -]+/)*(?!\.\.?\Z)[\w.+@ -]+", re.ASCII).fullmatch
"""Of most names that nothing is to be noted of."""


def remember(memo: dict[K, V], key: K, value: V) -> V:
    """Keep an answer; a memo that is full starts over, which costs less than keeping an order."""
    if len(memo) >= _MEMO_ENTRIES:
        memo.clear()
    memo[key] = value
    return value


def facts_of(name: str) -> NameFacts:
    """What follows from a name: from memory where it was met lately and is not long."""
    facts = FACTS.get(name)
    if facts is not None:
        return facts
    plain = name.removeprefix("./")
    key = plain.encode("utf-8", "surrogateescape") + b"\0"
    facts = NameFacts(_name_notes(name), wants(name), promise_of(name), key)
    return remember(FACTS, name, facts) if len(name) <= MEMO_CHARS else facts


def _name_notes(name: str) -> tuple[FaultKind, ...]:
    plain = name.removeprefix("./").removesuffix("/")
    if _NORMAL(plain):
        return ()
    notes: list[FaultKind] = []
    if plain and plain != "." and not _is_normal(plain):
        notes.append("unsafe-name")
    if printable(name) is not name:
        notes.append("non-utf8-name")
    return tuple(notes)


def _is_normal(name: str) -> bool:
    """Relative, normalised, and without what another system reads as a path or a control."""
    if name.startswith(("/", "\\")) or "\\" in name or (len(name) > 1 and name[1] == ":"):
        return False
    if any(part in ("", ".", "..") for part in name.split("/")):
        return False
    return name.isprintable() or not any(ord(c) < 32 or ord(c) == 127 for c in name)


def is_telling(facts: NameFacts, type_: str) -> bool:
    """Whether :func:`findings_of` finds anything: mostly not. Once a file."""
    return type_ in FINDINGS or (facts.promised is not None and type_ not in facts.promised)


class Findings(NamedTuple):
    """What the name of a file and its content type are a cause for."""

    lies: tuple[Lie, ...] = ()
    faults: tuple[Fault, ...] = ()


def findings_of(name: str, facts: NameFacts, type_: str) -> Findings:
    """What a file of that name and this content type is a cause for."""
    lies: tuple[Lie, ...] = ()
    faults: list[Fault] = []
    if facts.promised is not None and type_ not in facts.promised:
        extension = extension_of(name)
        lies = ((extension, type_, name),)
        faults.append(Fault("lying-extension", name, detail=f"{extension} holds {type_}"))
    if type_ in FINDINGS:
        faults.append(Fault(FINDINGS[type_], name))
    return Findings(lies, tuple(faults))


def collisions_of(names: tuple[str, ...]) -> tuple[tuple[FaultKind, str], ...]:
    """Names that occur twice, and names that differ only in case, each with the fault that it is."""
    found: list[tuple[FaultKind, str]] = []
    if len(set(names)) != len(names):
        found += [("duplicate-name", name) for name in _repeated(names, str)]
    if len(set(map(str.lower, names))) != len(set(names)):
        found += [("case-collision", name) for name in _repeated(tuple(dict.fromkeys(names)), str.lower)]
    return tuple(found)


def _repeated(names: Sequence[str], key: Callable[[str], str]) -> list[str]:
    """Each name whose key an earlier one had, once, in order."""
    seen: set[str] = set()
    again: dict[str, None] = {}
    for name in names:
        if key(name) in seen:
            again[name] = None
        seen.add(key(name))
    return list(again)
