"""What of a task is worth showing to a person, as a value: :mod:`text` and :mod:`html` draw it, ``--json`` prints it.

The choice is the notebook's: the first bytes, the files, the first three metadata files (1,500 characters of each), two
Python files (600), to which the instruction and the verifier's entry are added. What was left out is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import msgspec

from scanner.errors import ScannerError
from scanner.formats.registry import FORMATS
from scanner.model import CodecName, FormatName, Member, MemberKind, Record, printable
from scanner.task import Task
from scanner.tasks.shape import ENTRIES

METADATA_ENDS: Final = (".json", ".yaml", ".yml", ".toml")
METADATA_FILES, METADATA_CHARS = 3, 1_500
CODE_FILES, CODE_CHARS = 2, 600
VERIFIER_CHARS: Final = 2_000
INSTRUCTION_CHARS: Final = 3_000
HEAD_BYTES: Final = 16
DUMP_BYTES: Final = 256
"""Bytes of a binary that are shown."""

_PARSED_BYTES: Final = 1 << 20
"""A larger JSON file is shown as it is."""

_LANGUAGES: Final = {
    ".json": "json",
    ".jsonl": "json",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".toml": "toml",
    ".py": "python",
    ".sh": "bash",
    ".bat": "batch",
    ".md": "markdown",
}


class Head(msgspec.Struct, frozen=True):
    """The first bytes of something and what they mean."""

    hex: str
    meaning: str


class Listed(msgspec.Struct, frozen=True):
    """One member as it is listed."""

    name: str
    kind: MemberKind
    size_bytes: int
    mode: str
    """Octal."""
    content_type: str | None
    """By its first bytes; None for what is no file or cannot be read."""
    link: str = ""


class Excerpt(msgspec.Struct, frozen=True):
    """The beginning of one text."""

    title: str
    role: str
    """``metadata``, ``instruction``, ``code``, ``verifier`` or ``content``."""
    language: str
    text: str
    left_out_chars: int = 0
    """Characters that follow and are not shown."""


class Preview(msgspec.Struct, frozen=True):
    """Everything that is shown of one task."""

    record: Record
    blob_head: Head
    raw_head: Head | None
    """The first bytes inside the codec, where there is one."""
    members: list[Listed]
    excerpts: list[Excerpt]


def preview(task: Task) -> Preview:
    """Choose what to show of ``task``. Never raises for what is in the data."""
    record = task.record
    blob = bytes((task.blob.data or b"")[:HEAD_BYTES])
    raw = task.contents.head(512) if record.codec not in (None, "none") else blob
    inside = Head(raw[:HEAD_BYTES].hex(" "), _container_meaning(raw, record.format))
    has_codec = record.codec not in (None, "none")
    return Preview(
        record=record,
        blob_head=Head(blob.hex(" "), _codec_meaning(blob, record.codec)) if has_codec else inside,
        raw_head=inside if has_codec else None,
        members=_listed(task),
        excerpts=list(_excerpts(task)),
    )


# -- first bytes ------------------------------------------------------------------------------------------------------


def _codec_meaning(head: bytes, codec: CodecName | None) -> str:
    if codec == "gzip" and len(head) >= 10:
        method = "deflate" if head[2] == 8 else f"method {head[2]}"
        stamp = int.from_bytes(head[4:8], "little")
        made = f"made {datetime.fromtimestamp(stamp, UTC):%Y-%m-%d %H:%M} UTC" if stamp else "no time"
        return f"gzip: magic 1f 8b, {method}, {made}"
    return f"{codec}: magic {_magic(head, codec)}"


def _container_meaning(head: bytes, format_: FormatName | None) -> str:
    if format_ == "tar":
        return "tar: ustar at byte 257" if head[257:262] == b"ustar" else "tar: the first header's checksum holds"
    if format_ == "zip":
        magic = _magic(head, format_)
        return f"zip: magic {magic}" if magic else "zip: its directory at the end, something before it"
    if format_ is None:
        return "nothing could be read"
    return {
        "json": "JSON: one value",
        "jsonl": "JSON lines: a value a line",
        "text": "text: valid UTF-8 or UTF-16",
        "binary": "binary: no magic that is known",
        "empty": "nothing",
    }[format_]


def _magic(head: bytes, name: str | None) -> str:
    magics = next((each.magic for each in FORMATS if each.name == name), ())
    return next((magic.hex(" ") for magic in magics if head.startswith(magic)), "")


# -- members ----------------------------------------------------------------------------------------------------------


def _listed(task: Task) -> list[Listed]:
    types = task.contents.types()
    return [
        Listed(
            printable(member.name),
            member.kind,
            member.size_bytes,
            f"{member.mode:04o}",
            type_,
            printable(member.link),
        )
        for member, type_ in zip(task.contents.members, types, strict=True)
    ]


# -- texts ------------------------------------------------------------------------------------------------------------


def _excerpts(task: Task) -> Iterator[Excerpt]:
    if task.format not in ("tar", "zip"):
        yield from _content(task)
        return
    files = [member for member in task.contents.members if member.kind == "file"]
    metadata = [member for member in files if member.name.endswith(METADATA_ENDS)]
    for member in metadata[:METADATA_FILES]:
        yield from of_member(task, member, "metadata", METADATA_CHARS)
    yield from _instruction(task)
    entry = next(iter(verifier_members(task)), None)
    code = [member for member in files if member.name.endswith(".py") and member is not entry]
    for member in code[:CODE_FILES]:
        yield from of_member(task, member, "code", CODE_CHARS)
    if entry is not None:
        yield from of_member(task, entry, "verifier", VERIFIER_CHARS)


def verifier_members(task: Task) -> list[Member]:
    """The files that verify ``task``, as far as names tell: where it starts, then the notebook's candidates."""
    files = [member for member in task.contents.members if member.kind == "file"]
    entries = [member for entry in ENTRIES for member in files if f"/{member.name}".endswith(f"/{entry}")]
    return entries + [member for member in task.verifier_files() if member not in entries]


