"""A Run as one JSON document for programs: the manifest and the aggregates."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from scanner.model import SCHEMA_VERSION
from scanner.run import Run

_NOT_ASCII: Final = re.compile("[\x7f-\U0010ffff]")


def document(run: Run) -> str:
    """``{"schema", "manifest", "stats"}``: ``run.json`` and ``stats.json`` as they are, keys in a fixed order."""
    return to_json({"schema": SCHEMA_VERSION, "manifest": run.manifest, "stats": run.stats})


def to_json(value: object) -> str:
    r"""Anything msgspec encodes as indented JSON in ASCII.

    JSON leaves control characters above 0x7e and bidirectional marks as they are, and a terminal would obey them;
    escaped (``\u202e``) they mean the same to every parser.
    """
    return _NOT_ASCII.sub(_escaped, msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _escaped(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
