"""What SOURCE means: which Source a path, a table or an iterable is opened as."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from scanner.errors import UsageError
from scanner.options import Options
from scanner.sources import InputFile, Source
from scanner.sources.arrow import Columns
from scanner.sources.files import Files, find_local
from scanner.sources.memory import RowsSource, TableSource
from scanner.sources.parquet import ParquetSource
from scanner.storage import is_url


def open_source(
    source: Any,
    options: Options,
    *,
    skip: str | None = None,
    pinned: str | None = None,
    known: Mapping[str, InputFile] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Source:
    """What SOURCE means. Raises SourceError or UsageError.

    ``skip`` is a folder (or URL) that is not searched; ``pinned`` the commit of a dataset on the Hub that is read
    whatever its branch is at by now; ``known`` the files as an earlier plan had them. ``tell`` is called, from any
    thread and until the source is read, with what a person should know meanwhile, in a line: what is waited for.
    """
    selection = options.selection
    columns = Columns(options.path_column, options.blob_column)
    cut: dict[str, Any] = {"limit": selection.limit, "sample": selection.sample, "seed": selection.seed}
    if isinstance(source, str | os.PathLike):
        location = os.fspath(source)
        if all((Path(location) / name).is_file() for name in ("run.json", "stats.json", "records.parquet")):
            raise UsageError(f"{location} is a Run; name the dataset it is of, as `scanner report` tells")
        if selection.split is not None or selection.config is not None:
            from scanner.sources.stream import StreamSource, open_split  # noqa: PLC0415 - half a second, for such scans alone

            split = open_split(location, selection, columns, pinned, download=options.download, tell=tell)
            if isinstance(split, StreamSource):
                return split
            files = split
        else:
            on_the_hub = _on_the_hub(location, options, pinned, tell)
            if on_the_hub is None and selection.revision is not None:
                raise UsageError(f"--revision {selection.revision} is of a dataset on the Hub, and {location} is none")
            files = (
                on_the_hub
                or _behind_a_url(location, options, skip)
                or find_local(location.removeprefix("file://"), selection.include, selection.exclude, _path(skip))
            )
        file_filter = _filter(selection.source_filter)
        return ParquetSource(location, files, columns=columns, file_filter=file_filter, known=known, **cut)
    if type(source).__module__.partition(".")[0] == "datasets":
        from scanner.sources.stream import open_object  # noqa: PLC0415 - as above

        return open_object(source, selection, columns)
    if type(source).__module__.partition(".")[0] == "pyarrow":
        return TableSource(source, columns=columns, **cut)
    if isinstance(source, Iterable) and not isinstance(source, bytes | bytearray | memoryview):
        return RowsSource(source, columns=columns, **cut)
    raise UsageError(
        f"cannot read rows from a {type(source).__name__}; give a path, a Hub id, a pyarrow.Table or rows as mappings"
    )


def _on_the_hub(location: str, options: Options, pinned: str | None, tell: Callable[[str], None]) -> Files | None:
    """The files of a dataset on the Hub; None where ``location`` is local: whatever exists, and what names a file."""
    is_dataset = location.count("/") == 1 and not location.endswith(".parquet")
    if Path(location).exists() or not (location.startswith("hf://") or is_dataset):
        return None
    from scanner.sources.hub import open_hub, place_of  # noqa: PLC0415 - a third of a second that local scans spare

    place = place_of(location)
    if place is None:
        return None
    selection = options.selection
    return open_hub(
        place,
        revision=selection.revision,
        pinned=pinned,
        include=selection.include,
        exclude=selection.exclude,
        download=options.download,
        tell=tell,
    )


def _path(folder: str | None) -> Path | None:
    return Path(folder) if folder is not None and not is_url(folder) else None


def _behind_a_url(location: str, options: Options, skip: str | None) -> Files | None:
    """The files of a URL that fsspec opens; None for paths, and for datasets on the Hub, which are read another way."""
    if not is_url(location) or (location.startswith("hf://") and not location.startswith("hf://buckets/")):
        return None
    from scanner.sources.urls import find_url  # noqa: PLC0415 - a second that local scans spare

    return find_url(location, options.selection.include, options.selection.exclude, skip)


def _filter(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        return re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--source-filter {pattern!r} is not a regular expression ({error})") from error
