r"""Text from the data on a person's terminal: what would act on the terminal is shown instead.

File names and contents come from anyone. A terminal obeys escape sequences, turns text around at bidirectional marks
and hides zero-width characters, so a name can erase the line above it or look like another (CVE-2021-42574, Trojan
Source; GNU ls quotes such names for the same reason).
"""

from __future__ import annotations

import unicodedata
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.measure import Measurement

MARKS_KEPT: Final = 4
"""Combining marks after one letter; more are piled up only to paint over neighbouring lines (no script needs them)."""

NARROW_CHARS: Final = 56
"""In a terminal of fewer columns, tables leave numbers out so that names can be read."""


def safe(text: str, *, multiline: bool = False) -> str:
    r"""``text`` with every character that is not plainly visible as its escape; plain text comes back as it is.

    Escaped are control characters, escape sequences, bidirectional and zero-width marks, line separators, unusual
    spaces, unassigned and private code points and lone surrogates (all that ``str.isprintable`` refuses), and piles of
    combining marks. With ``multiline``, line feeds and tabs stay. The result must be printed by :func:`console`, or as
    ``rich.text.Text``: markup is not escaped but never read there.

    >>> print(safe("a\x1b[2Jb\u202e.txt"))
    a\x1b[2Jb\u202e.txt
    """
    if text.isascii() and text.isprintable():
        return text
    out: list[str] = []
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.category(char) in {"Mn", "Me"} else 0
        if (char.isprintable() and marks <= MARKS_KEPT) or (multiline and char in "\n\t"):
            out.append(char)
        else:
            out.append(char.encode("unicode_escape").decode("ascii"))
    return "".join(out)


def console(file: IO[str] | None = None, *, stderr: bool = False, width: int | None = None) -> Console:
    """A console that reads no markup and paints no numbers or emoji names: what is printed is what is seen.

    It honours NO_COLOR, FORCE_COLOR, COLUMNS and TERM, as rich does. A reader that goes away raises BrokenPipeError.
    """
    from rich.console import Console  # noqa: PLC0415 - a tenth of a second that --help does not pay

    class PlainConsole(Console):
        def on_broken_pipe(self) -> None:
            raise  # noqa: PLE0704 - called while it is handled; rich would exit with 1, which has a meaning here

    return PlainConsole(file=file, stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def cut(text: str, width: int) -> str:
    """``text`` in at most ``width`` terminal cells: the middle goes, since names differ at their ends.

    >>> cut("nvidia__Nemotron-Terminal-Corpus", 20)
    'nvidia__Ne…al-Corpus'
    """
    from rich.cells import cell_len  # noqa: PLC0415 - as in console()

    if len(text) <= width and cell_len(text) <= width:
        return text
    room = max(width - 1, 0)
    head = _within(text[: room + 1], room - room // 2)
    tail = _within(text[: -room - 2 : -1], room // 2)
    return f"{head}…{tail[::-1]}" if width > 0 else ""


def _within(text: str, width: int) -> str:
    from rich.cells import cell_len  # noqa: PLC0415 - as in console()

    while cell_len(text) > width:
        text = text[:-1]
    return text


class Cut:
    """A rich renderable: ``parts`` on one line, the longest of them cut in the middle until all fit.

    What a part holds is made :func:`safe` here.
    """

    def __init__(self, *parts: str, style: str = "", separator: str = " · ") -> None:
        self.parts = [safe(part) for part in parts]
        self.style = style
        self.separator = separator

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The line, within the width there is."""
        from rich.text import Text  # noqa: PLC0415 - as in console()

        room = options.max_width - len(self.separator) * (len(self.parts) - 1)
        cap = min(max(map(len, self.parts), default=0), options.max_width)
        while cap > 1 and sum(min(len(part), cap) for part in self.parts) > room:
            cap -= 1
        line = self.separator.join(cut(part, cap) for part in self.parts)
        yield Text(cut(line, options.max_width), self.style, no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """As wide as the whole line, as narrow as a few letters."""
        from rich.cells import cell_len  # noqa: PLC0415 - as in console()
        from rich.measure import Measurement  # noqa: PLC0415 - as in console()

        whole = cell_len(self.separator.join(self.parts))
        return Measurement(min(whole, 8), min(whole, options.max_width))
