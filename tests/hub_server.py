"""A Hub on the loopback: repositories made of folders, over the HTTP that ``huggingface_hub`` and ``datasets`` speak.

Served are repository info, tree (paged), paths-info and resolve (GET and HEAD) with ranges, ETags, the commit header,
rate-limit headers and, for LFS files, the redirect to a signed address on a second, "storage" host. Faults are said
beforehand, for requests that match; every request is kept. It delays and limits only where a test asks for it.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

COMMIT_1, COMMIT_2 = "1" * 40, "2" * 40
TOKEN = "hf_TESTtokenTESTtokenTESTtokenTEST0000"
SIGNATURE = "X-Signature=5ecretS1gnature"
PAGE = 1000


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    host: str
    """``hub`` or ``storage``."""
    path: str
    range: tuple[int, int] | None
    authorized: bool

    @property
    def is_data(self) -> bool:
        """Whether it asks for bytes of a file."""
        return self.range is not None


@dataclass
class Fault:
    """What is done to the next ``times`` GET requests that match: a status, or one of the ways a body can go wrong.

    ``kind``: ``status``, ``hang`` (no answer), ``loop`` (a redirect to itself), ``reset`` (the connection breaks in
    mid-body), ``stall`` (nothing more comes), ``short`` (a proper answer to a shorter range), ``etag`` (another one),
    ``whole`` (200 and all), ``grown`` (another total size).
    """

    kind: str
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    match: Callable[[Request], bool] = lambda request: request.is_data and request.host == "storage"
    after: int = 0
    """Requests that match and are answered before."""


@dataclass
class Repo:
    """A repository: folders by commit, commits by branch."""

    commits: dict[str, Path]
    refs: dict[str, str]
    lfs: bool = True


class HubServer(ThreadingHTTPServer):
    """Both hosts: ``127.0.0.1`` is the Hub, ``localhost`` the storage. Use as a context manager."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    """Connections that wait to be accepted: with the usual five, a loaded machine loses some for seconds."""

    def __init__(
        self,
        repos: dict[str, Repo],
        *,
        latency_seconds: float = 0.0,
        bytes_per_second: float | None = None,
        require_token: bool = False,
        page: int = PAGE,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos = repos
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.latency_seconds = latency_seconds
        self.bytes_per_second = bytes_per_second
        self.require_token = require_token
        self.page = page
        self.headers: dict[str, str] = {}
        """Sent with every answer of the Hub."""
        self.expired: set[str] = set()
        """Signed addresses that storage refuses."""
        self.signed = 0
        self._stop = threading.Event()
        self._digests: dict[Path, tuple[str, str]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def storage_url(self) -> str:
        return f"http://localhost:{self.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is none of the test's business."""

    @property
    def data_requests(self) -> list[Request]:
        return [request for request in self.requests if request.is_data and request.host == "storage"]

    @property
    def bytes_asked(self) -> int:
        return sum(r.range[1] - r.range[0] for r in self.data_requests if r.range)

    def wait_for_end(self) -> None:
        """Until the test is over: how a body stalls."""
        self._stop.wait(60)

    def fault_of(self, request: Request) -> Fault | None:
        for fault in self.faults:
            if fault.times and fault.match(request):
                if fault.after:
                    fault.after -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    def digests(self, path: Path) -> tuple[str, str]:
        """(git id of the blob, sha256) of a file."""
        if path not in self._digests:
            data = path.read_bytes()
            oid = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
            self._digests[path] = oid, hashlib.sha256(data).hexdigest()
        return self._digests[path]


