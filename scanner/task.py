"""One task in a person's hands: :func:`open_task` takes a blob as any dataset gives it, :class:`Task` reads from it.

What a Task says of itself (format, sizes, verifier, faults) is its Record, made by the same probe as a scan's. What is
in it is read lazily: nothing is inflated before it is asked for, and listing the members copies no content.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from scanner.contents import Contents
from scanner.errors import NoMatchError, UsageError
from scanner.faults import FaultKind
from scanner.model import (
    Blob,
    CodecName,
    Fault,
    FormatName,
    Layout,
    Member,
    Record,
    Status,
    VerifierKind,
    printable,
    source_of,
)
from scanner.options import Limits
from scanner.probe import Probe
from scanner.tasks.instruction import in_json
from scanner.tasks.jsontext import parse
from scanner.tasks.signs import HEURISTIC_WORDS
from scanner.tasks.taskyaml import in_yaml
from scanner.tasks.tree import Tree

BlobLike: TypeAlias = "bytes | bytearray | memoryview | str | Sequence[int] | None"
"""A blob as datasets hold it: bytes, base64 text, a list of integers, or null."""

CANDIDATE_ENDS: Final = (".json", ".yaml", ".yml", ".py")
"""Extensions that are worth another point."""


def open_task(
    blob: BlobLike | Mapping[str, Any],
    *,
    path: str = "",
    limits: Limits | None = None,
    path_column: str = "path",
    blob_column: str = "task_binary",
) -> Task:
    """Open one packed task, whatever it is packed with. Usable as a context manager.

    Args:
        blob: Bytes (or anything with the buffer protocol), base64 text, a list of integers, None; or a whole row of a
            dataset, as a mapping with a path and a blob.
        path: Name of the task, for what is shown.
        limits: Bounds on the row; see :class:`scanner.Limits`.
        path_column: Key of the path in a mapping.
        blob_column: Key of the blob in a mapping.

    Returns:
        The Task. A blob that cannot be read is one with ``status == "failed"`` and a fault that says why.

    Raises:
        UsageError: ``blob`` is nothing of the kind.

    >>> open_task('{"rubric": ["is it done?"]}'.encode()).verifier_kind
    'judge-config'
    """
    if isinstance(blob, Mapping):
        if blob_column not in blob:
            raise UsageError(
                f"the row has no {blob_column!r}, only {', '.join(map(repr, blob))}; name yours with blob_column"
            )
        path = path or str(blob.get(path_column) or "")
        blob = blob[blob_column]
    data, flaw = _coerced(blob)
    return Task(Blob(data, path, "", 0, flaw), limits=limits)


class Task:
    """One row of a dataset, opened: what it is (``record`` and the properties below), and the files in it.

    Args:
        blob: The row; its bytes are borrowed for the lifetime of the Task.
        limits: Bounds on the row.
        probe: Makes the Record when it is asked for; share one among many Tasks (it holds 8 MiB).
        record: The Record, where it has been made already.
        arena: Where small rows are inflated to; reused by the next Task that is given it.
    """

    def __init__(
        self,
        blob: Blob,
        *,
        limits: Limits | None = None,
        probe: Probe | None = None,
        record: Record | None = None,
        arena: bytearray | None = None,
    ) -> None:
        self.blob = blob
        self._limits = limits or (probe.limits if probe is not None else Limits())
        self._probe = probe
        self._record = record
        self._arena = arena
        self._contents: Contents | None = None
        self._tree: Tree | None = None

    # -- who it is ----------------------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """The row's path as given."""
        return self.blob.path

    @property
    def file(self) -> str:
        """The file it is from, relative to the dataset root; empty where it is from none."""
        return self.blob.file

    @property
    def row(self) -> int:
        """0-based row within the file."""
        return self.blob.row

    @property
    def source(self) -> str:
        """The source it belongs to: the directory of its file, else its path up to the last ``-``."""
        return source_of(self.blob.file, self.blob.path)

    # -- what it is: its Record ---------------------------------------------------------------------------------------

    @property
    def record(self) -> Record:
        """Everything a scan keeps of the row; made on first use."""
        if self._record is None:
            self._record = (self._probe or Probe(self._limits))(self.blob)[0]
        return self._record

    @property
    def status(self) -> Status:
        """``ok``, ``degraded`` or ``failed``."""
        return self.record.status

    @property
    def codec(self) -> CodecName | None:
        """What it is compressed with."""
        return self.record.codec

    @property
    def format(self) -> FormatName | None:
        """What is inside."""
        return self.record.format

    @property
    def compressed_size(self) -> int:
        """Bytes of the blob."""
        return self.record.compressed_size

    @property
    def raw_size(self) -> int | None:
        """Bytes after the outer codec; None where nothing could be read."""
        return self.record.raw_size

    @property
    def layout(self) -> Layout | None:
        """How the task is laid out."""
        return self.record.layout

    @property
    def verifier_kind(self) -> VerifierKind | None:
        """What verifies it, graded, by structure alone: a verifier that is there may still pass everything."""
        return self.record.verifier_kind

    @property
    def has_verifier(self) -> bool:
        """The well-known heuristic over file names and JSON keys (the column ``heuristic_verifier``)."""
        return bool(self.record.heuristic_verifier)

    @property
    def faults(self) -> Sequence[Fault]:
        """What is wrong with it or worth knowing."""
        return self.record.faults

    # -- what is in it ------------------------------------------------------------------------------------------------

    @property
    def contents(self) -> Contents:
        """The members and where their content lies; listed on first use."""
        if self._contents is None:
            data = self.blob.data
            self._contents = Contents(memoryview(b"") if data is None else data, self._limits, self._arena)
        return self._contents

    def members(self) -> list[Member]:
        """Every member in archive order, of every kind, as its header states it; empty for what is no archive."""
        return list(self.contents.members)

    def names(self) -> list[str]:
        """Names of the files, in archive order and as listed (duplicates and ``./`` included)."""
        return [member.name for member in self.contents.members if member.kind == "file"]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._number(name) is not None

    def read(self, member: str | Member) -> bytes:
        """The content of one file.

        Args:
            member: A Member of :meth:`members`; or a name, as listed or relative to the task's root. Of several files
                with one name the last counts, and links within the task are followed, as after unpacking.

        Raises:
            NoMatchError: There is no such file; the message tells the names that come near.
            SourceError: It cannot be read whole: damaged, encrypted or over a limit.
        """
        number = self._number(member) if isinstance(member, str) else self._number_of(member)
        if number is None:
            raise self._no_such(member if isinstance(member, str) else member.name)
        return bytes(self.contents.read(number))

    def text(self, member: str | Member) -> str:
        """:meth:`read` as text; bytes that are not UTF-8 become U+FFFD."""
        return self.read(member).decode("utf-8", "replace")

    def raw(self) -> bytes:
        """The bytes of a task that is no archive (JSON, text, binary), without its codec; empty for an archive."""
        data = self.blob.data
        return b"" if data is None else self.contents.raw()

    @property
    def instruction(self) -> str | None:
        """What the task asks for, whole: from its own file, or from inside its ``task.yaml`` or JSON."""
        record = self.record
        if record.instruction_file is None:
            parsed = parse(self.raw()) if record.format == "json" else None
            return record.instruction_preview if parsed is None else in_json(parsed.members)
        data = self.read(record.instruction_file)
        if record.instruction_file.endswith((".yaml", ".yml")):
            return in_yaml(data).instruction
        return data.decode("utf-8", "replace")

    def verifier_files(self, n: int = 2) -> list[Member]:
        """The ``n`` best candidates for the verifier, by the notebook's score of telling words and extensions."""
        files = [member for member in self.contents.members if member.kind == "file"]
        scored = sorted(files, key=_score, reverse=True)  # stable: among equals archive order counts
        return [member for member in scored if _words(member)][:n]

    # -- for a person -------------------------------------------------------------------------------------------------

    def show(self) -> None:
        """Print the task: members, metadata, instruction, code and verifier, cut to the terminal."""
        from scanner.explore.text import print_task  # noqa: PLC0415 - rich, for those who look
        from scanner.report.terminal import console  # noqa: PLC0415 - as above

        print_task(self, console())

    def _repr_html_(self) -> str:
        """The task as a notebook shows it."""
        from scanner.explore.html import task_html  # noqa: PLC0415 - for those who look

        return task_html(self)

    def __repr__(self) -> str:
        name = printable(self.path)
        return f"<Task {name!r} from {self.file}:{self.row}>" if self.file else f"<Task {name!r}>"

    def close(self) -> None:
        """Let go of what was inflated. The Task can still be used and inflates again."""
        self._contents = self._tree = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _number(self, name: str) -> int | None:
        """Place of the file that is called ``name``, or that would be there after unpacking."""
        members = self.contents.members
        for number in range(len(members) - 1, -1, -1):
            if members[number].name == name and members[number].kind == "file":
                return number
        if self._tree is None:
            kinds = [member.kind for member in members]
            self._tree = Tree([member.name for member in members], kinds, [member.link for member in members])
        return self._tree.index_of(posixpath.normpath(name) if name else "")

    def _number_of(self, member: Member) -> int | None:
        return next((n for n, each in enumerate(self.contents.members) if each is member), None)

    def _no_such(self, name: str) -> NoMatchError:
        names = [printable(each) for each in self.names()]
        near = get_close_matches(printable(name), names, n=3)
        if near:
            hint = f"did you mean {' or '.join(near)}?"
        else:
            shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            hint = f"it holds {shown}" if names else "it holds no files"
        return NoMatchError(f"{printable(self.path) or 'the task'} has no file {printable(name)!r}; {hint}")


def _words(member: Member) -> int:
    name = member.name.lower()
    return sum(word in name for word in HEURISTIC_WORDS)


def _score(member: Member) -> int:
    return _words(member) + member.name.lower().endswith(CANDIDATE_ENDS)


def _coerced(blob: Any) -> tuple[memoryview | None, FaultKind | None]:
    """The bytes of a blob as a dataset may hold it, or why there are none."""
    if blob is None:
        return None, "null-blob"
    if not isinstance(blob, str | list | tuple):
        try:
            return memoryview(blob).cast("B"), None
        except TypeError:
            raise UsageError(f"a blob is bytes, base64 text or a list of integers, not {type(blob).__name__}") from None
    from scanner.sources.memory import blob_of  # noqa: PLC0415 - pyarrow, only for text and lists

    return blob_of(blob)
