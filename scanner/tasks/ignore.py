"""``.harborignore``: which inputs of a task Harbor leaves out. Patterns are those of ``.gitignore``.

Only files in tests/ and solution/ (of the task or of a step) can be left out, by a ``.harborignore`` in one of these
directories or below. The pattern language is documented in gitignore(5).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from scanner.tasks.tree import Tree, Unusable

NAME = ".harborignore"

Read = Callable[[str], bytes | None]
"""The content of the file at a path; None where it is not at hand."""

_SCOPE = re.compile(r"(?:steps/[^/]+/)?(?:tests|solution)(?:/|$)")
_MAX_PATTERNS = 10_000


class BadIgnoreFile(Unusable):
    """An ignore file that Harbor refuses; the message says why."""


class _Pattern(NamedTuple):
    matches: re.Pattern[str]
    """Takes the path below the ignore file as a whole, with a ``/`` behind directories."""
    leaves_out: bool


class Ignore:
    """The ignore files of one task, read as they are needed."""

    def __init__(self, tree: Tree, read: Read) -> None:
        self._tree = tree
        self._read = read
        self._patterns: dict[str, list[_Pattern]] = {}

    def leaves_out(self, path: str) -> bool:
        """Whether Harbor leaves out ``path``, or what it links to.

        Raises:
            BadIgnoreFile: one that decides is not UTF-8 or holds a pattern that is none.
            LinkError: from links on the way.
        """
        if self._matches(path):
            return True
        resolved = self._tree.resolve(path)
        return resolved != path and self._matches(resolved)

    def _matches(self, path: str) -> bool:
        if path.rpartition("/")[2] == NAME:
            return True
        scope = _SCOPE.match(path)
        if scope is None:
            return False
        top = scope[0].rstrip("/")
        directories: list[str] = []
        at = len(top)
        while True:  # each directory from the scope down to the path itself
            candidate = path[:at]
            is_directory = candidate != path or self._tree.is_dir(candidate)
            verdict = False
            for directory in directories:
                below = candidate[len(directory) + 1 :] + "/" * is_directory
                for pattern in self._of(directory):
                    if pattern.matches.fullmatch(below):
                        verdict = pattern.leaves_out
            if verdict:
                return True
            if candidate == path:
                return False
            directories.append(candidate)
            at = path.find("/", at + 1)
            at = len(path) if at < 0 else at

    def _of(self, directory: str) -> list[_Pattern]:
        known = self._patterns.get(directory)
        if known is None:
            path = f"{directory}/{NAME}"
            self._tree.resolve(path)
            try:
                text = (self._read(path) or b"").decode()
            except UnicodeDecodeError:
                raise BadIgnoreFile(f"{path}: not UTF-8") from None
            lines = text.splitlines()[:_MAX_PATTERNS]
            if "!" in lines:
                raise BadIgnoreFile(f"{path}: a line with nothing but !")
            known = [pattern for line in lines if (pattern := _pattern(line))]
            self._patterns[directory] = known
        return known


def _pattern(line: str) -> _Pattern | None:
    """One line of an ignore file; None for blank lines, comments and what matches nothing."""
    if line.startswith("#") or not line.strip():
        return None
    while line.endswith(" ") and not line.endswith("\\ "):
        line = line[:-1]
    leaves_out = not line.startswith("!")
    line = line.removeprefix("!")
    ending = "/" if line.endswith("/") else "/?"
    line = line.rstrip("/")
    if not line:
        return None
    anchored = "/" in line
    parts = line.removeprefix("/").split("/")
    if not anchored:
        parts.insert(0, "**")
    return _Pattern(re.compile(_regex(parts) + ending), leaves_out)


def _regex(parts: list[str]) -> str:
    out = ""
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            out += (".*" if index else ".+") if last else "(?:[^/]+/)*"
        else:
            out += _glob(part) + ("" if last else "/")
    return out


def _glob(part: str) -> str:
    r"""A pattern without ``/`` as a regular expression: ``*``, ``?``, ``[a-z]``, ``[!a]``, ``\`` before any other."""
    out = ""
    at = 0
    while at < len(part):
        char = part[at]
        at += 1
        if char == "*":
            while part[at : at + 1] == "*":
                at += 1
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "\\" and at < len(part):
            out += re.escape(part[at])
            at += 1
        elif char == "[" and (end := part.find("]", at + 1 + (part[at : at + 1] in {"!", "^"}))) > 0:
            inside = part[at:end].replace("\\", "\\\\")
            out += "[" + re.sub(r"^[!^]", "^", inside).replace("[", "\\[") + "]"
            at = end + 1
        else:
            out += re.escape(char)
    return out
