"""Numbers as people read them: thousands separated, sizes in decimal units, shares that never round to a lie."""

from __future__ import annotations


def count(n: int) -> str:
    """A whole number.

    >>> count(1739326)
    '1,739,326'
    """
    return f"{n:,}"


def uncounted(n_files: int) -> str:
    """Rows that no account can count, in words.

    >>> uncounted(1)
    'an unknown number of rows in 1 file that could not be read'
    """
    return f"an unknown number of rows in {counted(n_files, 'file')} that could not be read"


def counted(n: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "file"), counted(2000, "row")
    ('1 file', '2,000 rows')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def percent(part: float, whole: float) -> str:
    """A share of ``whole`` with one decimal. All and nothing are said only where they are exact.

    >>> percent(1, 3), percent(99_999, 100_000), percent(1, 100_000), percent(5, 5), percent(0, 0)
    ('33.3 %', '>99.9 %', '<0.1 %', '100 %', 'n/a')
    """
    if not whole:
        return "n/a"
    share = 100 * part / whole
    if share in (0, 100):
        return f"{share:.0f} %"
    return "<0.1 %" if share < 0.05 else ">99.9 %" if share >= 99.95 else f"{share:.1f} %"


def size(n_bytes: float | None) -> str:
    """Bytes in decimal units, three significant digits; ``n/a`` where it is not known.

    >>> size(512), size(4_812), size(8_300_000_000), size(None)
    ('512 B', '4.81 kB', '8.30 GB', 'n/a')
    """
    if n_bytes is None:
        return "n/a"
    if n_bytes < 1000:
        return f"{n_bytes:.0f} B"
    value = float(n_bytes)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    return f"{value:.2f} {unit}" if value < 9.995 else f"{value:.1f} {unit}" if value < 99.95 else f"{value:.0f} {unit}"


def duration(seconds: float) -> str:
    """A span of time in its two largest units.

    >>> duration(0.25), duration(93.4), duration(7_250)
    ('0.2 s', '1 min 33 s', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