class _Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Tests read ``requests`` instead."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        host = "storage" if (self.headers.get("Host") or "").startswith("localhost") else "hub"
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        span = (int(asked[1]), int(asked[2]) + 1) if asked else None
        authorized = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        self.request_ = Request(self.command, host, parts.path, span, authorized)
        self.server.requests.append(self.request_)
        if self.server.latency_seconds:
            time.sleep(self.server.latency_seconds)
        self.fault = self.server.fault_of(self.request_) if self.command == "GET" else None
        if self._is("hang"):
            self.server.wait_for_end()
            self._break()
        elif self._is("loop"):
            self._send(302, b"", {"Location": self.path})
        elif self.fault is not None and self.fault.kind == "status":
            self._send(self.fault.status, b'{"error": "as asked"}', self.fault.headers)
        elif host == "storage":
            self._storage(parts.path, parts.query)
        elif self.server.require_token and not authorized:
            given = "Authorization" in self.headers
            code = {} if given else {"X-Error-Code": "RepoNotFound"}
            self._send(401, b'{"error": "Invalid username or password."}', code)
        elif parts.path.startswith("/api/datasets/"):
            self._api(parts.path.removeprefix("/api/datasets/"), parse_qs(parts.query), body)
        else:
            self._resolve(parts.path)

    # -- the API ------------------------------------------------------------------------------------------------------

    def _api(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
        org, name, *rest = path.split("/")
        repo = self.server.repos.get(f"{org}/{name}")
        if repo is None:
            self._send(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
            return
        what = rest[0] if rest else "revision"
        commit, folder = self._at(repo, unquote(rest[1]) if len(rest) > 1 else "main")
        if folder is None:
            self._send(404, b'{"error": "Invalid rev id"}', {"X-Error-Code": "RevisionNotFound"})
        elif what == "revision":
            siblings = [{"rfilename": file} for file in _files(folder)]
            info = {"id": f"{org}/{name}", "sha": commit, "siblings": siblings, "private": False, "tags": []}
            self._json({"_id": "0" * 24, "author": org, "gated": False, "disabled": False, **info})
        elif what == "tree":
            self._tree(repo, folder, "/".join(rest[2:]), query)
        elif what == "paths-info":
            form = json.loads(body) if body.startswith(b"{") else parse_qs(body.decode())
            self._json([entry for path in form["paths"] for entry in self._entry(repo, folder, unquote(path))])
        else:
            self._send(404, b"{}", {})

    def _tree(self, repo: Repo, folder: Path, below: str, query: dict[str, list[str]]) -> None:
        recursive = query.get("recursive", ["false"])[0].lower() in {"true", "1"}
        names = sorted(str(p.relative_to(folder)) for p in (folder / below).rglob("*"))
        if not recursive:
            names = [name for name in names if name.count("/") == (below.count("/") + 1 if below else 0)]
        start = int(query.get("cursor", ["0"])[0])
        entries = [e for name in names[start : start + self.server.page] for e in self._entry(repo, folder, name)]
        headers = {}
        if start + self.server.page < len(names):
            path = urlsplit(self.path).path
            rest = f"recursive={str(recursive).lower()}&cursor={start + self.server.page}"
            headers["Link"] = f'<{self.server.url}{path}?{rest}>; rel="next"'
        self._json(entries, headers)

    def _entry(self, repo: Repo, folder: Path, name: str) -> Iterator[dict[str, Any]]:
        path = folder / name
        if path.is_dir():
            yield {"type": "directory", "path": name, "oid": "d" * 40, "size": 0}
        elif path.is_file():
            oid, sha256 = self.server.digests(path)
            entry: dict[str, Any] = {"type": "file", "path": name, "oid": oid, "size": path.stat().st_size}
            if repo.lfs:
                entry |= {"oid": "e" * 40, "lfs": {"oid": sha256, "size": entry["size"], "pointerSize": 132}}
            yield entry

    def _at(self, repo: Repo, revision: str) -> tuple[str, Path | None]:
        commit = repo.refs.get(revision, revision)
        return commit, repo.commits.get(commit)

    # -- files --------------------------------------------------------------------------------------------------------

    def _resolve(self, path: str) -> None:
        found = re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        repo = self.server.repos.get(found[1]) if found else None
        if found is None or repo is None:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        commit, folder = self._at(repo, unquote(found[2]))
        file = folder / unquote(found[3]) if folder is not None else None
        if file is None or not file.is_file():
            code = "RevisionNotFound" if folder is None else "EntryNotFound"
            self._send(404, b"{}", {"X-Error-Code": code, "X-Repo-Commit": commit})
            return
        oid, sha256 = self.server.digests(file)
        if not repo.lfs:
            self._bytes(file, oid, {"X-Repo-Commit": commit})
            return
        self.server.signed += 1
        location = f"{self.server.storage_url}{quote(str(file))}?n={self.server.signed}&{SIGNATURE}"
        etag = '"another"' if self._is("etag") else f'"{sha256}"'
        headers = {"X-Repo-Commit": commit, "X-Linked-Etag": etag, "X-Linked-Size": str(file.stat().st_size)}
        self._send(302, b"", {**headers, "Location": location})

    def _storage(self, path: str, query: str) -> None:
        if SIGNATURE not in query or parse_qs(query)["n"][0] in self.server.expired:
            self._send(403, b"<Error>AccessDenied: Request has expired</Error>", {})
            return
        file = Path(unquote(path))
        self._bytes(file, "s3-" + self.server.digests(file)[0][:8], {})

    def _is(self, kind: str) -> bool:
        return self.fault is not None and self.fault.kind == kind

    def _bytes(self, file: Path, etag: str, headers: dict[str, str]) -> None:
        size = file.stat().st_size
        span = self.request_.range if not self._is("whole") else None
        start, end = span if span is not None else (0, size)
        end = min(end, size)
        if self._is("short"):
            end = start + max(1, (end - start) // 3)
        headers = {**headers, "ETag": '"another"' if self._is("etag") else f'"{etag}"', "Accept-Ranges": "bytes"}
        if start >= size > 0:
            self._send(416, b"", {**headers, "Content-Range": f"bytes */{size}"})
            return
        if span is not None:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size + 1 if self._is('grown') else size}"
        self.send_response(206 if span is not None else 200)
        self._headers({**headers, "Content-Length": str(end - start)})
        if self.command == "HEAD":
            return
        cut = (end - start) // 2 if self._is("reset") or self._is("stall") else end - start
        self._write(file, start, start + cut)
        if self._is("stall"):
            self.server.wait_for_end()
        if cut < end - start:
            self._break()

    def _write(self, file: Path, start: int, end: int) -> None:
        rate = self.server.bytes_per_second
        began = time.perf_counter()
        with file.open("rb") as data:
            data.seek(start)
            at = start
            while at < end:
                at += self.wfile.write(data.read(min(1 << 18, end - at)))
                if rate is not None:
                    time.sleep(max(0.0, began + (at - start) / rate - time.perf_counter()))

    def _break(self) -> None:
        """End the connection with a reset rather than an end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _json(self, content: Any, headers: dict[str, str] | None = None) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        self._headers({**headers, "Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _headers(self, headers: dict[str, str]) -> None:
        own = self.server.headers if self.request_.host == "hub" else {}
        for name, value in {**own, **headers}.items():
            self.send_header(name, value)
        self.end_headers()


def _files(folder: Path) -> Sequence[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@contextmanager
def hub_of(folder: Path, name: str = "org/tasks", **options: Any) -> Iterator[HubServer]:
    """A Hub with one repository whose ``main`` is ``folder``."""
    lfs = options.pop("lfs", True)
    with HubServer({name: Repo({COMMIT_1: folder}, {"main": COMMIT_1}, lfs)}, **options) as server:
        yield server
