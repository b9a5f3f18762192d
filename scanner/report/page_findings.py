"""Of the page: every finding with its count, what it means, what to do, and three rows to look at."""

from __future__ import annotations

from collections.abc import Iterable

from scanner.report import facts
from scanner.report.figures import count, counted
from scanner.report.markup import Markup, el, join, name
from scanner.run import Run


def findings(run: Run) -> Markup:
    """Faults, damage first, then extensions that lie."""
    faults, lies = facts.findings(run), facts.lies(run)
    if not faults:
        return el("p", "No fault of any kind was found.", class_="empty")
    parts = [el("div", [_finding(each, "row", opened=each is faults[0]) for each in faults], class_="findings")]
    if lies:
        listed = [_finding(each, "file") for each in lies]
        parts += [
            el("h3", "Extensions that lie"),
            el("p", "Files whose content is not what their extension says."),
            el("div", listed, class_="findings"),
        ]
    return join(parts)


def reasons(run: Run) -> Markup | None:
    """Why Harbor would drop rows."""
    found = facts.reasons(run)
    if not found:
        return None
    return join(
        el("h3", "Why Harbor would drop rows"),
        el(
            "p",
            "The first reason against each row, by Harbor's own rule. Harbor drops such tasks without a message.",
        ),
        el("div", [_finding(each, "row") for each in found], class_="findings"),
    )


def _finding(finding: facts.Finding, unit: str, *, opened: bool = False) -> Markup:
    meaning = " ".join(filter(None, (finding.meaning, finding.advice)))
    return el(
        "details",
        el(
            "summary",
            el("b", name(finding.kind), class_=f"kind {finding.severity}"),
            el("span", counted(finding.rows, unit), class_="n"),
            el("span", meaning, class_="meaning") if meaning else None,
        ),
        places(finding.examples) if finding.examples else el("p", "No example was kept."),
        class_=None if meaning else "reason",
        open=opened,
    )


def places(examples: Iterable[facts.Place]) -> Markup:
    """Rows to look at, each with the command that shows it."""
    return el("ul", [_place(each) for each in examples], class_="places")


def _place(place: facts.Place) -> Markup:
    seen = [el("span", each) for each in (name(place.member) if place.member else None, place.detail) if each]
    return el(
        "li",
        el("p", name(place.source), " · ", el("b", name(place.path)), f" · row {count(place.row)}"),
        el("p", seen, class_="seen") if seen else None,
        el("div", el("code", place.command), el("button", "Copy", type="button", class_="copy live"), class_="command")
        if place.command
        else el("p", "No command to copy: the file's name is too long, or unsafe to paste.", class_="seen"),
    )
