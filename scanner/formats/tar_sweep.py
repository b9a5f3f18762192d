"""The headers of many tar archives at once, as columns: for rows that are ordinary through and through.

Archives that lie one after the other in one arena, each a whole number of blocks long, are an array of 512-byte blocks.
Blocks with the ``ustar`` word are candidates for headers; their fields are read as 64-bit words, checked for all
members of all archives in a few dozen numpy calls, and the chain (each header begins where the member before ends)
proves that no candidate was content and no header was missed. An archive with anything else in it is left to
:class:`scanner.formats.tar.TarWalker`, which is the specification: what is swept, it would list the same, without a
fault.

Layout: POSIX.1-2017 *pax*, "ustar Interchange Format"; offsets in words of 8 bytes::

    0..15   name (100), mode (8), uid (8), gid (8), the first 4 digits of the size: the *head*, looked up as a whole
    16      the last 7 digits of the size, NUL       17, 18   mtime (12), the first 4 digits of the checksum
    19      the last 2 digits of the checksum, NUL, blank, type flag, link     20..63   the *tail*: link, owner, prefix
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from scanner.formats.tar_header import BLOCK, number, text

Words: TypeAlias = "np.ndarray[Any, np.dtype[np.uint64]]"
Numbers: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
Flags: TypeAlias = "np.ndarray[Any, np.dtype[np.bool_]]"

_W: Final = np.uint64
_MAGIC_WORD: Final = 32
MAGICS: Final = (b"\0ustar\x000", b"\0ustar  ")
"""What an archive to be swept has at :data:`MAGIC_AT`: the end of no link, POSIX's or GNU's magic."""
MAGIC_AT: Final = 256
_POSIX, _GNU = (_W(int.from_bytes(magic, "little")) for magic in MAGICS)
_FILE, _DIR, _PAX = (_W(ord(flag)) for flag in "05x")
_HEAD_WORDS, _TAIL_WORD, _BLOCK_WORDS = 16, 20, 64
_TAIL_WORDS: Final = _BLOCK_WORDS - _TAIL_WORD
_HEAD_BYTES: Final = 8 * _HEAD_WORDS
_PREFIX: Final = 345 - 8 * _TAIL_WORD
_LINK_END: Final = 257 - 8 * _TAIL_WORD

_NO_SUM: Final = _W(1 << 40)
"""The sum of a head that is not ordinary: no checksum can hold with it."""
_HEADS: Final = 4096
_SLOT_BITS: Final = 16
_HASH: Final = np.array([pow(0x9E3779B97F4A7C15, 2 * i + 1, 1 << 64) for i in range(_HEAD_WORDS)], _W)
_TAILS: Final = 8
"""Distinct tails looked for in one sweep: owners and dialects are few. Archives with others are not ordinary."""

_MTIME: Final = np.array([int.from_bytes(b"%2d mtime" % size, "little") for size in range(100)], _W)
"""What the body of a PAX header of so many bytes begins with, when its one record is an mtime."""


class Swept(NamedTuple):
    """The members of a sweep's archives, in order. Archive ``i`` has members ``member_at[i]`` to ``member_at[i + 1]``.

    Only those of archives with ``ordinary[i]`` mean anything.
    """

    ordinary: list[bool]
    heads: bytes
    """int32 per member: twice the number of its head (see :attr:`Heads.heads`), plus one for a directory. Equal numbers
    are equal names and kinds, until ``Heads.generation`` changes."""
    member_at: list[int]
    file_at: list[int]
    """Likewise, for files alone."""
    starts: Numbers
    """Per file: where its content begins in the arena. A multiple of 512."""
    ends: Numbers

    def largest(self) -> tuple[list[int], list[int]]:
        """Of each archive that has files: which of them is the first of the largest, and its size."""
        first, n = np.array(self.file_at[:-1]), len(self.starts)
        sizes = np.append(self.ends - self.starts, 0)  # one more, as an archive without files may be the last
        most = np.maximum.reduceat(sizes, first)
        among = np.append(np.flatnonzero(sizes[:n] == np.repeat(most, np.diff(self.file_at))), n)
        return (among[np.searchsorted(among[:-1], first)] - first).tolist(), most.tolist()


class Heads:
    """The distinct heads met: found by a hash of 16 bits, verified word for word, kept as rows of a matrix.

    At most 4,096; when it is nearly full it starts over. Hostile names make it slow, never wrong.
    """

    def __init__(self, most: int) -> None:
        """``most``: heads that are looked up at once."""
        self.generation = 0
        self.names: list[str] = []
        self._numbers: dict[bytes, int] = {}
        self._slots = np.zeros(1 << _SLOT_BITS, np.int64)
        self._keys = np.zeros((_HEADS, _HEAD_WORDS), _W)
        self.sums = np.zeros(_HEADS, _W)
        self._found = np.empty((most, _HEAD_WORDS), _W)
        self._strange = np.zeros((most, _HEAD_WORDS), np.bool_)
        self._start_over()

    def _start_over(self) -> None:
        self.generation += 1
        self.names = [""]  # number 0 is that of no head
        self._numbers = {}
        self._slots[:] = 0
        self._keys[0] = 0
        self.sums[0] = _NO_SUM

    def find(self, heads: Words) -> Numbers:
        """The number of each of these heads, an array of shape (n, 16). Runs once a sweep."""
        n = len(heads)
        if len(self.names) > _HEADS - n // 16:
            self._start_over()
        slots = (heads @ _HASH) >> _W(64 - _SLOT_BITS)
        numbers: Numbers = self._slots[slots]
        keys = np.take(self._keys, numbers, axis=0, out=self._found[:n], mode="clip")
        strange = _differ(heads, keys, self._strange[:n])
        if strange is not None:
            for i in np.flatnonzero(strange).tolist():
                numbers[i] = self._number(heads[i].tobytes(), int(slots[i]))
        return numbers

    def _number(self, head: bytes, slot: int) -> int:
        """Of a head that is new, or that another one keeps from its slot."""
        known = self._numbers.get(head)
        if known is not None:
            return known
        if len(self.names) == _HEADS:
            return 0
        new = self._numbers[head] = len(self.names)
        self.names.append(text(head[:100]))
        self._keys[new] = np.frombuffer(head, _W)
        self.sums[new] = sum(head) if _is_ordinary(head) else _NO_SUM
        if not self._slots[slot]:
            self._slots[slot] = new
        return new


def _is_ordinary(head: bytes) -> bool:
    """Whether mode and size are such as every member has: no set-user bits, less than 2 MiB."""
    mode = number(head[100:108])
    return head[0] != 0 and mode is not None and not mode & 0o7000 and mode >= 0 and head[124:128] == b"0000"


class TarSweep:
    """Sweeps one arena, whose length is a multiple of 512, again and again."""

    def __init__(self, arena: bytearray) -> None:
        self._arena = arena
        self._bytes = np.frombuffer(arena, np.uint8)
        self._blocks = np.frombuffer(arena, _W).reshape(-1, _BLOCK_WORDS)
        # Buffers for all sweeps: fresh ones would cost page faults.
        self._headers = np.empty_like(self._blocks)
        self._strange = np.zeros((len(self._blocks) // 2 + 1, -(-_TAIL_WORDS // 8) * 8), np.bool_)
        self.heads = Heads(len(self._blocks))
        self._tails: dict[bytes, np.uint64] = {}

    def __call__(self, starts: list[int], end: int) -> Swept:
        """The members of the archives that fill the arena to ``end``, each with one of :data:`MAGICS` at its start.

        Runs once for some 100 archives and 2,000 headers, 6 µs an archive.
        """
        n_blocks = end // BLOCK
        magic = self._blocks[:n_blocks, _MAGIC_WORD].copy()
        at = np.flatnonzero((magic == _POSIX) | (magic == _GNU))
        n = len(at)
        headers = np.take(self._blocks, at, axis=0, out=self._headers[:n], mode="clip")
        flag = headers[:, 19] >> _W(32)
        is_pax, is_dir = flag == _PAX, flag == _DIR
        size, wrong = _sizes(headers[:, 16])
        size[is_dir] = 0
        heads = self.heads.find(headers[:, :_HEAD_WORDS])
        wrong |= self._checksum_errors(headers, flag, heads)
        bad = wrong != 0
        bad |= ~(is_pax | is_dir | (flag == _FILE))

        archive_blocks = np.array(starts) // BLOCK
        first = np.searchsorted(at, archive_blocks)
        last = np.append(first[1:], n) - 1
        after = at + 1 + ((size + (BLOCK - 1)) // BLOCK)
        broken = after[:-1] != at[1:]
        broken[last[:-1]] = False
        bad[:-1] |= broken
        bad[last] |= is_pax[last]
        self._check_pax(at, size, np.flatnonzero(is_pax), is_pax, bad)
        ordinary = ~np.logical_or.reduceat(bad, first)
        ordinary &= self._ends_in_zeros(after[last], np.append(archive_blocks[1:], n_blocks))
        return _members(ordinary, np.append(first, n), at, size, 2 * heads + is_dir, is_pax, is_dir)

    def _checksum_errors(self, headers: Words, flag: Words, heads: Numbers) -> Words:
        """Not zero where the checksum is no six octal digits, NUL and blank, or is not the sum of the bytes."""
        w16, w17, w18, w19 = (headers[:, word] for word in range(16, 20))
        digits = ((w18 >> _W(32)) | (w19 << _W(32))) ^ _W(0x2000303030303030)
        errors = digits & _W(0xFFFFF8F8F8F8F8F8)
        rest = _octal(digits << _W(16)) - _W(8 * 0x20) - flag
        rest -= _byte_sums(w16) + _byte_sums(w17) + _byte_sums(w18 << _W(32))
        rest -= self.heads.sums[heads]
        return errors | (rest - self._tail_sums(headers[:, _TAIL_WORD:]))

    def _tail_sums(self, tails: Words) -> Words:
        """The sum of each tail, :data:`_NO_SUM` where it is not ordinary.

        Tails differ by kind and owner, so each half nearly always has one: where PAX headers stand before all members,
        they are one half.
        """
        sums = np.full(len(tails), _NO_SUM)
        for half in (0, 1):
            self._sum_tails(tails[half::2], sums[half::2])
        return sums

    def _sum_tails(self, tails: Words, sums: Words) -> None:
        left, at = np.ones(len(tails), np.bool_), 0
        for _ in range(_TAILS if len(tails) else 0):
            total = self._tail_sum(tails[at].tobytes())
            differ = _differ(tails, tails[at], self._strange[: len(tails)])
            if differ is None:
                sums[:] = total
                return
            sums[left & ~differ] = total
            left &= differ
            at = int(np.argmax(left))
            if not left[at]:
                return

    def _tail_sum(self, tail: bytes) -> np.uint64:
        known = self._tails.get(tail)
        if known is None:
            if len(self._tails) >= _HEADS:
                self._tails.clear()
            has_link_or_prefix = any(tail[:_LINK_END]) or tail[_PREFIX]
            known = self._tails[tail] = _NO_SUM if has_link_or_prefix else _W(sum(tail))
        return known

    def _check_pax(self, at: Numbers, size: Numbers, pax: Numbers, is_pax: Flags, bad: Flags) -> None:
        """Mark PAX headers as bad that say more than an ``mtime``, or are not followed by the member's own header."""
        last = len(self._blocks) - 1
        body = np.minimum(at[pax] + 1, last)
        length = np.minimum(size[pax], 99)
        begins = self._blocks[body, 0] == _MTIME[length]
        body *= BLOCK
        begins &= (self._bytes[body + 8] == ord("=")) & (self._bytes[body + np.maximum(length, 1) - 1] == ord("\n"))
        begins &= (size[pax] < 100) & (length >= 10) & ~is_pax[np.minimum(pax + 1, len(at) - 1)]
        bad[pax] |= ~begins

    def _ends_in_zeros(self, after: Numbers, ends: Numbers) -> list[bool]:
        """Whether each archive has two blocks of zeros or more behind its last member, and nothing else."""
        starts_with = self._arena.startswith
        return [
            end - at >= 2 and starts_with(_zeros(end - at), at * BLOCK)
            for at, end in zip(after.tolist(), ends.tolist(), strict=True)
        ]


