"""How a measurement is kept: with machine, versions, commit and load, so that a figure can be judged later."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from scanner.manifest import machine, now_utc, usable_cores, versions

ROOT = Path(__file__).parent.parent


def load() -> float:
    """Processes that want a core, averaged over the last minute."""
    return os.getloadavg()[0]


def warn_if_busy() -> None:
    """Say on stderr that figures will be provisional."""
    if load() > usable_cores() / 2:
        print(f"load {load():.1f} on {usable_cores()} cores: figures are provisional, ratios too", file=sys.stderr)


def commit() -> str:
    """The commit, with ``+`` where the tree differs from it."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no", "--", "scanner") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _command() -> str:
    """What was started, without the folders of this machine: figures are made to be shared."""
    spec = sys.modules["__main__"].__spec__
    started = ["-m", spec.name.removesuffix(".__main__")] if spec is not None else [Path(sys.argv[0]).name]
    arguments = [Path(each).name if Path(each).is_absolute() else each for each in sys.argv[1:]]
    return " ".join(["python", *started, *arguments])


def save(figures: dict[str, Any], path: Path | None) -> None:
    """Write ``figures`` with their circumstances to ``path`` as JSON; None writes nothing."""
    if path is None:
        return
    about = {
        "taken": now_utc(),
        "commit": commit(),
        "load_at_end": round(load(), 2),
        "machine": machine(),
        "versions": versions(),
        "command": _command(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode({**about, **figures}), indent=1) + b"\n")
    print(f"saved: {path}")
