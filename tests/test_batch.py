"""A Batch packs into one buffer and comes back as views."""

from __future__ import annotations

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.batch import FLAWS, Batch

ROWS = st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=60), st.sampled_from([0, 0, 0, 1, 2])), max_size=12)


def make_batch(rows: list[tuple[str, bytes, int]], *, parts: int = 1, is_base64: bool = False) -> Batch:
    paths = [path.encode("utf-8", "surrogatepass") for path, _, _ in rows]
    blobs = [blob for _, blob, _ in rows]
    cut = len(rows) // parts
    return Batch(
        7,
        "ORG__NAME/tasks.parquet",
        struct.pack(f"={len(rows)}q", *range(100, 100 + len(rows))),
        bytes(flaw for _, _, flaw in rows),
        struct.pack(f"={len(rows)}q", *(len(b"".join(paths[: i + 1])) for i in range(len(rows)))),
        [b"".join(paths[:cut]), b"".join(paths[cut:])],
        struct.pack(f"={len(rows)}q", *(len(b"".join(blobs[: i + 1])) for i in range(len(rows)))),
        [b"".join(blobs[:cut]), b"".join(blobs[cut:])],
        base64=is_base64,
    )


@given(ROWS, st.integers(1, 3))
def test_rows_come_back_as_packed(rows: list[tuple[str, bytes, int]], parts: int) -> None:
    """Packing and unpacking gives every row back, in however many parts its bytes were."""
    batch = make_batch(rows, parts=parts)
    packed = batch.pack()
    assert len(packed) == batch.packed_size
    got = [(b.path, None if b.data is None else bytes(b.data), b.row, b.flaw, b.file) for b in Batch.unpack(packed)]
    assert got == [
        (path, None if flaw else blob, 100 + i, FLAWS[flaw], "ORG__NAME/tasks.parquet")
        for i, (path, blob, flaw) in enumerate(rows)
    ]


@given(ROWS.filter(bool))
def test_a_single_row_is_the_row(rows: list[tuple[str, bytes, int]]) -> None:
    """``single(i)`` is the batch of row i, and can be packed again."""
    batch = Batch.unpack(make_batch(rows).pack())
    for i, blob in enumerate(batch):
        (alone,) = Batch.unpack(batch.single(i).pack())
        assert alone == blob


def test_unpacking_copies_no_blob() -> None:
    """Blobs are slices of the packed buffer: what is written there is seen through them."""
    packed = make_batch([("a", b"xyz", 0)]).pack()
    (blob,) = Batch.unpack(packed)
    assert blob.data is not None
    packed[-8] = ord("X")  # blobs are the last section
    assert bytes(blob.data) == b"Xyz"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (base64.b64encode(b"hello"), b"hello"),
        (b"aGVs\nbG8=\n", b"hello"),
        (b"aGVsbG8", b"hello"),
        (b"", b""),
        (b"not base64!", None),
        (b"\xff\xfe", None),
    ],
)
def test_base64_text_is_decoded_row_by_row(text: bytes, expected: bytes | None) -> None:
    """Base64 with line breaks or without padding decodes; what is none becomes a flaw of that row alone."""
    batch = make_batch([("p", text, 0), ("q", base64.b64encode(b"next"), 0)], is_base64=True)
    first, second = Batch.unpack(batch.pack())
    assert (None if first.data is None else bytes(first.data)) == expected
    assert first.flaw == (None if expected is not None else "bad-encoding")
    assert second.data is not None
    assert bytes(second.data) == b"next"


def test_other_bytes_are_no_batch() -> None:
    """A buffer that holds no batch is refused."""
    with pytest.raises(ValueError, match="not a packed batch"):
        Batch.unpack(bytes(64))
