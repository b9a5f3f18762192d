"""``scanner export``: tasks as folders of files."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scanner.cli.help import Command, option
from scanner.cli.rows import source_options, workers_option
from scanner.errors import NoMatchError

if TYPE_CHECKING:
    from scanner.explore import Explorer
    from scanner.explore.export import Exported
    from scanner.model import Blob


@click.command(
    cls=Command,
    short_help="Unpack rows into folders",
    examples=[
        "scanner make-corpus corpus --rows 2000",
        "scanner export corpus -o tasks -n 20",
        'scanner export corpus -o loadable -n 5 --where "harbor_loadable"',
    ],
)
@click.argument("source")
@option(
    "-o",
    "--output",
    section="Where to",
    type=Path,
    required=True,
    metavar="DIR",
    help="One folder a task, and manifest.jsonl.",
)
@option(
    "--on-exist",
    section="Where to",
    type=click.Choice(["error", "skip", "overwrite"]),
    default="error",
    show_default=True,
    help="What to do about a DIR or folder that is there.",
)
@option("-n", section="Which rows", type=click.IntRange(min=1), metavar="N", help="At most so many.  [default: all]")
@option("--where", section="Which rows", metavar="EXPR", help="Only rows that match; as for `scanner find`.")
@option("--run", section="Which rows", type=Path, metavar="RUN", help="Look for them in the records of this Run.")
@option("--path", section="Which rows", metavar="PATH", help="The one row of this path.")
@option(
    "--max-raw-bytes",
    section="Limits of a row",
    type=click.IntRange(min=0),
    metavar="N",
    help="Bytes it may inflate to; 0: any.",
)
@option(
    "--max-members",
    section="Limits of a row",
    type=click.IntRange(min=0),
    metavar="N",
    help="Members it may have; 0: any.",
)
@workers_option
@source_options
def command(
    source: str,
    output: Path,
    on_exist: str,
    n: int | None,
    where: str | None,
    run: Path | None,
    path: str | None,
    max_raw_bytes: int | None,
    max_members: int | None,
    workers: int | None,
    **options: Any,
) -> None:
    """Unpack tasks of SOURCE: a folder each, named for its path, complete or not there.

    Nothing is written outside DIR, whatever an archive says. Links, devices and damaged files are left out, which
    DIR/manifest.jsonl tells, and modes are reduced to plain and executable.
    """
    from scanner.explore import Explorer
    from scanner.explore.export import export
    from scanner.options import Limits

    given = {"output_bytes": max_raw_bytes, "members": max_members}
    limits = Limits(**{name: value for name, value in given.items() if value is not None})
    explorer = Explorer(source, limits=limits, **options)
    with closing(_chosen(explorer, where, run, path, workers)) as chosen:
        done = list(export(islice(chosen, n), output, on_exist=on_exist, limits=limits))  # type: ignore[arg-type]
    if not done:
        raise NoMatchError(f"no row of {source} matches {where!r}" if where else f"{source} has no rows")
    click.echo(_told(done, output))


def _chosen(
    explorer: Explorer, where: str | None, run: Path | None, path: str | None, workers: int | None
) -> Generator[Blob, None, None]:
    if path is not None:
        yield explorer.open(path=path).blob
    elif where is None:
        yield from (task.blob for task in explorer.iter())
    else:
        from scanner.run import Run

        with closing(explorer.find(where, run=Run(run) if run is not None else None, workers=workers)) as hits:
            for hit in hits:
                yield hit.blob or explorer.open(hit.record.row, file=hit.record.file).blob


def _told(done: list[Exported], output: Path) -> str:
    from scanner.report.figures import counted, size

    written = [line for line in done if line.state == "written"]
    files, n_bytes = sum(line.n_files for line in written), sum(line.n_bytes for line in written)
    parts = [f"{counted(len(written), 'task')} ({counted(files, 'file')}, {size(n_bytes)}) to {output}"]
    if len(done) > len(written):
        parts.append(f"{counted(len(done) - len(written), 'task')} there already")
    left_out = sum(line.n_left_out for line in written)
    if left_out:
        parts.append(f"{counted(left_out, 'member')} left out, see {output / 'manifest.jsonl'}")
    return "; ".join(parts)
