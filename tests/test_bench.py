"""What `scanner bench` is made of: ratios, the floor, stages, which rows, verdicts, comparisons."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import lz4.frame
import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from scanner.batch import Batch
from scanner.bench.compare import compare, compare_exact, explain, read_figures
from scanner.bench.exact import Exact
from scanner.bench.floor import inflate_all
from scanner.bench.measure import Figures, Scan
from scanner.bench.part import part_of
from scanner.bench.ratios import Cost, Ratio, alternate, change_of, cost_of, ratio_of
from scanner.bench.stages import STAGES, Sampler, shares, stage_of
from scanner.bench.text import text
from scanner.bench.verdict import verdict
from scanner.cli import main
from scanner.environment import SETTINGS, settled
from scanner.errors import NoMatchError
from scanner.model import Unit
from scanner.sources import Plan

COSTS = st.floats(0.001, 1000)


@given(st.lists(COSTS, min_size=1, max_size=20), st.floats(0.1, 10))
def test_a_constant_factor_is_found_exactly(below: list[float], factor: float) -> None:
    """Where every pair has the same ratio, that is the median and the interval is a point, however noisy the costs."""
    found = ratio_of([factor * each for each in below], below)
    assert found.median == pytest.approx(factor)
    assert found.low == pytest.approx(factor)
    assert found.high == pytest.approx(factor)


@given(st.lists(st.tuples(COSTS, COSTS), min_size=1, max_size=20))
def test_intervals_hold_their_median(pairs: list[tuple[float, float]]) -> None:
    """The median lies in its interval, and the same pairs give the same interval."""
    above, below = zip(*pairs, strict=True)
    found = ratio_of(above, below)
    assert found.low <= found.median <= found.high
    assert found == ratio_of(above, below)


@pytest.mark.parametrize(("above", "below"), [([], []), ([1.0], [1.0, 2.0])], ids=["none", "lengths differ"])
def test_what_makes_no_pairs_is_refused(above: list[float], below: list[float]) -> None:
    """A ratio needs pairs."""
    with pytest.raises(ValueError, match="make no pairs"):
        ratio_of(above, below)


def test_one_outlier_changes_no_median() -> None:
    """A scan that was interrupted by something large on the machine does not show."""
    steady = [2.0] * 7
    assert ratio_of([*steady[:-1], 200.0], [1.0] * 7).median == 2.0


@pytest.mark.parametrize(
    ("now", "is_sure"),
    [([2.0, 2.1, 1.9, 2.05], False), ([2.6, 2.7, 2.5, 2.6], True), ([1.7, 2.6, 2.0, 2.8], False)],
    ids=["as before", "surely more", "too noisy to tell"],
)
def test_changes_are_claimed_only_beyond_the_spread_of_single_pairs(now: list[float], is_sure: bool) -> None:
    """A change between runs counts where nearly all pairs of both agree on it."""
    assert (change_of(now, [2.0, 1.9, 2.1, 2.0]).low > 1.05) == is_sure


def test_rounds_run_everybody_and_turn_round() -> None:
    """Every round runs each call once; every other round backwards."""
    order: list[str] = []

    def call(name: str) -> Cost:
        order.append(name)
        return Cost(1.0, 2.0)

    costs = alternate({"a": lambda: call("a"), "b": lambda: call("b")}, 3)
    assert "".join(order) == "abbaab"
    assert costs == {"a": [Cost(1.0, 2.0)] * 3, "b": [Cost(1.0, 2.0)] * 3}


def test_a_call_costs_processor_time() -> None:
    """What runs here costs processor time, and that is no more than the wall time of a single thread."""
    cost = cost_of(lambda: sum(range(300_000)))
    assert cost.cpu_seconds > 0
    assert cost.per(2).wall_seconds == cost.wall_seconds / 2


RAW = b"0123456789" * 3000
BLOBS = {
    "gzip": (gzip.compress(RAW), len(RAW)),
    "two gzip members": (gzip.compress(RAW) + gzip.compress(RAW), len(RAW)),
    "cut gzip": (gzip.compress(bytes(range(256)) * 900)[:-60], None),
    "forged length": (gzip.compress(RAW)[:-4] + b"\xff\xff\xff\xff", len(RAW)),
    "forged length, small": (gzip.compress(RAW)[:-4] + b"\x01\0\0\0", len(RAW)),
    "gzip head alone": (b"\x1f\x8b\x08", 0),
    "zstd": (zstandard.compress(RAW), len(RAW)),
    "xz": (lzma.compress(RAW), len(RAW)),
    "bzip2": (bz2.compress(RAW), len(RAW)),
    "lz4": (bytes(lz4.frame.compress(RAW)), len(RAW)),
    "none": (RAW, len(RAW)),
    "empty": (b"", 0),
}


def packed(*blobs: bytes) -> bytearray:
    """A packed batch of these blobs."""
    ends = memoryview(bytearray(8 * len(blobs))).cast("q")
    for at in range(len(blobs)):
        ends[at] = sum(map(len, blobs[: at + 1]))
    rows = bytes(8 * len(blobs))
    return Batch(0, "f", rows, bytes(len(blobs)), rows, (b"",), ends, (b"".join(blobs),)).pack()


@pytest.mark.parametrize(("blob", "raw_bytes"), BLOBS.values(), ids=BLOBS)
def test_the_floor_inflates_everything(blob: bytes, raw_bytes: int | None) -> None:
    """Any codec and any flaw: all bytes that come out are counted, nothing raises, nothing is allocated on a claim."""
    total = inflate_all([packed(blob)])
    if raw_bytes is not None:
        assert total == raw_bytes
    assert inflate_all([packed(blob, b"x")]) == total + 1


@pytest.mark.parametrize(
    ("module", "stage"),
    {
        "sources.parquet": "read",
        "engines.ring": "transport",
        "batch": "transport",
        "formats.gzip": "inflate",
        "formats.tar_pax": "walk",
        "tasks.reading": "interpret",
        "records": "write",
        "recordsish": "other",
        "api": "other",
    }.items(),
)
def test_modules_belong_to_stages(module: str, stage: str) -> None:
    """A module counts for the first stage that names it or a package it lies in."""
    assert stage_of(module) == stage


def test_stages_name_what_exists() -> None:
    """Every module that a stage names is there: a rename must not make its time vanish into "other"."""
    package = Path(__file__).parent.parent / "scanner"
    for names in STAGES.values():
        for name in names:
            path = package / name.replace(".", "/")
            assert path.is_dir() or path.with_suffix(".py").is_file(), name


def test_measured_as_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is measured runs with the settings of a command, what a person has set stays, and nothing is left behind."""
    one, other = SETTINGS
    monkeypatch.delenv(one, raising=False)
    monkeypatch.setenv(other, "system")
    with ProcessPoolExecutor(1, get_context("spawn")) as outside, settled():
        assert outside.submit(os.getenv, one).result() == SETTINGS[one], "it is started when it gets its first work"
        assert outside.submit(os.getenv, other).result() == "system"
    assert one not in os.environ
    assert os.environ[other] == "system"


