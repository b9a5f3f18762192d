"""What names and task.toml make of a task together: layout, the verifier so far, whether Harbor loads it and why not.

Rows from one template agree in both, so the answer is kept with the names, by what task.toml says. Not where links
or ignore files lie in the task: then it also depends on what they say.
"""

from __future__ import annotations

from collections.abc import Sequence

from scanner.model import Buffer, Fault, Layout, printable
from scanner.tasks import harbor, verifier
from scanner.tasks.outline import MAX_BYTES
from scanner.tasks.shape import MAX_SIGNALS, Shape, Standing
from scanner.tasks.taskconfig import TaskConfig, TaskConfigs

_KEPT = 256
"""Answers kept with one list of names."""

_MAX_DETAIL_CHARS = 200

CONFIGS = TaskConfigs(2048)


def standing_of(names: Sequence[str], contents: Sequence[Buffer | None], seen: Shape) -> Standing:
    """How the task stands. Runs once a row."""
    index = seen.task_toml
    content = None if index is None else contents[index]
    config = None if content is None else CONFIGS.of(bytes(content))
    known = seen.standings.get(config)
    if known is None:
        known = _judge(names, contents, seen, config)
        is_of_all = not known.faults and not seen.tree.has_ignore_file  # a fault quotes a name
        if is_of_all and (content is None or len(content) <= MAX_BYTES):
            if len(seen.standings) >= _KEPT:
                seen.standings.clear()
            seen.standings[config] = known
    return known


def _judge(names: Sequence[str], contents: Sequence[Buffer | None], seen: Shape, config: TaskConfig | None) -> Standing:
    index = seen.task_toml
    if index is None:
        return Standing(seen.layout, seen.kind, seen.signals, harbor_reason="no task.toml")
    if config is None:
        return Standing(seen.layout, seen.kind, seen.signals, "task.toml: not read, it is too large or damaged")
    reason = config.reason
    if not config.parses:
        fault = Fault("invalid-toml", printable(names[index]), None, printable(reason or "")[:_MAX_DETAIL_CHARS])
        return Standing(seen.layout, seen.kind, seen.signals, f"task.toml: {reason}", (fault,))
    layout: Layout = "harbor-steps" if config.has_steps else seen.layout
    kind, signals = seen.kind, seen.signals
    if config.has_verifier:
        signals = tuple(dict.fromkeys((*signals, "toml:verifier@task.toml")))[:MAX_SIGNALS]
        kind = verifier.stronger("toml-only", kind)
    if config.demands is not None:
        task = harbor.Directory(seen.tree, config.demands, lambda path: _content(contents, seen, path))
        kind = verifier.stronger(verifier.kind_of_config(task), kind)
        reason = task.error()
    return Standing(layout, kind, signals, reason)


def _content(contents: Sequence[Buffer | None], seen: Shape, path: str) -> bytes | None:
    """The content of the file at ``path`` of the task, where it is at hand."""
    index = seen.tree.index_of(path)
    content = None if index is None else contents[index]
    return None if content is None else bytes(content)
