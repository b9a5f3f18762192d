"""The members of one blob as files in a fresh directory, and nothing outside it, whatever the archive says.

Why nothing escapes: the directory is made for this task and empty; every path is relative to its descriptor, has been
checked to hold no ``..`` and no root, and leads through directories made here alone, since no links are created;
files are created with O_EXCL and O_NOFOLLOW, never opened. So it does not depend on ``tarfile``'s filter, which was
bypassed (CVE-2025-4517) by what is left out here: links.

Left out, and said: links, devices and FIFOs, content that is damaged or over a limit, names that give no path.
"""

from __future__ import annotations

import errno
import os
from typing import Final

import msgspec

from scanner.contents import Budget
from scanner.model import Buffer, Member, printable
from scanner.options import Limits
from scanner.tasks.tree import MAX_PARTS

LEFT_OUT_KEPT: Final = 100
"""Members left out that are named; the others are counted."""

CONTENT_NAME: Final = "task"
"""A task that is no archive becomes one file of this name, with :data:`CONTENT_ENDS` by its format."""

CONTENT_ENDS: Final = {"json": ".json", "jsonl": ".jsonl", "text": ".txt"}

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)

_OF_THE_NAME: Final = frozenset(
    {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL, errno.EILSEQ, errno.EPERM}
)
"""What a file system says of a name that it does not take here; anything else (a full disk) is no fault of the row."""


class LeftOut(msgspec.Struct, frozen=True):
    """A member that was not unpacked, and why."""

    member: str
    reason: str


