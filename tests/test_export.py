"""Export: nothing outside the target whatever an archive says, folders whole or not there, a manifest that tells."""

from __future__ import annotations

import gzip
import io
import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.corpus import hostile_cases
from scanner.corpus.hostile_tar import member
from scanner.corpus.pack import zip_blob
from scanner.errors import OutputError, UsageError
from scanner.explore.export import Exported, OnExist, export, folder_name
from scanner.explore.unpack import relative_path
from scanner.model import Blob
from scanner.options import Limits

CONFORMANCE = Path(__file__).parent / "../../shared/conformance"


def blob(data: bytes | None, path: str = "task", row: int = 0) -> Blob:
    return Blob(
        None if data is None else memoryview(data), path, "f.parquet", row, "null-blob" if data is None else None
    )


def tar_of(*parts: bytes) -> bytes:
    return b"".join(parts) + bytes(1024)


def snapshot(root: Path, *, without: Path) -> dict[str, tuple[int, int, int]]:
    """What lies below ``root`` outside ``without``: mode, size and time of change of everything, links not followed."""
    found = {}
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if Path(folder, name) != without]
        for name in [*names, *files]:
            state = Path(folder, name).lstat()
            found[str(Path(folder, name))] = (state.st_mode, state.st_size, state.st_mtime_ns)
    return found


def trap(tmp_path: Path) -> Path:
    """A target deep enough that ``..`` names of the hostile rows would land in a place that is watched."""
    (tmp_path / "victim").write_text("untouched")
    (tmp_path / "a/b/c/out").mkdir(parents=True)
    return tmp_path / "a/b/c/out"


def conformance_archives() -> Iterator[tuple[str, bytes]]:
    for path in sorted(CONFORMANCE.rglob("*")):
        if path.is_file() and path.stat().st_size < 4 << 20:
            yield path.name, path.read_bytes()


def assert_tame(target: Path) -> None:
    """Below ``target`` are directories and plain files alone, with plain or executable modes."""
    for folder, names, files in os.walk(target):
        for name in names:
            assert stat.S_ISDIR(Path(folder, name).lstat().st_mode)
        for name in files:
            state = Path(folder, name).lstat()
            assert stat.S_ISREG(state.st_mode)
            assert stat.S_IMODE(state.st_mode) in {0o644, 0o755}
            assert state.st_nlink == 1


def test_hostile_rows_leave_nothing_outside(tmp_path: Path) -> None:
    """Every hostile row becomes a folder, and the file system around the target is what it was."""
    target = trap(tmp_path)
    before = snapshot(tmp_path, without=target)
    limits = Limits(output_bytes=8 << 20, members=2_000)
    rows = (blob(data, path, row) for row, (path, data) in enumerate(hostile_cases()))
    lines = list(export(rows, target, limits=limits))
    assert snapshot(tmp_path, without=target) == before
    assert_tame(target)
    assert {line.folder for line in lines} == {path.name for path in target.iterdir()} - {"manifest.jsonl"}
    assert len({line.folder for line in lines}) == len(hostile_cases())


@pytest.mark.skipif(not CONFORMANCE.is_dir(), reason="the conformance archives are not here")
def test_conformance_archives_leave_nothing_outside(tmp_path: Path) -> None:
    """The same for the archives of libarchive, CPython, Go and tar-rs."""
    target = trap(tmp_path)
    before = snapshot(tmp_path, without=target)
    rows = (blob(data, name, row) for row, (name, data) in enumerate(conformance_archives()))
    lines = list(export(rows, target, limits=Limits(output_bytes=16 << 20, members=2_000, seconds=5)))
    assert snapshot(tmp_path, without=target) == before
    assert_tame(target)
    assert len(lines) > 100


