"""Another version of this scanner, to be measured beside this tree: a release, a wheel, or a commit."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from bench.check import unpack
from bench.corpora import HOME, ROOT

DISTRIBUTION = "tasktrove-scanner"


def installed(release: str) -> Path:
    """Put a version into a folder of its own, under ``out/bench/releases``, for PYTHONPATH to lead to.

    It runs under this Python and with the packages that this tree uses, so nothing but the scanner differs.

    Args:
        release: The path of a wheel, a commit or tag of this repository, or a version in the package index.

    Raises:
        subprocess.CalledProcessError: there is no such thing.
    """
    folder = HOME / "releases" / re.sub(r"\W+", "-", Path(release).name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if Path(release).exists():
        _install(release, folder)
    elif _is_commit(release):
        unpack(release, folder)
    else:
        _install(f"{DISTRIBUTION}=={release}", folder)
    return folder


def _install(requirement: str, folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--target", str(folder), requirement], check=True)


def _is_commit(name: str) -> bool:
    asked = ["git", "rev-parse", "--quiet", "--verify", f"{name}^{{commit}}"]
    return subprocess.run(asked, cwd=ROOT, check=False, capture_output=True).returncode == 0
