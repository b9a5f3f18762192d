"""Requests to the Hub: every one has timeouts, all share one budget of retries, and waits are as long as told.

Sessions, headers and addresses are those of ``huggingface_hub``, so its ``HF_*`` variables, proxies and client
factories hold here too. Its own ``http_backoff`` is not used: each of its callers would retry for itself (a broken
mirror then sees the product of all retries), it keeps nothing of a body that was cut, and the client has no timeout.

The token goes to the Hub alone, never to where it redirects.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Final, TypeVar
from urllib.parse import urljoin, urlsplit

import msgspec
from huggingface_hub import constants
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import build_hf_headers, get_session, parse_ratelimit_headers  # type: ignore[attr-defined]

from scanner.sources.answers import (
    EXPIRED,
    TRANSIENT,
    HubError,
    Refused,
    Remote,
    Transient,
    check_range,
    kind_of,
    origin,
    plain,
    redirected,
    refusal,
    retry_after,
)

httpx: Any = import_module("httpx2" if find_spec("httpx2") else "httpx")
"""Whichever huggingface_hub uses: it moved from one to the other in its second major version."""

T = TypeVar("T")

ATTEMPTS: Final = 6
"""Times one request is tried before its file is given up."""

RETRIES: Final = 60.0
"""Retries that all requests of a scan share; each request that succeeds gives :data:`GIVEN_BACK` of one back.

So a Hub with hiccups is read to the end, and one that is down is left alone after a minute (gRPC throttles alike).
"""

GIVEN_BACK: Final = 0.5

FIRST_BACKOFF_SECONDS: Final = 1.0
MOST_BACKOFF_SECONDS: Final = 30.0

MOST_TOLD_SECONDS: Final = 900.0
"""The longest wait a server may ask for: three windows of the Hub's rate limits."""

CONNECT_SECONDS: Final = 10.0
SLOWEST_BYTES_PER_SECOND: Final = 50_000
"""A body that comes slower than this (after a grace of a minute) counts as stalled, though every read is in time."""

GRACE_SECONDS: Final = 60.0
MOST_JSON_BYTES: Final = 64 << 20
"""One page of a listing holds a thousand files in 300 kB."""

MOST_REDIRECTS: Final = 5

_LIBRARY: Final = "tasktrove-scanner"


def hold_to_timeouts() -> None:
    """Have the client of ``huggingface_hub`` send nothing without timeouts, as ``datasets`` and its file system would.

    Called before each use, as the client is made anew when a connection fails.
    """
    client = get_session()
    hooks = client.event_hooks
    if _with_timeouts not in hooks["request"]:
        client.event_hooks = {**hooks, "request": [*hooks["request"], _with_timeouts]}


def _with_timeouts(request: Any) -> None:
    timeouts = request.extensions.setdefault("timeout", {})
    for kind in ("connect", "read", "write", "pool"):
        if timeouts.get(kind) is None:
            timeouts[kind] = CONNECT_SECONDS if kind == "connect" else float(constants.HF_HUB_DOWNLOAD_TIMEOUT)


