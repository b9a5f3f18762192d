"""The Runs of parts of one plan (``scan --shard I/N``): what they say of themselves, and that they belong together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import msgspec

from scanner.errors import RunError, UsageError
from scanner.manifest import versions
from scanner.model import SCHEMA_VERSION
from scanner.run import Input, Manifest, Share
from scanner.storage import open_folder

_WRITERS: Final = ("tasktrove-scanner", "pyarrow")
"""Packages whose versions decide how rows are encoded."""


class Part(NamedTuple):
    """One Run to be merged."""

    number: int
    """From 1."""
    first_unit: int
    end_unit: int
    location: str
    is_even: bool
    """Whether it has a record for every row that was planned."""
    digests: dict[str, str]
    """Of its tables, where their row groups can be taken as they are (:mod:`scanner.splice`); else empty."""


class Head(Manifest, kw_only=True):
    """A manifest whose inputs stay undecoded: they are the same in all parts, and may be many."""

    inputs: msgspec.Raw  # type: ignore[assignment]


def read_head(location: str | os.PathLike[str]) -> tuple[str, Head]:
    """What the Run at ``location`` says of itself, and its location. Raises RunError where it is not a part."""
    folder = open_folder(location)
    try:
        head = msgspec.json.decode(folder.read("run.json"), type=Head)
    except FileNotFoundError:
        raise RunError(f"{folder.location} holds no Run (run.json is missing)") from None
    except (msgspec.DecodeError, OSError) as error:
        raise RunError(f"{folder.location}/run.json cannot be read ({error})") from error
    if head.schema != SCHEMA_VERSION:
        raise RunError(f"{folder.location} has schema {head.schema}, this scanner merges {SCHEMA_VERSION}")
    if head.share is None or head.arguments.get("shard") is None:
        raise RunError(f"{folder.location} is the Run of a whole scan; merge takes those of `scan --shard I/N`")
    return folder.location, head


class Parts:
    """The parts seen so far: that they belong together, and what their manifests say in sum."""

    def __init__(self) -> None:
        self._first: tuple[str, Head] | None = None
        self._parts: dict[int, Part] = {}
        self._aside: dict[int, str] = {}
        """Where parts lie that count other Units, as they could not read the footer of a file that others could."""
        self._doubled: list[str] = []
        self._longest_seconds = self._machine_seconds = 0.0
        self._started = ""
        self.not_reached: dict[str, str] = {}

    @property
    def share(self) -> Share:
        """That of the first part; ``plan`` and what is said of it are the same in all."""
        assert self._first is not None
        assert self._first[1].share is not None
        return self._first[1].share

    @property
    def n_parts(self) -> int:
        """Parts that the plan was cut into."""
        assert self._first is not None
        n_parts: int = self._first[1].arguments["shard"][1]
        return n_parts

    @property
    def uncounted_files(self) -> int:
        """Files that no part could count the rows of."""
        assert self._first is not None
        return self._first[1].account.uncounted_files

    def add(self, location: str, head: Head) -> None:
        """Take a part. Raises RunError where it does not belong to the first."""
        if self._first is None:
            self._first = (location, head)
            self._started = head.started
        assert head.share is not None
        _check_asked_alike(*self._first, location, head)
        number = head.arguments["shard"][0]
        if number in self._parts or number in self._aside:
            earlier = self._aside.get(number) or self._parts[number].location
            self._doubled.append(f"part {number} ({earlier} and {location})")
        if head.share.plan != self.share.plan and head.account.uncounted_files + self.uncounted_files:
            if head.account.uncounted_files >= self.uncounted_files:
                self._aside[number] = location
                return
            self._aside |= {part.number: part.location for part in self._parts.values()}
            self._first, self._parts, self.not_reached = (location, head), {}, {}
        _check_planned_alike(*self._first, location, head)
        self._parts[number] = _part(number, location, head)
        self.not_reached |= head.not_reached
        self._longest_seconds = max(self._longest_seconds, head.wall_seconds)
        self._machine_seconds += head.wall_seconds
        self._started = min(self._started, head.started)

    def in_order(self) -> list[Part]:
        """The parts in plan order. Raises UsageError where there are none, RunError where one is there twice."""
        if not self._parts:
            raise UsageError("nothing to merge: give the Runs of `scan --shard I/N`")
        if self._doubled:
            raise RunError(f"given twice: {', '.join(self._doubled)}; leave one out")
        ordered = [self._parts[number] for number in sorted(self._parts)]
        for before, after in pairwise(ordered):
            if after.first_unit < before.end_unit:
                raise RunError(f"{before.location} and {after.location} overlap: another scanner has cut the plan")
        for number in range(1, self.n_parts + 1):
            if number in self._aside:
                why = f"{self._aside[number]} is without a file that it could not read; run its scan again"
                self.not_reached[f"part {number} of {self.n_parts}"] = why
            elif number not in self._parts:
                self.not_reached[f"part {number} of {self.n_parts}"] = "no Run of it was given"
        return _without_uneven_digests(ordered)

    def manifest(self, state: str, account: Any) -> Manifest:
        """The manifest of the whole, with the parts' times: the longest is what a fleet took that started as one."""
        assert self._first is not None
        head = self._first[1]
        return Manifest(
            source=head.source,
            revision=head.revision,
            arguments={**head.arguments, "shard": None},
            state=state,
            inputs=msgspec.json.decode(head.inputs, type=list[Input]),
            n_units=self.share.plan_units,
            account=account,
            not_reached=self.not_reached,
            started=self._started,
            wall_seconds=self._longest_seconds,
            engine={"name": "merge", "parts": len(self._parts), "machine_seconds": round(self._machine_seconds, 3)},
            versions=head.versions,
            machine=head.machine,
        )


