"""Charts as Vega-Lite specs, one set for the page (SVG in place, no script) and for pictures (PNG).

The specs are plain dicts, what Altair would write; vl-convert (extra ``report``) draws them without a browser or a
network. ``altair.Chart.from_dict(chart.spec)`` makes one a live chart in a notebook. Data goes into ``values`` and is
never part of an expression. A chart that has nothing to show is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Final

from scanner.errors import OutputError, UsageError
from scanner.report import chart_sources, chart_totals
from scanner.report.chart_parts import ANCHOR, Chart, Width, framed
from scanner.report.palette import themed
from scanner.run import Run
from scanner.stats import StatsFile

PICTURE: Final = Width(800, 250)
"""Pictures, for slides and dataset cards; drawn at twice the size in pixels."""

PICTURE_SCALE: Final = 2.0


def charts(stats: StatsFile, width: Width = PICTURE) -> list[Chart]:
    """All charts of a Run that have something to show, in the order of the page."""
    made = (make(stats, width) for make in _CHARTS)
    return [chart._replace(spec=framed(chart.spec, width, chart.title, chart.note)) for chart in made if chart]


def write_pngs(run: Run, directory: Path) -> list[Path]:
    """Draw every chart into ``directory`` (made if missing) as ``<name>.png``, 1,600 pixels wide.

    Raises:
        UsageError: The extra ``report`` is not installed.
        OutputError: A file cannot be written.
    """
    draw = _vl_convert().vegalite_to_png
    paths = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for chart in charts(run.stats):
            path = directory / f"{chart.name}.png"
            path.write_bytes(draw(chart.spec, scale=PICTURE_SCALE))
            paths.append(path)
    except OSError as error:
        raise OutputError(f"{directory} cannot be written ({error.strerror}); name another with --png") from error
    return paths


def svg(chart: Chart) -> str:
    """The chart as an SVG element for the page: its colours are CSS variables, its title is left to the page."""
    drawn: str = _vl_convert().vegalite_to_svg({**chart.spec, "title": None, "background": None})
    drawn = drawn.replace(f'<a xlink:href="{ANCHOR}', '<a tabindex="-1" href="#')
    return themed(_MARK.sub(r"\1><title>\2</title></path>", drawn))


# What Vega calls a description becomes the tooltip that browsers know; both are escaped by Vega.
_MARK: Final = re.compile(r'(<path aria-label="([^"<>]*)"[^<>]*?)\s*/>')


def _vl_convert() -> ModuleType:
    try:
        import vl_convert  # noqa: PLC0415 - optional
    except ImportError:
        raise UsageError("charts need vl-convert: pip install 'tasktrove-scanner[report]'") from None
    return vl_convert


_CHARTS: Final[tuple[Callable[[StatsFile, Width], Chart | None], ...]] = (
    chart_sources.tasks,
    chart_totals.sizes,
    chart_sources.means,
    chart_sources.rates,
    chart_sources.kinds,
    chart_totals.closed("formats", "Format", lambda stats: stats.format),
    chart_totals.closed("layouts", "Layout", lambda stats: stats.layout),
    chart_totals.names("file-names", "Most frequent file names", "files", lambda stats: stats.names),
    chart_totals.names("extensions", "Most frequent extensions", "files", lambda stats: stats.extensions),
    chart_totals.names("content-types", "Content types, by magic bytes", "files", lambda stats: stats.content_types),
    chart_totals.names(
        "json-keys", "Most frequent top-level keys of JSON objects", "objects", lambda stats: stats.json_keys
    ),
    chart_totals.names("base-images", "Most frequent base images", "tasks", lambda stats: stats.base_images),
    chart_totals.faults,
    chart_sources.duplicates,
)
