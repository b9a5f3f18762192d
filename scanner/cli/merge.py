"""``scanner merge``: the Runs of ``scan --shard I/N`` into one Run, then its summary."""

from __future__ import annotations

import click

from scanner.cli.help import Command, option

NOT_REACHED = 3


@click.command(
    "merge",
    cls=Command,
    short_help="Join Runs of parts of a dataset into one Run",
    examples=[
        "scanner make-corpus corpus --rows 2000",
        "scanner scan corpus --out part-1 --shard 1/2 --format quiet",
        "scanner scan corpus --out part-2 --shard 2/2 --format quiet",
        "scanner merge part-1 part-2 -o whole",
    ],
)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@option("-o", "--out", section="The Run", metavar="DIR", required=True, help="Folder or URL of the Run to write.")
@option("--fresh", section="The Run", is_flag=True, help="Start over where the folder holds a Run.")
@option(
    "--format",
    "format_",
    section="The Run",
    type=click.Choice(["human", "json", "quiet"]),
    default="human",
    help="What goes to stdout and stderr.",
)
def command(runs: tuple[str, ...], out: str, *, fresh: bool, format_: str) -> int:
    """Join the Runs of all parts of one scan (`scan --shard I/N`) into the Run that one machine would have written.

    Parts that were scanned from other inputs or with other options are refused, and so is a part that is given twice.
    Where parts are missing or not complete, the Run says so, the exit code is 3, and `scan` without --shard into the
    same folder scans what is missing. Runs and DIR may be URLs (s3://bucket/run).
    """
    from scanner.merging import merge
    from scanner.progress import progress_for

    with progress_for(format_, planned_rows=None, planned_bytes=None, workers=None) as told:
        run = merge(runs, out, fresh=fresh, watcher=told)
        for what, why in run.manifest.not_reached.items():
            told.note(f"{what}: {why}")
    if format_ != "quiet":
        from scanner.cli.report import show

        show(run, as_json=format_ == "json")
    return 0 if run.account.is_whole else NOT_REACHED