class Unpacker(Budget):
    """A :class:`scanner.contents.Outlet` that writes what it is given into the directory of descriptor ``folder``.

    ``finish`` has to be called when the blob is poured, also when it was not poured to its end.
    """

    def __init__(self, folder: int, limits: Limits) -> None:
        super().__init__(limits)
        self._folder = folder
        self.n_files = 0
        self.n_bytes = 0
        """Of the files that are there; one that a later member replaced is not."""
        self.left_out: list[LeftOut] = []
        self.n_left_out = 0
        self._made: set[str] = {""}
        self._member: Member | None = None
        self._file = -1
        self._path = ""
        self._file_bytes = 0

    # -- Outlet -------------------------------------------------------------------------------------------------------

    def whole(self, member: Member, buffer: Buffer, start: int, end: int) -> None:
        """See :class:`scanner.formats.Sink`. Runs once a member: three calls of the system for a file, no more."""
        self.take()
        if not self._open(member):
            return
        if end - start != member.size_bytes:
            self._drop("sparse, and cannot be expanded: the faults say why")
            return
        if start < end:
            self._write(memoryview(buffer)[start:end])
        self._close()

    def begin(self, member: Member) -> bool:
        """See :class:`scanner.formats.Sink`."""
        self._drop_unfinished()
        self.take()
        self._member = member
        return self._open(member)

    def piece(self, buffer: Buffer, start: int, end: int) -> None:
        """See :class:`scanner.formats.Sink`."""
        self._write(memoryview(buffer)[start:end])

    def end(self) -> None:
        """See :class:`scanner.formats.Sink`."""
        if self._file >= 0 and self._member is not None and self._file_bytes != self._member.size_bytes:
            self._drop("damaged, or sparse and not to be expanded: its content has another size than it states")
        elif self._file >= 0:
            self._close()
        self._member = None

    def content(self, piece: Buffer) -> None:
        """See :class:`scanner.contents.Outlet`."""
        if self._file < 0:
            self._file = self._create(CONTENT_NAME, 0o644)
            self._path = CONTENT_NAME
        self._write(memoryview(piece))

    def finish(self, format_: str | None) -> None:
        """Drop a file whose content broke off; give the content of what is no archive its extension."""
        if self._path == CONTENT_NAME and self._file >= 0 and self._member is None:
            self._close()
            name = CONTENT_NAME + CONTENT_ENDS.get(str(format_), ".bin")
            os.rename(CONTENT_NAME, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        else:
            self._drop_unfinished()

    def abandon(self) -> None:
        """Close the file that is open, if one is; the folder is about to be removed, or whole."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    # -- inside -------------------------------------------------------------------------------------------------------

    def _open(self, member: Member) -> bool:
        """Create the file of a member; a directory is made, and all else left out. Whether content is wanted."""
        kind = member.kind
        if kind not in ("file", "dir"):
            target = f" to {printable(member.link)[:200]}" if member.link else ""
            self._leave_out(member.name, f"{kind}{target}")
            return False
        try:
            if kind == "dir":
                self._make(relative_path(member.name))
                return False
            path = _file_path(member.name)
            self._make(path.rpartition("/")[0])
            self._file = self._create_anew(path, 0o755 if member.mode & 0o100 else 0o644)
        except _Unfit as unfit:
            self._leave_out(member.name, str(unfit))
            return False
        except OSError as error:
            if error.errno not in _OF_THE_NAME:
                raise
            self._leave_out(member.name, f"the file system does not take its name here: {error.strerror}")
            return False
        self._path, self._file_bytes = path, 0
        return True

    def _create(self, path: str, mode: int) -> int:
        return os.open(path, _CREATE, mode, dir_fd=self._folder)

    def _create_anew(self, path: str, mode: int) -> int:
        """Create a file; of two members with one name the later one wins, as everywhere."""
        try:
            return self._create(path, mode)
        except FileExistsError:
            n_bytes = os.stat(path, dir_fd=self._folder, follow_symlinks=False).st_size
            os.unlink(path, dir_fd=self._folder)
            self.n_files -= 1
            self.n_bytes -= n_bytes
            self._leave_out(path, "replaced by a later member of the same name")
            return self._create(path, mode)

    def _make(self, path: str) -> None:
        """Make a directory and those it is in. Each counts as a member: a bomb of directories stops at that limit."""
        if path in self._made:
            return
        self._make(path.rpartition("/")[0])
        self.take()
        os.mkdir(path, 0o755, dir_fd=self._folder)
        self._made.add(path)

    def _write(self, data: memoryview) -> None:
        if self._file < 0:
            return
        self._file_bytes += len(data)
        while data:
            data = data[os.write(self._file, data) :]

    def _close(self) -> None:
        os.close(self._file)
        self._file = -1
        self.n_files += 1
        self.n_bytes += self._file_bytes

    def _drop(self, reason: str) -> None:
        os.close(self._file)
        self._file = -1
        os.unlink(self._path, dir_fd=self._folder)
        self._leave_out(self._path, reason)

    def _drop_unfinished(self) -> None:
        if self._file >= 0:
            self._drop("damaged: its content cannot be read to its end")
        elif self._member is not None and self._member.kind == "file":
            self._leave_out(self._member.name, "damaged: its content cannot be read")
        self._member = None

    def _leave_out(self, name: str, reason: str) -> None:
        self.n_left_out += 1
        if self.n_left_out <= LEFT_OUT_KEPT:
            self.left_out.append(LeftOut(printable(name)[:1000], reason))


def _file_path(name: str) -> str:
    path = relative_path(name)
    if not path:
        raise _Unfit("its name is that of the folder")
    return path


class _Unfit(ValueError):
    """No path inside the folder can be made of a name."""


def relative_path(name: str) -> str:
    """A member's name as a path below the folder; empty for the folder itself.

    Raises:
        ValueError: It is absolute, has ``..`` or what Windows reads as a root or separator, is nested too deep, or is
            no name at all.

    >>> relative_path("./tests//test.sh"), relative_path("environment/")
    ('tests/test.sh', 'environment')
    """
    if name.startswith("/") or "\\" in name or name[1:2] == ":":
        raise _Unfit("its name is absolute or of another system")
    if "\0" in name:
        raise _Unfit("its name holds a NUL")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _Unfit("its name leads out of the folder")
    if len(parts) > MAX_PARTS:
        raise _Unfit(f"it lies more than {MAX_PARTS} directories deep")
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        raise _Unfit("its name cannot be encoded") from None
    return "/".join(parts)
