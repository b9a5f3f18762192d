"""Sniffing: codec and container by first bytes, a prefixed zip by its end."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from codec_samples import ENCODERS, lz4_legacy, skippable
from hypothesis import given, settings
from hypothesis import strategies as st
from zip_walks import Made, made, zipped

from scanner.formats.registry import CODECS, FORMATS
from scanner.sniff import HEAD_BYTES, codec_of, container_of, has_zip_tail

CPYTHON = Path(__file__).parent.parent.parent / "shared" / "conformance" / "cpython"


def _tar(tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tar_format) as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return out.getvalue()


HEADS = {name: encode(b"content") for name, encode in ENCODERS.items()}
CODEC_HEADS: dict[str, tuple[bytes, str | None]] = {
    **{name: (head, name) for name, head in HEADS.items()},
    "gzip-magic-alone": (b"\x1f\x8b", "gzip"),
    "gzip-unknown-method": (b"\x1f\x8b\x07", "gzip"),
    "zstd-behind-skippable": (skippable(b"abcd") + HEADS["zstd"], "zstd"),
    "lz4-behind-skippable": (skippable(b"abcd") + HEADS["lz4"], "lz4"),
    "lz4-behind-two-skippable": (skippable(b"") + skippable(b"0123456789") + HEADS["lz4"], "lz4"),
    "lz4-legacy": (lz4_legacy(b"a"), "lz4"),
    "bzip2-of-nothing": (ENCODERS["bzip2"](b""), "bzip2"),
    "bzip2-cut": (b"BZh9", "bzip2"),
    "text-that-begins-like-bzip2": (b"BZh9 is a magic", None),
    "bzip2-level-0": (b"BZh01AY&SY", None),
    "skippable-alone": (skippable(bytes(100)), None),
    "half-a-magic": (b"\xfd7zX", None),
    "zip": (zipped(("a", b"a")), None),
    "nothing": (b"", None),
    "text": (b"# Instruction", None),
}


@pytest.mark.parametrize("case", CODEC_HEADS)
def test_codec_of(case: str) -> None:
    """The first 32 bytes decide."""
    head, expected = CODEC_HEADS[case]
    codec = codec_of(head[:HEAD_BYTES])
    assert (codec.name if codec else None) == expected


@given(st.binary(max_size=HEAD_BYTES))
@settings(deadline=None)
def test_at_most_one_codec_matches(head: bytes) -> None:
    """The order of the registry decides about speed only: no head belongs to two codecs."""
    for magic in (b"", *(magic for format_ in FORMATS for magic in format_.magic)):
        assert sum(codec.matches((magic + head)[:HEAD_BYTES]) for codec in CODECS) <= 1


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (_tar(), "tar"),
        (_tar(tarfile.USTAR_FORMAT), "tar"),
        (_tar(tarfile.GNU_FORMAT), "tar"),
        (bytes(1024), "tar"),
        (_tar()[:511], None),
        (zipped(("a", b"a")), "zip"),
        (zipped(), "zip"),
        (b"PK\x07\x08" + zipped(), "zip"),
        (b"PK00" + zipped(), "zip"),
        (b"PK\x03", None),
        (b"PK, text", None),
        (b"{}", None),
        (b"", None),
    ],
)
def test_container_of(data: bytes, expected: str | None) -> None:
    """A tar by its first header, a zip by its first record; of any buffer type."""
    assert container_of(data) == expected
    assert container_of(memoryview(data)) == expected
    assert container_of(bytearray(data)) == expected


def test_container_of_an_arena() -> None:
    """What an arena still holds of the row before is not looked at."""
    arena = bytearray(_tar())
    assert container_of(arena, 100) is None
    assert container_of(arena, len(arena)) == "tar"
    assert container_of(bytearray(zipped()), 3) is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"#!/bin/sh\n" + made(Made()), True),
        (bytes(100_000) + made(Made()) + b"trailing", True),
        (made(Made()), True),
        (zipped(("a", b"a"), comment=b"c" * 60_000), True),
        (made(Made()) + bytes(70_000), False),
        (made(Made())[:-5], False),
        (b"about PK\5\6 in a text of some length, which is no zip", False),
        (b"text" * 10 + zipped(), False),
        (b"PK\5\6" * 1000, False),
        (b"", False),
    ],
    ids=["script", "far", "plain", "comment", "too far", "cut", "quotation", "empty zip", "magics", "nothing"],
)
def test_has_zip_tail(data: bytes, expected: bool) -> None:
    """An end record counts when it leads to a directory."""
    assert has_zip_tail(data) is expected


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_has_zip_tail_never_raises(data: bytes) -> None:
    """Whatever stands around an end record."""
    has_zip_tail(b"PK\5\6" + data)
    has_zip_tail(b"PK\6\6" + data + b"PK\6\7" + data[:16] + b"PK\5\6" + data)


@pytest.mark.skipif(not CPYTHON.is_dir(), reason="the conformance archives are not here")
def test_executables_of_cpython() -> None:
    """Shell scripts with a zip behind them, with ZIP64 and without."""
    for name in ("exe_with_zip", "exe_with_z64"):
        data = (CPYTHON / name).read_bytes()
        assert container_of(data) is None
        assert has_zip_tail(data)
