"""HTML that is safe by construction: text becomes markup only through :func:`el`, which escapes what is not Markup.

No string of the data reaches the page another way. Besides ``& < > " '``, characters that act instead of being seen
(controls, bidirectional and zero-width marks, lone surrogates) are shown as their escapes, as on a terminal.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Final, TypeAlias

from scanner.report.terminal import safe

TEXT_CHARS: Final = 1_000
"""A longer text is shown by its two ends: nothing of a page may be as long as a hostile path."""

NAME_CHARS: Final = 96
"""The same for names, of which many stand one below the other."""

_VOID: Final = frozenset({"br", "input", "col", "meta"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child: TypeAlias = "str | int | Iterable[Child] | None"


def visible(text: str, limit: int = TEXT_CHARS) -> str:
    r"""``text`` as :func:`scanner.report.terminal.safe` shows it, cut in the middle beyond ``limit`` characters.

    >>> visible("a\u202eb\x1b"), visible("0123456789", 5)
    ('a\\u202eb\\x1b', '01…89')
    """
    if len(text) > limit:
        tail = (limit - 1) // 2
        text = text[: limit - 1 - tail] + "…" + text[-tail:]
    return safe(text)


def text(value: str | int) -> Markup:
    """``value`` as HTML: Markup as it is, anything else made visible and escaped."""
    return value if isinstance(value, Markup) else Markup(html.escape(visible(str(value))))


def name(value: str, limit: int = NAME_CHARS) -> Markup:
    """A name from the data: its own direction (a right-to-left name moves nothing beside it), and cut earlier."""
    return el("bdi", visible(value, limit))


def el(tag: str, /, *children: Child, **attributes: str | int | bool | None) -> Markup:
    """One element. ``class_`` and ``data_n`` stand for ``class`` and ``data-n``; None and False leave one out.

    >>> el("a", "<b>", href="#x", class_="big")
    '<a href="#x" class="big">&lt;b&gt;</a>'
    """
    shown = "".join(_attribute(key, value) for key, value in attributes.items())
    if tag in _VOID:
        return Markup(f"<{tag}{shown}>")
    return Markup(f"<{tag}{shown}>{_inside(children)}</{tag}>")


def join(*children: Child) -> Markup:
    """Elements and texts one after another."""
    return Markup(_inside(children))


def _inside(children: Iterable[Child]) -> str:
    return "".join(
        text(child) if isinstance(child, (str, int)) else _inside(child) for child in children if child is not None
    )


def _attribute(key: str, value: str | int | bool | None) -> str:
    if value is None or value is False:
        return ""
    key = key.rstrip("_").replace("_", "-")
    # Not cut: a command to copy or a value to filter by must stay whole; it is bounded where it is made.
    return f" {key}" if value is True else f' {key}="{html.escape(visible(str(value), len(str(value))))}"'
