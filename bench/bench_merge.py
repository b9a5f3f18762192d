"""What merging costs: parts of a plan that was never scanned, made of copies of real shards, merged in a process each.

    python bench/bench_merge.py --shards 10000 --rows 655 --parts 100

``--rows`` is the mean of a Unit: 655 in TaskTrove (4.8 kB a row), fewer where rows are larger. Printed is a JSON line
for each number of shards: wall and processor seconds, by shard and by row, and the peak memory of the merging process.
Disk: about 260 bytes a row and shard file (the merged Run links them), removed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
from xxhash import xxh3_64_digest

import scanner
from scanner.corpus import make_corpus
from scanner.engines.limits import peak_memory
from scanner.run import Account, Share
from scanner.shards import Shard, ShardFolder, encode, read_shard
from scanner.storage import open_folder

VARIANTS = 8
"""Different shards that are copied in turn."""


def main() -> None:
    """Make the parts, merge them, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--rows", type=int, default=655, help="rows of a shard")
    parser.add_argument("--parts", type=int, default=100, help="Runs that are merged")
    parser.add_argument("--measure", metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(Path(arguments.measure))
        return
    with tempfile.TemporaryDirectory(prefix="bench-merge-") as folder:
        shards, run = real_shards(Path(folder), arguments.rows)
        for n_shards in arguments.shards:
            simulated = Path(folder, f"{n_shards}")
            simulate(simulated, shards, run, n_shards, min(arguments.parts, n_shards))
            command = [sys.executable, __file__, "--measure", str(simulated)]
            measured = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            measured |= {"shards": n_shards, "rows": arguments.rows * n_shards, "parts": arguments.parts}
            measured["ms_a_shard"] = round(1e3 * measured["wall_seconds"] / n_shards, 3)
            measured["us_a_row"] = round(1e6 * measured["wall_seconds"] / measured["rows"], 3)
            measured |= {"python": platform.python_version(), "cores": os.cpu_count()}
            print(json.dumps(measured), flush=True)


def real_shards(folder: Path, rows: int) -> tuple[list[Shard], scanner.Run]:
    """Shards of real scans of ``rows`` rows each, and one of the Runs they are from."""
    make_corpus(folder / "corpus", rows=max(VARIANTS * rows, 2_000), seed=1, workers=1)
    files = sorted((folder / "corpus").rglob("*.parquet"), key=lambda file: -pq.read_metadata(file).num_rows)
    table = pq.read_table(files[0])
    shards = []
    for variant in range(VARIANTS):
        part = table.take([(variant * rows + row) % len(table) for row in range(rows)])
        run = scanner.scan(part, out=folder / f"real-{variant}", engine="serial")
        found = [read_shard(path.read_bytes()) for path in run.folder.glob("shards/*/*")]
        assert len(found) == 1, "not one Unit"
        shards += [shard for shard in found if shard is not None]
    return shards, run


def simulate(folder: Path, shards: list[Shard], run: scanner.Run, n_shards: int, n_parts: int) -> None:
    """Parts of a plan of ``n_shards`` Units, as ``scan --shard`` leaves them."""
    rows = shards[0].n_rows
    cuts = [n_shards * part // n_parts for part in range(n_parts + 1)]
    for part in range(n_parts):
        manifest = msgspec.json.decode(msgspec.json.encode(run.manifest), type=type(run.manifest))
        manifest.arguments["shard"] = [part + 1, n_parts]
        manifest.share = Share("simulated", n_shards, n_shards * rows, cuts[part], cuts[part + 1])
        manifest.account = Account(rows * (cuts[part + 1] - cuts[part]), 0, 0, 0, 0, 0)
        out = folder / f"part-{part + 1}"
        names = ShardFolder(open_folder(out))
        for unit in range(cuts[part], cuts[part + 1]):
            shard = shards[unit % VARIANTS]
            shard.unit = unit
            data = encode(shard)
            path = out / names.name(unit)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(xxh3_64_digest(data) + data)
        out.mkdir(parents=True, exist_ok=True)
        (out / "run.json").write_bytes(msgspec.json.encode(manifest))


def measure(folder: Path) -> None:
    """Merge the parts in ``folder`` and print what this process took."""
    started, cpu = time.perf_counter(), time.process_time()
    run = scanner.merge(sorted(folder.glob("part-*")), folder / "merged")
    wall = time.perf_counter() - started
    assert run.manifest.state == "complete", run.manifest.not_reached
    peak = peak_memory() / 1e6
    cpu = time.process_time() - cpu
    print(json.dumps({"wall_seconds": round(wall, 2), "cpu_seconds": round(cpu, 2), "peak_mb": round(peak, 1)}))


if __name__ == "__main__":
    main()
