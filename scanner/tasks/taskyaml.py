"""task.yaml, the file that holds the instruction of a terminal-bench task: plain YAML, or whatever libyaml takes."""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml

from scanner.tasks import plainyaml
from scanner.tasks.plainyaml import Field, Scalar

try:
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # PyYAML built without libyaml
    from yaml import SafeLoader as _SafeLoader

MAX_YAML_BYTES = 1 << 20
"""Larger YAML is not parsed; real ones have a few kB."""

_MAX_YAML_NESTING = 200
_TEXT = "tag:yaml.org,2002:str"


class _Loader(_SafeLoader):  # type: ignore[misc] # PyYAML has no types
    """Composes nodes without finding the type of each, which takes a third of the time: one or two are looked at.

    The tag of a scalar without one is :data:`_TEXT` where it is quoted, and empty where its value decides.
    """

    def resolve(self, kind: type[yaml.Node], value: str, implicit: Any) -> str:  # noqa: ARG002 - as PyYAML calls it
        return "" if kind is yaml.ScalarNode and implicit[0] else _TEXT

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:
        """Types by path are not used."""

    def ascend_resolver(self) -> None:
        """As above."""


_RESOLVER = yaml.resolver.Resolver()


class YamlTask(NamedTuple):
    """What a task.yaml holds, or why it does not parse."""

    instruction: str | None
    error: str = ""


def in_yaml(data: bytes) -> YamlTask:
    """The ``instruction`` of a task.yaml; else the text of the first of its ``prompts`` or ``descriptions``."""
    if len(data) > MAX_YAML_BYTES:
        return YamlTask(None, f"larger than {MAX_YAML_BYTES:,} bytes, not read")
    if data.count(b"[") + data.count(b"{") > _MAX_YAML_NESTING and _nests(data):
        return YamlTask(None, f"nested deeper than {_MAX_YAML_NESTING} levels, not read")
    fields = plainyaml.read(data)
    if fields is None:
        try:
            fields = _composed(data)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            return YamlTask(None, " ".join(str(error).split())[:200])
    if fields is None:
        return YamlTask(None, "is no mapping")
    found = _text_of(fields.get("instruction"))
    for plural, singular in (("prompts", "prompt"), ("descriptions", "description")):
        items = fields.get(plural)
        if found is None and isinstance(items, list):
            found = next((text for item in items if (text := _text_of(item.get(singular)))), None)
    return YamlTask(found)


def _nests(data: bytes) -> bool:
    depth = deepest = 0
    for byte in data:
        depth += (byte in b"[{") - (byte in b"]}")
        deepest = max(deepest, depth)
    return deepest > _MAX_YAML_NESTING


def _text_of(field: Field) -> str | None:
    """The text of a field that is one and is not blank."""
    if not isinstance(field, Scalar) or not field.text.strip():
        return None
    if field.is_plain and _RESOLVER.resolve(yaml.ScalarNode, field.text, (True, False)) != _TEXT:
        return None
    return field.text


def _composed(data: bytes) -> dict[str, Field] | None:
    """The fields by libyaml; None where the document is no mapping.

    It is composed, not constructed: aliases and merge keys cost nothing then, whatever they multiply to.
    """
    root = yaml.compose(data, Loader=_Loader)
    if not isinstance(root, yaml.MappingNode):
        return None
    return {key: _field(value) for key, value in _pairs(root).items()}


def _pairs(mapping: yaml.MappingNode) -> dict[str, yaml.Node]:
    return {key.value: value for key, value in mapping.value if isinstance(key, yaml.ScalarNode)}


def _field(node: yaml.Node) -> Field:
    if isinstance(node, yaml.SequenceNode):
        mappings = [_pairs(item) for item in node.value if isinstance(item, yaml.MappingNode)]
        return [{key: found for key, value in item.items() if (found := _scalar(value))} for item in mappings]
    return _scalar(node)


def _scalar(node: yaml.Node) -> Scalar | None:
    """A scalar that is a text, or may be one by its looks."""
    if not isinstance(node, yaml.ScalarNode) or node.tag not in {"", _TEXT}:
        return None
    return Scalar(node.value, is_plain=not node.tag)
