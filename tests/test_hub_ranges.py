"""Byte ranges and their prefetching: every byte once, few requests, bounded memory, all connections busy."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.batch import Batch
from scanner.model import Unit
from scanner.sources.answers import Remote
from scanner.sources.arrow import Columns
from scanner.sources.parquet import ParquetSource
from scanner.sources.prefetch import Prefetch
from scanner.sources.ranges import WASTE, Block, Layout, blocks_of, layout_of
from scanner.sources.remote import RemoteFiles

ROWS = 20


def layout(chunks: Sequence[Sequence[tuple[int, int]]]) -> Layout:
    """A layout of row groups of 20 rows with (start, size) of each column chunk."""
    numbers = np.array(chunks, np.int64).reshape(len(chunks), -1, 2)
    zeros = np.zeros(numbers.shape[:2], np.int64)
    ends = np.cumsum(np.full(len(chunks), ROWS))
    return Layout(["path", "task_binary"], [0, 1], ends, numbers[:, :, 0], zeros, numbers[:, :, 1], zeros, zeros)


@st.composite
def layouts(draw: st.DrawFn) -> tuple[Layout, list[tuple[int, int]]]:
    """Files of two columns with others between them: the layout, and the spans of the two columns."""
    at, groups, spans = 4, [], []
    for _ in range(draw(st.integers(1, 12))):
        group = []
        for most in (300, 20_000):
            at += draw(st.sampled_from([0, 0, 1, 50, 5_000]))
            size = draw(st.integers(1, most))
            group.append((at, size))
            spans.append((at, at + size))
            at += size
        groups.append(group)
    return layout(groups), spans


def whole(layout: Layout) -> list[Unit]:
    return [Unit(0, "f", 0, layout.n_rows)]


@given(layouts(), st.sampled_from([1_000, 8_192, 1 << 20]))
def test_blocks_cover_what_is_wanted_once(drawn: tuple[Layout, list[tuple[int, int]]], most_bytes: int) -> None:
    """Each wanted byte lies in one Block, no Block is too large, and what is read in vain stays within the share."""
    layout, spans = drawn
    blocks = blocks_of(layout, whole(layout), 1 << 40, most_bytes)
    by_offset = sorted(blocks)
    assert all(block.end <= after.start for block, after in pairwise(by_offset))
    assert all(0 < block.end - block.start <= most_bytes for block in blocks)
    wanted = sum(end - start for start, end in spans)
    for start, end in spans:
        assert (
            sum(min(end, b.end) - max(start, b.start) for b in blocks if b.start < end and b.end > start) == end - start
        )
    assert sum(block.wanted for block in blocks) == wanted
    assert sum(block.end - block.start for block in blocks) <= wanted * (1 + WASTE)


def test_blocks_of_adjacent_columns_are_as_few_as_can_be() -> None:
    """Column chunks that follow one another are one run, whatever the row groups: bytes over the size of a Block."""
    chunks, at = [], 4
    for size in [70_000] * 100:
        chunks.append([(at, 500), (at + 500, size)])
        at += 500 + size
    assert len(blocks_of(layout(chunks), whole(layout(chunks)), 1 << 40, 1 << 20)) == -(-at // (1 << 20))


def test_blocks_come_as_a_decoder_needs_them() -> None:
    """A large row group's paths and blobs are read side by side, not one after the other."""
    big = layout([[(0, 400), (400, 4_000)]])
    order = [(block.start, block.end) for block in blocks_of(big, whole(big), 1 << 40, 200)]
    assert order[:3] == [(0, 200), (400, 600), (600, 800)]
    assert order.index((200, 400)) in range(9, 13)


PARTS = {
    "all": ([(0, 60)], [(0, 3_000)]),
    "one row group": ([(20, 20)], [(1_000, 2_000)]),
    "two apart": ([(0, 20), (40, 20)], [(0, 1_000), (2_000, 3_000)]),
    "across a boundary": ([(15, 10)], [(0, 2_000)]),
    "none": ([], []),
}


@pytest.mark.parametrize(("rows", "spans"), PARTS.values(), ids=PARTS)
def test_only_row_groups_with_wanted_rows_are_read(rows: list[tuple[int, int]], spans: list[tuple[int, int]]) -> None:
    """Units say which row groups are needed; what others hold is not asked for."""
    three = layout([[(start, 100), (start + 100, 900)] for start in (0, 1_000, 2_000)])
    blocks = blocks_of(three, [Unit(i, "f", first, n) for i, (first, n) in enumerate(rows)], 1 << 40)
    assert [(block.start, block.end) for block in sorted(blocks)] == spans


