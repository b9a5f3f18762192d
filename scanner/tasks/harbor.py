"""Whether Harbor 0.25 loads a task directory: the verdict of its ``Task.is_valid_dir``, and the first reason against.

Harbor drops the tasks that fail this without a message. The order of the rules is Harbor's, so the reason is the one
that stopped it. Links count as what they point to; a loop of links is an error, as it is on Python 3.12.
"""

from __future__ import annotations

from typing import Any

from scanner.tasks.config import CONFIG
from scanner.tasks.demands import Demands, Step
from scanner.tasks.ignore import NAME as IGNORE_NAME
from scanner.tasks.ignore import Ignore, Read
from scanner.tasks.schema import Wrong
from scanner.tasks.tree import LinkError, Tree, Unusable

_MAX_VISITS = 1_000_000
"""Directory entries looked at in one task; only directories linked to many times come near."""

_TABLES = frozenset({"task", "metadata", "verifier", "agent", "environment", "solution"})


def config_error(config: dict[str, Any]) -> str | None:
    """What is wrong with the values of a parsed task.toml; None where Harbor accepts them."""
    wrong = CONFIG(config)
    return None if wrong is None else "task.toml: " + _worded(wrong)


def _worded(wrong: Wrong) -> str:
    """``[task] has no name``, ``[environment] cpus must be a number``, ``schema_version must be a string``."""
    if not wrong.path:
        return wrong.message
    top, *rest = wrong.path
    if top == "steps" and rest:
        top = f"[[steps]] {rest.pop(0)}"
    elif top in _TABLES:
        top = f"[{top}]"
    return " ".join(part for part in (top, ".".join(rest), wrong.message) if part)


class Directory:
    """The files of a task whose task.toml has accepted values, as Harbor looks at them."""

    __slots__ = ("_demands", "_ignore", "steps", "tree")

    def __init__(self, tree: Tree, demands: Demands, read: Read) -> None:
        """``read`` gives the content of the ignore files."""
        self.tree = tree
        self.steps = demands.steps
        self._demands = demands
        self._ignore = Ignore(tree, read) if tree.has_ignore_file else None

    def error(self) -> str | None:
        """The first reason why Harbor does not load this task; None where it does."""
        try:
            self._check()
        except Unusable as reason:
            return str(reason)
        return None

    def _check(self) -> None:
        tree = self.tree
        if not self._demands.has_image and not tree.is_dir("environment"):
            raise Unusable("no environment/ and no [environment].docker_image")
        if tree.links or self._ignore is not None:
            for step in self.steps:
                tree.resolve(f"steps/{step.name}/instruction.md")
                self._check_links(f"steps/{step.name}")
            self._check_links("tests")
            self._check_links("solution")
        if not self.steps:
            if not tree.exists("instruction.md"):
                raise Unusable(self._absent("instruction.md"))
            if not self.has_own_image(None):
                self._require_test(None, ("tests",))
        for step in self.steps:
            directory = f"steps/{step.name}"
            if not tree.exists(directory):
                raise Unusable(self._absent(directory))
            if not tree.exists(f"{directory}/instruction.md"):
                raise Unusable(self._absent(f"{directory}/instruction.md"))
            if not self.has_own_image(step):
                self._require_test(step, (f"{directory}/tests", "tests"))

    def _absent(self, path: str) -> str:
        return f"{path}: its link leads to nothing in the task" if path in self.tree.links else f"no {path}"

    def _require_test(self, step: Step | None, directories: tuple[str, ...]) -> None:
        entry = "test.bat" if self._verifier_os(step) == "windows" else "test.sh"
        for directory in directories:
            path = f"{directory}/{entry}"
            if self.tree.exists(path):
                if self._ignore is not None and self._ignore.leaves_out(path):
                    raise Unusable(f"{path}: left out by {IGNORE_NAME}")
                return
        raise Unusable(f"no {' or '.join(f'{d}/{entry}' for d in directories)} and no verifier image")

    def is_separate(self, step: Step | None) -> bool:
        """Whether the verifier (of ``step``) runs in a container of its own."""
        return ((step and step.verifier.mode) or self._demands.verifier.mode) == "separate"

    def has_own_image(self, step: Step | None) -> bool:
        """Whether a separate verifier brings its image: ``docker_image``, or a Dockerfile or Compose file in tests/.

        Raises:
            Unusable: for links and ignore files in the directories that are looked at.
        """
        if not self.is_separate(step):
            return False
        places = [(self._demands.verifier, "tests")]
        if step:
            places.insert(0, (step.verifier, f"steps/{step.name}/tests"))
        for verifier, directory in places:
            self._check_links(directory)
            if verifier.has_image:
                return True
            if any(self.tree.is_file(f"{directory}/{name}") for name in ("Dockerfile", "docker-compose.yaml")):
                self._check_links(directory, with_ignored=True)
                return True
        self._check_links("environment", with_ignored=True)
        return False

    def _verifier_os(self, step: Step | None) -> str:
        """The system whose test entry is looked for: a separate verifier's own where it names one, else the task's."""
        own = None
        if self.is_separate(step):
            own = (step.verifier if step and step.verifier.has_environment else self._demands.verifier).os
        return own or self._demands.os or "linux"

    def _check_links(self, path: str, *, with_ignored: bool = False) -> None:
        """Follow every link at and below ``path``, depth first, and read the ignore files on the way.

        Without ignore files each real directory is looked at once. With them it matters which way one came.

        Raises:
            Unusable: a link leads out of the task, or to itself, or from a directory to one that is open above it.
        """
        tree = self.tree
        if not tree.links and self._ignore is None:
            return
        ignore = None if with_ignored else self._ignore
        open_paths: set[str] = set()
        done: set[str] = set()
        todo = [(path, False)]
        for _ in range(_MAX_VISITS):
            if not todo:
                return
            at, leaving = todo.pop()
            if leaving:
                open_paths.discard(at)
                done.add(at)
                continue
            if ignore is not None and ignore.leaves_out(at):
                continue
            real = tree.resolve(at)
            if real in open_paths:
                raise LinkError(f"{at}: a link leads to itself")
            if real in tree.dirs and (ignore is not None or real not in done):
                open_paths.add(real)
                todo.append((real, True))
                todo.extend((f"{at}/{child.rpartition('/')[2]}", False) for child in tree.children(real))
        raise Unusable(f"{path}: too many links to follow")
