"""Valid archives, damaged at random but the same each time: what others list is listed here, or a fault says why.

The oracles get the very blob: ``tarfile`` with mode ``r:*``, libarchive with every filter, ``zipfile``.
"""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import TypeAlias

import pytest
from corpus import Case, cases, scan
from tar_oracle import HAS_LIBARCHIVE, Answer, Oracle
from zip_oracle import ask

from scanner.collector import Collector
from scanner.corpus.pack import BLOCK, COMPRESSORS, signed
from scanner.faults import FAULTS
from scanner.formats.tar import looks_like_tar
from scanner.model import Record
from scanner.options import Limits
from scanner.probe import Probe
from scanner.sniff import codec_of

CONFORMANCE = Path(__file__).parent.parent.parent / "shared" / "conformance"
SEED_BYTES = 30_000
"""Larger archives are left out: a flip in a megabyte of content changes nothing."""

QUICK, FULL = 800, 20_000

ROOMY = Limits(header_bytes=64 << 20)
"""The oracles know no limit on headers."""

ALSO_WHY = {"hidden-entry", "trailing-data", "several-codec-members"}
"""Notes that explain why another reader, which goes by another rule, lists more."""

FORGED = (b"00000000000\0", b"00000001000\0", b"77777777777\0", b"-0000001000\0", b"\xff" * 12, b"\x80" + b"\xff" * 11)
"""Sizes for a tar header: none, 512, 8 GiB, two below zero, the largest."""


@cache
def _tars() -> list[bytes]:
    """Sound tars, not compressed: of each dialect, and what others ship to test readers."""
    own = [_inflated(case) for case in cases() if case.name.endswith(("-sound", "-symlink", "-hardlink"))]
    theirs = [path.read_bytes() for path in sorted(CONFORMANCE.rglob("*.tar"))] if CONFORMANCE.is_dir() else []
    return [raw for raw in own + theirs if len(raw) < SEED_BYTES and looks_like_tar(raw)]


@cache
def _zips() -> list[bytes]:
    own = [case.blob for case in cases() if case.name in {"zip-sound", "zip-stored", "zip-data-descriptors"}]
    theirs = [path.read_bytes() for path in sorted(CONFORMANCE.rglob("*.zip"))] if CONFORMANCE.is_dir() else []
    return [raw for raw in [*filter(None, own), *theirs] if len(raw) < SEED_BYTES]


def _inflated(case: Case) -> bytes:
    assert case.blob is not None
    return gzip.decompress(case.blob) if case.blob.startswith(b"\x1f\x8b") else case.blob


def _damage(raw: bytearray, others: list[bytes], chance: random.Random) -> None:
    """One change anywhere: a bit, a byte, a cut, a hole, a piece of another archive, two pieces exchanged."""
    at = chance.randrange(len(raw))
    match chance.randrange(7):
        case 0 | 1:
            raw[at] ^= 1 << chance.randrange(8)
        case 2:
            raw[at] = chance.choice((0, 0xFF, 0x50, 0x2F))
        case 3:
            del raw[at:]
        case 4:
            del raw[at : at + chance.choice((1, 7, BLOCK))]
        case 5:
            other = chance.choice(others)
            start = chance.randrange(len(other))
            raw[at:at] = other[start : start + chance.choice((1, 30, BLOCK))]
        case _:
            to = chance.randrange(len(raw))
            raw[at : at + 40], raw[to : to + 40] = raw[to : to + 40], raw[at : at + 40]


