"""What the charts are made of: the frame, labelled bars, log axes, names that fit. Vega-Lite 5, as plain dicts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from scanner.report.markup import visible
from scanner.report.palette import ACCENT, GRID, INK, MUTED, SURFACE
from scanner.stats import Histogram, SourceStats, StatsFile, bounds_of

Spec: TypeAlias = dict[str, Any]

SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v5.json"
"""Names the version; nothing is fetched."""

FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"
ROW_PX: Final = 20
LABEL_PX: Final = 6.0
"""Width of an average character of a label, at 11 px."""

_WIDE_CHARS: Final = frozenset("ABCDEFGHJKLMNOPQRSTUVWXYZmw@%_")

COUNTS: Final = "format(datum.value, datum.value < 1000 ? '~f' : '~s')"
"""Labels of an axis of counts: 0, 200, 1k (plain ``~s`` says 0k and 0.2k)."""

BINS: Final = 48
"""Bars of a histogram, at most."""


class Width(NamedTuple):
    """How wide a chart is, all in all, and how much of it names take. In CSS pixels."""

    total: int
    labels: int

    @property
    def narrow(self) -> bool:
        """Whether there is room for the short form only."""
        return self.total < 480


class Chart(NamedTuple):
    """One chart: ``name`` is its file name, ``title`` what is seen, ``note`` what it shows and leaves out."""

    name: str
    title: str
    note: str
    spec: Spec


ANCHOR: Final = "https://page.invalid/#"
"""Links of marks; Vega lets only absolute addresses through, the page makes them its own again."""


def largest(stats: StatsFile) -> list[tuple[str, SourceStats]]:
    """Sources by number of rows, largest first; of the same size in order of name."""
    return sorted(stats.sources.items(), key=lambda item: (-item[1].rows, item[0]))


def anchor_of(stats: StatsFile) -> dict[str, str]:
    """The id of each source's section in the page: a number, never the name."""
    return {name: f"source-{at}" for at, (name, _) in enumerate(largest(stats), 1)}


def framed(spec: Spec, width: Width, title: str, note: str) -> Spec:
    """A spec of marks and encodings as a whole chart: size, fonts, colours, title."""
    return {
        "$schema": SCHEMA,
        "width": width.total,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "padding": {"left": 2, "right": 10, "top": 6, "bottom": 4},
        "title": {"text": title, "subtitle": note} if note else {"text": title},
        "background": SURFACE,
        **spec,
        "config": {
            "font": FONT,
            "view": {"stroke": None},
            "title": {
                "anchor": "start",
                "frame": "bounds",
                "offset": 12,
                "color": INK,
                "fontSize": 16,
                "subtitleColor": MUTED,
                "subtitleFontSize": 12,
                "subtitlePadding": 4,
            },
            "axis": {
                "labelColor": INK,
                "labelFontSize": 11,
                "titleColor": MUTED,
                "titleFontSize": 11,
                "titleFontWeight": "normal",
                "gridColor": GRID,
                "domain": False,
                "ticks": False,
                "labelPadding": 6,
            },
            "legend": {
                "labelColor": INK,
                "labelFontSize": 11,
                "labelLimit": 260,
                "columnPadding": 24,
                "symbolType": "square",
                "symbolStrokeWidth": 0,
                "title": None,
                "orient": "top",
                "offset": 6,
            },
            "text": {"color": INK, "fontSize": 11},
        },
    }


def names_axis(width: Width) -> Spec:
    """A y axis of names, always as wide, so that the plots of a page stand in line."""
    return {"title": None, "minExtent": width.labels, "maxExtent": width.labels, "labelLimit": 0, "grid": False}


def labels_of(names: Iterable[str], width: Width) -> list[str]:
    """Names as labels: visible, cut in the middle to what fits, and still distinct.

    Cut here and not by Vega's ``labelLimit``, which measures again and again and doubled the time of a chart.
    """
    room = width.labels - 10
    out: list[str] = []
    seen: dict[str, int] = {}
    for name in names:
        label = visible(name, 120)
        while _pixels(label) > room:
            label = visible(label, len(label) - 1) if "…" not in label else _narrower(label)
        seen[label] = seen.get(label, 0) + 1
        out.append(label if seen[label] == 1 else f"{label[:-3]}·{seen[label]}")
    return out


