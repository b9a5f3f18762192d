"""Content types by magic, against samples of every type, file(1)'s own tests, and extensions that lie."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from content_samples import SAMPLES, tar_of, zip_of
from hypothesis import example, given
from hypothesis import strategies as st

from scanner.content import CONTENT_TYPES, FINDINGS, TEXT_TYPES, content_type, lies, zip_flavour
from scanner.content.scripts import SCRIPT_TYPES
from scanner.content.zips import ZIP_TYPES
from scanner.faults import FAULTS
from scanner.options import MAGIC_BYTES

SHARED = Path(__file__).parents[2] / "shared"
ANSWERS = (
    {row.type for row in CONTENT_TYPES}
    | SCRIPT_TYPES
    | ZIP_TYPES
    | {"text/utf-8", "text/8-bit", "binary", "binary/damaged", "empty"}
)
hostile = st.one_of(
    st.binary(max_size=1100),
    st.builds(bytes.__add__, st.sampled_from([row.signature for row in CONTENT_TYPES]), st.binary(max_size=64)),
    st.builds(
        lambda sample, at, byte: sample[1][:at] + byte + sample[1][at:],
        st.sampled_from(SAMPLES),
        st.integers(0, 300),
        st.binary(max_size=3),
    ),
    st.builds(str.encode, st.text(max_size=400)),
)


@pytest.mark.parametrize(("expected", "data"), SAMPLES, ids=[f"{i}-{type_}" for i, (type_, _) in enumerate(SAMPLES)])
def test_sample_of_each_type(expected: str, data: bytes) -> None:
    """Each sample is known for what it is."""
    assert content_type(data) == expected


def test_every_type_has_a_sample() -> None:
    """No type can be answered that the samples do not show."""
    assert {type_ for type_, _ in SAMPLES} == ANSWERS


def test_signatures_can_be_looked_up() -> None:
    """Signatures at the start have the two bytes they are found by; those further in end within the window."""
    for row in CONTENT_TYPES:
        assert row.offset or len(row.signature) >= 2
        assert row.offset + len(row.signature) <= MAGIC_BYTES


@given(hostile, st.integers(0, 40), st.binary(max_size=40))
@example(b"", 3, b"abc")
def test_any_bytes_in_any_buffer(data: bytes, start: int, tail: bytes) -> None:
    """Whatever the bytes, there is one answer, the same for each kind of buffer and wherever in it they stand."""
    answer = content_type(data)
    assert answer in ANSWERS
    around = b"PK\x03\x04" * 10
    whole = around[:start] + data + tail
    end = start + len(data)
    buffers: tuple[bytes | bytearray | memoryview, ...] = (whole, bytearray(whole), memoryview(whole))
    assert {content_type(buffer, start, end) for buffer in buffers} == {answer}
    assert {content_type(buffer[start:end]) for buffer in buffers} == {answer}


@given(hostile, st.binary(max_size=50))
def test_only_the_window_counts(data: bytes, tail: bytes) -> None:
    """What stands behind the window changes nothing, so a file that streams by gets the answer of the whole file."""
    window = data.ljust(MAGIC_BYTES, b" ")[:MAGIC_BYTES]
    assert content_type(window + tail) == content_type(window)


@given(
    st.text(
        st.characters(min_codepoint=32, exclude_characters="\ufffd\x7f", categories=("L", "N", "P", "S", "Z")),
        min_size=300,
    )
)
@example("x" * (MAGIC_BYTES - 1) + "\xe9")
@example("x" * (MAGIC_BYTES - 3) + "\U0001f600")
def test_text_cut_by_the_window_stays_text(text: str) -> None:
    """A character that the window's end cuts does not make text binary."""
    long_text = "a " + text * 8
    for shift in range(4):
        assert content_type(b"." * shift + long_text.encode()) == "text/utf-8"


def test_a_character_cut_by_the_end_of_the_file_is_no_utf8() -> None:
    """Within the window the file's end is final: half a character is a flaw."""
    assert content_type("caf\xe9".encode()[:-1]) == "text/8-bit"


def test_only_the_start_is_judged_for_keys() -> None:
    """A key that follows other text is not seen: the stated limit of the window's start."""
    assert content_type(b"# my key\n-----BEGIN PRIVATE KEY-----\nMIIB\n") == "text/utf-8"


