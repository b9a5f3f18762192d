"""What is fuzzed: each target takes any bytes, and may neither raise nor take long. Shared with the property tests."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Final

from xxhash import xxh3_128_hexdigest

from scanner.collector import Collector
from scanner.content import content_type
from scanner.formats import RowStopped
from scanner.formats.registry import CODECS
from scanner.formats.tar import TarWalker
from scanner.formats.tar_header import BLOCK
from scanner.formats.text import classify
from scanner.formats.zip import walk_zip
from scanner.model import Blob, Record
from scanner.options import MIB, Limits
from scanner.ordinary import Ordinary
from scanner.probe import Probe
from scanner.tasks import TaskFile, interpret, interpret_json, jsontext, tasktoml
from scanner.tasks.dockerfile import base_image
from scanner.tasks.taskyaml import in_yaml

LIMITS: Final = Limits(output_bytes=MIB // 2, members=2_000, header_bytes=64 << 10, depth=2, seconds=5)
"""Small enough that an honest bomb takes a few milliseconds: what is looked for are dishonest ones."""

_PROBE: Final = Probe(LIMITS)
_ORDINARY: Final = Ordinary(Probe(LIMITS))
_ARENA: Final = bytearray(MIB // 4)


def row(data: bytes) -> None:
    """A whole row: everything at once."""
    record, _ = _PROBE(Blob(memoryview(data), "fuzz-1", "fuzz/x.parquet", 0))
    _check(record)


def tar(data: bytes) -> None:
    """The tar walker, in pieces whose size the first byte says; whole, it must say the same."""
    piece = 8 * data[0] + 7 if data else 1
    whole, cut = _walk_tar(data[1:], len(data) + 1), _walk_tar(data[1:], piece)
    if (whole.members, whole.faults) != (cut.members, cut.faults):
        raise AssertionError((whole.members, whole.faults, cut.members, cut.faults))
    _as_a_row(data[1 : 1 + len(data) // BLOCK * BLOCK])


def _as_a_row(raw: bytes) -> None:
    """The same tar in a row of its own: walked by compiled code it must give the record that the probe gives."""
    data = memoryview(gzip.compress(raw, 1))
    blob = Blob(data, "fuzz-1", "fuzz/x.parquet", 0)
    expected = _PROBE.scan(data, xxh3_128_hexdigest(data)).record(blob)
    reading = _ORDINARY.read(blob)
    record = reading.record(blob)
    expected.faults, record.faults = list(expected.faults), list(record.faults)
    if record != expected:
        raise AssertionError((record, expected))


def _walk_tar(raw: bytes, piece: int) -> Collector:
    sink = Collector(LIMITS)
    walker = TarWalker(sink, LIMITS)
    buffer = bytearray(raw)
    try:
        for at in range(0, len(raw), piece):
            walker.feed(buffer, at, min(at + piece, len(raw)))
        walker.close()
    except RowStopped as stop:
        sink.stopped(stop)
    return sink


def zip_(data: bytes) -> None:
    """The zip walker."""
    sink = Collector(LIMITS)
    try:
        walk_zip(memoryview(data), sink, LIMITS)
    except RowStopped as stop:
        sink.stopped(stop)


def codecs(data: bytes) -> None:
    """Each codec, behind its own magic or not; what one call inflates, the stream must give too."""
    for codec in CODECS:
        sink = Collector(LIMITS)
        size = codec.inflate_into(memoryview(data), _ARENA)
        out = bytearray()
        try:
            for piece in codec.stream(memoryview(data), sink, 4096):
                out += piece
                sink.spend(len(piece))
        except RowStopped:
            continue
        if size is not None and (bytes(_ARENA[:size]) != out or sink.damaged):
            raise AssertionError((codec.name, size, len(out), sink.faults))


def meaning(data: bytes) -> None:
    """The rules: the same bytes as each file they read."""
    names = ("task.toml", "instruction.md", "tests/test.sh", "environment/Dockerfile", "a.json", "task.yaml", "b.toml")
    interpret([TaskFile(name, "file", len(data), data) for name in names])
    interpret_json(data, lines=True)


def texts(data: bytes) -> None:
    """Every parser of text alone."""
    classify(data)
    content_type(data)
    jsontext.parse(data)
    base_image(data)
    in_yaml(data)
    tasktoml.parse(data.decode("utf-8", "replace"))


def _check(record: Record) -> None:
    broken = [fault for fault in record.faults if fault.kind == "internal-error"]
    if broken:
        raise AssertionError(broken)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "row": row,
    "tar": tar,
    "zip": zip_,
    "codecs": codecs,
    "meaning": meaning,
    "texts": texts,
}
