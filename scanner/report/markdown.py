"""A summary in Markdown (GitHub flavour, which dataset cards use), ready to paste.

Names from the data are escaped: they cannot end a table cell, open a tag or a link, or turn text around.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Final

from scanner.report import facts
from scanner.report.chart_parts import largest
from scanner.report.figures import count, counted, percent, size, uncounted
from scanner.report.follow_up import HONEST
from scanner.report.markup import NAME_CHARS, visible
from scanner.run import Run
from scanner.stats import Distinct, SourceStats

SOURCES_SHOWN: Final = 30
FAULTS_SHOWN: Final = 15

_PUNCTUATION: Final = re.compile(r"([\\`*_\[\]#!|~@]|:(?=//)|(?<=www)\.)")


def render(run: Run) -> str:
    """The summary, ending with a line feed. Reads five columns of the records, for the candidates."""
    manifest, overall = run.manifest, run.stats.overall
    revision = f", revision `{manifest.revision[:12]}`" if manifest.revision else ""
    scanner = f"tasktrove-scanner {manifest.versions.get('scanner', '')}".strip()
    parts = [
        f"## Scan of {name(manifest.source)}",
        f"Every archive was read by {scanner} on {manifest.started[:10]}{revision}. {_account(run)}",
        *(f"**{name(sentence, 500)}**" for sentence in facts.caveats(run)),
    ]
    if overall.rows:
        parts += [_numbers(run), "### Candidates for training", _sieve(run), "### Sources", _sources(run)]
        kinds = ((name(kind), count(n), percent(n, overall.rows)) for kind, n in overall.verifier_kind.items())
        parts += ["### Verifiers", table(("kind", "rows", "share"), kinds)]
        parts += ["### Faults", _faults(run)]
    return "\n\n".join([*parts, f"*{HONEST}*"]) + "\n"


def name(text: str, limit: int = NAME_CHARS) -> str:
    r"""A name from the data as Markdown text.

    >>> name("a|b_c <i>")
    'a\\|b\\_c &lt;i&gt;'
    """
    return html.escape(_PUNCTUATION.sub(r"\\\1", visible(text, limit)), quote=False)


def _account(run: Run) -> str:
    account = run.account
    unknown = f" Besides, {uncounted(account.uncounted_files)}." if account.uncounted_files else ""
    return (
        f"{count(account.planned)} rows planned = {count(account.ok)} ok + {count(account.degraded)} degraded + "
        f"{count(account.failed)} failed + {count(account.skipped)} skipped + {count(account.not_reached)} not reached."
        f"{unknown}"
    )


def _numbers(run: Run) -> str:
    overall = run.stats.overall
    content = overall.distinct.get("content_id", Distinct())
    packed, rows = overall.compressed_size, overall.rows
    by_names = percent(overall.heuristic_verifier, rows)
    lines = (
        f"{counted(rows, 'task')} in {counted(len(run.stats.sources), 'source')}",
        f"{size(packed.sum)} packed, {size(overall.raw_size.sum)} raw",
        f"{size(packed.quantile(0.5))} a task packed (median), {size(packed.quantile(0.95))} (95th percentile)",
        f"{percent(overall.harbor_loadable, rows)} load in Harbor",
        f"{percent(facts.runnable(overall), rows)} have a verifier a harness can run, {by_names} by file names alone",
        f"{count(content.distinct)} distinct by content, {count(content.n - content.distinct)} rows repeat another",
    )
    return "\n".join(f"- {line}" for line in lines)


def _sieve(run: Run) -> str:
    steps = facts.steps(run)
    return table(
        ("", "rows", "share"),
        ((f"{step.label}: {step.meaning}", count(step.rows), percent(step.rows, steps[0].rows)) for step in steps),
    )


def _sources(run: Run) -> str:
    ranked = largest(run.stats)
    lines = [_source(name(source), stats) for source, stats in ranked[:SOURCES_SHOWN]]
    if len(ranked) > SOURCES_SHOWN:
        rest = sum(stats.rows for _, stats in ranked[SOURCES_SHOWN:])
        lines.append((f"{count(len(ranked) - SOURCES_SHOWN)} smaller sources", count(rest), "", "", "", "", ""))
    return table(
        ("source", "tasks", "read whole", "Harbor loads", "runnable verifier", "mean packed", "mean raw"), lines
    )


def _source(shown: str, stats: SourceStats) -> tuple[str, ...]:
    shares = (stats.status.get("ok", 0), stats.harbor_loadable, facts.runnable(stats))
    means = (stats.compressed_size.mean(), stats.raw_size.mean())
    return (shown, count(stats.rows), *(percent(n, stats.rows) for n in shares), *map(size, means))


def _faults(run: Run) -> str:
    found = facts.findings(run)
    if not found:
        return "None."
    lines: list[Sequence[str]] = [
        (name(each.kind), count(each.rows), each.severity, each.meaning) for each in found[:FAULTS_SHOWN]
    ]
    if len(found) > FAULTS_SHOWN:
        lines.append((f"{len(found) - FAULTS_SHOWN} more kinds", "", "", ""))
    return table(("kind", "rows", "", "meaning"), lines)


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already; columns of figures are set to the right."""
    rule = ["---", *("--:" if head != "meaning" and head else "---" for head in heads[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rule, *lines))
