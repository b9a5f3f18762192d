"""Progress: rates, time left, lines for logs, a bar for terminals. The clock is the test's."""

from __future__ import annotations

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from scanner.progress import WINDOW_SECONDS, Bar, Lines, Meter, Progress, Silent, progress_for
from scanner.report.terminal import console


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 80 columns with colours."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    return Terminal()


def test_rates_are_of_late(clock: Clock) -> None:
    """A burst of rows from an interrupted scan does not count for ever."""
    meter = Meter(None, None, None, clock)
    meter.update(1_000_000, 0, 0)
    for _ in range(40):
        clock.now += 1.0
        meter.update(100, 5_000, 0)
        rates = meter.rates()
    assert rates == pytest.approx((100, 5_000))
    assert meter.rows == 1_004_000
    assert WINDOW_SECONDS < 40


def test_rates_without_time(clock: Clock) -> None:
    """The first drawing comes before any time has passed."""
    assert Meter(10, 10, 1, clock).rates() == (0.0, 0.0)


LEFT = {
    "by rows": (1_000, None, 100, 5_000, 9.0),
    "by bytes": (1_000, 20_000, 100, 5_000, 3.0),
    "more bytes than planned": (1_000, 4_000, 100, 5_000, 0.0),
    "done": (100, 20_000, 100, 5_000, 0.0),
    "more than planned": (50, None, 100, 5_000, 0.0),
    "nothing yet": (1_000, 20_000, 0, 0, None),
    "unknown plan": (None, None, 100, 5_000, None),
}


@pytest.mark.parametrize(("rows", "size", "done", "done_bytes", "left"), LEFT.values(), ids=LEFT)
def test_seconds_left(
    clock: Clock, rows: int | None, size: int | None, done: int, done_bytes: int, left: float | None
) -> None:
    """After one second of work: by bytes where they are planned, else by rows, never below zero."""
    meter = Meter(rows, size, None, clock)
    meter.update(done, done_bytes, 0)
    clock.now += 1.0
    assert meter.seconds_left(*meter.rates()) == left


@pytest.mark.parametrize(("planned", "done", "share"), [(None, 5, None), (0, 0, 1.0), (10, 5, 0.5), (10, 12, 1.0)])
def test_share(clock: Clock, planned: int | None, done: int, share: float | None) -> None:
    """The part that is done is known where the plan is, and never above one."""
    meter = Meter(planned, None, None, clock)
    meter.update(done, 0, 0)
    assert meter.share() == share


def test_lines_for_logs(clock: Clock) -> None:
    """Without a terminal: a plain line now and then, events as they come, one line at the end."""
    out = io.StringIO()
    progress = progress_for("human", planned_rows=2_000, planned_bytes=10_000_000, workers=2, stream=out, clock=clock)
    assert isinstance(progress, Lines)
    with progress:
        clock.now += 10.0
        progress.update(500, 2_500_000, 3)
        progress.draw()
        progress.note("worker 1 died of SIGKILL while it read \x1b[2Jrow 7")
    assert out.getvalue().splitlines() == [
        "scanner: 500 of 2,000 rows, 2.5 MB, 50 rows/s, 0.2 MB/s, 3 faults, 25 %, 30.0 s left, 2 workers",
        r"scanner: worker 1 died of SIGKILL while it read \x1b[2Jrow 7",
        "scanner: 500 rows, 2.5 MB in 10.0 s, 3 faults",
    ]


def test_lines_are_not_wrapped(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log has no width."""
    monkeypatch.setenv("COLUMNS", "30")
    out = io.StringIO()
    with progress_for("human", planned_rows=10**9, stream=out, clock=clock) as progress:
        progress.note("x " * 100)
    assert len(out.getvalue().splitlines()) == 2


def test_a_scan_that_raises_ends_its_lines(clock: Clock) -> None:
    """The last line comes however the scan ends once a row is done, and the exception passes."""
    out = io.StringIO()
    progress = progress_for("human", planned_rows=5, stream=out, clock=clock)
    progress.update(1, 10, 0)
    with pytest.raises(KeyboardInterrupt), progress:
        raise KeyboardInterrupt
    assert out.getvalue() == "scanner: 1 row, 0.0 MB in 0.0 s, 0 faults\n"


def test_a_scan_that_fails_before_its_first_row_sums_up_nothing(clock: Clock) -> None:
    """The error's own sentence is all there is to say then."""
    out = io.StringIO()
    with pytest.raises(ValueError, match="no"), progress_for("human", planned_rows=5, stream=out, clock=clock):
        raise ValueError("no")
    assert not out.getvalue()


@pytest.mark.parametrize("width", [30, 60, 80, 160])
@pytest.mark.parametrize("planned", [None, 0, 1_739_326])
def test_the_bar_fits(clock: Clock, width: int, planned: int | None) -> None:
    """Two lines, no wider than the terminal; figures that do not fit are left out, the rows never."""
    bar = Bar(Meter(planned, 8_300_000_000, 64, clock), Console(file=io.StringIO(), width=width))
    bar.update(748_912, 3_581_000_000, 12)
    clock.now += 35.0
    out = io.StringIO()
    console(out, width=width).print(bar.draw())
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert max(map(cell_len, lines)) <= width
    assert lines[1].startswith("748,912 ")


def test_the_bar_says_it_all_in_80_columns(clock: Clock) -> None:
    """Rows, MB, rows/s, MB/s, faults, percent, time left and workers have room on an ordinary terminal."""
    bar = Bar(Meter(1_739_326, 8_300_000_000, 8, clock), Console(file=io.StringIO(), width=80))
    bar.update(748_912, 3_581_000_000, 12)
    clock.now += 35.0
    out = io.StringIO()
    console(out, width=80).print(bar.draw())
    first, second = out.getvalue().splitlines()
    assert first.endswith(" 43 % · 46.1 s left · 8 workers")
    assert second.rstrip() == "748,912 of 1,739,326 rows · 3,581 MB · 21,397 rows/s · 102 MB/s · 12 faults"


def test_the_bar_leaves_only_its_notes(terminal: Terminal, clock: Clock) -> None:
    """On a terminal the bar is drawn, notes pass above it, and at the end it is wiped away."""
    with progress_for("human", planned_rows=100, stream=terminal, clock=clock) as progress:
        assert isinstance(progress, Bar)
        progress.update(50, 1_000, 0)
        progress.note("resumed: 50 rows were on disk")
    written = terminal.getvalue()
    assert "50 of 100 rows" in written
    assert "resumed: 50 rows were on disk" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written)
    assert written.endswith("\x1b[2K")


def test_a_dumb_terminal_gets_lines(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Where the cursor cannot move there is no bar."""
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress_for("human", planned_rows=1, stream=terminal, clock=clock), Lines)


@pytest.mark.parametrize("format_", ["json", "quiet"])
def test_silence(format_: str, terminal: Terminal) -> None:
    """With --format json and quiet nothing is written, not even to a terminal."""
    progress: Progress = progress_for(format_, planned_rows=10, stream=terminal)
    assert isinstance(progress, Silent)
    with progress:
        progress.update(10, 10, 10)
        progress.note("a worker died")
    assert terminal.getvalue() == ""
