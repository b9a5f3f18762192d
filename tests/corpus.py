"""The hostile corpus of the tests: every row of ``make-corpus --hostile``, and what takes too many rows for that.

What is added here is systematic: each flaw of a tar in each dialect, each way to break a stream in each codec. A name
says what is wrong; ``hostile_records.txt`` says, for each name, what a scan has to make of it. After a change that is
meant to change records, ``python tests/corpus.py`` prints that table anew: read the difference line by line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from scanner.corpus.hostile import hostile_cases, hostile_faults
from scanner.corpus.hostile_tar import END, TASK, base256, member, pax, tar_of
from scanner.corpus.hostile_zip import SOUND, Entry, archive
from scanner.corpus.pack import BLOCK, COMPRESSORS, gzip_blob, pax_record
from scanner.model import Blob, Record
from scanner.options import Limits
from scanner.probe import Probe

TABLE: Final = Path(__file__).parent / "hostile_records.txt"

DIALECTS: Final = {"v7": bytes(8), "ustar": b"ustar\x0000", "gnu": b"ustar  \0", "pax": b"ustar\x0000"}
"""The magic of each dialect of tar."""

CRASHES: Final = Path(__file__).parent / "crashes"
"""Inputs that fuzzing found, each in a file named for its flaw."""

DEPTH: Final = 3
"""Levels at which cases whose name begins with ``nested`` are opened."""


class Case(NamedTuple):
    """One hostile row."""

    name: str
    blob: bytes | None

    @property
    def depth(self) -> int:
        """Levels of archives inside that a scan of it opens."""
        return DEPTH if self.name.startswith("nested") else 0


@cache
def cases() -> tuple[Case, ...]:
    """All cases, names unique."""
    made = [Case(name, blob) for name, blob in hostile_cases() if name not in {"", "path-duplicate"}]
    return (*made, *_dialects(), *_codecs(), *_zips(), *_nested(), *_layouts(), *_crashes())


def _dialects() -> Iterator[Case]:
    for dialect, magic in DIALECTS.items():
        before = pax(pax_record("mtime", "1700000000.25")) if dialect == "pax" else b""

        def one(
            name: str | bytes, data: bytes = b"", *, _before: bytes = before, _magic: bytes = magic, **h: Any
        ) -> bytes:
            return _before + member(name, data, magic=_magic, **h)

        for flaw, blob in _tar_flaws(one).items():
            yield Case(f"{dialect}-{flaw}", gzip_blob(blob))


def _tar_flaws(one: Callable[..., bytes]) -> dict[str, bytes]:
    """Raw tars of one dialect, by flaw: a sound first member, the flaw, a sound last member."""
    first, last = one("first.txt", b"first"), one("last.txt", b"last")
    body = one("odd.txt", b"x" * 1000)
    at = len(body) - 2 * BLOCK - BLOCK  # of the header of the member itself
    bad = body[: at + 150] + bytes([body[at + 150] ^ 1]) + body[at + 151 :]
    negative = one("odd.txt", size_field=base256(-512))

    def around(odd: bytes) -> bytes:
        return first + odd + last + END

    return {
        "sound": around(body),
        "truncated-in-header": first + body[: at + 300],
        "truncated-in-body": first + body[: at + BLOCK + 700],
        "truncated-in-padding": first + body[:-10],
        "bad-checksum": around(bad),
        "negative-size": around(negative),
        "huge-size": around(one("odd.txt", size_field=base256(1 << 62))),
        "size-of-letters": around(one("odd.txt", size_field=b"0000zz00000\0")),
        "absolute-name": around(one("/etc/passwd", b"x")),
        "dotdot-name": around(one("../../odd.txt", b"x")),
        "name-not-normalised": around(one("a//./odd.txt", b"x")),
        "name-not-utf8": around(one(b"\xff\xfe\xe9.txt", b"x")),
        "terminal-escapes": around(one("\x1b]0;owned\x07\x1b[2J", b"x")),
        "duplicate": around(one("first.txt", b"second")),
        "case-collision": around(one("FIRST.txt", b"second")),
        "symlink": around(one("odd", kind=b"2", link=b"first.txt")),
        "symlink-escapes": around(one("odd", kind=b"2", link=b"../../etc/passwd")),
        "hardlink": around(one("odd", kind=b"1", link=b"first.txt")),
        "hardlink-escapes": around(one("odd", kind=b"1", link=b"/etc/passwd")),
        "device": around(one("null", kind=b"3")),
        "fifo": around(one("pipe", kind=b"6")),
        "setuid": around(one("odd.txt", b"x", mode=0o4755)),
        "sticky-directory": around(one("tmp/", kind=b"5", mode=0o1777)),
        "trailing-data": around(body) + b"more",
        "missing-end-marker": first + body + last,
        "half-an-end-marker": first + body + last + bytes(BLOCK),
    }


def _codecs() -> Iterator[Case]:
    raw = TASK + END
    for codec, pack in COMPRESSORS.items():
        if codec == "none":
            continue
        blob, empty = pack(raw), pack(b"")
        yield Case(f"{codec}-magic-only", blob[:6])
        yield Case(f"{codec}-without-last-byte", blob[:-1])
        yield Case(f"{codec}-of-nothing-at-all", empty)
        yield Case(f"{codec}-empty-stream-first", empty + blob)
        yield Case(f"{codec}-empty-stream-last", blob + empty)
        yield Case(f"{codec}-second-stream-truncated", pack(raw[:2000]) + pack(raw[2000:])[:-4])
        yield Case(f"{codec}-second-stream-is-junk", blob + blob[:6] + b"\xa5" * 40)
        yield Case(f"{codec}-of-a-stream-of-its-own", pack(blob))
        yield Case(f"{codec}-of-a-zip", pack(archive(*SOUND)))
        yield Case(f"{codec}-of-a-truncated-zip", pack(archive(*SOUND)[:-30]))
        yield Case(f"{codec}-of-json", pack(b'{"rubric": 1}'))
        yield Case(f"{codec}-of-binary", pack(b"\0\xff" * 300))
        yield Case(f"{codec}-bomb-of-9-mib", pack(bytes(9 << 20)))


def _zips() -> Iterator[Case]:
    sound = archive(*SOUND)
    yield Case("zip-sound", sound)
    yield Case("zip-end-record-only", sound[-22:])
    yield Case("zip-local-headers-only", sound[: sound.index(b"PK\1\2")])
    yield Case("zip-twice", sound + sound)
    yield Case("zip-behind-a-tar", TASK + END + sound)
    yield Case("zip-directory-offset-too-small", archive(*SOUND, directory_offset=0))
    yield Case("zip-behind-text-directory-moved", b"before\n" + sound[:-22] + bytes(4) + sound[-22:])
    yield Case("zip-comment-cut-off", archive(*SOUND, comment=b"a comment")[:-4])
    yield Case("zip-setuid", archive(*SOUND, Entry(b"su", mode=0o104755)))
    yield Case("zip-device", archive(*SOUND, Entry(b"null", b"", method=0, mode=0o020666)))
    yield Case("zip-fifo", archive(*SOUND, Entry(b"pipe", b"", method=0, mode=0o010666)))
    yield Case(
        "zip-symlink-loop", archive(*(Entry(a, b, method=0, mode=0o120777) for a, b in ((b"a", b"b"), (b"b", b"a"))))
    )
    yield Case("zip-name-empty", archive(*SOUND, Entry(b"")))
    yield Case("zip-name-of-60000", archive(*SOUND, Entry(b"n" * 60_000)))
    yield Case("zip-name-bidi", archive(*SOUND, Entry("\u202egpj.exe".encode(), flags=0x800)))
    yield Case("zip-claims-16-eib", archive(*SOUND, Entry(b"a", b"x", size=0xFFFFFFFF, stored_size=0xFFFFFFFF)))
    yield Case("zip-stored-and-deflated-sizes-differ", archive(*SOUND, Entry(b"a", b"stored", method=0, size=3)))
    yield Case("zip-nothing-but-headers", b"PK\3\4" * 5000)
    yield Case("zip-nothing-but-ends", (b"PK\5\6" + bytes(18)) * 3000)


def _nested() -> Iterator[Case]:
    inner = archive(*SOUND)
    for codec, pack in COMPRESSORS.items():
        yield Case(f"nested-tar-in-{codec}", tar_of(member("inner.tar.x", pack(TASK + END))))
    yield Case("nested-zip-in-zip", archive(*SOUND, Entry(b"inner.zip", inner)))
    yield Case("nested-zip-stored-in-zip", archive(*SOUND, Entry(b"inner.zip", inner, method=0)))
    yield Case("nested-hostile-names", tar_of(member("../x.zip", archive(Entry(b"../../evil"), Entry(b"/etc/evil")))))
    yield Case("nested-encrypted", tar_of(member("secret.zip", archive(Entry(b"a", flags=1)))))
    yield Case("nested-name-lies", tar_of(member("picture.png", inner)))
    yield Case("nested-as-deep-as-allowed", _deep(3))
    yield Case("nested-one-too-deep", _deep(4))
    yield Case(
        "nested-bomb-at-the-bottom",
        tar_of(member("a.zip", archive(Entry(b"b.zip", archive(Entry(b"c", bytes(9 << 20))))))),
    )


def _deep(levels: int) -> bytes:
    """A tar with so many levels of archives below it."""
    blob = b"the bottom"
    for level in range(levels):
        blob = archive(Entry(b"%d.zip" % level, blob))
    return tar_of(member("top.zip", blob))


def _layouts() -> Iterator[Case]:
    """Hostile metadata in an older layout, where task.yaml is read."""
    levels = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9) if i else 'x'}]\n" for i in range(30))
    for flaw, text in {
        "alias-bomb": levels.encode() + b"instruction: *l29\n",
        "merge-bomb": b"a: &a {x: 1}\n" + b"".join(b"b%d: {<<: [*a, *a]}\n" % i for i in range(500)),
        "deep-nesting": b"instruction: " + b"[" * 20_000,
        "deep-mappings": b"".join(b" " * i + b"a:\n" for i in range(600)),
        "object-tag": b"!!python/object/apply:os.system ['id']\n",
        "not-utf8": b"instruction: \xff\xfe\n",
        "nul": b"instruction: \0\n",
        "self-reference": b"&a [*a]\n",
        "2-mib": b"instruction: " + b"x" * (2 << 20),
    }.items():
        tests = member("run-tests.sh", b"pytest\n") + member("tests/test_outputs.py", b"def test(): pass\n")
        yield Case(f"task-yaml-{flaw}", gzip_blob(member("task.yaml", text) + tests + END))


def _crashes() -> Iterator[Case]:
    for path in sorted(CRASHES.glob("*")):
        yield Case(f"crash-{path.name}", path.read_bytes())


def scan(case: Case, probe: Probe | None = None) -> Record:
    """The record of a case, through a fresh probe or the one given."""
    probe = probe or Probe(Limits(depth=case.depth))
    data = None if case.blob is None else memoryview(case.blob)
    return probe(Blob(data, case.name, "hostile/x.parquet", 0, "null-blob" if data is None else None))[0]


def line_of(case: Case, record: Record) -> str:
    """What the table holds of a case: name, status, codec, format, raw size, members, layout and kinds of fault."""
    kinds = " ".join(sorted({fault.kind for fault in record.faults})) or "-"
    fields = (
        record.status,
        record.codec or "-",
        record.format or "-",
        record.raw_size,
        record.n_members,
        record.layout,
    )
    widths = (8, 5, 6, 9, 6, 14)
    return " ".join((f"{_label(case):48}", *(f"{field!s:{n}}" for field, n in zip(fields, widths, strict=True)), kinds))


def _label(case: Case) -> str:
    return json.dumps(case.name)[1:-1].replace(" ", "_")[:48]


def expected() -> dict[str, str]:
    """The table: a line for each case, by its name as the table spells it."""
    return {line.split(" ", 1)[0]: line for line in TABLE.read_text().splitlines() if not line.startswith("#")}


def due() -> dict[str, str]:
    """Faults that cases of :func:`hostile_cases` must have, by the table's spelling of their names."""
    return {_label(Case(name, b"")): kind for name, kind in hostile_faults().items()}


if __name__ == "__main__":
    head = ("# case", "status", "codec", "format", "raw_size", "n_members", "layout", "faults")
    print(f"{head[0]:48}", *head[1:])  # noqa: T201 - its purpose
    for each in cases():
        print(line_of(each, scan(each)).rstrip())  # noqa: T201 - its purpose
    sys.exit(0)