def _narrower(label: str) -> str:
    """``label`` less the character before its ellipsis or the one after it, whichever end is longer."""
    head, _, tail = label.partition("…")
    return f"{head[:-1]}…{tail}" if len(head) >= len(tail) else f"{head}…{tail[1:]}"


def _pixels(label: str) -> float:
    return sum(12.0 if char > "\u2e7f" else 8.0 if char in _WIDE_CHARS else 6.0 for char in label)


def bars(
    rows: Sequence[Mapping[str, Any]], width: Width, unit: str, *, most: float | None = None, axis: Spec | None = None
) -> Spec:
    """Horizontal bars with what they count written at their ends.

    ``rows`` hold ``label``, ``value``, ``say`` (the text at the end), ``about`` (the tooltip), ``color`` and perhaps
    ``href``. ``most`` is where the axis ends (the largest value if None).
    """
    longest = max((len(row["say"]) for row in rows), default=1)
    plot = width.total - width.labels - 20
    # Room for the longest text right of the longest bar.
    end = (most or max((row["value"] for row in rows), default=0) or 1) / max(0.3, 1 - (longest * LABEL_PX + 6) / plot)
    y = {"field": "label", "type": "nominal", "sort": None, "axis": names_axis(width)}
    x = {
        "field": "value",
        "type": "quantitative",
        "scale": {"domain": [0, end], "nice": False},
        "axis": {"title": unit, "labelExpr": COUNTS, "tickCount": 4 if width.narrow else 6, **(axis or {})},
    }
    about: Spec = {"description": {"field": "about"}}
    if rows and "href" in rows[0]:
        about["href"] = {"field": "href"}
    return {
        "data": {"values": list(rows)},
        "height": {"step": ROW_PX},
        "encoding": {"y": y, "x": x},
        "layer": [
            {
                "mark": {"type": "bar", "cornerRadiusEnd": 2, "height": {"band": 0.72}},
                "encoding": {"color": {"field": "color", "type": "nominal", "scale": None}, **about},
            },
            {
                "mark": {"type": "text", "align": "left", "baseline": "middle", "dx": 4},
                "encoding": {"text": {"field": "say"}},
            },
        ],
    }


def bar(label: str, value: float, say: str, about: str, color: str = ACCENT, href: str | None = None) -> Spec:
    """One row of :func:`bars`; all rows of a chart have a link, or none has."""
    row = {"label": label, "value": value, "say": say, "about": about, "color": color}
    return row if href is None else {**row, "href": href}


def byte_axis(low: float, high: float, width: Width, title: str) -> tuple[Spec, Spec]:
    """Scale and axis of a log axis of bytes from ``low`` to ``high``, ticks at 1, 2 and 5 where there is room."""
    decades = math.log10(high / low)
    steps = (
        (1, 2, 5)
        if decades * 3 <= (5 if width.narrow else 9)
        else (1, 3)
        if decades <= 3 and not width.narrow
        else (1,)
    )
    values = [step * 10.0**power for power in range(math.floor(math.log10(low)), 16) for step in steps]
    # Vega's SI prefixes are the decimal units of bytes as well: 1k is 1 kB.
    label = "replace(format(datum.value, '~s'), /([kMGT]?)$/, ' $1B')"
    axis = {"title": title, "values": [v for v in values if low <= v <= high], "labelExpr": label, "labelOverlap": True}
    return {"type": "log", "domain": [low, high], "nice": False}, axis


def log_bins(histogram: Histogram) -> list[tuple[float, float, int]]:
    """The histogram again, as (low, high, count) with at most :data:`BINS` bins of equal width on a log axis.

    Zeros have no place on a log axis and are left out.
    """
    buckets = [(*bounds_of(bucket), n) for bucket, n in histogram.buckets.items() if bucket > 0]
    if not buckets:
        return []
    low, high = min(b[0] for b in buckets), max(b[1] for b in buckets) + 1
    # Narrower than a bucket's own width would show the buckets, not the data.
    n_bins = max(1, min(BINS, int(math.log(high / low) / math.log(1.02))))
    ratio = (high / low) ** (1 / n_bins)
    counts = [0] * n_bins
    for first, last, n in buckets:
        middle = (first + last) / 2
        counts[min(n_bins - 1, int(math.log(middle / low) / math.log(ratio)))] += n
    return [(low * ratio**at, low * ratio ** (at + 1), n) for at, n in enumerate(counts) if n]
