"""The closed list of fault kinds: what can be wrong with a row, how bad it is, and what to do about it.

``damage`` makes a row ``degraded`` (``failed`` where nothing could be read); ``note`` never changes a status.
``docs/faults.md`` is this table in prose; a test keeps the two equal.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias, get_args

Severity: TypeAlias = Literal["damage", "note"]

FaultKind: TypeAlias = Literal[
    # the row
    "null-blob",
    "bad-encoding",
    "worker-died",
    "internal-error",
    "probe-error",
    # limits
    "limit:output",
    "limit:members",
    "limit:header",
    "limit:depth",
    "limit:time",
    "limit:buffer",
    # codecs
    "codec-truncated",
    "codec-corrupt",
    "codec-checksum",
    "codec-unsupported",
    # tar
    "tar-truncated",
    "tar-bad-header",
    "tar-bad-number",
    "tar-bad-pax",
    "tar-bad-sparse",
    # zip
    "zip-truncated",
    "zip-bad-directory",
    "zip-bad-entry",
    "zip-bad-data",
    "zip-overlap",
    "zip-encrypted",
    "zip-unsupported-method",
    # notes on the archive
    "trailing-data",
    "missing-end-marker",
    "several-codec-members",
    "archive-prefix",
    "archive-comment",
    "hidden-entry",
    "high-ratio",
    "unsafe-name",
    "duplicate-name",
    "case-collision",
    "non-utf8-name",
    "link-escape",
    "special-file",
    "setuid",
    "sparse-member",
    # notes on content
    "lying-extension",
    "lfs-pointer",
    "empty-test-entry",
    "crlf-script",
    "invalid-json",
    "invalid-toml",
    "invalid-yaml",
    "private-key",
]


class About(NamedTuple):
    """What a kind means and what a person can do about it, one sentence each."""

    severity: Severity
    meaning: str
    advice: str


FAULTS: dict[FaultKind, About] = {
    "null-blob": About("damage", "The row's blob is null.", "Drop the row or ask the publisher."),
    "bad-encoding": About("damage", "The blob column holds text or numbers that are not bytes.", "Check --column."),
    "worker-died": About("damage", "The worker that read this row was killed by it.", "Inspect it alone, with limits."),
    "internal-error": About("damage", "The scanner itself failed on this row.", "Report it with the row."),
    "probe-error": About("damage", "A probe function of yours raised.", "Fix the probe; the rest of the row is fine."),
    "limit:output": About("damage", "More bytes came out than --max-raw-bytes allows.", "Raise it or drop the row."),
    "limit:members": About("damage", "More members than --max-members allows.", "Raise it or drop the row."),
    "limit:header": About("damage", "A PAX or long-name header is larger than allowed.", "Treat it as hostile."),
    "limit:depth": About("damage", "Archives are nested deeper than --depth allows.", "Raise --depth."),
    "limit:time": About("damage", "The row took more processor time than --max-seconds.", "Raise it or drop the row."),
    "limit:buffer": About("damage", "A part that must be whole in memory is too large.", "Read it with another tool."),
    "codec-truncated": About("damage", "The compressed stream ends early.", "Fetch the row again."),
    "codec-corrupt": About("damage", "The compressed stream cannot be decoded further.", "Fetch the row again."),
    "codec-checksum": About("damage", "Checksum or length of the decompressed bytes differ.", "Fetch the row again."),
    "codec-unsupported": About("damage", "The codec uses a feature that is not supported.", "Recompress the row."),
    "tar-truncated": About("damage", "The tar ends inside a header or a body.", "Fetch the row again."),
    "tar-bad-header": About("damage", "A tar header is invalid, most often its checksum.", "Rebuild the archive."),
    "tar-bad-number": About("damage", "A number in a tar header is malformed or negative.", "Treat it as hostile."),
    "tar-bad-pax": About("damage", "A PAX header holds a malformed record.", "Rebuild the archive."),
    "tar-bad-sparse": About("damage", "The map of a sparse member is inconsistent.", "Rebuild the archive."),
    "zip-truncated": About("damage", "The zip ends early or has no end record.", "Fetch the row again."),
    "zip-bad-directory": About("damage", "The zip's central directory is inconsistent.", "Rebuild the archive."),
    "zip-bad-entry": About("damage", "A zip entry's local header contradicts the directory.", "Treat it as hostile."),
    "zip-bad-data": About("damage", "A zip entry does not inflate to its stated size and CRC.", "Rebuild the archive."),
    "zip-overlap": About("damage", "Zip entries share the same bytes.", "Treat it as hostile: a zip bomb."),
    "zip-encrypted": About("damage", "A zip entry is encrypted, so its content was not read.", "Get the password."),
    "zip-unsupported-method": About("damage", "A zip entry uses an unsupported method.", "Recompress the archive."),
    "trailing-data": About("note", "Bytes follow the end of the archive or codec stream.", "Look at what they are."),
    "missing-end-marker": About("note", "The tar has no end-of-archive blocks.", "Harmless, if it is complete."),
    "several-codec-members": About("note", "The blob is several compressed streams in a row.", "Harmless; unusual."),
    "archive-prefix": About("note", "Bytes stand before the archive begins.", "Look at what they are."),
    "archive-comment": About("note", "The archive carries a comment.", "Look at what it says."),
    "hidden-entry": About("note", "An entry stands outside the zip's central directory.", "Treat it as hostile."),
    "high-ratio": About("note", "The row inflates to over 200 times its size.", "Mind it when you unpack."),
    "unsafe-name": About("note", "A member's name is absolute, has .. or is not normalised.", "Unpack with care."),
    "duplicate-name": About("note", "Two members have the same name; the last one wins.", "Check which is meant."),
    "case-collision": About("note", "Two names differ only in case.", "Breaks on macOS and Windows."),
    "non-utf8-name": About("note", "A member's name is not UTF-8.", "It is shown with \\xNN."),
    "link-escape": About("note", "A link points outside the task.", "Do not unpack without a filter."),
    "special-file": About("note", "A device, FIFO or unknown member type.", "Do not unpack it."),
    "setuid": About("note", "A member has a setuid, setgid or sticky bit.", "Clear it when you unpack."),
    "sparse-member": About("note", "A sparse member: its size is larger than its stored bytes.", "Harmless; unusual."),
    "lying-extension": About("note", "A file's content is not what its extension says.", "Check how it was made."),
    "lfs-pointer": About("note", "A git-LFS pointer stands where a file should.", "The content is missing: fetch it."),
    "empty-test-entry": About("note", "The test entry is empty or only comments.", "The task verifies nothing."),
    "crlf-script": About("note", "A shell script has Windows line ends.", "It fails at #!; convert it."),
    "invalid-json": About("note", "A .json file does not parse.", "Fix the file if it is read."),
    "invalid-toml": About("note", "A .toml file does not parse.", "Harbor drops a task with a bad task.toml."),
    "invalid-yaml": About("note", "A task.yaml does not parse.", "Fix the file."),
    "private-key": About("note", "A private key is in the task.", "Check that it is a test key."),
}

if set(FAULTS) != set(get_args(FaultKind)):  # pragma: no cover - a mistake made in this file
    raise AssertionError(set(FAULTS) ^ set(get_args(FaultKind)))
