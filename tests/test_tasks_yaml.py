"""The instruction in a task.yaml is the one that PyYAML finds when it types every node, by any way that is taken."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scanner.tasks import plainyaml
from scanner.tasks.plainyaml import Field, Scalar
from scanner.tasks.taskyaml import _composed, in_yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
YAML_VALUES = [
    *("12", "null", "~", "true", "yes", "2020-01-01", "1.5", ".inf", "0x1f", "1:30", "<<", "=", "text", "a: b"),
    *('"12"', "'true'", '""', "|\n  12", ">\n  null", "|-\n  Do it.", "!!str 12", "!!int x", "! 12", "!foo x", "!!str"),
    *("[a]", "{ a: b }", "!!str [a]", "&a x", "*a", "&a 12", "- a", "\u00e9", "\t", "# c", "12 # c", "@", "%"),
]
YAML_LINES = st.tuples(
    st.sampled_from(
        ["instruction", "prompts", "descriptions", "  prompt", "- prompt", "- description", "x", "!!str 1"]
    ),
    st.sampled_from(YAML_VALUES),
).map(": ".join)


def _expected_instruction(data: bytes) -> str | None:
    """The instruction by PyYAML's own composing, where every node gets its type."""
    try:
        root = yaml.compose(data, Loader=LOADER)
    except yaml.YAMLError:
        return None
    fields = {key.value: value for key, value in root.value} if isinstance(root, yaml.MappingNode) else {}
    told = [fields.get("instruction")]
    for plural in ("prompts", "descriptions"):
        items = fields.get(plural)
        for item in items.value if isinstance(items, yaml.SequenceNode) else ():
            own = {key.value: value for key, value in item.value} if isinstance(item, yaml.MappingNode) else {}
            told.append(own.get(plural[:-1]))
    texts = [node.value for node in told if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":str")]
    return next((text for text in texts if text.strip()), None)


@settings(max_examples=800, deadline=None)
@given(st.lists(YAML_LINES, max_size=5).map("\n".join))
def test_instructions_in_yaml(text: str) -> None:
    """What counts as a text in a task.yaml is what PyYAML types as one."""
    assert in_yaml(text.encode()).instruction == _expected_instruction(text.encode())


ENTRIES = [
    *(
        "a: b\n",
        "instruction: do it\n",
        "instruction: |\n  One.\n\n    Two\n  # three\n\n",
        "x: |-\n    y: |-\n     z\n",
    ),
    *(
        "tags:\n  - a b\n  - c/d\n",
        "tags:\n- a\n- b.c\n",
        "list: [a, \"b, c\", 'd']\n",
        "empty: []\n",
        "nothing:\n",
        "\n",
    ),
    *(
        "# a: b\n",
        'q: "a # b: c"\n',
        "q: 'it: \"is\"' \n",
        "url: http://x.y/z#a:b\n",
        "n: 12.5  \n",
        "x-1_Y: /a (b) - c\n",
    ),
    *("prompts:\n  - key: base\n    prompt: |-\n      Do it.\n\n      Now.\n  - prompt: 'no'\n", "block: |\n x\n"),
    *("descriptions:\n  - description: yes\n\n  - key: k\n    description: a text\n", "instruction: |\n  a\n\n\n"),
]
DAMAGE = [
    *"\n\t :-#|>'\"[]{},&*!%@`?\\.a1~=",
    "  ",
    "    ",
    ": ",
    " #",
    "- ",
    "\n\n",
    "---\n",
    "...\n",
    "|\n",
    "|+\n",
    "|2-\n",
]
DAMAGE += [
    "\r",
    "\x07",
    "\x7f",
    "\x85",
    "\xa0",
    "\u2028",
    "\ufeff",
    "\u00e9",
    "\U0001f600",
    "\n \n",
    "\n   \n",
    "\n\t\n",
    "<<",
]


@st.composite
def _documents(draw: st.DrawFn) -> str:
    """Entries in the plain subset, most with a few characters replaced by others that mean something in YAML."""
    text = "".join(draw(st.lists(st.sampled_from(ENTRIES), min_size=1, max_size=4)))
    if draw(st.booleans()):
        text = re.sub(r"(?m)^(x|q|tags|list|url|block|empty):", draw(st.sampled_from(plainyaml.KEYS)) + ":", text)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(DAMAGE)) + text[at + draw(st.integers(0, 3)) :]
    return text


def _same(fields: Mapping[str, Field]) -> dict[str, object]:
    """The fields that are read, but for what is neither a text nor a list of mappings."""
    return {key: field for key in plainyaml.KEYS if (field := fields.get(key)) and field != Scalar("", is_plain=True)}


@settings(max_examples=1500, deadline=None)
@given(_documents())
@example("a: |\n    b\n  c\n")
@example("a: b\n  c\n")
@example("a: |\n  b\n   \n\n")
@example("a: |\n \tb\n")
@example("a:\n  - b\n   - c\n")
def test_plain_yaml_is_what_the_parser_reads(text: str) -> None:
    """A document in the plain subset has the fields that libyaml finds; it is never one that libyaml refuses."""
    fields = plainyaml.read(text.encode())
    if fields is not None:
        composed = _composed(text.encode())
        assert composed is not None
        assert _same(fields) == _same(composed)


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if not entry.startswith(("\n", "#"))])
def test_what_is_plain_yaml(entry: str) -> None:
    """What files are written in is in the subset: else nothing is gained."""
    assert plainyaml.read(entry.encode()) is not None
    assert plainyaml.read(f"{entry}last: 1".encode()) is not None


@pytest.mark.parametrize(
    "text",
    [
        *(
            "a: >\n  b\n",
            "a: |+\n  b\n",
            "a: &b c\n",
            "a: {b: c}\n",
            "? a\n",
            "a: b # c\n",
            "---\na: b\n",
            "a: b\r\n",
            "",
        ),
        *(
            "a:\tb\n",
            "a: |\n  b",
            "a: 'b''c'\n",
            'a: "b\\n"\n',
            "- a\n",
            "a: b: c\n",
            "a:\n  b: c\n",
            "\ufeffa: b\n",
            "# a\n",
        ),
    ],
)
def test_what_is_left_to_the_parser(text: str) -> None:
    """Anything else is not decided here."""
    assert plainyaml.read(text.encode()) is None
