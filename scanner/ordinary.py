"""Ordinary rows: a tar of files and directories in which nothing is unusual, which is nearly every row.

Such a row is walked by compiled code right after it was inflated, and read by what was learnt from the rows before that
have the same names; whatever is in any way odd goes to :class:`scanner.probe.Probe`, which is the specification and
gives the same for both (tests/test_ordinary.py). Where nothing was compiled all rows go there.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Final, NamedTuple

from xxhash import xxh3_128_hexdigest

from scanner import tasks
from scanner.collector import Collector
from scanner.content import SHEBANG_LINES, TELLING_STARTS, content_type
from scanner.engines.limits import progress
from scanner.formats.tar_header import text
from scanner.formats.tar_quick import EMPTY, FIRST_LINES, MOST_LINE_BYTES, TEXT, Signatures, Walked, quick_walker
from scanner.model import Blob, CodecName, Common, Fault, Meaning, MemberKind, Reading
from scanner.names import Lie
from scanner.options import MAGIC_BYTES
from scanner.probe import HIGH_RATIO, Inflated, Probe, timed
from scanner.quick import ASIDE, INFLATED, MET, READ, UNSOUND, WALKED, QuickReader, QuickRow, quick_reader
from scanner.template import Alike, Template, is_plain_mode

_PATIENCE_SECONDS: Final = 1
"""A row here may take a tenth of a second; with a lower limit of time for one the probe reads them all."""

_TEMPLATES: Final = 1_024
_TEMPLATE_MEMBERS: Final = 128
"""What is remembered of names, and the longest list: together 40 MB at worst, of crafted rows."""

_COMMONS: Final = 2_048
"""What is remembered of what such rows have in common: 12 MB at worst."""

_GISTS: Final = 4_096
_FINDINGS: Final = 4
"""What is remembered of what rows mean, and the most findings of such a row: 24 MB at worst, of crafted rows."""

_NO_JSON: Final[tuple[Sequence[str], Hashable]] = (), ()

_LINES: Final = tuple(line for line in SHEBANG_LINES if b"sh" in line or b"python" in line)
SIGNATURES: Final = Signatures(TELLING_STARTS, [line for line in _LINES if len(line) <= MOST_LINE_BYTES], MAGIC_BYTES)
_SETTLED: Final[dict[int, str]] = {
    TEXT: "text/utf-8",
    EMPTY: "empty",
    **{FIRST_LINES + at: SHEBANG_LINES[line] for at, line in enumerate(SIGNATURES.lines)},
}
"""The content types of files that the walker settles."""


class _Known(NamedTuple):
    """What rows of one gist say alike."""

    common: Common
    faults: Sequence[Fault]
    lies: Sequence[Lie]


class Ordinary:
    """Scans rows in order, in the arena of a probe."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._view = memoryview(probe.arena)
        limits = probe.limits
        patient = not limits.seconds or limits.seconds >= _PATIENCE_SECONDS
        self._walk = quick_walker(probe.arena, SIGNATURES) if patient else None
        self._quick: QuickReader | None = None
        if self._walk is not None:
            room = min(len(probe.arena), limits.output_bytes or len(probe.arena))
            self._quick = quick_reader(
                self._walk, probe.twins, room_bytes=room, high_ratio=HIGH_RATIO, templates=_TEMPLATES
            )
        self._heads: list[tuple[str, bool]] = []
        self._templates: dict[bytes, Template] = {}
        """By their members."""
        self._noted: list[Template] = []
        """Those that are read in one call: number 1, number 2 ..."""
        self._n_commons = 0
        self._gists = tasks.gists(self._walk.at, _GISTS) if self._walk is not None else None
        self._known: list[dict[Hashable, _Known]] = []
        """Rows of gist number 1, number 2 ..., by what their JSON is a cause for."""
        self._n_known = 0
        self._template_numbers = count(1)
        self.gists_found = self.gists_missed = 0

    def __call__(self, blobs: Iterable[Blob]) -> Iterator[Reading]:
        """What each row says. A blob is borrowed until its Reading is out."""
        for blob in blobs:
            progress()
            yield self.read(blob)

    def read(self, blob: Blob) -> Reading:
        """What a row says."""
        probe, data = self._probe, blob.data
        if data is None or self._walk is None:
            return probe.read(blob)
        row = self._in_one_call(data)
        if row is not None and row.outcome == READ and (known := self._by_gist(data, row)) is not None:
            probe.twins.misses += 1
            return known
        if row is None or row.outcome in (ASIDE, MET) or (row.outcome == READ and row.walked is None):
            return self._read_by_steps(data, xxh3_128_hexdigest(data) if row is None else row.blob_id)
        probe.twins.misses += 1
        inflated = Inflated("gzip", None if row.outcome == UNSOUND else row.raw_size)
        return self._ordinary(data, inflated, row) or probe.scan(data, row.blob_id, inflated)

    def _in_one_call(self, data: memoryview) -> QuickRow | None:
        """How far one call gets; None where there is none to be made, or for a defect of ours, which costs time alone.

        In two calls where inflating is timed: the same code with the same tables, or it would seem slower than it is.
        """
        probe, quick = self._probe, self._quick
        if quick is None:
            return None
        try:
            if probe.until_timed > 0:
                probe.until_timed -= 1
                return quick(data)
            outcome, took_ns = timed(partial(quick.inflate, data))
            row = quick(data, outcome)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - the probe meets it too, and puts it into the record
            return None
        if row.outcome >= INFLATED:
            probe.took(took_ns, row.raw_size)
        return row

    def _read_by_steps(self, data: memoryview, blob_id: str) -> Reading:
        """What a row says that is not read in one call, or may be a copy."""
        probe = self._probe
        known = probe.known(data, blob_id)
        if known is not None:
            return known
        inflated = None
        try:
            inflated = probe.inflate(data)
            row = self._walk_by_steps(data, blob_id, inflated)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - as above
            return probe.scan(data, blob_id, inflated)
        reading = self._ordinary(data, inflated, row)
        if reading is None:
            return probe.scan(data, blob_id, inflated)
        probe.twins.keep(data, reading)
        return reading

    def _walk_by_steps(self, data: memoryview, blob_id: str, inflated: Inflated) -> QuickRow:
        """What one call would say of a row that lies inflated in the arena, whatever its template."""
        size = inflated.size_bytes
        if size is None or size > HIGH_RATIO * len(data) or self._walk is None:
            return QuickRow(UNSOUND, blob_id)
        walked = self._walk(size)
        return QuickRow(INFLATED if walked is None else WALKED, blob_id, size, walked)

    def _by_gist(self, data: memoryview, row: QuickRow) -> Reading | None:
        """What a row says that was read in one call, by its gist. None where that is not known: then the row is walked.

        Or, for a defect of ours, it is not, and is read step by step.
        """
        try:
            template = self._noted[row.template - 1]
            reading = self._read_by_gist(data, row, template) if template.looks else None
            if reading is None and self._quick is not None:
                row.walked = self._quick.walked(row)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - as above
            return None
        return reading

    def _ordinary(self, data: memoryview, inflated: Inflated, row: QuickRow) -> Reading | None:
        """What an ordinary row says; None where it is not one, or for a defect of ours: the probe reads it then."""
        try:
            if row.walked is None:
                self._make_room()
                return None
            return self._read(data, inflated.codec, row, row.walked)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - as above
            return None

    def _read(self, data: memoryview, codec: CodecName, row: QuickRow, walked: Walked) -> Reading | None:
        """The same, once it was walked. Runs once for nearly every row."""
        members = walked.members
        template = (
            self._noted[row.template - 1] if row.template else self._templates.get(members) or self._learn(members)
        )
        if not template.ordinary:
            return None
        alike = template.settled.get((codec, walked.types)) or self._alike(template, codec, walked)
        if alike is None:
            return None
        digests = template.digests(walked.digests)
        meaning = self._meaning(template, walked, digests)
        faults = meaning.faults if not alike.faults else (*alike.faults, *meaning.faults)
        reading = Reading(
            alike.commons.get(meaning.shared()) or self._common(codec, template, alike, meaning),
            len(data),
            row.raw_size,
            template.file_names[walked.largest],
            walked.largest_bytes,
            meaning.instruction_chars,
            meaning.instruction_preview,
            row.blob_id,
            row.content_id or template.content_id(digests),
            meaning.instruction_id,
            self._kept(faults) if faults else (),
            meaning.json_keys,
            alike.lies,
            walked.digests,
        )
        if row.template and template.looks:
            self._note_gist(template, reading)
        self._probe.raw_bytes += row.raw_size
        return reading

    def _read_by_gist(self, data: memoryview, row: QuickRow, template: Template) -> Reading | None:
        """What it says where one of its gist was read before, whose JSON was a cause for the same.

        Runs once for nearly every row, so of all that the walker has said it takes what it needs.
        """
        gists, walk = self._gists, self._walk
        number = gists.find(template.looks) if gists is not None else 0
        if walk is None or not number:
            self.gists_missed += 1
            return None
        digests = walk.digests(row.n_files)
        keys, causes = self._told_by_json(template, digests) if template.jsons else _NO_JSON
        known = self._known[number - 1].get(causes)
        if known is None:
            self.gists_missed += 1
            return None
        self.gists_found += 1
        chars, preview, instruction_id = tasks.told(self._content(template.instruction))
        self._probe.raw_bytes += row.raw_size
        return Reading(
            known.common,
            len(data),
            row.raw_size,
            template.file_names[row.largest],
            row.largest_bytes,
            chars,
            preview,
            row.blob_id,
            row.content_id,
            instruction_id,
            known.faults,
            keys,
            known.lies,
            digests,
        )

    def _content(self, file: int) -> memoryview:
        """What the file holds of the archive that was walked last."""
        assert self._walk is not None
        spans = self._walk.spans
        return self._view[spans[2 * file] : spans[2 * file + 1]]

    def _told_by_json(self, template: Template, digests: bytes) -> tuple[Sequence[str], Hashable]:
        """What its JSON files say."""
        content = self._content
        return tasks.told_by_json([(content(file), digests[16 * file : 16 * file + 16]) for file in template.jsons])

    def _note_gist(self, template: Template, reading: Reading) -> None:
        """Read rows like this one by their gist from now on, where it has one."""
        gists, known = self._gists, self._known
        if gists is None or reading.digests is None or len(reading.faults) + len(reading.lies) > _FINDINGS:
            return
        if self._n_known >= _GISTS:
            self._forget_gists()
        number = gists.note(template.looks)
        if number is None:
            self._forget_gists()
        if not number:
            return
        if number == len(known) + 1:
            known.append({})
        _, causes = self._told_by_json(template, reading.digests)
        self._n_known += causes not in known[number - 1]
        known[number - 1][causes] = _Known(reading.common, reading.faults, reading.lies)

    def _forget_gists(self) -> None:
        self._known.clear()
        self._n_known = 0
        if self._gists is not None:
            self._gists.start_over()

    def _meaning(self, template: Template, walked: Walked, digests: Sequence[bytes]) -> Meaning:
        """What the rules say of it."""
        view, spans = self._view, walked.spans
        contents = template.no_contents.copy()
        for file, start, end in template.wanted:
            contents[file] = view[spans[start] : spans[end]]
        return template.meaning(contents, digests)

    # -- what is learnt, and forgotten --------------------------------------------------------------------------------

    def _learn(self, members: bytes) -> Template:
        """What rows with these members have in common."""
        listed: list[tuple[str, MemberKind]] = []
        has_plain_modes = True
        for member in memoryview(members).cast("i").tolist():
            name, has_plain_mode = self._head(member >> 1)
            has_plain_modes &= has_plain_mode
            listed.append((name.rstrip("/"), "dir") if member & 1 else (name, "file"))
        template = Template(listed, self._probe.limits, has_plain_modes=has_plain_modes)
        if len(listed) <= _TEMPLATE_MEMBERS:
            if len(self._templates) >= _TEMPLATES:
                self._forget()
            self._templates[members] = template
            if template.ordinary and self._quick is not None:
                number = self._quick.note(members, template.keys_in_order())
                if number == len(self._noted) + 1:
                    self._noted.append(template)
                    template.look_by(next(self._template_numbers))
        return template

    def _forget(self) -> None:
        """All templates, and gists, which know them by number."""
        self._templates.clear()
        self._noted.clear()
        self._forget_gists()
        if self._quick is not None:
            self._quick.start_over()

    def _head(self, number_of_head: int) -> tuple[str, bool]:
        """The name that a head states, and whether its mode is plain."""
        assert self._walk is not None
        heads = self._heads
        while len(heads) < number_of_head:
            head = self._walk.head(len(heads) + 1)
            heads.append((text(head[:100]), is_plain_mode(head[100:108])))
        return heads[number_of_head - 1]

    def _make_room(self) -> None:
        """Where the walker remembers no further head, forget them all, and the templates, which know them by number."""
        if self._walk is not None and self._walk.is_full():
            self._walk.start_over()
            self._heads.clear()
            self._forget()

    def _alike(self, template: Template, codec: str, walked: Walked) -> Alike | None:
        """The rows like this one; None where an archive in it is to be opened."""
        arena, spans = self._probe.arena, walked.spans
        types = tuple(
            [
                _SETTLED.get(type_) or content_type(arena, start, end)
                for type_, start, end in zip(walked.types, spans[::2], spans[1::2], strict=True)
            ]
        )
        return template.alike(codec, types, walked.types)

    def _common(self, codec: CodecName, template: Template, alike: Alike, meaning: Meaning) -> Common:
        """What a row has in common with others that was not met before."""
        if self._n_commons >= _COMMONS:
            for each in self._templates.values():
                each.forget()
            self._n_commons = 0
        self._n_commons += 1
        common = Common.of(("ok", codec, "tar"), template.counts, meaning, template.file_names, alike.types)
        alike.commons[meaning.shared()] = common
        return common

    def _kept(self, faults: Sequence[Fault]) -> Sequence[Fault]:
        """As many of them, and as much of each, as a Record keeps."""
        sink = Collector(self._probe.limits)
        for fault in faults:
            sink.fault(fault.kind, member=fault.member, offset=fault.offset, detail=fault.detail)
        return sink.faults
