"""Runs and datasets behind URLs, against an S3 server on loopback: the same bytes as on a disk, and nothing torn."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parquet_files import make_dataset, task, write_rows

import scanner
from scanner.cli import main
from scanner.run import Run
from scanner.storage import PENDING, Folder, LocalFolder, UrlFolder, open_folder

moto_server = pytest.importorskip("moto.server", reason="moto is not installed")
pytest.importorskip("s3fs", reason="s3fs is not installed")

# Of the libraries that talk S3 and imitate it here, not of ours.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of an S3 server of this process, with credentials that reach no other."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        yield f"http://{host}:{port}"
        server.stop()


@pytest.fixture
def bucket(s3: str, request: pytest.FixtureRequest) -> str:
    """An empty bucket as a URL."""
    import s3fs

    name = f"b{abs(hash(request.node.nodeid)):x}"
    s3fs.S3FileSystem(endpoint_url=s3, skip_instance_cache=True).mkdir(name)
    return f"s3://{name}"


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources, one of them retired, in several Units."""
    return make_dataset(tmp_path_factory.mktemp("storage") / "data", {"a__b": 2500, "c__d": 300, "deprecated/e__f": 20})


@pytest.fixture(scope="session")
def on_disk(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The dataset scanned from disk to disk."""
    return scanner.scan(dataset, out=tmp_path_factory.mktemp("local") / "run", engine="serial")


def outputs(run: Run) -> dict[str, bytes]:
    folder = open_folder(run.location)
    return {name: folder.read(name) for name in ("records.parquet", "members.parquet", "stats.json")}


def upload(folder: Path, url: str) -> None:
    there = open_folder(url)
    for path in folder.rglob("*.parquet"):
        there.write(path.relative_to(folder).as_posix(), path.read_bytes())
    there.flush()


@pytest.mark.parametrize("kind", ["disk", "s3"])
def test_a_folder_is_one_wherever_it_is(kind: str, bucket: str, tmp_path: Path) -> None:
    """Both kinds of folder write, read, list and remove alike, and know what is not there."""
    folder: Folder = open_folder(tmp_path / "deep" / "er" if kind == "disk" else f"{bucket}/deep/er")
    assert not folder.exists("run.json")
    assert list(folder.names()) == []
    with pytest.raises(FileNotFoundError):
        folder.read("run.json")
    folder.write("run.json", b"1")
    folder.write("run.json", b"2")
    for number in range(2 * PENDING):
        folder.write(f"shards/0000/{number:07d}.msgpack", bytes([number]))
    assert folder.read("shards/0000/0000003.msgpack") == b"\x03"
    folder.flush()
    assert folder.read("run.json") == b"2"
    assert len(list(folder.names())) == 2 * PENDING + 1
    assert sorted(folder.names("shards"))[:2] == ["shards/0000/0000000.msgpack", "shards/0000/0000001.msgpack"]
    folder.remove(["shards/0000/0000000.msgpack", "nothing"])
    assert not folder.exists("shards/0000/0000000.msgpack")
    folder.remove_all("shards")
    folder.sweep()
    assert list(folder.names()) == ["run.json"]
    folder.stage("large").write_bytes(b"large")
    folder.publish("large")
    assert folder.read("large") == b"large"


OURS = ["run.json.part", "shards/0000/0000001.msgpack.part", "shards/12345/12345678.msgpack.part"]
OURS_IN_A_RUN = [*OURS, "stats.json.part", "records.parquet.part", "members.parquet.part"]
THEIRS = [
    "film.mkv.part",
    "sub/run.json.part",
    "sub/shards/0000/0000001.msgpack.part",
    "shards/notes.txt.part",
    "shards/0000/notes.part",
]


def fill(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"precious")


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_what_a_killed_write_left_behind_is_no_file(tmp_path: Path) -> None:
    """Temporary names of ours are not listed, all else is; to look removes neither, to sweep removes ours alone."""
    folder = LocalFolder(tmp_path)
    fill(tmp_path, [*OURS_IN_A_RUN, *THEIRS])
    folder.write("shards/a", b"whole")
    assert set(folder.names()) == {*OURS_IN_A_RUN, *THEIRS, "shards/a"} - set(OURS)
    assert files_in(tmp_path) == {*OURS_IN_A_RUN, *THEIRS, "shards/a"}
    folder.sweep()
    assert files_in(tmp_path) == {*THEIRS, "shards/a"}
    folder.sweep()
    LocalFolder(tmp_path / "nothing").sweep()


@pytest.mark.parametrize("names", [[name] for name in [*THEIRS, "records.parquet.part"]], ids=lambda names: names[0])
@pytest.mark.parametrize("fresh", [False, True], ids=["", "fresh"])
def test_a_folder_that_holds_no_run_keeps_all_its_files(
    dataset: Path, tmp_path: Path, names: list[str], fresh: bool
) -> None:
    """A download that somebody has under way is no leftover: scan and merge refuse the folder and delete nothing."""
    out = tmp_path / "out"
    fill(out, names)
    with pytest.raises(scanner.OutputError, match="holds no Run"):
        scanner.scan(dataset, out=out, engine="serial", fresh=fresh)
    part = scanner.scan(dataset, out=tmp_path / "part", shard=(1, 2), engine="serial", limit=1)
    with pytest.raises(scanner.OutputError, match="not empty"):
        scanner.merge([part.location], out, fresh=fresh)
    assert files_in(out) == set(names)


KILLED_SCAN = """
import resource, signal, sys
from scanner.cli import main
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # the kernel kills whoever writes a file beyond the limit, in that write
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
main(["scan", *sys.argv[2:], "--engine", "serial", "--format", "quiet"])
"""


@pytest.mark.parametrize(
    ("limit", "left"),
    [(100, {"run.json.part"}), (40_000, {"shards/0000/0000000.msgpack.part", "records.parquet.part"})],
    ids=["at its manifest", "at a shard"],
)
def test_what_a_killed_scan_left_is_swept_up(
    dataset: Path, on_disk: Run, tmp_path: Path, limit: int, left: set[str]
) -> None:
    """A scan that is killed in a write is continued; its torn files go, a file of somebody else's in the Run stays."""
    out = tmp_path / "run"
    command = [sys.executable, "-c", KILLED_SCAN, str(limit), str(dataset), "--out", str(out)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGXFSZ
    assert left <= files_in(out)
    theirs = set(THEIRS) if (out / "run.json").exists() else set()
    fill(out, sorted(theirs))
    again = scanner.scan(dataset, out=out, engine="serial")
    assert outputs(again) == outputs(on_disk)
    assert {name for name in files_in(out) if name.endswith(".part")} == theirs


def test_a_merge_that_starts_over_sweeps_too(dataset: Path, tmp_path: Path) -> None:
    """``merge --fresh`` into a Run with torn files of a killed one: they do not count, and are gone."""
    out = tmp_path / "run"
    part = scanner.scan(dataset, out=tmp_path / "part", shard=(1, 1), engine="serial", limit=1)
    scanner.merge([part.location], out)
    fill(out, OURS_IN_A_RUN)
    scanner.merge([part.location], out, fresh=True)
    assert not [name for name in files_in(out) if name.endswith(".part")]


def test_a_failed_put_is_told_with_the_next_call(bucket: str) -> None:
    """A put that failed in the background raises OSError at the latest when everything is to be in place."""
    folder = UrlFolder(f"{bucket}-that-is-not-there/run")
    folder.write("run.json", b"1")
    with pytest.raises(OSError, match="bucket"):
        folder.flush()


@pytest.mark.parametrize("url", ["s3://", "nonsense://x/y", "file:///x"])
def test_urls_are_told_apart(url: str) -> None:
    """``file://`` is a path; a protocol that nobody knows is an error of usage that names it."""
    if url.startswith("nonsense"):
        with pytest.raises(scanner.UsageError, match="nonsense"):
            open_folder(url)
    else:
        assert isinstance(open_folder(url), LocalFolder if url.startswith("file") else UrlFolder)


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_a_scan_from_s3_to_s3_is_that_of_a_disk(
    engine: str, bucket: str, dataset: Path, on_disk: Run, tmp_path: Path
) -> None:
    """Input and output in a bucket: the same records and statistics, a Run that opens, and nothing on this disk."""
    upload(dataset, f"{bucket}/data")
    run = scanner.scan(f"{bucket}/data", out=f"{bucket}/run", engine=engine, workers=1)
    assert outputs(run) == outputs(on_disk)
    assert run.manifest.state == "complete"
    assert run.location == f"{bucket}/run"
    assert run.records().collect().equals(on_disk.records().collect())
    assert run.records().select("path").head(3).collect().height == 3
    assert [each.file for each in run.manifest.inputs] == [each.file for each in on_disk.manifest.inputs]
    with pytest.raises(scanner.RunError, match="no local folder"):
        _ = run.folder
    assert list(tmp_path.iterdir()) == []


def test_a_run_in_a_bucket_is_resumed(bucket: str, dataset: Path, on_disk: Run) -> None:
    """A shard that is gone or damaged is scanned again, others are taken from the bucket."""
    scanner.scan(dataset, out=f"{bucket}/run", engine="serial")
    folder = open_folder(f"{bucket}/run")
    whole = folder.read("shards/0000/0000001.msgpack")
    folder.remove(["shards/0000/0000000.msgpack", "records.parquet"])
    folder.write("shards/0000/0000001.msgpack", whole[:-7])
    folder.flush()
    again = scanner.scan(dataset, out=f"{bucket}/run", engine="serial")
    assert again.manifest.counters.rows == 2 * 1024
    assert outputs(again) == outputs(on_disk)
    with pytest.raises(scanner.RunError, match="limit"):
        scanner.scan(dataset, out=f"{bucket}/run", engine="serial", limit=3)
    fresh = scanner.scan(dataset, out=f"{bucket}/run", engine="serial", limit=3, fresh=True)
    assert (fresh.account.ok, len(list(folder.names("shards")))) == (3, 1)


def test_parts_in_a_bucket_are_merged_in_it(bucket: str, dataset: Path, on_disk: Run) -> None:
    """Runs of parts, and the Run they are merged into, may all lie behind URLs."""
    parts = [f"{bucket}/part-{part}" for part in (1, 2, 3)]
    for part, out in enumerate(parts, 1):
        scanner.scan(dataset, out=out, shard=(part, 3), engine="serial")
    assert main(["merge", *parts, "-o", f"{bucket}/run", "--format", "quiet"]) == 0
    assert outputs(Run(f"{bucket}/run")) == outputs(on_disk)
    assert main(["report", f"{bucket}/run", "--json"]) == 0


def test_sources_behind_urls_are_selected_like_local_ones(bucket: str, dataset: Path) -> None:
    """A file, a prefix and a glob mean what they do on a disk, and a Run below the prefix is not read."""
    upload(dataset, f"{bucket}/data")
    cases: dict[str, tuple[str, dict[str, Any], int]] = {
        "file": ("data/c__d/tasks.parquet", {}, 300),
        "prefix": ("data", {}, 2800),
        "glob": ("data/c*/*.parquet", {}, 300),
        "retired": ("data", {"include": ["deprecated/**"]}, 20),
        "excluded": ("data", {"exclude": ["a__b"]}, 300),
        "own Run": ("data", {"exclude": ["a__b"], "limit": 300}, 300),
    }
    for name, (path, options, rows) in cases.items():
        out = f"{bucket}/data/run" if name == "own Run" else f"{bucket}/{name}"
        for _ in range(2):
            run = scanner.scan(f"{bucket}/{path}", out=out, engine="serial", **options)
            assert run.account.ok == rows, name
    with pytest.raises(scanner.SourceError, match="no Parquet file"):
        scanner.scan(f"{bucket}/nothing", out=f"{bucket}/x", engine="serial")
    with pytest.raises(scanner.NoMatchError, match="none of the"):
        scanner.scan(f"{bucket}/data", out=f"{bucket}/x", engine="serial", include=["nothing"])


def test_a_replaced_object_is_scanned_again(bucket: str, tmp_path: Path) -> None:
    """An object whose ETag changed is scanned again, the others are not."""
    data = make_dataset(tmp_path / "data", {"a__b": 30, "c__d": 40})
    upload(data, f"{bucket}/data")
    scanner.scan(f"{bucket}/data", out=tmp_path / "run", engine="serial")
    write_rows(data / "a__b" / "tasks.parquet", [task(i) for i in range(900, 920)])
    upload(data, f"{bucket}/data")
    again = scanner.scan(f"{bucket}/data", out=tmp_path / "run", engine="serial")
    assert again.manifest.counters.rows == 20


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_is_not_there_is_an_error_in_a_sentence(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the bucket, ``scan`` ends with exit code 2 and a sentence, before a row is read."""
    assert main(["scan", str(dataset), "--out", "s3://nowhere/run", "--format", "quiet"]) == 2
    assert capsys.readouterr().err.startswith("scanner: error: cannot write to s3://nowhere/run: ")
    assert main(["scan", "s3://nowhere/data", "--out", "run", "--format", "quiet"]) == 2
    assert "s3://nowhere/data" in capsys.readouterr().err


def test_file_urls_are_paths(dataset: Path, on_disk: Run, tmp_path: Path) -> None:
    """``file://`` for input and output is the same as the path."""
    run = scanner.scan(f"file://{dataset}", out=f"file://{tmp_path}/run", engine="serial")
    assert run.folder == tmp_path / "run"
    assert outputs(run) == outputs(on_disk)


def test_staged_files_leave_nothing_behind(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is staged for a bucket goes with the folder object, published or not."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = UrlFolder(f"{bucket}/run")
    folder.stage("records.parquet").write_bytes(b"never published")
    assert len(list(tmp_path.iterdir())) == 1
    del folder
    assert list(tmp_path.iterdir()) == []


def test_files_behind_urls_travel_to_other_processes(bucket: str, dataset: Path) -> None:
    """A source behind a URL can be pickled, as engines that read elsewhere need it."""
    from scanner.sources.urls import find_url

    upload(dataset, f"{bucket}/data")
    files = find_url(f"{bucket}/data", [], [])
    again = pickle.loads(pickle.dumps(files))
    assert again.names == files.names
    assert again.identity("c__d/tasks.parquet") == files.identity("c__d/tasks.parquet")
    with again.open("c__d/tasks.parquet") as file:
        assert file.read(4) == b"PAR1"
