"""Feeds the compiled parts, built with sanitizers, what is crafted. tests/test_compiled.py runs it:

    python tests/sanitized.py LIBRARY

Every buffer has exactly the size that is promised, so whatever is read or written beyond one ends the process.
"""

from __future__ import annotations

import ctypes
import gzip
import random
import sys
import zlib

from scanner import compiled

LIBRARY = sys.argv[1]
compiled.library = lambda: ctypes.CDLL(LIBRARY)

from corpus import cases  # noqa: E402 - after the library was put in place
from test_ordinary import ODD, SIGNATURES, task  # noqa: E402

from scanner.formats.tar_quick import quick_walker  # noqa: E402
from scanner.quick import ASIDE, READ, WALKED, quick_reader  # noqa: E402
from scanner.tasks.gist import gists  # noqa: E402
from scanner.tasks.outline import NOT_EMPTY, ORG_NAME, compiled_cutter  # noqa: E402
from scanner.tasks.outline_quick import like_texts  # noqa: E402
from scanner.twins import Twins  # noqa: E402

EDITS = 3_000


def walk(raw: bytes) -> bool:
    """Walk an archive in an arena that ends with it, whole and cut."""
    walker = quick_walker(bytearray(raw), SIGNATURES)
    assert walker is not None
    for end in (len(raw) // 2, len(raw) // 1024 * 512):
        walker(end)
    return walker(len(raw)) is not None


def read_rows(rows: list[bytes], chance: random.Random) -> int:
    """Read gzip rows in one call each, into an arena as large as the largest, noting templates; how many were known."""
    arena = bytearray(max(map(len, rows)))
    walker = quick_walker(arena, SIGNATURES)
    assert walker is not None
    reader = quick_reader(walker, Twins(), room_bytes=len(arena), high_ratio=200, templates=64)
    assert reader is not None, "libdeflate cannot be called"
    likes = like_texts(8)
    known = gists(walker.at, likes, 8)
    assert likes is not None
    assert known is not None
    n_read = n_known = 0
    for raw in rows:
        blob = bytearray(gzip.compress(raw, 1, mtime=chance.getrandbits(31)))
        if chance.random() < 0.1:
            del blob[chance.randrange(len(blob)) :]
        row = reader(memoryview(blob), reader.inflate(memoryview(blob)) if chance.random() < 0.3 else ASIDE)
        n_read += row.outcome == READ
        if row.outcome == READ:
            files = chance.choices([*range(row.n_files)] * 9 + [row.n_files, 1 << 20, -1], k=chance.choice([1, 2, 60]))
            looks = known.pack(chance.randrange(4), [5 * file + chance.randrange(5) for file in files])
            n_known += bool(known.find(looks))
            if known.note(looks) is None:
                known.start_over()
            known.find(looks[: chance.choice([0, 4])])
        if row.outcome == WALKED and row.walked is not None:
            n_files = len(row.walked.types)
            files = chance.sample(range(n_files), n_files)
            keys = [
                (file, b"k" * chance.choice([0, 9, 50, chance.choice([99, 5000, 20_000, 70_000])])) for file in files
            ]
            if chance.random() < 0.1:
                keys.append((chance.choice([-1, 1 << 20]), b""))
            reader.note(row.walked.members, keys)
        elif walker.is_full() or chance.random() < 0.01:
            walker.start_over()
            reader.start_over()
    assert n_known, "some of them have a gist that was noted"
    return n_read


def tars() -> list[bytes]:
    """Tars to begin from: what is ordinary, what is odd, and the hostile ones."""
    found = [task(), task(mtime=1), *ODD.values()]
    for case in cases():
        blob = case.blob or b""
        if blob.startswith(b"\x1f\x8b") and len(blob) < 1 << 16:
            try:
                found.append(gzip.decompress(blob)[: 1 << 18])
            except (OSError, EOFError, zlib.error):
                continue
    return [raw for raw in found if len(raw) >= 512]


def edited(raw: bytes, chance: random.Random) -> bytes:
    """A tar with a few bytes of its first headers overwritten, or cut off; half of the time the checksums are right."""
    changed = bytearray(raw[: chance.choice([len(raw), chance.randrange(512, len(raw) + 1)])])
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(changed))
        changed[at] = chance.choice([0, 255, 48 + chance.randrange(8), chance.randrange(256)])
        start = at // 512 * 512
        if chance.random() < 0.5 and start + 512 <= len(changed):
            changed[start + 148 : start + 156] = b" " * 8
            changed[start + 148 : start + 156] = b"%06o\0 " % sum(changed[start : start + 512])
    return bytes(changed)


def main() -> None:
    chance = random.Random(7)
    originals = tars()
    n_ordinary = sum(map(walk, originals)) + sum(walk(edited(chance.choice(originals), chance)) for _ in range(EDITS))
    assert n_ordinary > len(originals) // 10, "some of them are walked to their end"
    rows = [chance.choice([edited(raw, chance), raw]) for raw in chance.choices(originals, k=EDITS)]
    assert read_rows(rows, chance) > len(rows) // 20, "some of them have templates that were noted"
    cut = compiled_cutter()
    assert cut is not None
    for _ in range(EDITS):
        pieces = chance.choices(
            [b'"', b"= ", b"1", b"2", b"0", b"\\", b"\n", b"a", bytes((chance.randrange(256),))], k=60
        )
        cut(b"".join(pieces))
    long_texts = (b'"' * 4096, b"= 9" * 1365, b"a" * 4096, b"")
    for text in long_texts:
        cut(text)
    likes = like_texts(8)
    assert likes is not None
    for _ in range(EDITS):
        n = chance.choice([chance.randrange(9), 99])
        strings = chance.choices([b"", b"a/b", b"x" * 30, b"o.r-g/n_1", b"/"], k=n)
        comment = b"#" * chance.choice([0, 0, chance.randrange(2000)])
        text = b"".join([b'k = "%s"\n' % string for string in strings]) + comment
        taken_apart = cut(text)
        assert taken_apart is not None
        looked_at = [(2 * at, chance.choice([ORG_NAME, NOT_EMPTY, len])) for at in range(len(strings))]
        beyond = [(1 << 20, len)] if chance.random() < 0.01 else []
        likes.note_outline(taken_apart.skeleton, (*looked_at[: chance.randrange(n + 1)], *beyond))
        if likes.note(text) > 7 or chance.random() < 0.05:
            likes.start_over()
    for text in long_texts:
        likes.find(text)


if __name__ == "__main__":
    main()
