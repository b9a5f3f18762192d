"""The door to ``gist.c``: tasks that mean the same as one that was read, found before anything of them is an object.

Of the tasks of one template most differ in their instruction and their JSON alone, and in what no rule looks at. What
the rules do look at, as far as they tell tasks apart by it, is the task's gist: which texts its task.toml is like, the
image of its Dockerfile, line ends of its scripts. Where nothing was compiled each task is read.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable
from typing import Final

from scanner import compiled
from scanner.compiled import KeptNumbers, Numbers, address
from scanner.tasks.outline_quick import LikeTexts
from scanner.tasks.shape import Shape

_CONFIG, _DOCKERFILE, _WHOLE, _SCRIPT, _ENTRY, _LOOKS = range(6)
"""How ``gist.c`` looks at a file."""

_KEY_BYTES: Final = 4096
_ROOM_PER_ENTRY: Final = 256
_FULL: Final = -1


def looks_of(seen: Shape) -> list[int] | None:
    """What ``gist.c`` is to look at in tasks with these names; None where they have no gist.

    A task has none where more of it decides: an ignore file, a link, another .toml, or no instruction.md. What its
    JSON says is for the caller to see (:func:`scanner.tasks.documents.told_by`).
    """
    if seen.instruction is None or seen.tree.has_ignore_file or seen.tree.links or seen.tomls:
        return None
    looks = [(seen.task_toml, _CONFIG), (seen.dockerfile, _DOCKERFILE), *((index, _WHOLE) for index in seen.yamls)]
    looks += [(index, _ENTRY if is_entry else _SCRIPT) for index, is_entry in seen.scripts]
    return [_LOOKS * index + how for index, how in looks if index is not None]


class _Gists(ctypes.Structure):
    """``Gists`` of ``gist.c``."""

    _fields_ = (
        ("walk", ctypes.c_void_p),
        ("outlines", ctypes.c_void_p),
        ("gists", Numbers),
        ("key", ctypes.c_void_p),
        ("key_room", ctypes.c_int64),
    )


class Gists:
    """Numbers of the gists of what one walker walks. All calls hold Python's lock."""

    def __init__(self, library: ctypes.CDLL, walk_at: int, likes: LikeTexts, entries: int) -> None:
        """``walk_at``: see :attr:`scanner.formats.tar_quick.QuickWalker.at`. ``entries``: how many are remembered."""
        self._find = ctypes.PYFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)(
            ("scanner_gist", library)
        )
        self._key, self._likes = bytearray(_KEY_BYTES), likes  # as their addresses are given away
        self._gists = _Gists(walk_at, likes.at, key=address(self._key), key_room=_KEY_BYTES)
        self._kept = KeptNumbers(self._gists.gists, entries, _ROOM_PER_ENTRY * entries)
        self._at = ctypes.addressof(self._gists)

    @staticmethod
    def pack(template: int, looks: Iterable[int]) -> bytes:
        """What :meth:`find` and :meth:`note` take: ``looks`` (:func:`looks_of`) for the template of this number."""
        numbers = [template, *looks]
        return struct.pack(f"={len(numbers)}i", *numbers)

    def find(self, looks: bytes) -> int:
        """The number of the gist of what was walked last; 0 where none was noted. Runs once a row; 2 µs."""
        number: int = self._find(self._at, looks, len(looks) // 4, 0)
        return number

    def note(self, looks: bytes) -> int | None:
        """The number of such tasks from now on: one more than the last one, or one that was given; 0 where it has none.

        None where there is no room: then :meth:`start_over`.
        """
        number: int = self._find(self._at, looks, len(looks) // 4, 1)
        return None if number == _FULL else number

    def start_over(self) -> None:
        """Forget all: numbers mean others from now on."""
        self._kept.start_over()


def gists(walk_at: int, likes: LikeTexts | None, entries: int) -> Gists | None:
    """See :class:`Gists`; None where nothing was compiled."""
    library = compiled.library()
    return None if library is None or likes is None else Gists(library, walk_at, likes, entries)
