"""What of a member's name the rules look at: the name itself, or a sign that stands for many names that say the same.

Tasks of one source differ in the names of their fixtures. A file that only fills ``environment/`` says that there is
an ``environment/``, and at most how its name ends; whether it is ``data/a.csv`` or ``b.csv`` changes nothing. So what
names say together (:mod:`scanner.tasks.shape`) is read once for all rows with the same signs. A sign is such a name
itself, and its own sign. So is one directory around all of a task, whose name only says where it was packed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from scanner.model import MemberKind
from scanner.tasks.tree import wrapping

HEURISTIC_WORDS = ("verifier", "verify", "grader", "judge", "score", "eval")
"""What the notebook looks for in the lower-cased name of every file."""

SCRIPTS = frozenset({"test.sh", "run-tests.sh", "solve.sh", "solution.sh"})
"""Shell scripts that are read for their line ends."""

TELLING_NAMES = SCRIPTS | {"Dockerfile", ".harborignore", "instruction.md"}
"""Files that are looked for by name wherever they are (others have a heuristic word in it)."""

TELLING_ENDS = (".json", ".yaml", ".yml", ".toml", ".sh")
"""Ends of files that are looked for by it, wherever they are."""

MAX_CHARS = 127
"""Longer names stand for themselves: what is remembered must stay bounded, and a Tree leaves out the very deep ones."""

_MEMO_ENTRIES = 1 << 14
_WRAPPED = "task/"
_IS_PLAIN = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*").fullmatch
"""Of a directory that holds a whole task."""

_ODD = re.compile(r"//|\./|[./]\Z")
"""What a normalised name does not hold."""

has_heuristic_word = re.compile("|".join(HEURISTIC_WORDS)).search
"""Of a lower-cased name."""


class _Signs(dict[str, str]):
    """Signs by name. A full memo starts over."""

    def __missing__(self, name: str) -> str:
        if len(name) > MAX_CHARS:
            return name
        if len(self) >= _MEMO_ENTRIES:
            self.clear()
        sign = self[name] = _sign_of(name)
        return sign


sign_of = _Signs().__getitem__
"""The sign of a name. Runs once a member."""


def signs_of(names: Sequence[str], kinds: Sequence[MemberKind]) -> tuple[str, ...]:
    """The sign of each name, and :data:`_WRAPPED` for one directory around them. Runs once for a new list of names."""
    start = wrapping_of(names, kinds)
    if not start:
        return tuple(map(sign_of, names))
    n = len(start)
    return tuple([_WRAPPED + sign_of(name[n:]) if len(name) >= n else _WRAPPED[:-1] for name in names])


def wrapping_of(names: Sequence[str], kinds: Sequence[MemberKind]) -> str:
    """The directory, with its ``/``, that holds all of a task and that might as well have another name; mostly none.

    Whoever quotes names cannot use the signs where there is one.
    """
    start = wrapping(names, kinds)
    top = start[:-1]
    is_any = top and "" not in names and _IS_PLAIN(top) and not has_heuristic_word(top.lower())
    return start if is_any else ""


def _sign_of(name: str) -> str:
    plain = name.removeprefix("./")
    top, slash, rest = plain.partition("/")
    base = rest.rpartition("/")[2]
    if not slash or base in TELLING_NAMES or _ODD.search(plain) or has_heuristic_word(plain.lower()):
        return name
    root = name[: -len(rest)]
    if top == "tests":  # whose files also show how a verifier without an entry takes its cases
        is_module = rest.endswith(".py") and not rest.startswith((".", "expected")) and "/" not in rest
        return f"{root}*.py" if is_module else name
    if top in {"environment", "setup_files"} or (top == "solution" and not base.startswith(".")):
        return f"{root}*{next((end for end in TELLING_ENDS if base.endswith(end)), '')}"
    return name
