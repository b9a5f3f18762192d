"""Task: whatever a blob is given as, its record is a scan's, members are read lazily, nothing raises unasked."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import corpus
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scanner
from scanner.contents import Contents
from scanner.corpus.hostile_tar import member
from scanner.corpus.pack import COMPRESSORS, zip_blob
from scanner.errors import NoMatchError, SourceError, UsageError
from scanner.model import Blob, CodecName
from scanner.options import Limits
from scanner.probe import Probe
from scanner.task import Task, open_task

FILES = {
    "environment/Dockerfile": b"FROM python:3.12-slim\n",
    "instruction.md": "Zähle die Zeilen.".encode(),
    "task.toml": b'[task]\nname = "org/name"\n\n[verifier]\n',
    "tests/test.sh": b"#!/bin/bash\nexit 0\n",
}
LIMITS = Limits(output_bytes=24 << 20, members=3_000, depth=0)


def tar(*parts: bytes) -> bytes:
    return b"".join(parts) + bytes(1024)


PLAIN = tar(*(member(name, data) for name, data in FILES.items()))

GIVEN: dict[str, Callable[[bytes], Any]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "base64": lambda data: base64.b64encode(data).decode(),
    "base64 in lines": lambda data: base64.encodebytes(data).decode(),
    "list of ints": list,
    "tuple of ints": tuple,
    "a row": lambda data: {"path": "org-7", "task_binary": data},
    "a row of base64": lambda data: {"path": "org-7", "task_binary": base64.b64encode(data).decode()},
}


@pytest.mark.parametrize("given_as", GIVEN)
def test_a_blob_may_be_given_as_datasets_give_it(given_as: str) -> None:
    """Bytes, views, base64 text, lists of integers and whole rows open as the same task."""
    with open_task(GIVEN[given_as](gzip.compress(PLAIN))) as task:
        assert (task.codec, task.format, task.raw_size, task.status) == ("gzip", "tar", len(PLAIN), "ok")
        assert task.names() == list(FILES)
        assert task.path == ("org-7" if given_as.startswith("a row") else "")


@pytest.mark.parametrize("codec", [None, *COMPRESSORS])
@pytest.mark.parametrize("container", ["tar", "zip"])
def test_any_codec_and_container(codec: CodecName | None, container: str) -> None:
    """Members have the same content through every codec, in a tar and in a zip."""
    raw = PLAIN if container == "tar" else zip_blob(FILES)[0]
    task = open_task(raw if codec is None else COMPRESSORS[codec](raw))
    assert (task.codec, task.format) == (codec or "none", container)
    assert {name: task.read(name) for name in task.names()} == FILES


@pytest.mark.parametrize(
    ("blob", "fault"),
    [(None, "null-blob"), ("not base64!", "bad-encoding"), ([1, 2, 300], "bad-encoding")],
    ids=["null", "text", "numbers"],
)
def test_what_holds_no_bytes_is_a_failed_task(blob: Any, fault: str) -> None:
    """A null, text that is not base64 and numbers that are no bytes give a Task that says so, and no exception."""
    task = open_task(blob)
    assert task.status == "failed"
    assert [each.kind for each in task.faults] == [fault]
    assert task.members() == []
    assert task.raw() == b""
    assert task._repr_html_()


@pytest.mark.parametrize("blob", [7, 1.5, {"path": "x"}, object()], ids=repr)
def test_what_is_no_blob_at_all_is_a_mistake_of_the_caller(blob: Any) -> None:
    """Numbers, mappings without a blob and other objects are refused in a sentence."""
    with pytest.raises(UsageError):
        open_task(blob)


@pytest.mark.parametrize("case", corpus.cases(), ids=lambda case: case.name[:60])
def test_contents_agree_with_the_record(case: corpus.Case) -> None:
    """Of every hostile row the Task lists what the probe counted; reading gives bytes or a SourceError, and no more."""
    data = None if case.blob is None else memoryview(case.blob)
    blob = Blob(data, case.name, "f", 0, "null-blob" if data is None else None)
    record, _ = _PROBE(blob)
    if "limit:time" in {fault.kind for fault in record.faults}:
        pytest.skip("the clock decides what is seen")
    task = Task(blob, limits=LIMITS, record=record)
    contents = task.contents
    assert len(contents.members) == record.n_members
    if data is None:
        return
    assert (contents.codec, contents.format) == (record.codec, record.format)
    assert contents.raw_bytes == record.raw_size
    for each in task.members()[:20]:
        with contextlib.suppress(SourceError, NoMatchError):
            assert each.kind != "file" or len(task.read(each)) == each.size_bytes
    assert len(contents.types()) == len(contents.members)


_PROBE = Probe(LIMITS)


@pytest.mark.parametrize("make", [lambda raw: raw, gzip.compress], ids=["plain", "gzip"])
def test_a_large_row_streams_and_reads_the_same(make: Callable[[bytes], bytes]) -> None:
    """Beyond the arena members are read by streaming again, with the same bytes."""
    large = bytes(range(256)) * 40_000
    blob = make(tar(member("a.txt", b"first"), member("large.bin", large), member("z.txt", b"last")))
    task = open_task(blob)
    assert task.read("large.bin") == large
    assert task.read("a.txt") == b"first"
    assert task.read("z.txt") == b"last"
    assert [each.size_bytes for each in task.members()] == [5, len(large), 4]


def test_listing_copies_no_content() -> None:
    """Listing a task without a codec allocates far less than its content: its arena apart, nothing of its size."""
    blob = memoryview(tar(member("a.bin", bytes(4 << 20)), member("b.bin", bytes(2 << 20))))
    arena = bytearray(8 << 20)
    tracemalloc.start()
    contents = Contents(blob, Limits(), arena)
    allocated = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [each.name for each in contents.members] == ["a.bin", "b.bin"]
    assert allocated < 100_000


def test_listing_a_zip_inflates_nothing() -> None:
    """Entries of a zip are inflated when they are read, not when they are listed: a bomb is listed in peace."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(64 << 20))
        archive.writestr("small.txt", "words")
    task = open_task(packed.getvalue(), limits=Limits(output_bytes=1 << 20))
    assert task.names() == ["bomb", "small.txt"]
    assert task.read("small.txt") == b"words"
    with pytest.raises(SourceError, match="limit:output"):
        task.read("bomb")


