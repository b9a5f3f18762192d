"""The figures of ``scanner bench`` as a person reads them."""

from __future__ import annotations

from collections.abc import Iterator

from scanner.bench.measure import Figures


def text(figures: Figures) -> str:
    """A short table, where the time goes, and what limits it."""
    return "\n".join(_lines(figures))


def _lines(figures: Figures) -> Iterator[str]:
    n = figures.rows
    machine = figures.machine
    kilobytes, raw_kilobytes = figures.blob_bytes / n / 1e3, figures.raw_bytes / n / 1e3
    yield f"{figures.source}: {n:,} rows of {kilobytes:.1f} kB, {raw_kilobytes:.1f} kB raw"
    yield f"{machine['cpu']}, {machine['cores']} cores, load {figures.load}; medians, {figures.efficiency.pairs} rounds"
    yield ""
    yield f"{'':24}{'µs cpu/row':>12}{'µs wall/row':>13}{'rows/s':>11}   faster than one process"
    yield f"{'floor: inflate only':24}{figures.floor_cpu_us:>12.1f}"
    for scan in figures.scans:
        name = f"scan, {scan.workers} worker{'s' * (scan.workers != 1)}" if scan.workers else "scan, one process"
        faster = str(scan.speedup) if scan.workers else ""
        yield f"{name:24}{scan.cpu_us:>12.1f}{scan.wall_us:>13.1f}{scan.rows_per_second:>11,.0f}   {faster}"
    yield ""
    yield f"efficiency: {figures.efficiency} times the floor (processor time, one process)"
    if figures.stages_us:
        total = sum(figures.stages_us.values())
        stages = ", ".join(f"{name} {us:.1f} ({us / total:.0%})" for name, us in figures.stages_us.items())
        yield f"where it goes, µs a row: {stages}"
    exact = figures.exact
    counted = f"{exact.bytecodes_per_row:,.0f} bytecodes and {exact.calls_per_row:,.0f} calls a row"
    copies = "1 copy" if exact.copies == 1 else f"{exact.copies} copies"
    yield f"counted on {exact.rows:,} rows: {counted}, {copies} of a blob"
    machine_counts = {"allocations": exact.allocations_per_row, "instructions": exact.instructions_per_row}
    if any(machine_counts.values()):
        yield " and ".join(f"{n:,.0f} {what}" for what, n in machine_counts.items() if n is not None) + " a row"
    yield ""
    yield figures.verdict
