"""The notebook's slice: its seven columns, of which the last is not in the records and is read from the rows again.

The notebook previews the longest ``.json``, ``.md`` or ``.txt`` file of a task, which need not be its instruction. So
the rows that are wanted are inflated once more, in this process: 0.1 ms a row.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from scanner.errors import ScannerError, SourceError
from scanner.explore import Explorer
from scanner.explore.find import asked_of, check_unchanged
from scanner.explore.seek import Place
from scanner.model import Member
from scanner.options import SMALL_BYTES
from scanner.run import Run
from scanner.task import Task

NOTEBOOK: Final = pa.schema(
    [
        ("path", pa.string()),
        ("source", pa.string()),
        ("is_verified", pa.bool_()),
        ("n_files", pa.int32()),
        ("compressed_kb", pa.float64()),
        ("raw_kb", pa.float64()),
        ("instruction_preview", pa.string()),
    ]
)
"""The seven columns of the notebook's slice, in its order. 1 kB is 1,000 bytes."""

NOTEBOOK_READS: Final = (
    "path",
    "source",
    "heuristic_verifier",
    "n_files",
    "compressed_size",
    "raw_size",
    "file",
    "row",
)
"""The record columns that :class:`NotebookRows` needs."""

TEXT_ENDS: Final = (".json", ".md", ".txt")
PREVIEW_CHARS: Final = 300


class NotebookRows:
    """Makes the notebook's columns of records of ``run``, whose source is opened again.

    Raises:
        SourceError: The source is not there any more, is none that single rows can be read from, or has changed.
    """

    def __init__(self, run: Run) -> None:
        try:
            self._explorer = Explorer(run.manifest.source, **asked_of(run))
        except ScannerError as error:
            raise SourceError(f"--notebook reads the rows again, for their previews, and cannot: {error}") from error
        self._arena = bytearray(SMALL_BYTES)
        check_unchanged(run, self._explorer.rows.plan.inputs)

    def of(self, records: pa.Table) -> pa.Table:
        """The notebook's table of ``records``, which are in plan order and have :data:`NOTEBOOK_READS`."""
        named = pc.match_substring(records["source"], "verifier", ignore_case=True)
        columns = [
            records["path"],
            records["source"],
            pc.or_(pc.fill_null(records["heuristic_verifier"], fill_value=False), named),
            records["n_files"],
            pc.divide(records["compressed_size"].cast(pa.float64()), 1000.0),
            pc.divide(records["raw_size"].cast(pa.float64()), 1000.0),
            self._previews(records),
        ]
        return pa.Table.from_arrays(columns, schema=NOTEBOOK)

    def _previews(self, records: pa.Table) -> pa.Array:
        rows = self._explorer.rows
        places = zip(records["file"].to_pylist(), records["row"].to_pylist(), strict=True)
        numbers = [rows.number_of(Place(file, row)) for file, row in places]
        previews = (
            longest_text(Task(blob, limits=self._explorer.limits, arena=self._arena)) for blob in rows.blobs(numbers)
        )
        return pa.array(list(previews), pa.string(), from_pandas=False)


def longest_text(task: Task) -> str | None:
    """The first 300 characters of the longest file with one of :data:`TEXT_ENDS`; None where there is none to read.

    Of equally long files the first counts, and of several with one name the last, as in a dict of files by name.
    """
    files: dict[str, Member] = {each.name: each for each in task.members() if each.kind == "file"}
    texts = [member for name, member in files.items() if name.endswith(TEXT_ENDS)]
    if not texts:
        return None
    try:
        data = task.read(max(texts, key=lambda member: member.size_bytes))
    except SourceError:  # damaged: the record says so
        return None
    # What 300 characters take at most; a character that is cut off here lies behind them.
    return data[: 4 * PREVIEW_CHARS].decode("utf-8", "replace")[:PREVIEW_CHARS]
