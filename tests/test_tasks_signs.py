"""Names that share their signs say the same together: what is read from signs is what the names themselves say."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.model import MemberKind
from scanner.tasks.shape import Shape, _read_names, shape_of
from scanner.tasks.signs import sign_of, wrapping_of

TOPS = ["environment", "tests", "solution", "setup_files", "steps", "wrapped", "", ".", "environment/data", "logs"]
BASES = ["a.csv", "b.csv", "c.json", "d.yaml", "e.toml", "f.sh", "test.sh", "solve.sh", "Dockerfile", "instruction.md"]
BASES += [
    "test_x.py",
    "test_y.py",
    "verifier.py",
    "expected.py",
    "1.in",
    "1.out",
    ".hidden",
    ".h.py",
    "judge.toml",
    "x",
]
BASES += [
    "task.toml",
    "task.yaml",
    "run-tests.sh",
    "notes.md",
    "trial.log",
    "a..",
    "./b",
    "eval",
    "sub/c.py",
    "*",
    "*.py",
]
NAMES = st.tuples(st.sampled_from(TOPS), st.sampled_from(BASES)).map(lambda parts: "/".join(filter(None, parts)))
MEMBERS = st.lists(st.tuples(NAMES, st.sampled_from(["file", "file", "file", "dir"])), max_size=8)

PATHS = ["environment", "tests", "tests/test.sh", "tests/Dockerfile", "instruction.md", "steps/test.sh", "task.toml"]


def _said(seen: Shape) -> dict[str, object]:
    """All that a Shape tells the rules."""
    said = {name: getattr(seen, name) for name in Shape.__struct_fields__ if name not in {"tree", "standings"}}
    return said | {path: (seen.tree.index_of(path), seen.tree.exists(path)) for path in PATHS}


@settings(max_examples=1500, deadline=None)
@given(MEMBERS)
def test_signs_say_what_names_say(members: list[tuple[str, MemberKind]]) -> None:
    """A list of names is read alike by its signs and by itself."""
    names = [name for name, _ in members]
    kinds = [kind for _, kind in members]
    assert _said(shape_of(names, kinds, ())) == _said(_read_names(names, kinds, ()))


WRAPPINGS = ["graded-1566", "t.1", "eval-7", "tests", "a b", "t.", "..", "task"]


@settings(max_examples=1500, deadline=None)
@given(MEMBERS, st.sampled_from(WRAPPINGS), st.booleans())
def test_a_directory_around_everything(members: list[tuple[str, MemberKind]], wrapping: str, is_listed: bool) -> None:
    """Tasks that lie in a directory each of another name share what is read, and it is what their names say."""
    names = [f"{wrapping}/{name}" for name, _ in members] + [wrapping] * is_listed
    kinds: list[MemberKind] = [kind for _, kind in members] + ["dir" for _ in range(is_listed)]
    assert _said(shape_of(names, kinds, ())) == _said(_read_names(names, kinds, ()))


def test_which_directories_are_any() -> None:
    """One with a plain name of which nothing is said, and which holds everything."""
    names = ["t-7/task.toml", "t-7"]
    kinds: list[MemberKind] = ["file", "dir"]
    assert wrapping_of(names, kinds) == "t-7/"
    assert shape_of(names, kinds, ()) is shape_of(["t-8/task.toml", "t-8"], kinds, ())
    for top in ("tests", "eval-7", "t.", "-/x", "..", ""):
        assert wrapping_of([f"{top}/task.toml", top], kinds) != f"{top}/"
    assert not wrapping_of(names, ["file", "file"])
    assert not wrapping_of(["t-7/a", "b"], kinds)
    assert not wrapping_of(["t-7"], ["dir"])
    assert not wrapping_of([], [])


@given(NAMES | st.text(max_size=20))
def test_a_sign_is_its_own_sign(name: str) -> None:
    """So a list of signs is one of the lists that it stands for."""
    assert sign_of(sign_of(name)) == sign_of(name)


def test_which_names_share_a_sign() -> None:
    """Fixtures do, by how they end; what rules look for does not."""
    assert sign_of("environment/a/b.csv") == sign_of("environment/c.txt")
    assert sign_of("environment/a.json") == sign_of("environment/b/c.json") != sign_of("environment/a.yaml")
    assert sign_of("tests/test_a.py") == sign_of("tests/test_b.py")
    for name in ["tests/verifier.py", "environment/Dockerfile", "solution/.x", "a/b.csv", "steps/one/a.csv", "x" * 200]:
        assert sign_of(name) == name
