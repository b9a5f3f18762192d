"""The notebook's rule and JSON, against the standard library: an independent reading of every real row."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections import Counter
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from task_fixtures import Files, as_bytes, real_blobs, tar_members, task

from scanner.tasks import TaskFile, interpret, interpret_json, jsontext, wants
from scanner.tasks.memo import ContentMemo

WORDS = ["verifier", "verify", "grader", "judge", "score", "eval"]
KEYS = ["verifier", "verifier_config", "judge", "grader", "rubric", "test_patch", "FAIL_TO_PASS", "tests"]


def contents(blob: bytes) -> list[tuple[str, bytes]]:
    """Names and contents of the files of a tar or zip, by the standard library."""
    if blob[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(blob)) as archive:
            return [(info.filename, archive.read(info)) for info in archive.infolist() if not info.is_dir()]
    with tarfile.open(fileobj=io.BytesIO(blob)) as tar:
        return [(info.name, tar.extractfile(info).read()) for info in tar if info.isfile()]  # type: ignore[union-attr] # a file


def notebook_rule(blob: bytes) -> bool:
    """The rule, written down a second time without a look at the first."""
    for name, data in contents(blob):
        if any(word in name.lower() for word in WORDS):
            return True
        if not (name.endswith(".json") or name.endswith(".yaml") or name.endswith(".yml")):  # noqa: PIE810 - as told
            continue
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict) and any(key in value for key in KEYS):
            return True
        if "verifier" in text.lower() or "test_patch" in text.lower():
            return True
    return False


def top_level_keys(blob: bytes) -> Counter[str]:
    """How many ``.json`` objects have each key."""
    counted: Counter[str] = Counter()
    for name, data in contents(blob):
        if name.endswith(".json"):
            try:
                value = json.loads(data.decode())
            except (ValueError, RecursionError):
                continue
            counted.update(list(value) if isinstance(value, dict) else ())
    return counted


def tar_of(files: Files) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in files.items():
            assert isinstance(content, str | bytes)
            info = tarfile.TarInfo(name)
            info.size = len(as_bytes(content))
            archive.addfile(info, io.BytesIO(as_bytes(content)))
    return out.getvalue()


def zip_of(files: Files) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            assert isinstance(content, str | bytes)
            archive.writestr(name, as_bytes(content))
    return out.getvalue()


def test_real_rows() -> None:
    """The rule and the JSON keys of every row of the real corpus."""
    for name, blob in real_blobs():
        meaning = interpret(tar_members(blob))
        assert meaning.heuristic_verifier == notebook_rule(blob), name
        assert Counter(meaning.json_keys) == top_level_keys(blob), name


BORDERS: dict[str, Files] = {
    "a word in a name": {"my_Evaluation.py": ""},
    "a word in a directory's name": {"scores/a.py": ""},
    "a key": {"a.json": '{"tests": 1}'},
    "a key in a nested object": {"a.json": '{"x": {"tests": 1}}'},
    "a key twice": {"a.json": '{"tests": 1, "tests": 2}'},
    "a key, spelled with an escape": {"a.json": '{"\\u0074ests": 1}'},
    "a key in other case": {"a.json": '{"Tests": 1}'},
    "a key beside NaN": {"a.json": '{"tests": NaN}'},
    "a key beside half a surrogate": {"a.json": '{"tests": "\\ud800"}'},
    "a key behind a BOM": {"a.json": '\ufeff{"tests": 1}'},
    "a key in UTF-16": {"a.json": '{"tests": 1}'.encode("utf-16")},
    "a key before bytes that are not UTF-8": {"a.json": b'{"tests": "\xff"}'},
    "a key beside a number too long": {"a.json": '{"tests": ' + "1" * 5000 + "}"},
    "a key in an object in an array": {"a.json": '[{"tests": 1}]'},
    "a key in JSON that breaks off": {"a.json": '{"tests": 1'},
    "a key in YAML that is JSON": {"a.yaml": ' {"tests": 1}'},
    "a key in YAML": {"a.yaml": "tests: 1\n"},
    "a key in TOML": {"a.toml": "tests = 1\n"},
    "a key in a file of other case": {"a.JSON": '{"tests": 1}'},
    "a key in JSON lines": {"a.jsonl": '{"tests": 1}'},
    "a word in the text": {"a.yml": "x: a VeriFier\n"},
    "a word in text that is not UTF-8": {"a.yml": b"x: verifier\xff\n"},
    "a word in text, a dotted capital I": {"a.yml": "x: ver\u0130fier\n"},
    "a word in Python": {"a.py": "verifier"},
    "nothing": {"a.json": "{}", "b.yaml": "x: 1"},
}


def test_borders() -> None:
    """Tables of files on both sides of the rule's borders, as tar and as zip."""
    for name, files in BORDERS.items():
        for blob in (tar_of(files), zip_of(files)):
            members = [TaskFile(n, "file", len(d), memoryview(d) if wants(n) else None) for n, d in contents(blob)]
            assert interpret(members).heuristic_verifier == notebook_rule(blob), name
    verdicts = [notebook_rule(tar_of(files)) for files in BORDERS.values()]
    assert min(verdicts.count(True), verdicts.count(False)) >= 8


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def _loads(data: bytes) -> Any:
    try:
        return json.loads(data.decode())
    except (ValueError, RecursionError):
        return ...


