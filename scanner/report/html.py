"""The page: one self-contained HTML file. In a minute: what is here, what can I train on, what is broken.

No network, no other file: style and script stand in it, charts are SVG in place. A Content-Security-Policy allows that
one script by its hash and nothing else, so that even a mistake in escaping could not run what the data holds.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path
from string import Template
from typing import Final

from scanner.errors import OutputError
from scanner.report import charts, facts, page_against, page_findings, page_scan, page_sources
from scanner.report.chart_parts import Chart, Width
from scanner.report.compare import compare
from scanner.report.figures import count, counted, percent, size
from scanner.report.follow_up import HONEST
from scanner.report.markup import Child, Markup, el, join, name
from scanner.run import Run
from scanner.stats import Distinct, SourceStats

WIDE: Final = Width(560, 216)
"""Charts beside one another on a desk; also what is printed."""

SLIM: Final = Width(330, 140)
"""The same charts drawn again for a telephone: shrinking the wide ones would make their text 6 px high."""

_SECTIONS: Final = {
    "what": "What is in here",
    "train": "What can I train on",
    "broken": "What is broken",
    "sources": "Sources",
    "changes": "What changed",
    "scan": "How it was scanned",
}
_CHARTS_OF: Final = {
    "what": (
        "tasks-per-source",
        "compressed-size",
        "mean-sizes",
        "layouts",
        "formats",
        "file-names",
        "extensions",
        "content-types",
        "json-keys",
        "base-images",
    ),
    "train": ("verifier-kinds", "verifier-rate", "duplicates"),
    "broken": ("faults",),
}


_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'"
)
"""Of the page: no connection, image, frame or font, and one script, by its hash."""


def write_html(run: Run, path: Path, against: Run | None = None) -> None:
    """Write the page of ``run`` to ``path``; with ``against``, the older Run, it also tells what changed.

    Raises:
        UsageError: The extra ``report`` is not installed.
        RunError: A Run is incomplete.
        OutputError: ``path`` cannot be written.
    """
    page = render(run, against)
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):  # /dev/stdout, a pipe: they stay what they are
            path.write_text(page, encoding="utf-8")
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".part")
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror}); name another file with --html") from error


def render(run: Run, against: Run | None = None) -> str:
    """The page as text; see :func:`write_html`."""
    shown = [(anchor, _SECTIONS[anchor], body) for anchor, body in _bodies(run, against).items()]
    nav = el("nav", [el("a", title, href=f"#{anchor}") for anchor, title, _ in shown], aria_label="Sections")
    parts = [el("section", el("h2", title), body, id=anchor) for anchor, title, body in shown]
    script = _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Template(_asset("page.html")).substitute(
        policy=_POLICY.format(digest),
        title=join("Scan of ", run.manifest.source),
        style=_asset("page.css"),
        script=script,
        head=join(_head(run), _cards(run.stats.overall, len(run.stats.sources))),
        nav=nav,
        body=join(parts),
    )


def _bodies(run: Run, against: Run | None) -> dict[str, Child]:
    """What stands in each section, in order; a Run without rows has only its account."""
    bodies: dict[str, Child] = {}
    if run.stats.overall.rows:
        bodies = {
            "what": _figures(run, "what"),
            "train": join(_sieve(run), _figures(run, "train"), page_findings.reasons(run)),
            "broken": join(_figures(run, "broken"), page_findings.findings(run)),
            "sources": join(page_sources.table(run), page_sources.sections(run)),
        }
    if against is not None:
        bodies["changes"] = page_against.comparison(compare(run, against))
    scan = (page_scan.account(run), page_scan.cost(run), page_scan.conditions(run))
    return {**bodies, "scan": el("div", scan, class_="columns boxed")}


def _asset(file: str) -> str:
    return resources.files("scanner.report").joinpath(file).read_text(encoding="utf-8")


def _head(run: Run) -> Markup:
    manifest = run.manifest
    facts_of_run = [f"scanned {manifest.started[:10]}", manifest.state]
    if manifest.revision:
        facts_of_run.insert(0, f"revision {manifest.revision[:12]}")
    return el(
        "header",
        el("button", "Dark", id="theme", type="button", class_="live"),
        el("h1", name(manifest.source)),
        el("p", " · ".join(facts_of_run), class_="meta"),
        page_scan.strip(run),
        [el("p", sentence, class_="caveat") for sentence in facts.caveats(run)],
        el("p", HONEST, class_="honest"),
    )


def _cards(overall: SourceStats, n_sources: int) -> Markup | None:
    rows = overall.rows
    if not rows:
        return el("p", "This Run holds no rows: nothing was planned, or nothing was reached.", class_="empty")
    ok = overall.status.get("ok", 0)
    content = overall.distinct.get("content_id", Distinct())
    sizes = f"{size(overall.compressed_size.sum)} packed, {size(overall.raw_size.sum)} raw"
    return el(
        "div",
        _card(count(rows), "tasks", f"in {counted(n_sources, 'source')}; {sizes}"),
        _card(percent(ok, rows), "read completely", f"{count(rows - ok)} damaged or failed"),
        _card(
            percent(overall.harbor_loadable, rows),
            "load in Harbor",
            f"{count(rows - overall.harbor_loadable)} it would drop silently",
        ),
        _card(
            percent(facts.runnable(overall), rows),
            "have a runnable verifier",
            f"by file names alone: {percent(overall.heuristic_verifier, rows)}",
        ),
        _card(
            count(content.distinct), "distinct by content", f"{count(content.n - content.distinct)} rows repeat another"
        ),
        class_="cards",
    )


def _card(figure: str, label: str, more: str) -> Markup:
    return el("div", el("strong", figure), el("span", label), el("small", more))


def _figures(run: Run, section: str) -> Markup:
    wide, slim = ({chart.name: chart for chart in charts.charts(run.stats, width)} for width in (WIDE, SLIM))
    return el("div", [_figure(wide[each], slim[each]) for each in _CHARTS_OF[section] if each in wide], class_="charts")


def _figure(wide: Chart, slim: Chart) -> Markup:
    drawn = [el("div", Markup(charts.svg(chart)), class_=shape) for chart, shape in ((wide, "wide"), (slim, "slim"))]
    return el("figure", el("figcaption", el("h3", wide.title), el("p", wide.note)), drawn, id=f"chart-{wide.name}")


def _sieve(run: Run) -> Markup:
    steps = facts.steps(run)
    older = run.stats.overall.layout.get("terminal-bench", 0)
    note = f"{counted(older, 'row')} of the older terminal-bench layout are left out: Harbor loads them once converted."
    return join(
        el("ol", [_step(step, steps[0].rows) for step in steps], class_="sieve"),
        el("p", note, class_="honest") if older else None,
    )


def _step(step: facts.Step, rows: int) -> Markup:
    return el(
        "li",
        el("span", step.label, class_="label"),
        el("span", el("i", style=f"width:{100 * step.rows / rows:.2f}%"), class_="bar", aria_hidden="true"),
        el("strong", count(step.rows)),
        el("span", percent(step.rows, rows), class_="share"),
        el("small", step.meaning),
    )
