"""``make bench``: the suites, then everything side by side; one table each, saved as JSON in ``out/bench``.

python -m bench [--rows 50000] [--pairs 7] [--corpus pax]... [--only suites|side-by-side] [--release v0.1.0]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import side_by_side
from bench.corpora import HOME, ROOT, names
from bench.record import commit, save, warn_if_busy
from scanner.bench.ratios import PAIRS
from scanner.manifest import now_utc


def suites() -> list[dict[str, Any]]:
    """Run the pytest-benchmark suites; a row of the table each: name, and µs a row or of the whole."""
    HOME.mkdir(parents=True, exist_ok=True)
    out = HOME / "suites.json"
    options = ["-q", "-o", "python_files=bench_*.py", "-p", "no:cacheprovider", "--benchmark-quiet"]
    command = [sys.executable, "-m", "pytest", "bench", *options, f"--benchmark-json={out}"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the suites failed:\n{done.stdout}{done.stderr}")
    found = json.loads(out.read_text())["benchmarks"]
    return [
        {
            "suite": Path(each["fullname"].partition("::")[0]).stem.removeprefix("bench_"),
            "name": each["name"].removeprefix("test_"),
            "us_per_row": each["extra_info"].get("us_per_row"),
            "median_seconds": each["stats"]["median"],
            "iqr_share": each["stats"]["iqr"] / each["stats"]["median"],
        }
        for each in found
    ]


def show(results: list[dict[str, Any]]) -> str:
    """The suites as a table: parts in processor time, the whole in wall time; medians."""
    lines = [f"{'':43}{'µs/row':>10}{'whole, ms':>12}{'spread':>9}"]
    for each in results:
        per_row = f"{each['us_per_row']:.2f}" if each["us_per_row"] is not None else ""
        whole, spread = each["median_seconds"] * 1e3, each["iqr_share"]
        lines.append(f"{each['suite']:10}{each['name'][:32]:33}{per_row:>10}{whole:>12.2f}{spread:>9.0%}")
    return "\n".join(lines)


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000, help="of the corpora that come in any size")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--corpus", action="append", choices=names())
    parser.add_argument("--only", choices=["suites", "side-by-side"])
    parser.add_argument("--release", help="a wheel, commit, tag or version of this scanner to be measured beside it")
    options = parser.parse_args()
    warn_if_busy()
    figures: dict[str, Any] = {}
    if options.only != "side-by-side":
        figures["suites"] = suites()
        print(show(figures["suites"]), end="\n\n", flush=True)
    if options.only != "suites":
        figures["side_by_side"] = side_by_side.measure_all(
            options.corpus or names(), options.rows, options.pairs, options.release
        )
    save(figures, HOME / f"{now_utc()[:10]}-{commit().rstrip('+')}.json")


if __name__ == "__main__":
    main()
