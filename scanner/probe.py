"""One Blob to one Reading: sniff, inflate, walk, interpret, keep the limits. Never raises for what is in the data.

Small sound rows (nearly all) are inflated in one call into an arena that is used again and again; anything else streams
through in pieces of constant size. Both feed the same walkers and give the same Reading.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, TypeVar

import msgspec
from xxhash import xxh3_128_digest, xxh3_128_hexdigest

from scanner import tasks
from scanner.collector import Collector
from scanner.formats import Codec, RowStopped
from scanner.formats.tar import TarWalker
from scanner.formats.text import TextSniffer, classify
from scanner.formats.zip import walk_zip
from scanner.model import (
    Blob,
    Census,
    CodecName,
    Common,
    Fault,
    FormatName,
    Meaning,
    Member,
    MemberKind,
    Reading,
    Record,
    Status,
    printable,
)
from scanner.options import CHUNK_BYTES, INTERPRET_BYTES, SMALL_BYTES, Limits
from scanner.sniff import HEAD_BYTES, codec_of, container_of, has_zip_tail
from scanner.twins import Twins

T = TypeVar("T")

HIGH_RATIO: Final = 200
"""A row that inflates to more than so many times its size is noted."""

ZIP_BUFFER_BYTES: Final = 64 << 20
"""A zip inside a codec is read up to this size: its directory stands at the end, so it has to be whole in memory."""

_TIMED_EVERY: Final = 33
"""Rows between two whose inflating is timed."""

_HEAD_BYTES: Final = 1024
"""Two tar blocks: what the container is judged by."""


class Inflated(msgspec.Struct, gc=False):
    """What a row holds, as a whole at the start of the probe's arena."""

    codec: CodecName
    size_bytes: int | None
    """None where it is too large for that, or unsound, or a zip, which is read as it lies."""


