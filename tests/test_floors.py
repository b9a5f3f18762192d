"""The floors of the package: who may import whom. Read from the source, so that lazy imports count too."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "scanner"

BASE = {"model", "options", "errors", "faults", "batch", "compiled"}
ALLOWED: dict[str, set[str]] = {
    "faults": set(),
    "errors": set(),
    "compiled": set(),
    "options": {"errors"},
    "model": {"faults"},
    "batch": {"model", "faults"},
    "formats": BASE,
    "content": BASE,
    "sniff": BASE | {"formats"},
    "tasks": BASE,
    "names": BASE | {"content", "tasks"},
    "collector": BASE | {"names", "formats", "content"},
    "twins": BASE,
    "probe": BASE | {"twins", "formats", "content", "tasks", "sniff", "collector"},
    "readings": BASE,
    "stats": BASE | {"readings"},
    "columns": set(),
    "rowgroups": set(),
    "tables": {"rowgroups"},
    "records": BASE | {"columns", "tables", "readings"},
    "members": BASE | {"columns", "tables", "readings"},
    "storage": BASE,
    "distinct": BASE | {"stats", "records"},
    "shards": BASE | {"stats", "records", "storage"},
    "run": BASE
    | {"stats", "records", "members", "shards", "storage", "report"},  # report: Run.report and what a notebook shows
    "sources": BASE | {"storage"},
    "engines": BASE | {"interrupts"},
    "contents": BASE | {"formats", "content", "sniff"},
    "quick": BASE | {"twins", "formats"},
    "template": BASE | {"formats", "tasks", "names", "collector"},
    "ordinary": BASE | {"template", "quick", "probe", "formats", "content", "tasks", "names", "collector", "engines"},
    "worker": BASE
    | {"ordinary", "probe", "probes", "tasks", "readings", "stats", "records", "members", "shards", "engines"},
    "report": BASE | {"stats", "run", "shards", "records", "members"},
    "progress": BASE | {"report"},
    "interrupts": set(),
    "corpus": BASE | {"interrupts"},
}
"""What each floor may import of ours, besides itself. Floors that are not listed join everything below `cli`."""

ONLY_IN = {"ray": {"engines/ray.py"}, "altair": {"report/"}, "datasets": {"sources/stream.py"}}
"""Packages that one file alone may import: they are large, and an extra or slow to load."""


def imports_of(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def floor_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downward_only(path: Path) -> None:
    """A file imports only from its own floor and the floors listed below it."""
    floor = floor_of(path)
    allowed = ALLOWED.get(floor)
    ours = {name.split(".")[1] for name in imports_of(path) if name.startswith("scanner.")}
    if floor == "__init__":
        return
    assert floor in {"cli", "__main__"} or "cli" not in ours
    if allowed is not None:
        assert ours <= allowed | {floor}


@pytest.mark.parametrize("package", ONLY_IN)
def test_heavy_packages_stay_in_their_file(package: str) -> None:
    """Ray, altair and datasets are imported by the one file that needs them."""
    users = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == package for name in imports_of(path))
    }
    assert all(any(user.startswith(home) for home in ONLY_IN[package]) for user in users), users


@pytest.mark.parametrize("floor", ["formats", "tasks", "content"])
def test_parsers_do_not_load_pyarrow(floor: str) -> None:
    """Formats, content types and task rules work on bytes alone: pyarrow stays out of them."""
    users = [path for path in (PACKAGE / floor).rglob("*.py") if any("pyarrow" in name for name in imports_of(path))]
    assert not users


def test_importing_the_package_loads_nothing() -> None:
    """``import scanner`` has no side effect: no other module of ours and no large package is loaded."""
    code = "import sys; before = set(sys.modules); import scanner; print(*(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names] == ["scanner"]


def test_no_module_takes_the_place_of_a_public_name() -> None:
    """``scanner.merge`` is the function, whichever modules were loaded before: importing one puts it there, too."""
    import scanner

    modules = {path.stem for path in PACKAGE.glob("*.py")} | {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    assert not modules & set(scanner.__all__)


def test_all_is_what_can_be_imported() -> None:
    """Every name of ``__all__`` is there, sorted, and has a docstring."""
    import scanner

    assert scanner.__all__ == sorted(scanner.__all__)
    for name in scanner.__all__:
        assert getattr(scanner, name).__doc__, name
