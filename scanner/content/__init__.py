"""What a file is, by its first bytes: content types, the extensions they contradict, the findings they are.

A content type is ``class/format``, all lower case, stable (it is counted in ``stats.json``)::

    archive  codec  image  audio  video  document  executable  database  data  font   by signature
    script/<language>     begins with #!                     pointer/git-lfs   stands for a file kept elsewhere
    key/private|public|certificate   in PEM or alike         text/html|xml     text that says what it is
    text/utf-8   ASCII or UTF-8       text/utf-16|utf-32     by byte order mark
    text/8-bit   no UTF-8, and no control characters: Latin-1, GBK, Shift JIS ...
    binary       anything else        binary/damaged         binary that went through a lossy UTF-8 decoder
    empty        no bytes

Only the window of ``options.MAGIC_BYTES`` at the file's start is judged: the answer for a file and for its window is
the same. The order of truth: ``ustar`` at 257 (a tar may begin with any name), a signature at the start, plain ASCII,
a signature further in, text in other encodings. So a key that follows other text and what trails a file are not seen,
and UTF-16 without a mark is binary, as file(1) has it.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from scanner.content.magic import CONTENT_TYPES, Magic
from scanner.content.promises import TEXT_TYPES, lies, promise_of
from scanner.content.scripts import SHEBANG_LINES, script_type
from scanner.content.zips import zip_flavour, zip_type
from scanner.faults import FaultKind
from scanner.options import MAGIC_BYTES

__all__ = [
    "CONTENT_TYPES",
    "FINDINGS",
    "SHEBANG_LINES",
    "TELLING_STARTS",
    "TEXT_TYPES",
    "Magic",
    "content_type",
    "lies",
    "promise_of",
    "zip_flavour",
]

FINDINGS: dict[str, FaultKind] = {"pointer/git-lfs": "lfs-pointer", "key/private": "private-key"}
"""Content types that are worth telling of wherever they turn up, and the fault that tells."""

_BY_FIRST_TWO = {b"": (Magic("empty", b""),)} | {
    first: tuple(row for row in CONTENT_TYPES if not row.offset and row.signature.startswith(first))
    for first in {row.signature[:2] for row in CONTENT_TYPES if not row.offset}
}


def _shared_start(signatures: Sequence[bytes]) -> bytes:
    first, last = min(signatures), max(signatures)
    return first[: next((at for at, byte in enumerate(first) if last[at : at + 1] != bytes((byte,))), len(first))]


TELLING_STARTS = {first: _shared_start([row.signature for row in rows]) for first, rows in _BY_FIRST_TWO.items()}
"""By the first two bytes of every file that a signature at its start may match: what all such signatures begin with.
A file with any other start is ``text/utf-8`` where the window is plain ASCII without a NUL."""

_FURTHER_IN = tuple(row for row in CONTENT_TYPES if row.offset)
_REFINED = {"archive/zip": zip_type, "script/other": script_type}
_TEXT_BYTES = bytes({*range(7, 14), 27, *range(32, 127), *range(128, 256)})
"""What file(1) holds for text: the printable, white space, bell, backspace and escape."""


def content_type(head: bytes | bytearray | memoryview, start: int = 0, end: int | None = None) -> str:
    r"""The content type of the file ``head[start:end]`` (the whole of ``head`` by default), looked at in place.

    Runs once per file, so a text that begins like no signature (most files) is settled by one table look-up, one
    ``isascii`` and one search for NUL, the test git and grep use. Bears any bytes.

    Args:
        head: A buffer (format ``B``) that holds the file or at least its first ``MAGIC_BYTES`` bytes; other bytes may
            stand around it.
        start: Where the file begins, not negative.
        end: Where it ends.

    >>> content_type(b"#!/bin/bash\n"), content_type(b"PAR1..PAR1", 6), content_type(b"")
    ('script/shell', 'data/parquet', 'empty')
    """
    stop = start + MAGIC_BYTES
    if end is not None and end < stop:
        stop = end
    # The one copy, of at most the window: views have no methods to search with. ``bytes(view)`` takes twice as long.
    window = head[start:stop].tobytes() if type(head) is memoryview else bytes(head[start:stop])
    if window[:2] in _BY_FIRST_TWO:
        found = SHEBANG_LINES.get(window[: window.find(10) + 1]) or _by_signature(window, _BY_FIRST_TWO[window[:2]])
        if found is not None:
            return found
    if window.isascii() and 0 not in window:
        return "text/utf-8"
    return _not_plain_text(window)


def _by_signature(window: bytes, rows: tuple[Magic, ...]) -> str | None:
    has_nul = 0 in window
    for type_, signature, offset, check in rows:
        if window.startswith(signature, offset) and (check is None or check(window)):
            if has_nul and window.startswith(b"ustar", 257):
                return "archive/tar"  # whose first member is called PAR1 or so
            refine = _REFINED.get(type_)
            return type_ if refine is None else refine(window)
    return None


def _not_plain_text(window: bytes) -> str:
    if 0 in window:
        found = _by_signature(window, _FURTHER_IN)
        if found is not None:
            return found
    try:
        # Not final where the window is full: a character cut by its end is no error then.
        text = codecs.utf_8_decode(window, "strict", len(window) < MAGIC_BYTES)[0]
    except UnicodeDecodeError:
        return "binary" if _has_controls(window) else "text/8-bit"
    if "\ufffd" in text and _has_controls(window):
        return "binary/damaged"
    return "binary" if 0 in window else "text/utf-8"


def _has_controls(window: bytes) -> bool:
    return bool(window.translate(None, _TEXT_BYTES))
