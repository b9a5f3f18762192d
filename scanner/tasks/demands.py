"""What a task.toml asks of the files beside it: all that the rules on directories get to see of it.

Files of one source differ in names, texts and timeouts and ask for the same, so what names and task.toml say together
(:mod:`scanner.tasks.standing`) is remembered by these values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Verifier(NamedTuple):
    """A ``[verifier]`` table, of the task or of a step; one that is not there asks for nothing."""

    mode: str | None
    """``environment_mode``, or ``separate`` where there is a ``[verifier.environment]``."""
    has_environment: bool
    has_image: bool
    """Whether its environment names a ``docker_image``."""
    os: str | None
    """Of its environment, in lower case."""


class Step(NamedTuple):
    """One of ``[[steps]]``."""

    name: str
    verifier: Verifier


class Demands(NamedTuple):
    """What a task.toml asks for whose values Harbor accepts."""

    has_image: bool
    """Whether ``[environment]`` names a ``docker_image``."""
    os: str | None
    """Of ``[environment]``, in lower case."""
    verifier: Verifier
    steps: tuple[Step, ...]

    def named(self, names: Sequence[str]) -> Demands:
        """The same, with steps of other names; steps beyond the last name are left out."""
        steps = zip(names, self.steps, strict=False)
        return self._replace(steps=tuple([Step(name, step.verifier) for name, step in steps]))


def demands_of(config: Mapping[str, Any]) -> Demands:
    """The demands of a parsed task.toml that :func:`scanner.tasks.harbor.config_error` finds nothing wrong with."""
    environment = config.get("environment", {})
    return Demands(
        has_image=bool(environment.get("docker_image")),
        os=_os(environment),
        verifier=_verifier(config),
        steps=tuple([Step(step["name"], _verifier(step)) for step in config.get("steps", ())]),
    )


def _verifier(table: Mapping[str, Any]) -> Verifier:
    verifier = table.get("verifier", {})
    environment = verifier.get("environment")
    mode = verifier.get("environment_mode")
    if environment is None:
        return Verifier(mode, has_environment=False, has_image=False, os=None)
    has_image = bool(environment.get("docker_image"))
    return Verifier(mode or "separate", has_environment=True, has_image=has_image, os=_os(environment))


def _os(environment: Mapping[str, Any]) -> str | None:
    return str(environment["os"]).lower() if "os" in environment else None
