"""Bytes to codec and container, by their first bytes alone. Looks at slices, copies a block at most.

Nothing here asks for names or for the end of the data, with one exception that is asked for last: a zip may have
anything before it, so :func:`has_zip_tail` looks for its end record.
"""

from __future__ import annotations

from typing import Final, Literal

from scanner.formats import Codec
from scanner.formats.registry import CODECS
from scanner.formats.tar import looks_like_tar
from scanner.formats.zip_directory import END_MAGIC, ENTRY_MAGIC, SPLIT_MAGICS, has_directory
from scanner.model import Buffer

HEAD_BYTES: Final = 32
"""What :func:`codec_of` needs of a blob."""

_TAR_HEAD_BYTES: Final = 1024
_ZIP_MAGICS: Final = (ENTRY_MAGIC, END_MAGIC, *SPLIT_MAGICS)


def codec_of(head: bytes) -> Codec | None:
    """The codec of a blob whose first :data:`HEAD_BYTES` bytes (or fewer, if it is shorter) are ``head``.

    Once a row, so nearly always answered by the first codec. A longer head is looked at too: skippable frames may
    stand before a zstd or LZ4 frame.
    """
    for codec in CODECS:
        if codec.matches(head):
            return codec
    return None


def container_of(data: Buffer, size_bytes: int | None = None) -> Literal["tar", "zip"] | None:
    """The container that ``data[:size_bytes]`` begins as: a zip's first record, or a tar header block.

    1,024 bytes are enough (an empty tar is two blocks of zeros), and no more are copied. ``size_bytes`` is for an
    arena that is longer than what it holds.
    """
    head = bytes(data[: _TAR_HEAD_BYTES if size_bytes is None else min(size_bytes, _TAR_HEAD_BYTES)])
    if head.startswith(_ZIP_MAGICS):
        return "zip"
    return "tar" if looks_like_tar(head) else None


def has_zip_tail(data: Buffer) -> bool:
    """Whether ``data``, whole, ends as a zip that has something before it: an end record that leads to a directory.

    Searches the last 64 KiB, so ask only when nothing else matched. The end record alone (what
    ``zipfile.is_zipfile`` asks for) may occur in any binary by accident or as a quotation.
    """
    return has_directory(memoryview(data))