ATTACKS = {
    "absolute": [member("/tmp/scanner-export-escaped", b"x")],
    "parent": [member("../escaped", b"x")],
    "parent-inside": [member("a/../../escaped", b"x")],
    "parent-directory": [member("../escaped/", kind=b"5")],
    "backslash": [member("..\\escaped", b"x")],
    "drive": [member("c:/escaped", b"x")],
    "link-then-file": [member("d", kind=b"2", link=b".."), member("d/escaped", b"x")],
    "link-to-file-then-same-name": [member("f", kind=b"2", link=b"../victim"), member("f", b"x")],
    "hardlink-to-victim": [member("f", kind=b"1", link=b"../victim"), member("f", b"x")],
    "device": [member("null", kind=b"3")],
    "fifo": [member("pipe", kind=b"6")],
    "setuid": [member("su", b"x", mode=0o6755)],
    "the-folder-itself": [member("./", kind=b"5"), member(".", b"x")],
    "file-then-below-it": [member("a", b"x"), member("a/b", b"y")],
    "below-it-then-file": [member("a/b", b"y"), member("a", b"x")],
    "name-of-300-bytes": [member("n" * 99 + "/" + "n" * 99, b"x")],
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_left_out_and_told(tmp_path: Path, attack: str) -> None:
    """Each attack leaves the surroundings alone, and what was not written stands in the manifest."""
    target = trap(tmp_path)
    before = snapshot(tmp_path, without=target)
    (line,) = export([blob(tar_of(*ATTACKS[attack], member("ok.txt", b"fine")))], target)
    assert snapshot(tmp_path, without=target) == before
    assert not Path("/tmp/scanner-export-escaped").exists()
    assert_tame(target)
    assert (target / line.folder / "ok.txt").read_bytes() == b"fine"
    members = {"setuid": 0, "name-of-300-bytes": 0}.get(attack, 1)
    assert line.n_left_out >= members
    assert all(each.reason for each in line.left_out)


def test_files_are_what_the_archive_holds(tmp_path: Path) -> None:
    """Names, contents and the executable bit arrive; directories too; the manifest says where all is from."""
    packed = tar_of(
        member("tests/", kind=b"5"),
        member("./tests/test.sh", b"#!/bin/sh\n", mode=0o700),
        member("instruction.md", "Tu das Übliche".encode(), mode=0o600),
        member("empty.txt"),
    )
    (line,) = export([blob(gzip.compress(packed), "ORG/name-7")], tmp_path / "out")
    folder = tmp_path / "out/ORG_name-7"
    assert (folder / "tests/test.sh").read_bytes() == b"#!/bin/sh\n"
    assert stat.S_IMODE((folder / "tests/test.sh").stat().st_mode) & 0o111
    assert not stat.S_IMODE((folder / "instruction.md").stat().st_mode) & 0o111
    assert (folder / "instruction.md").read_text("utf-8") == "Tu das Übliche"
    assert (folder / "empty.txt").read_bytes() == b""
    told = msgspec.json.decode((tmp_path / "out/manifest.jsonl").read_bytes(), type=Exported)
    assert told == line
    assert (told.path, told.file, told.row, told.codec, told.format, told.n_files) == (
        "ORG/name-7",
        "f.parquet",
        0,
        "gzip",
        "tar",
        3,
    )


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b'{"rubric": 1}', "task.json"),
        (gzip.compress(b'{"a": 1}\n{"b": 2}\n'), "task.jsonl"),
        (b"words", "task.txt"),
        (b"\0\xff\xfe", "task.bin"),
        (b"words " * 4_000_000, "task.txt"),
        (gzip.compress(b"\0\xff" * 10_000_000), "task.bin"),
    ],
    ids=["json", "jsonl", "text", "binary", "long text", "long binary"],
)
def test_a_task_that_is_no_archive_is_one_file(tmp_path: Path, data: bytes, name: str) -> None:
    """JSON, text and binary blobs become one file without the codec, named by what they are."""
    (line,) = export([blob(data)], tmp_path / "out")
    content = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    assert [path.name for path in (tmp_path / "out/task").iterdir()] == [name]
    assert (tmp_path / "out/task" / name).read_bytes() == content
    assert (line.n_files, line.n_bytes) == (1, len(content))


def test_a_null_row_is_an_empty_folder(tmp_path: Path) -> None:
    """A row without bytes leaves an empty folder and its fault in the manifest."""
    (line,) = export([blob(None)], tmp_path / "out")
    assert not list((tmp_path / "out/task").iterdir())
    assert [fault.kind for fault in line.faults] == ["null-blob"]


