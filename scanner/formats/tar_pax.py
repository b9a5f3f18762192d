"""PAX extended headers (POSIX.1-2001), GNU's long names, and the member they and its own header make together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias

from scanner.formats.tar_header import KINDS, SIZE_LIMIT, Header
from scanner.model import Member

Pairs: TypeAlias = list[tuple[bytes, bytes]]

_LENGTH_DIGITS: Final = 20
_SHORTEST: Final = len(b"5 a=\n")
_SPARSE: Final = b"GNU.sparse."
_GLOBAL_VALUE_BYTES: Final = 4096
"""A longer global path is refused: every later member would bear it (Linux's PATH_MAX)."""


def parse_records(body: bytes, size_bytes: int) -> tuple[Pairs, str | None]:
    r"""The ``length keyword=value\n`` records of a PAX header, in order, and the first flaw (None: sound).

    Args:
        body: The header's body, padding included.
        size_bytes: Size of the body as stated. A record may run on into the padding (``tarfile`` reads it), flawed.

    A record without its newline is kept, as ``tarfile`` 3.11 keeps it; one that cannot be framed ends the parse. NULs
    end it without a flaw. Linear in ``body``: lengths are never searched for, and of bounded digits.
    """
    pairs: Pairs = []
    flaw: str | None = None
    at = 0
    while at < size_bytes and body[at]:
        blank = body.find(b" ", at, at + _LENGTH_DIGITS + 1)
        digits = body[at:blank] if blank > 0 else b""
        if not digits.isdigit():
            return pairs, flaw or "a record without a length"
        length = int(digits)
        end = at + length
        if length < _SHORTEST or end > len(body):
            return pairs, flaw or f"a record of {length} bytes"
        equals = body.find(b"=", blank + 1, end)
        if equals <= blank + 1:
            return pairs, flaw or "a record without a keyword"
        if body[end - 1] != 0x0A or end > size_bytes:
            flaw = flaw or "a record that ends elsewhere than its length says"
        pairs.append((body[blank + 1 : equals], body[equals + 1 : end - 1]))
        at = end
    return pairs, flaw


def decimal(value: bytes) -> int | None:
    """A non-negative decimal of at most 63 bits, perhaps signed, between blanks; None for anything else."""
    digits = value.strip().removeprefix(b"+")
    significant = digits.lstrip(b"0")
    if not digits.isdigit() or len(significant) > _LENGTH_DIGITS:
        return None
    number = int(significant or b"0")
    return number if number <= SIZE_LIMIT else None


class Overrides:
    """What the extended headers before a member say of it.

    Where several precede one member the first wins, for ``tarfile`` (and libarchive up to 3.7) read the header that
    follows before applying one. Within one header the last record wins, and an empty value restores the member's own.
    """

    __slots__ = ("link", "long_name", "name", "offset", "pax", "size", "sparse")

    def __init__(self) -> None:
        self.offset: int | None = None
        """Where the first of them begins in the archive; None while there is none."""
        self.name: str | None = None
        self.long_name = False
        """``name`` is GNU's, of which a directory's trailing slash goes; a PAX path has lost its slashes already."""
        self.link: str | None = None
        self.size: bytes | None = None
        """The ``size`` record, not yet a number."""
        self.pax = False
        """There is a PAX header among them."""
        self.sparse: Pairs = []
        """``GNU.sparse.*`` records, without that beginning."""

    def add_long_name(self, name: str) -> None:
        """Take GNU's ``L`` header."""
        if self.name is None:
            self.name, self.long_name = name, True

    def add_long_link(self, link: str) -> None:
        """Take GNU's ``K`` header."""
        if self.link is None:
            self.link = link

    def add_pax(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Take the records of an ``x`` (or Solaris ``X``) header."""
        self.pax = True
        last = dict(pairs)
        sparse = [(key[len(_SPARSE) :], value) for key, value in pairs if key.startswith(_SPARSE)]
        if sparse and not self.sparse:
            self.sparse = sparse
        # The sparse formats 0.1 and 1.0 put a stand-in into the path: the real name wins wherever it stands.
        name = last.get(b"GNU.sparse.name") or last.get(b"path", b"").rstrip(b"/")
        if name and self.name is None:
            self.name = pax_text(name)
        link = last.get(b"linkpath")
        if link and self.link is None:
            self.link = pax_text(link)
        size = last.get(b"size")
        if size and self.size is None:
            self.size = size


class Globals:
    """What the global PAX headers so far say of every later member. Later ones replace, empty values delete."""

    __slots__ = ("link", "name", "size")

    def __init__(self) -> None:
        self.name = ""
        self.link = ""
        self.size = b""

    def add_pax(self, pairs: Iterable[tuple[bytes, bytes]]) -> str | None:
        """Take the records of a ``g`` header; what is wrong with them (None: nothing)."""
        flaw = None
        for key, value in pairs:
            if key in (b"path", b"linkpath", b"size") and len(value) > _GLOBAL_VALUE_BYTES:
                flaw = "a global path that is too long"
            elif key == b"path":
                self.name = pax_text(value.rstrip(b"/"))
            elif key == b"linkpath":
                self.link = pax_text(value)
            elif key == b"size":
                self.size = value
        return flaw


class Resolved(NamedTuple):
    """A member as all its headers together state it."""

    member: Member
    stored_bytes: int
    """Size of its body in the archive, as stated, whatever its kind."""
    flaw: str | None
    """The size that is malformed and was passed over."""


def resolve(header: Header, over: Overrides, globally: Globals, offset: int) -> Resolved:
    """Put a member together: its header, overridden by the global headers, overridden by its own extended ones."""
    kind = KINDS.get(header.flag, "other")
    # V7 knows no directories. A long name counts, not the stump of it in the header (tarfile before 2025 took that).
    spoken = over.name if over.long_name and over.name else header.name
    if header.flag == b"\0" and spoken.endswith("/"):
        kind = "dir"
    if over.name is not None:
        name = over.name.removesuffix("/") if over.long_name and kind == "dir" else over.name
    else:
        name = globally.name or (header.name.rstrip("/") if kind == "dir" else header.name)
    link = (over.link or globally.link or header.link) if kind in ("symlink", "hardlink") else ""
    size, flaw = header.size_bytes, None if header.sound else "size"
    # A global size moves the next header only where the member has a PAX header of its own: so does tarfile.
    stated = over.size or (globally.size if over.pax else b"")
    if stated:
        pax_size = decimal(stated)
        size, flaw = (size, "size in a PAX header") if pax_size is None else (pax_size, None)
    return Resolved(Member(name, kind, size if kind == "file" else 0, header.mode, link, offset), size, flaw)


def pax_text(value: bytes) -> str:
    """A PAX value as text. ``hdrcharset=BINARY`` needs no case of its own: what is not UTF-8 is escaped either way."""
    return value.decode("utf-8", "surrogateescape")
