"""One task on a terminal. Everything from the data passes :func:`scanner.report.terminal.safe`; nothing is markup."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.rule import Rule
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from scanner.explore.preview import VERIFIER_CHARS, Excerpt, Head, Listed, Preview, of_member, preview, verifier_members
from scanner.faults import FAULTS, FaultKind
from scanner.model import Fault, Record
from scanner.report.figures import count, size
from scanner.report.terminal import Cut, cut, safe

if TYPE_CHECKING:
    from scanner.task import Task

FILES_SHOWN: Final = 40
FAULTS_SHOWN: Final = 3
"""Faults of one kind."""
SIGNALS_SHOWN: Final = 6
LINES_SHOWN: Final = {"metadata": 30, "instruction": 40, "code": 20, "verifier": 40, "content": 60}
"""Lines of each text, as they stand on the terminal."""

_THEME: Final = "ansi_dark"
"""Syntax colours out of the terminal's own sixteen: readable on whatever background it has."""

_STATUS: Final = {"ok": "green", "degraded": "yellow", "failed": "red"}


def print_task(task: Task, console: Console) -> None:
    """Print what is worth showing of ``task``."""
    show(preview(task), console)


def show(shown: Preview, console: Console) -> None:
    """Print a Preview."""
    record = shown.record
    console.print(_title(record))
    console.print(_facts(shown))
    if record.faults:
        console.print(_faults(record.faults))
    if shown.members:
        console.print(_heading("files", f"{count(len(shown.members))} members"))
        console.print(_files(shown.members))
    for excerpt in shown.excerpts:
        _print_excerpt(excerpt, console)
    console.print()


def print_verifier(task: Task, number: int, console: Console) -> None:
    """Print who a task is and its two best verifier candidates."""
    console.print(_title(task.record))
    console.print(Text(f"row {number:,} · {task.verifier_kind}", "dim"))
    found = verifier_members(task)[:2]
    for member in found:
        for excerpt in of_member(task, member, "verifier", VERIFIER_CHARS):
            _print_excerpt(excerpt, console)
    if not found:
        console.print(Text("no file that is called like a verifier; `scanner show` lists them all", "dim"))


def _print_excerpt(excerpt: Excerpt, console: Console) -> None:
    console.print(_heading(excerpt.role, excerpt.title))
    console.print(Padding(_Cropped(_drawn(excerpt, console), LINES_SHOWN[excerpt.role], excerpt), (0, 0, 0, 2)))


# -- what it is -------------------------------------------------------------------------------------------------------


def _title(record: Record) -> RenderableType:
    title = Cut(record.path or "(no path)", style="bold")
    return Group(Text(), title, Rule(style="dim"))


def _facts(shown: Preview) -> RenderableType:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for label, value in _fact_lines(shown):
        facts.add_row(label, value)
    return facts


def _fact_lines(shown: Preview) -> Iterator[tuple[str, RenderableType]]:
    record = shown.record
    yield "source", Cut(record.source)
    if record.file:
        yield "file", Cut(record.file, f"row {record.row:,}", separator=", ")
    yield "status", Text(record.status, _STATUS[record.status])
    yield "blob", _head(shown.blob_head)
    if shown.raw_head is not None:
        yield "inside", _head(shown.raw_head)
    yield "size", Text(_sizes(record))
    if record.format not in ("tar", "zip"):
        return
    yield "layout", Text(str(record.layout))
    yield "verifier", _verifier(record)
    yield "Harbor", _harbor(record)
    details = ["a solution" if record.has_solution else "no solution"]
    if record.base_image:
        details.append(f"image {safe(cut(record.base_image, 60))}")
    yield "has", Text(", ".join(details))


def _head(head: Head) -> Text:
    return Text.assemble(head.meaning, "\n", (head.hex or "(no bytes)", "cyan"))


def _sizes(record: Record) -> str:
    parts = [size(record.compressed_size)]
    if record.raw_size is not None and record.codec != "none":
        times = record.raw_size / max(record.compressed_size, 1)
        parts.append(f" → {size(record.raw_size)} ({times:.1f} times)")
    if record.n_members:
        kinds = ((record.n_files, "file"), (record.n_dirs, "directory"), (record.n_links, "link"))
        parts.append(", " + ", ".join(f"{count(n)} {_plural(n, noun)}" for n, noun in kinds if n))
    return "".join(parts)


def _plural(n: int, noun: str) -> str:
    if n == 1:
        return noun
    return noun[:-1] + "ies" if noun.endswith("y") else noun + "s"


def _verifier(record: Record) -> Text:
    line = Text(str(record.verifier_kind), "default" if record.verifier_kind != "none" else "yellow")
    line.append(" · the file-name heuristic says " + ("yes" if record.heuristic_verifier else "no"), "dim")
    signals = record.verifier_signals[:SIGNALS_SHOWN]
    for signal in signals:
        line.append("\n" + safe(cut(signal, 100)), "dim")
    if len(record.verifier_signals) > len(signals):
        line.append(f"\nand {len(record.verifier_signals) - len(signals)} more signals", "dim")
    return line


