"""A Task and an Explorer in a notebook's cell. Everything from the data is escaped by :mod:`scanner.report.markup`."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Final

from scanner.explore.preview import Excerpt, Preview, preview
from scanner.report.cell import TABLE, dim, frame, table
from scanner.report.figures import count, counted, size
from scanner.report.markup import Child, Markup, el, join, name
from scanner.report.terminal import safe

if TYPE_CHECKING:
    from scanner.explore import Explorer
    from scanner.task import Task

FILES_SHOWN: Final = 40
INPUTS_SHOWN: Final = 15

_CODE: Final = (
    "max-height: 22em; overflow: auto; margin: .3em 0; padding: .6em; border: 1px solid #8884; border-radius: 4px; "
    "font: 12px/1.45 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; text-align: left"
)
_HEX: Final = "font: 12px ui-monospace, monospace"


def task_html(task: Task) -> Markup:
    """What is worth showing of ``task``."""
    shown = preview(task)
    record = shown.record
    where = f"row {record.row:,} of {record.file}" if record.file else None
    return frame(
        el("strong", name(record.path or "(no path)", 120)),
        dim(where) if where else None,
        _facts(shown),
        _faults(shown),
        _files(shown) if shown.members else None,
        join(*(_excerpt(each) for each in shown.excerpts)),
    )


def _facts(shown: Preview) -> Markup:
    record = shown.record
    lines: list[tuple[str, Child]] = [("status", record.status)]
    heads = [head for head in (shown.blob_head, shown.raw_head) if head is not None]
    for label, head in zip(("blob", "inside"), heads, strict=False):
        lines.append((label, join(el("span", head.hex, style=_HEX), f" {head.meaning}")))
    lines.append(("size", f"{size(record.compressed_size)} compressed, {size(record.raw_size)} raw"))
    if record.format in ("tar", "zip"):
        harbor = "loads it" if record.harbor_loadable else f"does not load it: {record.harbor_reason}"
        lines += [("layout", record.layout), ("verifier", record.verifier_kind), ("Harbor", harbor)]
    rows = (
        el("tr", el("td", label, style="opacity: .65; padding-right: 1em"), el("td", value)) for label, value in lines
    )
    return el("table", el("tbody", *rows), style=TABLE + "; text-align: left")


def _faults(shown: Preview) -> Markup | None:
    kinds = dict.fromkeys(fault.kind for fault in shown.record.faults)
    return el("div", "faults: ", ", ".join(kinds)) if kinds else None


def _files(shown: Preview) -> Markup:
    files = [member for member in shown.members if member.kind != "dir"]
    rows: list[list[Child]] = [
        [
            join(name(member.name), f" → {member.link}" if member.link else None),
            size(member.size_bytes) if member.kind == "file" else "",
            member.content_type or ("not readable" if member.kind == "file" else member.kind),
        ]
        for member in files[:FILES_SHOWN]
    ]
    rest = files[FILES_SHOWN:]
    more = f"and {counted(len(rest), 'more file')}, {size(sum(m.size_bytes for m in rest))}" if rest else None
    summary = el("summary", counted(len(files), "file"))
    return el(
        "details",
        summary,
        table(("file", "size", "content"), rows, texts=(0, 2)),
        dim(more) if more else None,
        open=True,
    )


def _excerpt(excerpt: Excerpt) -> Markup:
    body = Markup(html.escape(safe(excerpt.text, multiline=True)))  # as text(), but of several lines and not cut
    noun = "bytes" if excerpt.language == "hexdump" else "characters"
    more = f"… {count(excerpt.left_out_chars)} more {noun}" if excerpt.left_out_chars else None
    summary = el("summary", f"{excerpt.role}: ", name(excerpt.title))
    return el("details", summary, el("pre", body, style=_CODE), dim(more) if more else None)


def explorer_html(explorer: Explorer) -> Markup:
    """The files of ``explorer``, with rows and size by their footers."""
    inputs = explorer.rows.plan.inputs
    rows: list[list[Child]] = [
        [name(each.file), count(each.rows or 0), size(each.size_bytes)] for each in inputs[:INPUTS_SHOWN]
    ]
    rest = len(inputs) - len(rows)
    return frame(
        el("strong", "Explorer "),
        name(explorer.rows.location),
        el("div", f"{counted(len(explorer), 'row')} in {counted(len(inputs), 'file')}"),
        table(("file", "rows", "size"), rows),
        dim(f"and {counted(rest, 'more file')}") if rest else None,
    )
