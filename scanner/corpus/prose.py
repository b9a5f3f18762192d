"""Seeded text that compresses like the real thing: topics with pools of sentences, tests and shell lines.

A real task speaks of one thing: its text repeats a few dozen words and identifiers, which is why DEFLATE takes it to a
quarter. So there are topics, each with a small vocabulary and pools of finished pieces written in it. They are made
once per seed and process (0.2 s); a row then picks a topic and draws pieces, which costs microseconds instead of the
hundreds that composing it word by word would.
"""

from __future__ import annotations

import re
from functools import lru_cache
from random import Random
from typing import Final

from scanner.corpus.pieces import ADJECTIVES, LOG_LINES, NOUNS, SENTENCES, SHELL, SYLLABLES, TESTS, VERBS

N_TOPICS: Final = 120
N_SENTENCES: Final = 61
N_SNIPPETS: Final = 89
"""Pieces of a topic. Both prime, so that any stride through them meets each piece once."""

SLOT: Final = re.compile(r"\{([a-z])\}")
EXTENSIONS: Final = ("csv", "txt", "json", "log", "py", "md", "sql", "yaml")


class Topic:
    """One vocabulary and what is written in it: lists to draw from, which nothing changes."""

    def __init__(self, rng: Random) -> None:
        choice = rng.choice
        self._rng = rng
        self.nouns = rng.sample(NOUNS, 8)
        self.verbs = rng.sample(VERBS, 5)
        self.adjectives = rng.sample(ADJECTIVES, 5)
        self.names = ["".join(rng.choices(SYLLABLES, k=choice((2, 2, 3)))).capitalize() for _ in range(5)]
        self.idents = [f"{choice(self.verbs)}_{choice(self.nouns)}" for _ in range(7)]
        self.numbers = [str(int(10 ** rng.uniform(1, 5))) for _ in range(9)]
        self.files = [f"{choice(self.nouns)}_{choice(self.nouns)}.{choice(EXTENSIONS)}" for _ in range(4)]
        self._slots = {
            "i": self.idents,
            "n": self.nouns,
            "v": self.verbs,
            "a": self.adjectives,
            "w": self.names,
            "f": self.files,
            "d": self.numbers,
            "s": list("123456789"),
        }
        self.sentences = self._written(SENTENCES, N_SENTENCES)
        self._slots["t"] = [sentence.replace("`", "") for sentence in self.sentences]
        self.tests = self._written(TESTS, N_SNIPPETS)
        self.shell = self._written(SHELL, N_SNIPPETS)
        self.log_lines = self._written(LOG_LINES, N_SNIPPETS)
        self.records = [
            f"{i},{choice(self.names)},{choice(self.nouns)},{rng.random() * 1000:.2f}" for i in range(N_SNIPPETS)
        ]

    def _written(self, templates: list[str], count: int) -> list[str]:
        """``count`` pieces, each a template with every slot drawn anew."""
        choice, slots = self._rng.choice, self._slots
        return [SLOT.sub(lambda slot: choice(slots[slot[1]]), choice(templates)) for _ in range(count)]


@lru_cache(maxsize=2)
def topics(seed: int) -> list[Topic]:
    """The topics of ``seed``, made once per process."""
    rng = Random(seed)  # noqa: S311 - a sample wants repeatable draws, not secrets
    return [Topic(rng) for _ in range(N_TOPICS)]
