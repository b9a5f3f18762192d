"""What the names of a task's members say on their own. Rows stamped from one template share it, so it is memoised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from scanner.model import Fault, Layout, MemberKind, VerifierKind, printable
from scanner.tasks.signs import SCRIPTS, TELLING_ENDS, TELLING_NAMES, has_heuristic_word, signs_of, wrapping_of
from scanner.tasks.taskconfig import TaskConfig
from scanner.tasks.tree import Tree

ENTRIES = ("tests/test.sh", "tests/test.bat", "run-tests.sh")
"""Where a verifier starts."""

MAX_SIGNALS = 32
"""Signals kept of one row, in the order of the archive; and of one signal the characters kept."""
MAX_SIGNAL_CHARS = 160

_MEMO_ENTRIES = 1024
_MEMO_MEMBERS = 64
_MEMO_NAME_CHARS = 256
"""Longer names, and lists of more of them, are read each time: what a memo holds must stay bounded."""

_TEXT_ENDS = (".md", ".txt", ".json")
_PROMPT_NAMES = ("task.md", "prompt.md", "problem.md", "problem_statement.md", "prompt.txt", "task.txt", "README.md")
_LOG_NAMES = frozenset({"trial.log", "job.log", "exception.txt", "result.json", "results.json", "trajectory.json"})
_SOLUTIONS = ("solution.sh", "solution.yaml", "solution.yml", "solution.py", "solve.sh")
_WANTED_ENDS = (".json", ".yaml", ".yml", ".toml")


class Standing(NamedTuple):
    """What names and task.toml say together. See :mod:`scanner.tasks.standing`."""

    layout: Layout
    kind: VerifierKind
    signals: tuple[str, ...]
    harbor_reason: str | None
    """None where Harbor loads the task."""
    faults: tuple[Fault, ...] = ()


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """The reading of one sequence of names. Numbers are indices of members."""

    tree: Tree
    by_names: bool
    """Whether it holds for these very names only, not for all with their signs."""
    heuristic: bool
    """Whether a file name satisfies the notebook's rule."""
    signals: tuple[str, ...]
    task_toml: int | None
    task_yaml: int | None
    instruction: int | None
    dockerfile: int | None
    """environment/Dockerfile, else the one at the root."""
    scripts: tuple[tuple[int, bool], ...]
    """Shell scripts whose line ends are looked at, as listed, and whether each is one of :data:`ENTRIES`."""
    jsons: tuple[int, ...]
    """As listed; so the following."""
    yamls: tuple[int, ...]
    tomls: tuple[int, ...]
    """All but the task's own task.toml."""
    prompts: tuple[int, ...]
    """Texts whose name says that they are the instruction, where there is no instruction.md; the best name first."""
    texts: tuple[int, ...]
    """All ``.md``, ``.txt`` and ``.json`` files at the root."""
    has_solution: bool
    layout: Layout
    kind: VerifierKind
    """The verifier kind that the names prove, before anything was read."""
    standings: dict[TaskConfig | None, Standing]
    """By what task.toml says: filled by :mod:`scanner.tasks.standing`."""


def wants(name: str) -> bool:
    """Whether :func:`scanner.tasks.interpret` reads the file ``name``. Whoever asks remembers it with the name.

    That is: everything in JSON, YAML or TOML, ``Dockerfile``, the entry scripts, ``.harborignore``, every
    instruction.md, and Markdown and text at the root of the task (or of its one enclosing directory).
    """
    base = name.rpartition("/")[2]
    if base in TELLING_NAMES or base.endswith(_WANTED_ENDS):
        return True
    return base.endswith((".md", ".txt")) and name.removeprefix("./").count("/") <= 1


_known: dict[tuple[tuple[str, ...], tuple[MemberKind, ...]], Shape] = {}
_counts = [0, 0]  # asked, read


def counts() -> tuple[int, int]:
    """Lists of names that were known, and that were read."""
    asked, read = _counts
    return asked - read, read


def shape_of(names: Sequence[str], kinds: Sequence[MemberKind], links: Sequence[str]) -> Shape:
    """The Shape of these members. Runs once a row, and is remembered for short lists without links, by signs."""
    _counts[0] += 1
    if links or len(names) > _MEMO_MEMBERS:
        _counts[1] += 1
        return _read_names(names, kinds, links)
    of_kinds = tuple(kinds)
    signs = signs_of(names, of_kinds)
    seen = _known.get((signs, of_kinds)) or _learn(signs, of_kinds)
    if seen.by_names or (seen.heuristic and wrapping_of(names, of_kinds)):  # its signals quote names
        names = tuple(names)
        seen = _known.get((names, of_kinds)) or _learn(names, of_kinds)
    return seen


def _learn(names: tuple[str, ...], kinds: tuple[MemberKind, ...]) -> Shape:
    _counts[1] += 1
    seen = _read_names(names, kinds, ())
    if max(map(len, names), default=0) <= _MEMO_NAME_CHARS:
        if len(_known) >= _MEMO_ENTRIES:
            _known.clear()
        _known[names, kinds] = seen
    return seen


