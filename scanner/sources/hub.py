"""Datasets on the Hugging Face Hub: which files a name means, at one commit, read in place, mirrored, or offline."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote

import msgspec
from huggingface_hub import constants, hf_hub_download, hf_hub_url, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from scanner.errors import NoMatchError, UsageError
from scanner.sources.answers import HubError, Remote, refusal
from scanner.sources.files import Files, LocalFiles, glob_pattern, is_selected
from scanner.sources.http import Http, httpx
from scanner.sources.prefetch import CONNECTIONS
from scanner.sources.remote import RemoteFiles

_SCHEME: Final = "hf://"
_REPO: Final = r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}"
_PLACE: Final = re.compile(
    rf"datasets/(?P<repo>{_REPO})(?:@(?P<revision>refs/(?:pr|convert)/[^/]+|[^/]+))?(?:/(?P<glob>.+))?"
)
_OBJECT_ID: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_MOST_PAGES: Final = 10_000
"""Of a thousand files each."""


class Place(NamedTuple):
    """What an ``hf://`` address or a repository's name says."""

    repo: str
    revision: str | None = None
    """Branch, tag, commit or reference; None is ``main``."""
    glob: str = ""
    """Of files, relative to the repository; a folder or a file also; empty is everything."""


def place_of(location: str) -> Place | None:
    """What ``location`` means on the Hub; None where it has not the form of it. Raises UsageError for a bad ``hf://``."""
    if not location.startswith(_SCHEME):
        return Place(location) if re.fullmatch(_REPO, location) else None
    found = _PLACE.fullmatch(location.removeprefix(_SCHEME))
    if found is None:
        raise UsageError(f"{location} is not of the form hf://datasets/ORG/NAME[@revision][/glob]")
    revision = found["revision"]
    return Place(found["repo"], unquote(revision) if revision else None, (found["glob"] or "").strip("/"))


class _Lfs(msgspec.Struct):
    oid: str
    size: int


class _Entry(msgspec.Struct):
    """One line of a listing, as far as it matters."""

    type: str
    path: str
    oid: str = ""
    size: int = 0
    lfs: _Lfs | None = None


class _Info(msgspec.Struct):
    sha: str


class Repo:
    """One dataset repository, over HTTP."""

    def __init__(self, name: str, http: Http) -> None:
        self.name = name
        self._http = http
        self._api = f"{http.endpoint}/api/datasets/{name}"

    def commit_of(self, revision: str) -> str:
        """The commit that a branch, tag or reference is at. Raises HubError."""
        info = _convert(self._http.json(f"{self._api}/revision/{quote(revision, safe='')}", self.name)[0], _Info)
        if not _COMMIT.fullmatch(info.sha):
            raise HubError(f"{self.name}: the Hub names no commit for {revision!r}")
        return str(info.sha)

    def files_at(self, commit: str) -> Iterator[Remote]:
        """All files of a commit, from one listing (a request for each thousand). Raises HubError."""
        page: str | None = f"{self._api}/tree/{commit}?recursive=true&expand=false"
        for _ in range(_MOST_PAGES):
            if page is None:
                return
            entries, page = self._http.json(page, f"the files of {self.name}")
            for entry in _convert(entries, list[_Entry]):
                if entry.type == "file" and ".." not in entry.path.split("/"):
                    yield self._remote(entry, commit)
        raise HubError(f"{self.name} has more files than can be listed")

    def _remote(self, entry: _Entry, commit: str) -> Remote:
        address = hf_hub_url(self.name, entry.path, repo_type="dataset", revision=commit, endpoint=self._http.endpoint)
        size, etag = (entry.size, entry.oid) if entry.lfs is None else (entry.lfs.size, entry.lfs.oid)
        return Remote(entry.path, address, size, etag)