def test_names_are_found_as_after_unpacking() -> None:
    """The last of two files with a name counts, ``./`` and an enclosing folder may be left out, links are followed."""
    twice = open_task(tar(member("a", b"first"), member("a", b"second")))
    assert twice.read("a") == b"second"
    assert twice.read(twice.members()[0]) == b"first"
    dotted = open_task(tar(member("./tests/test.sh", b"run")))
    assert dotted.read("tests/test.sh") == dotted.read("./tests/test.sh") == b"run"
    enclosed = open_task(tar(*(member(f"task-1/{name}", data) for name, data in FILES.items())))
    assert enclosed.read("instruction.md") == FILES["instruction.md"]
    linked = open_task(
        tar(
            member("real.txt", b"x"),
            member("soft", kind=b"2", link=b"real.txt"),
            member("hard", kind=b"1", link=b"real.txt"),
        )
    )
    assert linked.read("soft") == linked.read("hard") == b"x"
    assert linked.names() == ["real.txt"]
    assert "soft" in linked
    assert "other" not in linked


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("instructions.md", "did you mean instruction.md?"),
        ("tests/tests.sh", "tests/test.sh"),
        ("zzz", "it holds environment/"),
    ],
)
def test_a_name_that_is_not_there_tells_what_is(name: str, hint: str) -> None:
    """The error of a name that is not there names those that come near, else the first there are."""
    with pytest.raises(NoMatchError, match=hint.replace("?", r"\?")):
        open_task(PLAIN).read(name)


