"""One task, packed in every way: what is said of it does not depend on how it is packed."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import cycle
from typing import Any

import msgspec
import pytest
from task_fixtures import Files, Link, as_bytes, real_blobs
from task_tables import KINDS, LAYOUTS

from scanner.corpus.pack import COMPRESSORS, Tree, gzip_blob, zip_blob
from scanner.faults import FAULTS
from scanner.model import Blob
from scanner.options import Limits
from scanner.probe import Probe

OF_THE_PACKING = {"compressed_size", "raw_size", "codec", "format", "n_members", "n_dirs", "blob_id", "faults"}
"""Columns that tell how a task is packed: whether directories are members is up to whoever packed it."""

NOTES_OF_THE_PACKING = {"high-ratio"}


def tar(tree: Tree, *, pax: bool = False) -> bytes:
    """By the standard library, in the order of ``tree``: GNU's form and files only, or PAX as the dataset has it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT) as archive:
        made = {""}
        for name, data in tree.items():
            parents = [name[:at] for at, char in enumerate(name) if char == "/"] if pax else []
            for parent in (each for each in parents if each not in made):
                made.add(parent)
                info = tarfile.TarInfo(parent)
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(info)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mtime = 1.5e9 + 0.25 if pax else 0  # a fraction makes a PAX header
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


PACKINGS: dict[str, Callable[[Tree], bytes]] = {
    "tar": tar,
    "pax": lambda tree: tar(tree, pax=True),
    "pax gzip": lambda tree: gzip_blob(tar(tree, pax=True)),
    "zip": lambda tree: zip_blob(tree)[0],
    "zip stored": lambda tree: zip_blob(tree, stored=True)[0],
    "zip gzip": lambda tree: gzip_blob(zip_blob(tree)[0]),
    **{f"tar {codec}": partial(lambda pack, tree: pack(tar(tree)), pack) for codec, pack in COMPRESSORS.items()},
}


def told(probe: Probe, blob: bytes) -> dict[str, Any]:
    """What a scan says of the task in ``blob``, without what it says of the packing; files in the order of names."""
    record, census = probe(Blob(memoryview(blob), "task-1", "org__made/tasks.parquet", 0))
    said = {key: value for key, value in msgspec.structs.asdict(record).items() if key not in OF_THE_PACKING}
    notes = [fault for fault in record.faults if FAULTS[fault.kind].severity == "note"]
    digests = census.digests or b""
    of_files = (census.names, census.content_types, [digests[at : at + 16] for at in range(0, len(digests), 16)])
    return said | {
        "verifier_signals": sorted(record.verifier_signals),
        "notes": sorted((n.kind, n.member or "", n.detail) for n in notes if n.kind not in NOTES_OF_THE_PACKING),
        "damage": [fault.kind for fault in record.faults if FAULTS[fault.kind].severity != "note"],
        "files": sorted(zip(*of_files, strict=False)),
        "json_keys": sorted(census.json_keys),
        "lies": sorted(census.lies),
    }


ALWAYS = ("tar", "tar gzip", "tar zstd", "zip")


def assert_one_answer(tree: Tree, name: str, probe: Probe, ways: Iterable[str] = PACKINGS) -> None:
    answers = {way: told(probe, PACKINGS[way](tree)) for way in ways}
    wanted = answers["tar"]
    assert wanted["status"] == "ok", name
    for way, answer in answers.items():
        differ = {key: (answer[key], wanted[key]) for key in wanted if answer[key] != wanted[key]}
        assert not differ, (name, way)


def tree_of(files: Files) -> Tree:
    """The plain files of a task, in the order of names: which of two files is first is the packer's choice."""
    found = {}
    for path, content in sorted(files.items()):
        if content is not None and not isinstance(content, Link):
            found[path] = as_bytes(content)
    return found


MADE = {
    f"{table}: {name}": tree_of(files)
    for table, rows in (("layout", LAYOUTS), ("kind", KINDS))
    for name, (files, _) in rows.items()
    if tree_of(files)
}


@pytest.mark.parametrize("tree", MADE.values(), ids=MADE)
def test_made_tasks(tree: Tree) -> None:
    """Every task of the tables of layouts and kinds, packed in each container and codec."""
    assert_one_answer(tree, "", Probe(Limits()))


def real_trees() -> Iterator[tuple[str, Tree]]:
    for name, blob in real_blobs():
        with tarfile.open(fileobj=io.BytesIO(blob)) as archive:
            files = {info.name: archive.extractfile(info).read() for info in archive if info.isreg()}  # type: ignore[union-attr]
        yield name, dict(sorted(files.items()))


def test_real_tasks() -> None:
    """Every row of the real corpus, packed again: in the usual ways, and in one of the others in turn."""
    probe = Probe(Limits())
    others = cycle([way for way in PACKINGS if way not in ALWAYS])
    for name, tree in real_trees():
        assert_one_answer(tree, name, probe, [*ALWAYS, next(others)])
