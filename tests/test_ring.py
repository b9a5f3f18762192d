"""The bounded queue's slots, without processes."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from engine_works import batch_of, batches_of, digest
from hypothesis import given
from hypothesis import strategies as st

from scanner.engines.ring import PULSE_BYTES, Pulse, Ring, Window, open_segment
from scanner.engines.tally import Tally

SLOT_BYTES = 16 * 1024


@given(st.lists(st.lists(st.integers(0, 40_000), max_size=4), max_size=12))
def test_what_is_put_is_read_at_any_sequence_of_sizes(sizes: list[list[int]]) -> None:
    """A window sees each packed batch exactly, whether the slot grew for it, shrank after it, or did neither."""
    tally = Tally()
    ring = Ring(2, SLOT_BYTES, tally)
    windows = [Window(slot.fd, SLOT_BYTES) for slot in ring.slots]
    for batch in batches_of(sizes):
        slot, size = ring.put(batch)
        view = windows[slot].view(size)
        assert view.readonly
        assert len(view) == batch.packed_size
        assert digest(view) == digest(memoryview(batch.pack()))
        del view
        windows[slot].settle()
        ring.free(slot)
    assert tally.bytes_copied == sum(map(sum, sizes))
    assert tally.batches == len(sizes)
    ring.close()


def test_an_oversized_batch_gives_its_memory_back() -> None:
    """A slot grows for the batch that needs it and holds no more than its size afterwards."""
    ring = Ring(1, SLOT_BYTES, Tally())
    slot, _ = ring.put(batch_of([bytes(1 << 20)]))
    assert os.fstat(ring.slots[slot].fd).st_size > 1 << 20
    ring.free(slot)
    assert ring.slots[slot].capacity_bytes == SLOT_BYTES
    assert os.fstat(ring.slots[slot].fd).st_blocks * 512 <= SLOT_BYTES
    ring.close()


def test_a_full_ring_refuses() -> None:
    """The bound is a bound: a batch more than there are slots is an error, not an allocation."""
    ring = Ring(2, SLOT_BYTES, Tally())
    batch = batch_of([b"x"])
    ring.put(batch)
    ring.put(batch)
    assert ring.n_free == 0
    with pytest.raises(IndexError):
        ring.put(batch)
    ring.close()


def test_a_view_kept_in_spite_of_the_contract_is_no_crash() -> None:
    """A work that keeps its view of an oversized batch keeps its mapping; the next batch gets another."""
    ring = Ring(1, SLOT_BYTES, Tally())
    window = Window(ring.slots[0].fd, SLOT_BYTES)
    big = batch_of([b"x" * (1 << 20)])
    kept = window.view(ring.put(big)[1])
    window.settle()
    assert kept == big.pack()
    ring.free(0)
    small = batch_of([b"y"])
    view = window.view(ring.put(small)[1])
    assert digest(view) == digest(memoryview(small.pack()))
    ring.close()


def test_segments_without_memfd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where there is no memfd a nameless file does the same, and leaves no name."""
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ring = Ring(1, SLOT_BYTES, Tally())
    window = Window(ring.slots[0].fd, SLOT_BYTES)
    batch = batch_of([b"x" * 50_000])
    assert window.view(ring.put(batch)[1]) == batch.pack()
    assert not any(tmp_path.iterdir())
    ring.close()


def test_pulse_is_seen_through_another_mapping() -> None:
    """What the worker's mapping writes the parent's reads."""
    fd = open_segment(PULSE_BYTES)
    ours, theirs = Pulse(fd), Pulse(fd)
    assert ours.ticket == 0
    theirs.ticket = 17
    assert ours.ticket == 17
    theirs.peak_bytes = 1 << 40
    assert ours.peak_bytes == 1 << 40
    ours.close()
    theirs.close()
    os.close(fd)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="asks /proc what is mapped")
def test_close_leaves_nothing_mapped() -> None:
    """A closed ring is gone from this process's memory."""

    def mapped() -> int:
        return len(re.findall("memfd:scanner", Path("/proc/self/maps").read_text()))

    before = mapped()
    ring = Ring(3, SLOT_BYTES, Tally())
    assert mapped() == before + 3
    ring.close()
    assert mapped() == before
