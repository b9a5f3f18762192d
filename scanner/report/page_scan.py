"""Of the page: where every planned row is found again, what the scan cost, and how it was made."""

from __future__ import annotations

from typing import Final

import msgspec

from scanner.report.figures import count, counted, duration, percent, size, uncounted
from scanner.report.markup import Child, Markup, el, name
from scanner.run import Run

_OUTCOMES = (
    ("ok", "read completely"),
    ("degraded", "damaged, what could be read was"),
    ("failed", "nothing could be read"),
    ("skipped", "left out by the source filter"),
    ("not_reached", "never scanned"),
)


def strip(run: Run) -> Markup:
    """The account as one bar and one line: planned = ok + degraded + failed + skipped + not reached."""
    account = run.account
    counts = {kind: getattr(account, kind) for kind, _ in _OUTCOMES}
    bar = [el("i", class_=kind, style=f"flex:{n} {n} 0") for kind, n in counts.items() if n]
    told: list[Child] = []
    for kind, n in counts.items():
        told += [
            " + " if told else " = ",
            el("span", el("b", count(n)), f" {kind.replace('_', ' ')}", class_=f"key {kind}"),
        ]
    return el(
        "div",
        el("div", bar, class_="bar", aria_hidden="true"),
        el("p", el("b", count(account.planned)), " planned", told),
        el("p", f"Besides, {uncounted(account.uncounted_files)}.") if account.uncounted_files else None,
        class_="account",
    )


def account(run: Run) -> Markup:
    """The account as a table, and why rows were not reached."""
    planned = run.account.planned
    lines = [
        el(
            "tr",
            el("th", kind.replace("_", " "), scope="row"),
            _number(count(getattr(run.account, kind))),
            _number(percent(getattr(run.account, kind), planned)),
            el("td", meaning),
        )
        for kind, meaning in _OUTCOMES
    ]
    total = el(
        "tr",
        el("th", "planned", scope="row"),
        _number(count(planned)),
        el("td"),
        el("td", "the sum of these" if run.account.balances() else "not the sum of these: do not trust this Run"),
    )
    why = [el("li", name(file), ": ", reason) for file, reason in run.manifest.not_reached.items()]
    return el(
        "div",
        el("h3", "Account"),
        el("table", el("tbody", lines, total), class_="plain"),
        el("ul", why) if why else None,
    )


def cost(run: Run) -> Markup:
    """Time, throughput and efficiency of the process that wrote the Run."""
    manifest = run.manifest
    counters, cpu = manifest.counters, manifest.cpu_seconds
    workers = manifest.engine.get("workers")
    told = [("Wall time", duration(manifest.wall_seconds))]
    told += [
        (label, f"{manifest.throughput[key]:,.0f} {unit}") for key, label, unit in _RATES if key in manifest.throughput
    ]
    if counters.rows:
        told += [
            (
                "Read",
                f"{count(counters.rows)} rows, {size(counters.blob_bytes)} packed, {size(counters.raw_bytes)} raw",
            ),
            ("Worker time", f"{counters.cpu_ns / counters.rows / 1000:,.0f} µs a row"),
        ]
    if cpu:
        each = ", ".join(f"{who} {duration(seconds)}" for who, seconds in cpu.items())
        told.append(("Processor time", f"{duration(sum(cpu.values()))} ({each})"))
    if isinstance(workers, int) and workers and manifest.wall_seconds:
        whole = workers * manifest.wall_seconds
        busy = percent(min(counters.cpu_ns / 1e9, whole), whole)
        told.append(("Efficiency", f"workers busy {busy} of {count(workers)} times the wall time"))
    if manifest.peak_memory_mb:
        told.append(("Peak memory", ", ".join(f"{who} {mb:,.0f} MB" for who, mb in manifest.peak_memory_mb.items())))
    if reused := manifest.reused_rows + sum(manifest.reused_from.values()):
        told.append(("From earlier scans", f"{count(reused)} rows"))
    return el("div", el("h3", "Cost"), _pairs(told))


_RATES: Final = (
    ("rows_per_second", "Rows", "a second"),
    ("mb_per_second", "Packed", "MB a second"),
    ("raw_mb_per_second", "Raw", "MB a second"),
)


def conditions(run: Run) -> list[Markup]:
    """Options, inputs, engine, versions and machine."""
    manifest = run.manifest
    sizes = [each.size_bytes for each in manifest.inputs if each.size_bytes is not None]
    asked = [
        ("SOURCE", manifest.source),
        ("Revision", manifest.revision or "none: not from the Hub"),
        ("Inputs", f"{counted(len(manifest.inputs), 'file')}, {size(sum(sizes))}"),
        ("Plan", counted(manifest.n_units, "unit")),
        ("Started", manifest.started),
        *((key, _said(value)) for key, value in manifest.arguments.items() if value not in (None, [], {}, "")),
    ]
    engine = [(key.replace("_", " "), _said(value)) for key, value in manifest.engine.items()]
    lists = (
        ("What was asked", asked),
        ("Engine", engine),
        ("Versions", list(manifest.versions.items())),
        ("Machine", list(manifest.machine.items())),
    )
    return [el("div", el("h3", title), _pairs(told)) for title, told in lists if told]


def _said(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return count(value)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _pairs(pairs: list[tuple[str, str]]) -> Markup:
    return el("dl", [el("div", el("dt", key), el("dd", name(value, 300))) for key, value in pairs])


def _number(said: str) -> Markup:
    return el("td", said, class_="n")
