"""What merging costs: parts of a plan that was never scanned, made of copies of real shards, merged in a process each.

    python bench/bench_merge.py --shards 10000 --rows 655 --parts 100

``--rows`` is the mean of a Unit: 655 in TaskTrove (4.8 kB a row), fewer where rows are larger. Copies have ids of their
own, since in a dataset few repeat. Printed is a JSON line for each number of shards: wall and processor seconds of
``scanner merge``, start included, by shard and by row, and its peak memory. Disk: about 300 bytes a row and shard file
(the merged Run links them) and 60 a row for tables, removed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import scanner
from scanner.assembly import Outputs, write_json
from scanner.corpus import make_corpus
from scanner.records import to_ipc
from scanner.run import Account, Share
from scanner.shards import Shard, ShardFolder, read_shard
from scanner.storage import open_folder

VARIANTS = 8
"""Different shards that are copied in turn."""

MERGE = """
import json, sys, time
started, cpu = time.perf_counter(), time.process_time()
from scanner.cli import main
code = main(["merge", *sys.argv[2:], "--out", sys.argv[1], "--format", "quiet"])
wall, cpu = time.perf_counter() - started, time.process_time() - cpu
from scanner.engines.limits import peak_memory
print(json.dumps({"code": code, "wall_seconds": round(wall, 2), "cpu_seconds": round(cpu, 2),
                  "peak_mb": round(peak_memory() / 1e6, 1)}))
"""
"""The process that is measured: what the command does, in a Python that has loaded nothing yet."""


def main() -> None:
    """Make the parts, merge them, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--rows", type=int, default=655, help="rows of a shard")
    parser.add_argument("--parts", type=int, default=100, help="Runs that are merged")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-merge-") as folder:
        shards, run = real_shards(Path(folder), arguments.rows)
        for n_shards in arguments.shards:
            simulated = Path(folder, f"{n_shards}")
            simulate(simulated, shards, run, n_shards, min(arguments.parts, n_shards))
            measured = measure(simulated)
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
        out = open_folder(folder / f"part-{part + 1}")
        outputs, kept = Outputs(out, first_row=cuts[part] * rows), ShardFolder(out)
        for unit in range(cuts[part], cuts[part + 1]):
            shard = with_own_ids(shards[unit % VARIANTS], unit)
            kept.write(shard)
            outputs.append(shard)
        outputs.close()
        manifest.digests = outputs.digests
        write_json(out, "run.json", manifest)


def with_own_ids(shard: Shard, unit: int) -> Shard:
    """A copy for a Unit whose blobs and contents are met nowhere else."""
    records = shard.table()
    random = np.random.default_rng(unit)
    for column in ("blob_id", "content_id"):
        ends = np.arange(0, 32 * (shard.n_rows + 1), 32, dtype=np.int32)
        digits = random.bytes(16 * shard.n_rows).hex().encode()
        ids = pa.Array.from_buffers(pa.string(), shard.n_rows, [None, pa.py_buffer(ends), pa.py_buffer(digits)])
        records = records.set_column(records.schema.get_field_index(column), column, ids)
    return msgspec.structs.replace(shard, unit=unit, records=to_ipc(records))


def measure(folder: Path) -> dict[str, Any]:
    """Merge the parts in ``folder``: what it took."""
    command = [sys.executable, "-c", MERGE, str(folder / "merged"), *map(str, sorted(folder.glob("part-*")))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    assert measured.pop("code") == 0, done.stderr
    return measured


if __name__ == "__main__":
    main()
