"""The nouns: Blob, Batch, Unit, Member, Fault, Record. Everything else in the package speaks in these.

A row of the dataset travels as a :class:`Blob` (borrowed bytes and who they are), inside a :class:`Batch` (consecutive
blobs over one buffer, what crosses the process boundary), cut from a :class:`Unit` (what is planned, accounted and
resumed). Scanning a blob gives a :class:`Record` (kept) and a :class:`Census` (counted, then forgotten). On the way
they are one :class:`Reading`: what the bytes say, whoever carries them, most of it a :class:`Common` shared by rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from scanner.faults import FaultKind

SCHEMA_VERSION = 1
"""Version of the record columns, of ``stats.json`` and of the shards. A Run of another version is never mixed in."""

Status: TypeAlias = Literal["ok", "degraded", "failed"]
CodecName: TypeAlias = Literal["none", "gzip", "zstd", "bzip2", "xz", "lz4"]
FormatName: TypeAlias = Literal["tar", "zip", "json", "jsonl", "text", "binary", "empty"]
MemberKind: TypeAlias = Literal["file", "dir", "symlink", "hardlink", "device", "fifo", "other"]
Layout: TypeAlias = Literal["harbor", "harbor-steps", "terminal-bench", "json", "log-pack", "unknown"]
VerifierKind: TypeAlias = Literal[
    "harbor-separate",
    "harbor-steps",
    "harbor-shared",
    "terminal-bench",
    "verifier-script",
    "swe-config",
    "judge-config",
    "data-config",
    "tests-without-entry",
    "toml-only",
    "none",
]

Buffer: TypeAlias = bytes | bytearray | memoryview


class Blob(NamedTuple):
    """One row's archive bytes, borrowed: valid only while the Batch it was cut from is."""

    data: memoryview | None
    """The bytes; None where the row holds no usable bytes (``flaw`` then says why)."""
    path: str
    """The row's ``path`` as given."""
    file: str
    """Parquet file relative to the dataset root, with ``/``; the name of a stream where there is no file."""
    row: int
    """0-based row within the file."""
    flaw: FaultKind | None = None
    """``null-blob`` or ``bad-encoding`` where the column held no bytes."""


class Unit(msgspec.Struct, frozen=True, array_like=True):
    """A fixed range of rows of one file: planned from footers alone, whatever the number of workers."""

    index: int
    """Position in the plan, from 0."""
    file: str
    first_row: int
    n_rows: int
    picks: tuple[int, ...] | None = None
    """Rows of the file that are wanted (ascending), where a sample or a limit takes some only; None takes all."""

    @property
    def n_planned(self) -> int:
        """Rows of this Unit that the scan must account for."""
        return self.n_rows if self.picks is None else len(self.picks)


class Member(msgspec.Struct, gc=False):
    """One entry of an archive, as its header states it. Nothing of its content."""

    name: str
    """As listed; bytes that are not UTF-8 stand as surrogate escapes."""
    kind: MemberKind
    size_bytes: int
    """Size of the content once read: for sparse members the expanded size, 0 for all but files."""
    mode: int = 0o644
    link: str = ""
    """Target, for links."""
    offset: int = 0
    """Byte offset of its (first) header in the raw archive."""


class Fault(msgspec.Struct, frozen=True, gc=False):
    """What is wrong with (or worth knowing about) the data, as a value. See :mod:`scanner.faults` for the kinds."""

    kind: FaultKind
    member: str | None = None
    offset: int | None = None
    """Byte offset in the raw stream (in the compressed blob for faults of the codec)."""
    detail: str | None = None


