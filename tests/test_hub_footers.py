"""Files whose footer cannot be read: left out with their reason, counted apart, and finished by the next run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hub_scans import Time, http_to, make_repo, outputs, scan_hub
from hub_server import Fault, HubServer, Request, hub_of
from huggingface_hub import constants
from parquet_files import make_dataset

import scanner
from scanner.cli import main
from scanner.report.markdown import render
from scanner.shards import Shard, ShardFolder

ALWAYS = 10**9
B = "b__2/tasks.parquet"


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of 150, 100 and 60 rows."""
    return make_repo(tmp_path_factory.mktemp("repo"))


@pytest.fixture(scope="module")
def local(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> scanner.Run:
    """The scan of the same files on disk."""
    return scanner.scan(repo, out=tmp_path_factory.mktemp("local") / "run", engine="serial")


@contextmanager
def spoiled(file: Path, content: bytes = b"no Parquet at all") -> Iterator[None]:
    """``file`` with other content for a while; afterwards it is as it was, its time included."""
    sound, times = file.read_bytes(), file.stat()
    file.write_bytes(content)
    yield
    file.write_bytes(sound)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def of(name: str, host: str = "storage") -> Callable[[Request], bool]:
    """Requests for bytes of a source's file."""
    return lambda request: request.is_data and request.host == host and name in request.path


STAYING = {
    "404": (Fault("status", 404, {"X-Error-Code": "EntryNotFound"}, match=of("b__2", "hub")), "no such file"),
    "403": (Fault("status", 403, match=of("b__2", "hub")), "access is restricted"),
    "500": (Fault("status", 500, times=ALWAYS, match=of("b__2")), "the Hub answers 500"),
    "no answer": (Fault("hang", times=ALWAYS, match=of("b__2")), "no byte came"),
    "a body that breaks": (Fault("reset", times=ALWAYS, match=of("b__2")), "the connection broke"),
    "another ETag": (Fault("etag", match=of("b__2", "hub")), "its ETag is another"),
    "another size": (Fault("grown", match=of("b__2")), "bytes, not the"),
}


@pytest.mark.parametrize(("fault", "reason"), STAYING.values(), ids=STAYING)
def test_on_the_hub_it_costs_its_own_rows(
    repo: Path, local: scanner.Run, tmp_path: Path, fault: Fault, reason: str
) -> None:
    """All other files are scanned; the Run is partial and names it; the next run reads that file alone."""
    with hub_of(repo) as server:
        server.faults.append(Fault(fault.kind, fault.status, fault.headers, fault.times, fault.match))
        run = scan_hub(http_to(server, Time(), read_seconds=0.3), tmp_path / "run")
        server.faults.clear()
        server.requests.clear()
        again = scan_hub(http_to(server, Time()), tmp_path / "run")
    account = run.account
    assert account.balances()
    assert not account.is_whole
    assert (account.planned, account.ok, account.not_reached, account.uncounted_files) == (210, 210, 0, 1)
    assert run.manifest.state == "partial"
    assert list(run.manifest.not_reached) == [B]
    assert reason in run.manifest.not_reached[B]
    assert [each.file for each in run.manifest.inputs if each.rows is None] == [B]
    assert again.account.is_whole
    assert (again.manifest.state, again.manifest.counters.rows, again.manifest.reused_rows) == ("complete", 100, 210)
    assert {request.path.split("/")[-2] for request in server.data_requests if request.range[0] == 4} == {"b__2"}  # type: ignore[index]
    assert outputs(again) == outputs(local)


def test_a_file_that_cannot_be_mirrored_costs_its_own_rows(
    repo: Path, local: scanner.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``--download`` too the others are scanned, and the next run mirrors the rest; where none comes, it ends."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("time.sleep", lambda _: None)  # of huggingface_hub between its own attempts
    with hub_of(repo) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        server.faults.append(Fault("status", 403, times=ALWAYS, match=lambda r: "b__2" in r.path))
        run = scanner.scan("org/tasks", out=tmp_path / "run", engine="serial", download=True)
        server.faults.clear()
        again = scanner.scan("org/tasks", out=tmp_path / "run", engine="serial", download=True)
        server.faults.append(Fault("status", 403, times=ALWAYS, match=lambda r: r.host == "storage"))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
        with pytest.raises(scanner.SourceError, match=r"a__1/tasks\.parquet cannot be mirrored: access is restricted"):
            scanner.scan("org/tasks", out=tmp_path / "none", engine="serial", download=True)
    assert (run.account.ok, list(run.manifest.not_reached)) == (210, [B])
    assert "b__2/tasks.parquet cannot be mirrored: access is restricted" in run.manifest.not_reached[B]
    assert again.manifest.counters.rows == 100
    assert outputs(again) == outputs(local)


LOCAL = {
    "text": b"no Parquet at all",
    "nothing": b"",
    "only the magic": b"PAR1PAR1",
    "a footer larger than the file": b"PAR1" + b"\xff\xff\xff\x7f" + b"PAR1",
    "a footer that is noise": b"PAR1" + bytes(range(200)) + (200).to_bytes(4, "little") + b"PAR1",
}


@pytest.mark.parametrize("content", LOCAL.values(), ids=LOCAL)
def test_on_disk_it_costs_its_own_rows(tmp_path: Path, content: bytes) -> None:
    """A file that is no Parquet, or was cut, is left out of a folder's scan; once it is whole, it alone is read."""
    data = make_dataset(tmp_path / "data", {"a__1": 40, "b__2": 30, "c__3": 20})
    expected = scanner.scan(data, out=tmp_path / "whole", engine="serial")
    with spoiled(data / B, content):
        run = scanner.scan(data, out=tmp_path / "run", engine="serial")
    again = scanner.scan(data, out=tmp_path / "run", engine="serial")
    assert (run.account.ok, run.account.uncounted_files, list(run.manifest.not_reached)) == (60, 1, [B])
    assert (again.manifest.counters.rows, again.manifest.reused_rows) == (30, 60)
    assert outputs(again) == outputs(expected)


def test_a_folder_called_like_a_file_is_no_file(tmp_path: Path) -> None:
    """``part.parquet/`` is searched, as others write their files there; a pipe of that name is told of, not opened."""
    data = make_dataset(tmp_path / "data", {"a__1": 4, "b.parquet": 3})
    os.mkfifo(data / "pipe.parquet")
    run = scanner.scan(data, out=tmp_path / "run", engine="serial")
    assert run.account.ok == 7
    assert run.manifest.not_reached == {"pipe.parquet": "pipe.parquet is not a regular file"}


def no_such_file(server: HubServer, name: str) -> None:
    server.faults[:] = [Fault("status", 404, {"X-Error-Code": "EntryNotFound"}, ALWAYS, of(name, "hub"))]


def test_a_file_that_was_counted_before_is_counted(
    repo: Path, local: scanner.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the Run knows of the same bytes stands in for a footer: rows are counted, and those on disk are not lost."""
    with hub_of(repo) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        server.faults.append(Fault("status", 418, match=of("b__2"), after=1))  # its columns
        first = scanner.scan("org/tasks", out=tmp_path / "run", engine="serial")
        no_such_file(server, "b__2")
        second = scanner.scan("org/tasks", out=tmp_path / "run", engine="serial")
        no_such_file(server, "a__1")
        third = scanner.scan("org/tasks", out=tmp_path / "run", engine="serial")
    assert (first.account.ok, first.account.not_reached, first.account.uncounted_files) == (210, 100, 0)
    assert second.account == first.account
    assert "no such file" in second.manifest.not_reached[B]
    assert (third.manifest.state, third.manifest.counters.rows, third.manifest.not_reached) == ("complete", 100, {})
    assert outputs(third) == outputs(local)


def test_no_file_can_be_read(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no footer can be read, or the one file that was named, it is an error before anything is written."""
    out = str(tmp_path / "run")
    with hub_of(repo) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        server.faults.append(Fault("status", 403, times=ALWAYS, match=lambda request: request.is_data))
        assert main(["scan", "org/tasks", "--out", out, "--format", "quiet"]) == 2
    assert "a__1/tasks.parquet: access is restricted" in (told := capsys.readouterr().err)
    assert "none of the 2 others can be read" in told
    (tmp_path / "x.parquet").write_text("no Parquet at all")
    assert main(["scan", str(tmp_path / "x.parquet"), "--out", out]) == 2
    assert capsys.readouterr().err.startswith("scanner: error: x.parquet is not a readable Parquet file")
    assert not Path(out).exists()


def test_a_limit_stops_at_it(tmp_path: Path) -> None:
    """The first rows are those before it; where these are enough, it is not missed."""
    data = make_dataset(tmp_path / "data", {"a__1": 40, "b__2": 30, "c__3": 20})
    expected = scanner.scan(data, out=tmp_path / "whole", limit=75, engine="serial")
    with spoiled(data / B):
        enough = scanner.scan(data, out=tmp_path / "enough", limit=40, engine="serial")
        run = scanner.scan(data, out=tmp_path / "run", limit=75, engine="serial")
    again = scanner.scan(data, out=tmp_path / "run", limit=75, engine="serial")
    assert (enough.manifest.state, enough.account.ok) == ("complete", 40)
    assert (run.manifest.state, run.account.ok, run.account.uncounted_files) == ("partial", 40, 1)
    assert "no later file is read" in run.manifest.not_reached[B]
    assert again.manifest.counters.rows == 35
    assert outputs(again) == outputs(expected)


def test_a_sample_needs_all_rows(tmp_path: Path) -> None:
    """Rows cannot be drawn from an unknown number, nor numbered: an error with the reason."""
    data = make_dataset(tmp_path / "data", {"a__1": 4, "b__2": 3})
    with spoiled(data / B):
        with pytest.raises(scanner.SourceError, match="a sample is drawn from the rows of all files, and b__2"):
            scanner.scan(data, out=tmp_path / "run", sample=3)
        with pytest.raises(scanner.SourceError, match=r"b__2/tasks\.parquet is not a readable Parquet file"):
            scanner.Explorer(data)


def test_parts_and_their_merge_say_what_is_missing(tmp_path: Path) -> None:
    """A part without a file is set aside by those that have it, and joined to those that lack it too; then mended."""
    data = make_dataset(tmp_path / "data", {"a__1": 1500, "b__2": 1200, "c__3": 1400})
    expected = scanner.scan(data, out=tmp_path / "whole", engine="serial")

    def scan(part: int) -> scanner.Run:
        return scanner.scan(data, out=tmp_path / f"{part}", shard=(part, 3), engine="serial")

    parts = [tmp_path / f"{part}" for part in (1, 2, 3)]
    with spoiled(data / B, (data / B).read_bytes()[:-1] + b"?"):
        lacking = [scan(part) for part in (1, 2, 3)]
    assert all(run.manifest.state == "partial" for run in lacking)
    alike = scanner.merge(parts, tmp_path / "alike")
    assert (alike.manifest.state, alike.account.ok, alike.account.uncounted_files) == ("partial", 2900, 1)
    assert list(alike.manifest.not_reached) == [B]

    assert scan(3).manifest.state == "complete"
    mixed = scanner.merge(parts, tmp_path / "mixed")
    assert sorted(mixed.manifest.not_reached) == ["part 1 of 3", "part 2 of 3"]
    assert f"{parts[0]} is without a file that it could not read" in mixed.manifest.not_reached["part 1 of 3"]
    assert (mixed.account.planned, mixed.account.uncounted_files) == (4100, 0)
    with pytest.raises(scanner.RunError, match="given twice: part 1"):
        scanner.merge([*parts, parts[0]], tmp_path / "twice")

    finished = [scan(part) for part in (1, 2)]
    assert sum(run.manifest.counters.rows for run in finished) == 1200, "no Unit twice, and none was another part's"
    assert outputs(scanner.merge(parts, tmp_path / "merged")) == outputs(expected)


@pytest.mark.parametrize("killed_after", [None, 0, 1, 2, 3, 4])
def test_shards_find_their_place_in_another_plan(
    tmp_path: Path, killed_after: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that come and go move all Units behind them: none is scanned twice, wherever the move is interrupted."""
    data = make_dataset(tmp_path / "data", {"b__2": 1100, "c__3": 1200, "e__5": 1300})
    scanner.scan(data, out=tmp_path / "run", engine="serial")
    make_dataset(data, {"a__1": 1100, "a__2": 10})
    (data / "c__3" / "tasks.parquet").unlink()
    (data / "d__4").mkdir()
    (data / "d__4" / "tasks.parquet").symlink_to(data / "a__2" / "tasks.parquet")
    if killed_after is not None:
        left, write = killed_after, ShardFolder.write

        def dying(folder: ShardFolder, shard: Shard) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            write(folder, shard)

        with monkeypatch.context() as patch:
            patch.setattr(ShardFolder, "write", dying)
            with pytest.raises(KeyboardInterrupt):
                scanner.scan(data, out=tmp_path / "run", engine="serial")
    run = scanner.scan(data, out=tmp_path / "run", engine="serial")
    assert run.manifest.reused_rows >= 2400
    assert outputs(run) == outputs(scanner.scan(data, out=tmp_path / "fresh", engine="serial"))


def test_all_faces_name_it(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 3; text, JSON, Markdown, page and notebook say that its rows are unknown; ``sources`` names it too."""
    monkeypatch.setenv("COLUMNS", "140")
    data = make_dataset(tmp_path / "data", {"a__1": 4, "b__2": 3})
    out = tmp_path / "run"
    unknown = "an unknown number of rows in 1 file that could not be read"
    with spoiled(data / B):
        assert main(["scan", str(data), "--out", str(out)]) == 3
        shown = capsys.readouterr()
        assert f"{B} cannot be read: {B} is not a readable Parquet file" in shown.err
        assert f"+ {unknown}" in shown.out
        assert main(["sources", str(data), "--files"]) == 3
        shown = capsys.readouterr()
        assert f"{B} cannot be read" in shown.err
        assert [line.split()[-4] for line in shown.out.splitlines() if B in line] == ["unknown"]
        assert main(["sources", str(data), "--json"]) == 3
        listed = json.loads(capsys.readouterr().out)
    assert (listed["rows"], list(listed["unreadable"]), listed["inputs"][1]["rows"]) == (4, [B], None)
    assert main(["report", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["manifest"]["account"]["uncounted_files"] == 1
    run = scanner.Run(out)
    assert unknown in render(run)
    assert unknown in run._repr_html_()
    assert unknown in run.report(tmp_path / "page.html").read_text()
