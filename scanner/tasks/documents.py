"""JSON and YAML: keys, signals, the notebook's rule, and what the keys say of the verifier. In a task, or as a blob."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import msgspec

from scanner.model import Buffer, Fault, Meaning, VerifierKind, printable
from scanner.tasks import instruction, jsontext, verifier
from scanner.tasks.memo import ContentMemo
from scanner.tasks.shape import MAX_SIGNALS, Shape, signal

_BACKSLASH = 92
"""Without it, the keys of JSON in UTF-8 are valid Unicode."""


class _Document(msgspec.Struct, frozen=True, gc=False):
    """What a JSON or YAML file says. One for each that is new: a Struct is cheaper than a NamedTuple."""

    parses: bool
    """As JSON."""
    keys: tuple[str, ...] = ()
    """Of its JSON object."""
    tells: bool = False
    """Whether it says anything of a verifier: what follows."""
    telling_keys: tuple[str, ...] = ()
    told: bool = False
    """Whether it satisfies the notebook's rule."""
    kind: VerifierKind = "none"
    words: tuple[str, ...] = ()
    """The notebook's words in its text."""


def read(
    names: Sequence[str],
    contents: Sequence[Buffer | None],
    digests: Sequence[bytes | None],
    seen: Shape,
    meaning: Meaning,
) -> None:
    """Add to ``meaning`` what the JSON and YAML files of a task say. Runs once a row that has any."""
    keys: list[str] = []
    signals: list[str] = []
    for index in seen.jsons:
        content = contents[index]
        if content is None:
            continue
        document = _json(content, digests[index])
        if not document.parses:
            meaning.faults = (*meaning.faults, Fault("invalid-json", printable(names[index])))
        keys += document.keys
        if document.tells:
            _tell(names[index], document, signals, meaning)
    for index in seen.yamls:
        content = contents[index]
        if content is not None and (document := _yaml(content, digests[index])).tells:
            _tell(names[index], document, signals, meaning)
    meaning.json_keys = keys
    if signals:
        meaning.verifier_signals = tuple(dict.fromkeys((*meaning.verifier_signals, *signals)))[:MAX_SIGNALS]


def told_by(contents: Iterable[tuple[Buffer, bytes]]) -> tuple[Sequence[str], Hashable]:
    """What the JSON files of a task say, given with their digests: their keys, and all else that they are a cause for.

    Tasks with the same files whose JSON is a cause for the same differ in nothing that :func:`read` adds but the keys.
    """
    keys: list[str] = []
    causes: list[tuple[object, ...]] = []
    for number, (content, digest) in enumerate(contents):
        document = _json(content, digest)
        keys += document.keys
        if document.tells or not document.parses:
            said = document.parses, document.telling_keys, document.told, document.kind, document.words
            causes.append((number, *said))
    return keys, tuple(causes)


def _tell(name: str, document: _Document, signals: list[str], meaning: Meaning) -> None:
    if document.told:
        meaning.heuristic_verifier = True
    if document.kind != "none":
        meaning.verifier_kind = verifier.stronger(document.kind, meaning.verifier_kind)
    signals += [signal("json-key", f"{key}@{name}") for key in document.telling_keys]
    signals += [signal("text", f"{word}@{name}") for word in document.words]


def _read_json(raw: bytes) -> _Document:
    parsed = jsontext.parse(raw)
    words = verifier.telling_texts(raw)
    if parsed is None:
        return _telling(raw, {}, words, parses=False)
    members = parsed.members
    keys = tuple(members) if _BACKSLASH not in raw else tuple(map(printable, members))
    if not words and verifier.says_nothing(members):  # nearly all
        return _Document(True, keys)
    told = _telling(raw, members, words, parses=True)
    return msgspec.structs.replace(told, keys=keys, tells=True, kind=verifier.kind_of_json(members))


def _read_yaml(raw: bytes) -> _Document:
    """YAML is not parsed. Where it is JSON at the same time, its keys count."""
    words = verifier.telling_texts(raw)
    parsed = jsontext.parse(raw) if jsontext.opens_object(raw) else None
    return _telling(raw, {} if parsed is None else parsed.members, words, parses=parsed is not None)


def _telling(raw: bytes, members: dict[str, Any], words: tuple[str, ...], *, parses: bool) -> _Document:
    """What keys and words say of a verifier. Words count in UTF-8 alone."""
    if words and not jsontext.is_utf8(raw):
        words = ()
    keys = verifier.telling_keys(members)
    told = bool(words) or verifier.told_by_keys(members)
    return _Document(parses, tells=bool(words or keys or told), telling_keys=keys, told=told, words=words)


def interpret_json(data: Buffer, *, lines: bool) -> Meaning:
    """See :func:`scanner.tasks.interpret_json`."""
    raw = bytes(data)
    meaning = Meaning(layout="json", harbor_reason="no task.toml")
    keys: list[str] = []
    first = True
    for line in raw.split(b"\n") if lines else (raw,):
        parsed = jsontext.parse(line) if not lines or line.strip() else None
        if parsed is None or not parsed.is_object:
            continue
        keys += map(printable, parsed.members)
        if first:
            first = False
            _read_object(meaning, parsed.members)
    meaning.json_keys = keys
    return meaning


def _read_object(meaning: Meaning, members: dict[str, Any]) -> None:
    meaning.heuristic_verifier = verifier.told_by_keys(members)
    meaning.verifier_kind = verifier.kind_of_json(members)
    telling = verifier.telling_keys(members)
    meaning.verifier_signals = tuple([signal("json-key", f"{key}@") for key in telling])[:MAX_SIGNALS]
    text = instruction.in_json(members)
    if text is not None:
        instruction.of_text(meaning, None, text)


_json = ContentMemo(_read_json, 1024, seldom=True)
_yaml = ContentMemo(_read_yaml, 1024, seldom=True)
MEMOS: dict[str, ContentMemo[Any]] = {"json": _json, "yaml": _yaml}