def _damage_header(raw: bytearray, others: list[bytes], chance: random.Random) -> None:
    """One change to a tar at a block, its checksum made right again: a forged size or kind, members spliced or lost."""
    at = BLOCK * chance.randrange(max(len(raw) // BLOCK, 1))
    match chance.randrange(4):
        case 0:
            raw[at + 124 : at + 136] = chance.choice(FORGED)
        case 1:
            raw[at + 156 : at + 157] = bytes([chance.choice(b"01234567xgLKSVX\0\xff")])
        case 2:
            other = chance.choice(others)
            start = BLOCK * chance.randrange(max(len(other) // BLOCK, 1))
            raw[at:at] = other[start : start + BLOCK * chance.randrange(1, 4)]
        case _:
            del raw[at : at + BLOCK]
    if len(raw) >= at + BLOCK:
        raw[at : at + BLOCK] = signed(bytes(raw[at : at + BLOCK]))


Harm: TypeAlias = Callable[[bytearray, list[bytes], random.Random], None]


def _mutants(
    seeds: list[bytes], n: int, harm: list[Harm], codecs: Iterable[Callable[[bytes], bytes]] = COMPRESSORS.values()
) -> Iterator[bytes]:
    """Blobs: a seed harmed once to four times, then compressed with any codec, every fourth of them harmed again."""
    chance, packers = random.Random(20_250), list(codecs)
    for _ in range(n):
        raw = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((1, 1, 2, 4))):
            if raw:
                chance.choice(harm)(raw, seeds, chance)
        blob = bytearray(chance.choice(packers)(bytes(raw)))
        if chance.randrange(4) == 0 and blob:
            _damage(blob, seeds, chance)
        yield bytes(blob)


def _says_why(record: Record) -> bool:
    kinds = {fault.kind for fault in record.faults}
    return bool(kinds & ALSO_WHY) or any(FAULTS[kind].severity == "damage" for kind in kinds)


def _check(blob: bytes, first: Answer, second: Answer | None, probe: Probe, number: int) -> None:
    """Compare with what ``first``, the standard library, lists; where it gives up, with whichever lists more.

    Readers disagree on odd archives (whether V7's trailing slash makes a directory, which of two sizes counts): there
    we go by the library that those who train on the data unpack it with.
    """
    record = scan(Case(f"{number}", blob), probe)
    listed = len(first.members)
    if first.error is not None and second is not None:
        listed = max(listed, len(second.members))
    assert all(fault.kind != "internal-error" for fault in record.faults), (number, record.faults)
    assert record.n_members >= listed or _says_why(record), (number, first, second, record)


def _for_tarfile(blob: bytes) -> bytes:
    """The blob; inflated where its codec is none that ``tarfile`` of Python 3.11 knows."""
    codec = codec_of(blob[:32])
    if codec is None or codec.name not in {"zstd", "lz4"}:
        return blob
    return b"".join(codec.stream(memoryview(blob), Collector(ROOMY), 65_536))


AMOUNTS = [QUICK, pytest.param(FULL // 2, marks=pytest.mark.slow)]


@pytest.mark.parametrize("n", AMOUNTS)
def test_mutated_tars(n: int) -> None:
    """Of damaged tars in any codec no member is lost that tarfile or libarchive lists, unless a fault says why."""
    probe = Probe(ROOMY)
    with Oracle() as oracle:
        for number, blob in enumerate(_mutants(_tars(), n, [_damage, _damage_header])):
            first = oracle.ask("tarfile:*", _for_tarfile(blob))
            second = oracle.ask("libarchive:*", blob) if HAS_LIBARCHIVE and first.error is not None else None
            _check(blob, first, second, probe, number)


@pytest.mark.parametrize("n", AMOUNTS)
def test_mutated_zips(n: int) -> None:
    """Of damaged zips no entry is lost that zipfile or libarchive lists, unless a fault says why."""
    probe = Probe(ROOMY)
    mutants = list(_mutants(_zips(), n, [_damage], [bytes]))
    firsts = ask("zipfile", mutants)
    seconds = ask("libarchive", mutants) if HAS_LIBARCHIVE else repeat(None)
    for number, (blob, first, second) in enumerate(zip(mutants, firsts, seconds, strict=False)):
        _check(blob, Answer(*first), second and Answer(*second), probe, number)


def test_every_small_mutation_of_a_small_archive() -> None:
    """Each byte of a tar and of a zip, set to 0, 255 and its complement: no row breaks the probe or hangs it."""
    probe = Probe(Limits())
    zipped = next(case.blob for case in cases() if case.name == "zip-sound")
    tarred = _inflated(next(case for case in cases() if case.name == "gnu-symlink"))[: 4 * BLOCK]
    assert zipped is not None
    for seed in (zipped, tarred):
        for at in range(len(seed)):
            for value in (0, 255, seed[at] ^ 255):
                record = scan(Case("x", seed[:at] + bytes([value]) + seed[at + 1 :]), probe)
                assert all(fault.kind != "internal-error" for fault in record.faults), at
