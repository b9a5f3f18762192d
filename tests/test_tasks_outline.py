"""A verdict remembered by outline is the verdict that reading the file itself gives."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from compiler import where_compiled
from hypothesis import example, given, settings
from hypothesis import strategies as st
from task_fixtures import members_of, real_blobs, tar_members, task

from scanner.tasks import harbor, tasktoml
from scanner.tasks.outline import MAX_BYTES, ORG_NAME, Slots, compiled_cutter, cut, cut_in_python, outline_of
from scanner.tasks.outline_quick import LikeTexts, like_texts
from scanner.tasks.taskconfig import TaskConfig, TaskConfigs, config_of
from scanner.tasks.tree import Tree

HEADERS = [
    *("", "[metadata]", "[task]", "[environment]", "[verifier]", "[agent]", "[[steps]]", "[other]", "[[task.authors]]"),
    *("[environment.env]", "[verifier.environment]", "[verifier.env]", "[metadata.more]", "[[artifacts]]"),
    *("[environment.healthcheck]", "[steps.verifier.environment]", "[[environment.mcp_servers]]", "[solution.env]"),
]
KEYS = [
    *("name", "version", "schema_version", "description", "keywords", "authors", "email", "docker_image", "os", "user"),
    *("memory", "memory_mb", "storage", "cpus", "allow_internet", "timeout_sec", "environment_mode", "network_mode"),
    *("x", "x1", "x2", "source", "url", "command", "retries", "min_reward", "steps", "metadata", '"quoted"', "a.b"),
]
TEXTS = ["", "a", "a/b", "org/task", "org/a..b", "2G", "8G", "512M", "0.5G", "big", "linux", "windows", "separate"]
TEXTS += ["shared", "public", "one", "two", "/x", "../x", "sse", "http", "stdio", "true", "5", "caf\u00e9", "tab\there"]
TEXTS += ["con", "com1", "con1", "nul", "One", "a-b_0", "-a", "a" * 64, "a" * 65]
TEXTS += ["a # b", "a = 5", "[x]", "'", "'''", "a = 7\\n", "\\u0041", "\ue000" + "0", "\x7f", "#", "} ]"]
NUMERALS = ["0", "1", "2", "7", "12", "93", "2048", "1.0", "2.0", "0.5", "12.5", "31.0", "1.000", "12.0005", "012"]
NUMERALS += ["123456789.125", "1234567890.5", "-3", "+4", "1e3", "12.5e1", "1_0", "0x1f", "12:30:00", "2020-01-01"]
NUMERALS += ["true", "inf", "12 # = 5", "9" * 400, "9" * 5000, "5.", "5.x", "= 5"]

DAMAGE = ['"', "'", "\n", "\r", "\\", "#", "=", "[", "]", "{", "}", ",", ".", "0", "1", "2", "= 12", '"x"', "", " "]
DAMAGE += ['"""', "'''", "[metadata]\n", "memory_mb = 5\n", "e3", "-", "_", "\t", "\x00", "\u00e9", "\ue000"]


def _verdict(text: str) -> tuple[TaskConfig, tuple[Any, ...]]:
    """What reading a file says, without memory: why it does not parse or is refused, and what is told of a task."""
    parsed = tasktoml.parse(text)
    config = TaskConfig(reason=parsed.error, parses=False) if parsed.value is None else config_of(parsed.value)
    return config, _told(config)


def _told(config: TaskConfig) -> tuple[Any, ...]:
    if config.demands is None:
        return ()
    directory = harbor.Directory(TREE, config.demands, lambda _: None)
    images = [directory.has_own_image(step) for step in (*directory.steps, None)]
    return (images, directory.error())


NAMES = tuple(
    file.name for file in members_of(task({"steps/one/instruction.md": "x", "steps/two/instruction.md": "x"}))
)
TREE = Tree(NAMES, ["file" for _ in NAMES], ())


def _remembered(configs: TaskConfigs, text: str) -> tuple[TaskConfig, tuple[Any, ...]]:
    config = configs.of(text.encode())
    return config, _told(config)