def test_what_cannot_be_read_whole_says_why() -> None:
    """A file that breaks off, and a sparse one, raise SourceError; they are listed all the same."""
    task = open_task(tar(member("a", b"whole"), member("b", b"x" * 5000))[:2500])
    assert task.names() == ["a", "b"]
    assert task.read("a") == b"whole"
    with pytest.raises(SourceError, match="tar-truncated"):
        task.read("b")


@pytest.mark.parametrize(
    ("files", "instruction"),
    [
        (FILES, "Zähle die Zeilen."),
        ({"task.yaml": b"instruction: |\n  Do it,\n  " + b"x" * 400, "run-tests.sh": b""}, "Do it,\n" + "x" * 400),
        ({"data.bin": b"\0"}, None),
    ],
    ids=["harbor", "terminal-bench", "none"],
)
def test_the_instruction_is_whole(files: dict[str, bytes], instruction: str | None) -> None:
    """The instruction is given in full, where records keep 300 characters."""
    assert open_task(zip_blob(files)[0]).instruction == instruction


def test_json_tasks() -> None:
    """A JSON blob has no members; its text is there raw, and its instruction is found."""
    blob = b'{"prompt": "What is 6 times 7?", "rubric": ["42"]}'
    task = open_task(gzip.compress(blob), path="math-1")
    assert (task.format, task.members(), task.names()) == ("json", [], [])
    assert task.raw() == blob
    assert task.instruction == "What is 6 times 7?"
    assert task.has_verifier
    assert task.source == "math"


def test_verifier_files_are_the_notebooks_candidates() -> None:
    """Telling words and extensions score; files without a telling word are no candidates."""
    names = ["readme.md", "tests/verifier.py", "judge/grader.json", "score.txt", "other.json"]
    task = open_task(zip_blob(dict.fromkeys(names, b"x"))[0])
    assert [each.name for each in task.verifier_files(2)] == ["judge/grader.json", "tests/verifier.py"]


@given(st.binary(max_size=300))
def test_any_bytes_open(data: bytes) -> None:
    """Whatever the bytes are, there is a Task with a status, members and a page for a notebook."""
    task = open_task(data)
    assert task.status in {"ok", "degraded", "failed"}
    assert len(task.members()) == task.record.n_members
    assert task._repr_html_().startswith("<div")


def test_close_forgets_and_the_task_goes_on() -> None:
    """A closed task has let go of what it inflated, and inflates again when asked."""
    with open_task(gzip.compress(PLAIN)) as task:
        first = task.contents
    assert task.contents is not first
    assert task.read("instruction.md") == FILES["instruction.md"]


def test_members_are_those_of_tarfile() -> None:
    """Names, sizes and kinds as the standard library lists them."""
    blob = tar(member("d/", kind=b"5"), member("d/f", b"12345", mode=0o755), member("l", kind=b"2", link=b"d/f"))
    with tarfile.open(fileobj=io.BytesIO(blob)) as oracle:
        wanted = [(info.name, info.size, info.isdir(), info.issym()) for info in oracle]
    members = open_task(blob).members()
    assert [(m.name.rstrip("/"), m.size_bytes, m.kind == "dir", m.kind == "symlink") for m in members] == wanted


def test_public_names() -> None:
    """What users import is on the package itself."""
    assert scanner.open_task is open_task
    assert scanner.Task is Task


def test_tasks_are_opened_in_many_threads() -> None:
    """Inflating gives Python's lock back: each call under way works in memory of its own."""
    contents = [Random(n).randbytes(50_000).hex().encode() for n in range(4)]
    blobs = [gzip.compress(tar(member("f", content)), 1) for content in contents]

    def read(number: int) -> list[bool]:
        found = []
        for at in range(number, number + 60):
            with open_task(blobs[at % 4]) as task:
                found.append(task.status == "ok" and bytes(task.read("f")) == contents[at % 4])
        return found

    with ThreadPoolExecutor(4) as pool:
        assert all(all(found) for found in pool.map(read, range(4)))
