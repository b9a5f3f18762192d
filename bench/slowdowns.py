"""Three ways to make a scan slower that look harmless, put into a copy of a tree: the regression gate must find each.

Each is a function of the module that it is put into, and uses its public names alone. Where one of them has gone the
copy does not work at all, so a gate that is tested against nothing is noticed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final


def copy_a_row(worker: ModuleType) -> None:
    """Every blob is copied once more before anything looks at it."""
    plain = worker.ScanWork.__call__

    def copying(self: Any, packed: memoryview) -> bytes:
        reply: bytes = plain(self, memoryview(bytes(packed)))
        return reply

    worker.ScanWork.__call__ = copying


def checksums_by_sum(quick: ModuleType) -> None:
    """The checksum of every tar header is added up byte by byte."""
    plain = quick.QuickReader.__call__

    def summing(self: Any, data: memoryview, *more: int) -> Any:
        row = plain(self, data, *more)
        arena = self._walker.arena
        for at in range(0, row.raw_size, 512):
            if arena[at + 257 : at + 262] == b"ustar":
                sum(arena[at : at + 512])
        return row

    quick.QuickReader.__call__ = summing


def parse_every_time(memo: ModuleType) -> None:
    """What the task rules have parsed is parsed again: nothing is remembered by its content."""
    remembering: Any = memo.ContentMemo

    class Forgetful(remembering):  # type: ignore[misc] # a class of the tree that is tested
        def __init__(self, read: Callable[[bytes], object], entries: int, **options: Any) -> None:
            super().__init__(read, entries, **options)
            self.again = read

        def __call__(self, content: memoryview, *_: object) -> object:
            return self.again(bytes(content))

    memo.__dict__["ContentMemo"] = Forgetful


SLOWDOWNS: Final[dict[str, tuple[str, Callable[[ModuleType], None]]]] = {
    "copy": ("worker", copy_a_row),
    "checksum": ("quick", checksums_by_sum),
    "parse": ("tasks.memo", parse_every_time),
}
"""Each with the module that it is put into."""


def put_into(tree: Path, slowdown: str) -> None:
    """Make the scanner in ``tree`` slower. The tree keeps a copy of this file, and one module calls it."""
    module, put = SLOWDOWNS[slowdown]
    package = tree / "scanner"
    (package / "slowdowns.py").write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    with (package / f"{module.replace('.', '/')}.py").open("a", encoding="utf-8") as file:
        file.write(f"\n\nimport sys\nfrom scanner import slowdowns\nslowdowns.{put.__name__}(sys.modules[__name__])\n")
