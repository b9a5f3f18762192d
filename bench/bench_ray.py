"""What Ray costs on one node: the same scan by the processes engine and by Ray, in turns, on as many workers.

    python bench/bench_ray.py --rows 200000 --pairs 3

Printed is a JSON line a pair (wall seconds of the scan alone, without starting Ray, and processor seconds of this
process and all below it, Ray's daemons included) and the median ratios. The aim is at most 1.15. On a machine that
others use too, the processor seconds tell more: who has more processes gets more of it.

Ray reads with one decoder a worker where the processes engine has one for all, starts each portion with cold memos, and
sends shards through its object store; its own daemons take part of a core, which shows on a machine with few.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import ray

import scanner
from scanner.corpus import make_corpus


def main() -> None:
    """Scan in turns and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--corpus", type=Path, help="a folder of Parquet files instead of made ones")
    arguments = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with tempfile.TemporaryDirectory(prefix="bench-ray-") as folder:
        corpus = arguments.corpus or Path(folder, "corpus")
        if arguments.corpus is None:
            make_corpus(corpus, rows=arguments.rows, seed=1, workers=arguments.workers)
        ray.init(
            num_cpus=arguments.workers, include_dashboard=False, object_store_memory=256 << 20, log_to_driver=False
        )
        ratios: dict[str, list[float]] = {"wall": [], "cpu": []}
        for pair in range(arguments.pairs + 1):
            took = {engine: cost(corpus, Path(folder, engine), engine, arguments.workers) for engine in ENGINES}
            if pair == 0:  # it warms caches, and Ray's workers
                continue
            for kind, values in ratios.items():
                values.append(took["ray"][kind] / took["processes"][kind])
            print(
                json.dumps({**took, "ratio": {kind: round(values[-1], 3) for kind, values in ratios.items()}}),
                flush=True,
            )
        about = {"cores": os.cpu_count(), "python": platform.python_version(), "ray": ray.__version__}
        medians = {f"median_{kind}_ratio": round(statistics.median(values), 3) for kind, values in ratios.items()}
        print(json.dumps({**medians, "workers": arguments.workers, **about}))


ENGINES = ("processes", "ray")


def cost(corpus: Path, out: Path, engine: str, workers: int) -> dict[str, float]:
    """Wall and processor seconds of one scan."""
    before, started = cpu_seconds(), time.perf_counter()
    run = scanner.scan(corpus, out=out, engine=engine, workers=workers, fresh=True)
    assert run.manifest.state == "complete"
    return {"wall": round(time.perf_counter() - started, 2), "cpu": round(cpu_seconds() - before, 2)}


def cpu_seconds() -> float:
    """Processor time of this process and of all below it, what has ended and was waited for included (Linux)."""
    used: dict[int, float] = {}
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            fields = status.read_text().rpartition(")")[2].split()
            pid = int(status.parent.name)
            parents[pid], used[pid] = int(fields[1]), sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return sum(seconds for pid, seconds in used.items() if _is_below(pid, parents))


def _is_below(pid: int, parents: dict[int, int]) -> bool:
    while pid not in {0, os.getpid()}:
        pid = parents.get(pid, 0)
    return pid == os.getpid()


if __name__ == "__main__":
    main()