def _instruction(task: Task) -> Iterator[Excerpt]:
    with suppress(ScannerError):  # damaged: the faults say so
        text = task.instruction
        if text:
            yield _cut(
                task.record.instruction_file or "instruction", "instruction", "markdown", text, INSTRUCTION_CHARS
            )


def of_member(task: Task, member: Member, role: str, most_chars: int) -> Iterator[Excerpt]:
    """The beginning of a file of a task; where it cannot be read, why."""
    try:
        data = task.read(member)
    except ScannerError as error:
        yield Excerpt(printable(member.name), role, "", f"({error})")
        return
    yield excerpt(printable(member.name), data, role, most_chars)


def excerpt(name: str, data: bytes, role: str, most_chars: int) -> Excerpt:
    """The beginning of one file: JSON pretty-printed, a binary as a dump of its first bytes."""
    if b"\0" in data[:1024]:
        return Excerpt(name, role, "hexdump", dump(data), max(len(data) - DUMP_BYTES, 0))
    language = language_of(name)
    text = data.decode("utf-8", "replace")
    return _cut(name, role, language, _pretty(text) if language == "json" else text, most_chars)


def _content(task: Task) -> Iterator[Excerpt]:
    """The content of a task that is no archive."""
    try:
        data = task.raw()
    except ScannerError as error:
        yield Excerpt("content", "content", "", f"({error})")
        return
    if task.format == "binary":
        yield Excerpt("content", "content", "hexdump", dump(data), max(len(data) - DUMP_BYTES, 0))
    elif data:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")
        is_json = task.format in ("json", "jsonl")
        text = _pretty(text) if task.format == "json" else text
        yield _cut("content", "content", "json" if is_json else "text", text, METADATA_CHARS)


def _cut(title: str, role: str, language: str, text: str, most_chars: int) -> Excerpt:
    return Excerpt(printable(title), role, language, printable(text[:most_chars]), max(len(text) - most_chars, 0))


def _pretty(text: str) -> str:
    """JSON with a line for each value; anything else, and what is too large, as it is."""
    if len(text) > _PARSED_BYTES:
        return text
    try:
        return msgspec.json.format(text, indent=2)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return text


def language_of(name: str) -> str:
    """The language that a file is coloured in, by its name; ``text`` where it has none."""
    base = name.rpartition("/")[2]
    if base == "Dockerfile":
        return "docker"
    return _LANGUAGES.get(base[base.rfind(".") :].lower(), "text")


def dump(data: bytes) -> str:
    """The first :data:`DUMP_BYTES` as hex and ASCII, 16 to a line."""
    lines = []
    for at in range(0, min(len(data), DUMP_BYTES), 16):
        part = data[at : at + 16]
        seen = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in part)
        lines.append(f"{at:06x}  {part.hex(' '):<47}  {seen}")
    return "\n".join(lines)