class Budget:
    """Retries that are left, shared by all threads."""

    def __init__(self, retries: float = RETRIES) -> None:
        self._lock = threading.Lock()
        self._most = self._left = retries

    def take(self) -> bool:
        """Use one retry; whether there was one."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True

    def give_back(self) -> None:
        """A request succeeded."""
        with self._lock:
            self._left = min(self._most, self._left + GIVEN_BACK)


class Http:
    """GET with timeouts, shared retries and shared pauses. Safe to use from many threads.

    Args:
        endpoint: Address of the Hub; by default ``HF_ENDPOINT`` as it is now.
        read_seconds: Time without a single byte after which a body counts as stalled; ``HF_HUB_DOWNLOAD_TIMEOUT``.
        wait: Waits so many seconds.
        clock: Seconds that never go back.
        jitter: A number from 0 to 1, drawn anew each time.
        note: Told of each wait in a line; called from any thread.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        budget: Budget | None = None,
        read_seconds: float | None = None,
        wait: Callable[[float], Any] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.endpoint = (endpoint or os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
        self.note = note
        self._budget = budget or Budget()
        self._read_seconds = read_seconds if read_seconds is not None else float(constants.HF_HUB_DOWNLOAD_TIMEOUT)
        self._wait = wait
        self._clock = clock
        self._jitter = jitter
        self._lock = threading.Lock()
        self._pauses: dict[str, float] = {}
        """By class of requests, until when (by the clock) none may be sent."""
        self._etags: dict[tuple[str, tuple[str, str]], str] = {}
        self._targets: dict[str, str] = {}
        """Where an address was redirected to: signed, valid for an hour or so, and used until it is refused."""
        self._lent: str | None = None

    def __reduce__(self) -> tuple[type[Http], tuple[str]]:
        """What asks elsewhere has its own budget and pauses, and the token of the place where it is, or a lent one."""
        return Http, (self.endpoint,)

    @property
    def credentials(self) -> str | None:
        """The ``Authorization`` of requests to the Hub, to be lent to who asks elsewhere; None where there is none."""
        return self._lent or build_hf_headers().get("authorization")

    @credentials.setter
    def credentials(self, lent: str | None) -> None:
        self._lent = lent

    def json(self, address: str, what: str) -> tuple[Any, str | None]:
        """The JSON at ``address`` and the address of the next page, if any. Raises HubError."""

        def send() -> tuple[Any, str | None]:
            body = bytearray()
            with closing(self._open(address, {"Accept": "application/json"})) as response:
                for chunk in self._in_time(response.iter_bytes(), MOST_JSON_BYTES):
                    body += chunk
                    if len(body) > MOST_JSON_BYTES:
                        raise Refused(f"the answer is larger than {MOST_JSON_BYTES:,} bytes")
                following = response.links.get("next", {}).get("url")
            try:
                return msgspec.json.decode(body), urljoin(address, following) if following else None
            except msgspec.DecodeError as error:
                raise Transient("the answer is not JSON") from error

        return self._attempt(send, what)

    def range(self, file: Remote, start: int, end: int) -> bytearray:
        """Bytes ``start .. end`` (not included) of a file. Raises HubError, also where it is not the listed content.

        What came before a connection broke is kept: the next attempt asks for the rest.
        """
        body = bytearray(end - start)
        got = 0

        def send() -> None:
            nonlocal got
            before = got
            with closing(self._open(file.address, {"Range": f"bytes={start + got}-{end - 1}"}, file)) as response:
                check_range(response, file, start + got, end)
                for chunk in self._in_time(response.iter_raw(), end - start - got):
                    take = min(len(chunk), end - start - got)
                    body[got : got + take] = chunk[:take]
                    got += take
                    if take < len(chunk):
                        break
            if got < end - start:
                raise Transient(f"{got - before:,} of {end - start - before:,} bytes came")

        self._attempt(send, file.name, lambda: got)
        return body

    def _attempt(self, send: Callable[[], T], what: str, progress: Callable[[], int] = lambda: 0) -> T:
        """What ``send`` returns, called again after each Transient as long as the budget lasts. Raises HubError.

        Attempts count anew where ``progress`` went on meanwhile: a server may answer in parts.
        """
        number, before = 0, 0
        while True:
            number = number + 1 if progress() == before else 1
            before = progress()
            try:
                value = send()
            except Transient as reason:
                self._before_next(number, reason, what)
            except httpx.HTTPError as error:
                self._before_next(number, Transient(self._in_words(error)), what)
            except Refused as reason:
                raise HubError(f"{what}: {reason}") from None
            except OfflineModeIsEnabled:
                raise HubError(f"{what}: offline mode is on (HF_HUB_OFFLINE); unset it to read from the Hub") from None
            else:
                self._budget.give_back()
                return value

    def _before_next(self, number: int, reason: Transient, what: str) -> None:
        told = reason.told_seconds
        if told is not None and told > MOST_TOLD_SECONDS:
            raise HubError(f"{what}: {reason}, and asks to wait {told:,.0f} s; run the same command again after that")
        if number >= ATTEMPTS or not self._budget.take():
            raise HubError(f"{what}: {reason} (attempt {number}); run the same command again to go on")
        if told is None:  # else all wait, before their next request
            seconds = min(MOST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2 ** (number - 1)) * (0.5 + self._jitter() / 2)
            self.note(f"{what}: {reason}; trying again in {seconds:.1f} s")
            self._wait(seconds)

    def _in_words(self, error: Exception) -> str:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return f"cannot connect to {urlsplit(self.endpoint).hostname} or where it redirects"
        if isinstance(error, httpx.TimeoutException):
            return f"no byte came for {self._read_seconds:g} s"
        return "the connection broke"

    # -- one request --------------------------------------------------------------------------------------------------

    def _open(self, address: str, headers: Mapping[str, str], file: Remote | None = None) -> Any:
        """The response to a GET, redirects followed; close it. Raises Transient, Refused or the client's errors."""
        target = self._targets.get(address, address)
        for _ in range(MOST_REDIRECTS):
            self._keep_pause(target)
            response = self._send(target, headers)
            try:
                told = self._heed_limits(target, response)
                if file is not None:
                    self._check_etag(target, response, file)
                if not response.has_redirect_location:
                    self._check_status(address, target, response, told)
                    return response
                target = redirected(target, response)
            except BaseException:
                response.close()
                raise
            response.close()
            self._targets[address] = target
        self._targets.pop(address, None)  # another thread may have come round, too
        raise Refused("the Hub redirects in a circle")

    def _send(self, target: str, headers: Mapping[str, str]) -> Any:
        own = build_hf_headers(library_name=_LIBRARY, library_version=version(_LIBRARY)) if self._is_hub(target) else {}
        if own and self._lent is not None:
            own["authorization"] = self._lent
        headers = {**own, **headers, "Accept-Encoding": "identity"}
        client = get_session()
        timeout = httpx.Timeout(self._read_seconds, connect=CONNECT_SECONDS)
        try:
            request = client.build_request("GET", target, headers=headers, timeout=timeout)
            return client.send(request, stream=True, follow_redirects=False)
        except RuntimeError as error:  # huggingface_hub closes the shared client when a call of its own cannot connect
            raise Transient("the connection was closed") from error
        except httpx.InvalidURL as error:
            raise Refused("the Hub redirects to what is no address") from error

    def _in_time(self, chunks: Iterable[bytes], most_bytes: int) -> Iterator[bytes]:
        deadline = self._clock() + GRACE_SECONDS + most_bytes / SLOWEST_BYTES_PER_SECOND
        for chunk in chunks:
            yield chunk
            if self._clock() > deadline:
                raise Transient(f"fewer than {SLOWEST_BYTES_PER_SECOND:,} bytes a second came")

    # -- what the server says -----------------------------------------------------------------------------------------

    def _keep_pause(self, target: str) -> None:
        """Wait until requests of this class may be sent."""
        kind = kind_of(target)
        while (seconds := self._pauses.get(kind, 0.0) - self._clock()) > 0:
            self._wait(seconds)

    def _heed_limits(self, target: str, response: Any) -> float | None:
        """Pause all requests of this class where the server says so, also before it has to refuse one: how long."""
        limits = parse_ratelimit_headers(response.headers)
        told = retry_after(response) if response.status_code in TRANSIENT else None
        if limits is not None and limits.remaining == 0:
            told = max(told or 0.0, float(limits.reset_in_seconds))
        if not told or told > MOST_TOLD_SECONDS:
            return told
        with self._lock:
            kind, until = kind_of(target), self._clock() + told + self._jitter()
            is_news = self._pauses.get(kind, 0.0) < until - 2
            self._pauses[kind] = max(until, self._pauses.get(kind, 0.0))
        if is_news:
            self.note(f"waiting {told:,.0f} s before the next request, as the Hub asks ({kind})")
        return told

    def _check_etag(self, target: str, response: Any, file: Remote) -> None:
        """Raise Refused where ``response`` is about other content than was listed."""
        if response.status_code >= 400:
            return
        linked = plain(response.headers.get("X-Linked-Etag", ""))
        own = "" if response.has_redirect_location else plain(response.headers.get("ETag", ""))
        sent, expected = linked or own, file.etag
        if sent and not linked and not self._is_hub(target):  # storage has ETags of its own: they stay what they were
            expected = self._etags.setdefault((file.address, origin(target)), sent)
        if sent and sent != expected:
            raise Refused("it changed since it was listed (its ETag is another); scan with --fresh")

    def _check_status(self, address: str, target: str, response: Any, told: float | None) -> None:
        status = response.status_code
        if status < 300:
            return
        if status in TRANSIENT:
            raise Transient(f"the Hub answers {status}", told)
        if target != address and status in EXPIRED:
            self._targets.pop(address, None)
            raise Transient("the signed address is no longer valid", 0.0)
        raise Refused(refusal(status, response.headers.get("X-Error-Code", "")))

    def _is_hub(self, target: str) -> bool:
        return origin(target) == origin(self.endpoint)
