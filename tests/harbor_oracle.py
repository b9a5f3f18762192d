"""The real Harbor as an oracle: which task directories does its ``Task.is_valid_dir`` accept?

Harbor needs Python 3.12 and some eighty packages, so it lives in an environment of its own, ``.harbor-venv`` beside
``pyproject.toml``::

    python tests/harbor_oracle.py install    # once; any Python 3.12+ that is found builds it
    python tests/harbor_oracle.py judge      # run by judge() in that environment: JSON paths in, JSON verdicts out

Harbor pins ``certifi`` to a release that some mirrors do not have yet. Its rules do not use certifi, so its other
requirements are installed as they are stated, and Harbor itself without its dependencies.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

HARBOR = "harbor==0.25.0"
ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".harbor-venv"
PYTHON = ENVIRONMENT / "bin" / "python"
_NEEDS = (3, 12)
_UNPINNED = "certifi"


def is_installed() -> bool:
    """Whether the environment is there and complete: :func:`install` writes its mark last."""
    return (ENVIRONMENT / HARBOR).exists()


def pythons() -> list[str]:
    """Interpreters of Python 3.12 or newer on this machine: on PATH, or kept by pyenv; the oldest first."""
    named = [shutil.which(f"python3.{minor}") for minor in range(12, 20)] + [shutil.which("python3"), sys.executable]
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [*(str(path) for path in sorted(kept.glob("3.*/bin/python3"))), *(path for path in named if path)]
    versions = {path: version for path in dict.fromkeys(found) if (version := _version(path)) >= _NEEDS}
    return sorted(versions, key=versions.__getitem__)


def _version(python: str) -> tuple[int, ...]:
    asked = subprocess.run(
        [python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False
    )
    return tuple(int(part) for part in asked.stdout.split())  # a shim without a version behind it prints nothing


def install() -> None:
    """Make :data:`ENVIRONMENT`. Raises SystemExit where there is no Python 3.12, CalledProcessError where pip fails."""
    if is_installed():
        return
    found = pythons()
    if not found:
        raise SystemExit("Harbor needs Python 3.12 or newer, and none was found on PATH or in pyenv.")
    subprocess.run([found[0], "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", HARBOR], check=True)
    listed = subprocess.run([str(PYTHON), __file__, "requirements"], capture_output=True, text=True, check=True)
    subprocess.run([*pip, *listed.stdout.splitlines()], check=True)
    (ENVIRONMENT / HARBOR).touch()


def _requirements() -> list[str]:
    stated = [line for line in metadata.requires("harbor") or [] if "extra ==" not in line]
    return [_UNPINNED if re.match(rf"{_UNPINNED}\b", line) else line for line in stated]


def judge(directories: Sequence[Path]) -> dict[Path, bool]:
    """Harbor's verdict on each directory, from one process. An exception out of Harbor counts as no."""
    asked = subprocess.run(
        [str(PYTHON), "-W", "ignore", __file__, "judge"],
        input=json.dumps([str(path) for path in directories]),
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    return {Path(path): verdict for path, verdict in json.loads(asked.stdout).items()}


def _judge(directories: Iterable[str]) -> dict[str, bool]:
    from harbor.models.task.task import Task  # type: ignore[import-not-found]

    def accepts(directory: str) -> bool:
        try:
            return bool(Task.is_valid_dir(Path(directory)))
        except Exception:  # noqa: BLE001 - Harbor lets an OverflowError of a size like "infG" pass through
            return False

    return {directory: accepts(directory) for directory in directories}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["install"]:
            install()
        case ["requirements"]:
            sys.stdout.write("\n".join(_requirements()))
        case ["judge"]:
            sys.stdout.write(json.dumps(_judge(json.load(sys.stdin))))
        case _:
            raise SystemExit(__doc__)
