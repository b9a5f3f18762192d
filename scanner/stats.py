"""The aggregate: a monoid over rows. ``Stats()`` is empty, :meth:`Stats.add` takes rows, :meth:`Stats.merge` folds.

Integers only; means, rates and quantiles are methods. Merging is associative, so shards may be made anywhere; folding
in plan order makes the result the same bytes for any engine. Name counters are exact up to :data:`NAMES_KEPT` distinct
names a source; beyond, the rarest are let go and ``error`` bounds what that can have cost any count (lossy counting,
Manku and Motwani 2002). What is let go depends on when: so rows that are added together count as if each were merged,
and a batch whose worker died is the same whether it was then run whole or row by row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from scanner.model import SCHEMA_VERSION, Common, Fault, printable
from scanner.readings import Readings

NAMES_KEPT: Final = 5_000
"""Distinct names a counter keeps for a source; it is trimmed to so many when it holds twice as many."""

NAMES_WRITTEN: Final = 500
"""Names of a counter that ``stats.json`` lists, the most frequent ones; the rest are there as a sum."""

_COUNTED_WHOLE: Final = 100_000
"""Names of a batch that are summed before they are counted: half a million keys of one crafted row take 50 MB more."""

SOURCES_KEPT: Final = 1_000
"""Distinct sources with statistics of their own; rows of further ones count under :data:`OTHER_SOURCES`."""

OTHER_SOURCES: Final = "(other sources)"

EXAMPLES_KEPT: Final = 3
"""Examples kept of each fault kind and each lie, the first in plan order."""

NAME_CHARS: Final = 256
"""A longer name is counted under its first 256 characters and an ellipsis."""


class Histogram(msgspec.Struct, gc=False):
    """Log-linear integer histogram: values below 256 exact, above 128 buckets an octave (relative error under 0.8 %).

    After HdrHistogram. ``buckets`` maps :func:`bucket_of` to a count.
    """

    n: int = 0
    sum: int = 0
    min: int | None = None
    max: int | None = None
    buckets: dict[int, int] = {}

    def add(self, values: Sequence[int]) -> None:
        """Count ``values`` (none negative)."""
        if not values:
            return
        self.n += len(values)
        self.sum += sum(values)
        low, high = min(values), max(values)
        self.min = low if self.min is None else min(self.min, low)
        self.max = high if self.max is None else max(self.max, high)
        mine = self.buckets
        for bucket, count in zip(*_bucketed(values, high), strict=True):
            mine[bucket] = mine.get(bucket, 0) + count

    def merge(self, other: Histogram) -> None:
        """Fold ``other`` in."""
        self.n += other.n
        self.sum += other.sum
        if other.min is not None and other.max is not None:
            self.min = other.min if self.min is None else min(self.min, other.min)
            self.max = other.max if self.max is None else max(self.max, other.max)
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    def mean(self) -> float | None:
        """Arithmetic mean; None where nothing was counted."""
        return self.sum / self.n if self.n else None

    def quantile(self, q: float) -> int | None:
        """The value at rank ``ceil(q * n)``, within the histogram's error; None where nothing was counted."""
        if not self.n or self.min is None or self.max is None:
            return None
        rank = max(1, -int(-q * self.n // 1))
        for bucket in sorted(self.buckets):
            rank -= self.buckets[bucket]
            if rank <= 0:
                low, high = bounds_of(bucket)
                return min(max((low + high) // 2, self.min), self.max)
        return self.max


def _bucketed(values: Sequence[int], high: int) -> tuple[list[int], list[int]]:
    """The buckets of ``values``, none above ``high``, and how many are in each. Once a batch and histogram."""
    if high >= 1 << 53:  # beyond which doubles are not exact
        counts = Counter(map(bucket_of, values))
        return list(counts), list(counts.values())
    array = np.array(values, np.int64)
    shift = np.maximum(np.frexp(array)[1].astype(np.int64) - 8, 0)  # the exponent is the bit length
    buckets, n = np.unique((shift << 7) + (array >> shift), return_counts=True)
    return buckets.tolist(), n.tolist()


def bucket_of(value: int) -> int:
    """The histogram bucket of ``value``."""
    shift = max(value.bit_length() - 8, 0)
    return (shift << 7) + (value >> shift)


def bounds_of(bucket: int) -> tuple[int, int]:
    """Lowest and highest value of a bucket."""
    if bucket < 256:
        return bucket, bucket
    shift = (bucket >> 7) - 1
    low = (bucket - (shift << 7)) << shift
    return low, low + (1 << shift) - 1


class Tally(msgspec.Struct, gc=False):
    """Counts of names, exact until more than :data:`NAMES_KEPT` are distinct."""

    counts: dict[str, int] = {}
    error: int = 0
    """No count is short by more than this; a name that was let go was seen at most this often. 0: exact."""
    omitted_names: int = 0
    """How many distinct names ``counts`` leaves out (in ``stats.json`` only)."""
    omitted_count: int = 0
    """How often those were counted, together."""

    def add(self, names: Mapping[str, int]) -> None:
        """Count each name as often as it says, then let the rarest go where there are twice too many."""
        counts = self.counts
        for name, n in names.items():
            counts[name] = counts.get(name, 0) + n
        if len(counts) > 2 * NAMES_KEPT:
            ranked = self.top()
            self.error += ranked[NAMES_KEPT][1]
            self.counts = dict(ranked[:NAMES_KEPT])

    def add_rows(self, whole: Mapping[str, int] | None, rows: Iterable[Mapping[str, int]]) -> None:
        """Count what rows have, as if a counter of each were merged. ``whole`` is their sum; most need no more."""
        if whole is not None and len(self.counts) + len(whole) <= 2 * NAMES_KEPT:  # nothing is let go, in any order
            self.add(whole)
            return
        for names in rows:
            row = Tally()
            row.add(names)
            self.merge(row)

    def merge(self, other: Tally) -> None:
        """Fold ``other`` in."""
        self.add(other.counts)
        self.error += other.error
        self.omitted_names += other.omitted_names
        self.omitted_count += other.omitted_count

    def cut(self, n: int) -> Tally:
        """The ``n`` most frequent names, and the rest as a sum."""
        ranked = self.top()
        rest = ranked[n:]
        omitted_count = self.omitted_count + sum(count for _, count in rest)
        return Tally(dict(ranked[:n]), self.error, self.omitted_names + len(rest), omitted_count)

    def top(self, n: int | None = None) -> list[tuple[str, int]]:
        """The ``n`` most frequent names with their counts, ties in order of name."""
        return sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))[:n]

    def total(self) -> int:
        """How many names were counted, those let go left out."""
        return sum(self.counts.values()) + self.omitted_count


class Example(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where one finding was seen: enough for ``scanner show``."""

    file: str
    row: int
    path: str
    member: str | None = None
    detail: str | None = None


class Distinct(msgspec.Struct):
    """How many of one kind of id there are, exactly. ``n`` rows have such an id."""

    n: int = 0
    distinct: int = 0
    """Distinct ids among them: ``n - distinct`` rows are duplicates within the source (or the whole)."""
    shared: int = 0
    """Rows whose id also occurs in another source."""


class SourceStats(msgspec.Struct, gc=False):
    """Statistics of one source (or, by :meth:`Stats.total`, of all). Dicts of closed kinds map a kind to its rows."""

    rows: int = 0
    status: dict[str, int] = {}
    codec: dict[str, int] = {}
    format: dict[str, int] = {}
    layout: dict[str, int] = {}
    verifier_kind: dict[str, int] = {}
    heuristic_verifier: int = 0
    harbor_loadable: int = 0
    has_solution: int = 0
    compressed_size: Histogram = msgspec.field(default_factory=Histogram)
    raw_size: Histogram = msgspec.field(default_factory=Histogram)
    n_files: Histogram = msgspec.field(default_factory=Histogram)
    names: Tally = msgspec.field(default_factory=Tally)
    extensions: Tally = msgspec.field(default_factory=Tally)
    content_types: Tally = msgspec.field(default_factory=Tally)
    lies: Tally = msgspec.field(default_factory=Tally)
    """Files whose extension lies, by ``.ext content-type``."""
    json_keys: Tally = msgspec.field(default_factory=Tally)
    base_images: Tally = msgspec.field(default_factory=Tally)
    harbor_reasons: Tally = msgspec.field(default_factory=Tally)
    faults: dict[str, int] = {}
    """Rows that have at least one fault of the kind."""
    examples: dict[str, list[Example]] = {}
    """The first examples of each fault kind, and of each lie under ``lie .ext content-type``."""
    distinct: dict[str, Distinct] = {}
    """By ``blob_id``, ``content_id`` and ``instruction_id``; known once the records are complete, not in shards."""

    def merge(self, other: SourceStats) -> None:
        """Fold ``other`` in; it comes after self in plan order (that is what decides the examples)."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _KINDS:
            mine = getattr(self, name)
            for kind, n in getattr(other, name).items():
                mine[kind] = mine.get(kind, 0) + n
        for name in _PARTS:
            getattr(self, name).merge(getattr(other, name))
        for kind, examples in other.examples.items():
            self.examples[kind] = (self.examples.get(kind, []) + examples)[:EXAMPLES_KEPT]

    def verifier_rate(self) -> float | None:
        """Share of rows with ``heuristic_verifier``, 0 to 1."""
        return self.heuristic_verifier / self.rows if self.rows else None

    def harbor_rate(self) -> float | None:
        """Share of rows that Harbor loads, 0 to 1."""
        return self.harbor_loadable / self.rows if self.rows else None


_SUMS: Final = ("rows", "heuristic_verifier", "harbor_loadable", "has_solution")
_KINDS: Final = ("status", "codec", "format", "layout", "verifier_kind", "faults")
_HISTOGRAMS: Final = ("compressed_size", "raw_size", "n_files")
_TALLIES: Final = ("names", "extensions", "content_types", "lies", "json_keys", "base_images", "harbor_reasons")
_PARTS: Final = _HISTOGRAMS + _TALLIES


class Stats(msgspec.Struct, gc=False):
    """Statistics per source, sources in the order they were first seen."""

    sources: dict[str, SourceStats] = {}

    def add(self, rows: Readings) -> None:
        """Take rows in plan order. Runs once a batch, on columns."""
        for source, part in rows.runs():
            stats = self._of(source)
            _add_commons(stats, rows.counted(part), rows.commons[part])
            _add_own(stats, rows, part)

    def merge(self, other: Stats) -> None:
        """Fold ``other``, which comes after self in plan order, into self."""
        for source, stats in other.sources.items():
            self._of(source).merge(stats)

    def _of(self, source: str) -> SourceStats:
        name = source if source in self.sources or len(self.sources) < SOURCES_KEPT else OTHER_SOURCES
        return self.sources.setdefault(name, SourceStats())

    def total(self) -> SourceStats:
        """All sources folded into one."""
        total = SourceStats()
        for stats in self.sources.values():
            total.merge(stats)
        return total


class StatsFile(msgspec.Struct):
    """What ``stats.json`` holds: the aggregates of a finished (or interrupted) Run. Tallies are cut to their top."""

    schema: int
    overall: SourceStats
    sources: dict[str, SourceStats]
    """By name, in order of name."""

    @classmethod
    def of(cls, stats: Stats, distinct: Mapping[str | None, dict[str, Distinct]]) -> StatsFile:
        """The file's content. ``distinct`` is by source; under None stands that of the whole."""
        overall = _written(stats.total(), distinct.get(None, {}))
        sources = {name: _written(stats.sources[name], distinct.get(name, {})) for name in sorted(stats.sources)}
        return cls(SCHEMA_VERSION, overall, sources)


def _written(stats: SourceStats, distinct: dict[str, Distinct]) -> SourceStats:
    tallies = {name: getattr(stats, name).cut(NAMES_WRITTEN) for name in _TALLIES}
    kinds = {name: dict(sorted(getattr(stats, name).items(), key=lambda item: (-item[1], item[0]))) for name in _KINDS}
    histograms = {name: _ordered(getattr(stats, name)) for name in _HISTOGRAMS}
    examples = dict(sorted(stats.examples.items()))
    return msgspec.structs.replace(stats, **tallies, **kinds, **histograms, examples=examples, distinct=distinct)


def _ordered(histogram: Histogram) -> Histogram:
    return msgspec.structs.replace(histogram, buckets=dict(sorted(histogram.buckets.items())))


def _add_commons(stats: SourceStats, counted: Counter[Common], rows: Sequence[Common]) -> None:
    """Take what rows share: how many there are of each Common, and the Common of each row."""
    stats.rows += len(rows)
    for name in ("status", "codec", "format", "layout", "verifier_kind"):
        mine = getattr(stats, name)
        for common, n in counted.items():
            kind = getattr(common, name)
            if kind is not None:
                mine[kind] = mine.get(kind, 0) + n
    for name in ("heuristic_verifier", "harbor_loadable", "has_solution"):
        setattr(stats, name, getattr(stats, name) + sum([n for common, n in counted.items() if getattr(common, name)]))
    for tally, name in ((stats.base_images, "base_image"), (stats.harbor_reasons, "harbor_reason")):
        said = [((value,), n) for common, n in counted.items() if (value := getattr(common, name)) is not None]
        values = (value for common in rows if (value := getattr(common, name)) is not None)
        tally.add_rows(_short(_sum(said)), (_short({value: 1}) for value in values))
    names = _short(_sum((common.names, n) for common, n in counted.items()))
    stats.names.add_rows(names, (_short(Counter(common.names)) for common in rows))
    stats.extensions.add_rows(_extensions(names), (_extensions(_short(Counter(common.names))) for common in rows))
    stats.content_types.add(_sum((common.content_types, n) for common, n in counted.items()))


def _add_own(stats: SourceStats, rows: Readings, part: slice) -> None:
    """Take what each row says for itself."""
    for name in _HISTOGRAMS:
        getattr(stats, name).add([value for value in rows.column(name)[part] if value is not None])
    keys: Sequence[Sequence[str]] = list(filter(None, rows.column("json_keys")[part]))
    few = sum(map(len, keys)) <= _COUNTED_WHOLE
    whole = _short(_sum(Counter(map(tuple, keys)).items())) if few else None
    stats.json_keys.add_rows(whole, (_short(Counter(each)) for each in keys))
    faults, lies = rows.column("faults"), rows.column("lies")
    for at in range(part.start, part.stop):
        if faults[at] or lies[at]:
            example = Example(rows.files[at], rows.rows[at], rows.paths[at])
            _add_faults(stats, example, faults[at])
            _add_lies(stats, example, lies[at])


def _add_faults(stats: SourceStats, row: Example, faults: Sequence[Fault]) -> None:
    for kind in {fault.kind: None for fault in faults}:
        stats.faults[kind] = stats.faults.get(kind, 0) + 1
    for fault in faults:
        examples = stats.examples.setdefault(fault.kind, [])
        if len(examples) < EXAMPLES_KEPT and not any((e.file, e.row) == (row.file, row.row) for e in examples):
            examples.append(msgspec.structs.replace(row, member=fault.member, detail=fault.detail))


def _add_lies(stats: SourceStats, row: Example, lies: Sequence[tuple[str, str, str]]) -> None:
    for extension, type_, member in lies:
        lie = f"{extension} {type_}"
        stats.lies.add({lie: 1})
        examples = stats.examples.setdefault(f"lie {lie}", [])
        if len(examples) < EXAMPLES_KEPT:
            examples.append(msgspec.structs.replace(row, member=printable(member)))


def _sum(lists: Iterable[tuple[Sequence[str], int]]) -> dict[str, int]:
    """How often each string occurs in the lists, given with how often each comes; in order of appearance."""
    counts: dict[str, int] = {}
    for strings, n in lists:
        for string in strings:
            counts[string] = counts.get(string, 0) + n
    return counts


def _extensions(names: Mapping[str, int]) -> Counter[str]:
    extensions: Counter[str] = Counter()
    for name, n in names.items():
        extensions[extension_of(name)] += n
    return extensions


def extension_of(name: str) -> str:
    """Lower-cased extension with its dot, of the last part of a name; ``(none)`` where there is none.

    >>> extension_of("tests/Test.PY"), extension_of("Dockerfile"), extension_of(".gitignore")
    ('.py', '(none)', '(none)')
    """
    base = name[name.rfind("/") + 1 :]
    dot = base.rfind(".")
    return base[dot:].lower() if dot > 0 and len(base) - dot <= 16 else "(none)"


def _short(names: Mapping[str, int]) -> dict[str, int]:
    """Names as valid Unicode of bounded length; most are, and stay the same objects."""
    out: dict[str, int] = {}
    for name, n in names.items():
        shown = name if name.isascii() else printable(name)
        if len(shown) > NAME_CHARS:
            shown = shown[:NAME_CHARS] + "…"
        out[shown] = out.get(shown, 0) + n
    return out