class Record(msgspec.Struct):
    """Everything kept about one row: the columns of ``records.parquet``, in order. Strings are valid Unicode.

    Columns that cannot be known (a row that failed, a blob that is not a task) are None. Hot code gives the fields by
    position: with 30 keywords, making one takes 4 µs instead of 0.2.
    """

    source: str
    path: str
    file: str
    row: int
    status: Status
    compressed_size: int
    raw_size: int | None = None
    codec: CodecName | None = None
    format: FormatName | None = None
    n_members: int = 0
    n_files: int = 0
    n_dirs: int = 0
    n_links: int = 0
    largest_file: str | None = None
    largest_file_size: int | None = None
    layout: Layout | None = None
    verifier_kind: VerifierKind | None = None
    verifier_signals: Sequence[str] = ()
    heuristic_verifier: bool | None = None
    harbor_loadable: bool | None = None
    harbor_reason: str | None = None
    has_solution: bool | None = None
    base_image: str | None = None
    instruction_file: str | None = None
    instruction_chars: int | None = None
    instruction_preview: str | None = None
    blob_id: str | None = None
    content_id: str | None = None
    instruction_id: str | None = None
    faults: Sequence[Fault] = ()


class Census(msgspec.Struct, gc=False):
    """What one row adds to the counters of :mod:`scanner.stats` and is not kept."""

    names: Sequence[str] = ()
    """Names of its files."""
    content_types: Sequence[str] = ()
    """Content type by magic of each file, same order as ``names``."""
    json_keys: Sequence[str] = ()
    """Top-level keys of each JSON object in it (a key once per object)."""
    lies: Sequence[tuple[str, str, str]] = ()
    """(extension, content type, member name) of files whose extension lies."""
    digests: bytes | None = None
    """xxh3-128 (16 bytes) of each file of the archive, joined, same order as ``names``, which go on with the files of
    archives inside it; None where the row is no archive."""


