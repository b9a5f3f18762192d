"""Tasks to folders: a fresh directory a task, complete or not there, and ``manifest.jsonl`` that says what is in it.

A task is unpacked into a hidden directory, which is renamed once it is whole. Every line of the manifest tells one
folder: where the task is from, what was written, what was left out and why. Where a folder was written again, its last
line counts. A line is written just before the rename and taken back where either fails, so no folder is without its
line; an export killed in between has told of one folder that the next export makes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias

import msgspec
from xxhash import xxh3_64_hexdigest, xxh3_128_hexdigest

from scanner.contents import Pouring
from scanner.errors import OutputError, UsageError
from scanner.explore.unpack import LeftOut, Unpacker
from scanner.formats import RowStopped
from scanner.model import Blob, CodecName, Fault, FormatName, printable, source_of
from scanner.options import SMALL_BYTES, Limits

MANIFEST: Final = "manifest.jsonl"
OnExist: TypeAlias = Literal["error", "skip", "overwrite"]

NAME_CHARS: Final = 100
"""A folder's name has at most so many characters (file systems take 255 bytes)."""

FAULTS_KEPT: Final = 20
_APPEND: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
_TEMPORARY: Final = ".exporting-"
_LINE_START: Final = b'{"folder":"'


class Exported(msgspec.Struct, kw_only=True):
    """One line of ``manifest.jsonl``."""

    folder: str
    source: str
    path: str
    file: str
    row: int
    blob_id: str | None
    """xxh3-128 hex of the blob, as in the records; None where there are no bytes."""
    codec: CodecName
    format: FormatName | None
    n_files: int
    n_bytes: int
    """Of the files written."""
    left_out: list[LeftOut] = []
    n_left_out: int = 0
    """``left_out`` names the first hundred."""
    faults: list[Fault] = []
    """What the walk met; the records of a scan tell more."""
    state: Literal["written", "there"] = "written"
    """``there``: the folder was there already and was left alone; such lines are not in the manifest."""


def export(
    blobs: Iterable[Blob],
    directory: str | os.PathLike[str],
    *,
    on_exist: OnExist = "error",
    limits: Limits | None = None,
) -> Iterator[Exported]:
    """Unpack tasks into folders below ``directory``, one by one, as the iterator is advanced.

    Args:
        blobs: The rows; each must stay valid until the next is asked for.
        directory: Made where it is not there, and removed again where nothing came of it.
        on_exist: ``error`` wants ``directory`` to be new or empty; ``skip`` leaves folders alone that are there;
            ``overwrite`` replaces them, if the manifest says that an export wrote them.
        limits: Bounds on one row; members seen before a limit is hit are kept.

    Yields:
        What the manifest says of each task.

    Raises:
        UsageError: ``on_exist`` is none of the three.
        OutputError: The directory cannot be written, or holds what must not be overwritten.
    """
    if on_exist not in ("error", "skip", "overwrite"):
        raise UsageError(f"on_exist is error, skip or overwrite, not {on_exist!r}")
    return _exported(blobs, Path(directory), on_exist, limits or Limits())


def _exported(blobs: Iterable[Blob], directory: Path, on_exist: OnExist, limits: Limits) -> Iterator[Exported]:
    try:
        with _Target(directory, on_exist, limits) as target:
            for blob in blobs:
                yield target.take(blob)
    except OSError as error:
        raise OutputError(
            f"cannot write to {directory}: {error.strerror or error}; free space or name another"
        ) from error


