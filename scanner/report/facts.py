"""What a Run says, before anyone chooses how it looks: candidates for training, findings with examples, caveats.

The page, the summary for a dataset card and the comparison share these values; none of them computes its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import polars as pl

from scanner.faults import FAULTS, Severity
from scanner.model import source_of
from scanner.report.figures import count, uncounted
from scanner.report.follow_up import show_command
from scanner.report.markup import visible
from scanner.run import Manifest, Run
from scanner.stats import Example, SourceStats

WITH_ENTRY: Final = (
    "harbor-separate",
    "harbor-steps",
    "harbor-shared",
    "terminal-bench",
    "verifier-script",
)
"""Verifier kinds that a harness can run as they stand; the others are data or words about a verifier."""

REASONS_SHOWN: Final = 10
"""Reasons of Harbor that are listed with examples, the most frequent ones."""


class Step(msgspec.Struct, frozen=True):
    """One sieve on the way from rows to candidates for training; each keeps a part of what the one before kept."""

    label: str
    rows: int
    meaning: str


class Place(msgspec.Struct, frozen=True):
    """One row where something was seen."""

    source: str
    file: str
    row: int
    path: str
    member: str | None
    detail: str | None
    command: str | None
    """``scanner show …`` for a POSIX shell, on one line; None where the names are too long to be copied."""


class Finding(msgspec.Struct, frozen=True):
    """One kind of fault, lying extension or reason of Harbor: how often, what it means, where to look."""

    kind: str
    severity: Severity
    rows: int
    meaning: str
    advice: str
    examples: list[Place]


def runnable(stats: SourceStats) -> int:
    """Rows with a verifier of :data:`WITH_ENTRY`."""
    return sum(stats.verifier_kind.get(kind, 0) for kind in WITH_ENTRY)


def steps(run: Run) -> list[Step]:
    """The sieve over the whole Run, from rows to distinct candidates. One lazy pass over five columns."""
    read_whole = pl.col("status") == "ok"
    loads = read_whole & pl.col("harbor_loadable").fill_null(value=False)
    tested = loads & ~pl.col("faults").list.eval(pl.element().struct.field("kind") == "empty-test-entry").list.any()
    row = (
        run.records()
        .select(
            rows=pl.len(),
            read_whole=read_whole.sum(),
            loads=loads.sum(),
            tested=tested.sum(),
            distinct=pl.col("content_id").filter(tested).drop_nulls().n_unique(),
        )
        .collect(engine="streaming")
        .row(0, named=True)
    )
    return [
        Step("Rows", row["rows"], "scanned, one task archive each"),
        Step("Read completely", row["read_whole"], "status ok: nothing damaged, no limit hit"),
        Step("Harbor loads it", row["loads"], "its own rule for a valid task directory; it drops others silently"),
        Step("Its test is not empty", row["tested"], "the test script has more than comments"),
        Step("Distinct content", row["distinct"], "one of each set of rows with the same files"),
    ]


def findings(run: Run) -> list[Finding]:
    """Fault kinds with their examples: damage first, then notes, each by number of rows."""
    overall = run.stats.overall
    found = [_fault(run.manifest, kind, rows, overall) for kind, rows in overall.faults.items()]
    return sorted(found, key=lambda finding: (finding.severity != "damage", -finding.rows, finding.kind))


def _fault(manifest: Manifest, kind: str, rows: int, overall: SourceStats) -> Finding:
    about = FAULTS.get(kind)  # type: ignore[call-overload]
    severity: Severity
    severity, meaning, advice = about or (
        "damage",
        "A kind this version does not know.",
        "Use the version that wrote it.",
    )
    return Finding(kind, severity, rows, meaning, advice, _places(manifest, overall.examples.get(kind, [])))


def lies(run: Run) -> list[Finding]:
    """The commonest extensions that lie, ``.ext content-type``, by number of files (not rows)."""
    found = []
    for kind, n in run.stats.overall.lies.top(REASONS_SHOWN):
        examples = _places(run.manifest, run.stats.overall.examples.get(f"lie {kind}", []))
        found.append(Finding(kind, "note", n, "", "", examples))
    return found


def reasons(run: Run) -> list[Finding]:
    """Why Harbor would drop rows, the most frequent reasons first. Reads the records where there is a reason at all."""
    top = run.stats.overall.harbor_reasons.top(REASONS_SHOWN)
    if not top:
        return []
    rows = run.records().select("harbor_reason", "source", "file", "row", "path")
    found = []
    for reason, n in top:
        # A filter with a head stops at the third hit; grouping all rows takes five times the memory.
        seen = rows.filter(pl.col("harbor_reason") == reason).drop("harbor_reason").head(3).collect(engine="streaming")
        examples = [place_of(run.manifest, *at) for at in seen.iter_rows()]
        found.append(Finding(reason, "note", n, "", "", examples))
    return found


def _places(manifest: Manifest, examples: list[Example]) -> list[Place]:
    return [place_of(manifest, source_of(e.file, e.path), e.file, e.row, e.path, e.member, e.detail) for e in examples]


def place_of(
    manifest: Manifest,
    source: str,
    file: str,
    row: int,
    path: str,
    member: str | None = None,
    detail: str | None = None,
) -> Place:
    """One row as a Place, with the command that shows it."""
    return Place(source, file, row, path, member, detail, show_command(manifest, file, row))


_COUNTERS: Final = {
    "names": "file names",
    "extensions": "extensions",
    "json_keys": "JSON keys",
    "base_images": "base images",
    "harbor_reasons": "reasons of Harbor",
}


def asked_part(manifest: Manifest) -> str:
    """The options that left rows of the source out, as they were given; empty where all were asked for."""
    arguments = manifest.arguments
    given = []
    for name in ("include", "exclude", "source_filter", "limit", "sample", "shard"):
        value = arguments.get(name)
        values = value if name in {"include", "exclude"} and value else [value]
        option = name.replace("_", "-")
        given += [
            f"--{option} {visible('/'.join(map(str, each)) if isinstance(each, list) else str(each))}"
            for each in values
            if each is not None and each != []
        ]
    return ", ".join(given)


def caveats(run: Run) -> list[str]:
    """Whole sentences on what this scan does not know; empty where every planned row was read and counted exactly."""
    manifest, account, overall = run.manifest, run.account, run.stats.overall
    said = []
    if not account.balances():
        said.append("The account does not balance: do not trust this Run.")
    if manifest.state == "running":
        said.append("The scan is still running or was killed: this is what it had written.")
    asked = asked_part(manifest)
    if asked:
        said.append(f"Not the whole source was asked for: {asked}.")
    if not account.is_whole:
        why = "; ".join(f"{visible(file)}: {reason}" for file, reason in list(manifest.not_reached.items())[:3])
        lacking = [f"{count(account.not_reached)} planned rows"] if account.not_reached else []
        lacking += [uncounted(account.uncounted_files)] if account.uncounted_files else []
        said.append(f"Not reached: {' and '.join(lacking)}{f' ({why})' if why else ''}.")
    limited = {kind: rows for kind, rows in overall.faults.items() if kind.startswith("limit:")}
    if limited:
        kinds = ", ".join(f"{kind} {count(rows)}" for kind, rows in limited.items())
        said.append(f"Rows that hit a limit are described only up to it ({kinds}).")
    if overall.faults.get("worker-died"):
        said.append(f"{count(overall.faults['worker-died'])} rows killed the worker that read them.")
    bounded = {words: getattr(overall, name).error for name, words in _COUNTERS.items() if getattr(overall, name).error}
    if bounded:
        said.append(f"Counts of {', '.join(bounded)} are bounded: short by {count(max(bounded.values()))} at most.")
    return said


def examples_of(run: Run, source: str) -> Mapping[str, list[Place]]:
    """The examples of one source's faults, by kind."""
    examples = run.stats.sources[source].examples
    return {
        kind: _places(run.manifest, examples[kind]) for kind in run.stats.sources[source].faults if kind in examples
    }
