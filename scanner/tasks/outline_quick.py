"""The door to what ``outline.c`` remembers: which texts are like one that was judged, in a third of Python's time.

It is told the outlines that Python made (:mod:`scanner.tasks.outline`), and tells texts apart as
:meth:`~scanner.tasks.outline.Outline.key` does, or finer. Where nothing was compiled all is asked of Python.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Final

from scanner import compiled
from scanner.compiled import KeptNumbers, Numbers, address
from scanner.tasks.outline import MAX_BYTES, NOT_EMPTY, ORG_NAME, Slots

_RULES: Final = {NOT_EMPTY: 1, ORG_NAME: 2}
"""How ``outline.c`` calls them; 0 is a rule by which only equal strings are alike."""

_ROOM_PER_ENTRY: Final = 1024
_SLOTS_PER_ENTRY: Final = 32


class _Outlines(ctypes.Structure):
    """``Outlines`` of ``outline.c``."""

    _fields_ = (
        ("skeletons", Numbers),
        ("keys", Numbers),
        ("slots_end", ctypes.c_void_p),
        ("slots", ctypes.c_void_p),
        ("rules", ctypes.c_void_p),
        ("slots_room", ctypes.c_int64),
        ("quotes", ctypes.c_void_p),
        ("skeleton", ctypes.c_void_p),
        ("key", ctypes.c_void_p),
        ("most_bytes", ctypes.c_int64),
        ("configs", ctypes.c_void_p),
    )


class LikeTexts:
    """Texts that were judged, and the number of each kind. All calls hold Python's lock."""

    def __init__(self, library: ctypes.CDLL, entries: int) -> None:
        """For as many outlines, and as many kinds of texts. Raise AttributeError where ``library`` is another one."""
        pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int32
        text = ctypes.c_char_p
        self._like = ctypes.PYFUNCTYPE(number, pointer, text, size, ctypes.c_int)(("scanner_like", library))
        self._note_outline = ctypes.PYFUNCTYPE(number, pointer, text, size, text, text, size)(
            ("scanner_note_outline", library)
        )
        slots_room = _SLOTS_PER_ENTRY * entries
        slots_end, slots, rules = bytearray(4 * (entries + 1)), bytearray(4 * slots_room), bytearray(slots_room)
        quotes, skeleton, key = bytearray(4 * MAX_BYTES), bytearray(MAX_BYTES), bytearray(4 * MAX_BYTES)
        configs = bytearray(4 * (entries + 1))
        places = slots_end, slots, rules, quotes, skeleton, key, configs
        self._outlines = _Outlines()
        self._kept = [
            KeptNumbers(self._outlines.skeletons, entries, _ROOM_PER_ENTRY * entries),
            KeptNumbers(self._outlines.keys, entries, _ROOM_PER_ENTRY * entries),
        ]
        self._outlines.slots_room, self._outlines.most_bytes = slots_room, MAX_BYTES
        names = "slots_end", "slots", "rules", "quotes", "skeleton", "key", "configs"
        for name, place in zip(names, places, strict=True):
            setattr(self._outlines, name, address(place))
        self._configs = memoryview(configs).cast("i")
        self._places = places  # as their addresses are given away
        self.at = ctypes.addressof(self._outlines)
        """Of what ``gist.c`` looks up, too."""

    def find(self, text: bytes) -> int:
        """The number of the texts that this one, of at most :data:`MAX_BYTES` bytes, is like; 0 where none was noted.

        Runs once a task; 1.2 µs for a kB.
        """
        number: int = self._like(self.at, text, len(text), 0)
        return number

    def note(self, text: bytes) -> int:
        """The number of such texts from now on: one more than the last one, or one that was given. 0: no room."""
        number: int = self._like(self.at, text, len(text), 1)
        return number

    def note_config(self, number: int, config: int) -> None:
        """Let ``gist.c`` know texts of this number by what they say, which has a number of its own."""
        self._configs[number] = config

    def note_outline(self, skeleton: bytes, slots: Slots) -> None:
        """Texts with this skeleton may be noted from now on, unless there is no room."""
        quotes = struct.pack(f"={len(slots)}i", *[at for at, _ in slots])
        rules = bytes([_RULES.get(alike, 0) for _, alike in slots])
        self._note_outline(self.at, skeleton, len(skeleton), quotes, rules, len(slots))

    def start_over(self) -> None:
        """Forget all: numbers mean others from now on."""
        self._configs[:] = memoryview(bytes(self._configs.nbytes)).cast("i")
        for kept in self._kept:
            kept.start_over()


def like_texts(entries: int) -> LikeTexts | None:
    """One for as many outlines; None where ``outline.c`` was not compiled."""
    library = compiled.library()
    return None if library is None else LikeTexts(library, entries)