_ZEROS: Final = [bytes(BLOCK * n) for n in range(64)]


def _zeros(n_blocks: int) -> bytes:
    return _ZEROS[n_blocks] if n_blocks < len(_ZEROS) else bytes(BLOCK * n_blocks)


def _differ(rows: Words, others: Words, out: Flags) -> Flags | None:
    """Which rows differ from the other one; None where none does.

    ``out`` has a multiple of 8 columns, those beyond the rows' False. Eight answers are looked at as one word:
    ``any(axis=1)`` would take longer than to compare.
    """
    np.not_equal(rows, others, out=out[:, : rows.shape[1]])
    if not out.any():
        return None
    words = out.view(_W)
    found: Flags = words[:, 0] != 0
    for i in range(1, words.shape[1]):
        found |= words[:, i] != 0
    return found


def _sizes(words: Words) -> tuple[Numbers, Words]:
    """Seven octal digits and a NUL each, as numbers; and not zero where it is not that."""
    digits = words ^ _W(0x0030303030303030)
    return _octal(digits << _W(8)).astype(np.int64), digits & _W(0xFFF8F8F8F8F8F8F8)


def _octal(digits: Words) -> Words:
    """Eight octal digits a word, one a byte, the first byte the most significant. Three steps instead of eight."""
    pairs = ((digits & _W(0x000F000F000F000F)) << _W(3)) + ((digits >> _W(8)) & _W(0x000F000F000F000F))
    fours = ((pairs & _W(0x0000FFFF0000FFFF)) << _W(6)) + ((pairs >> _W(16)) & _W(0x0000FFFF0000FFFF))
    return ((fours & _W(0xFFFFFFFF)) << _W(12)) + (fours >> _W(32))


def _byte_sums(words: Words) -> Words:
    """The sum of the eight bytes of each word."""
    pairs = (words & _W(0x00FF00FF00FF00FF)) + ((words >> _W(8)) & _W(0x00FF00FF00FF00FF))
    return (pairs * _W(0x0001000100010001)) >> _W(48)


def _members(
    ordinary: Flags, bounds: Numbers, at: Numbers, size: Numbers, heads: Numbers, is_pax: Flags, is_dir: Flags
) -> Swept:
    members, files = np.flatnonzero(~is_pax), np.flatnonzero(~(is_pax | is_dir))
    starts = (at[files] + 1) * BLOCK
    return Swept(
        ordinary.tolist(),
        heads[members].astype(np.int32).tobytes(),
        np.searchsorted(members, bounds).tolist(),
        np.searchsorted(files, bounds).tolist(),
        starts,
        starts + size[files],
    )
