"""The compiled parts of the package: C that ctypes calls, where a compiler was there when the package was installed.

Without it everything works and says the same, more slowly: whoever calls has a way in Python, which is the
specification. The C touches no Python objects, so it needs no headers of Python.
"""

from __future__ import annotations

import ctypes
import importlib.util
from typing import Final

MODULE: Final = "scanner._compiled"
"""Found as an extension module is, but it is not one: nothing imports it."""


VERSION: Final = 1
"""Of what is called here. One more with each change of a signature or a structure, here and in ``tar_quick.c``."""


def library() -> ctypes.CDLL | None:
    """What was compiled; None where nothing was, it cannot be loaded, or it was compiled from other sources."""
    try:
        spec = importlib.util.find_spec(MODULE)
        found = ctypes.CDLL(spec.origin) if spec is not None and spec.origin else None
        return found if found is not None and found.scanner_version() == VERSION else None
    except (ImportError, OSError, AttributeError):
        return None


def address(buffer: bytearray) -> int:
    """Where its bytes lie, as long as it lives and keeps its size."""
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


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