def test_picked_rows_need_their_row_groups_alone() -> None:
    """A sample reads the row groups of its rows."""
    three = layout([[(start, 100), (start + 100, 900)] for start in (0, 1_000, 2_000)])
    (block,) = blocks_of(three, [Unit(0, "f", 0, 60, (45, 59))], 1 << 40)
    assert (block.start, block.end) == (2_000, 3_000)


HOSTILE = {
    "negative": [[(-500, 100), (-50, 100)]],
    "beyond the end": [[(0, 100), (5_000, 10**17)]],
    "overlapping": [[(0, 800), (100, 600)], [(50, 900), (0, 10)]],
    "empty": [[(10, 0), (10, 0)]],
    "backwards": [[(900, 10), (100, 10)], [(500, 10), (0, 10)]],
    "negative size": [[(100, -5), (200, 10)]],
}


@pytest.mark.parametrize("chunks", HOSTILE.values(), ids=HOSTILE)
def test_footers_that_lie_stay_within_the_file(chunks: list[list[tuple[int, int]]]) -> None:
    """Whatever a footer claims, nothing outside the file is asked for, and no more than the file."""
    blocks = blocks_of(layout(chunks), whole(layout(chunks)), 1_000, 64)
    assert all(0 <= block.start < block.end <= 1_000 for block in blocks)
    assert sum(block.end - block.start for block in blocks) <= 1_000


def test_a_layout_is_what_the_footer_says() -> None:
    """Leaves of nested columns belong to their column; sizes and starts are those of the chunks."""
    table = pa.table({"path": ["a", "b"] * 50, "other": range(100), "task_binary": [[1, 2, 3]] * 100})
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=50)
    meta = pq.read_metadata(file)
    found = layout_of(meta, ("path", "task_binary"))
    assert found.leaves == ["path", "task_binary"]
    assert found.n_rows == 100
    for group in range(2):
        chunk = meta.row_group(group).column(2)
        start = min(chunk.dictionary_page_offset or chunk.data_page_offset, chunk.data_page_offset)
        assert found.starts[group, 1] == start
        assert found.sizes[group, 1] == chunk.total_compressed_size
        assert found.values[group].tolist() == [50, 150]
    assert found.only("path").sizes.tolist() == [[meta.row_group(g).column(0).total_compressed_size] for g in range(2)]


