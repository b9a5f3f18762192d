"""The tables of task.toml as Harbor 0.25 validates them (its documentation: "Task configuration").

What a table accepts was found by asking Harbor: see ``tests/test_harbor_parity.py``. Unknown keys are ignored at every
level.
"""

from __future__ import annotations

from typing import Any

from scanner.tasks.checks import (
    artifact_destination,
    artifact_source,
    compose_service,
    headers_rule,
    host,
    network_rule,
    old_version_rule,
    package_name,
    phase_network_rule,
    sidecar_rule,
    sizes_rule,
    step_name,
    topology,
    transport_rule,
    unique_steps_rule,
)
from scanner.tasks.schema import (
    Check,
    Wrong,
    any_table,
    array_of,
    either,
    finite,
    integer,
    mapping_of,
    non_empty_text,
    number,
    one_of,
    table_of,
    text,
    text_or_integer,
    truth,
)

_TEXTS = array_of(text)
_ENV = mapping_of(text)
_NETWORK_MODE = one_of("no-network", "public", "allowlist")
_PHASE: dict[str, Check] = {"network_mode": _NETWORK_MODE, "allowed_hosts": array_of(host), "user": text_or_integer}

_AUTHOR = table_of({"name": text, "email": text}, ("name",))
_TASK = table_of(
    {
        "name": package_name,
        "version": non_empty_text,
        "description": text,
        "authors": array_of(_AUTHOR),
        "keywords": _TEXTS,
    },
    ("name",),
)
_HEALTHCHECK = table_of(
    {
        "command": text,
        "interval_sec": number,
        "timeout_sec": number,
        "start_period_sec": number,
        "start_interval_sec": number,
        "retries": integer,
    },
    ("command",),
)


def _header_table(value: Any) -> Wrong | None:
    return _ENV(value) or headers_rule(value)


_MCP_SERVER = table_of(
    {
        "name": text,
        "transport": one_of("stdio", "sse", "streamable-http", "http"),
        "url": text,
        "command": text,
        "args": _TEXTS,
        "headers": _header_table,
    },
    ("name",),
    (transport_rule,),
)
_ENVIRONMENT = table_of(
    {
        "network_mode": _NETWORK_MODE,
        "allowed_hosts": array_of(host),
        "build_timeout_sec": number,
        "docker_image": text,
        "os": one_of("linux", "windows", fold=True),
        "cpus": finite,
        "memory_mb": integer,
        "storage_mb": integer,
        "gpus": integer,
        "gpu_types": _TEXTS,
        "tpu": table_of({"type": non_empty_text, "topology": topology}, ("type", "topology")),
        "mcp_servers": array_of(_MCP_SERVER),
        "env": _ENV,
        "skills_dir": text,
        "healthcheck": _HEALTHCHECK,
        "workdir": text,
        "allow_internet": truth,
    },
    (),
    (network_rule, sizes_rule),
)
_AGENT = table_of({**_PHASE, "timeout_sec": number}, (), (phase_network_rule,))
_COLLECT = table_of(
    {"command": text, "service": compose_service, "timeout_sec": number, "user": text_or_integer}, ("command",)
)


def _not_shared(table: Any) -> Wrong | None:
    if table.get("environment_mode") == "shared" and "environment" in table:
        return Wrong('environment_mode = "shared" contradicts [verifier.environment]')
    return None


_VERIFIER = table_of(
    {
        **_PHASE,
        "timeout_sec": number,
        "env": _ENV,
        "environment_mode": one_of("shared", "separate"),
        "environment": _ENVIRONMENT,
        "collect": array_of(_COLLECT),
    },
    (),
    (phase_network_rule, _not_shared),
)
_ARTIFACT = table_of(
    {"source": artifact_source, "destination": artifact_destination, "exclude": _TEXTS, "service": compose_service},
    ("source",),
    (sidecar_rule,),
)
_ARTIFACTS = array_of(either(artifact_source, _ARTIFACT))
_STEP = table_of(
    {
        "name": step_name,
        "agent": _AGENT,
        "verifier": _VERIFIER,
        "min_reward": either(number, mapping_of(number)),
        "healthcheck": _HEALTHCHECK,
        "artifacts": _ARTIFACTS,
    },
    ("name",),
)
CONFIG = table_of(
    {
        "schema_version": text,
        "task": _TASK,
        "metadata": any_table,
        "verifier": _VERIFIER,
        "agent": _AGENT,
        "environment": _ENVIRONMENT,
        "solution": table_of({"env": _ENV}),
        "source": text,
        "multi_step_reward_strategy": one_of("mean", "final"),
        "steps": array_of(_STEP),
        "artifacts": _ARTIFACTS,
    },
    (),
    (old_version_rule, unique_steps_rule),
)
"""The whole of task.toml."""
