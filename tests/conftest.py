"""What all tests share: properties that no slow machine fails (timing belongs to bench/), and the data nearby."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SHARED = Path(__file__).parent.parent.parent / "shared"

settings.register_profile("scanner", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("scanner")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell starts what it puts into the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def real_corpus() -> Path:
    """892 real tasks in the dataset's layout, where they are at hand."""
    folder = SHARED / "corpora" / "real"
    if not folder.is_dir():
        pytest.skip("the real tasks are not next to the project")
    return folder
