"""The names of one task as a file system would hold them after unpacking: which paths exist, and as what.

Archives spell paths in many ways (``./a``, ``a//b``, one enclosing directory). The rules of the other modules want
one: relative to the task's own root, ``/`` between parts. Later members replace earlier ones, as on extraction.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from scanner.model import MemberKind

PARTS = frozenset({"environment", "tests", "solution", "steps", "setup_files"})
"""Directories that mean something in a task: a lone one of these is a part of the task, never its wrapping."""

MAX_PARTS = 64
"""Deeper names are left out: each directory on the way costs memory, and no task comes near."""

_MAX_HOPS = 40
"""Links followed for one path; Linux gives up at the same number (``MAXSYMLINKS``)."""


class Unusable(Exception):
    """Harbor stops at something in the directory of a task; the message is the reason."""


class LinkError(Unusable):
    """Following links leads out of the task, or does not end."""


class Tree:
    """Paths of one task. ``files`` gives the index of the member that holds a path's content.

    Links are kept as written; :meth:`resolve` follows them. Names that unpacking refuses (``..`` out of the root) are
    left out. Immutable once built, and shared by all rows with the same names.
    """

    __slots__ = ("_children", "dirs", "files", "has_ignore_file", "links")

    def __init__(self, names: Sequence[str], kinds: Sequence[MemberKind], links: Sequence[str]) -> None:
        """All three of one length. ``links`` may be empty where no member is a link."""
        self.files: dict[str, int] = {}
        self.dirs: set[str] = {""}
        self.links: dict[str, str] = {}
        self._children: dict[str, list[str]] | None = None
        self.has_ignore_file = False
        paths = _all_normalised(names)
        skip = len(wrapping(paths, kinds))
        files, dirs = self.files, self.dirs
        for index, (full, kind) in enumerate(zip(paths, kinds, strict=True)):
            if full is None or len(full) < skip or (len(full) >= 2 * MAX_PARTS and full.count("/") >= MAX_PARTS):
                continue
            if full.endswith("/.harborignore"):
                self.has_ignore_file = True
            path = full[skip:]
            if kind == "dir":
                self._add_dir(path)
                continue
            parent = path.rpartition("/")[0]
            if parent not in dirs:
                self._add_dir(parent)
            if links:
                self._add_under_links(path, kind, index, links[index], skip)
            elif kind == "file":
                files[path] = index

    def _add_under_links(self, path: str, kind: MemberKind, index: int, link: str, skip: int) -> None:
        self.links.pop(path, None)
        if kind == "symlink":
            self.files.pop(path, None)
            self.links[path] = link
        elif kind == "hardlink":  # a second name of content that stands earlier in the archive, named from its root
            target = self.files.get((_normalised(link) or "")[skip:])
            if target is not None:
                self.files[path] = target
        elif kind == "file":
            self.files[path] = index

    def _add_dir(self, path: str) -> None:
        while path not in self.dirs:
            self.dirs.add(path)
            path = path.rpartition("/")[0]

    def is_file(self, path: str) -> bool:
        """Whether ``path`` is a file, links followed."""
        return path in self.files if not self.links else self._resolved(path) in self.files

    def is_dir(self, path: str) -> bool:
        """Whether ``path`` is a directory, links followed."""
        return path in self.dirs if not self.links else self._resolved(path) in self.dirs

    def exists(self, path: str) -> bool:
        """Whether anything is at ``path``, links followed."""
        return self.is_file(path) or self.is_dir(path)

    def index_of(self, path: str) -> int | None:
        """Index of the member that holds the content of the file at ``path``, links followed."""
        if not self.links:
            return self.files.get(path)
        resolved = self._resolved(path)
        return None if resolved is None else self.files.get(resolved)

    def children(self, path: str) -> Sequence[str]:
        """Paths directly in the directory ``path`` (itself no link), sorted."""
        if self._children is None:
            self._children = {}
            for known in sorted({*self.files, *self.dirs, *self.links} - {""}):
                self._children.setdefault(known.rpartition("/")[0], []).append(known)
        return self._children.get(path, ())

    def _resolved(self, path: str) -> str | None:
        try:
            return self.resolve(path, existing=True)
        except (LinkError, FileNotFoundError):
            return None

    def resolve(self, path: str, *, existing: bool = False) -> str:
        """``path`` with every link in it followed.

        What does not exist stays as it is and ``..`` takes off a name, like ``realpath``; with ``existing`` each step
        must start in a directory that is there, as it must for the system to open it.

        Raises:
            LinkError: the target is outside the task (any absolute target is), or more than 40 links were followed.
            FileNotFoundError: with ``existing``, where a step starts in what is no directory.
        """
        if not self.links:
            return path
        done: list[str] = []
        todo = path.split("/")[::-1]
        hops = 0
        while todo:
            part = todo.pop()
            if existing and "/".join(done) not in self.dirs:
                raise FileNotFoundError(path)
            if part in {"", "."}:
                continue
            if part == "..":
                if not done:
                    raise LinkError(f"{path}: a link leads out of the task")
                done.pop()
                continue
            done.append(part)
            target = self.links.get("/".join(done))
            if target is None:
                continue
            hops += 1
            if hops > _MAX_HOPS:
                raise LinkError(f"{path}: a link leads to itself")
            if target.startswith("/"):
                raise LinkError(f"{path}: a link leads out of the task")
            done.pop()
            todo.extend(target.split("/")[::-1])
        return "/".join(done)


def _all_normalised(names: Sequence[str]) -> Sequence[str | None]:
    """:func:`_normalised` of each name. Mostly one look at all of them shows that they are normal."""
    together = "\n" + "\n".join(names) + "\n"
    if any(odd in together for odd in ("//", "./", "\n/", "/\n", ".\n")):
        return [_normalised(name) for name in names]
    return names


def _normalised(name: str) -> str | None:
    """``name`` relative to the root it is unpacked in; None where unpacking would refuse it.

    >>> _normalised("./tests/"), _normalised("/a//b/../c"), _normalised("../x")
    ('tests', 'a/c', None)
    """
    name = name.removeprefix("./").removesuffix("/")
    if "//" in name or "./" in name or name.startswith("/") or name.endswith("."):
        name = posixpath.normpath(name.lstrip("/"))
        if name == ".." or name.startswith("../"):
            return None
    return "" if name == "." else name


def wrapping(paths: Sequence[str | None], kinds: Sequence[MemberKind]) -> str:
    """The one directory that holds everything, with its ``/``; empty where there is none."""
    first = next((path for path in paths if path), None)
    if first is None:
        return ""
    top = first.partition("/")[0]
    if top in PARTS:
        return ""
    start = top + "/"
    found = False
    for path, kind in zip(paths, kinds, strict=True):
        if not path:
            continue
        if path.startswith(start):
            found = True
        elif path != top or kind != "dir":
            return ""
    return start if found else ""