VALUES = (
    st.sampled_from(TEXTS).map('"{}"'.format)
    | st.sampled_from(NUMERALS)
    | st.lists(st.sampled_from(TEXTS[:6]).map('"{}"'.format), max_size=2).map(lambda items: f"[{', '.join(items)}]")
    | st.sampled_from(["'a = 5'", "'''", '"""', '{ name = "one" }', '["', '"x" # "y"', "# x"])
)
STEP = '[[steps]]\nname = "{}"\nmin_reward = 3\n'
STEPS = [
    *(STEP.format(one) + STEP.format(other) for one, other in [("a", "b"), ("two", "one"), ("a", "a"), ("a", "A")]),
    *(STEP.format(one) + STEP.format(other) for one, other in [("con", "b"), ("b", "c:"), ("e", "f."), ("g", "h")]),
    *(STEP.format(one) + "[[steps]]\nname = 'a'\n" for one in ("b", "a", "c")),
    *(STEP.format(one) + '[[steps]]\nx = "y"\n' for one in ("b", "a", "c")),
    *(
        f'steps = [{{ name = "{one}" }}, {{ name = "{other}" }}]\n'
        for one, other in [("b", "a"), ("c", "d"), ("d", "d")]
    ),
]
"""Files with steps of several names: alike, alike but for something wrong, and not to be told by names alone."""

LINES = st.sampled_from(HEADERS) | st.tuples(st.sampled_from(KEYS), VALUES).map(" = ".join)
STRING_OR_NUMERAL = re.compile(r'"[^"\n]*"|(?<== )[^"\n]+')


@st.composite
def _alike(draw: st.DrawFn) -> list[str]:
    """A document, and others that differ from it in strings and numerals alone: most share its outline."""
    text = "\n".join(draw(st.lists(LINES, max_size=8))) + draw(st.sampled_from(["\n", ""]))
    texts, numerals = st.sampled_from(TEXTS).map('"{}"'.format), st.sampled_from(NUMERALS)

    def other(match: re.Match[str]) -> str:
        if draw(st.booleans()):
            return match[0]
        return draw(texts if match[0].startswith('"') else numerals)

    alike = [STRING_OR_NUMERAL.sub(other, text) for _ in range(3)]
    damaged = [draw(_damaged(one)) for one in (text, *alike)]
    return [text, *alike, *damaged]


@st.composite
def _damaged(draw: st.DrawFn, text: str) -> str:
    """``text`` with a few characters replaced by others that mean something in TOML."""
    at = draw(st.integers(0, len(text)) | st.just(len(text)))
    return text[:at] + draw(st.sampled_from(DAMAGE)) + text[at + draw(st.integers(0, 3)) :]


@settings(max_examples=1200, deadline=None)
@given(_alike())
@example(["a = '''\na = 12\n'''\n", "a = '''\na = 13\n'''\n"])
@example(["[environment]\nallow_internet = 1\n", "[environment]\nallow_internet = 7\n"])
@example(["[environment]\nmemory_mb = 12.0\n", "[environment]\nmemory_mb = 12.5\n"])
@example([f'[environment]\nmemory = "2G"\nmemory_mb = {size}\n' for size in (2048, 1024)])
@example([f'[task]\nname = "org/{name}"\n' for name in ("a", "b", "a..b", "")])
@example([f'"{key}" = 1\nb = 1\n' for key in "ab"])
@example([f"a{number} = 1\na3 = 12\n" for number in (2, 3)])
@example(['[metadata]\nx = "a" # "b"\n', '[metadata]\nx = "a\nb" # "b"\n'])
@example(['a = "b"\n', 'a = "b"\n"', 'a = "b"\n"c'])
@example(['x = ["a", "b"]\n', 'x = ["a\n", "b"]\n', 'x = ["a", "b\\"]\n'])
@example([f"a = '{text}' # b\n" for text in ("x = 12", "x = 13", "x = 12, # y", "x = 13, # y")])
@example([f"[environment]\nos = '= {number}, x'\n" for number in (12, 13)])
@example([f"[environment]\ncpus = {number}\n" for number in ("1" * 308, "9" * 308, "9" * 309, "9" * 310)])
@example(STEPS)
@example(["a = 12\r\n[b]\r\nc = 13\r", "a = 14\n[b]\nc = 15\n"])
def test_files_that_are_alike(documents: list[str]) -> None:
    """Read one after the other, so that later ones may be answered from memory, each gets its own verdict."""
    configs = TaskConfigs(64)
    for text in documents:
        plain = text.replace("\r\n", "\n").replace("\r", "\n")
        assert _remembered(configs, text) == _verdict(plain), text


