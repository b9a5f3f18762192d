"""Stats are a monoid: however rows are grouped, the sum is the same."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner import stats as module
from scanner.model import Census, Fault, Record
from scanner.readings import Readings
from scanner.stats import Distinct, Histogram, SourceStats, Stats, StatsFile, Tally, bounds_of, bucket_of, extension_of

NAMES = st.sampled_from(["task.toml", "tests/test.sh", "a.PY", "deep/b.json", "Dockerfile", "\udcff.bin", "ü"])
ROW = st.builds(
    lambda source, status, size, files, names, kinds: (
        Record(
            source=source,
            path="p",
            file=f"{source}/tasks.parquet",
            row=size,
            status=status,
            compressed_size=size,
            raw_size=size * 3,
            n_files=files,
            format="tar",
            layout="harbor",
            harbor_loadable=files % 2 == 0,
            faults=[Fault(kind) for kind in kinds],
        ),
        Census(names=names, content_types=["text/utf-8"] * len(names), lies=[(".png", "text/utf-8", "x.png")] * files),
    ),
    st.sampled_from(["a__b", "c__d"]),
    st.sampled_from(["ok", "degraded"]),
    st.integers(0, 2**40),
    st.integers(0, 3),
    st.lists(NAMES, max_size=5),
    st.lists(st.sampled_from(["unsafe-name", "tar-truncated"]), max_size=3),
)


def stats_of(rows: list[tuple[Record, Census]]) -> Stats:
    stats = Stats()
    stats.add(Readings.of([record for record, _ in rows], [census for _, census in rows]))
    return stats


@given(st.lists(ROW, max_size=30), st.integers(0, 30), st.integers(0, 30))
def test_grouping_does_not_matter(rows: list[tuple[Record, Census]], first: int, second: int) -> None:
    """Rows added at once, or in three parts folded left or right, give the same statistics."""
    first, second = sorted((first, second))
    for number, (record, _) in enumerate(rows):
        record.row = number
    parts = [rows[:first], rows[first:second], rows[second:]]
    left, right = stats_of(parts[0]), stats_of(parts[1])
    left.merge(stats_of(parts[1]))
    left.merge(stats_of(parts[2]))
    right.merge(stats_of(parts[2]))
    nested = stats_of(parts[0])
    nested.merge(right)
    whole = StatsFile.of(stats_of(rows), {})
    assert StatsFile.of(left, {}) == whole == StatsFile.of(nested, {})


@given(st.lists(ROW, max_size=20), st.integers(0, 20))
def test_a_batch_is_the_sum_of_its_rows(rows: list[tuple[Record, Census]], at: int) -> None:
    """Rows added together, in two parts, or merged one by one are the same, also where names have to be let go."""
    for number, (record, census) in enumerate(rows):
        record.row, record.base_image = number, f"image:{number % 4}"
        census.json_keys = [f"key {number % 5}", f"key {number % 3}"]
    together, one_by_one = Stats(), Stats()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "NAMES_KEPT", 1)
        patch.setattr(module, "SOURCES_KEPT", 1)
        for part in (rows[:at], rows[at:]):
            together.add(Readings.of([record for record, _ in part], [census for _, census in part]))
        for row in rows:
            one_by_one.merge(stats_of([row]))
        assert together == one_by_one == stats_of(rows)


@given(st.lists(ROW, max_size=10))
def test_empty_is_neutral_and_files_come_back(rows: list[tuple[Record, Census]]) -> None:
    """Folding nothing changes nothing; stats.json decodes to what was written."""
    stats = stats_of(rows)
    stats.merge(Stats())
    again = Stats()
    again.merge(stats)
    assert stats == again == stats_of(rows)
    file = StatsFile.of(stats, {None: {"blob_id": Distinct(3, 2, 0)}})
    assert msgspec.json.decode(msgspec.json.encode(file), type=StatsFile) == file


@given(st.lists(st.one_of(st.integers(0, 1 << 12), st.integers(0, (1 << 53) + 9), st.integers(0, (1 << 62)))))
def test_histograms_count_in_columns_what_they_count_one_by_one(values: list[int]) -> None:
    """Values added together fall into the buckets of each, also around the powers of two and beyond exact doubles."""
    values += [1 << (value % 53) for value in values] + [(1 << (value % 53)) - 1 for value in values]
    histogram = Histogram()
    histogram.add(values)
    assert histogram.buckets == Counter(map(bucket_of, values))


@given(st.integers(0, 2**62))
def test_histogram_buckets_hold_their_value_within_one_percent(value: int) -> None:
    """Every value lies in its bucket, and a bucket is narrower than 1 % of its values."""
    low, high = bounds_of(bucket_of(value))
    assert low <= value <= high
    assert (high - low) * 100 <= max(value, 1)


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=200), st.sampled_from([0.0, 0.5, 0.95, 1.0]))
def test_quantiles_are_within_the_error(values: list[int], q: float) -> None:
    """A quantile is within 1 % of the value at its rank; sum, min, max and mean are exact."""
    histogram = Histogram()
    histogram.add(values[: len(values) // 2])
    histogram.add(values[len(values) // 2 :])
    exact = sorted(values)[max(1, -int(-q * len(values) // 1)) - 1]
    got = histogram.quantile(q)
    assert got is not None
    assert abs(got - exact) * 100 <= max(exact, 100)
    assert (histogram.n, histogram.sum, histogram.min, histogram.max) == (
        len(values),
        sum(values),
        min(values),
        max(values),
    )
    assert histogram.mean() == pytest.approx(sum(values) / len(values))


@settings(max_examples=30)
@given(st.lists(st.integers(0, 60), max_size=400))
def test_a_full_tally_says_how_wrong_it_may_be(numbers: list[int]) -> None:
    """Beyond the cap no count is too high, none is short by more than ``error``, and absentees are that rare."""
    kept = module.NAMES_KEPT
    try:
        module.NAMES_KEPT = 8  # type: ignore[misc]
        tally, exact = Tally(), dict.fromkeys(map(str, numbers), 0)
        for number in numbers:
            tally.add({str(number): 1})
            exact[str(number)] += 1
    finally:
        module.NAMES_KEPT = kept  # type: ignore[misc]
    assert len(tally.counts) <= 16
    for name, count in exact.items():
        assert 0 <= count - tally.counts.get(name, 0) <= tally.error


def test_cutting_a_tally_loses_nothing_from_its_sum() -> None:
    """What the top leaves out stands as a number of names and a sum."""
    tally = Tally({"a": 5, "b": 3, "c": 3, "d": 1})
    cut = tally.cut(2)
    assert (list(cut.counts), cut.omitted_names, cut.omitted_count, cut.total()) == (["a", "b"], 2, 4, tally.total())


@pytest.mark.parametrize(
    ("name", "extension"),
    [("a/b.TXT", ".txt"), ("x.tar.gz", ".gz"), (".env", "(none)"), ("a.b/c", "(none)"), ("", "(none)"), ("a.", ".")],
)
def test_extensions(name: str, extension: str) -> None:
    """The extension is that of the last part, lower-cased; dot files have none."""
    assert extension_of(name) == extension


def test_examples_are_the_first_of_the_plan() -> None:
    """Three examples are kept of each fault kind, one a row, the earliest."""
    rows = [
        (Record(source="s", path=str(i), file="f", row=i, status="ok", compressed_size=1), Census()) for i in range(9)
    ]
    for record, _ in rows[2:]:
        record.faults = [Fault("unsafe-name", "m"), Fault("unsafe-name", "n")]
    left, right = stats_of(rows[:4]), stats_of(rows[4:])
    left.merge(right)
    examples = left.sources["s"].examples["unsafe-name"]
    assert [(e.row, e.member) for e in examples] == [(2, "m"), (3, "m"), (4, "m")]
    assert left.sources["s"].faults == {"unsafe-name": 7}


def test_too_many_sources_share_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the cap, rows of further sources are counted under one name: none is lost."""
    monkeypatch.setattr(module, "SOURCES_KEPT", 3)
    total = Stats()
    for i in range(6):
        total.merge(
            stats_of([(Record(source=f"s{i}", path="p", file="f", row=i, status="ok", compressed_size=1), Census())])
        )
    assert list(total.sources) == ["s0", "s1", "s2", module.OTHER_SOURCES]
    assert total.total().rows == 6
    assert isinstance(total.total(), SourceStats)