class Common(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What rows of one template say alike: one object for all of them, told from others by identity.

    The first fields are those of Record with the same names, and in its order.
    """

    status: Status
    codec: CodecName | None = None
    format: FormatName | None = None
    n_members: int = 0
    n_files: int = 0
    n_dirs: int = 0
    n_links: int = 0
    layout: Layout | None = None
    verifier_kind: VerifierKind | None = None
    verifier_signals: Sequence[str] = ()
    heuristic_verifier: bool | None = None
    harbor_loadable: bool | None = None
    harbor_reason: str | None = None
    has_solution: bool | None = None
    base_image: str | None = None
    instruction_file: str | None = None
    names: Sequence[str] = ()
    """As in Census; so the next."""
    content_types: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        read: tuple[Status, CodecName, FormatName],
        counts: tuple[int, int, int, int],
        meaning: Meaning,
        names: Sequence[str],
        content_types: Sequence[str],
    ) -> Common:
        """How rows were read, their members (all, files, directories, links), what they mean, and their files."""
        return cls(
            *read,
            *counts,
            meaning.layout,
            meaning.verifier_kind,
            meaning.verifier_signals,
            meaning.heuristic_verifier,
            meaning.harbor_loadable,
            meaning.harbor_reason,
            meaning.has_solution,
            meaning.base_image,
            meaning.instruction_file,
            names,
            content_types,
        )


class Reading(msgspec.Struct, gc=False):
    """What the bytes of one blob say: everything of its Record and its Census but path, file and row.

    Hot: made once a row, by position. Rows travel as these until they are columns (:mod:`scanner.readings`).
    """

    common: Common
    compressed_size: int = 0
    raw_size: int | None = None
    largest_file: str | None = None
    largest_file_size: int | None = None
    instruction_chars: int | None = None
    instruction_preview: str | None = None
    blob_id: str | None = None
    content_id: str | None = None
    instruction_id: str | None = None
    faults: Sequence[Fault] = ()
    json_keys: Sequence[str] = ()
    """As in Census; so the next."""
    lies: Sequence[tuple[str, str, str]] = ()
    digests: bytes | None = None

    @classmethod
    def of(cls, record: Record, census: Census) -> Reading:
        """What a Record and its Census say of the blob."""
        values: dict[str, Any] = {name: getattr(record, name) for name in COMMON_COLUMNS}
        common = Common(**values, names=census.names, content_types=census.content_types)
        own: dict[str, Any] = {name: getattr(record, name) for name in OWN_COLUMNS}
        return cls(common, **own, json_keys=census.json_keys, lies=census.lies, digests=census.digests)

    def record(self, blob: Blob) -> Record:
        """The Record of a row that holds these bytes."""
        path = printable(blob.path)
        common = self.common
        return Record(
            source_of(blob.file, path),
            path,
            blob.file,
            blob.row,
            common.status,
            self.compressed_size,
            self.raw_size,
            common.codec,
            common.format,
            common.n_members,
            common.n_files,
            common.n_dirs,
            common.n_links,
            self.largest_file,
            self.largest_file_size,
            common.layout,
            common.verifier_kind,
            common.verifier_signals,
            common.heuristic_verifier,
            common.harbor_loadable,
            common.harbor_reason,
            common.has_solution,
            common.base_image,
            common.instruction_file,
            self.instruction_chars,
            self.instruction_preview,
            self.blob_id,
            self.content_id,
            self.instruction_id,
            self.faults,
        )

    def census(self) -> Census:
        """What the row adds to the counters."""
        common = self.common
        return Census(common.names, common.content_types, self.json_keys, self.lies, self.digests)


COMMON_COLUMNS: Final = tuple([name for name in Common.__struct_fields__ if name in Record.__struct_fields__])
OWN_COLUMNS: Final = tuple([name for name in Reading.__struct_fields__ if name in Record.__struct_fields__])
"""Columns of the records that are fields of Common and of Reading."""


class Meaning(msgspec.Struct, kw_only=True, gc=False):
    """What :mod:`scanner.tasks` says of one task; the fields of Record of the same names. Common's come first."""

    layout: Layout = "unknown"
    verifier_kind: VerifierKind = "none"
    verifier_signals: Sequence[str] = ()
    heuristic_verifier: bool = False
    harbor_loadable: bool = False
    harbor_reason: str | None = None
    has_solution: bool = False
    base_image: str | None = None
    instruction_file: str | None = None
    instruction_chars: int | None = None
    instruction_preview: str | None = None
    instruction_id: str | None = None
    json_keys: Sequence[str] = ()
    faults: Sequence[Fault] = ()
    """Findings about content; all of severity ``note``."""

    def shared(self) -> tuple[Any, ...]:
        """Those that are fields of Common. Runs once a row."""
        return msgspec.structs.astuple(self)[:_N_SHARED]


_N_SHARED: Final = Meaning.__struct_fields__.index("instruction_chars")

if [name for name in Meaning.__struct_fields__ if name in COMMON_COLUMNS] != list(
    Meaning.__struct_fields__[:_N_SHARED]
):
    raise AssertionError  # pragma: no cover - rows that differ in such a field would share a Common


def source_of(file: str, path: str) -> str:
    """The source a row belongs to: the file's directory less a last ``data``, else the path up to its last ``-``.

    >>> source_of("ORG__NAME/data/train-0.parquet", "x-1"), source_of("tasks.parquet", "stack-pytest-0249")
    ('ORG__NAME', 'stack-pytest')
    """
    directory = file.rpartition("/")[0]
    if directory == "data":
        directory = ""
    elif directory.endswith("/data"):
        directory = directory[:-5]
    return directory or path.rpartition("-")[0] or path


def printable(name: str) -> str:
    r"""``name`` as valid Unicode: bytes that were not UTF-8 become ``\xNN``. Plain names come back as they are."""
    if name.isascii():
        return name
    try:
        name.encode()
    except UnicodeEncodeError:
        raw = name.encode("utf-8", "surrogateescape" if _only_escapes(name) else "surrogatepass")
        return raw.decode("utf-8", "backslashreplace")
    return name


def _only_escapes(name: str) -> bool:
    return all(not "\ud800" <= c <= "\udfff" or "\udc80" <= c <= "\udcff" for c in name)
