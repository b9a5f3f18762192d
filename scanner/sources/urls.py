"""Parquet files behind an fsspec URL (``s3://bucket/prefix``, ``gs://…``, ``hf://buckets/…``), read by ranges."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from scanner.errors import NoMatchError, SourceError
from scanner.sources.answers import Remote
from scanner.sources.files import glob_pattern, is_selected
from scanner.sources.remote import RemoteFiles
from scanner.storage import is_url, open_url

RECHECK_SECONDS: Final = 60.0
"""How often a file that is being read is looked at again, to see whether it was replaced: one request each time."""

_IDENTITIES: Final = ("ETag", "etag", "md5Hash", "content_md5", "generation", "mtime", "LastModified", "last_modified")
"""What file systems of fsspec call that which changes with the content, the surest first."""


class UrlFiles(RemoteFiles):
    """Files of one fsspec file system: ranges fetched ahead by threads, which its calls may come from."""

    def __init__(self, fs: Any, files: Mapping[str, Remote]) -> None:
        super().__init__(_Ranges(fs), files, None)
        self._fs = fs
        self._looked: dict[str, float] = {}

    def identity(self, name: str) -> tuple[int, str]:
        """Size in bytes, and the ETag (or what there is of the kind), as it was at most a minute ago."""
        file, now = self._files[name], time.monotonic()
        if now - self._looked.setdefault(name, now) < RECHECK_SECONDS:
            return file.size_bytes, file.etag
        self._looked[name] = now
        try:
            info = self._fs.info(file.address)
        except Exception as error:
            raise _unreadable(name, error) from error
        return int(info["size"]), identity_of(info)


class _Ranges:
    """Byte ranges by fsspec, which retries by itself what its protocol says is worth it."""

    def __init__(self, fs: Any) -> None:
        self._fs = fs
        self.note: Callable[[str], None] = _silence
        self.credentials: str | None = None  # fsspec finds its own, wherever it is

    def range(self, file: Remote, start: int, end: int) -> bytearray:
        """Bytes ``start .. end``. Raises SourceError."""
        try:
            data = bytearray(self._fs.cat_file(file.address, start=start, end=end))
        except Exception as error:
            raise _unreadable(file.name, error) from error
        if len(data) != end - start:
            raise SourceError(f"{file.name} ends before byte {end:,}; it changed while it was being read")
        return data


def find_url(url: str, include: Sequence[str], exclude: Sequence[str], skip: str | None = None) -> UrlFiles:
    """The Parquet files that a URL means: a file, a prefix (``**/*.parquet`` below it) or a glob.

    ``skip`` is a URL below which nothing is searched (the Run being written). One listing tells names, sizes and
    identities. Raises SourceError, NoMatchError, or UsageError for a protocol that is not installed.
    """
    fixed, wild = _split_glob(url)
    fs, root = open_url(fixed)
    skipped = open_url(skip)[1] + "/" if skip is not None and is_url(skip) else "\0"
    try:
        found: dict[str, Any] = fs.find(root, detail=True)
    except Exception as error:
        raise _unreadable(url, error) from error
    if list(found) == [root] and not wild:  # a file by its name
        found, root = {root: found[root]}, root.rpartition("/")[0]
    names = {path.removeprefix(root).lstrip("/"): path for path in found if not path.startswith(skipped)}
    pattern = glob_pattern(wild or "**/*.parquet")
    meant = {name: path for name, path in names.items() if pattern.fullmatch(name)}
    if not meant:
        raise SourceError(f"no Parquet file found in {url}")
    kept = {name: path for name, path in meant.items() if is_selected(name, include, exclude)}
    if not kept:
        raise NoMatchError(
            f"none of the {len(meant)} Parquet files in {url} is selected; check --include and --exclude"
        )
    infos = {name: found[path] for name, path in kept.items()}
    return UrlFiles(
        fs, {name: Remote(name, kept[name], int(info["size"]), identity_of(info)) for name, info in infos.items()}
    )


def identity_of(info: Mapping[str, Any]) -> str:
    """What changes when the content of a file does, of what its file system says of it."""
    known = next((info[key] for key in _IDENTITIES if info.get(key)), "")
    return f"{info['size']}-{str(known).strip(chr(34))}"


def _split_glob(url: str) -> tuple[str, str]:
    scheme, _, path = url.partition("://")
    parts = path.split("/")
    at = next((i for i, part in enumerate(parts) if any(c in part for c in "*?[")), len(parts))
    return f"{scheme}://{'/'.join(parts[:at])}", "/".join(parts[at:])


def _silence(_: str) -> None:
    """Fsspec tells nobody of its retries. A function of the module, as those of a call cannot be pickled."""


def _unreadable(name: str, error: Exception) -> SourceError:
    return SourceError(f"{name} cannot be read ({(str(error).splitlines() or [type(error).__name__])[0]})")
