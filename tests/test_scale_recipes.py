"""The recipes of docs/scale.md, run as they stand there: of each platform only what starts its jobs is ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub_server import COMMIT_1, hub_of

import scanner
from scanner.corpus import make_corpus
from scanner.run import Run

PAGE = Path(__file__).parent.parent / "docs" / "scale.md"
OUTPUTS = ("records.parquet", "members.parquet", "stats.json")


def recipe(language: str, marker: str) -> str:
    """The block of code that says ``marker``."""
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (found,) = [block for block in blocks if marker in block]
    return str(found)


def run_shell(script: str, folder: Path, **environment: str) -> None:
    """As a batch system does it: a shell of its own, which ends with the first command that fails."""
    path = os.pathsep.join([str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    own = {**os.environ, "PATH": path, "COLUMNS": "100", **environment}
    done = subprocess.run(["bash", "-ec", script], cwd=folder, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def shim(folder: Path, name: str, script: str) -> None:
    """A command that a recipe calls and this machine does not have."""
    command = folder / "bin" / name
    command.parent.mkdir(exist_ok=True)
    command.write_text(f"#!/bin/bash\n{script}\n")
    command.chmod(0o755)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes") / "data"
    make_corpus(folder, rows=400, workers=1)
    return folder


def assert_same(run: Path, one_scan: Run) -> None:
    assert Run(run).manifest.state == "complete"
    for name in OUTPUTS:
        assert (run / name).read_bytes() == (one_scan.folder / name).read_bytes(), name


def test_the_slurm_array(corpus: Path, tmp_path: Path) -> None:
    """The script once for each task of the array, then merge: the bytes of one scan. Three tasks, not a hundred."""
    script = recipe("bash", "#SBATCH")
    assert "--array=1-100" in script
    shared = tmp_path / "shared"
    shutil.copytree(corpus, shared / "data", copy_function=shutil.copy2)
    script = script.replace("/shared", str(shared)).replace("/100", "/3")
    for task in (2, 3, 1):
        run_shell(script, tmp_path, SLURM_ARRAY_TASK_ID=str(task))
    run_shell(f"scanner merge {shared}/parts/* --out run --format quiet", tmp_path)
    assert_same(tmp_path / "run", scanner.scan(shared / "data", out=tmp_path / "one", engine="serial"))


def test_the_github_matrix(corpus: Path, tmp_path: Path) -> None:
    """Each job in an empty folder, with the dataset on a Hub and the parts carried over as artifacts."""
    jobs = yaml.safe_load(recipe("yaml", "strategy"))["jobs"]
    artifacts = tmp_path / "artifacts"
    with hub_of(corpus, "ORG/NAME") as hub:
        environment = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_TELEMETRY": "1"}
        for part in jobs["part"]["strategy"]["matrix"]["part"]:
            values = {"vars.COMMIT": COMMIT_1, "matrix.part": str(part)}
            do_job(jobs["part"], values, tmp_path / f"job-{part}", artifacts, environment)
        assert jobs["merge"]["needs"] == "part"
        do_job(jobs["merge"], {}, tmp_path / "merge", artifacts, environment)
    assert len(list(artifacts.iterdir())) == 4
    merged = Run(tmp_path / "merge" / "run")
    assert merged.manifest.revision == COMMIT_1
    one_scan = scanner.scan(corpus, out=tmp_path / "one", engine="serial")
    assert merged.account == one_scan.account
    assert (merged.folder / "stats.json").read_bytes() == (one_scan.folder / "stats.json").read_bytes()


def do_job(
    job: Mapping[str, Any], values: Mapping[str, str], folder: Path, artifacts: Path, environment: Mapping[str, str]
) -> None:
    """The steps of a job: its commands, and what the two artifact actions do, by their documentation."""
    folder.mkdir()
    shim(folder, "pip", 'test "$*" = "install tasktrove-scanner"')  # it is installed here
    for step in job["steps"]:
        if "run" in step:
            command = re.sub(r"\$\{\{ *(.*?) *\}\}", lambda found: values[found[1]], step["run"])
            run_shell(command, folder, **environment)
        elif step["uses"].startswith("actions/upload-artifact@"):
            name, path = (
                re.sub(r"\$\{\{ *(.*?) *\}\}", lambda found: values[found[1]], step["with"][key])
                for key in ("name", "path")
            )
            shutil.copytree(folder / path, artifacts / name)
        else:
            assert step["uses"].startswith("actions/download-artifact@")
            shutil.copytree(artifacts, folder, dirs_exist_ok=True)  # without a name: all, in a folder each


def test_the_hugging_face_jobs(corpus: Path, tmp_path: Path) -> None:
    """The loop submits four commands that scan the four parts, and the last line merges them.

    ``hf jobs run`` runs its command here and at once; the bucket is a folder.
    """
    shim(tmp_path, "hf", 'while [ "$1" != bash ]; do shift; done; exec "$@"')
    shim(tmp_path, "pip", 'test "$*" = "install -q tasktrove-scanner"')
    script = recipe("bash", "hf jobs run").replace("hf://buckets/ORG/scans", f"file://{tmp_path}/bucket")
    with hub_of(corpus, "ORG/NAME") as hub:
        run_shell(script, tmp_path, HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path / "home"))
    one_scan = scanner.scan(corpus, out=tmp_path / "one", engine="serial")
    assert Run(tmp_path / "bucket" / "run").account == one_scan.account
    assert (tmp_path / "bucket" / "run" / "stats.json").read_bytes() == (one_scan.folder / "stats.json").read_bytes()
