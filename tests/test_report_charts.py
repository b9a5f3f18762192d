"""Charts: they show the numbers of the Run, draw without a browser, and stay readable with any names."""

from __future__ import annotations

import re
import struct
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_maker import make_run

from scanner.errors import OutputError
from scanner.report import charts
from scanner.report.chart_parts import Chart, Width, labels_of, log_bins
from scanner.report.html import SLIM, WIDE
from scanner.report.palette import RATES, VARIABLES
from scanner.run import Run
from scanner.stats import Histogram

LONG = [f"very-long-organisation-name-{n % 3}__an-even-longer-name-of-a-source-of-tasks-v{n}" for n in range(93)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A Run of 93 sources with long names."""
    return make_run(tmp_path_factory.mktemp("run"), rows=3_000, sources=LONG)


def by_name(run: Run, width: Width = charts.PICTURE) -> dict[str, Chart]:
    """The charts of a Run by their names."""
    return {chart.name: chart for chart in charts.charts(run.stats, width)}


def values_of(spec: Any) -> list[dict[str, Any]]:
    """All data of a spec, whichever layer holds it."""
    found = list(spec.get("data", {}).get("values", []))
    return found + [value for layer in spec.get("layer", []) for value in values_of(layer)]


def test_tasks_per_source(run: Run) -> None:
    """The notebook's first plot: a bar for each of the largest sources with its count, the rest in one bar."""
    drawn = values_of(by_name(run)["tasks-per-source"].spec)
    sizes = sorted((stats.rows for stats in run.stats.sources.values()), reverse=True)
    assert [value["value"] for value in drawn[:-1]] == sizes[:15]
    assert [value["say"] for value in drawn[:-1]] == [f"{n:,}" for n in sizes[:15]]
    assert sum(value["value"] for value in drawn) == 3_000


def test_compressed_sizes(run: Run) -> None:
    """The notebook's second plot: a histogram on a log axis that counts every row, lines at median and p95."""
    spec = by_name(run)["compressed-size"].spec
    drawn = values_of(spec)
    assert sum(value.get("n", 0) for value in drawn) == 3_000
    lines = {value["say"].split()[0]: value["at"] for value in drawn if "at" in value}
    exact = sorted(run.records().collect()["compressed_size"].to_list())
    assert lines["median"] == pytest.approx(exact[1_499], rel=0.01)
    assert lines["p95"] == pytest.approx(exact[2_849], rel=0.01)
    assert spec["layer"][0]["encoding"]["x"]["scale"]["type"] == "log"


def test_mean_sizes(run: Run) -> None:
    """The notebook's third plot: mean compressed and raw size of the largest sources on a log axis."""
    drawn = [value for value in values_of(by_name(run)["mean-sizes"].spec) if "bytes" in value]
    largest = max(run.stats.sources.values(), key=lambda stats: stats.rows)
    assert len(drawn) == 30
    assert [value["bytes"] for value in drawn[:2]] == [largest.compressed_size.mean(), largest.raw_size.mean()]


def test_verifier_rate(run: Run) -> None:
    """The notebook's fourth plot: the rate of each of the 15 largest, redder the lower."""
    drawn = values_of(by_name(run)["verifier-rate"].spec)
    largest = max(run.stats.sources.values(), key=lambda stats: stats.rows)
    assert drawn[0]["value"] == pytest.approx(100 * largest.heuristic_verifier / largest.rows)
    by_rate = sorted(drawn, key=lambda value: float(value["value"]))
    order = [RATES.index(value["color"]) for value in by_rate]
    assert order == sorted(order)


@pytest.mark.parametrize("width", [charts.PICTURE, WIDE, SLIM], ids=["picture", "wide", "slim"])
@pytest.mark.parametrize("sources", [1, 5, LONG], ids=["one", "five", "93 long"])
def test_every_chart_draws(tmp_path: Path, sources: int | list[str], width: Width) -> None:
    """Each is well-formed, as wide as asked, in colours of the palette alone, with a tooltip on every mark."""
    drawn = charts.charts(make_run(tmp_path, rows=500, sources=sources).stats, width)
    assert len(drawn) >= 12
    for chart in drawn:
        assert chart.title
        shown = charts.svg(chart)
        root = ET.fromstring(
            shown.replace("<svg ", '<svg xmlns:xlink="x" ', 1) if "xmlns:xlink" not in shown else shown
        )
        assert float(root.attrib["width"]) == pytest.approx(width.total, abs=1)
        assert not [colour for colour in re.findall(r"#[0-9a-f]{6}", shown) if colour in VARIABLES]
        assert "page.invalid" not in shown
        assert "<title>" in shown


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    """No name is an element, an expression or a character that acts, and none makes a chart wider."""
    names = ["<script>alert(1)</script>", "\u202eevil", "'+alert(1)+'", "x" * 10_000, "文件" * 50, "a\x00b", "\ud800"]
    run = make_run(
        tmp_path, rows=400, hostile=True, sources=[name.encode("utf-8", "replace").decode() for name in names]
    )
    for chart in charts.charts(run.stats, SLIM):
        shown = charts.svg(chart)
        assert "<script" not in shown
        assert all(char.isprintable() for char in shown.replace("\n", ""))
        assert len(shown) < 200_000


def test_pictures(run: Run, tmp_path: Path) -> None:
    """Each chart becomes a PNG 1,600 pixels wide under its own name."""
    paths = charts.write_pngs(run, tmp_path / "new" / "plots")
    assert [path.stem for path in paths] == [chart.name for chart in charts.charts(run.stats)]
    for path in paths:
        head = path.read_bytes()[:24]
        assert head[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", head[16:])
        assert width == 1_600
        assert 100 < height < 2_400


def test_pictures_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    """The error names the folder and the option."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="--png"):
        charts.write_pngs(run, tmp_path / "file")


def test_a_run_without_rows_has_no_charts(tmp_path: Path) -> None:
    """Nothing to show is left out, not drawn empty."""
    run = make_run(tmp_path / "run", rows=0, sources=0)
    assert charts.charts(run.stats) == []
    assert charts.write_pngs(run, tmp_path / "plots") == []


@given(st.lists(st.text(min_size=1), unique=True, max_size=20), st.sampled_from([charts.PICTURE, WIDE, SLIM]))
def test_labels_fit_and_stay_distinct(names: list[str], width: Width) -> None:
    """A label per name, none wider than its column, all printable and distinct."""
    labels = labels_of(names, width)
    assert len(set(labels)) == len(labels) == len(names)
    assert all(label.isprintable() and len(label) * 5 <= width.labels for label in labels)


@given(st.lists(st.integers(0, 1 << 40), max_size=200))
def test_log_bins_keep_every_value(values: list[int]) -> None:
    """Bins hold all but the zeros, in order, and span what was counted."""
    histogram = Histogram()
    histogram.add(values)
    bins = log_bins(histogram)
    positive = [value for value in values if value]
    assert sum(n for *_, n in bins) == len(positive)
    assert all(low < high for low, high, _ in bins)
    assert [low for low, *_ in bins] == sorted(low for low, *_ in bins)
    if positive:
        assert bins[0][0] <= min(positive) * 1.01
        assert bins[-1][1] >= max(positive) * 0.99
