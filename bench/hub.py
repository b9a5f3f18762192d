"""Reading from a Hub with latency and a rate per connection: wall time over the ideal, requests and bytes.

    python -m bench.hub CORPUS [--latency-ms 50] [--mb-per-second 20] [--rounds 3]

The Hub is ``tests/hub_server.py`` in a process of its own, on this machine: it shares the cores with the scan, as a
real one would not. Each round scans the same files from disk and from it; the ideal is the larger of what the network
gives (bytes over the rate of all connections) and of the scan from disk.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

TESTS = Path(__file__).parent.parent / "tests"

_SERVER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from hub_server import hub_of
with hub_of(Path(sys.argv[2]), latency_seconds=float(sys.argv[3]), bytes_per_second=float(sys.argv[4])) as server:
    print(server.url, flush=True)
    for line in sys.stdin:
        print(len(server.requests), server.bytes_asked, flush=True)
        server.requests.clear()
"""


@contextmanager
def hub(corpus: Path, latency_seconds: float, bytes_per_second: float) -> Iterator[subprocess.Popen[str]]:
    """A server process; each line it is sent is answered with the requests and bytes since the last."""
    arguments = [str(TESTS), str(corpus), str(latency_seconds), str(bytes_per_second)]
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        os.environ["HF_ENDPOINT"] = process.stdout.readline().strip()
        try:
            yield process
        finally:
            process.terminate()


def tally(server: subprocess.Popen[str]) -> tuple[int, int]:
    """Requests and bytes since the last call."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write("\n")
    server.stdin.flush()
    requests, asked = server.stdout.readline().split()
    return int(requests), int(asked)


def read(location: str) -> float:
    """Seconds to read all rows of a SOURCE, without scanning them."""
    from scanner.options import Options
    from scanner.sources.opening import open_source

    started = time.perf_counter()
    source = open_source(location, Options())
    plan = source.plan()
    for _ in source.read(plan, range(len(plan.units)), lambda *_: None):
        pass
    return time.perf_counter() - started


def scan(location: str) -> float:
    """Seconds to scan a SOURCE into a Run that is thrown away."""
    import scanner

    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        run = scanner.scan(location, out=Path(folder) / "run")
        assert run.manifest.state == "complete", run.manifest.not_reached
        return time.perf_counter() - started


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--latency-ms", type=float, default=50)
    parser.add_argument("--mb-per-second", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    from scanner.sources.prefetch import CONNECTIONS

    with hub(given.corpus, given.latency_ms / 1000, given.mb_per_second * 1e6) as server:
        read("org/tasks")
        requests, asked = tally(server)
        network = asked / (CONNECTIONS * given.mb_per_second * 1e6)
        print(f"{asked / 1e6:,.1f} MB in {requests} requests; ideal of the network {network:.2f} s")
        ratios: dict[str, list[float]] = {"read": [], "scan": []}
        for _ in range(given.rounds):
            for name, work in (("read", read), ("scan", scan)):
                local, remote = work(str(given.corpus)), work("org/tasks")
                ratios[name].append(remote / max(local, network))
                print(
                    f"{name}: from disk {local:.2f} s, from the Hub {remote:.2f} s, {ratios[name][-1]:.2f} of the ideal"
                )
        for name, values in ratios.items():
            print(f"{name}: median {median(values):.2f} of the ideal")


if __name__ == "__main__":
    main()
