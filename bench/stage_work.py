"""What :mod:`bench.stages` measures: each stage with all that comes before it, as a function of packed Batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from scanner.batch import Batch
from scanner.bench.floor import inflate_all
from scanner.collector import Collector
from scanner.formats.tar import TarWalker
from scanner.formats.tar_quick import quick_walker
from scanner.formats.zip import walk_zip
from scanner.model import Buffer, Meaning, Member
from scanner.options import CHUNK_BYTES, SMALL_BYTES, Limits
from scanner.ordinary import SIGNATURES, Ordinary
from scanner.probe import HIGH_RATIO, Probe
from scanner.quick import QuickReader, quick_reader
from scanner.sniff import HEAD_BYTES, codec_of, container_of
from scanner.twins import Twins
from scanner.worker import ScanWork

Packed = list[memoryview]
Work = Callable[[Packed], object]


class Ignore:
    """A sink that takes everything and keeps nothing: what is measured is the walker."""

    def whole(self, member: Member, buffer: Buffer, start: int, end: int) -> None: ...
    def begin(self, member: Member) -> bool:  # noqa: ARG002 - as above
        return True

    def piece(self, buffer: Buffer, start: int, end: int) -> None: ...
    def end(self) -> None: ...
    def fault(self, *_: object, **__: object) -> None: ...
    def spend(self, n_bytes: int) -> None: ...


# -- the stages, each a maker of its work, so that what is built once a process is not counted -------------------------


def inflating() -> Work:
    """Inflate alone, by the fastest wheel: the floor."""
    return inflate_all


def quickly_walking() -> Work:
    """Ordinary rows in one call, with no template known; others as far as it gets."""
    walker = quick_walker(bytearray(SMALL_BYTES), SIGNATURES)
    if walker is not None:
        read = quick_reader(walker, Twins(), room_bytes=SMALL_BYTES, high_ratio=HIGH_RATIO, templates=1)
        if read is not None:
            return partial(_read_quickly, read)
    raise RuntimeError("there is nothing compiled to be measured: install the package where there is a C compiler")


class WithoutMeaning(Ordinary):
    """Everything that is done for an ordinary row but what needs its content understood: a Reading all the same."""

    def _meaning(self, template: Any, walked: Any, digests: Any) -> Meaning:  # noqa: ARG002
        return _NOTHING

    def __init__(self, probe: Probe) -> None:
        super().__init__(probe)
        self._gists = None  # by which all would be known


_NOTHING: Final = Meaning()


def recording() -> Work:
    """Ordinary rows to records that say nothing of what the task means; others by the probe, with all they mean."""
    return _read_all(WithoutMeaning(Probe(Limits())))


def reading() -> Work:
    """Ordinary rows to their readings, others by the probe."""
    return _read_all(Ordinary(Probe(Limits())))


def _read_all(ordinary: Ordinary) -> Work:
    def work(packed: Packed) -> None:
        for buffer in packed:
            for _ in ordinary(Batch.unpack(buffer)):
                pass

    return work


def walking() -> Work:
    """Inflate into the arena and walk tar and zip."""
    return partial(_walk_all, Ignore)


def collecting() -> Work:
    """The same with the sink that a scan has: hashes, content types, what is kept for the rules."""
    return partial(_walk_all, partial(Collector, Limits()))


def probing() -> Work:
    """Every row to its record by the probe: what the members mean, the blob's hash, twins."""
    probe = Probe(Limits())

    def work(packed: Packed) -> None:
        for buffer in packed:
            for blob in Batch.unpack(buffer):
                probe(blob)

    return work


def working() -> Work:
    """All that a worker does: records, statistics and Arrow columns, encoded as a shard."""
    work = ScanWork(Limits())
    return lambda packed: [work(batch) for batch in packed] and None


STAGES: Final[dict[str, Callable[[], Work]]] = {
    "inflate": inflating,
    "quick": quickly_walking,
    "record": recording,
    "reading": reading,
    "shard": working,
    "walk": walking,
    "collect": collecting,
    "probe": probing,
}


def _read_quickly(read: QuickReader, packed: Packed) -> None:
    for buffer in packed:
        for blob in Batch.unpack(buffer):
            if blob.data is not None:
                read(blob.data)


def _walk_all(make_sink: Callable[[], Any], packed: Packed) -> None:
    arena = bytearray(SMALL_BYTES)
    limits = Limits()
    for buffer in packed:
        for blob in Batch.unpack(buffer):
            if blob.data is not None:
                _walk(blob.data, arena, make_sink(), limits)


def _walk(data: memoryview, arena: bytearray, sink: Any, limits: Limits) -> None:
    """One row, as the probe does it but for odd ones, which are streamed (and not walked where they are no tar)."""
    codec = codec_of(bytes(data[:HEAD_BYTES]))
    if codec is None:
        if container_of(bytes(data[:1024])) == "zip":
            walk_zip(data, sink, limits)
        return
    size = codec.inflate_into(data, arena)
    if size is None:
        _walk_stream(codec.stream(data, sink, CHUNK_BYTES), sink, limits)
    elif container_of(bytes(arena[: min(size, 1024)])) == "tar":
        walker = TarWalker(sink, limits)
        walker.feed(arena, 0, size)
        walker.close()


def _walk_stream(pieces: Iterable[bytes], sink: Any, limits: Limits) -> None:
    walker: TarWalker | None = None
    for number, piece in enumerate(pieces):
        if number == 0 and container_of(piece[:1024]) == "tar":
            walker = TarWalker(sink, limits)
        if walker is not None:
            walker.feed(piece, 0, len(piece))
    if walker is not None:
        walker.close()
