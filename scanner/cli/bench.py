"""``scanner bench``: how fast SOURCE can be scanned here, what limits it, and whether that got worse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scanner.cli.help import Command, option

if TYPE_CHECKING:
    from scanner.bench.measure import Figures

WHAT, RESULT = "What is measured", "What comes of it"
WORSE = 1


class _Numbers(click.ParamType[tuple[int, ...]]):
    """Positive integers separated by commas."""

    name = "numbers"

    def convert(
        self, value: str | tuple[int, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """The integers of ``1,2,4``."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(int(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if not numbers or min(numbers) < 1:
            self.fail(f"{value!r} is not a list of numbers of workers, such as 1,2,4", param, ctx)
        return numbers


@click.command(
    "bench",
    cls=Command,
    short_help="Measure how fast SOURCE can be scanned on this machine",
    examples=[
        "scanner make-corpus corpus --rows 2000",
        "scanner bench corpus --rows 500 --json > base.json",
        "scanner bench corpus --rows 500 --compare base.json --fail-above 1.5",
    ],
)
@click.argument("source")
@option("--workers", section=WHAT, type=_Numbers(), metavar="1,2,4", help="Processes.  [default: 1, 2, 4, … cores]")
@option("--rows", section=WHAT, type=click.IntRange(min=1), default=20_000, metavar="N", help="Rows.  [default: 20000]")
@option(
    "--pairs", section=WHAT, type=click.IntRange(min=1), default=7, metavar="N", help="Rounds; 7 at least tell.  [7]"
)
@option("--valgrind", section=WHAT, is_flag=True, help="Count machine instructions too; takes half a minute.")
@option("--json", "as_json", section=RESULT, is_flag=True, help="The figures as JSON: the base of later comparisons.")
@option(
    "--compare",
    section=RESULT,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="BASE.json",
    help="Figures of --json to compare with.",
)
@option(
    "--fail-above",
    section=RESULT,
    type=click.FloatRange(min=1),
    default=1.05,
    show_default=True,
    metavar="RATIO",
    help="Exit with 1 if it surely costs more than so many times the base.",
)
def command(
    source: str,
    workers: tuple[int, ...] | None,
    rows: int,
    pairs: int,
    valgrind: bool,
    as_json: bool,
    compare: Path | None,
    fail_above: float,
) -> int:
    """Measure how fast SOURCE can be scanned on this machine, against what inflating its blobs alone costs.

    Everything is measured in one run, in alternation: the floor, whole scans in one process and with workers. With
    --compare, exact counters are held to equality and ratios to the bound; absolute times never count.
    """
    import msgspec

    from scanner.bench.exact import has_valgrind
    from scanner.bench.measure import bench
    from scanner.bench.text import text
    from scanner.errors import UsageError

    before = _base(compare) if compare is not None else None
    if valgrind and not has_valgrind():
        raise UsageError("--valgrind: there is no valgrind on this machine; install it or leave the option out")
    figures = bench(source, workers=workers or (), rows=rows, pairs=pairs, valgrind=valgrind, on_round=_tell)
    click.echo(msgspec.json.format(msgspec.json.encode(figures), indent=1).decode() if as_json else text(figures))
    return _judge(before, figures, fail_above) if before is not None else 0


def _tell(step: str) -> None:
    from sys import stderr

    if stderr.isatty():
        click.echo(f"\r\033[K{step}" if step else "\r\033[K", err=True, nl=False)


def _base(path: Path) -> Figures:
    from scanner.bench.compare import read_figures
    from scanner.errors import UsageError

    try:
        return read_figures(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"--compare {path}: not figures of `scanner bench --json` ({error})") from error


def _judge(before: Figures, now: Figures, fail_above: float) -> int:
    from scanner.bench.compare import compare, explain

    findings = compare(before, now, fail_above)
    click.echo("", err=True)
    if (why := explain(before, now)) is not None:
        click.echo(why, err=True)
    for finding in findings:
        verdict = "WORSE" if finding.is_worse else "ok"
        click.echo(f"{verdict:6}{finding.what:45}{finding.before:>14} -> {finding.now}", err=True)
    return WORSE if any(finding.is_worse for finding in findings) else 0
