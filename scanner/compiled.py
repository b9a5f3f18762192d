"""The compiled parts of the package: C that ctypes calls, where a compiler was there when the package was installed.

Without it everything works and says the same, more slowly: whoever calls has a way in Python, which is the
specification. The C touches no Python objects, so it needs no headers of Python.
"""

from __future__ import annotations

import ctypes
import importlib.util
import mmap
from array import array
from typing import Final

MODULE: Final = "scanner._compiled"
"""Found as an extension module is, but it is not one: nothing imports it."""


VERSION: Final = 4
"""Of what is called here. One more with each change of a signature or a structure, here and in ``quick.c``."""

_INT32, _INT64 = 4, 8


def library() -> ctypes.CDLL | None:
    """What was compiled; None where nothing was, it cannot be loaded, or it was compiled from other sources."""
    try:
        spec = importlib.util.find_spec(MODULE)
        found = ctypes.CDLL(spec.origin) if spec is not None and spec.origin else None
        return found if found is not None and found.scanner_version() == VERSION else None
    except (ImportError, OSError, AttributeError):
        return None


def room(n_bytes: int) -> mmap.mmap:
    """Zeros that take no memory before something else is written there: a bytearray writes its own.

    A process that is forked has its own, as of everything else.
    """
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, n_bytes)
    made = mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        made.madvise(mmap.MADV_NOHUGEPAGE)  # where all pages are huge the first byte takes 2 MiB
    return made


def address(buffer: bytearray | array[int] | mmap.mmap) -> int:
    """Where its bytes lie, as long as it lives and keeps its size."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


class _PyBuffer(ctypes.Structure):
    """``Py_buffer``, part of the stable ABI since Python 3.11 (bpo-45459)."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_void_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


class Borrowed:
    """Where the bytes of a buffer lie, read-only ones too: ``with`` would cost a row twice as much.

    ``borrow(data, at, 0)`` fills ``buffer``, and ``give_back(at)`` must follow. Both sides take 0.6 µs, and copy
    nothing (numpy needs 1.4 µs for one side).
    """

    borrow: Final = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_void_p, ctypes.c_int)(
        ("PyObject_GetBuffer", ctypes.pythonapi)
    )
    give_back: Final = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(("PyBuffer_Release", ctypes.pythonapi))

    def __init__(self) -> None:
        self.buffer = _PyBuffer()
        self.at = ctypes.addressof(self.buffer)


def address_of_function(module: str, name: str) -> int | None:
    """Where a function lies that the compiled module of another package exports.

    Raises:
        OSError: the module is not there, or cannot be loaded.
        AttributeError: it does not export that.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise OSError(f"there is no compiled {module}")
    return ctypes.cast(getattr(ctypes.CDLL(spec.origin), name), ctypes.c_void_p).value


class Numbers(ctypes.Structure):
    """``Numbers`` of ``numbers.h``: byte strings that were met, by number. :class:`KeptNumbers` gives it memory."""

    _fields_ = (
        ("bytes", ctypes.c_void_p),
        ("ends", ctypes.c_void_p),
        ("slots", ctypes.c_void_p),
        ("room", ctypes.c_int64),
        ("most", ctypes.c_int64),
        ("slot_bits", ctypes.c_int64),
        ("n", ctypes.c_int64),
    )


class KeptNumbers:
    """The memory of a :class:`Numbers`, which is part of a larger structure. Lives as long as that is used."""

    def __init__(self, of: Numbers, entries: int, room_bytes: int) -> None:
        """For ``entries`` strings of ``room_bytes`` together."""
        self._of = of
        slot_bits = (2 * entries).bit_length()
        self._slots = bytearray(_INT32 << slot_bits)
        self.bytes, self._ends = room(room_bytes), bytearray(_INT64 * (entries + 1))
        of.bytes, of.ends, of.slots = address(self.bytes), address(self._ends), address(self._slots)
        of.room, of.most, of.slot_bits, of.n = room_bytes, entries + 1, slot_bits, 1

    def is_full(self) -> bool:
        """Whether no more will be noted for want of entries."""
        return bool(self._of.n == self._of.most)

    def start_over(self) -> None:
        """Forget all: numbers mean others from now on."""
        self._slots[:] = bytes(len(self._slots))
        self._of.n = 1
