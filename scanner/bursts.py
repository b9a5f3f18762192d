"""Ordinary rows by the hundred: inflated one behind the other, their headers swept together, then read one by one.

A gzip of a tar in which nothing is unusual is nearly every row. What all of them need is done here in columns and from
memory of the rows before; whatever is in any way odd goes to :class:`scanner.probe.Probe`, which is the specification
and gives the same for both (tests/test_bursts.py). Inflating first and interpreting later also keeps the code of each
in the processor's caches: worth 4 µs a row.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

import numpy as np
from xxhash import xxh3_128_digest, xxh3_128_hexdigest

from scanner import tasks
from scanner.collector import Collector, collisions_of, facts_of, is_plain
from scanner.content import SHEBANG_LINES, TELLING_STARTS, content_type
from scanner.engines.limits import progress
from scanner.formats.gzip import GZIP, MAGIC
from scanner.formats.tar_header import BLOCK
from scanner.formats.tar_sweep import MAGIC_AT, MAGICS, Flags, Numbers, Swept, TarSweep
from scanner.model import Blob, Common, Fault, Meaning, MemberKind, Reading
from scanner.options import MAGIC_BYTES, MIB, Limits
from scanner.probe import HIGH_RATIO, Inflated, Probe

BURST_BYTES: Final = 4 * MIB
"""Raw bytes in the arena at a time: what numpy calls cost as such is spread over enough, and L3 holds it."""

_ROWS_HELD: Final = 512
_NAMES_HELD: Final = 20_000
"""Rows, and names of members, that wait for a burst to be full."""

_TIMED_EVERY: Final = 33
_PATIENCE_SECONDS: Final = 5
"""Rows here may take a second together; with a lower time limit for one the probe reads them all."""

_TEMPLATES: Final = 1_024
_TEMPLATE_MEMBERS: Final = 128
"""What is remembered of names, and the longest list: together 30 MB at worst, of crafted rows."""

_TYPE_LISTS: Final = 64
_COMMONS: Final = 2_048
"""What is remembered of what such rows have in common: 12 MB at worst."""

_WORD_BYTES: Final = 8
_TELLING: Final = np.zeros(1 << 16, np.bool_)
_SECOND_WORD: Final = np.zeros(1 << 16, np.uint64)
"""By the first two bytes of a file: whether a signature may match it, and its second 8 bytes if it does; 0: any."""
for _pair, _start in TELLING_STARTS.items():
    if _pair:
        _TELLING[int.from_bytes(_pair, sys.byteorder)] = True
    if len(_start) >= 2 * _WORD_BYTES:
        _word = int.from_bytes(_start[_WORD_BYTES : 2 * _WORD_BYTES], sys.byteorder)
        _SECOND_WORD[int.from_bytes(_pair, sys.byteorder)] = _word


class _Waiting(NamedTuple):
    """A row that lies inflated in the arena."""

    data: memoryview
    blob_id: str
    start: int
    end: int


class _Burst(NamedTuple):
    """What a sweep found."""

    swept: Swept
    spans: list[tuple[int, int]]
    """Per file: where its content begins and ends in the arena."""
    heads: list[tuple[int, int, bool]]
    """Per file: where it begins, where its window for content types ends, whether a signature may match it."""
    largest: list[int]
    """Per archive: which of its files is the first of the largest."""
    largest_bytes: list[int]


class _Alike(NamedTuple):
    """Rows of one template whose files have the same content types."""

    template: _Template
    types: tuple[str, ...]
    commons: dict[tuple[Any, ...], Common]
    """What was met of them, by what they mean."""


class Bursts:
    """Scans rows in order. Holds an arena of :data:`BURST_BYTES` and a block, and buffers of half as much again."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._arena = bytearray(BURST_BYTES + BLOCK)  # a last header's content would begin in the last block
        self._view = memoryview(self._arena)
        self._pairs = np.frombuffer(self._arena, np.uint16)
        self._words = np.frombuffer(self._arena, np.uint64)
        self._sweep = TarSweep(self._arena)
        self._templates: dict[bytes, _Template] = {}
        self._generation = 0
        self._n_commons = 0
        self._until_timed = 0
        limits = probe.limits
        self._most_bytes = min(BURST_BYTES, limits.output_bytes or BURST_BYTES)
        if limits.seconds and limits.seconds < _PATIENCE_SECONDS:
            self._most_bytes = 0

    def __call__(self, blobs: Iterable[Blob]) -> Iterator[Reading]:
        """What each row says. Blobs are borrowed until their results are out."""
        rows: list[_Waiting | Reading] = []
        at = names_held = 0
        for blob in blobs:
            progress()
            data = blob.data
            size = self._ordinary_size(data)
            if data is None or not size:
                reading = self._probe.read(blob)
                names_held += len(reading.common.names)
                rows.append(reading)
            else:
                if at + size > BURST_BYTES:
                    yield from self._finish(rows, at)
                    rows, at, names_held = [], 0, 0
                row, at = self._inflate(data, at, at + size)
                rows.append(row)
            if len(rows) >= _ROWS_HELD or names_held > _NAMES_HELD:
                yield from self._finish(rows, at)
                rows, at, names_held = [], 0, 0
        yield from self._finish(rows, at)

    def _ordinary_size(self, data: memoryview | None) -> int:
        """What the blob says it holds, if that may be an ordinary row; else 0."""
        if data is None or len(data) < 18 or bytes(data[:2]) != MAGIC:
            return 0
        size = int.from_bytes(data[-4:], "little")
        return size if size % BLOCK == 0 and size <= self._most_bytes and size <= HIGH_RATIO * len(data) else 0

    def _inflate(self, data: memoryview, start: int, end: int) -> tuple[_Waiting | Reading, int]:
        """A row into the arena, and where the next one goes. What is no tar or lies about its size is read at once."""
        probe = self._probe
        blob_id = xxh3_128_hexdigest(data)
        known = probe.known(data, blob_id)
        if known is not None:
            return known, start
        self._until_timed -= 1
        if self._until_timed >= 0:
            size = GZIP.inflate_into(data, self._arena, start)
        else:
            self._until_timed = _TIMED_EVERY
            size = probe.inflate_timed(GZIP, data, self._arena, start)
        if size != end - start:
            return probe.scan(data, blob_id), start
        if not self._arena.startswith(MAGICS, start + MAGIC_AT):
            return probe.scan(data, blob_id, Inflated(self._arena, start, end)), start
        return _Waiting(data, blob_id, start, end), end

    def _finish(self, rows: list[_Waiting | Reading], end: int) -> Iterator[Reading]:
        """Sweep what lies in the arena, and read it."""
        starts = [row.start for row in rows if type(row) is _Waiting]
        if not starts:
            yield from rows  # type: ignore[misc] # all were read
            return
        burst = self._swept(starts, end)
        number = 0
        for row in rows:
            if type(row) is not _Waiting:
                yield row  # type: ignore[misc] # it was read
                continue
            progress()
            reading = None
            if burst is not None and burst.swept.ordinary[number]:
                try:
                    reading = self._read(row, number, burst)
                except MemoryError:
                    raise
                except Exception:  # noqa: BLE001, S110 - the probe meets it too, and puts it into the record
                    pass
            number += 1
            yield reading or self._probe.scan(row.data, row.blob_id, Inflated(self._arena, row.start, row.end))

    def _swept(self, starts: list[int], end: int) -> _Burst | None:
        """The archives that begin at ``starts``; None where a defect of ours shows: that must not cost a batch."""
        try:
            swept = self._sweep(starts, end)
            if self._sweep.heads.generation != self._generation:
                self._generation = self._sweep.heads.generation
                self._templates.clear()
            at = swept.starts.tolist()
            spans = list(zip(at, swept.ends.tolist(), strict=True))
            windows = np.minimum(swept.ends, swept.starts + MAGIC_BYTES).tolist()
            heads = list(zip(at, windows, self._telling(swept.starts).tolist(), strict=True))
            return _Burst(swept, spans, heads, *swept.largest())
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - the probe reads these rows as well, and says where it fails
            return None

    def _learn(self, members: bytes) -> _Template:
        names = self._sweep.heads.names
        numbers = memoryview(members).cast("i").tolist()
        listed: list[tuple[str, MemberKind]] = [
            (names[number >> 1].rstrip("/"), "dir") if number & 1 else (names[number >> 1], "file")
            for number in numbers
        ]
        template = _Template(listed, self._probe.limits)
        if len(listed) <= _TEMPLATE_MEMBERS:
            if len(self._templates) >= _TEMPLATES:
                self._templates.clear()
            self._templates[members] = template
        return template

    def _telling(self, starts: Numbers) -> Flags:
        """Whether a signature may match the files that begin there."""
        pairs = self._pairs[starts // 2]
        second = _SECOND_WORD[pairs]
        telling: Flags = _TELLING[pairs] & ((second == 0) | (second == self._words[starts // _WORD_BYTES + 1]))
        return telling

    def _types(self, heads: list[tuple[int, int, bool]]) -> tuple[str, ...]:
        """The content types of files: where each begins, where its window ends, whether a signature may match it.

        Most are settled here, as ``content_type`` would.
        """
        arena = self._arena
        find, lines = arena.find, SHEBANG_LINES
        return tuple(
            [
                "text/utf-8"
                if not tells and start < end and (window := arena[start:end]).isascii() and 0 not in window
                else lines.get(bytes(arena[start : find(10, start, end) + 1])) or content_type(arena, start, end)
                for start, end, tells in heads
            ]
        )

    def _read(self, row: _Waiting, number: int, burst: _Burst) -> Reading | None:
        """What an ordinary row says; None where its files are not. Runs once for nearly every row."""
        swept = burst.swept
        members = swept.heads[4 * swept.member_at[number] : 4 * swept.member_at[number + 1]]
        template = self._templates.get(members) or self._learn(members)
        if not template.ordinary:
            return None
        files = slice(swept.file_at[number], swept.file_at[number + 1])
        alike = template.alike(self._types(burst.heads[files]))
        return None if alike is None else self._reading(row, number, burst, alike, burst.spans[files])

    def _reading(
        self, row: _Waiting, number: int, burst: _Burst, alike: _Alike, spans: list[tuple[int, int]]
    ) -> Reading:
        """The same for files that keep what their names promise."""
        data, blob_id, start, end = row
        view, template = self._view, alike.template
        contents = [view[start:end] for start, end in spans]
        digests = [xxh3_128_digest(content) for content in contents]
        joined = b"".join(digests)
        content_id = template.content_id(digests)
        meaning = template.meaning(contents, digests)
        raw_size = end - start
        reading = Reading(
            alike.commons.get(meaning.shared()) or self._common(alike, meaning),
            len(data),
            raw_size,
            template.file_names[burst.largest[number]],
            burst.largest_bytes[number],
            meaning.instruction_chars,
            meaning.instruction_preview,
            blob_id,
            content_id,
            meaning.instruction_id,
            self._kept(meaning.faults) if meaning.faults else (),
            meaning.json_keys,
            (),
            joined,
        )
        self._probe.raw_bytes += raw_size
        self._probe.twins.keep(data, reading)
        return reading

    def _common(self, alike: _Alike, meaning: Meaning) -> Common:
        """What a row has in common with others that was not met before."""
        if self._n_commons >= _COMMONS:
            for template in self._templates.values():
                template.forget()
            self._n_commons = 0
        self._n_commons += 1
        template = alike.template
        common = Common.of(("ok", "gzip", "tar"), template.counts, meaning, template.file_names, alike.types)
        alike.commons[meaning.shared()] = common
        return common

    def _kept(self, faults: Sequence[Fault]) -> Sequence[Fault]:
        """As many of them, and as much of each, as a Record keeps."""
        sink = Collector(self._probe.limits, 0.0)
        for fault in faults:
            sink.fault(fault.kind, member=fault.member, offset=fault.offset, detail=fault.detail)
        return sink.faults


class _Template:
    """What rows share that have the same names: nearly all of a source, often."""

    def __init__(self, listed: list[tuple[str, MemberKind]], limits: Limits) -> None:
        names, kinds = zip(*listed, strict=True)
        facts = [facts_of(name) for name in names]
        self.ordinary = (
            not any(each.notes for each in facts)  # so each name is printable, too
            and "file" in kinds
            and not collisions_of(names)
            and (not limits.members or len(listed) <= limits.members)
        )
        if not self.ordinary:
            return
        self._depth = limits.depth
        self._facts = [each for each, kind in zip(facts, kinds, strict=True) if kind == "file"]
        self.file_names = tuple([name for name, kind in listed if kind == "file"])
        # Directories last, so that what is said of files is said of the first members: names come once, and then the
        # order of directories means nothing.
        self._known = tasks.KnownNames(*zip(*sorted(listed, key=lambda member: member[1] == "dir"), strict=True))
        n_files = len(self.file_names)
        self.counts = len(listed), n_files, len(listed) - n_files, 0
        keys = [each.key for each in self._facts]
        order = sorted(range(n_files), key=keys.__getitem__)
        self._pairs: list[bytes] = [b""] * (2 * n_files)
        self._pairs[::2] = [keys[i] for i in order]
        self._in_order = itemgetter(*order) if n_files > 1 else tuple
        self._alike: dict[tuple[str, ...], _Alike | None] = {}

    def alike(self, types: tuple[str, ...]) -> _Alike | None:
        """The rows whose files have these content types; None where those are not what the names promise."""
        if types in self._alike:
            return self._alike[types]
        if len(self._alike) >= _TYPE_LISTS:
            self._alike.clear()
        are_plain = all(is_plain(facts, type_, self._depth) for facts, type_ in zip(self._facts, types, strict=True))
        alike = self._alike[types] = _Alike(self, types, {}) if are_plain else None
        return alike

    def forget(self) -> None:
        """Let go of what rows had in common."""
        if self.ordinary:
            self._alike.clear()

    def content_id(self, digests: list[bytes]) -> str:
        """See :class:`scanner.model.Record`: names are distinct, so their order does not depend on the digests."""
        pairs = self._pairs.copy()
        pairs[1::2] = self._in_order(digests)
        return xxh3_128_hexdigest(b"".join(pairs))

    def meaning(self, contents: Sequence[memoryview], digests: Sequence[bytes]) -> Meaning:
        """What the rules say of files with this content."""
        return self._known.meaning(contents, digests)
