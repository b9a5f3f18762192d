"""``scanner scan``: every row of SOURCE into a Run, then the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from scanner.cli.help import Command, option
from scanner.report.terminal import safe

if TYPE_CHECKING:
    from scanner.run import Run

FAILED, NOT_REACHED = 1, 3
WHERE, WHAT, HOW, RESULT = "Where the Run goes", "What is scanned", "How", "What comes of it"
LIMITS = "Limits of one row (0: none)"


class _Part(click.ParamType[tuple[int, int]]):
    """``3/7``: the third of seven parts."""

    name = "I/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        part, _, parts = str(value).partition("/")
        if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
            self.fail(f"{value!r} is no part: give I/N, as in 1/4 to 4/4", param, ctx)
        return int(part), int(parts)


@click.command(
    "scan",
    cls=Command,
    short_help="Scan every row of SOURCE into a Run",
    examples=["scanner make-corpus corpus --rows 2000", "scanner scan corpus --out run --workers 2"],
)
@click.argument("source")
@option("-o", "--out", section=WHERE, metavar="DIR", help="Folder of the Run.  [default: runs/NAME-OF-SOURCE]")
@option("--fresh", section=WHERE, is_flag=True, help="Start over where the folder holds a Run.")
@option("--reuse", section=WHERE, metavar="RUN", multiple=True, help="Take rows of unchanged files from another Run.")
@option("--split", section=WHAT, metavar="S", help="Split, as `datasets` names it.")
@option("--config", section=WHAT, metavar="C", help="Configuration, as `datasets` names it.")
@option("--revision", section=WHAT, metavar="R", help="Branch, tag or commit on the Hub.  [default: main]")
@option("--include", section=WHAT, metavar="GLOB", multiple=True, help="Read only files that match; may be repeated.")
@option(
    "--exclude", section=WHAT, metavar="GLOB", multiple=True, help="Leave out files that match; wins over --include."
)
@option("--source-filter", section=WHAT, metavar="REGEX", help="Scan only rows whose source matches.")
@option("--limit", section=WHAT, type=click.IntRange(min=1), metavar="N", help="Scan the first N rows.")
@option("--sample", section=WHAT, type=click.IntRange(min=1), metavar="N", help="Scan N rows drawn by --seed.")
@option("--seed", section=WHAT, type=click.IntRange(min=0), default=0, metavar="S", help="Seed of --sample.")
@option("--shard", section=WHAT, type=_Part(), metavar="I/N", help="Scan the I-th of N parts; see `scanner merge`.")
@option("--column", section=WHAT, metavar="path=NAME,blob=NAME", help="Names of the two columns.")
@option("--workers", section=HOW, type=click.IntRange(min=0), metavar="N", help="Processes.  [default: one a core]")
@option(
    "--engine",
    section=HOW,
    type=click.Choice(["processes", "serial", "ray"]),
    default="processes",
    help="Where to work.",
)
@option("--download", section=HOW, is_flag=True, help="Mirror files on the Hub into its cache, then read them there.")
@option("--ray-address", section=HOW, metavar="A", help="The Ray cluster.  [default: RAY_ADDRESS, else start one]")
@option("--depth", section=LIMITS, type=click.IntRange(0, 3), default=0, metavar="N", help="Levels of nested archives.")
@option("--max-raw-bytes", section=LIMITS, type=click.IntRange(min=0), metavar="N", help="Bytes a row may inflate to.")
@option("--max-members", section=LIMITS, type=click.IntRange(min=0), metavar="N", help="Members a row may have.")
@option("--max-seconds", section=LIMITS, type=click.FloatRange(min=0), metavar="N", help="Processor time of a row.")
@option(
    "--fail-on", section=RESULT, metavar="KIND", multiple=True, help="Exit with 1 if a row has this fault or status."
)
@option(
    "--format",
    "format_",
    section=RESULT,
    type=click.Choice(["human", "json", "quiet"]),
    default="human",
    help="What goes to stdout and stderr.",
)
def command(source: str, out: str | None, **options: Any) -> int:
    """Scan every row of SOURCE: one record a row, aggregates per source, an account that balances.

    SOURCE is a Parquet file, a folder (searched for **/*.parquet), a glob, or a dataset on the Hub: ORG/NAME or
    hf://datasets/ORG/NAME[@revision][/glob]. Interrupted scans continue when the same
    command is run again.
    """
    from scanner.interrupts import Interrupts

    fail_on = _known_kinds(options.pop("fail_on"))
    column, format_ = options.pop("column"), options.pop("format_")
    try:
        with Interrupts():  # before the imports, the first that could swallow one
            from scanner.api import scan
            from scanner.sources.arrow import read_columns

            run = scan(
                source,
                out=out,
                limits=_limits(options),
                columns=read_columns(column) if column is not None else None,
                progress=format_,
                **options,
            )
        if format_ != "quiet":
            from scanner.cli.report import show

            show(run, as_json=format_ == "json")
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(f"{str(interrupt) or 'interrupted'}; continue with: {_again()}") from None
    if format_ != "human" and run.manifest.state != "complete":
        click.echo(_missing(run), err=True)
    return _exit_code(run, fail_on)


def _missing(run: Run) -> str:
    """One line for who does not read the summary: how much is missing, the first reason, and how to get it."""
    account, reasons = run.manifest.account, run.manifest.not_reached
    rows = [f"{account.not_reached:,} rows"] if account.not_reached or not account.uncounted_files else []
    files = [f"those in {account.uncounted_files:,} unreadable files"] if account.uncounted_files else []
    what = " and ".join(rows + files)
    file, reason = next(iter(reasons.items()), ("*", "the scan did not get to them"))
    where = "" if file == "*" or reason.startswith(file) else f"{file}: "
    more = f" (and {len(reasons) - 1:,} more reasons)" if len(reasons) > 1 else ""
    return safe(f"scanner: {what} not reached: {where}{reason}{more}; continue with: {_again()}")


def _again() -> str:
    """The line that continues this scan."""
    import shlex
    import sys

    return shlex.join(["scanner", *(word for word in sys.argv[1:] if word != "--fresh")])


def _limits(options: dict[str, Any]) -> Any:
    from scanner.options import Limits

    names = {"max_raw_bytes": "output_bytes", "max_members": "members", "max_seconds": "seconds"}
    given = {field: options.pop(option) for option, field in names.items()}
    return Limits(depth=options.pop("depth"), **{name: value for name, value in given.items() if value is not None})


def _known_kinds(kinds: tuple[str, ...]) -> tuple[str, ...]:
    from difflib import get_close_matches

    from scanner.errors import UsageError
    from scanner.faults import FAULTS

    known = [*FAULTS, "degraded", "failed"]
    for kind in kinds:
        if kind not in known:
            near = get_close_matches(kind, known)
            hint = f"did you mean {' or '.join(near)}?" if near else "docs/faults.md lists them"
            raise UsageError(f"--fail-on {kind}: no such fault or status; {hint}")
    return kinds


def _exit_code(run: Run, fail_on: tuple[str, ...]) -> int:
    if run.manifest.state != "complete":  # a stream that broke has rows that nobody could count
        return NOT_REACHED
    total = run.stats.overall
    return FAILED if any(total.faults.get(kind) or total.status.get(kind) for kind in fail_on) else 0