def test_real_files_with_other_values() -> None:
    """Each string and each numeral of real files replaced, one at a time, under one memory."""
    texts = {
        bytes(m.data or b"").decode() for _, blob in real_blobs() for m in tar_members(blob) if m.name == "task.toml"
    }
    configs = TaskConfigs(1 << 16)
    for text in sorted(texts)[::9]:
        spans = [match.span() for match in STRING_OR_NUMERAL.finditer(text)]
        for start, end in spans:
            for value in (*(f'"{one}"' for one in TEXTS[::3]), *NUMERALS[::4]):
                changed = text[:start] + value + text[end:]
                assert _remembered(configs, changed) == _verdict(changed), changed
        for at in range(0, len(text) + 1, 7):
            changed = text[:at] + DAMAGE[at % len(DAMAGE)] + text[at:]
            assert _remembered(configs, changed) == _verdict(changed.replace("\r", "\n")), changed
        for damage in DAMAGE:
            assert _remembered(configs, text + damage) == _verdict((text + damage).replace("\r", "\n")), damage
    known, judged = configs.counts()
    assert 2 * known > judged, "memory answers often: else this compares little"


def test_steps_of_any_name() -> None:
    """Files that differ in the names of their steps are judged once, and each has its own names in its verdict."""
    configs = TaskConfigs(64)
    pairs = [("a", "b"), ("two", "one"), ("step-1", "step_2")]
    for one, other in pairs:
        config = configs.of((STEP.format(one) + STEP.format(other)).encode())
        assert config.demands is not None
        assert [step.name for step in config.demands.steps] == [one, other]
    assert configs.counts() == (len(pairs) - 1, 1)


def _outline(text: str) -> tuple[object, ...] | None:
    pieces = cut(text.encode())
    outline = None if pieces is None else outline_of(pieces.skeleton)
    return None if pieces is None or outline is None else (pieces.skeleton, *outline.key(pieces))


TOKENS = [
    '"',
    '"',
    "= ",
    "=",
    " ",
    "1",
    "0",
    "2",
    "12",
    "1234567890",
    "a",
    "\\",
    "\t",
    "\n",
    "\x7f",
    "\x00",
    "\u00e9",
    "= 7",
]


@where_compiled
@settings(max_examples=1000)
@given(st.lists(st.sampled_from(TOKENS), max_size=40).map("".join) | st.text(max_size=60))
@example("= " + "1" * 12)
@example("= 1")
@example("= 2")
@example("== 2 = 10 = 1a= 19")
@example('a = "= 5" = 5')
def test_the_compiled_cutter(text: str) -> None:
    """It cuts any text where the one in Python does, into the same skeleton."""
    compiled_cut = compiled_cutter()
    assert compiled_cut is not None, "outline.c was not compiled: is there a C compiler?"
    assert compiled_cut(text.encode()) == cut_in_python(text.encode())


@where_compiled
def test_long_texts_and_threads() -> None:
    """A text of any length is cut, and threads do not get the answers of one another."""
    texts = [(f'a{n} = "{n}"\n' * (1 + 300 * (n % 5))).encode() for n in range(40)]
    assert max(map(len, texts)) > 3 * MAX_BYTES
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(cut, texts * 20)) == list(map(cut_in_python, texts)) * 20


@where_compiled
def test_the_compiled_cutter_on_real_files() -> None:
    """The same on what tasks say."""
    assert cut is not cut_in_python
    for _, blob in real_blobs():
        for file in tar_members(blob):
            if file.name == "task.toml" and len(file.data or b"") <= MAX_BYTES:
                assert cut(bytes(file.data or b"")) == cut_in_python(bytes(file.data or b""))


