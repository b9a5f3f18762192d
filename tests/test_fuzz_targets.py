"""The fuzz targets without the fuzzer: replayed on the corpus, and fed by Hypothesis with parts of each format."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus import cases
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent.parent))

from fuzz.targets import TARGETS
from scanner.corpus.hostile_tar import END, base256, member, pax
from scanner.corpus.hostile_zip import Entry, archive
from scanner.corpus.pack import COMPRESSORS, pax_record

SMALL_BYTES = 64 << 10
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60) | st.sampled_from(
    ["task.toml", "tests/test.sh", "../x", "/x", "a/", "a.json", "x" * 120]
)
CONTENT = st.binary(max_size=200) | st.sampled_from(
    [b"{}", b"[[", b'[task]\nname = "a/b"\n', b"FROM a\n", b"PK\3\4" * 9]
)


@st.composite
def tar_members(draw: Callable[..., Any]) -> bytes:
    """One member, sound or not: any kind, any size field, perhaps behind extended headers."""
    name, data = draw(NAMES).encode()[:100], draw(CONTENT)
    field = draw(st.none() | st.binary(min_size=12, max_size=12) | st.integers(-(1 << 70), 1 << 70).map(base256))
    kind = bytes([draw(st.sampled_from(b"0123456789xgLKSVDMNX\0"))])
    link = draw(st.binary(max_size=100))
    before = draw(st.just(b"") | st.builds(lambda key, value: pax(pax_record(key, value)), NAMES, NAMES))
    return bytes(before + member(name, data, kind=kind, link=link, size_field=field))


TARS = st.builds(
    lambda parts, end: b"".join(parts) + end, st.lists(tar_members(), max_size=6), st.sampled_from([b"", END])
)

ENTRIES = st.builds(
    Entry,
    name=NAMES.map(str.encode),
    data=CONTENT,
    method=st.sampled_from([0, 8, 8, 12, 14, 93, 99]),
    flags=st.sampled_from([0, 1, 8, 0x800]),
    crc=st.none() | st.integers(0, 0xFFFFFFFF),
    stored_size=st.none() | st.integers(0, 0xFFFFFFFF),
    size=st.none() | st.integers(0, 0xFFFFFFFF),
    offset=st.none() | st.integers(0, 500),
    mode=st.sampled_from([0, 0o100644, 0o104755, 0o120777, 0o040755, 0o020644]),
    local_name=st.none() | st.binary(max_size=20),
    descriptor=st.booleans(),
)
ZIPS = st.builds(
    lambda entries, hidden, count, comment: archive(*entries, hidden=hidden, count=count, comment=comment),
    st.lists(ENTRIES, max_size=5),
    st.binary(max_size=50),
    st.none() | st.integers(0, 0xFFFF),
    st.binary(max_size=30),
)
STREAMS = st.builds(
    lambda pack, raw, junk, cut: (pack(raw) + junk)[: -cut or None],
    st.sampled_from(list(COMPRESSORS.values())),
    TARS | ZIPS | CONTENT,
    st.binary(max_size=20),
    st.integers(0, 40),
)
TEXTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
).map(lambda value: repr(value).replace("'", '"').encode("utf-8", "surrogatepass"))


def inputs() -> Iterator[bytes]:
    """The small cases of the corpus, and what their gzip holds."""
    for case in cases():
        blob = case.blob or b""
        yield blob
        try:
            yield gzip.decompress(blob)
        except (OSError, EOFError, zlib.error):
            continue


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_is_replayed(name: str) -> None:
    """No input of the corpus, crashes of the past included, breaks a target."""
    for data in inputs():
        if len(data) <= SMALL_BYTES:
            TARGETS[name](data)


@settings(max_examples=60)
@given(data=TARS)
def test_tars(data: bytes) -> None:
    """Tars of any members are walked alike in any pieces."""
    TARGETS["tar"](bytes([len(data) % 251]) + data)
    TARGETS["row"](data)


@settings(max_examples=60)
@given(data=ZIPS)
def test_zips(data: bytes) -> None:
    """Zips of any entries are walked."""
    TARGETS["zip"](data)
    TARGETS["row"](data)


@settings(max_examples=60)
@given(data=STREAMS)
def test_streams(data: bytes) -> None:
    """Streams of any codec, with junk behind them or cut, give the same in one call and in pieces."""
    TARGETS["codecs"](data)
    TARGETS["row"](data)


@settings(max_examples=60)
@given(data=TEXTS | st.binary(max_size=400))
def test_texts(data: bytes) -> None:
    """Texts that are nearly JSON, TOML or YAML are read by every parser."""
    TARGETS["texts"](data)
    TARGETS["meaning"](data)