# (names, mimetype, flavour)
FLAVOURS = [
    ([], b"", "archive/zip"),
    (["a.txt"], b"", "archive/zip"),
    (["word/notes.txt", "xl/readme.md"], b"", "archive/zip"),
    (["[Content_Types].xml", "docProps/app.xml", "word/document.xml"], b"", "document/docx"),
    (["[Content_Types].xml", "ppt/slides/_rels/slide1.xml.rels"], b"", "document/pptx"),
    (["[Content_Types].xml", "docProps/app.xml"], b"", "document/ooxml"),
    (["mimetype", "content.xml"], b"", "document/odf"),
    (["mimetype", "content.xml"], b"application/vnd.oasis.opendocument.text", "document/odt"),
    (["META-INF/LICENSE", "org/A.class"], b"", "archive/jar"),
    (["AndroidManifest.xml", "META-INF/MANIFEST.MF"], b"", "archive/apk"),
    (["p/a.py", "p-1.0.dist-info/RECORD"], b"", "archive/wheel"),
    (["arr_0.npy", "arr_1.npy"], b"", "data/npz"),
    (["data/arr_0.npy"], b"", "archive/zip"),
]


@pytest.mark.parametrize(("names", "mimetype", "expected"), FLAVOURS)
def test_zip_flavour_by_names(names: list[str], mimetype: bytes, expected: str) -> None:
    """The first entries tell what a zip is for."""
    assert zip_flavour(names, mimetype) == expected


def test_a_zip_inside_does_not_speak_for_the_outer_one() -> None:
    """Entries of a zip that is stored in the first entry are stepped over."""
    inner = zip_of("[Content_Types].xml", "word/document.xml")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as outer:
        outer.writestr("inner.bin", inner)
    assert content_type(out.getvalue()) == "archive/zip"


# (name, content type, extension that lies)
NAMES = [
    ("logo.png", "image/png", None),
    ("logo.png", "text/utf-8", ".png"),
    ("logo.png", "binary/damaged", ".png"),
    ("logo.png", "image/jpeg", ".png"),
    ("a/LOGO.PNG", "script/shell", ".png"),
    ("logo.png", "empty", None),
    ("logo.png", "pointer/git-lfs", None),
    ("x.tar.gz", "codec/gzip", None),
    ("x.tar.gz", "archive/tar", ".gz"),
    ("data.db", "database/sqlite", None),
    ("data.db", "binary", None),
    ("data.db", "text/utf-8", ".db"),
    ("lib.so", "executable/elf", None),
    ("lib.so", "text/utf-8", ".so"),
    ("a.json", "text/utf-8", None),
    ("a.json", "text/utf-16", None),
    ("a.json", "image/png", ".json"),
    ("a.json", "binary", ".json"),
    ("a.py", "script/shell", None),
    ("a.pem", "key/private", None),
    ("a.svg", "image/svg", None),
    ("a.svg", "codec/gzip", ".svg"),
    ("a.docx", "archive/zip", None),
    ("a.docx", "document/xlsx", ".docx"),
    ("a.zip", "archive/jar", None),
    ("a.pt", "data/torch", None),
    ("a.pkl", "data/pickle", None),
    ("a.pkl", "text/utf-8", ".pkl"),
    ("a.ts", "video/mpeg-ts", None),
    ("a.bin", "text/utf-8", None),
    ("a.dat", "image/png", None),
    ("README", "image/png", None),
    ("", "text/utf-8", None),
    (".png", "text/utf-8", None),
    ("a/.gz", "text/utf-8", None),
    ("a.png/b", "text/utf-8", None),
    ("a.png.", "text/utf-8", None),
]


@pytest.mark.parametrize(("name", "type_", "expected"), NAMES)
def test_extensions_that_lie(name: str, type_: str, expected: str | None) -> None:
    """An extension lies where it promises a type and the content is of another."""
    assert lies(name, type_) == expected


@given(st.text(), st.sampled_from(sorted(ANSWERS)))
def test_lies_bears_any_name(name: str, type_: str) -> None:
    """Any name is answered, with an extension that it ends in or with nothing."""
    extension = lies(name, type_)
    assert extension is None or name.lower().endswith(extension)


def test_the_promises_speak_of_types_that_exist() -> None:
    """No extension promises a type that is never answered, and each can be kept."""
    from scanner.content.promises import _PROMISES

    assert TEXT_TYPES <= ANSWERS
    for extension, promised in _PROMISES.items():
        assert promised <= ANSWERS, extension
        assert promised - {"empty", "pointer/git-lfs"}, extension


def test_findings_are_notes() -> None:
    """A content type that is a finding never changes a row's status."""
    assert set(FINDINGS) <= ANSWERS
    assert {FAULTS[kind].severity for kind in FINDINGS.values()} == {"note"}


