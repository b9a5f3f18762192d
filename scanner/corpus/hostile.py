"""The hostile rows: one of each kind, named for its flaw. Under 2 MB in all, made in two seconds, always the same."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import cache
from random import Random

from scanner.corpus import hostile_codec, hostile_tar, hostile_zip
from scanner.corpus.hostile_tar import Case, member, tar_of
from scanner.corpus.pack import COMPRESSORS, gzip_blob, zip_blob
from scanner.faults import FaultKind


def hostile_cases() -> list[tuple[str, bytes | None]]:
    """Each hostile row as (path, blob), in the order of the source ``hostile__rows``.

    Paths name the flaw, except where the path itself is the flaw. They are unique but for the pair that is not.
    """
    return [(case.name, case.blob) for case in _cases()]


def hostile_faults() -> dict[str, FaultKind]:
    """For those paths of :func:`hostile_cases` where one is due: a fault kind that must be among those reported."""
    return {case.name: case.fault for case in _cases() if case.fault is not None}


@cache
def _cases() -> tuple[Case, ...]:
    return (
        *_rows(),
        *_paths(),
        *hostile_codec.cases(),
        *hostile_tar.cases(),
        *hostile_zip.cases(),
        *_nested(),
        *_json(),
        *_texts(),
    )


def _rows() -> Iterator[Case]:
    noise = Random(0).randbytes(4096)  # noqa: S311 - repeatable noise
    yield Case("row-null", None, "null-blob")
    yield Case("row-empty", b"")
    yield Case("row-one-byte", b"\x1f")
    yield Case("row-random-binary", b"\x00\xff" + noise)
    yield Case("row-zeros-511", bytes(511))
    yield Case("row-zeros-10240", bytes(10_240))
    yield Case("row-text", b"Just some words that are no task.\n" * 20)
    yield Case("row-latin1-text", "Größe, Maß und Übermut\n".encode("latin-1") * 20)
    yield Case("row-utf16-text", "words in UTF-16\n".encode("utf-16") * 20)
    yield Case("row-html", b"<!doctype html><script>alert(1)</script>")
    yield Case("row-elf", b"\x7fELF\x02\x01\x01" + bytes(200))
    yield Case("row-base64-text", base64.b64encode(tar_of()))
    yield Case(
        "row-lfs-pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n"
    )


def _paths() -> Iterator[Case]:
    blob = tar_of()
    yield Case("path-of-10000-characters-" + "x" * 9975, blob)
    yield Case("path-terminal-escapes-\x1b[2J\x1b]0;owned\x07\x1b[31m", blob)
    yield Case("path-bidi-\u202efdp.exe", blob)
    yield Case("path-html-<img src=x onerror=alert(1)>", blob)
    yield Case("path-newline-\nrow 2: ok", blob)
    yield Case("path-nul-\0-inside", blob)
    yield Case("path-formula", blob)
    yield Case("=HYPERLINK(0)", blob)
    yield Case("../../../path-dotdot", blob)
    yield Case("/path-absolute", blob)
    yield Case("path-duplicate", blob)
    yield Case("path-duplicate", tar_of(member("second.txt", b"the same path, another blob")))
    yield Case("", blob)


def _nested() -> Iterator[Case]:
    inner = {"a.txt": b"inside"}
    blob = zip_blob(inner)[0]
    for _ in range(8):
        blob = zip_blob({"inner.zip": blob})[0]
    yield Case("nested-8-levels", tar_of(member("deep.zip", blob)))
    level = tar_of()
    for _ in range(6):
        level = tar_of(member("inner.tar.gz", level))
    yield Case("nested-tars-6-levels", level)
    yield Case(
        "nested-corrupt", tar_of(member("broken.zip", zip_blob(inner)[0][:40]), member("b.tar.gz", tar_of()[:99]))
    )
    bomb = gzip_blob(bytes(16 << 20))
    yield Case("nested-gzip-bombs", tar_of(*(member(f"{i}.gz", bomb) for i in range(8))))
    yield Case(
        "nested-every-codec", tar_of(*(member(f"t.{name}", pack(tar_of())) for name, pack in COMPRESSORS.items()))
    )


def _json() -> Iterator[Case]:
    deep = b"[" * 100_000 + b"]" * 100_000
    yield Case("json-deep-nesting", deep)
    yield Case("json-deep-objects", b'{"verifier":' * 10_000 + b"1" + b"}" * 10_000)
    yield Case("json-huge-integer", b'{"verifier": ' + b"9" * 20_000 + b"}")
    yield Case("json-huge-exponent", b'{"a": 1e999999999, "b": -1E+400}')
    yield Case("json-not-a-number", b'{"a": NaN, "b": Infinity}')
    yield Case("json-lone-surrogate", b'{"judge\\ud800": "\\udfff"}')
    yield Case("json-duplicate-keys", b'{"tests": 1, "tests": 2}')
    yield Case("json-byte-order-mark", b'\xef\xbb\xbf{"rubric": 1}')
    yield Case("json-utf16", '{"rubric": 1}'.encode("utf-16"))
    yield Case("json-truncated", b'{"rubric": [1, 2')
    yield Case("json-20000-keys", b"{" + b",".join(b'"k%d":0' % i for i in range(20_000)) + b"}")
    yield Case("json-key-of-100000", b'{"' + b"k" * 100_000 + b'": 1}')
    yield Case("jsonl-bad-line", b'{"a": 1}\n{"a": 2\n{"a": 3}\n')
    yield Case("json-file-deep-nesting", tar_of(member("tests/config.json", deep)))
    yield Case(
        "json-file-huge-integer", tar_of(member("tests/config.json", b'{"FAIL_TO_PASS": ' + b"9" * 20_000 + b"}"))
    )
    yield Case("json-file-invalid", tar_of(member("metadata.json", b'{"id": 1,}')), "invalid-json")


def _texts() -> Iterator[Case]:
    levels = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9) if i else 'x'}]\n" for i in range(12))
    yield Case("yaml-alias-bomb", tar_of(member("task.yaml", levels.encode() + b"instruction: *l11\n")))
    yield Case("yaml-deep-nesting", tar_of(member("task.yaml", b"instruction: " + b"[" * 20_000)))
    yield Case("yaml-object-tag", tar_of(member("task.yaml", b"!!python/object/apply:os.system ['id']\n")))
    yield Case("steps-toml-deep-nesting", tar_of(member("steps/task.toml", b"a = " + b"[" * 50_000)), "invalid-toml")
    for name, toml in (
        ("deep-nesting", b"a = " + b"[" * 50_000 + b"]" * 50_000),
        ("huge-integer", b"a = " + b"9" * 20_000 + b"\n"),
        ("dotted-key-of-10000", b".".join([b"a"] * 10_000) + b" = 1\n"),
        ("not-utf8", b'name = "\xff\xfe"\n'),
        ("line-of-1-mb", b'a = "' + b"x" * (1 << 20) + b'"\n'),
        ("nul", b"[task]\0\n"),
    ):
        yield Case(f"toml-{name}", gzip_blob(_task_with("task.toml", toml)))
    yield Case("instruction-not-utf8", gzip_blob(_task_with("instruction.md", b"\xff\xfe\x00words\xe9" * 50)))
    yield Case(
        "instruction-terminal-escapes", gzip_blob(_task_with("instruction.md", b"\x1b[2J\x1b]52;c;ZXZpbA==\x07"))
    )
    yield Case("instruction-html", gzip_blob(_task_with("instruction.md", b"</pre><script>alert(1)</script>")))
    yield Case("instruction-bidi", gzip_blob(_task_with("instruction.md", "\u202e\u2066evil\u2069".encode())))
    yield Case("dockerfile-escapes", gzip_blob(_task_with("environment/Dockerfile", b"FROM \x1b[31mred:<b>\n")))
    yield Case("dockerfile-of-one-line", gzip_blob(_task_with("environment/Dockerfile", b"FROM " + b"a" * (1 << 20))))
    yield Case("test-entry-empty", gzip_blob(_task_with("tests/test.sh", b"")), "empty-test-entry")
    yield Case(
        "test-entry-comments", gzip_blob(_task_with("tests/test.sh", b"#!/bin/bash\n# nothing\n")), "empty-test-entry"
    )
    yield Case("test-entry-crlf", gzip_blob(_task_with("tests/test.sh", b"#!/bin/bash\r\nexit 0\r\n")), "crlf-script")


def _task_with(name: str, data: bytes) -> bytes:
    """The sound task as a tar, one file of it replaced or added."""
    files = {
        "environment/Dockerfile": b"FROM python:3.12-slim\n",
        "instruction.md": b"Do the task.\n",
        "task.toml": b'[task]\nname = "hostile/text"\n\n[verifier]\n',
        "tests/test.sh": b"#!/bin/bash\nexit 0\n",
        name: data,
    }
    return b"".join(member(key, value) for key, value in files.items()) + hostile_tar.END