class Counting:
    """Bytes of one file in place of a server, and which of them were asked for."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.note: Callable[[str], None] = lambda _: None
        self.credentials: str | None = None
        self.asked: list[tuple[int, int]] = []

    def range(self, file: Remote, start: int, end: int) -> bytearray:
        self.asked.append((start, end))
        return bytearray(self.content[start:end])


@pytest.mark.parametrize("row_group_size", [300, 5_000])
@pytest.mark.parametrize("size", [20, 8_000])
def test_dictionaries_are_fetched_once(size: int, row_group_size: int) -> None:
    """A dictionary that is looked at before its rows are decoded costs no byte more, and gives the same rows."""
    blobs = [Random(i % 1_000).randbytes(size) for i in range(2_000)]
    table = pa.table({"path": [f"p-{i}" for i in range(2_000)], "task_binary": blobs})
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=row_group_size, dictionary_pagesize_limit=1 << 30)
    server = Counting(out.getvalue())
    files = RemoteFiles(server, {"x.parquet": Remote("x.parquet", "x", len(server.content), "e")}, None)
    source = ParquetSource("x", files, columns=Columns())
    plan = source.plan()
    found = [
        bytes(blob.data or b"")
        for batch in source.read(plan, range(len(plan.units)), lambda *what: pytest.fail(str(what)))
        for blob in Batch.unpack(batch.pack())
    ]
    assert found == blobs
    asked = sorted(server.asked)
    assert all(before[1] <= after[0] for before, after in pairwise(asked))


# -- prefetching ------------------------------------------------------------------------------------------------------

CONTENT = {name: Random(name).randbytes(10_000) for name in ("a", "b", "c")}


def fetch(name: str, start: int, end: int) -> bytearray:
    return bytearray(CONTENT[name][start:end])


def plan(size: int = 500) -> Iterator[tuple[str, list[Block]]]:
    for name, content in CONTENT.items():
        yield name, [Block(at, at + size, size) for at in range(0, len(content), size)]


@given(
    st.lists(st.integers(1, 1_700), min_size=1, max_size=12), st.integers(1, 5), st.sampled_from([500, 1_000, 4_000])
)
def test_any_reads_in_order_give_the_files(steps: list[int], connections: int, window: int) -> None:
    """Reads of any sizes, within Blocks and across them, give the bytes; and nothing is held at the end."""
    prefetch = Prefetch(fetch, plan(), connections=connections, window_bytes=window)
    for name, content in CONTENT.items():
        at, i = 0, 0
        while at < len(content):
            end = min(at + steps[i % len(steps)], len(content))
            assert bytes(prefetch.read(name, at, end)) == content[at:end]
            at, i = end, i + 1
        prefetch.forget(name)
    assert prefetch.held_bytes == 0
    prefetch.close()


def test_all_connections_are_busy_and_no_more_is_held_than_fits() -> None:
    """As many requests are under way as there are connections, and what is held never exceeds the window."""
    together = threading.Barrier(4)
    made = threading.Event()
    largest: list[int] = []

    def slow(name: str, start: int, end: int) -> bytearray:
        assert made.wait(30)
        if start < 2_000 and name == "a":
            together.wait(timeout=30)  # passes only once four are here at a time
        largest.append(prefetch.held_bytes)
        return fetch(name, start, end)

    prefetch = Prefetch(slow, plan(), connections=4, window_bytes=3_000)
    made.set()
    for name in CONTENT:
        for at in range(0, 10_000, 250):
            prefetch.read(name, at, at + 250)
    prefetch.close()
    assert max(largest) <= 3_000


def test_what_was_not_foreseen_is_read_all_the_same() -> None:
    """A reader that goes back, skips, or reads a file nobody planned gets its bytes, however full the window is."""
    prefetch = Prefetch(fetch, plan(), connections=2, window_bytes=500)
    for name, start, end in [("c", 9_900, 10_000), ("a", 100, 5_000), ("a", 0, 200), ("b", 42, 43), ("c", 0, 10_000)]:
        assert bytes(prefetch.read(name, start, end)) == CONTENT[name][start:end]
    prefetch.close()


def test_an_error_belongs_to_who_asks_for_the_bytes() -> None:
    """What fetching raises is raised where the bytes are read, each time; other files are not touched by it."""

    def failing(name: str, start: int, end: int) -> bytearray:
        if name == "b" and end > 1_000:
            raise OSError("gone")
        return fetch(name, start, end)

    prefetch = Prefetch(failing, plan(), connections=3, window_bytes=2_000)
    assert bytes(prefetch.read("b", 0, 1_000)) == CONTENT["b"][:1_000]
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            prefetch.read("b", 900, 1_100)
    prefetch.forget("b")
    assert bytes(prefetch.read("c", 0, 10_000)) == CONTENT["c"]
    prefetch.close()


def test_notes_reach_the_reader_while_it_waits() -> None:
    """What a thread notes is told by the reader's thread, before the bytes that it waits for are there."""
    told: list[tuple[str, Any]] = []
    heard, made = threading.Event(), threading.Event()

    def tell(text: str) -> None:
        told.append((text, threading.current_thread()))
        heard.set()

    def noting(name: str, start: int, end: int) -> bytearray:
        assert made.wait(30)
        if (name, start) == ("a", 0):
            prefetch.note("a pause of 3 s")
            assert heard.wait(30)
        return fetch(name, start, end)

    prefetch = Prefetch(noting, plan(), connections=1, tell=tell)
    made.set()
    prefetch.read("a", 0, 10)
    prefetch.close()
    assert told == [("a pause of 3 s", threading.current_thread())]


def test_the_reader_hears_its_own_notes_at_once() -> None:
    """What the reader has to wait for itself, fetching what nobody foresaw, is told before it waits."""
    told: list[str] = []

    def waiting(name: str, start: int, end: int) -> bytearray:
        prefetch.note("waiting")
        assert told == ["waiting"]
        return fetch(name, start, end)

    prefetch = Prefetch(waiting, iter([]), connections=1, tell=told.append)
    assert bytes(prefetch.read("a", 0, 10)) == CONTENT["a"][:10]
    prefetch.close()
