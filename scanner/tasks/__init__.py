"""What a task archive means: its layout, its verifier, whether Harbor loads it, its instruction, its JSON keys.

The probe hands over every member of one archive, with the content of those that :func:`wants` asked for, and gets a
:class:`scanner.model.Meaning` back. Nothing here touches archives, and nothing here raises for what is in the data.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from scanner.model import Buffer, Meaning, MemberKind
from scanner.tasks import documents, gist, reading
from scanner.tasks.documents import told_by as told_by_json
from scanner.tasks.gist import Gists, looks_of
from scanner.tasks.instruction import told
from scanner.tasks.shape import shape_of, wants
from scanner.tasks.standing import CONFIGS

__all__ = [
    "Gists",
    "KnownNames",
    "TaskFile",
    "cache_info",
    "gists",
    "interpret",
    "interpret_json",
    "meaning_of",
    "told",
    "told_by_json",
    "wants",
]


class TaskFile(msgspec.Struct, gc=False):
    """One member as the rules see it. One a member: a Struct is made in a third of a NamedTuple's time."""

    name: str
    """As listed in the archive (``./`` prefixes and trailing slashes still there)."""
    kind: MemberKind
    size_bytes: int
    data: Buffer | None
    """Its whole content where :func:`wants` asked for it and it could be read; else None. Borrowed."""
    link: str = ""
    digest: bytes | None = None
    """Of ``data``, where it was made anyway. Equal contents have equal digests; more is not relied on."""


class KnownNames:
    """The members of an archive, what their names say already read: rows from one template share it.

    Tar and zip look alike here. Names may carry ``./`` and lie in one enclosing directory; of members with one name
    the last counts, as on extraction.
    """

    __slots__ = ("_names", "_shape")

    def __init__(self, names: Sequence[str], kinds: Sequence[MemberKind], links: Sequence[str] = ()) -> None:
        """All members in archive order, as listed. ``links`` are the targets; empty where no member is a link."""
        self._names = names
        self._shape = shape_of(names, kinds, links)

    @property
    def gist_looks(self) -> Sequence[int] | None:
        """What :class:`Gists` is to look at in such tasks; None where they have no gist."""
        return looks_of(self._shape)

    @property
    def instruction(self) -> int | None:
        """Which member is the instruction.md."""
        return self._shape.instruction

    @property
    def jsons(self) -> Sequence[int]:
        """Which members are JSON by their names."""
        return self._shape.jsons

    def meaning(self, contents: Sequence[Buffer | None], digests: Sequence[bytes | None]) -> Meaning:
        """What these members make together. Runs once a row; never raises; keeps no view.

        Args:
            contents: for each member up to the last file. Of a file that :func:`wants` asked for and that could be
                read, the whole of it, borrowed; else None: such a file says nothing but its name. (What it did not ask
                for may be given as well, and is not looked at.)
            digests: of the contents, where they were made anyway. Equal contents have equal digests; more is not
                relied on.
        """
        return reading.meaning_of(self._names, self._shape, contents, digests)


def meaning_of(
    names: Sequence[str],
    kinds: Sequence[MemberKind],
    contents: Sequence[Buffer | None],
    digests: Sequence[bytes | None],
    links: Sequence[str] = (),
) -> Meaning:
    """What the members of one archive make together: :class:`KnownNames` for names that come once."""
    return reading.meaning_of(names, shape_of(names, kinds, links), contents, digests)


def interpret(files: Sequence[TaskFile]) -> Meaning:
    """:func:`meaning_of` members that are at hand one by one."""
    kinds = [file.kind for file in files]
    return meaning_of(
        [file.name for file in files],
        kinds,
        [file.data for file in files],
        [file.digest for file in files],
        [file.link for file in files] if "symlink" in kinds or "hardlink" in kinds else (),
    )


def interpret_json(data: Buffer, *, lines: bool) -> Meaning:
    """What a blob that is itself JSON means, or JSON lines (``lines``: one value a line, blank lines left out).

    The keys of every line that is an object count; instruction, verifier and the notebook's rule are those of the
    object, of the first one among lines. Never raises.
    """
    return documents.interpret_json(data, lines=lines)


def gists(walk_at: int, entries: int) -> Gists | None:
    """The gists of what one walker walks: see :class:`Gists`; None where nothing was compiled."""
    return gist.gists(walk_at, CONFIGS.likes, entries)


def cache_info() -> dict[str, tuple[int, int]]:
    """Hits and misses of each memo of this process."""
    return reading.cache_info()