NO_STAGE = {
    "__init__",
    "__main__",
    "api",
    "bench",
    "cli",
    "contents",
    "corpus",
    "environment",
    "errors",
    "explore",
    "interrupts",
    "parts",
}
NO_STAGE |= {"probes", "report", "task"}
"""What a scan spends no time in, or a user's probes do."""


def test_every_module_has_a_stage() -> None:
    """What a scan is made of belongs to a stage: the time of a new module must not vanish into "other", either."""
    package = Path(__file__).parent.parent / "scanner"
    names = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert {name for name in names if stage_of(name) == "other" and not any(package.glob(f"{name}/*"))} == {
        name for name in NO_STAGE if (package / f"{name}.py").is_file()
    }


def test_shares_of_samples() -> None:
    """Shares add up to one, in pipeline order; no samples give none."""
    found = shares(Counter({"formats.gzip": 3, "tasks.reading": 1, "elsewhere": 4}))
    assert found == {
        "read": 0.0, "transport": 0.0, "inflate": 0.375, "walk": 0.0, "interpret": 0.125, "write": 0.0, "other": 0.5
    }  # fmt: skip
    assert shares(Counter()) == {}


@pytest.mark.parametrize(
    ("inflating", "inflate", "walk"), [(0.0, 0.1, 0.6), (0.05, 0.1, 0.6), (0.4, 0.4, 0.3), (0.9, 0.6, 0.1)]
)
def test_inflating_within_one_call(inflating: float, inflate: float, walk: float) -> None:
    """What is inflated and walked in one call is told apart by the time of rows that were timed, as far as it goes."""
    found = shares(Counter({"formats.gzip": 1, "formats.tar": 1, "quick": 5, "tasks.reading": 3}), inflating)
    assert (found["inflate"], found["walk"], found["interpret"]) == (inflate, walk, 0.3)


