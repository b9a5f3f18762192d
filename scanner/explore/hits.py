"""Rows that were drawn or found, on a terminal: a line each, in full, or as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Final

import click
import msgspec
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from scanner.explore.find import Hit
from scanner.model import Record
from scanner.report.figures import size
from scanner.report.terminal import NARROW_CHARS, Cut, console

_WIDE_CHARS: Final = 72
"""A narrower terminal leaves the sources out: path and source would be cut to a few letters each."""

_STYLES: Final = {"ok": "default", "degraded": "yellow", "failed": "red"}


def print_hits(hits: Iterable[Hit], *, as_json: bool = False, show: Callable[[Hit], None] | None = None) -> int:
    """Print rows (JSON lines and shown ones as they come, else one table) and return how many there were."""
    n = 0
    if as_json:
        for hit in hits:
            n += 1
            click.echo(record_line(hit.record, number=hit.number))
    elif show is not None:
        for hit in hits:
            n += 1
            show(hit)
    else:
        found = list(hits)
        n = len(found)
        if found:
            screen = console()
            screen.print(records_table(found, screen.width))
    return n


def record_line(record: Record, **more: object) -> str:
    """A Record as one line of ASCII JSON, ``more`` before it."""
    return json.dumps(more | msgspec.to_builtins(record)).replace("\x7f", "\\u007f")


def records_table(hits: Iterable[Hit], width: int) -> Table:
    """A line a row: its number, who it is, and what is most asked, as far as there is room."""
    is_wide, is_narrow = width >= _WIDE_CHARS, width < NARROW_CHARS
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("row", justify="right", no_wrap=True)
    table.add_column("path", ratio=3)
    if is_wide:
        table.add_column("source", ratio=2)
    table.add_column("verifier", no_wrap=True)
    if not is_narrow:
        table.add_column("Harbor", no_wrap=True)
        table.add_column("raw", justify="right", no_wrap=True)
        table.add_column("files", justify="right", no_wrap=True)
    for hit in hits:
        record = hit.record
        table.add_row(
            f"{hit.number:,}",
            Cut(record.path, style=_STYLES[record.status]),
            *([Cut(record.source, style="dim")] if is_wide else []),
            record.verifier_kind or record.status,
            *([] if is_narrow else _more(record)),
        )
    return table


def _more(record: Record) -> list[RenderableType]:
    harbor = Text("loads", "green") if record.harbor_loadable else Text("no", "yellow")
    return [harbor, size(record.raw_size), f"{record.n_files:,}"]
