"""Content that is no archive: JSON (RFC 8259), JSON lines (https://jsonlines.org), text, binary, or nothing.

Limitations: JSON in UTF-16 is text. Content that is too large to hold is told apart as text or binary only.
"""

from __future__ import annotations

import codecs
import re
from typing import Final, Literal

import msgspec

from scanner.model import Buffer, FormatName

_UTF8_BOM: Final = codecs.BOM_UTF8
_UTF16_BOMS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SPACE: Final = b" \t\r\n"
_OPENING: Final = (b"{", b"[")

_JSON: Final = msgspec.json.Decoder(msgspec.Raw)
"""Checks the syntax without building a value: a 16 MiB document of empty lists would be 500 MB of lists."""

_PYTHON_NUMBERS: Final = re.compile(rb"-?Infinity|NaN")
_LONE_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


def classify(data: Buffer) -> FormatName:
    """What ``data``, the whole content, is.

    ``json``: one value that begins with ``{`` or ``[`` and that ``json.loads`` accepts (with its ``NaN`` and lone
    surrogates; it refuses integers of over 4,300 digits, this does not). ``jsonl``: at least two lines that are not
    blank, each such a value. ``text``: UTF-8 without NUL, or UTF-16 with a byte order mark. A byte order mark is no
    part of the content.
    """
    if not len(data):
        return "empty"
    if not _is_text(data):
        return "binary"
    content = bytes(data)
    start = len(_UTF8_BOM) if content.startswith(_UTF8_BOM) else 0
    head = content[start : start + 4096].lstrip(_SPACE) or content[start:].lstrip(_SPACE)
    if not head.startswith(_OPENING):
        return "text"
    if is_json(memoryview(content)[start:]):
        return "json"
    return "jsonl" if _is_jsonl(content, start) else "text"


def is_json(data: memoryview) -> bool:
    """Whether UTF-8 ``data`` is one JSON value as ``json.loads`` understands it. Builds no value."""
    try:
        _JSON.decode(data)
    except RecursionError:
        return False
    except msgspec.DecodeError:
        pass
    else:
        return True
    # Python also takes NaN, Infinity and lone surrogates. A stand-in that is a value where they are, and nothing
    # valid in any other place (inside an escape, behind a digit), leaves the verdict to the same decoder.
    text = bytes(data)
    if b"NaN" not in text and b"Infinity" not in text and b"\\u" not in text:  # a tenth of what two searches take
        return False
    repaired, n_numbers = _PYTHON_NUMBERS.subn(b"[]", text)
    repaired, n_escapes = _LONE_SURROGATE.subn(rb"\\u0041", repaired)
    if not n_numbers and not n_escapes:
        return False
    try:
        _JSON.decode(repaired)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _is_jsonl(content: bytes, start: int) -> bool:
    view, n_values = memoryview(content), 0
    while start < len(content):
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        line = view[start:end]
        start = end + 1
        head = bytes(line[:1])
        if head not in _OPENING:
            head = bytes(line).lstrip(_SPACE)[:1]
            if not head:
                continue
        if head not in _OPENING or not is_json(line):
            return False
        n_values += 1
    return n_values > 1


def _is_text(data: Buffer) -> bool:
    sniffer = TextSniffer()
    sniffer.feed(data)
    return sniffer.close() == "text"


class TextSniffer:
    """Text or binary, for content that arrives in pieces of any size. Keeps four bytes between them.

    The format of content over ``options.INTERPRET_BYTES`` is decided by this alone; whoever asks reports that JSON
    was not looked for (``limit:buffer``).
    """

    def __init__(self) -> None:
        self._head = b""
        self._decoder: codecs.IncrementalDecoder | None = None
        self._binary = False

    def feed(self, data: Buffer) -> None:
        """The next piece."""
        if self._binary:
            return
        if self._decoder is None:
            self._head += bytes(data[:2])
            if len(self._head) < 2:
                return
            self._start(self._head[:2])
            self._decode(self._head[: len(self._head) - len(data[:2])])
        self._decode(data)

    def close(self) -> Literal["text", "binary", "empty"]:
        """The verdict, after the last piece."""
        if not self._binary and self._decoder is None:
            self._start(b"")
            self._decode(self._head)
        if not self._binary:
            self._decode(b"", final=True)
        if self._binary:
            return "binary"
        return "text" if self._head else "empty"

    def _start(self, mark: bytes) -> None:
        encoding = "utf-16" if mark in _UTF16_BOMS else "utf-8"
        self._decoder = codecs.getincrementaldecoder(encoding)()

    def _decode(self, data: Buffer, *, final: bool = False) -> None:
        assert self._decoder is not None
        try:
            # one MiB at a time: decoded text takes up to four times its bytes
            for start in range(0, len(data) or 1, 1 << 20):
                piece = memoryview(data)[start : start + (1 << 20)]
                if "\0" in self._decoder.decode(piece, final=final):
                    self._binary = True
                    return
        except UnicodeDecodeError:
            self._binary = True