def _harbor(record: Record) -> Text:
    if record.harbor_loadable:
        return Text("loads it (which proves the form, not that the verifier is sound)", "green")
    return Text(f"does not load it: {safe(cut(record.harbor_reason or '', 160))}", "yellow")


def _faults(faults: Sequence[Fault]) -> RenderableType:
    """The faults by kind: what one means, what to do, and the first of each."""
    by_kind: dict[FaultKind, list[Fault]] = {}
    for fault in faults:
        by_kind.setdefault(fault.kind, []).append(fault)
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for kind, found in by_kind.items():
        about = FAULTS[kind]
        where = [": ".join(safe(cut(part, 80)) for part in (fault.member, fault.detail) if part) for fault in found]
        lines = [line for line in where[:FAULTS_SHOWN] if line]
        if len(found) > FAULTS_SHOWN:
            lines.append(f"and {len(found) - FAULTS_SHOWN} more")
        text = Text(f"{about.meaning} {about.advice}", "dim").append("".join("\n" + line for line in lines), "default")
        table.add_row(Text(kind, "red" if about.severity == "damage" else "yellow"), text)
    return Group(_heading("faults", ""), Padding(table, (0, 0, 0, 2)))


# -- what is in it ----------------------------------------------------------------------------------------------------


def _heading(what: str, which: str) -> RenderableType:
    return Group(Text(), Text.assemble((what, "bold"), "  ", (safe(cut(which, 100)), "cyan")))


def _files(members: Sequence[Listed]) -> RenderableType:
    """The files under their directories, in archive order; directories in the order of their first file."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, style="dim", overflow="ellipsis")
    shown = [member for member in members if member.kind != "dir"]
    directory = ""
    for member in sorted(shown[:FILES_SHOWN], key=_by_directory(shown)):
        parent, _, base = member.name.rpartition("/")
        if parent != directory:
            table.add_row(Text("  " + safe(cut(parent, 70)) + "/", "blue"))
            directory = parent
        name = Text(("  " if not parent else "    ") + safe(cut(base, 60)))
        if member.link:
            name.append(f" → {safe(cut(member.link, 40))}", "yellow")
        what = member.content_type or ("not readable" if member.kind == "file" else member.kind)
        table.add_row(name, size(member.size_bytes) if member.kind == "file" else "", what)
    rest = shown[FILES_SHOWN:]
    if rest:
        rest_bytes = sum(member.size_bytes for member in rest)
        table.add_row(Text(f"  … {count(len(rest))} more, {size(rest_bytes)}", "dim"))
    if not shown:
        table.add_row(Text("  directories only", "dim"))
    return table


class _by_directory:  # noqa: N801 - used as a function
    """A sort key that keeps archive order, but for files of one directory standing together."""

    def __init__(self, members: Sequence[Listed]) -> None:
        self._first: dict[str, int] = {"": -1}
        for at, member in enumerate(members):
            self._first.setdefault(member.name.rpartition("/")[0], at)

    def __call__(self, member: Listed) -> int:
        return self._first[member.name.rpartition("/")[0]]


def _drawn(excerpt: Excerpt, console: Console) -> RenderableType:
    text = safe(excerpt.text, multiline=True)
    if excerpt.role == "instruction":
        from rich.markdown import Markdown  # noqa: PLC0415 - a sixth of a second, for tasks with an instruction

        return Markdown(text, hyperlinks=False, code_theme=_THEME)
    if excerpt.language in ("text", "hexdump", "") or console.color_system is None:  # a lexer would be for nothing
        return Text(text, overflow="fold")
    from rich.syntax import Syntax  # noqa: PLC0415 - as above, for terminals with colours

    return Syntax(text, excerpt.language, theme=_THEME, background_color="default", word_wrap=True)


class _Cropped:
    """The first lines of something as it stands on the terminal, and a line that says what was left out."""

    def __init__(self, inner: RenderableType, n_lines: int, excerpt: Excerpt) -> None:
        self._inner = inner
        self._n_lines = n_lines
        self._left_out_chars = excerpt.left_out_chars
        self._noun = "bytes" if excerpt.language == "hexdump" else "characters"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._inner, options, pad=False)
        while lines and not "".join(segment.text for segment in lines[-1]).strip():
            lines.pop()
        for line in lines[: self._n_lines]:
            yield from line
            yield Segment.line()
        n_more = len(lines) - self._n_lines
        left = [f"{count(n_more)} more {_plural(n_more, 'line')}"] if n_more > 0 else []
        if self._left_out_chars:
            left.append(f"{count(self._left_out_chars)} more {self._noun}")
        if left:
            yield Text("… " + " and ".join(left), "dim italic")