def _check(data: bytes) -> None:
    expected = _loads(data)
    parsed = jsontext.parse(data)
    assert (parsed is None) == (expected is ...)
    if parsed is not None:
        assert parsed.is_object == isinstance(expected, dict)
        assert list(parsed.members) == (list(expected) if isinstance(expected, dict) else [])
        assert repr([jsontext.value_of(value) for value in parsed.members.values()]) == repr(
            list(expected.values()) if isinstance(expected, dict) else []
        )


@settings(max_examples=600, deadline=None)
@given(
    JSON_VALUES,
    st.integers(0, 60),
    st.sampled_from([b"", b"}", b'"', b",", b"\\", b"\xff", b" ", b"0", b"\x00", b"NaN"]),
)
def test_json_is_that_of_the_standard_library(value: Any, at: int, damage: bytes) -> None:
    """Values, whole and damaged in one place: parsed or refused, and the same keys and values."""
    data = json.dumps(value).encode()
    _check(data)
    _check(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    _check(data[:at] + damage + data[at:])
    _check(data[:at] + damage + data[at + 1 :])


@settings(max_examples=600, deadline=None)
@given(st.text(alphabet='{}[]",:\\u0d81eE+-.tfn \n\t\r\x0c\ufeff', max_size=24))
@example('{"a":1}x')
@example('["a":1]')
@example("{" * 901 + "}" * 901)
@example("[" * 890 + "]" * 890)
@example('["' + "[" * 2000 + '\\"]"]')
@example('{"a": "' + "9" * 4301 + '", "b": ' + "9" * 4300 + "}")
@example('{"a": -' + "9" * 4301 + "}")
@example('{"a": 0.' + "9" * 4500 + "}")
@example('{"a": ' + "9" * 4500 + "e1}")
def test_any_json_text(text: str) -> None:
    """Texts of JSON's own characters."""
    _check(text.encode())


def test_depth_has_one_limit() -> None:
    """Nesting over the limit is refused wherever the caller stands, though json.loads might still take it."""
    depth = jsontext.MAX_DEPTH + 1
    assert jsontext.parse(b"[" * depth + b"]" * depth) is None
    assert jsontext.parse(b'{"a":' * depth + b"1" + b"}" * depth) is None


def test_lines_count_one_by_one() -> None:
    """JSON lines: each line's object adds its keys, as the standard library sees them."""
    lines = ['{"a": 1, "b": NaN}', "", '  {"a": 2}\r', "[1]", "{", '{"c": "\\ud800"}']
    expected: Counter[str] = Counter()
    for line in lines:
        value = _loads(line.encode())
        expected.update(list(value) if isinstance(value, dict) else ())
    assert Counter(interpret_json("\n".join(lines).encode(), lines=True).json_keys) == expected


def test_tar_and_zip_agree() -> None:
    """One task as tar and as zip has one meaning."""
    files = task({"tests/config.json": '{"FAIL_TO_PASS": ["a"]}', "x.yaml": "a: 1"})
    meanings = [
        interpret([TaskFile(n, "file", len(d), d if wants(n) else None) for n, d in contents(blob)])
        for blob in (tar_of(files), zip_of(files))
    ]
    assert meanings[0] == meanings[1]


LISTED = st.sampled_from(
    [
        "[]",
        "[ ]",
        "[\n]",
        '["t"]',
        "[ \t1]",
        "[[]]",
        '"[]"',
        '"[1]"',
        '" [ 1 ] "',
        '"t"',
        '""',
        '"["',
        "{}",
        "0",
        "null",
        "true",
    ]
)


@given(tests=LISTED, space=st.text(" \t\n\r", max_size=3), key=st.sampled_from(["FAIL_TO_PASS", "PASS_TO_PASS"]))
def test_tests_to_pass_are_a_list_that_is_not_empty(tests: str, space: str, key: str) -> None:
    """A list with something in it, or a string that holds one: as the standard library builds it."""
    text = f'{{"{key}":{space}{tests}{space}}}'
    value = json.loads(text)[key]
    if isinstance(value, str):
        value = _loads(value.encode())
    assert (interpret_json(text.encode(), lines=False).verifier_kind == "swe-config") is (
        isinstance(value, list) and bool(value)
    )


def test_what_seldom_comes_back_is_kept_at_its_second_time() -> None:
    """A memo for it reads a content twice and no third time; others read it once. Answers are the same."""
    for seldom, n_read in ((False, 1), (True, 2)):
        read: list[bytes] = []

        def length(raw: bytes, read: list[bytes] = read) -> int:
            read.append(raw)
            return len(raw)

        memo = ContentMemo(length, 8, seldom=seldom)
        assert [memo(memoryview(b"abc"), b"d" * 16) for _ in range(4)] == [3] * 4
        assert len(read) == n_read
        assert memo.counts() == (4 - n_read, n_read)
