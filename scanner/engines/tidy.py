"""For the forkserver alone to import: when it ends, its socket and the folder of it go.

``multiprocess`` leaves that to the parent's exit, and a parent that is killed has none. The forkserver outlives it, for
as long as it takes to see that nobody holds its lifeline any more, so it is the one to clear up. SIGTERM, which a
service manager or ``timeout`` sends to the whole group, must not keep it from that; its children take it again.

It is also where garbage is collected, once for all workers: 33 ms each, before their first batch.

Importing a module is the only way into a forkserver; that is why this one, the last, acts when it is imported.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
from pathlib import Path

from multiprocess import forkserver

from scanner.engines.forkserver import remove_listener


def _remove_own() -> None:
    address = forkserver._forkserver._forkserver_address  # noqa: SLF001 - the one place that knows it
    if isinstance(address, str) and not address.startswith("\0"):
        remove_listener(Path(address))


signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.register_at_fork(after_in_child=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL))
atexit.register(_remove_own)
gc.collect()
gc.freeze()