def test_the_sampler_sees_the_package_at_work() -> None:
    """Work of a module of ours is counted for it, and the timer and its handler are as before afterwards."""
    import signal

    from scanner.tasks import tasktoml

    before = signal.getsignal(signal.SIGPROF)
    with Sampler() as sampler:
        while sampler.modules.total() < 3:
            for number in range(200):
                tasktoml.parse(f"a = [{number}, 2, {{ b = 'c' }}]\n" * 5)
    assert sampler.modules["tasks.tasktoml"] > 0
    assert signal.getsignal(signal.SIGPROF) == before
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def plan_of(**rows: int) -> Plan:
    """Files of so many rows, in Units of 100."""
    units: list[Unit] = []
    for file, n in rows.items():
        for first in range(0, n, 100):
            units.append(Unit(len(units), file, first, min(100, n - first)))
    return Plan([], units)


def test_every_file_gives_its_first_rows() -> None:
    """Of each file the first rows, in proportion and at least one, numbered anew."""
    part = part_of(plan_of(large=1000, small=10), 101)
    assert [(unit.file, unit.first_row, unit.n_rows) for unit in part.units] == [("large", 0, 100), ("small", 0, 1)]
    assert [unit.index for unit in part.units] == [0, 1]


def test_more_rows_than_there_are_is_all() -> None:
    """Asking for more takes everything; picked rows stay picked."""
    plan = plan_of(a=250)
    assert part_of(plan, 10**9).units == plan.units
    plan.units = [Unit(0, "a", 0, 100, (3, 50, 99))]
    assert part_of(plan, 2).units == [Unit(0, "a", 0, 100, (3, 50))]


def test_no_rows_cannot_be_measured() -> None:
    """An empty source is said to be one."""
    with pytest.raises(NoMatchError, match="no rows"):
        part_of(Plan([], []), 10)


def scan_of(workers: int, wall_us: float, speedup: float) -> Scan:
    """A scan by what verdicts look at."""
    return Scan(workers, wall_us, wall_us, 1e6 / wall_us, Ratio(speedup, speedup, speedup, 7), 0.0)


STAGES_US = {"read": 2.0, "inflate": 30.0, "interpret": 20.0, "write": 6.0}
VERDICTS = {
    "one process alone": ([scan_of(0, 58, 1)], "Workers do not pay"),
    "workers are slower": ([scan_of(0, 58, 1), scan_of(2, 90, 0.7)], "Workers do not pay"),
    "scales": ([scan_of(0, 58, 1), scan_of(2, 30, 1.9)], "more cores will make it faster"),
    "more cores are there": ([scan_of(0, 58, 1), scan_of(1, 57, 1.01)], "more workers will"),
    "the parent": ([scan_of(0, 58, 1), scan_of(16, 8.5, 6.8)], "it takes 8.0 µs of the 8.5"),
    "shared cores": ([scan_of(0, 58, 1), scan_of(2, 50, 1.2)], "shared with something else"),
}


@pytest.mark.parametrize(("scans", "words"), VERDICTS.values(), ids=VERDICTS)
def test_verdicts(scans: list[Scan], words: str) -> None:
    """Each way of being slow has its sentence, after the one about a single core."""
    said = verdict(1.9, scans, STAGES_US, cores=2)
    assert said.startswith("A core spends 1.90 times what inflating alone costs, of which 52% go to inflate.")
    assert words in said


def test_a_verdict_without_the_compiled_parts() -> None:
    """Whoever has them not is told what they would bring, and how to get them."""
    scans, _ = VERDICTS["scales"]
    assert "compile" not in verdict(1.9, scans, STAGES_US, cores=2)
    assert verdict(1.9, scans, STAGES_US, cores=2, is_compiled=False).endswith("install it again where there is one.")


EXACT = Exact(200, 1000, 5000, 1, 7, 100.0, 10.0, 50.0, 6000.0)


@pytest.mark.parametrize(
    ("change", "worse"),
    [
        ({}, []),
        ({"copies": 2}, ["copies"]),
        ({"copies": 0}, []),
        ({"requests": 8}, ["requests"]),
        ({"raw_bytes": 4999}, ["raw bytes"]),
        ({"bytecodes_per_row": 100.9}, []),
        ({"bytecodes_per_row": 101.1}, ["bytecodes per row"]),
        ({"calls_per_row": 5.0}, []),
        ({"allocations_per_row": 50.4}, []),
        ({"allocations_per_row": 50.6}, ["allocations per row"]),
        ({"allocations_per_row": None}, []),
        ({"instructions_per_row": 1e9}, []),
    ],
    ids=str,
)
def test_counters_are_held_to_equality(change: dict[str, float], worse: list[str]) -> None:
    """Whole counters may not grow at all, counters a row by a percent; what one side lacks is left out."""
    found = compare_exact(EXACT, msgspec.structs.replace(EXACT, **change))
    assert [each.what for each in found if each.is_worse] == worse


