"""Unpacking tasks to folders: ``scanner export`` against the standard library's way, both in this one process.

    python bench/bench_export.py [--tasks 1000] [--pairs 7] [--on DIR]

The other way is what one writes by hand: ``tarfile.open`` and ``extractall(filter="data")``, a folder a task; first it
is made sure that both write the same files. The floor is what the file system takes alone: the same directories and
files, made from content that lies in memory already. All write into a file system in memory where there is one
(``/dev/shm``): on a disk that others use too, all three wait for its journal, and it is the journal that is measured.
Printed is a JSON line: µs a task, and the medians of the paired ratios with their intervals.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median

from scanner import open_task
from scanner.bench.ratios import PAIRS, Cost, alternate, cost_of, ratio_of
from scanner.corpus import make_corpus
from scanner.explore import Explorer
from scanner.explore.export import MANIFEST, export
from scanner.model import Blob

MEMORY = Path("/dev/shm")

Unpacked = list[tuple[str, list[str], list[tuple[str, int, bytes]]]]
"""Per task its folder, the directories in it, and of each file path, mode and content."""


def ours(blobs: list[Blob], folder: Path) -> None:
    for _ in export(blobs, folder):
        pass


def standard(blobs: list[Blob], folder: Path) -> None:
    for blob in blobs:
        assert blob.data is not None
        with tarfile.open(fileobj=io.BytesIO(blob.data), mode="r:*") as archive:
            archive.extractall(folder / blob.path.replace("/", "_"), filter="data")


def floor(tasks: Unpacked, folder: Path) -> None:
    """Nothing but the calls of the system without which there are no files: mkdir, and open, write, close."""
    home = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for name, directories, files in tasks:
        os.mkdir(name, 0o755, dir_fd=home)
        here = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=home)
        for directory in directories:
            os.mkdir(directory, 0o755, dir_fd=here)
        for path, mode, content in files:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode, dir_fd=here)
            os.write(file, content)
            os.close(file)
        os.close(here)
    os.close(home)


def in_memory(blobs: list[Blob]) -> Unpacked:
    """What :func:`floor` writes: the tasks as they are once unpacked."""
    tasks: Unpacked = []
    for blob in blobs:
        with open_task(blob.data, path=blob.path) as task:
            files = [
                (m.name, 0o755 if m.mode & 0o100 else 0o644, task.read(m)) for m in task.members() if m.kind == "file"
            ]
            parents = {str(parent) for path, _, _ in files for parent in Path(path).parents} - {"."}
            stated = {member.name.rstrip("/") for member in task.members() if member.kind == "dir"}
            tasks.append((blob.path.replace("/", "_"), sorted(parents | stated), files))
    return tasks


def check_equal(blobs: list[Blob], parent: Path) -> None:
    """Exit where the two do not write the same files."""
    with tempfile.TemporaryDirectory(dir=parent) as first, tempfile.TemporaryDirectory(dir=parent) as second:
        ours(blobs, Path(first))
        standard(blobs, Path(second))
        if _files(Path(first)) != _files(Path(second)):
            sys.exit("the two ways write different files: the comparison would be unfair")


def _files(root: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
        if path.name != MANIFEST
    }


def measured(work: Callable[[Path], None], parent: Path) -> Cost:
    """The cost of one pass into a fresh folder; removing it again is not counted."""
    folder = Path(tempfile.mkdtemp(prefix="bench-export-", dir=parent))
    try:
        return cost_of(lambda: work(folder))
    finally:
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1_000)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--on", type=Path, default=MEMORY if MEMORY.is_dir() else Path(tempfile.gettempdir()))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as corpus:
        make_corpus(corpus, rows=4 * asked.tasks)
        rows = Explorer(corpus, include=["opentasks__stack-pytest"]).rows
        blobs = list(islice(rows, asked.tasks))
    check_equal(blobs[:50], asked.on)
    ways = {
        "ours": partial(ours, blobs),
        "standard": partial(standard, blobs),
        "floor": partial(floor, in_memory(blobs)),
    }
    costs = alternate({name: partial(measured, work, asked.on) for name, work in ways.items()}, asked.pairs + 1)
    wall = {name: [cost.wall_seconds for cost in each[1:]] for name, each in costs.items()}  # the first pass warms up
    cpu = {name: [cost.cpu_seconds for cost in each[1:]] for name, each in costs.items()}

    def microseconds(seconds: dict[str, list[float]]) -> dict[str, float]:
        return {name: round(median(each) / len(blobs) * 1e6, 1) for name, each in seconds.items()}

    print(
        json.dumps(
            {
                "tasks": len(blobs),
                "wall_us_per_task": microseconds(wall),
                "cpu_us_per_task": microseconds(cpu),
                "times_faster_wall": str(ratio_of(wall["standard"], wall["ours"])),
                "times_faster_cpu": str(ratio_of(cpu["standard"], cpu["ours"])),
                "times_the_floor_wall": str(ratio_of(wall["ours"], wall["floor"])),
                "times_the_floor_cpu": str(ratio_of(cpu["ours"], cpu["floor"])),
                "on": str(asked.on),
                "python": platform.python_version(),
            }
        )
    )


if __name__ == "__main__":
    main()
