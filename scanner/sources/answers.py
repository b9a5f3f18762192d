"""What a server's answer means: go on, try again (and when), or give up, in a sentence that says what to do.

No address and no words of a server reach an error: signed addresses are credentials, and a page may echo a token.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

from huggingface_hub import get_token

from scanner.errors import SourceError

TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
EXPIRED: Final = frozenset({400, 401, 403, 404, 410})
"""What storage servers answer to a signed address that is no longer valid."""


class HubError(SourceError):
    """The Hub (or what stands between) does not give what was asked for; the sentence says what to do."""


class Refused(Exception):
    """Something that will be the same at the next attempt."""


class Transient(Exception):
    """Something that may be gone at the next attempt."""

    def __init__(self, reason: str, told_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.told_seconds = told_seconds


class Remote(NamedTuple):
    """A file as it was listed."""

    name: str
    """As errors and notes call it."""
    address: str
    size_bytes: int
    etag: str
    """What the Hub sends as ETag of this content: LFS sha256, else git's id of the blob."""


_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")


def origin(address: str) -> tuple[str, str]:
    """Scheme, and host with port."""
    parts = urlsplit(address)
    return parts.scheme, parts.netloc


def kind_of(target: str) -> str:
    """The Hub's own classes of requests (its ``RateLimit`` header names them); a storage server is one of its own."""
    parts = urlsplit(target)
    return "api" if parts.path.startswith("/api/") else "resolvers" if "/resolve/" in parts.path else parts.netloc


def plain(etag: str) -> str:
    """An ETag without quotes and ``W/``."""
    return etag.removeprefix("W/").strip('"')


def redirected(target: str, response: Any) -> str:
    """Where ``response`` to a request to ``target`` redirects. Raises Refused where that is less safe."""
    following = urljoin(target, response.headers["Location"])
    if urlsplit(following).scheme not in ({"https"} if target.startswith("https:") else {"http", "https"}):
        raise Refused("the Hub redirects to an address that is not safe")
    return str(following)


def retry_after(response: Any) -> float | None:
    """Seconds of a ``Retry-After`` (RFC 9110, 10.2.3), which is a number or a date."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()) if value else None
    except (ValueError, TypeError):
        return None


def refusal(status: int, code: str) -> str:
    """What an answer that will not get better means, and what to do; ``code`` is the Hub's ``X-Error-Code``."""
    token = "the token" if get_token() else "no token (HF_TOKEN is not set)"
    if code == "RevisionNotFound":
        return "there is no such revision; check --revision"
    if code == "EntryNotFound":
        return "there is no such file at this revision"
    if code == "GatedRepo" or status == 403:
        return f"access is restricted, and {token} does not open it; ask for access on its page, then set HF_TOKEN"
    if code == "RepoNotFound" or status == 404:
        return f"there is no such dataset, or it is private and {token} does not open it"
    if status == 401:
        return f"the Hub does not accept {token}: expired or invalid; make one under Settings, then set HF_TOKEN"
    return f"the Hub answers {status}"


def check_range(response: Any, file: Remote, start: int, end: int) -> None:
    """Raise Refused or Transient unless ``response`` brings bytes from ``start`` on of the file as it was listed."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise Refused("the server compresses ranges; try --download")
    said = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if response.status_code != 206 or said is None:
        raise Refused("the server does not serve ranges; try --download")
    first, last, total = (int(number) for number in said.groups())
    if total != file.size_bytes:
        raise Refused(f"it has {total:,} bytes, not the {file.size_bytes:,} that were listed; scan with --fresh")
    if first != start or last >= end:
        raise Transient("another range came than was asked for")