def open_hub(
    place: Place,
    *,
    revision: str | None = None,
    pinned: str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    only: Container[str] | None = None,
    download: bool = False,
    connections: int = CONNECTIONS,
    http: Http | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Files:
    """The Parquet files of a dataset on the Hub, at one commit.

    Args:
        place: What SOURCE says.
        revision: Branch, tag or commit; as an alternative to the one in ``place``.
        pinned: The commit that an earlier scan resolved the revision to, which is then not asked for again.
        include: See :func:`scanner.sources.files.is_selected`; likewise ``exclude``.
        exclude: Globs.
        only: Names of files, where those of a split are known; None takes what ``place`` means.
        download: Mirror the files into the cache of ``huggingface_hub`` first, and read them there.
        connections: Requests under way at a time.
        http: How to ask.
        tell: Told of each wait for the Hub in a line, from any thread, until files are read (see
            :meth:`scanner.sources.files.Files.reading`).

    Raises:
        UsageError: two revisions.
        HubError: the Hub does not give it, or is offline and the cache has it not.
        NoMatchError: nothing is selected.
    """
    if revision and place.revision and revision != place.revision:
        raise UsageError(f"two revisions: {place.revision} in SOURCE and --revision {revision}")
    wanted = revision or place.revision or constants.DEFAULT_REVISION
    if constants.is_offline_mode():
        return _offline(place, pinned or wanted, include, exclude, only)
    http = http or Http(note=tell)
    repo = Repo(place.repo, http)
    commit = pinned or (wanted if _COMMIT.fullmatch(wanted) else repo.commit_of(wanted))
    listed = {file.name: file for file in repo.files_at(commit)}
    names = _selected(place, listed, include, exclude, only)
    if download:
        return _mirrored(repo.name, wanted, commit, names, connections, http.endpoint)
    return RemoteFiles(http, {name: listed[name] for name in names}, commit, connections=connections)


def _selected(
    place: Place,
    names: Sequence[str] | dict[str, Any],
    include: Sequence[str],
    exclude: Sequence[str],
    only: Container[str] | None,
) -> list[str]:
    meant = sorted(name for name in names if _is_meant(place.glob, name) and (only is None or name in only))
    if not meant:
        raise HubError(f"{place.repo} has no Parquet file{f' at {place.glob}' if place.glob else ''} at this revision")
    named = [place.glob] if "deprecated" in place.glob else []
    kept = [name for name in meant if is_selected(name, [*include, *named], exclude)]
    if not kept:
        raise NoMatchError(f"none of the {len(meant)} Parquet files of {place.repo} is selected; check --include")
    return kept


def _is_meant(glob: str, name: str) -> bool:
    if any(c in glob for c in "*?["):
        return name.endswith(".parquet") and glob_pattern(glob).fullmatch(name) is not None
    return name == glob or (name.endswith(".parquet") and (not glob or name.startswith(glob + "/")))


def _convert(content: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise HubError(f"the Hub's answer is not what it should be ({error}); check HF_ENDPOINT") from error


# -- from the cache ---------------------------------------------------------------------------------------------------


class CachedFiles(LocalFiles):
    """Files in the cache of ``huggingface_hub``, with the identity that they have on the Hub."""

    def __init__(
        self, root: Path, names: Sequence[str], revision: str, missing: Mapping[str, HubError] | None = None
    ) -> None:
        super().__init__(root, names)
        self.revision = revision
        self._missing = missing or {}
        """Files that could not be mirrored."""

    def identity(self, name: str) -> tuple[int, str]:
        """Size in bytes, and the LFS sha256 or git id: the name of the blob that the cache links to."""
        if name in self._missing:
            raise self._missing[name]
        size_bytes, identity = super().identity(name)
        blob = (self.root / name).resolve().name
        return size_bytes, blob if _OBJECT_ID.fullmatch(blob) else identity


def _offline(
    place: Place, revision: str, include: Sequence[str], exclude: Sequence[str], only: Container[str] | None
) -> CachedFiles:
    try:
        root = Path(snapshot_download(place.repo, repo_type="dataset", revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, FileNotFoundError) as error:
        raise HubError(
            f"offline mode is on (HF_HUB_OFFLINE), and {place.repo} at {revision} is not in the cache "
            f"({constants.HF_HUB_CACHE}); scan it once with --download while online"
        ) from error
    names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    return CachedFiles(root, _selected(place, names, include, exclude, only), root.name)


def _mirrored(
    repo: str, revision: str, commit: str, names: Sequence[str], connections: int, endpoint: str
) -> CachedFiles:
    def fetch(name: str) -> str | HubError:
        # By its name, which the cache keeps for offline use, unless it has moved on meanwhile.
        try:
            for each in (revision, commit):
                path = hf_hub_download(repo, name, repo_type="dataset", revision=each, endpoint=endpoint)
                if commit in Path(path).parts:
                    return path
        except (HfHubHTTPError, LocalEntryNotFoundError, httpx.HTTPError) as error:
            return HubError(f"{name} cannot be mirrored: {_in_words(error)}; run the same command again")
        return HubError(f"{name} cannot be had at commit {commit}")

    with ThreadPoolExecutor(connections) as pool:
        try:
            found = dict(zip(names, pool.map(fetch, names), strict=True))
        except OSError as error:  # of the disk, which all files share
            pool.shutdown(wait=False, cancel_futures=True)
            raise HubError(f"{repo} cannot be mirrored: {_in_words(error)}; run the same command again") from error
    missing = {name: error for name, error in found.items() if isinstance(error, HubError)}
    for name, path in found.items():
        if isinstance(path, str):
            return CachedFiles(Path(path).parents[name.count("/")], names, commit, missing)
    raise missing[names[0]]


def _in_words(error: Exception) -> str:
    if isinstance(error, HfHubHTTPError):
        return refusal(error.response.status_code, error.response.headers.get("X-Error-Code", ""))
    if isinstance(error, OSError) and error.strerror:
        return os.strerror(error.errno) if error.errno else error.strerror
    return "the Hub could not be reached"
