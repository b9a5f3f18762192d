"""One task.toml: parsed, judged by Harbor's rules on values, and remembered by its outline."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

import msgspec

from scanner.tasks import harbor, tasktoml
from scanner.tasks.demands import Demands, demands_of
from scanner.tasks.outline import MAX_BYTES, Cut, Outline, cut, outline_of
from scanner.tasks.outline_quick import like_texts

_CR = 13


class TaskConfig(msgspec.Struct, frozen=True, cache_hash=True, kw_only=True):
    """What a task.toml says that decides how the task stands. Equal for files that differ in anything else."""

    reason: str | None = None
    """Why it does not parse, or why Harbor refuses it; None where it does neither."""
    parses: bool = True
    has_steps: bool = False
    has_verifier: bool = False
    """Whether there is a ``[verifier]`` table."""
    demands: Demands | None = None
    """None where there is a reason."""

    def named(self, names: Sequence[str]) -> TaskConfig:
        """The same, with steps of other names."""
        if self.demands is None:
            return self
        return msgspec.structs.replace(self, demands=self.demands.named(names))


def config_of(value: dict[str, Any]) -> TaskConfig:
    """What a parsed task.toml says, judged by Harbor's rules on values."""
    reason = harbor.config_error(value)
    return TaskConfig(
        reason=reason,
        has_steps=bool(value.get("steps")),
        has_verifier=type(value.get("verifier")) is dict,
        demands=demands_of(value) if reason is None else None,
    )


class _Outlined(NamedTuple):
    """An outline, and what the texts that have it say, by what tells them apart."""

    outline: Outline
    configs: dict[tuple[object, ...], TaskConfig]


class TaskConfigs:
    """Reads task.toml files. Remembers ``entries`` answers and as many skeletons, each of at most 4 KiB of text."""

    def __init__(self, entries: int) -> None:
        self._entries = entries
        self.likes = like_texts(entries)
        self._like: list[TaskConfig] = []
        """What the texts say that are like number 1, number 2 ..."""
        self._numbers: dict[TaskConfig, int] = {}
        self._next_number = count(1)
        """Never given twice: who knows tasks by such a number need not be told of what was forgotten."""
        self._skeletons: dict[bytes, _Outlined | None] = {}
        self._n_configs = 0
        self._without_outline = lru_cache(entries // 4)(self._read)
        self._n_asked = 0
        self._n_judged = 0

    def of(self, data: bytes) -> TaskConfig:
        """What the bytes of a task.toml say. Runs once a task, and mostly costs what its outline costs."""
        self._n_asked += 1
        if not data.isascii():
            try:
                data.decode()
            except UnicodeDecodeError as error:
                self._n_judged += 1
                return TaskConfig(reason=f"not UTF-8 at byte {error.start}", parses=False)
        if _CR in data:  # Harbor opens it as text, which makes every kind of line end a \n
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if len(data) > MAX_BYTES:
            return self._read(data)
        number = self.likes.find(data) if self.likes is not None else 0
        return self._like[number - 1] if number else self._of_pieces(data)

    def _of_pieces(self, data: bytes) -> TaskConfig:
        """What a text says that is like none before, or whose kind is not noted: by its outline, if it has one."""
        pieces = cut(data)
        if pieces is None:
            return self._without_outline(data)
        outlined = self._skeletons.get(pieces.skeleton) or self._learn(pieces.skeleton)
        if outlined is None:
            return self._without_outline(data)
        names = outlined.outline.names(pieces)
        key = outlined.outline.key(pieces, names)
        config = outlined.configs.get(key)
        if config is None:
            config = self._judge(outlined, key, pieces, names)
        elif names:
            config = config.named(names)
        if not outlined.outline.has_steps:
            self._note(data, config)
        return config

    def _note(self, data: bytes, config: TaskConfig) -> None:
        """Find texts like this one at once from now on, where there is room."""
        number = self.likes.note(data) if self.likes is not None else 0
        if self.likes is not None and number == len(self._like) + 1:
            self._like.append(config)
            self.likes.note_config(number, self._numbers.setdefault(config, next(self._next_number)))

    def _learn(self, skeleton: bytes) -> _Outlined | None:
        if skeleton in self._skeletons:  # it has no outline
            return None
        if len(self._skeletons) >= self._entries:
            self._forget()
        outline = outline_of(skeleton)
        if outline is not None and self.likes is not None and not outline.has_steps:
            self.likes.note_outline(skeleton, outline.slots)
        outlined = self._skeletons[skeleton] = None if outline is None else _Outlined(outline, {})
        return outlined

    def _judge(self, outlined: _Outlined, key: tuple[object, ...], pieces: Cut, names: Sequence[str]) -> TaskConfig:
        self._n_judged += 1
        config = config_of(outlined.outline.document(pieces))
        if names and (config.demands is None or config.named(names) != config):
            return config  # what is wrong may be a name; and there are names that are no strings between quotes
        if self._n_configs >= self._entries:
            self._forget()
        else:
            self._n_configs += 1
            outlined.configs[key] = config
        return config

    def _forget(self) -> None:
        self._skeletons.clear()
        self._n_configs = 0
        if self.likes is not None:
            self.likes.start_over()
            self._like.clear()
            self._numbers.clear()

    def _read(self, data: bytes) -> TaskConfig:
        self._n_judged += 1
        value, error = tasktoml.parse(data.decode())
        return TaskConfig(reason=error, parses=False) if value is None else config_of(value)

    def counts(self) -> tuple[int, int]:
        """Files whose answer was known, and files that were judged."""
        return self._n_asked - self._n_judged, self._n_judged
