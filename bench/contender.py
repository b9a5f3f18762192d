"""One tree under test, in a process of its own. PYTHONPATH leads to the tree, everything else is of this one.

    python bench/contender.py PACKED serve|count|scan|idle [PASSES]

``serve`` scans the rows in PACKED once for each line on stdin and answers with a line: the processor seconds it took.
The others are those of :mod:`scanner.bench.exact`. Of the tree only what every version has had is used, so that trees
of different ages can be compared.
"""

from __future__ import annotations

import gc
import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

from scanner.options import Limits
from scanner.worker import ScanWork


def exact_of_this_tree() -> Any:
    """The module by its place next to this file, whatever tree ``scanner`` is imported from."""
    path = Path(__file__).parent.parent / "scanner" / "bench" / "exact.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def main(path: str, what: str, *passes: str) -> None:
    exact = exact_of_this_tree()
    if what == "serve":
        serve(list(exact.read_packed(Path(path))))
    else:
        exact.main(path, what, *passes)


def serve(packed: list[memoryview]) -> None:
    gc.disable()
    for _ in sys.stdin:
        work = ScanWork(Limits())
        started = time.process_time()
        for batch in packed:
            work(batch)
        print(time.process_time() - started, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