class _Target:
    """The directory that tasks are exported to. Everything is done relative to its descriptor."""

    def __init__(self, directory: Path, on_exist: OnExist, limits: Limits) -> None:
        self._directory = directory
        self._on_exist = on_exist
        self._limits = limits
        self._arena = bytearray(SMALL_BYTES)
        self._encoder = msgspec.json.Encoder()
        self._loose_end = b""
        """A last line of the manifest without a line feed, until it is mended."""
        self._torn_folder = ""
        """The folder that an unfinished last line told of."""
        self._is_new = not directory.exists()
        directory.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._folders = self._read_manifest()
            """(file, row) of each folder that an export wrote."""
            self._check_empty()
            self._sweep()
            self._manifest = os.open(MANIFEST, _APPEND, 0o644, dir_fd=self._fd)
        except BaseException:
            os.close(self._fd)
            raise
        self._names = {name.lower() for name in self._folders} | {MANIFEST}
        self._by_row = {place: name for name, place in self._folders.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        is_empty = not os.fstat(self._manifest).st_size
        os.close(self._manifest)
        if is_empty:
            with contextlib.suppress(OSError):
                os.unlink(MANIFEST, dir_fd=self._fd)
        os.close(self._fd)
        if is_empty and self._is_new:  # nothing was found to be exported: the next one finds no folder in its way
            with contextlib.suppress(OSError):
                self._directory.rmdir()

    def take(self, blob: Blob) -> Exported:
        """Export one task."""
        self._mend()
        name = self._name_of(blob)
        if self._exists(name):
            if self._on_exist == "skip":
                return self._line(name, blob, None, None)
            if self._on_exist == "error" or (name not in self._folders and name != self._torn_folder):
                raise OutputError(
                    f"{self._directory / name} exists and no export wrote it; move it away or name another folder"
                )
        temporary = _TEMPORARY + name
        os.mkdir(temporary, 0o755, dir_fd=self._fd)
        try:
            line = self._unpack(blob, name, temporary)
            self._put(temporary, name, line)
        except BaseException:
            shutil.rmtree(temporary, dir_fd=self._fd)
            raise
        return line

    # -- inside -------------------------------------------------------------------------------------------------------

    def _unpack(self, blob: Blob, name: str, temporary: str) -> Exported:
        folder = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self._fd)
        unpacker = Unpacker(folder, self._limits)
        try:
            data = memoryview(b"") if blob.data is None else blob.data
            pouring = Pouring(data, unpacker, self._limits, self._arena, expand=True)
            if blob.data is None:
                unpacker.fault(blob.flaw or "null-blob")
            else:
                try:
                    pouring.run()
                except RowStopped as stop:
                    unpacker.faults.append(stop.fault)
                unpacker.finish(pouring.format)
            return self._line(name, blob, pouring, unpacker)
        finally:
            unpacker.abandon()
            os.close(folder)

    def _line(self, name: str, blob: Blob, pouring: Pouring | None, unpacker: Unpacker | None) -> Exported:
        line = Exported(
            folder=name,
            source=printable(source_of(blob.file, blob.path)),
            path=printable(blob.path),
            file=blob.file,
            row=blob.row,
            blob_id=None if blob.data is None else xxh3_128_hexdigest(blob.data),
            codec=pouring.codec if pouring is not None else "none",
            format=pouring.format if pouring is not None and blob.data is not None else None,
            n_files=unpacker.n_files if unpacker is not None else 0,
            n_bytes=unpacker.n_bytes if unpacker is not None else 0,
            state="there" if unpacker is None else "written",
        )
        if unpacker is not None:
            line.left_out, line.n_left_out = unpacker.left_out, unpacker.n_left_out
            line.faults = [_printable(fault) for fault in unpacker.faults[:FAULTS_KEPT]]
        return line

    def _put(self, temporary: str, name: str, line: Exported) -> None:
        """Tell of a folder that is whole and give it its name; one that was there goes once the new one has it."""
        length = self._tell(line)
        old = None
        try:
            if self._exists(name):
                old = _TEMPORARY + "old-" + name
                os.rename(name, old, src_dir_fd=self._fd, dst_dir_fd=self._fd)
            os.rename(temporary, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        except BaseException:
            os.ftruncate(self._manifest, length)
            raise
        if old is not None:
            shutil.rmtree(old, dir_fd=self._fd)

    def _tell(self, line: Exported) -> int:
        """Append a line to the manifest, whole or not at all; the bytes it had before. Raises OSError."""
        length = os.fstat(self._manifest).st_size
        data = self._encoder.encode(line) + b"\n"
        try:
            while data:  # a disk that fills up takes a part first
                data = data[os.write(self._manifest, data) :]
        except BaseException:
            os.ftruncate(self._manifest, length)
            raise
        return length

    def _mend(self) -> None:
        """Have the manifest end with a line: cut off an unfinished one, end one that only lacks its line feed."""
        if self._loose_end and _is_unfinished(self._loose_end):
            os.ftruncate(self._manifest, os.fstat(self._manifest).st_size - len(self._loose_end))
        elif self._loose_end:
            os.write(self._manifest, b"\n")  # one byte: all or an error
        self._loose_end = b""

    def _name_of(self, blob: Blob) -> str:
        """The folder of a row: the one it had before, else its path made fit, with a hash where that is taken."""
        place = (blob.file, blob.row)
        name = self._by_row.get(place)
        if name is None:
            name = next(each for each in _names_for(blob) if each.lower() not in self._names)
            self._names.add(name.lower())
            self._by_row[place] = name
        return name

    def _exists(self, name: str) -> bool:
        with contextlib.suppress(FileNotFoundError):
            os.stat(name, dir_fd=self._fd, follow_symlinks=False)
            return True
        return False

    def _check_empty(self) -> None:
        entries = os.listdir(self._fd) if self._on_exist == "error" else ()  # noqa: PTH208 - as below
        if entries:
            raise OutputError(
                f"{self._directory} exists and is not empty ({min(entries)}); --on-exist skip or overwrite adds to it"
            )

    def _sweep(self) -> None:
        """Remove what an export that was killed left half done."""
        for name in os.listdir(self._fd):  # noqa: PTH208 - of a descriptor, which no Path is
            if name.startswith(_TEMPORARY):
                shutil.rmtree(name, dir_fd=self._fd)

    def _read_manifest(self) -> dict[str, tuple[str, int]]:
        """(file, row) of each folder told of; notes a last line that has to be mended. Raises OutputError, OSError."""
        try:
            fd = os.open(MANIFEST, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=self._fd)
        except FileNotFoundError:
            return {}
        with os.fdopen(fd, "rb") as file:
            lines = file.readlines()
        if lines and not lines[-1].endswith(b"\n"):
            self._loose_end = lines[-1]
            if _is_unfinished(self._loose_end):
                self._torn_folder = _folder_of_torn(lines.pop())
        try:
            told = [msgspec.json.decode(line, type=Exported) for line in lines if line.strip()]
        except msgspec.DecodeError as error:
            raise OutputError(f"{self._directory / MANIFEST} is no manifest of an export ({error})") from error
        for each in told:
            if Path(each.folder).name != each.folder or each.folder in {"", ".", ".."}:
                raise OutputError(f"{self._directory / MANIFEST} is no manifest of an export (folder {each.folder!r})")
        return {each.folder: (each.file, each.row) for each in told}


def _is_unfinished(line: bytes) -> bool:
    """Whether this is a line of ours that breaks off, and no whole one or somebody else's."""
    if line[: len(_LINE_START)] != _LINE_START[: len(line)]:
        return False
    try:
        msgspec.json.decode(line, type=Exported)
    except msgspec.ValidationError:  # whole, and of another kind
        return False
    except msgspec.DecodeError:
        return True
    return False


def _folder_of_torn(line: bytes) -> str:
    """The folder that an unfinished line tells of, as such names need no escapes; empty where it breaks off earlier."""
    name, quote, _ = line[len(_LINE_START) :].partition(b'"')
    return name.decode(errors="replace") if quote else ""


def _names_for(blob: Blob) -> Iterator[str]:
    """Names for the folder of a row, without end and always the same: paths may hold the hash of another row."""
    name = folder_name(blob.path) or f"row-{blob.row}"
    yield name
    place = f"{blob.file}\0{blob.row}"
    for again in count():
        salted = f"{place}\0{again}" if again else place
        yield f"{name}-{xxh3_64_hexdigest(salted.encode())[:8]}"


def folder_name(path: str) -> str:
    """A row's path as a readable name of one folder: letters, digits and ``._-+@`` stay, anything else becomes ``_``.

    >>> folder_name("a/b/c"), folder_name("../../etc/passwd"), folder_name("编程-7")
    ('a_b_c', 'etc_passwd', '编程-7')
    """
    kept = "".join(char if char.isalnum() or char in "._-+@" else "_" for char in path[: 4 * NAME_CHARS])
    name = kept.strip("._")[:NAME_CHARS]
    while len(os.fsencode(name)) > 2 * NAME_CHARS:
        name = name[:-1]
    return name


def _printable(fault: Fault) -> Fault:
    def cut(text: str | None) -> str | None:
        return text and printable(text)[:300]

    return msgspec.structs.replace(fault, member=cut(fault.member), detail=cut(fault.detail))
