"""What can go wrong with the machinery (what is wrong with the data is a :class:`scanner.Fault`, never an exception).

ScannerError                 one sentence for a person: what, where, what to do; carries the exit code
|-- UsageError               2: an option, a name or an expression is wrong
|-- SourceError              2: the input cannot be read
|   `-- ColumnError          2: the columns `path` and `task_binary` are not there
|-- OutputError              2: the Run cannot be written
|-- RunError                 2: a Run folder is missing, of another schema, or of other arguments
|-- NotReachedError          3: not every planned row could be scanned
|   `-- EngineError          3: workers cannot start, or die without progress
`-- NoMatchError             4: nothing matched
"""

from __future__ import annotations

from typing import ClassVar


class ScannerError(Exception):
    """Base of all errors of this package. ``str(error)`` is one sentence; ``exit_code`` is what the CLI returns."""

    exit_code: ClassVar[int] = 2


class UsageError(ScannerError):
    """An option, a name or an expression is wrong."""


class SourceError(ScannerError):
    """The input cannot be found or read."""


class ColumnError(SourceError):
    """The file has no column of the asked name, or one of a type that cannot hold it."""


class OutputError(ScannerError):
    """The output folder cannot be written: it exists, is read-only, or the disk is full."""


class RunError(ScannerError):
    """A Run folder is missing, incomplete, of another schema, or was made with other arguments."""


class NotReachedError(ScannerError):
    """The work ended before every planned row was scanned; what was done is on disk and resumes."""

    exit_code: ClassVar[int] = 3


class EngineError(NotReachedError):
    """Workers cannot start, or die again and again without progress."""


class NoMatchError(ScannerError):
    """Nothing matched what was asked for."""

    exit_code: ClassVar[int] = 4
