"""Of the page: what changed since an older Run."""

from __future__ import annotations

from collections.abc import Iterable

from scanner.report.changes import COLUMNS, Comparison, FileChanges, SourceChange
from scanner.report.compare_text import FILES_SHOWN, difference
from scanner.report.figures import count
from scanner.report.markup import Markup, el, join, name
from scanner.report.page_findings import places


def comparison(found: Comparison) -> Markup:
    """The whole section."""
    rows = found.rows
    verdicts = (("heuristic verifier", found.heuristic_verifier), ("loads in Harbor", found.harbor_loadable))
    columns = [(COLUMNS[column], n) for column, n in found.columns.items()]
    if rows.changed:
        columns.append(("nothing that records describe", found.undescribed))
    return join(
        el("p", "From ", el("b", name(found.old)), " to ", el("b", name(found.new)), "."),
        el(
            "div",
            [
                _card(n, label)
                for n, label in (
                    (rows.added, "rows added"),
                    (rows.removed, "rows removed"),
                    (rows.changed, "rows changed"),
                    (rows.repacked, "repacked, same content"),
                    (rows.same, "the same"),
                )
            ],
            class_="cards",
        ),
        [el("p", limit, class_="honest") for limit in found.limits],
        _sources(found.sources),
        el(
            "div",
            _counted("What differs in changed rows", columns),
            _files(found.files),
            _beside("Files by name, where counts differ most", found.names.items()),
            _beside("Verifiers", [*verdicts, *found.verifier_kinds.items()]),
            _beside("Status", found.status.items()),
            _beside("Layouts", found.layouts.items()),
            _beside("Faults", found.faults.items()),
            class_="columns boxed",
        ),
        [join(el("h3", f"Rows {fate}: where to look"), places(examples)) for fate, examples in found.examples.items()],
    )


def _card(n: int, label: str) -> Markup:
    return el("div", el("strong", count(n)), el("span", label))


def _sources(sources: list[SourceChange]) -> Markup:
    touched = [each for each in sources if each.state != "kept" or each.rows.moved()]
    if not touched:
        return el("p", "No source changed.", class_="empty")
    heads = [
        el("th", label, scope="col", class_="n" if at > 1 else None)
        for at, label in enumerate(("Source", "State", "Added", "Removed", "Changed", "Same"))
    ]
    body = [_source(each) for each in touched]
    return el(
        "div",
        el("table", el("thead", el("tr", heads)), el("tbody", body)),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label="Sources that changed",
    )


def _source(each: SourceChange) -> Markup:
    rows = each.rows
    was = el("small", " was ", name(each.old_source)) if each.old_source else None
    figures = (rows.added, rows.removed, rows.changed, rows.repacked + rows.same)
    return el(
        "tr",
        el("th", name(each.source), was, scope="row"),
        el("td", each.state),
        [el("td", count(n), class_="n") for n in figures],
    )


def _counted(title: str, counted: Iterable[tuple[str, int]]) -> Markup | None:
    lines = [el("tr", el("th", name(kind, 60), scope="row"), el("td", count(n), class_="n")) for kind, n in counted]
    return el("div", el("h4", title), el("table", el("tbody", lines), class_="plain")) if lines else None


def _files(files: FileChanges | None) -> Markup | None:
    rows = files.top(FILES_SHOWN) if files is not None else []
    lines = [
        el("tr", el("th", name(file, 60), scope="row"), [el("td", count(n), class_="n") for n in ns])
        for file, ns in rows
    ]
    heads = [el("th", label, scope="col", class_="n") for label in ("changed", "added", "removed")]
    table = el("table", el("thead", el("tr", el("td"), heads)), el("tbody", lines), class_="plain")
    return el("div", el("h4", "Files of changed rows: in how many rows"), table) if lines else None


def _beside(title: str, pairs: Iterable[tuple[str, tuple[int, int]]]) -> Markup | None:
    lines = [
        el(
            "tr",
            el("th", name(kind, 60), scope="row"),
            [el("td", "not listed" if n < 0 else count(n), class_="n") for n in (old, new)],
            el("td", difference(old, new), class_="n"),
        )
        for kind, (old, new) in pairs
    ]
    heads = el(
        "thead", el("tr", el("td"), [el("th", label, scope="col", class_="n") for label in ("old", "new", "change")])
    )
    return el("div", el("h4", title), el("table", heads, el("tbody", lines), class_="plain")) if lines else None