def test_damaged_files_are_left_out_and_the_rest_is_kept(tmp_path: Path) -> None:
    """Of an archive that breaks off, whole files are written; the one that breaks off is not."""
    packed = tar_of(member("first.txt", b"whole"), member("second.txt", b"x" * 5000))[:2500]
    (line,) = export([blob(packed)], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/task").iterdir()] == ["first.txt"]
    assert [each.member for each in line.left_out] == ["second.txt"]


@pytest.mark.parametrize(
    ("limits", "kind"),
    [(Limits(output_bytes=3000), "limit:output"), (Limits(members=1), "limit:members")],
    ids=["output", "members"],
)
def test_limits_apply(tmp_path: Path, limits: Limits, kind: str) -> None:
    """Byte and member limits stop a row and are told; what came before is kept."""
    packed = gzip.compress(tar_of(member("first.txt", b"whole"), member("second.bin", b"x" * 200_000)))
    (line,) = export([blob(packed)], tmp_path / "out", limits=limits)
    assert kind in {fault.kind for fault in line.faults}
    assert not (tmp_path / "out/task/second.bin").exists()


def test_a_bomb_of_directories_stops_at_the_member_limit(tmp_path: Path) -> None:
    """Directories that names imply count as members: a few members cannot make a million directories."""
    deep = [member("/".join(f"{n}{i}" for i in range(20)) + "/f", b"x") for n in range(20)]
    (line,) = export([blob(tar_of(*deep))], tmp_path / "out", limits=Limits(members=100))
    assert "limit:members" in {fault.kind for fault in line.faults}
    assert sum(len(names) for _, names, _ in os.walk(tmp_path / "out/task")) <= 100


def test_of_two_members_with_one_name_the_last_wins(tmp_path: Path) -> None:
    """As in tarfile; the first is told as replaced, and neither its file nor its bytes are counted any longer."""
    (line,) = export([blob(tar_of(member("a", b"first"), member("a", b"2!"), member("b", b"b")))], tmp_path / "out")
    assert (tmp_path / "out/task/a").read_bytes() == b"2!"
    assert (line.n_files, line.n_bytes) == (2, 3)
    assert "replaced" in line.left_out[0].reason


def test_equal_paths_get_folders_of_their_own(tmp_path: Path) -> None:
    """Rows whose names collide, also by case alone, are told apart by a hash of their place, again the same one."""
    rows = [blob(b"one", "T-1", 0), blob(b"two", "t-1", 1), blob(b"three", "T/1", 2), blob(b"four", "T_1", 3)]
    lines = list(export(rows, tmp_path / "out"))
    assert len({line.folder.lower() for line in lines}) == 4
    again = list(export(reversed(rows), tmp_path / "out", on_exist="skip"))
    assert [line.folder for line in reversed(again)] == [line.folder for line in lines]
    assert {line.state for line in again} == {"there"}


def test_a_path_that_holds_the_hash_of_another_row_takes_nothing_from_it(tmp_path: Path) -> None:
    """However many names of a row are taken by paths made for that, it has a folder of its own, again the same one."""
    rows = [blob(b"0", "a", 0), blob(b"last", "a", 9)]
    taken: list[Blob] = []
    for number in range(1, 5):
        (*_, last) = export([*rows[:-1], *taken, rows[-1]], tmp_path / str(number))
        taken.append(blob(b"%d" % number, last.folder.upper(), number))
    rows[1:1] = taken
    lines = list(export(rows, tmp_path / "out"))
    assert len({line.folder.lower() for line in lines}) == 6
    for row, line in zip(rows, lines, strict=True):
        assert (tmp_path / "out" / line.folder / "task.txt").read_bytes() == bytes(row.data or b"")
    again = list(export(reversed(rows), tmp_path / "out", on_exist="skip"))
    assert [(line.folder, line.state) for line in reversed(again)] == [(line.folder, "there") for line in lines]
    assert [line.folder for line in export(rows, tmp_path / "anew", on_exist="skip")] == [line.folder for line in lines]


def test_on_exist(tmp_path: Path) -> None:
    """A target that is not empty is an error unless told otherwise; skip leaves folders, overwrite replaces them."""
    target = tmp_path / "out"
    list(export([blob(b"one")], target))
    with pytest.raises(OutputError, match="not empty"):
        list(export([blob(b"two")], target))
    assert (target / "task/task.txt").read_text() == "one"
    list(export([blob(b"two")], target, on_exist="skip"))
    assert (target / "task/task.txt").read_text() == "one"
    list(export([blob(b"two")], target, on_exist="overwrite"))
    assert (target / "task/task.txt").read_text() == "two"
    with pytest.raises(UsageError, match="maybe"):
        export([], target, on_exist="maybe")  # type: ignore[arg-type]


def test_overwrite_spares_what_no_export_wrote(tmp_path: Path) -> None:
    """A folder that the manifest does not know is somebody else's."""
    (tmp_path / "out/task").mkdir(parents=True)
    (tmp_path / "out/task/mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="no export wrote it"):
        list(export([blob(b"two")], tmp_path / "out", on_exist="overwrite"))
    assert (tmp_path / "out/task/mine.txt").read_text() == "mine"


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("/nowhere")], ids=["file", "dangling link"])
def test_a_target_that_is_no_directory_is_one_sentence(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A file, or a link that leads nowhere, where the target should be."""
    make(tmp_path / "out")
    with pytest.raises(OutputError, match="cannot write to"):
        list(export([blob(b"x")], tmp_path / "out"))


def test_an_export_of_nothing_leaves_nothing(tmp_path: Path) -> None:
    """No row to export: a folder made for it goes again, one that was there stays, and neither is in the way."""
    (tmp_path / "there").mkdir()
    for name in ("new", "there"):
        assert not list(export([], tmp_path / name))
        assert (tmp_path / name).exists() == (name == "there")
        assert len(list(export([blob(b"{}")], tmp_path / name))) == 1
        assert not list(export([], tmp_path / name, on_exist="skip"))
        assert (tmp_path / name / "manifest.jsonl").read_bytes().count(b"\n") == 1


def test_an_export_that_is_ended_leaves_whole_folders_only(tmp_path: Path) -> None:
    """Closed half-way, there is nothing but whole folders and their lines; a leftover of a killed one is swept up."""
    rows = export((blob(b"x", f"t-{n}", n) for n in range(10)), tmp_path / "out")
    first = next(rows)
    rows.close()  # type: ignore[attr-defined]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {first.folder, "manifest.jsonl"}
    (tmp_path / "out/.exporting-t-5/deep").mkdir(parents=True)
    list(export((blob(b"x", f"t-{n}", n) for n in range(3)), tmp_path / "out", on_exist="skip"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"t-0", "t-1", "t-2", "manifest.jsonl"}


def test_a_forged_manifest_is_refused(tmp_path: Path) -> None:
    """A manifest that is a link, or no manifest, is not followed, read or written."""
    (tmp_path / "victim").write_text("untouched")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/manifest.jsonl").symlink_to(tmp_path / "victim")
    with pytest.raises(OutputError):
        list(export([blob(b"x")], tmp_path / "out", on_exist="skip"))
    assert (tmp_path / "victim").read_text() == "untouched"


@given(st.text(max_size=60) | st.from_regex(r"[./a\\:]{1,12}", fullmatch=True))
@settings(max_examples=300, deadline=None)
def test_every_path_stays_below_its_folder(name: str) -> None:
    """A member's name gives a path below the folder, or none at all."""
    try:
        path = relative_path(name)
    except ValueError:
        return
    assert not path.startswith("/")
    assert all(part not in {"", ".", ".."} for part in path.split("/") if path)


@given(st.text(max_size=300))
def test_every_folder_name_is_one_readable_part(path: str) -> None:
    """A folder's name has no separator and nothing that acts on a terminal, is not hidden, and fits."""
    name = folder_name(path)
    assert "/" not in name
    assert not name.startswith(".")
    assert name.isprintable()
    assert len(os.fsencode(name)) <= 200


def test_a_sound_task_is_what_tarfile_extracts(tmp_path: Path) -> None:
    """Against the standard library: the same files with the same bytes, from tar and from zip."""
    files = {"a/b/c.txt": b"deep", "top.md": b"# top", "a/run.sh": b"exit 0\n", "name with spaces.txt": b"s"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    with tarfile.open(fileobj=io.BytesIO(buffer.getvalue())) as packed:
        packed.extractall(tmp_path / "oracle", filter="data")
    list(export([blob(buffer.getvalue(), "tar"), blob(zip_blob(files)[0], "zip", 1)], tmp_path / "out"))
    wanted = {path.relative_to(tmp_path / "oracle"): path.read_bytes() for path in (tmp_path / "oracle").rglob("*.*")}
    for kind in ("tar", "zip"):
        root = tmp_path / "out" / kind
        assert {path.relative_to(root): path.read_bytes() for path in root.rglob("*.*")} == wanted


def test_a_full_disk_ends_the_export_in_a_sentence(tmp_path: Path) -> None:
    """Where writing fails, the task that was under way leaves nothing; those before it are whole and told."""

    def rows() -> Iterator[Blob]:
        yield blob(tar_of(member("a", b"x" * 100)), "t-0")
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limit[1]))
        try:
            yield blob(tar_of(member("small", b"x"), member("large", b"x" * 5000)), "t-1", 1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    with pytest.raises(OutputError, match="File too large"):
        list(export(rows(), tmp_path / "out"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"t-0", "manifest.jsonl"}
    assert len((tmp_path / "out/manifest.jsonl").read_text().splitlines()) == 1


def manifest_of(target: Path) -> list[Exported]:
    return [
        msgspec.json.decode(line, type=Exported) for line in (target / "manifest.jsonl").read_bytes().splitlines(True)
    ]


@pytest.mark.parametrize("on_exist", ["skip", "overwrite"])
def test_a_disk_that_fills_up_in_a_line_of_the_manifest(tmp_path: Path, on_exist: OnExist) -> None:
    """A line that finds room for a part is an error and taken back, with its folder; the export can be continued."""
    target = tmp_path / "out"
    rows = [blob(b"x", f"t-{row}", row) for row in range(3)]
    list(export(rows[:1], target))
    before = (target / "manifest.jsonl").read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 40, limit[1]))
    try:
        with pytest.raises(OutputError, match="File too large"):
            list(export(rows[1:], target, on_exist=on_exist))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert (target / "manifest.jsonl").read_bytes() == before
    assert {path.name for path in target.iterdir()} == {"t-0", "manifest.jsonl"}
    list(export(rows, target, on_exist=on_exist))
    assert {line.folder for line in manifest_of(target)} == {"t-0", "t-1", "t-2"}


