"""What libraries read from the environment when they are loaded, for commands and for what measures them.

A notebook's process is not ours, and keeps what it has. What a person has set stays.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SETTINGS: Final = {
    "OPENBLAS_NUM_THREADS": "1",  # numpy's threads would wait for work, busily
    # Peaks of a scan of 50,000 and of 400,000 rows: 191 and 203 MB, with Arrow's default 239 and 260, which also has
    # the kernel clear 10 kB of new memory for each row: 5 to 10 µs.
    "ARROW_DEFAULT_MEMORY_POOL": "jemalloc" if sys.platform == "linux" else "system",
}


def settle() -> None:
    """Set them for this process and those it starts: before numpy and pyarrow are loaded."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


@contextmanager
def settled() -> Iterator[None]:
    """Set them for the processes that are started meanwhile, so that they are as those of a command."""
    missing = [name for name in SETTINGS if name not in os.environ]
    settle()
    try:
        yield
    finally:
        for name in missing:
            del os.environ[name]
