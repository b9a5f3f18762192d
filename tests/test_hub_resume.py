"""Scans of the Hub as a command: killed anywhere and run again, over what the terminal and the disk get to see."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hub_scans import make_repo, outputs
from hub_server import COMMIT_1, COMMIT_2, SIGNATURE, TOKEN, Fault, HubServer, Repo, Request, hub_of

import scanner
from scanner.shards import read_shard


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of several Units each."""
    return make_repo(tmp_path_factory.mktemp("repo"), [1300, 1100, 900], size=4_000)


@pytest.fixture(scope="module")
def local(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> scanner.Run:
    """The scan of the same files on disk."""
    return scanner.scan(repo, out=tmp_path_factory.mktemp("local") / "run", engine="serial")


def command(server: HubServer, tmp_path: Path, *arguments: str, **variables: str) -> dict[str, Any]:
    """What starts ``scanner`` with a home of its own, and with patience: on a loaded machine nothing has stalled."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "SCANNER_"))}
    env |= {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DOWNLOAD_TIMEOUT": "120"}
    env |= variables
    return {"args": [sys.executable, "-m", "scanner", *arguments], "env": env, "text": True}


def run(server: HubServer, tmp_path: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        **command(server, tmp_path, *arguments, **variables), capture_output=True, timeout=600, check=False
    )


def rows_on_disk(folder: Path) -> int:
    shards = [read_shard(path.read_bytes()) for path in folder.glob("shards/*/*.msgpack")]
    return sum(shard.n_rows for shard in shards if shard is not None)


@pytest.mark.parametrize("seed", range(4))
def test_killed_and_run_again_it_is_the_same_run(repo: Path, local: scanner.Run, tmp_path: Path, seed: int) -> None:
    """After SIGKILLs at random requests the Run is finished with the same bytes, and no Unit on disk is read again."""
    rng = Random(seed)
    out = tmp_path / "run"
    with hub_of(repo) as server:
        for _ in range(3):
            reached, resume = threading.Event(), threading.Event()
            left = rng.randrange(4, 14)

            def count(request: Request, reached: threading.Event = reached, resume: threading.Event = resume) -> bool:
                nonlocal left
                left -= 1
                if left <= 0:
                    reached.set()
                    resume.wait(60)
                return False

            server.faults[:] = [Fault("status", match=count)]
            process = subprocess.Popen(
                **command(
                    server, tmp_path, "scan", "org/tasks", "--out", str(out), "--format", "quiet", "--workers", "2"
                )
            )
            while process.poll() is None and not reached.wait(0.05):
                pass
            process.kill()
            process.wait()
            resume.set()
        server.faults.clear()
        before = rows_on_disk(out)
        done = run(server, tmp_path, "scan", "org/tasks", "--out", str(out), "--format", "quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    finished = scanner.Run(out)
    assert outputs(finished) == outputs(local)
    assert finished.account.planned == 3300
    assert (finished.manifest.reused_rows, finished.manifest.counters.rows) == (before, 3300 - before)


def columns_of_b(request: Request) -> bool:
    return request.host == "storage" and "b__2" in request.path


def test_exit_codes_and_what_is_told(repo: Path, local: scanner.Run, tmp_path: Path) -> None:
    """An unreadable file is exit code 3 and named; the same command then finishes; neither token nor address shows."""
    out = tmp_path / "run"
    with hub_of(repo, require_token=True) as server:
        server.faults.append(Fault("etag", times=1, match=columns_of_b, after=1))
        arguments = ("scan", "org/tasks", "--out", str(out))
        first = run(server, tmp_path, *arguments, HF_TOKEN=TOKEN, SCANNER_DEBUG="1")
        again = run(server, tmp_path, *arguments, HF_TOKEN=TOKEN)
        traced = run(server, tmp_path, *arguments, HF_TOKEN=TOKEN, HF_DEBUG="1")  # logs every request, addresses too
        refused = run(server, tmp_path, *arguments, HF_TOKEN="hf_" + "x" * 34)
        unknown = run(server, tmp_path, "scan", "org/none", "--out", str(tmp_path / "none"), HF_TOKEN=TOKEN)
    assert first.returncode == 3, first.stderr
    assert "b__2/tasks.parquet" in first.stdout + first.stderr
    assert "its ETag is another" in first.stdout + first.stderr
    assert again.returncode == 0, again.stderr
    assert outputs(scanner.Run(out)) == outputs(local)
    assert refused.returncode == 2
    assert refused.stderr.startswith("scanner: error: org/tasks: the Hub does not accept the token")
    assert refused.stderr.count("\n") == 1
    assert unknown.returncode == 2
    assert "there is no such dataset" in unknown.stderr
    seen = "".join(each.stdout + each.stderr for each in (first, again, refused, unknown))
    seen += "".join(path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file())
    assert TOKEN not in seen + traced.stderr
    assert "authorization: <TOKEN>" in traced.stderr
    assert SIGNATURE not in seen


def test_ctrl_c_leaves_a_run_that_goes_on(repo: Path, local: scanner.Run, tmp_path: Path) -> None:
    """While a body stalls, an interrupt ends the scan with 130 at once, and the same command finishes it."""
    out = tmp_path / "run"
    reached = threading.Event()

    def stalls(request: Request) -> bool:
        if columns_of_b(request) and request.range and request.range[0] == 4:
            reached.set()
            return True
        return False

    with hub_of(repo) as server:
        server.faults.append(Fault("stall", times=10**6, match=stalls))
        arguments = ("scan", "org/tasks", "--out", str(out), "--format", "quiet")
        process = subprocess.Popen(**command(server, tmp_path, *arguments, HF_HUB_DOWNLOAD_TIMEOUT="60"))
        assert reached.wait(60)
        while not (out / "run.json").exists():
            with suppress(subprocess.TimeoutExpired):
                raise AssertionError(f"it ended with {process.wait(0.05)}")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        server.faults.clear()
        assert scanner.Run(out).manifest.state == "partial"
        assert run(server, tmp_path, *arguments).returncode == 0
    assert outputs(scanner.Run(out)) == outputs(local)


def test_options_of_the_command(repo: Path, local: scanner.Run, tmp_path: Path) -> None:
    """``--revision``, ``--reuse`` and ``--download`` do on the command line what they do in Python."""
    later = make_repo(tmp_path / "later", [1300, 1100, 30], size=4_000)
    repos = {"org/tasks": Repo({COMMIT_1: repo, COMMIT_2: later}, {"main": COMMIT_2, "v1": COMMIT_1})}
    with HubServer(repos) as server:
        base = ("scan", "org/tasks", "--format", "json")
        first = run(server, tmp_path, *base, "--revision", "v1", "--out", str(tmp_path / "v1"))
        assert first.returncode == 0, first.stderr
        assert outputs(scanner.Run(tmp_path / "v1")) == outputs(local)
        arguments = (*base, "--out", str(tmp_path / "v2"), "--reuse", str(tmp_path / "v1"), "--download")
        second = run(server, tmp_path, *arguments)
        assert second.returncode == 0, second.stderr
        offline = run(server, tmp_path, *base, "--out", str(tmp_path / "off"), HF_HUB_OFFLINE="1")
    assert second.stderr == offline.stderr == ""
    manifest = json.loads(second.stdout)["manifest"]
    assert manifest["reused_from"] == {str(tmp_path / "v1"): 2400}
    assert manifest["counters"]["rows"] == 30
    assert outputs(scanner.Run(tmp_path / "off")) == outputs(scanner.Run(tmp_path / "v2"))


def test_a_rate_limit_is_seen_to_be_waited_for(repo: Path, tmp_path: Path) -> None:
    """A person sees on stderr why nothing happens yet, and for how long; with ``--format quiet`` nobody is told."""
    with hub_of(repo) as server:
        for format_ in ("human", "quiet"):
            server.faults.append(Fault("status", 429, {"Retry-After": "1"}, match=lambda r: "/tree/" in r.path))
            out = str(tmp_path / format_)
            done = run(server, tmp_path, "scan", "org/tasks", "--limit", "1", "--out", out, "--format", format_)
            line = "scanner: waiting 1 s before the next request, as the Hub asks (api)\n"
            assert (done.returncode, done.stderr.startswith(line)) == (0, format_ == "human")
        server.faults.append(Fault("status", 429, {"Retry-After": "1"}, match=lambda r: "/tree/" in r.path))
        assert run(server, tmp_path, "sources", "org/tasks").stderr == line
