"""Runs made from seeded Records, for tests of what reads a Run: no data and no scan is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, get_args

import msgspec
import pyarrow as pa

from scanner.faults import FAULTS, FaultKind
from scanner.model import Census, Fault, Record, Status, VerifierKind
from scanner.readings import Readings
from scanner.records import RecordsWriter, to_arrow
from scanner.run import Account, Input, Manifest, Run
from scanner.shards import Counters
from scanner.stats import Distinct, Stats, StatsFile

HOSTILE = (
    "\x1b[2J\x1b[31mred\x07",
    "gpj.\u202eexe",
    "a\u200bb\u2028c",
    "[bold]markup[/bold] :smile: [/]",
    "<script>alert('x')</script>",
    "naïve 文件名 with spaces.txt",
    "z\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308",
    "long/" * 60 + "name.py",
)
"""Names as an attacker (or only an unlucky person) gives them."""

IMAGES = ("python:3.12-slim", "ubuntu:24.04", "node:20-bookworm-slim", "ghcr.io/opensource-envs/base:1.4")
REASONS = ("task.toml is missing", "environment/ is missing", "tests/test.sh is missing", "[task].name is not org/name")
KEYS = ("instruction", "tests", "metadata", "FAIL_TO_PASS", "repo", "version", "name", "inputs")
TYPES = ("text/plain", "application/json", "image/png", "text/x-shellscript", "application/zip", "text/x-python")
NAMES = (
    "instruction.md",
    "task.toml",
    "environment/Dockerfile",
    "tests/test.sh",
    "tests/test_outputs.py",
    "solution/solve.sh",
)


def make_run(
    folder: Path,
    *,
    rows: int = 300,
    sources: int | Sequence[str] = 5,
    seed: int = 0,
    hostile: bool = False,
    not_reached: int = 0,
    skipped: int = 0,
    state: str | None = None,
) -> Run:
    """A Run of ``rows`` rows in ``folder``, skewed over ``sources`` (names, or how many) as the real ones are.

    With ``hostile`` names, paths, reasons and images are :data:`HOSTILE` ones and every fault kind occurs.
    """
    rng = Random(seed)
    names = (
        [f"org-{n}__{rng.choice(('swe', 'bash', 'math'))}-tasks-v{n % 7}" for n in range(sources)]
        if isinstance(sources, int)
        else list(sources)
    )
    if hostile and names:
        names[-1] = HOSTILE[0]
    drawn = sorted(rng.choices(range(len(names)), [1 / (n + 1) for n in range(len(names))], k=rows)) if names else []
    counts: Counter[int] = Counter()
    records: list[Record] = []
    censuses: list[Census] = []
    for at in drawn:
        records.append(_record(rng, names[at], counts[at], hostile=hostile))
        counts[at] += 1
        censuses.append(_census(rng, hostile=hostile) if records[-1].status != "failed" else Census())
    stats = Stats()
    readings = Readings.of(records, censuses)
    stats.add(readings)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "stats.json", StatsFile.of(stats, _distinct(records)))
    with RecordsWriter(folder / "records.parquet") as writer:
        writer.write(pa.Table.from_batches([to_arrow(readings)]))
    manifest = _manifest(records, names, counts, not_reached=not_reached, skipped=skipped, state=state)
    _write(folder / "run.json", manifest)
    return Run(folder)


def _record(rng: Random, source: str, row: int, *, hostile: bool) -> Record:
    faults: list[Fault] = []
    if rng.random() < (0.7 if hostile else 0.04):
        kind: FaultKind = rng.choice(list(FAULTS))
        member = rng.choice(HOSTILE if hostile else NAMES)
        faults.append(Fault(kind, member, rng.randrange(10_000), "what the parser saw"))
    damaged = any(FAULTS[fault.kind].severity == "damage" for fault in faults)
    status: Status = "ok" if not damaged else rng.choice(("degraded", "failed"))
    failed = status == "failed"
    kind_of: VerifierKind = rng.choices(get_args(VerifierKind), [2, 1, 20, 3, 1, 3, 1, 2, 1, 1, 2])[0]
    loadable = kind_of.startswith("harbor") and not damaged
    path = f"{rng.choice(HOSTILE)}-{row}" if hostile else f"{source.rpartition('__')[2]}-{row:06d}"
    raw = int(rng.lognormvariate(10.2, 0.8))
    files = rng.randrange(4, 14)
    identity = f"{rng.randrange(max(2, 40 * (row + 1))):032x}"
    return Record(
        source=source,
        path=path,
        file=f"{source}/tasks.parquet",
        row=row,
        status=status,
        compressed_size=raw // 7 + 100,
        raw_size=None if failed else raw,
        codec=None if failed else rng.choices(("gzip", "none", "zstd"), [50, 2, 1])[0],
        format=None if failed else rng.choices(("tar", "json", "jsonl", "zip"), [50, 2, 1, 1])[0],
        n_members=0 if failed else files + 3,
        n_files=0 if failed else files,
        n_dirs=0 if failed else 3,
        largest_file=None if failed else "tests/test_outputs.py",
        largest_file_size=None if failed else raw // 3,
        layout=None if failed else rng.choices(("harbor", "harbor-steps", "terminal-bench"), [30, 1, 4])[0],
        verifier_kind=None if failed else kind_of,
        verifier_signals=() if failed else ("name:tests/test.sh",),
        heuristic_verifier=None if failed else kind_of != "none" and rng.random() < 0.8,
        harbor_loadable=None if failed else loadable,
        harbor_reason=None if failed or loadable else rng.choice(HOSTILE if hostile else REASONS),
        has_solution=None if failed else rng.random() < 0.6,
        base_image=None if failed else rng.choice(HOSTILE if hostile else IMAGES),
        instruction_file=None if failed else "instruction.md",
        instruction_chars=None if failed else 1200,
        instruction_preview=None if failed else "Write a program that " * 10,
        blob_id=identity,
        content_id=None if failed else identity,
        instruction_id=None if failed else identity * 2,
        faults=faults,
    )


def _census(rng: Random, *, hostile: bool) -> Census:
    names = [*NAMES, f"environment/data-{rng.randrange(50)}.json", *(rng.choices(HOSTILE, k=2) if hostile else ())]
    lies = [(".png", "text/plain", rng.choice(HOSTILE if hostile else NAMES))] if rng.random() < 0.02 else []
    return Census(names, rng.choices(TYPES, k=len(names)), rng.choices(KEYS, k=3), lies)


def _distinct(records: Sequence[Record]) -> dict[str | None, dict[str, Distinct]]:
    out: dict[str | None, dict[str, Distinct]] = {}
    for column in ("blob_id", "content_id", "instruction_id"):
        where: dict[str, set[str]] = {}
        for record in records:
            value = getattr(record, column)
            if value is not None:
                where.setdefault(value, set()).add(record.source)
        for source in [None, *{record.source for record in records}]:
            mine = [r for r in records if getattr(r, column) is not None and source in {None, r.source}]
            ids = [getattr(r, column) for r in mine]
            shared = sum(len(where[value]) > 1 for value in ids)
            out.setdefault(source, {})[column] = Distinct(len(ids), len(set(ids)), shared)
    return out


def _manifest(
    records: Sequence[Record],
    names: Sequence[str],
    counts: Counter[int],
    *,
    not_reached: int,
    skipped: int,
    state: str | None,
) -> Manifest:
    status = Counter(record.status for record in records)
    planned = len(records) + skipped + not_reached
    account = Account(planned, status["ok"], status["degraded"], status["failed"], skipped, not_reached)
    blob_bytes = sum(record.compressed_size for record in records)
    raw_bytes = sum(record.raw_size or 0 for record in records)
    seconds = max(len(records) / 12_345, 0.001)
    return Manifest(
        source="open-thoughts/TaskTrove",
        revision="5d1f0c2a9e7b4c3d8f6a1b0e2d4c6f8a9b7e5d3c",
        arguments={"split": "train", "depth": 0},
        state=state or ("partial" if not_reached else "complete"),
        inputs=[
            Input(f"{name}/tasks.parquet", counts[at], counts[at] * 5_000, f"etag-{at}", 1)
            for at, name in enumerate(names)
        ],
        n_units=max(1, len(records) // 500),
        account=account,
        not_reached={"*": "worker 3 died of SIGKILL again and again"} if not_reached else {},
        started="2025-11-23T16:00:00Z",
        wall_seconds=seconds,
        engine={"name": "processes", "workers": 2, "deaths": 0},
        counters=Counters(rows=len(records), blob_bytes=blob_bytes, raw_bytes=raw_bytes, cpu_ns=int(seconds * 1.9e9)),
        throughput={
            "rows_per_second": len(records) / seconds,
            "mb_per_second": blob_bytes / seconds / 1e6,
            "raw_mb_per_second": raw_bytes / seconds / 1e6,
        },
        cpu_seconds={"parent": seconds * 0.3, "workers": seconds * 1.9},
        peak_memory_mb={"parent": 210.0, "workers": 96.5},
        versions={"scanner": "0.1.0", "python": "3.11.7", "pyarrow": "18.1.0"},
        machine={"cpu": "AMD EPYC", "cores": "2", "system": "Linux"},
    )


def _write(path: Path, value: Any) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1))
