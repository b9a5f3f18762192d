"""What a person sees while a scan runs, on stderr: a live bar on a terminal, a line every ten seconds elsewhere.

The scan only counts (:meth:`Progress.update` adds three integers, once a shard); a thread of its own draws, so that a
bar that does not move still shows that it is alive, and drawing never holds up the work.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import IO, TYPE_CHECKING, Final, Protocol, Self

from scanner.report.figures import duration
from scanner.report.terminal import console as plain_console
from scanner.report.terminal import safe

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

LINE_SECONDS: Final = 10.0
"""Between two lines where there is no terminal."""

DRAWS_PER_SECOND: Final = 5.0

WINDOW_SECONDS: Final = 15.0
"""Rates are of the last so many seconds: rows taken from an interrupted scan come at once and would distort a mean."""


class Progress(Protocol):
    """What the scan tells of itself. A context manager; the methods may be called from its thread alone."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def update(self, rows: int, blob_bytes: int, faults: int) -> None:
        """So many more rows, compressed bytes and rows with a fault are done. Called once a shard."""

    def note(self, text: str) -> None:
        """Tell of one event in a line: a worker that died, a retry, a resume."""


def progress_for(
    format: str,  # noqa: A002 - the option's name
    *,
    planned_rows: int | None,
    planned_bytes: int | None = None,
    workers: int | None = None,
    stream: IO[str] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Progress:
    """The Progress of a scan with ``--format format``: ``human`` shows it, ``json`` and ``quiet`` do not.

    Args:
        format: Value of ``--format``.
        planned_rows: Rows of the plan, what is on disk already included; None where it is unknown (a stream).
        planned_bytes: Compressed bytes of those rows; what remains is then estimated from bytes rather than rows.
        workers: Shown, where known.
        stream: Where to write; stderr by default.
        clock: Seconds that never go back.
    """
    if format != "human":
        return Silent()
    meter = Meter(planned_rows, planned_bytes, workers, clock)
    console = plain_console(stream, stderr=stream is None)
    if console.is_terminal and not console.is_dumb_terminal:
        return Bar(meter, console)
    return Lines(meter, console)


def teller_for(format: str, stream: IO[str] | None = None) -> Callable[[str], None]:  # noqa: A002 - as above
    """What tells of waits, a line each, while the plan is made and nobody knows its rows: there is no Progress yet.

    The function may be called from any thread.
    """
    if format != "human":
        return lambda _: None
    console = plain_console(stream, stderr=stream is None)
    return lambda text: console.print(f"scanner: {safe(text)}", soft_wrap=True)


class Silent:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to end."""

    def update(self, rows: int, blob_bytes: int, faults: int) -> None:
        """Nothing to show."""

    def note(self, text: str) -> None:
        """Nothing to show."""


class Meter:
    """The counts so far, their rates over :data:`WINDOW_SECONDS` and the time that is left."""

    def __init__(
        self, planned_rows: int | None, planned_bytes: int | None, workers: int | None, clock: Callable[[], float]
    ) -> None:
        self.planned_rows = planned_rows
        self.planned_bytes = planned_bytes
        self.workers = workers
        self.rows = self.blob_bytes = self.faults = 0
        self.clock = clock
        self.started = clock()
        self._samples: deque[tuple[float, int, int]] = deque([(self.started, 0, 0)])

    def update(self, rows: int, blob_bytes: int, faults: int) -> None:
        """Count."""
        self.rows += rows
        self.blob_bytes += blob_bytes
        self.faults += faults

    def rates(self) -> tuple[float, float]:
        """Rows and bytes a second of late. Takes a sample: called once a drawing."""
        now = self.clock()
        samples = self._samples
        samples.append((now, self.rows, self.blob_bytes))
        while len(samples) > 2 and now - samples[1][0] >= WINDOW_SECONDS:
            samples.popleft()
        then, rows, blob_bytes = samples[0]
        seconds = now - then
        return ((self.rows - rows) / seconds, (self.blob_bytes - blob_bytes) / seconds) if seconds > 0 else (0.0, 0.0)

    def share(self) -> float | None:
        """Part of the planned rows that is done, 0 to 1; None where the plan is unknown."""
        if self.planned_rows is None:
            return None
        return min(self.rows / self.planned_rows, 1.0) if self.planned_rows else 1.0

    def seconds_left(self, rows_rate: float, bytes_rate: float) -> float | None:
        """Time to the end at these rates, in seconds; None where it cannot be told.

        By bytes where they are planned: sources differ tenfold in the size of a row.
        """
        if self.planned_rows is not None and self.rows >= self.planned_rows:
            return 0.0
        if self.planned_bytes is not None and bytes_rate > 0:
            return max(self.planned_bytes - self.blob_bytes, 0) / bytes_rate
        if self.planned_rows is not None and rows_rate > 0:
            return (self.planned_rows - self.rows) / rows_rate
        return None

    def figures(self) -> tuple[list[str], list[str]]:
        """What there is to say, in short pieces: what is done, and how far that is. Takes a sample."""
        rows_rate, bytes_rate = self.rates()
        left = self.seconds_left(rows_rate, bytes_rate)
        share, planned = self.share(), self.planned_rows
        done = [
            _counted(self.rows, "row") if planned is None else f"{self.rows:,} of {_counted(planned, 'row')}",
            f"{_mb(self.blob_bytes)} MB",
            f"{rows_rate:,.0f} rows/s",
            f"{_mb(bytes_rate)} MB/s",
            _counted(self.faults, "fault"),
        ]
        ahead = [f"{int(share * 100)} %"] if share is not None else []
        if left is not None:
            ahead.append(f"{duration(left)} left")
        if self.workers is not None:
            ahead.append(_counted(self.workers, "worker"))
        return done, ahead

    def last(self) -> str:
        """The whole in one sentence."""
        seconds = duration(self.clock() - self.started)
        rows, faults = _counted(self.rows, "row"), _counted(self.faults, "fault")
        return f"{rows}, {_mb(self.blob_bytes)} MB in {seconds}, {faults}"


class Lines:
    """A plain line every :data:`LINE_SECONDS` and one at the end: for logs, CI and pipes."""

    def __init__(self, meter: Meter, console: Console) -> None:
        self.meter = meter
        self._console = console
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="scanner-progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if error is None or self.meter.rows:  # what failed before its first row has nothing to sum up
            self._print(self.meter.last())

    def _beat(self) -> None:
        while not self._stop.wait(LINE_SECONDS):
            self.draw()

    def draw(self) -> None:
        """Write the line of now."""
        done, ahead = self.meter.figures()
        self._print(", ".join([*done, *ahead]))

    def _print(self, text: str) -> None:
        self._console.print(f"scanner: {text}", soft_wrap=True)

    def update(self, rows: int, blob_bytes: int, faults: int) -> None:
        """Count."""
        self.meter.update(rows, blob_bytes, faults)

    def note(self, text: str) -> None:
        """Write a line now."""
        self._print(safe(text))


class Bar:
    """A bar and a line of figures that stay in place while notes pass above them; gone once the scan ends."""

    def __init__(self, meter: Meter, console: Console) -> None:
        from rich.live import Live  # noqa: PLC0415 - only where there is a terminal

        self.meter = meter
        self._console = console
        self._live = Live(
            console=console,
            refresh_per_second=DRAWS_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            get_renderable=self.draw,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def draw(self) -> RenderableType:
        """The bar of now and its figures: two lines, at most 100 columns wide."""
        from rich.console import Group  # noqa: PLC0415 - as above
        from rich.progress_bar import ProgressBar  # noqa: PLC0415 - as above
        from rich.table import Table  # noqa: PLC0415 - as above
        from rich.text import Text  # noqa: PLC0415 - as above

        width = min(self._console.width, 100)
        done, ahead = self.meter.figures()
        share = self.meter.share()
        first = Table.grid(padding=(0, 1))
        right = _fitting(ahead, width - 11)
        bar_width = max(width - len(right) - 1, 10)
        first.add_row(ProgressBar(1.0, share or 0.0, bar_width, pulse=share is None), right)
        return Group(first, Text(_fitting(done, width), no_wrap=True, overflow="ellipsis"))

    def update(self, rows: int, blob_bytes: int, faults: int) -> None:
        """Count."""
        self.meter.update(rows, blob_bytes, faults)

    def note(self, text: str) -> None:
        """Write a line above the bar."""
        self._console.print(safe(text), soft_wrap=True)


def _fitting(parts: list[str], width: int) -> str:
    """The first of ``parts``, and as many more as fit a line of ``width`` columns."""
    line = "".join(parts[:1])
    for part in parts[1:]:
        if len(line) + 3 + len(part) <= width:
            line += " · " + part
    return line


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _mb(size_bytes: float) -> str:
    return f"{size_bytes / 1e6:,.1f}" if size_bytes < 1e8 else f"{size_bytes / 1e6:,.0f}"
