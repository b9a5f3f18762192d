"""Datasets on the Hub, against a loopback one: the records of a local scan, few and polite requests, every fault."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hub_scans import Time, Told, http_to, make_repo, outputs, scan_hub
from hub_server import COMMIT_1, COMMIT_2, SIGNATURE, TOKEN, Fault, HubServer, Repo, Request, hub_of
from huggingface_hub import constants

import scanner
from scanner.errors import NoMatchError, SourceError, UsageError
from scanner.sources.answers import HubError, Refused, redirected, retry_after
from scanner.sources.http import ATTEMPTS, MOST_TOLD_SECONDS, Budget
from scanner.sources.hub import Place, open_hub, place_of
from scanner.sources.ranges import BLOCK_BYTES

FILES = ["a__1/tasks.parquet", "b__2/tasks.parquet", "c__3/tasks.parquet"]


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of 60 to 150 rows."""
    return make_repo(tmp_path_factory.mktemp("repo"))


@pytest.fixture(scope="module")
def local(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> scanner.Run:
    """The scan of the same files on disk."""
    return scanner.scan(repo, out=tmp_path_factory.mktemp("local") / "run", engine="serial")


@pytest.mark.parametrize("lfs", [True, False], ids=["LFS", "git"])
def test_a_scan_of_the_hub_is_the_scan_of_the_files(repo: Path, local: scanner.Run, tmp_path: Path, lfs: bool) -> None:
    """Records and statistics are the bytes of a local scan; run.json holds the commit and the identities listed."""
    with hub_of(repo, lfs=lfs) as server:
        run = scan_hub(http_to(server, Time()), tmp_path / "run")
        assert outputs(run) == outputs(local)
        assert run.manifest.revision == COMMIT_1
        digests = {name: server.digests(repo / name)[lfs] for name in FILES}
    assert {each.file: each.identity for each in run.manifest.inputs} == digests


def test_nothing_is_asked_for_twice(repo: Path, tmp_path: Path) -> None:
    """One listing, one resolved revision; of each file the tail once and the rest once, and retired ones not at all."""
    with hub_of(repo) as server:
        scan_hub(http_to(server, Time()), tmp_path / "run")
    api = [request.path for request in server.requests if request.path.startswith("/api/")]
    assert api == ["/api/datasets/org/tasks/revision/main", f"/api/datasets/org/tasks/tree/{COMMIT_1}"]
    resolved = sorted(request.path.rpartition("/resolve/")[2] for request in server.requests if request.host == "hub")
    assert resolved[2:] == [f"{COMMIT_1}/{name}" for name in FILES]
    spans = sorted((request.path, request.range) for request in server.data_requests)
    for (path, span), (after, following) in pairwise(spans):
        assert span is not None
        assert following is not None
        assert path != after or span[1] <= following[0]


def test_requests_and_bytes_stay_within_the_promise(tmp_path: Path) -> None:
    """At most 1.05 times the bytes of both columns and footers; a request per 8 MiB and four per file."""
    repo = make_repo(tmp_path / "repo", [1500, 700, 3000], size=8_000)
    with hub_of(repo) as server:
        scan_hub(http_to(server, Time()), tmp_path / "run")
    sizes = [(repo / name).stat().st_size for name in FILES]
    assert sum(sizes) > 4 * BLOCK_BYTES
    assert server.bytes_asked <= 1.05 * sum(sizes)
    requests = [request for request in server.requests if not request.path.startswith("/api/")]
    assert len(requests) <= sum(sizes) / BLOCK_BYTES + 4 * len(sizes)


def test_a_limit_reads_no_more_than_it_needs(repo: Path, tmp_path: Path) -> None:
    """The first rows cost their row group, not the file."""
    with hub_of(repo) as server:
        run = scan_hub(http_to(server, Time()), tmp_path / "run", limit=10)
    assert run.account.planned == 10
    tails = 3 * 65_536
    assert server.bytes_asked <= tails + 40 * 3_600


PLACES = {
    "a repository": ("org/tasks", Place("org/tasks")),
    "an address": ("hf://datasets/org/tasks", Place("org/tasks")),
    "a revision": ("hf://datasets/org/tasks@v1.2", Place("org/tasks", "v1.2")),
    "a reference": ("hf://datasets/org/tasks@refs/pr/3/a__1", Place("org/tasks", "refs/pr/3", "a__1")),
    "a quoted reference": ("hf://datasets/org/tasks@refs%2Fpr%2F3/a__1/", Place("org/tasks", "refs/pr/3", "a__1")),
    "a glob": ("hf://datasets/org/tasks@main/**/t*.parquet", Place("org/tasks", "main", "**/t*.parquet")),
    "a folder": ("data/sub/folder", None),
    "an absolute path": ("/org/tasks", None),
    "a relative path": ("./tasks", None),
}


@pytest.mark.parametrize(("location", "place"), PLACES.values(), ids=PLACES)
def test_what_a_location_means(location: str, place: Place | None) -> None:
    """``ORG/NAME`` and ``hf://`` addresses are the Hub's; anything else is a path."""
    assert place_of(location) == place


@pytest.mark.parametrize("location", ["hf://org/tasks", "hf://datasets/tasks", "hf://datasets/", "hf://models/a/b"])
def test_an_address_of_another_form_is_refused(location: str) -> None:
    """An ``hf://`` address that is none of a dataset's is an error that says the form."""
    with pytest.raises(UsageError, match="hf://datasets/ORG/NAME"):
        place_of(location)


SELECTED = {
    "everything": ("org/tasks", {}, FILES),
    "a folder": ("hf://datasets/org/tasks/b__2", {}, ["b__2/tasks.parquet"]),
    "a file": ("hf://datasets/org/tasks/b__2/tasks.parquet", {}, ["b__2/tasks.parquet"]),
    "a glob": ("hf://datasets/org/tasks/[ab]__?/*.parquet", {}, []),
    "a star": ("hf://datasets/org/tasks/*__?/*.parquet", {}, FILES),
    "retired, named": ("hf://datasets/org/tasks/deprecated", {}, ["deprecated/x__y/tasks.parquet"]),
    "included": ("org/tasks", {"include": ["c__3"]}, ["c__3/tasks.parquet"]),
    "excluded": ("org/tasks", {"exclude": ["c__3"]}, FILES[:2]),
    "retired, included": ("org/tasks", {"include": ["deprecated/**"]}, ["deprecated/x__y/tasks.parquet"]),
}


@pytest.mark.parametrize(("location", "options", "names"), SELECTED.values(), ids=SELECTED)
def test_which_files_are_meant(repo: Path, location: str, options: dict[str, Any], names: list[str]) -> None:
    """Globs, folders, includes and excludes choose among the Parquet files; retired ones only where they are named."""
    place = place_of(location)
    assert place is not None
    with hub_of(repo, page=2) as server:
        http = http_to(server, Time())
        if not names:
            with pytest.raises(HubError, match="no Parquet file at"):
                open_hub(place, http=http, **options)
        else:
            assert open_hub(place, http=http, **options).names == names
        with pytest.raises(NoMatchError, match="--include"):
            open_hub(Place("org/tasks"), include=["nothing/*"], http=http)


# -- faults that pass --------------------------------------------------------------------------------------------------


def resolving(request: Request) -> bool:
    return "/resolve/" in request.path


def api(request: Request) -> bool:
    return request.path.startswith("/api/")


PASSING = {
    "429 with Retry-After": (Fault("status", 429, {"Retry-After": "7"}), 7.0),
    "429 with RateLimit": (Fault("status", 429, {"RateLimit": '"resolvers";r=0;t=42'}, match=resolving), 42.0),
    "429 of the listing": (Fault("status", 429, {"RateLimit": '"api";r=0;t=13'}, match=api), 13.0),
    "429 without a word": (Fault("status", 429), 0.5),
    "503 with Retry-After": (Fault("status", 503, {"Retry-After": "3"}, match=api), 3.0),
    "500": (Fault("status", 500, times=3), 0.5),
    "502 of the listing": (Fault("status", 502, match=api), 0.5),
    "reset in mid-body": (Fault("reset", times=3), 0.5),
    "stalled body": (Fault("stall"), 0.5),
    "short range": (Fault("short", times=4), 0.5),
    "no answer to the listing": (Fault("hang", match=api), 0.5),
    "no answer to a range": (Fault("hang"), 0.5),
    "expired address": (Fault("status", 403, match=lambda r: r.host == "storage", times=2), 0.0),
}


@pytest.mark.parametrize("when", [0, 3], ids=["footers", "columns"])
@pytest.mark.parametrize(("fault", "waited"), PASSING.values(), ids=PASSING)
def test_faults_that_pass_cost_no_row(
    repo: Path, local: scanner.Run, tmp_path: Path, fault: Fault, waited: float, when: int
) -> None:
    """A fault that goes away is waited for as told, and the records are those of the local scan."""
    time, told = Time(), Told()
    fault = Fault(
        fault.kind,
        fault.status,
        fault.headers,
        fault.times,
        fault.match,
        when if fault.match not in {api, resolving} else 0,
    )
    with hub_of(repo) as server:
        server.faults.append(fault)
        run = scan_hub(http_to(server, time, read_seconds=0.3), tmp_path / "run", told=told)
    assert outputs(run) == outputs(local)
    assert run.manifest.state == "complete"
    assert fault.times == 0
    assert max([*time.waits, 0.0]) >= waited
    assert not any(SIGNATURE in note or "http" in note for note in told.notes)


def test_an_announced_limit_is_kept_before_it_is_hit(repo: Path, local: scanner.Run, tmp_path: Path) -> None:
    """Where an answer says that no request is left in this window, the next one waits for the window to end."""
    time = Time()
    with hub_of(repo) as server:
        server.headers["RateLimit"] = '"resolvers";r=0;t=200'
        run = scan_hub(http_to(server, time), tmp_path / "run")
    assert outputs(run) == outputs(local)
    assert max(time.waits) >= 199


LIMITED = {
    "the listing": (api, 0, True),
    "a footer": (lambda request: request.host == "storage", 0, True),
    "columns": (lambda request: request.host == "storage", 3, False),
}


@pytest.mark.parametrize(("match", "after", "while_planning"), LIMITED.values(), ids=LIMITED)
def test_what_is_waited_for_is_told(
    repo: Path, tmp_path: Path, match: Callable[[Request], bool], after: int, while_planning: bool
) -> None:
    """Under a rate limit a line says for how long, before the plan is made as well as while rows are read."""
    planning: list[str] = []
    told = Told()
    with hub_of(repo) as server:
        server.faults.append(Fault("status", 429, {"Retry-After": "200"}, match=match, after=after))
        scan_hub(http_to(server, Time(), note=planning.append), tmp_path / "run", told=told)
    (line,) = [note for note in [*planning, *told.notes] if note.startswith("waiting 200 s before the next request")]
    assert (line in planning) == while_planning


def test_what_came_before_a_break_is_not_asked_for_again(repo: Path, tmp_path: Path) -> None:
    """After a broken connection only the rest is requested."""
    with hub_of(repo) as server:
        server.faults.append(Fault("short", times=1, after=3))
        scan_hub(http_to(server, Time()), tmp_path / "run")
        asked = server.bytes_asked
        scan_hub(http_to(server, Time()), tmp_path / "again")
    assert asked - (server.bytes_asked - asked) <= BLOCK_BYTES
    starts = [
        (request.path, request.range[0])
        for request in server.data_requests[: len(server.data_requests) // 2]
        if request.range
    ]
    assert len(starts) == len(set(starts))


# -- faults that stay --------------------------------------------------------------------------------------------------


def columns_of_b(request: Request) -> bool:
    return request.host == "storage" and "b__2" in request.path


ALWAYS = 10**9
STAYING = {
    "500": (Fault("status", 500, times=ALWAYS, match=columns_of_b, after=1), "the Hub answers 500"),
    "reset": (Fault("status", 503, times=ALWAYS, match=columns_of_b, after=1), "the Hub answers 503"),
    "asks too much": (
        Fault("status", 429, {"Retry-After": str(int(MOST_TOLD_SECONDS) + 1)}, match=columns_of_b, after=1),
        "asks to wait 901 s",
    ),
    "another ETag": (Fault("etag", match=columns_of_b, after=1), "its ETag is another"),
    "another size": (Fault("grown", match=columns_of_b, after=1), "bytes, not the"),
    "no ranges": (Fault("whole", match=columns_of_b, after=1), "does not serve ranges"),
    "a circle": (Fault("loop", times=ALWAYS, match=columns_of_b, after=1), "redirects in a circle"),
    "refused": (Fault("status", 418, match=columns_of_b, after=1), "the Hub answers 418"),
}


@pytest.mark.parametrize(("fault", "reason"), STAYING.values(), ids=STAYING)
def test_a_file_that_stays_unreadable_is_not_reached(
    repo: Path, local: scanner.Run, tmp_path: Path, fault: Fault, reason: str
) -> None:
    """Its rows are not reached, with the reason; all others are scanned; the next run finishes with the same bytes."""
    with hub_of(repo) as server:
        server.faults.append(Fault(fault.kind, fault.status, fault.headers, fault.times, fault.match, fault.after))
        run = scan_hub(http_to(server, Time()), tmp_path / "run")
        assert run.account.balances()
        assert (run.account.ok, run.account.not_reached) == (210, 100)
        assert list(run.manifest.not_reached) == ["b__2/tasks.parquet"]
        assert reason in run.manifest.not_reached["b__2/tasks.parquet"]
        assert run.manifest.state == "partial"
        server.faults.clear()
        again = scan_hub(http_to(server, Time()), tmp_path / "run")
    assert again.manifest.counters.rows == 100
    assert outputs(again) == outputs(local)


RETRY_AFTER = {
    "seconds": ("120", 120.0),
    "no seconds": ("0", 0.0),
    "a date that is past": ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
    "far too long": ("9" * 400, 999_999_999.0),
    "nonsense": ("soon", None),
    "negative": ("-5", None),
    "other digits": ("\u0663", None),
    "nothing": ("", None),
}


@pytest.mark.parametrize(("value", "seconds"), RETRY_AFTER.values(), ids=RETRY_AFTER)
def test_retry_after_is_a_number_or_a_date(value: str, seconds: float | None) -> None:
    """RFC 9110 has two forms; anything else is as if it were not there."""
    assert retry_after(SimpleNamespace(headers={"Retry-After": value})) == seconds


REDIRECTS = {
    "relative": ("https://hub.example/a/b", "../c?d=1", "https://hub.example/c?d=1"),
    "to storage": ("https://hub.example/a", "https://cdn.example/x", "https://cdn.example/x"),
    "to plain http": ("https://hub.example/a", "http://cdn.example/x", None),
    "between plain ones": ("http://127.0.0.1/a", "http://localhost/x", "http://localhost/x"),
    "to a file": ("http://127.0.0.1/a", "file:///etc/passwd", None),
}


@pytest.mark.parametrize(("target", "location", "following"), REDIRECTS.values(), ids=REDIRECTS)
def test_redirects_never_become_less_safe(target: str, location: str, following: str | None) -> None:
    """A redirect stays on HTTP, and on HTTPS where it was."""
    response = SimpleNamespace(headers={"Location": location})
    if following is None:
        with pytest.raises(Refused, match="not safe"):
            redirected(target, response)
    else:
        assert redirected(target, response) == following


def test_retries_are_shared(repo: Path, tmp_path: Path) -> None:
    """A Hub that fails for good is asked as often as the one budget allows, however many files there are."""
    with hub_of(repo) as server:
        http = http_to(server, Time(), budget=Budget(8))
        files = open_hub(Place("org/tasks"), http=http)
        server.requests.clear()
        server.faults.append(Fault("status", 500, times=ALWAYS))
        for name in files.names:
            with pytest.raises(SourceError, match="the Hub answers 500"):
                files.open(name)
    assert len(server.data_requests) == 8 + len(files.names) < ATTEMPTS * len(files.names)


# -- refusals before the work ------------------------------------------------------------------------------------------

REFUSED = {
    "no such repository": ("org/other", {}, "org/other: there is no such dataset, or it is private and no token"),
    "no such revision": ("org/tasks", {"revision": "v9"}, "org/tasks: there is no such revision"),
    "two revisions": ("hf://datasets/org/tasks@main", {"revision": "v9"}, "two revisions: main in SOURCE"),
}


@pytest.mark.parametrize(("location", "options", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_there_is_said(
    repo: Path, tmp_path: Path, location: str, options: dict[str, Any], sentence: str
) -> None:
    """A missing repository or revision is one sentence, with exit code 2, and nothing is written."""
    with hub_of(repo) as server, pytest.raises(scanner.ScannerError, match=sentence) as caught:
        scan_hub(http_to(server, Time()), tmp_path / "run", location, **options)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (401, "", "does not accept the token: expired or invalid"),
        (401, "RepoNotFound", "no such dataset, or it is private and the token does not open it"),
        (403, "GatedRepo", "access is restricted, and the token does not open it; ask for access"),
        (403, "", "access is restricted"),
    ],
)
def test_refusals_name_no_token(
    repo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: int,
    code: str,
    sentence: str,
) -> None:
    """An expired token or a gated repository is one sentence without the token, which no log has either."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    caplog.set_level(logging.DEBUG)
    with hub_of(repo) as server:
        server.faults.append(Fault("status", status, {"X-Error-Code": code}, match=api))
        with pytest.raises(HubError, match=sentence) as caught:
            scan_hub(http_to(server, Time()), tmp_path / "run")
    assert TOKEN not in str(caught.value) + caplog.text


def test_the_token_goes_to_the_hub_alone(
    repo: Path, local: scanner.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every request to the Hub carries it, none to the storage it redirects to, and no file of the Run holds it."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    caplog.set_level(logging.DEBUG)
    told = Told()
    with hub_of(repo, require_token=True) as server:
        server.faults.append(Fault("reset", times=2))
        server.faults.append(Fault("etag", match=columns_of_b, after=1))
        run = scan_hub(http_to(server, Time()), tmp_path / "run", told=told)
        assert run.account.not_reached == 100
        assert {request.authorized for request in server.requests if request.host == "hub"} == {True}
        assert {request.authorized for request in server.requests if request.host == "storage"} == {False}
    written = b"".join(path.read_bytes() for path in run.folder.rglob("*") if path.is_file())
    for secret in (TOKEN, SIGNATURE):
        assert secret.encode() not in written
        assert secret not in "".join(told.notes)
    assert TOKEN not in caplog.text


# -- revisions ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def moving(repo: Path, tmp_path: Path) -> HubServer:
    """A Hub whose second commit has another ``b__2`` and one file more, which comes first."""
    later = make_repo(tmp_path / "later")
    make_repo(tmp_path / "new", [20])
    (tmp_path / "new" / "a__1").rename(later / "A__0")
    (later / "b__2" / "tasks.parquet").write_bytes((later / "c__3" / "tasks.parquet").read_bytes())
    return HubServer({"org/tasks": Repo({COMMIT_1: repo, COMMIT_2: later}, {"main": COMMIT_1, "v1": COMMIT_1})})


def test_an_interrupted_scan_goes_on_at_its_commit(
    moving: HubServer, local: scanner.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A branch that moves on between two runs does not mix revisions; a finished Run follows it."""
    with moving as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        server.faults.append(Fault("status", 418, match=columns_of_b, after=1))
        run = scanner.scan("org/tasks", out=tmp_path / "run", engine="serial")
        assert run.account.not_reached == 100
        server.repos["org/tasks"].refs["main"] = COMMIT_2
        again = scanner.scan("org/tasks", out=tmp_path / "run", engine="serial")
        assert again.manifest.revision == COMMIT_1
        assert outputs(again) == outputs(local)
        new = scanner.scan("org/tasks", out=tmp_path / "new run", engine="serial")
        assert new.manifest.revision == COMMIT_2


def test_reuse_reads_only_what_changed(moving: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unchanged files' rows come from the earlier Run, whatever their place in the plan; the account says how many."""
    with moving as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        before = tmp_path / "v1"
        scanner.scan("org/tasks", revision="v1", out=before, engine="serial")
        server.repos["org/tasks"].refs["main"] = COMMIT_2
        fresh = scanner.scan("org/tasks", out=tmp_path / "fresh", engine="serial")
        server.requests.clear()
        run = scanner.scan("org/tasks", out=tmp_path / "run", engine="serial", reuse=[before])
    assert run.manifest.reused_from == {str(before): 210}
    assert run.manifest.counters.rows == 80
    assert run.account == fresh.account
    assert outputs(run) == outputs(fresh)
    columns = {
        request.path.split("/")[-2] for request in server.data_requests if request.range and request.range[0] == 4
    }
    assert columns <= {"A__0", "b__2"}


def test_a_run_cannot_reuse_itself(repo: Path, tmp_path: Path) -> None:
    """Reusing the Run that is being written, or one that is none, is an error before anything is removed."""
    scanner.scan(repo, out=tmp_path / "run", engine="serial")
    with pytest.raises(UsageError, match="this Run itself"):
        scanner.scan(repo, out=tmp_path / "run", engine="serial", reuse=[tmp_path / "run"], fresh=True)
    assert scanner.Run(tmp_path / "run").account.ok == 310
    with pytest.raises(scanner.RunError, match="holds no Run"):
        scanner.scan(repo, out=tmp_path / "other", engine="serial", reuse=[tmp_path / "nothing"])


# -- mirrored, and offline ---------------------------------------------------------------------------------------------


def test_downloaded_then_offline(
    repo: Path, local: scanner.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--download`` gives the same bytes and identities, and what it mirrored is scanned offline later on."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with hub_of(repo) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        streamed = scanner.scan("org/tasks", out=tmp_path / "streamed", engine="serial")
        run = scanner.scan("org/tasks", out=tmp_path / "run", engine="serial", download=True)
        server.requests.clear()
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        offline = scanner.scan("org/tasks", out=tmp_path / "offline", engine="serial")
        assert server.requests == []
    for each in (run, offline):
        assert outputs(each) == outputs(local)
        assert each.manifest.inputs == streamed.manifest.inputs
        assert each.manifest.revision == COMMIT_1


def test_offline_without_a_cache(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline mode without the files says how to get them, and asks nobody."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with hub_of(repo) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        with pytest.raises(HubError, match=r"offline mode is on .* scan it once with --download"):
            scanner.scan("org/tasks", out=tmp_path / "run", engine="serial")
        assert server.requests == []