def _read_names(names: Sequence[str], kinds: Sequence[MemberKind], links: Sequence[str]) -> Shape:
    tree = Tree(names, kinds, links)
    task_toml = tree.index_of("task.toml")
    entries = [entry for entry in ENTRIES if tree.is_file(entry)]
    entry_indices = {tree.index_of(entry) for entry in entries}
    suspicious: list[int] = []
    if has_heuristic_word("\n".join(names).lower()):
        suspicious = [i for i, name in enumerate(names) if kinds[i] == "file" and has_heuristic_word(name.lower())]
    by_end: dict[str, list[int]] = {"json": [], "yaml": [], "yml": [], "toml": [], "sh": []}
    for index, name in enumerate(names):
        if name.endswith(TELLING_ENDS) and kinds[index] == "file":
            by_end[name.rpartition(".")[2]].append(index)
    scripts = [index for index in by_end["sh"] if names[index].rpartition("/")[2] in SCRIPTS]
    signals = [f"name:{entry}" for entry in entries] + [signal("name", names[i]) for i in suspicious[:MAX_SIGNALS]]
    layout = _layout(tree)
    return Shape(
        tree=tree,
        by_names=tree.has_ignore_file or layout in {"log-pack", "unknown"},  # which match names, and count them
        heuristic=bool(suspicious),
        signals=tuple(dict.fromkeys(signals[:MAX_SIGNALS])),
        task_toml=task_toml,
        task_yaml=tree.index_of("task.yaml"),
        instruction=tree.index_of("instruction.md"),
        dockerfile=tree.index_of("environment/Dockerfile" if tree.is_file("environment/Dockerfile") else "Dockerfile"),
        scripts=tuple([(index, index in entry_indices) for index in scripts]),
        jsons=tuple(by_end["json"]),
        yamls=tuple(sorted(by_end["yaml"] + by_end["yml"])),
        tomls=tuple([index for index in by_end["toml"] if index != task_toml]),
        prompts=tuple([tree.files[name] for name in _PROMPT_NAMES if name in tree.files]),
        texts=tuple([i for path, i in tree.files.items() if "/" not in path and path.endswith(_TEXT_ENDS)]),
        has_solution=_has_solution(tree),
        layout=layout,
        kind=_kind(tree),
        standings={},
    )


def signal(sort: str, where: str) -> str:
    """``sort:where`` as valid Unicode, cut to :data:`MAX_SIGNAL_CHARS`."""
    return printable(f"{sort}:{where}")[:MAX_SIGNAL_CHARS]


def _layout(tree: Tree) -> Layout:
    """The layout as far as names tell; whether a task.toml has steps, only its content does.

    ``harbor`` needs a task.toml, or an instruction.md beside environment/ or tests/ (a task that lost its task.toml).
    """
    if tree.is_file("task.toml") or (
        tree.is_file("instruction.md") and (tree.is_dir("environment") or tree.is_dir("tests"))
    ):
        return "harbor"
    if tree.is_file("task.yaml") or tree.is_file("task.yml"):
        return "terminal-bench"
    if tree.files and _are_logs(tree.files):
        return "log-pack"
    return "unknown"


def _are_logs(paths: Sequence[str] | dict[str, int]) -> bool:
    """Whether most of these files are what running leaves behind: logs, results, trajectories, rewards, panes."""
    logs = 0
    for path in paths:
        base = path.rpartition("/")[2]
        logs += (
            base in _LOG_NAMES
            or base.endswith((".log", ".cast", ".pane", "stdout.txt", "stderr.txt"))
            or base.startswith("reward.")
            or path.startswith("logs/")
            or "/logs/" in path
        )
    return 2 * logs > len(paths)


def _has_solution(tree: Tree) -> bool:
    """A file in solution/ (of the task or a step) that is not hidden, or a ``solution.*`` beside task.yaml."""
    if tree.dirs.isdisjoint(("solution", "steps")):
        return not tree.files.keys().isdisjoint(_SOLUTIONS)
    for path in tree.files:
        top, _, rest = path.partition("/")
        if top == "steps":
            _, _, rest = rest.partition("/")
            top, _, rest = rest.partition("/")
        if top == "solution" and rest and not rest.rpartition("/")[2].startswith("."):
            return True
    return not tree.files.keys().isdisjoint(_SOLUTIONS)


def _kind(tree: Tree) -> VerifierKind:
    """The strongest kind below ``harbor-steps`` that the names alone prove."""
    if tree.is_file("tests/test.sh") or tree.is_file("tests/test.bat"):
        return "harbor-shared"
    if tree.is_file("run-tests.sh") and tree.is_dir("tests"):
        return "terminal-bench"
    if tree.is_file("tests/verifier.py"):
        return "verifier-script"
    inside = [path for path in tree.files if path.startswith("tests/") and "/." not in path]
    bases = {path.rpartition("/")[2] for path in inside}
    if "judge.toml" in {path.rpartition("/")[2] for path in tree.files}:
        return "judge-config"
    if "verifier_data.json" in bases or any(base.startswith("expected") for base in bases) or _are_cases(inside):
        return "data-config"
    return "tests-without-entry" if inside else "none"


def _are_cases(paths: list[str]) -> bool:
    """Whether the files are inputs with their outputs: ``1.in`` and ``1.out``, or ``inputs/`` and ``outputs/``."""
    stems = {path[:-3] for path in paths if path.endswith(".in")}
    if any(path.endswith((".out", ".ans")) and path[:-4] in stems for path in paths):
        return True
    directories = {part for path in paths for part in path.split("/")[1:-1]}
    return bool(directories & {"inputs", "input"}) and bool(directories & {"outputs", "output"})
