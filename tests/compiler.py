"""What tests of the compiled parts need: a C compiler, now or when the package was installed."""

from __future__ import annotations

import shutil

import pytest

from scanner import compiled

_HAS_COMPILER = shutil.which("cc") is not None

with_compiler = pytest.mark.skipif(not _HAS_COMPILER, reason="there is no C compiler")

where_compiled = pytest.mark.skipif(
    compiled.library() is None and not _HAS_COMPILER,
    reason="the package was installed without a C compiler",
)
"""Where there is a compiler and nothing was compiled these tests fail: the installation is broken, or old."""