class Probe:
    """Scans rows, one after the other. Holds an arena of ``SMALL_BYTES``; make one in each worker."""

    def __init__(self, limits: Limits, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.limits = limits
        self.streamed_rows = 0
        self.raw_bytes = 0
        self.timed_ns = self.timed_bytes = 0
        """Processor time of inflating some of the rows, and the bytes that came out of them."""
        self.twins = Twins()
        self.arena = bytearray(SMALL_BYTES)
        self._chunk_bytes = chunk_bytes
        self.until_timed = 0
        """Rows to be inflated until the next one that is timed."""

    def __call__(self, blob: Blob) -> tuple[Record, Census]:
        """The Record of a row and what it adds to the counters. The blob is not kept."""
        reading = self.read(blob)
        return reading.record(blob), reading.census()

    def read(self, blob: Blob) -> Reading:
        """What a row says. The blob is not kept."""
        data = blob.data
        if data is None:
            return failed_reading(blob, [Fault(blob.flaw or "null-blob")])
        blob_id = xxh3_128_hexdigest(data)
        return self.known(data, blob_id) or self.scan(data, blob_id)

    def known(self, data: memoryview, blob_id: str) -> Reading | None:
        """What a row said that had the same bytes, where it was met lately."""
        reading = self.twins.find(blob_id, data)
        if reading is not None:
            self.raw_bytes += reading.raw_size or 0
        return reading

    def inflate(self, data: memoryview) -> Inflated:
        """A row into the arena."""
        codec = codec_of(bytes(data[:HEAD_BYTES]))
        if codec is None:
            if len(data) > SMALL_BYTES or container_of(data) == "zip":
                return Inflated("none", None)
            memoryview(self.arena)[: len(data)] = data  # a slice of the bytearray would copy it twice
            return Inflated("none", len(data))
        self.until_timed -= 1
        if self.until_timed >= 0:
            size = codec.inflate_into(data, self.arena)
        else:
            self.until_timed = _TIMED_EVERY  # whatever comes of it
            size = self._inflate_timed(codec, data)
        limit = self.limits.output_bytes
        return Inflated(codec.name, None if size is None or (limit and size > limit) else size)

    def _inflate_timed(self, codec: Codec, data: memoryview) -> int | None:
        """``inflate_into``, timed."""
        size, took_ns = timed(partial(codec.inflate_into, data, self.arena))
        if size is not None:
            self.took(took_ns, size)
        return size

    def took(self, inflating_ns: int, size_bytes: int) -> None:
        """Note what inflating a row took: one of 33, for the efficiency that a Run records."""
        self.timed_ns += inflating_ns
        self.timed_bytes += size_bytes
        self.until_timed = _TIMED_EVERY

    def scan(self, data: memoryview, blob_id: str, inflated: Inflated | None = None) -> Reading:
        """The same for a row that was not met. ``inflated``: what :meth:`inflate` said of it, where it was asked."""
        try:
            return self._scan(data, blob_id, inflated)
        except MemoryError:
            raise  # the engine's to judge: a heap at its limit would fail the next rows too
        except Exception as error:  # noqa: BLE001 - a defect of ours on one row must not cost the other rows
            fault = Fault("internal-error", detail=f"{type(error).__name__}: {printable(str(error))[:200]}")
            return Reading(Common("failed"), len(data), blob_id=blob_id, faults=[fault])

    def _scan(self, data: memoryview, blob_id: str, inflated: Inflated | None) -> Reading:
        row = _Row(Collector(self.limits))
        try:
            self._read(data, row, inflated or self.inflate(data))
        except RowStopped as stop:
            row.sink.stopped(stop)
        row.interpret()  # before anything else is inflated: what the rules asked for lies in the arena
        try:
            self._open_nested(row.sink)
        except RowStopped as stop:
            row.sink.stopped(stop)
        self.raw_bytes += row.raw_size
        reading = row.reading(len(data), blob_id)
        self.twins.keep(data, reading)
        return reading

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(self, data: memoryview, row: _Row, inflated: Inflated) -> None:
        row.codec, size = inflated.codec, inflated.size_bytes
        if size is not None:
            row.raw_size = size
            if row.codec != "none":
                row.sink.spend(size)
            self._walk_whole(row)
        elif row.codec != "none":
            self.streamed_rows += 1
            self._read_stream(self._stream(data, row.sink), row)
        elif container_of(data) == "zip":
            row.raw_size = len(data)
            row.format = "zip"
            walk_zip(data, row.sink, self.limits)
        else:
            pieces = (bytes(data[at : at + self._chunk_bytes]) for at in range(0, len(data), self._chunk_bytes))
            self._read_stream(pieces, row)

    def _stream(self, data: memoryview, sink: Collector) -> Iterator[bytes]:
        codec = codec_of(bytes(data[:HEAD_BYTES]))
        return iter(()) if codec is None else codec.stream(data, sink, self._chunk_bytes)

    def _walk_whole(self, row: _Row) -> None:
        """What lies at the start of the arena."""
        container = container_of(self.arena, row.raw_size)
        if container == "tar":
            row.format = "tar"
            walker = TarWalker(row.sink, self.limits)
            walker.feed(self.arena, 0, row.raw_size)
            walker.close()
            return
        self._read_buffer(memoryview(self.arena)[: row.raw_size], row, is_zip=container == "zip")

    def _read_buffer(self, raw: memoryview, row: _Row, *, is_zip: bool) -> None:
        """Raw bytes that are whole in memory and no tar."""
        if is_zip or has_zip_tail(raw):
            row.format = "zip"
            walk_zip(raw, row.sink, self.limits)
            return
        row.format = classify(raw)
        if not row.sink.level:
            row.sink.pairs.append(b"\0" + xxh3_128_digest(raw))
        if row.format in ("json", "jsonl"):
            row.meaning = tasks.interpret_json(raw, lines=row.format == "jsonl")

    def _read_stream(self, pieces: Iterable[bytes], row: _Row) -> None:
        source = iter(pieces)
        head = _head(source, row.sink)
        if container_of(head) == "tar":
            row.format = "tar"
            walker = TarWalker(row.sink, self.limits)
            for piece in _chain(head, source):
                row.raw_size += len(piece)
                row.sink.spend(len(piece))
                walker.feed(piece, 0, len(piece))
            walker.close()
            return
        self._read_odd_stream(head, source, row, is_zip=container_of(head) == "zip")

    def _read_odd_stream(self, head: bytes, source: Iterator[bytes], row: _Row, *, is_zip: bool) -> None:
        """A stream that is no tar: kept whole as far as that is allowed, beyond that only told text from binary."""
        most = ZIP_BUFFER_BYTES if is_zip else INTERPRET_BYTES
        kept: bytearray | None = bytearray()
        sniffer = TextSniffer()
        for piece in _chain(head, source):
            row.raw_size += len(piece)
            row.sink.spend(len(piece))
            sniffer.feed(piece)
            if kept is not None:
                kept += piece
                if len(kept) > most:
                    kept = None
        if kept is not None:
            self._read_buffer(memoryview(kept), row, is_zip=is_zip)
            return
        row.format = "zip" if is_zip else sniffer.close()
        row.sink.fault("limit:buffer", detail=f"{row.format} of more than {most:,} bytes")

    def _open_nested(self, sink: Collector) -> None:
        """Archives inside the archive, and inside those, as deep as the limits say."""
        while sink.nested:
            sink.level += 1
            for name, data in sink.take_nested():
                sink.prefix = name + "!/"
                view = memoryview(data)
                self._read(view, _Row(sink), self.inflate(view))


class _Row:
    """What is known so far of one row (or of one archive nested in it)."""

    __slots__ = ("codec", "format", "meaning", "raw_size", "sink")

    def __init__(self, sink: Collector) -> None:
        self.sink = sink
        self.codec: CodecName = "none"
        self.format: FormatName | None = None
        self.raw_size = 0
        self.meaning: Meaning | None = None

    def interpret(self) -> None:
        """Ask the rules what the members mean, once all of them are there."""
        sink = self.sink
        if self.format in ("tar", "zip"):
            sink.note_collisions()
            names, kinds = [member.name for member in sink.read], [member.kind for member in sink.read]
            links = [member.link for member in sink.read] if "symlink" in kinds or "hardlink" in kinds else ()
            self.meaning = tasks.meaning_of(names, kinds, sink.contents, sink.content_digests, links)
            sink.let_go()
        for fault in self.meaning.faults if self.meaning is not None else ():
            sink.fault(fault.kind, member=fault.member, offset=fault.offset, detail=fault.detail)

    def reading(self, compressed_size: int, blob_id: str) -> Reading:
        """All of it. Notes what the sizes say."""
        sink = self.sink
        came_out = max(self.raw_size, sink.spent_bytes)  # of the codec, or of the entries of a zip and nested archives
        if came_out > HIGH_RATIO * compressed_size:
            sink.fault("high-ratio", detail=f"{came_out // compressed_size:,} times its size")
        status, names, types = self.status(), sink.names, sink.types
        if self.format is None:  # stopped before anything could be told
            common = Common(status, self.codec, names=names, content_types=types)
            return Reading(common, compressed_size, self.raw_size, blob_id=blob_id, faults=sink.faults, lies=sink.lies)
        members = sink.members
        kinds = [member.kind for member in members]
        n_links = kinds.count("symlink") + kinds.count("hardlink")
        counts = len(members), kinds.count("file"), kinds.count("dir"), n_links
        largest = _largest(members, kinds)
        meaning = self.meaning or Meaning(harbor_reason=f"not an archive but {self.format}")
        return Reading(
            Common.of((status, self.codec, self.format), counts, meaning, names, types),
            compressed_size,
            self.raw_size,
            None if largest is None else printable(largest.name),
            None if largest is None else largest.size_bytes,
            meaning.instruction_chars,
            meaning.instruction_preview,
            blob_id,
            xxh3_128_hexdigest(b"".join(sorted(sink.pairs))) if sink.pairs else None,
            meaning.instruction_id,
            sink.faults,
            meaning.json_keys,
            sink.lies,
            b"".join(sink.digests) if self.format in ("tar", "zip") else None,
        )

    def status(self) -> Status:
        """``failed`` where damage left nothing to read, ``degraded`` where it left something."""
        if not self.sink.damaged:
            return "ok"
        unread = not self.sink.members if self.format in ("tar", "zip") else not self.raw_size
        return "failed" if unread else "degraded"


def timed(call: Callable[[], T]) -> tuple[T, int]:
    """What the call says, and the processor time of this thread that it took, ns."""
    started_ns = time.thread_time_ns()
    answer = call()
    done_ns = time.thread_time_ns()
    return answer, done_ns - started_ns - (time.thread_time_ns() - done_ns)  # a look may itself take 2 µs


def _largest(members: list[Member], kinds: list[MemberKind]) -> Member | None:
    """The first of the largest files. Only files have a size."""
    if "file" not in kinds:
        return None
    sizes = [member.size_bytes for member in members]
    most = max(sizes)
    return members[sizes.index(most) if most > 0 else kinds.index("file")]


def failed_reading(blob: Blob, faults: Sequence[Fault]) -> Reading:
    """What is said of a row that could not be read at all."""
    data = blob.data
    if data is None:
        return Reading(Common("failed"), faults=faults)
    return Reading(Common("failed"), len(data), blob_id=xxh3_128_hexdigest(data), faults=faults)


def _head(source: Iterator[bytes], sink: Collector) -> bytes:
    """The first pieces of a stream, joined until the container can be told. Raises RowStopped at the limit of time."""
    head = next(source, b"")
    while len(head) < _HEAD_BYTES:
        sink.spend(0)  # pieces may be empty, and many
        piece = next(source, None)
        if piece is None:
            break
        head += piece
    return head


def _chain(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest
