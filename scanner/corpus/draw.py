"""What the tasks of a corpus draw from: a :class:`Draw` per row, and the :class:`Template` a row is stamped out of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import Final, NamedTuple, TypeVar

from scanner.corpus.prose import Topic, topics

T = TypeVar("T")

IMAGES: Final = (
    "python:3.12-slim",
    "ubuntu:24.04",
    "python:3.11-slim-bookworm",
    "node:20-bookworm-slim",
    "debian:bookworm",
    "ghcr.io/opensource-envs/base:1.4",
    "rust:1.79-slim",
    "golang:1.22",
)
PACKAGES: Final = """
git curl jq tmux build-essential ca-certificates sqlite3 ripgrep unzip procps less vim-tiny
""".split()  # noqa: SIM905 - read and edited as text


class Draw:
    """Everything random about one row (or one template): the same for the same key, whoever asks, in whatever order."""

    __slots__ = ("name", "org", "random", "rng", "scale", "topic")

    def __init__(self, seed: int, key: int, org: str = "", name: str = "") -> None:
        self.rng = Random(key)  # noqa: S311 - a sample wants repeatable draws, not secrets
        self.random = self.rng.random
        self.scale = self.rng.lognormvariate(-0.1, 0.5)
        self.topic: Topic = self.pick(topics(seed))
        self.org = org
        self.name = name

    def pick(self, items: Sequence[T]) -> T:
        """One of ``items``, evenly."""
        return items[int(self.random() * len(items))]

    def some(self, items: Sequence[T], count: int) -> list[T]:
        """``count`` of ``items``, none twice before each was drawn once where their number is prime."""
        n = len(items)
        at, stride = int(self.random() * n), 1 + int(self.random() * (n - 1))
        return [items[i % n] for i in range(at, at + count * stride, stride)]

    def chance(self, share: float) -> bool:
        """True in ``share`` (0 to 1) of all calls."""
        return self.random() < share

    def size(self, typical: int) -> int:
        """A count around ``typical`` times the row's scale, with a long tail, as file sizes have it."""
        return 1 + int(typical * self.scale * self.rng.lognormvariate(-0.1, 0.4))

    def text(self, sentences: int) -> str:
        """Paragraphs of about four sentences."""
        drawn = self.some(self.topic.sentences, sentences)
        return "\n\n".join(" ".join(drawn[at : at + 4]) for at in range(0, sentences, 4)) + "\n"

    def words(self, count: int) -> list[str]:
        """Lower-case words, as keywords and tags are."""
        return self.some(self.topic.nouns, count)


class Template(NamedTuple):
    """What the tasks of one template share."""

    dockerfile: bytes
    test_sh: bytes
    image: str
    fixtures: tuple[tuple[str, bytes], ...]
    category: str


@lru_cache(maxsize=1024)
def template(seed: int, source: int, number: int) -> Template:
    """Template ``number`` of a source."""
    draw = Draw(seed, (seed << 64) | (source << 32) | (1 << 31) | number)
    image = IMAGES[number % len(IMAGES)] if number < 4 else draw.pick(IMAGES)
    packages = " ".join(sorted(set(draw.some(PACKAGES, 5))))
    python = " ".join(f"{name}=={draw.pick('123')}.{draw.pick('0123456789')}" for name in draw.words(3))
    dockerfile = (
        f"FROM {image}\n\nENV DEBIAN_FRONTEND=noninteractive \\\n    PYTHONUNBUFFERED=1\n\n"
        f"RUN apt-get update && apt-get install -y --no-install-recommends \\\n    {packages} \\\n"
        " && rm -rf /var/lib/apt/lists/*\n\n"
        f"# {draw.pick(draw.topic.sentences)}\nRUN pip install --no-cache-dir {python}\n\n"
        "WORKDIR /app\nCOPY . /app/\n"
    )
    test_sh = (
        "#!/bin/bash\nset -uo pipefail\nmkdir -p /logs/verifier\n\n"
        f"# {draw.pick(draw.topic.sentences)}\n"
        "curl -LsSf https://astral.sh/uv/0.7.13/install.sh | sh\nsource $HOME/.local/bin/env\n\n"
        f"uvx -p 3.13 -w pytest==8.{number % 5}.1 -w pytest-json-ctrf==0.3.5 \\\n"
        "  pytest --ctrf /logs/verifier/ctrf.json /tests/test_outputs.py -rA\n\n"
        "if [ $? -eq 0 ]; then\n  echo 1 > /logs/verifier/reward.txt\nelse\n  echo 0 > /logs/verifier/reward.txt\nfi\n"
    )
    return Template(
        dockerfile.encode(),
        test_sh.encode(),
        image,
        tuple(_fixture(draw) for _ in range(number % 3)),
        draw.pick(draw.topic.verbs) + "-" + draw.pick(draw.topic.nouns),
    )


def _fixture(draw: Draw) -> tuple[str, bytes]:
    """A file that the tasks of a template share, its content as its name says."""
    topic = draw.topic
    name = f"{draw.pick(topic.nouns)}_{draw.pick(topic.nouns)}"
    match draw.pick(("csv", "log", "json", "py", "setup")):
        case "csv":
            return f"environment/{name}.csv", "\n".join(draw.some(topic.records, draw.size(35))).encode()
        case "log":
            return f"environment/logs/{name}.log", "\n".join(draw.some(topic.log_lines, draw.size(20))).encode()
        case "json":
            rows = dict(zip(topic.idents, draw.some(topic.records, 7), strict=True))
            return f"environment/{name}.json", json.dumps(rows, indent=2).encode()
        case "py":
            return f"environment/app/{name}.py", "\n\n".join(draw.some(topic.tests, 4)).encode()
        case _:
            return f"setup_files/{name}.sh", "".join(draw.some(topic.shell, 6)).encode()
