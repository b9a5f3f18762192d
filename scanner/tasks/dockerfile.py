"""The base image of a Dockerfile: the image its first ``FROM`` names.

Follows the Dockerfile reference (docs.docker.com/reference/dockerfile): instructions in any case, ``#`` comment lines,
continuation lines, parser directives, ``ARG`` before ``FROM`` with its defaults filled in, flags before the image.
"""

from __future__ import annotations

import re

_DIRECTIVE = re.compile(r"#\s*([a-zA-Z]+)\s*=\s*(\S+)\s*")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::?-([^}]*))?\}|([A-Za-z_]\w*))")
_MAX_CHARS = 512


def base_image(dockerfile: bytes) -> str | None:
    """The image as written, known variables filled in; None where there is no ``FROM``. At most 512 characters."""
    arguments: dict[str, str] = {}
    for instruction in _instructions(dockerfile.decode("utf-8", "replace")):
        word, _, rest = instruction.partition(" ")
        keyword = word.upper()
        if keyword == "ARG":
            for part in rest.split():
                name, given, default = part.partition("=")
                if given:
                    arguments[name] = _filled(default.strip("\"'"), arguments)
        elif keyword == "FROM":
            image = next((part for part in rest.split() if not part.startswith("--")), None)
            return None if image is None else _filled(image.strip("\"'"), arguments)[:_MAX_CHARS]
    return None


def _filled(value: str, arguments: dict[str, str]) -> str:
    """``value`` with its variables replaced where a default is known, otherwise left as they stand."""
    if "$" not in value:
        return value

    def replace(match: re.Match[str]) -> str:
        braced, default, bare = match.groups()
        return arguments.get(braced or bare) or (match[0] if default is None else default)

    return _VARIABLE.sub(replace, value)[:_MAX_CHARS]


def _instructions(text: str) -> list[str]:
    """Instructions up to the first ``FROM``, each on one line with single spaces at its seams."""
    escape = "\\"
    directives = True
    found: list[str] = []
    pending = ""
    for line in text.removeprefix("\ufeff").split("\n"):
        stripped = line.strip()
        if directives and (directive := _DIRECTIVE.fullmatch(stripped)):
            if directive[1].lower() == "escape":
                escape = directive[2]
            continue
        directives = False
        if not stripped or stripped.startswith("#"):
            continue  # also between the lines of one instruction
        if stripped.endswith(escape):
            pending += stripped[: -len(escape)] + " "
            continue
        instruction = " ".join((pending + stripped).split(None, 1))
        pending = ""
        found.append(instruction)
        if instruction.partition(" ")[0].upper() == "FROM":
            break
    if pending:
        found.append(" ".join(pending.split(None, 1)))
    return found
