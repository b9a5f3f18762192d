"""JSON, JSON lines, text, binary: ``classify`` agrees with ``json.loads``, the sniffer with ``classify``."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.formats.text import TextSniffer, classify, is_json
from scanner.model import FormatName

CASES: dict[str, tuple[bytes, FormatName]] = {
    "nothing": (b"", "empty"),
    "blank": (b" \n\t\r\n", "text"),
    "byte-order-mark-alone": (b"\xef\xbb\xbf", "text"),
    "object": (b'{"a": 1}', "json"),
    "array": (b" [1, 2]\n", "json"),
    "object-over-lines": (b'{\n"a": 1\n}\n', "json"),
    "json-behind-byte-order-mark": (b"\xef\xbb\xbf{}", "json"),
    "json-behind-much-space": (b" " * 10_000 + b"{}", "json"),
    "nan": (b"[NaN, Infinity, -Infinity]", "json"),
    "lone-surrogate": (b'["\\ud800"]', "json"),
    "number": (b"12", "text"),
    "string": (b'"a"', "text"),
    "trailing-comma": (b"[1,]", "text"),
    "two-values-on-a-line": (b"{} {}", "text"),
    "deep": (b"[" * 100_000 + b"]" * 100_000, "text"),
    "lines": (b"{}\n{}\n", "jsonl"),
    "lines-crlf": (b"{}\r\n[1]\r\n", "jsonl"),
    "lines-with-blank-ones": (b"{}\n\n  \n{}", "jsonl"),
    "lines-indented": (b"  {}\n\t{}", "jsonl"),
    "lines-behind-byte-order-mark": (b"\xef\xbb\xbf{}\n{}", "jsonl"),
    "one-line-is-json": (b"{}\n\n", "json"),
    "lines-of-numbers": (b"1\n2\n", "text"),
    "line-of-a-number": (b"{}\n2\n", "text"),
    "line-broken": (b'{}\n{"a":\n', "text"),
    "line-cut-in-two": (b'{"a": 1\n, "b": 2}\n{}', "text"),
    "section": (b"[section]\nkey = 1\n", "text"),
    "utf8": ("naïve 世界 🙂".encode(), "text"),
    "utf16-le": ("a世".encode("utf-16"), "text"),
    "utf16-be": (b"\xfe\xff" + "a世".encode("utf-16-be"), "text"),
    "utf16-json": ("{}".encode("utf-16"), "text"),
    "utf16-odd": (b"\xff\xfea\0b", "binary"),
    "utf32": ("ab".encode("utf-32"), "binary"),
    "latin1": (b"na\xefve text", "binary"),
    "utf8-cut": ("é".encode()[:1], "binary"),
    "utf8-surrogate": (b"\xed\xa0\x80", "binary"),
    "utf8-overlong": (b"\xc0\x80", "binary"),
    "nul": (b"a\0b", "binary"),
    "nul-in-json": (b'{"a": "\0"}', "binary"),
    "late-nul": (b"a" * 3_000_000 + b"\0", "binary"),
    "png": (b"\x89PNG\r\n\x1a\n", "binary"),
}


@pytest.mark.parametrize("case", CASES)
def test_cases(case: str) -> None:
    """Each content is what the table says."""
    data, expected = CASES[case]
    assert classify(data) == expected
    assert classify(memoryview(bytearray(data))) == expected


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("step", [1, 2, 3, 511, 65_536])
def test_the_sniffer_agrees(case: str, step: int) -> None:
    """Fed in pieces of any size, the sniffer tells text from binary as ``classify`` does."""
    data, expected = CASES[case]
    if len(data) > 1_000_000 and step < 511:
        data = data[-50_000:]
    sniffer = TextSniffer()
    for at in range(0, len(data), step):
        sniffer.feed(memoryview(data)[at : at + step])
    assert sniffer.close() == ("text" if expected in ("json", "jsonl") else expected)


@given(
    data=st.one_of(
        st.binary(max_size=60),
        st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.text(max_size=20).map(lambda text: text.encode("utf-16", "surrogatepass")),
    ),
    cuts=st.lists(st.integers(0, 60), max_size=4),
)
@settings(deadline=None, max_examples=300)
def test_any_content(data: bytes, cuts: list[int]) -> None:
    """Whatever the bytes and wherever they are cut, both give the same verdict."""
    sniffer, at = TextSniffer(), 0
    for cut in [*sorted(cuts), len(data)]:
        sniffer.feed(data[at:cut])
        at = max(at, cut)
    verdict = classify(data)
    assert sniffer.close() == ("text" if verdict in ("json", "jsonl") else verdict)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)
SPICE = ["NaN", "-Infinity", "Infinity", "\\ud800", "\\", '"', ",", "]", "}", "1", "-", "e", "\n", ".", "u0"]


@given(value=values, ascii_only=st.booleans(), at=st.integers(0, 200), spice=st.sampled_from(["", *SPICE]))
@settings(deadline=None, max_examples=600)
def test_agrees_with_json_loads(value: object, ascii_only: bool, at: int, spice: str) -> None:
    """A document is JSON exactly when ``json.loads`` takes it, sound or with something put into it."""
    document = json.dumps([value], ensure_ascii=ascii_only)
    at %= len(document) + 1
    document = document[:at] + spice + document[at:]
    try:
        data = document.encode()
    except UnicodeEncodeError:
        return
    try:
        json.loads(document)
    except ValueError:
        assert not is_json(memoryview(data))
    else:
        assert is_json(memoryview(data))


@given(lines=st.lists(values, min_size=2, max_size=5))
@settings(deadline=None, max_examples=100)
def test_lines_of_values(lines: list[object]) -> None:
    """Lines that are each an array are JSON lines; joined by a comma they are not."""
    documents = [json.dumps([line]) for line in lines]
    assert classify("\n".join(documents).encode()) == "jsonl"
    assert classify(",".join(documents).encode()) == "text"
