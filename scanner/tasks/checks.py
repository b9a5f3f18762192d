"""What Harbor 0.25 asks of single values of task.toml beyond their type, and of values that stand in one table.

Found by asking Harbor: see ``tests/test_harbor_parity.py``. Trailing newlines that some patterns let through are
Harbor's (a ``$`` in its patterns), and kept. :mod:`scanner.tasks.config` says where each of them holds.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import ip_address, ip_network
from pathlib import PurePosixPath
from typing import Any

from scanner.tasks.schema import Wrong, matching

_HOST_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\n?")
_DEVICE_NAME = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[1-9\u00b9\u00b2\u00b3])", re.IGNORECASE)
_NOT_IN_STEP_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_SERVICE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")
_TOPOLOGY = re.compile(r"[1-9]\d*(?:x[1-9]\d*)+")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN(?!S)|PASSWORD|CREDENTIAL|AUTH", re.IGNORECASE)
_BARE_VARIABLE = r"\$\{[A-Za-z_][A-Za-z0-9_]*(?::-)?\}"
_SECRET_VALUE = re.compile(rf"\s*(?:[A-Za-z]+\s+)?{_BARE_VARIABLE}(?:[\s:-]*{_BARE_VARIABLE})*\s*")
_MAX_STEP_NAME_BYTES = 255


def host(value: Any) -> Wrong | None:
    """A host name, ``*.`` and a host name, an IP address, or a network; no URL, port or path."""
    if type(value) is not str:
        return Wrong("must be a string")
    host = value.strip().lower().rstrip(".")
    if not host:
        return Wrong("must not be empty")
    if "/" in host or ":" in host:
        try:
            right = "%" not in host and (ip_network(host) if "/" in host else ip_address(host)) is not None
        except ValueError:
            right = False
        return None if right else Wrong("must be a host name, an IP address or a network, not a URL or a port")
    if host.startswith("*."):
        host = host[2:]
        if _is_address(host):
            return Wrong("must not put *. before an IP address")
    if all(_HOST_LABEL.fullmatch(label) for label in host.split(".")):
        return None
    return Wrong("must be a host name, with * only as a leading *.")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def phase_network_rule(table: Any) -> Wrong | None:
    """``allowed_hosts`` of [agent] and [verifier] goes with an allowlist of their own only."""
    if "network_mode" not in table and "allowed_hosts" in table:
        return Wrong('allowed_hosts needs network_mode = "allowlist"')
    return network_rule(table)


def network_rule(table: Any) -> Wrong | None:
    """``allowed_hosts`` that are not empty go with an allowlist only."""
    if table.get("allowed_hosts") and table.get("network_mode") != "allowlist":
        return Wrong('allowed_hosts needs network_mode = "allowlist"')
    return None


def sizes_rule(table: Any) -> Wrong | None:
    """``memory`` and ``storage``, the old spellings: ``"2G"``, ``"512M"``, ``"8K"``; not strings, they are ignored."""
    for old, new in (("memory", "memory_mb"), ("storage", "storage_mb")):
        size = table.get(old)
        if type(size) is not str:
            continue
        megabytes = _megabytes(size)
        if megabytes is None:
            return Wrong('must be a size like "2G" or "512M"', (old,))
        if new in table and table[new] != megabytes:
            return Wrong(f"and {new} contradict each other", (old,))
    return None


def _megabytes(size: str) -> int | None:
    trimmed = size.strip().upper()
    factor = {"G": 1024.0, "M": 1.0, "K": 1 / 1024}.get(trimmed[-1:])
    if factor is None:
        return None
    try:
        return int(float(trimmed[:-1]) * factor)
    except (ValueError, OverflowError):
        return None


def topology(value: Any) -> Wrong | None:
    """Dimensions of a TPU: ``"2x4"``."""
    if type(value) is str and _TOPOLOGY.fullmatch(value.strip()):
        return None
    return Wrong('must be a topology like "2x4"')


def headers_rule(table: Any) -> Wrong | None:
    """HTTP headers: valid names, no newlines, and credentials only as ``${VARIABLE}`` without a default."""
    for name, value in table.items():
        if not _HEADER_NAME.fullmatch(name):
            return Wrong("is no HTTP header name", (name,))
        if "\r" in value or "\n" in value:
            return Wrong("must not contain newlines", (name,))
        if "${" in _VARIABLE.sub(" ", value) or any("${" in (m[2] or "") for m in _VARIABLE.finditer(value)):
            return Wrong("holds an invalid ${VARIABLE}", (name,))
        secret = _SECRET_NAME.search(name) is not None or name.lower() in {"cookie", "set-cookie"}
        defaults = any(m[2] and (secret or _SECRET_NAME.search(m[1])) for m in _VARIABLE.finditer(value))
        if defaults or (secret and value.strip() and not _SECRET_VALUE.fullmatch(value)):
            return Wrong("must name its credential as ${VARIABLE} without a default", (name,))
    return None


def transport_rule(table: Any) -> Wrong | None:
    """What an MCP server needs for its transport: a command for stdio, a url for the others."""
    if table.get("transport", "sse") == "stdio":
        if not table.get("command"):
            return Wrong('needs a command for transport "stdio"')
        return Wrong("takes headers only over HTTP") if table.get("headers") else None
    return None if table.get("url") else Wrong("needs a url for its transport")


def compose_service(value: Any) -> Wrong | None:
    """The name of a Compose service."""
    if type(value) is str and _SERVICE.fullmatch(value.strip()):
        return None
    return Wrong("must be the name of a Compose service")


def artifact_source(value: Any) -> Wrong | None:
    """A path without ``..``."""
    if type(value) is not str:
        return Wrong("must be a string")
    return Wrong("must not contain ..") if ".." in value.split("/") else None


def artifact_destination(value: Any) -> Wrong | None:
    """A path below the folder of artifacts, with ``/``, and not its manifest.json; empty is no destination."""
    if type(value) is not str:
        return Wrong("must be a string")
    if not value:
        return None
    if "\\" in value or value.startswith("/") or ".." in value.split("/") or not PurePosixPath(value).parts:
        return Wrong("must be a relative path with / and without ..")
    return Wrong("must not be manifest.json") if value.rstrip("/") == "manifest.json" else None


def sidecar_rule(table: Any) -> Wrong | None:
    """An artifact of a service other than ``main`` has an absolute source, of Linux or Windows."""
    service, source = table.get("service", "main").strip(), table["source"]
    if service == "main" or source.startswith("/") or _DRIVE.match(source):
        return None
    return Wrong("must have an absolute source for a service other than main")


def step_name(value: Any) -> Wrong | None:
    """A directory name that every system can hold."""
    if type(value) is not str:
        return Wrong("must be a string")
    portable = (
        value.strip()
        and not value.endswith((".", " "))
        and not _NOT_IN_STEP_NAMES.search(value)
        and not _DEVICE_NAME.fullmatch(value.partition(".")[0].rstrip(" "))
        and len(value.encode()) <= _MAX_STEP_NAME_BYTES
    )
    return None if portable else Wrong("must be a portable directory name")


def unique_steps_rule(table: Any) -> Wrong | None:
    """Names of steps differ in more than case and Unicode form."""
    seen: set[str] = set()
    for step in table.get("steps", ()):
        name = unicodedata.normalize("NFC", step["name"]).casefold()
        if name in seen:
            return Wrong(f"has two steps named {step['name']!r}", ("steps",))
        seen.add(name)
    return None


def old_version_rule(table: Any) -> Wrong | None:
    """``version`` is read where there is no ``schema_version``."""
    if "version" in table and "schema_version" not in table and type(table["version"]) is not str:
        return Wrong("must be a string", ("version",))
    return None


def package_name(value: Any) -> Wrong | None:
    """``org/name``, without ``..``."""
    wrong = _ORG_NAME(value)
    return wrong or (Wrong("must not contain ..") if ".." in value else None)


_ORG_NAME = matching(
    r"[a-zA-Z0-9][a-zA-Z0-9._-]*/[a-zA-Z0-9][a-zA-Z0-9._-]*\n?",
    'must be of the form "org/name" (letters, digits, . _ -)',
)