@pytest.mark.parametrize("on_exist", ["skip", "overwrite"])
def test_an_export_killed_in_a_line_of_the_manifest_is_continued(tmp_path: Path, on_exist: OnExist) -> None:
    """The kernel kills it in that write: the torn line is cut off, and every row gets its folder and its line."""
    target = tmp_path / "out"
    rows = [blob(b"x", f"t-{row}", row) for row in range(3)]
    list(export(rows[:1], target))
    before = (target / "manifest.jsonl").read_bytes()
    command = [sys.executable, "-c", KILLED_EXPORT, str(len(before) + 40), str(target)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGXFSZ
    assert len((target / "manifest.jsonl").read_bytes()) == len(before) + 40
    assert [line.folder for line in export(rows, target, on_exist=on_exist)] == ["t-0", "t-1", "t-2"]
    assert {line.folder for line in manifest_of(target)} == {"t-0", "t-1", "t-2"}
    assert {path.name for path in target.iterdir()} == {"t-0", "t-1", "t-2", "manifest.jsonl"}


KILLED_EXPORT = """
import resource, signal, sys
from scanner.explore.export import export
from scanner.model import Blob
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
list(export([Blob(memoryview(b"x"), "t-1", "f.parquet", 1, None)], sys.argv[2], on_exist="skip"))
"""


@pytest.mark.parametrize("on_exist", ["skip", "overwrite"])
def test_a_manifest_cut_anywhere_in_its_last_line_is_continued(tmp_path: Path, on_exist: OnExist) -> None:
    """Also where the folder is in place, as earlier exports left it; a last line without its line feed is whole."""
    rows = [blob(b"x", f"t-{row}-\u00fc", row) for row in range(2)]
    target = tmp_path / "out"
    list(export(rows, target))
    told = (target / "manifest.jsonl").read_bytes()
    first, last = told.splitlines(True)
    for kept in range(len(last)):
        (target / "manifest.jsonl").write_bytes(first + last[:kept])
        in_the_name = kept < last.index(b'"source"')
        if in_the_name:  # then nothing says that an export wrote it, and it is spared
            shutil.rmtree(target / rows[1].path)
        assert [line.folder for line in export(rows, target, on_exist=on_exist)] == [row.path for row in rows]
        lines = manifest_of(target)
        assert lines[0].row == 0
        assert {line.row for line in lines} == {0, 1} or (on_exist == "skip" and not in_the_name)


@pytest.mark.parametrize("content", [b"words", b'{"folder":"x","of":"another"}', b'{"folder":"x"\n{}\n', b"{}\n"])
def test_what_is_no_manifest_is_never_cut(tmp_path: Path, content: bytes) -> None:
    """A file of that name with anything but a line of ours that breaks off at its end is refused, and stays."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/manifest.jsonl").write_bytes(content)
    with pytest.raises(OutputError, match="no manifest of an export"):
        list(export([blob(b"x")], tmp_path / "out", on_exist="overwrite"))
    assert (tmp_path / "out/manifest.jsonl").read_bytes() == content


def test_a_manifest_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    """What it names is replaced by ``overwrite``: it may name folders beside itself alone."""
    (tmp_path / "mine").mkdir()
    list(export([blob(b"x")], tmp_path / "out"))
    manifest = tmp_path / "out/manifest.jsonl"
    line = json.loads(manifest.read_bytes())
    for folder in ("../mine", "..", ".", "", "/mine"):
        manifest.write_text(json.dumps(line | {"folder": folder}) + "\n")
        with pytest.raises(OutputError, match="no manifest of an export"):
            list(export([blob(b"x")], tmp_path / "out", on_exist="overwrite"))