def test_what_has_an_outline() -> None:
    """Files that differ where nothing looks share an outline; a file that is not plain has none."""
    plain = '[task]\nname = "org/{}"\ndescription = "{}"\n[agent]\ntimeout_sec = {}\n'
    assert _outline(plain.format("a", "b", "12.0")) == _outline(plain.format("c-1", "", "900.0")) is not None
    assert _outline(plain.format("a", "b", "12.0")) != _outline(plain.format("a", "b", "12.5"))
    assert _outline(plain.format("a", "b", "12")) != _outline(plain.format("a..", "b", "12"))
    assert _outline('a = "b"\n"c') is None
    assert _outline("a = 12 # it takes long\n") == _outline("a = 7 # it takes long\n") is not None
    for odd in ('a = "\\n"\n', 'a = "x" # "y"\n', "a = '''x'''\n", '"a" = 1\n', 'a = "', "a", 'x = """a"""\n'):
        assert _outline(odd) is None
    for odd in ("a = 12e3\n", "a = 12.0005\n", "a = 'b = 12'\n", "a = 1234567890\n", "a = '= 12, # b'\n"):
        assert _outline(odd) is None


def test_long_texts_are_not_kept() -> None:
    """A text over the limit gets its verdict and leaves nothing behind."""
    configs = TaskConfigs(8)
    assert configs.of(b"#" * (MAX_BYTES + 1)).reason is None
    assert not configs._skeletons


def test_memory_is_bounded() -> None:
    """No more outlines are kept than was said, and what was forgotten is read again."""
    configs = TaskConfigs(8)
    for turn in range(2):
        for index in range(40):
            assert configs.of(b"k%d = 1" % index).reason is None
        assert configs.counts() == (0, 40 * (turn + 1))
        assert len(configs._skeletons) <= 8
        assert sum(len(known.configs) for known in configs._skeletons.values() if known) <= 8


NAMED = '[task]\nname = "{}"\n'


def _likes(entries: int = 8) -> LikeTexts:
    likes = like_texts(entries)
    assert likes is not None, "outline.c was not compiled: is there a C compiler?"
    return likes


@where_compiled
@settings(max_examples=1000)
@given(st.text("aZ0_-./é", max_size=8) | st.from_regex(r"[a-zA-Z0-9._-]{1,4}/[a-zA-Z0-9._-]{1,4}", fullmatch=True))
@example("a/b")
@example("a.b/c.d")
@example("a./b")
@example("a..b/c")
@example("/")
@example("a/b/c")
def test_names_that_are_alike(name: str) -> None:
    """The compiled rule takes the very names that the regular expression takes; others are alike if equal."""
    likes = _likes()
    for example_name in ("org/x-1", name):
        likes.note_outline(*_skeleton_and_slots(NAMED.format(example_name)))
    alike = likes.note(NAMED.format("org/x-1").encode())
    found = likes.find(NAMED.format(name).encode())
    assert alike == 1
    assert found == (1 if ORG_NAME(name.encode()) else 0)
    assert likes.note(NAMED.format(name).encode()) == (found or 2)


def _skeleton_and_slots(text: str) -> tuple[bytes, Slots]:
    pieces = cut(text.encode())
    assert pieces is not None
    outline = outline_of(pieces.skeleton)
    assert outline is not None
    return pieces.skeleton, outline.slots


@where_compiled
def test_likes_that_are_full() -> None:
    """What there is no room for is not noted, what was noted is still found, and after a new start there is room."""
    likes = _likes(4)
    texts = [b"k%d = 1" % index for index in range(9)]
    for _ in range(2):
        for text in texts:
            likes.note_outline(*_skeleton_and_slots(text.decode()))
        assert [likes.note(text) for text in texts] == [1, 2, 3, 4, 0, 0, 0, 0, 0]
        assert list(map(likes.find, texts)) == [1, 2, 3, 4, 0, 0, 0, 0, 0]
        likes.start_over()
        assert not any(map(likes.find, texts))
    many_slots = "\n".join([f'k{index} = "x"' for index in range(200)])
    likes.note_outline(*_skeleton_and_slots(many_slots))
    assert not likes.note(many_slots.encode()), "more slots than there are places"


@where_compiled
@given(documents=_alike())
def test_likes_change_nothing(documents: list[str]) -> None:
    """Files get the verdicts that they get where nothing was compiled."""
    compiled, plain = TaskConfigs(16), TaskConfigs(16)
    plain.likes = None
    for document in (*documents, *documents):
        assert compiled.of(document.encode()) == plain.of(document.encode())