def _part(number: int, location: str, head: Head) -> Part:
    assert head.share is not None
    is_even = head.state == "complete" and head.account.is_whole and not head.account.skipped
    here = versions()
    is_alike = all(head.versions.get(name) == here[name] for name in _WRITERS)
    digests = head.digests if is_even and is_alike else {}
    return Part(number, head.share.first_unit, head.share.end_unit, location, is_even, digests)


def _without_uneven_digests(ordered: Sequence[Part]) -> list[Part]:
    """Behind rows that have no record, row groups of a part are no longer those of the whole."""
    out, end_unit, is_even = [], 0, True
    for part in ordered:
        is_even = is_even and part.is_even and part.first_unit == end_unit
        end_unit = part.end_unit
        out.append(part if is_even else part._replace(digests={}))
    return out


def _check_asked_alike(first: str, its: Head, location: str, head: Head) -> None:
    """Raise RunError where two parts were asked for different things, naming the first."""
    there, here = its.arguments, head.arguments
    for name in sorted({*there, *here} - {"shard"}):
        if there.get(name) != here.get(name):
            raise RunError(f"{first} and {location} differ in {name}: {there.get(name)!r} and {here.get(name)!r}")
    if there["shard"][1] != here["shard"][1]:
        raise RunError(f"{first} is one of {there['shard'][1]} parts, {location} one of {here['shard'][1]}")


def _check_planned_alike(first: str, its: Head, location: str, head: Head) -> None:
    """Raise RunError where two parts are not of one plan, naming the first thing that differs."""
    assert its.share is not None
    assert head.share is not None
    if bytes(its.inputs) != bytes(head.inputs) and (difference := _difference(its.inputs, head.inputs)):
        raise RunError(f"{first} and {location} read different inputs: {difference}")
    if (its.revision, its.share.plan) != (head.revision, head.share.plan):
        raise RunError(f"{first} and {location} were planned differently; scan both with the same scanner")


def _difference(one: msgspec.Raw, other: msgspec.Raw) -> str | None:
    """The first thing in which two lists of inputs differ, in words; None where they say the same."""
    ours, theirs = ({each.file: each for each in msgspec.json.decode(raw, type=list[Input])} for raw in (one, other))
    for file in sorted({*ours, *theirs}):
        if file not in ours or file not in theirs:
            return f"{file} is in one of them alone"
        if ours[file] != theirs[file]:
            return f"{file} changed in between (its identity is {ours[file].identity} and {theirs[file].identity})"
    return None if list(ours) == list(theirs) else "the order of the files"