FIGURES = Figures(
    taken="2026-01-01T00:00:00+00:00",
    source="corpus",
    rows=1000,
    blob_bytes=4_600_000,
    raw_bytes=37_000_000,
    floor_cpu_us=28.0,
    efficiency=Ratio(1.9, 1.88, 1.93, 7),
    efficiencies=[1.9, 1.88, 1.93, 1.91, 1.9, 1.89, 1.92],
    scans=[scan_of(0, 58, 1), scan_of(2, 30, 1.9)],
    stages_us=STAGES_US,
    modules={"formats.gzip": 0.5},
    verdict="A core spends 1.90 times what inflating alone costs.",
    exact=EXACT,
    load=0.3,
    machine={"cpu": "AMD EPYC", "cores": "2"},
    versions={"python": "3.11.7", "tasktrove-scanner": "0.1.0"},
)


def test_figures_survive_json() -> None:
    """What --json prints is what --compare reads."""
    assert read_figures(msgspec.json.encode(FIGURES)) == FIGURES


def test_a_slower_run_is_found_and_a_newer_release_compared() -> None:
    """Ratios beyond the bound fail; another version of the scanner is what a comparison is for, another Python not."""
    slower = msgspec.structs.replace(
        FIGURES,
        efficiencies=[1.2 * each for each in FIGURES.efficiencies],
        versions={**FIGURES.versions, "tasktrove-scanner": "0.2.0"},
    )
    assert [each.is_worse for each in compare(FIGURES, FIGURES)] == [False] * 8
    assert [each.what[:15] for each in compare(FIGURES, slower) if each.is_worse] == ["scan over floor"]
    assert [each.is_worse for each in compare(FIGURES, slower, 1.3)] == [False] * 8
    other = msgspec.structs.replace(FIGURES, versions={"python": "3.12.1"})
    assert len(compare(FIGURES, other)) == 1
    assert explain(FIGURES, other) is not None


def test_counters_of_the_machine_are_compared_on_the_same_one() -> None:
    """Elsewhere allocations are others anyway: they are left out, and that is said."""
    more = msgspec.structs.replace(EXACT, allocations_per_row=60.0)
    here = msgspec.structs.replace(FIGURES, exact=more)
    elsewhere = msgspec.structs.replace(here, machine={"cpu": "Apple M4", "cores": "10"})
    assert [each.what for each in compare(FIGURES, here) if each.is_worse] == ["allocations per row"]
    assert not any(each.is_worse for each in compare(FIGURES, elsewhere))
    assert "another machine" in (explain(FIGURES, elsewhere) or "")
    assert explain(FIGURES, here) is None


def test_the_table_says_everything() -> None:
    """The text has the floor, every scan with its speedup, the stages and the verdict."""
    shown = text(FIGURES)
    for words in (
        "28.0",
        "scan, 2 workers",
        "1.90 [1.90, 1.90]",
        "1.90 [1.88, 1.93] times the floor",
        "inflate 30.0",
        "50 allocations a row",
    ):
        assert words in shown
    assert shown.endswith(FIGURES.verdict)


USAGE = {
    "no numbers": (["bench", "x", "--workers", "one"], "'one' is not a list of numbers of workers"),
    "no worker": (["bench", "x", "--workers", "0,1"], "'0,1' is not a list of numbers of workers"),
    "no pairs": (["bench", "x", "--pairs", "0"], "'--pairs': 0 is not in the range x>=1"),
    "no base": (["bench", "x", "--compare", "nowhere.json"], "--compare nowhere.json: not figures"),
    "no base of ours": (["bench", "x", "--compare", __file__], "not figures of `scanner bench --json`"),
    "no source": (["bench", "nowhere"], "nowhere does not exist"),
}


@pytest.mark.parametrize(("arguments", "words"), USAGE.values(), ids=USAGE)
def test_usage(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage is found before anything is measured: exit code 2 and a sentence."""
    assert main(arguments) == 2
    assert words in capsys.readouterr().err