# What file(1) says (the beginning of it) -> what we may answer
AGREED = {
    "Animated PNG": "image/png",
    "Hancom HWP (Hangul Word Processor) file, version 5.0": "document/ole",  # a kind of OLE file
    "Hancom HWP (Hangul Word Processor) file, HWPX": "document/hwpx",
    "Audio file with ID3": "audio/mpeg",
    "ARJ": "archive/arj",
    "a /usr/bin/cmd": "script/other",
    "Zip data": "archive/zip",
    "Gentoo GLEP 78 (GPKG)": "archive/tar",  # a GPKG is a tar
    "Microsoft Word 2007+": "document/docx",
    "Microsoft Excel 2007+": "document/xlsx",
    "Keyman Compiled Package": "archive/zip",  # a kind of zip
    "Adaptive Multi-Rate": "audio/amr",
    "OpenStreetMap XML": "text/xml",
    "Netpbm": "image/netpbm",
    "RPM": "archive/rpm",
    "SVG Scalable Vector Graphics image, Unicode text, UTF-16": "text/utf-16",  # told by its encoding
    "Zstandard compressed": "codec/zstd",
    # text whose purpose lies beyond magic: JSON is parsed elsewhere, the others do not occur
    "JSON text": "text/utf-8",
    "New Line Delimited JSON": "text/utf-8",
    "ASCII text": "text/utf-8",
    "GEDCOM": "text/utf-8",
    "Ansible Vault text": "text/utf-8",
    "Viva File": "text/utf-8",
    "Testfmt": "text/utf-8",
}
# Not in the table, so any binary: (why, what file(1) says)
OUT_OF_SCOPE = {
    "disk images and file systems": ("Apple Driver Map", "bcachefs", "Linux rev 1.0 ext4", "HDD Raw Copy Tool"),
    "firmware, hardware and cartridges": ("EFI", "PCjr", "UF2", "AMD/Xilinx", "Xilinx BIT", "Binary G-code", "FIT Map"),
    "bytecode of rare platforms": ("Android vdex", "Racket bytecode", "Keyman Compiled Keyboard"),
    "documents and settings of rare programs": (
        "Hancom HWP (Hangul Word Processor) file, version 3.0",
        "Rich Text Format Directory",
        "Group Policy",
    ),
    "audio of rare players": ("DSDIFF", "DSF"),
    "OpenPGP without armour has no signature": ("OpenPGP",),
}
BINARY = tuple(said for group in OUT_OF_SCOPE.values() for said in group)


def test_no_answer_contradicts_file() -> None:
    """Each file of file(1)'s own tests gets the type it has, or `binary` where the type is out of scope."""
    folder = SHARED / "magic" / "file-tests"
    if not folder.is_dir():
        pytest.skip("shared/magic is not there")
    tests = sorted(folder.glob("*.testfile"))
    assert tests
    wrong = []
    for path in tests:
        said = path.with_suffix(".result").read_text()
        allowed = {type_ for start, type_ in AGREED.items() if said.startswith(start)}
        allowed |= {"binary"} if said.startswith(BINARY) else set()
        answer = content_type(path.read_bytes())
        if {answer} != allowed:
            wrong.append((path.name, said[:60], answer, allowed))
    assert not wrong


def _real_files() -> Iterator[tuple[str, bytes]]:
    for path in sorted((SHARED / "corpora" / "real").glob("*/*.parquet")):
        for blob in pq.read_table(path).column("task_binary"):
            with tarfile.open(fileobj=io.BytesIO(blob.as_py())) as archive:
                for member in archive:
                    content = archive.extractfile(member) if member.isfile() else None
                    if content is not None:
                        yield member.name, content.read(MAGIC_BYTES)


def test_real_tasks_tell_no_lies() -> None:
    """Of 13,136 files of real tasks none is binary but two jars, and no extension lies."""
    types = Counter[str]()
    for name, head in _real_files():
        type_ = content_type(head)
        types[type_] += 1
        assert lies(name, type_) is None, name
    if not types:
        pytest.skip("shared/corpora is not there")
    assert types.total() == 13_136
    assert {type_: n for type_, n in types.items() if type_ not in TEXT_TYPES} == {"archive/jar": 2, "empty": 75}


def test_a_tar_is_told_before_the_name_of_its_first_member() -> None:
    """A first member named like a signature does not hide the tar around it."""
    for name in ("PAR1", "GIF89a", "OTTO", "wOFF", "hsqs", "SQLite format 3"):
        assert content_type(tar_of(name)) == "archive/tar", name
