"""The embedded sample: its proportions, its variety, its sameness, and that the standard library can read it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from scanner.cli.make_corpus import command
from scanner.corpus import CorpusInfo, hostile_cases, make_corpus
from scanner.corpus.hostile import hostile_faults
from scanner.corpus.pack import pax_record, pax_tar, plain_tar
from scanner.corpus.sources import RETIRED, SINGLE_GROUP_ROWS, SOURCES
from scanner.corpus.writer import CHUNK_ROWS, files_of, shares
from scanner.errors import OutputError, UsageError
from scanner.model import Blob
from scanner.options import Limits
from scanner.probe import Probe

ROWS = 1200


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> CorpusInfo:
    return make_corpus(tmp_path_factory.mktemp("corpus") / "c", rows=ROWS, hostile=True, workers=1)


def _hashes(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*.parquet")
    }


def _rows(info: CorpusInfo, source: str) -> Iterator[tuple[str, bytes]]:
    for file in sorted((Path(info.directory) / source).rglob("*.parquet")):
        table = pq.read_table(file, columns=["path", "task_binary"], partitioning=None)
        for path, blob in zip(table["path"].to_pylist(), table["task_binary"].to_pylist(), strict=True):
            yield path, base64.b64decode(blob) if isinstance(blob, str) else blob


def _live(info: CorpusInfo) -> list[str]:
    return [source.name for source in info.sources if not source.name.startswith(("deprecated/", "hostile__"))]


def test_same_seed_same_bytes_for_any_workers(tmp_path: Path) -> None:
    """The Parquet files are the same bytes whether one process makes them or three, and on a second run."""
    one = tmp_path / "one"
    make_corpus(one, rows=1600, seed=7, workers=1)
    make_corpus(tmp_path / "three", rows=1600, seed=7, workers=3)
    first = _hashes(one)
    assert first == _hashes(tmp_path / "three")
    make_corpus(one, rows=1600, seed=7, workers=1)
    assert first == _hashes(one)


def test_another_seed_makes_other_tasks(tmp_path: Path) -> None:
    """No blob of one seed occurs under another."""
    blobs = [
        {blob for _, blob in _rows(make_corpus(tmp_path / str(seed), rows=40, seed=seed), SOURCES[0].directory)}
        for seed in (1, 2)
    ]
    assert not blobs[0] & blobs[1]


def test_rows_and_skew(corpus: CorpusInfo) -> None:
    """Exactly the rows asked for, the largest source 35 % of them and the top five 63 %, retired and hostile on top."""
    counts = [source.n_rows for source in corpus.sources if source.name in _live(corpus)]
    assert sum(counts) == ROWS
    assert len(counts) == 20
    assert counts[0] / ROWS == pytest.approx(0.35, abs=0.01)
    assert sum(counts[:5]) / ROWS == pytest.approx(0.63, abs=0.015)
    extra = {source.name: source.n_rows for source in corpus.sources if source.name not in _live(corpus)}
    assert extra == {RETIRED.directory: ROWS * 5 // 100, "hostile__rows": len(hostile_cases())}


def test_info_agrees_with_the_footers(corpus: CorpusInfo) -> None:
    """What make_corpus reports is what is on disk: files, rows, bytes."""
    root = Path(corpus.directory)
    for source in corpus.sources:
        files = list((root / source.name).rglob("*.parquet"))
        assert len(files) == source.n_files
        assert sum(pq.read_metadata(file).num_rows for file in files) == source.n_rows
        assert sum(file.stat().st_size for file in files) == source.file_bytes
    assert not list(root.rglob("*.part"))


def test_layouts_on_disk(corpus: CorpusInfo) -> None:
    """Single files, numbered parts and a retired source; one row group in snappy or at most 32 rows a group in zstd."""
    root = Path(corpus.directory)
    styles = Counter[tuple[str, bool]]()
    for file in root.rglob("*.parquet"):
        meta = pq.read_metadata(file)
        groups = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
        codec = meta.row_group(0).column(0).compression
        styles[codec, file.name == "tasks.parquet"] += 1
        assert len(groups) == 1 if codec == "SNAPPY" else max(groups) <= 32
    assert set(styles) == {("SNAPPY", True), ("ZSTD", True), ("SNAPPY", False), ("ZSTD", False)}
    assert (root / "termgym__multi-step/data/train-00002-of-00003.parquet").exists()
    assert (root / "deprecated/opentasks__stack-pytest-v0/tasks.parquet").exists()


def test_column_types(corpus: CorpusInfo) -> None:
    """The blob column comes in each type seen in the wild, under the default names; one source has extra columns."""
    schemas = {file.parts[-2]: pq.read_schema(file) for file in Path(corpus.directory).rglob("tasks.parquet")}
    assert {schema.field("task_binary").type for schema in schemas.values()} == {
        pa.binary(),
        pa.large_binary(),
        pa.string(),
    }
    assert all("path" in schema.names for schema in schemas.values())
    assert any(len(schema.names) > 2 for schema in schemas.values())


def test_paths_are_unique_and_of_every_form(corpus: CorpusInfo) -> None:
    """Within a source no path occurs twice; over all of them every form of path occurs."""
    forms = (
        r"-\d{4}$",
        r"^task_\d+$",
        r"__.*-\d+$",
        r"^comp-coding-[0-9a-f]{12}\.tar\.gz$",
        r"_copy\d$",
        r"^\w+/\w+/\d+$",
    )
    seen: list[str] = []
    for source in _live(corpus):
        paths = [path for path, _ in _rows(corpus, source)]
        assert len(set(paths)) == len(paths), source
        seen += paths
    text = pa.array(seen)
    for form in forms:
        assert pa.compute.match_substring_regex(text, form).true_count > 0, form


def test_sizes_are_those_of_the_dataset(corpus: CorpusInfo) -> None:
    """About 4.8 kB a row, median 2 to 6 kB, a few large; some ten members in the largest source."""
    sizes = sorted(len(blob) for source in _live(corpus) for _, blob in _rows(corpus, source))
    assert 3_500 < sum(sizes) / len(sizes) < 9_000
    assert 2_000 < sizes[len(sizes) // 2] < 6_000
    largest = corpus.sources[0]
    assert 30_000 < largest.raw_bytes / largest.n_rows < 45_000
    assert 8 <= largest.n_members / largest.n_rows <= 10.5
    assert 6.5 < largest.raw_bytes / largest.blob_bytes < 9


def test_duplicates(corpus: CorpusInfo) -> None:
    """One source is nine tenths copies, another half, no other; the retired one repeats content in other bytes."""
    distinct = {
        source: len(set(blobs)) / len(blobs)
        for source in _live(corpus)
        for blobs in ([blob for _, blob in _rows(corpus, source)],)
    }
    assert distinct.pop("selfplay__rephrased") == pytest.approx(0.1, abs=0.03)
    assert distinct.pop("opentasks__twice-published") == pytest.approx(0.5, abs=0.03)
    assert set(distinct.values()) == {1.0}
    old, new = (next(_rows(corpus, profile.directory))[1] for profile in (RETIRED, SOURCES[0]))
    assert old != new
    assert _files(old) == _files(new)


def _files(blob: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(blob), mode="r:*") as archive:
        return {m.name: f.read() for m in archive if (f := archive.extractfile(m)) is not None}


def test_tarfile_and_zipfile_read_every_archive(corpus: CorpusInfo) -> None:
    """Each row that is an archive opens in the standard library, and task.toml is nearly always the row's own."""
    tomls = Counter[bytes]()
    for source in (source for source in _live(corpus) if not source.startswith("mathmix__")):
        for path, blob in _rows(corpus, source):
            if blob[:2] == b"PK":
                with zipfile.ZipFile(io.BytesIO(blob)) as archive:
                    assert archive.testzip() is None
                continue
            if blob[:4] not in (b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"):  # zstd and lz4 came later
                files = _files(blob)
                assert files, path
                if "task.toml" in files and "copy" not in path:
                    tomls[files["task.toml"]] += 1
    assert sum(count for _, count in tomls.most_common(5)) < 0.01 * tomls.total()


def test_json_rows_are_json(corpus: CorpusInfo) -> None:
    """The JSON source holds objects and lines of objects."""
    kinds = Counter[str]()
    for _, blob in _rows(corpus, "mathmix__json-problems"):
        try:
            kinds[type(json.loads(blob)).__name__] += 1
        except json.JSONDecodeError:
            kinds["lines"] += all(isinstance(json.loads(line), dict) for line in blob.splitlines())
    assert set(kinds) == {"dict", "lines"}


def test_every_layout_and_verifier_kind_occurs(corpus: CorpusInfo) -> None:
    """Scanned, the sample shows every layout and verifier kind, and tasks that Harbor would refuse."""
    probe = Probe(Limits())
    seen: dict[str, set[object]] = {"layout": set(), "verifier_kind": set(), "codec": set(), "harbor_loadable": set()}
    for source in _live(corpus):
        for row, (path, blob) in enumerate(_rows(corpus, source)):
            record, _ = probe(Blob(memoryview(blob), path, f"{source}/tasks.parquet", row))
            assert record.status == "ok", (source, path, record.faults)
            for field, values in seen.items():
                values.add(getattr(record, field))
    assert len(seen["verifier_kind"] - {None}) == 11
    assert seen["layout"] >= {"harbor", "harbor-steps", "terminal-bench", "json", "log-pack", "unknown"}
    assert seen["codec"] >= {"none", "gzip", "zstd"}
    assert seen["harbor_loadable"] >= {True, False}


_parts = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=60).filter(
    lambda part: part not in (".", "..")
)
_trees = st.dictionaries(st.lists(_parts, min_size=1, max_size=4).map("/".join), st.binary(max_size=1200), max_size=5)


@given(tree=_trees, mtime=st.floats(1, 2e9))
def test_pax_flavour_is_what_tarfile_writes(tree: dict[str, bytes], mtime: float) -> None:
    """The fast writer gives the very bytes of tarfile for the same members, long and Chinese names included."""
    names = sorted({*tree, *(name[: i + 1] for name in tree for i, c in enumerate(name) if c == "/")})
    if any(f"{name}/" in names for name in tree):
        return
    names.sort(key=lambda name: name.split("/"))
    out = io.BytesIO()
    clock = mtime
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            info = tarfile.TarInfo(name.rstrip("/"))
            info.uname = info.gname = "root"
            info.mtime = round(clock, 6)
            info.mode = 0o755 if name.endswith(("/", ".sh")) else 0o644
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.size = len(tree.get(name, b""))
            archive.addfile(info, io.BytesIO(tree.get(name, b"")))
            clock += 0.25
    assert pax_tar(tree, mtime, lambda: 0.25) == (out.getvalue(), len(names))


@given(tree=_trees)
def test_plain_flavour_lists_the_files_sorted(tree: dict[str, bytes]) -> None:
    """tarfile reads back exactly the files, in order, with no times."""
    raw, count = plain_tar(tree)
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as archive:
        members = archive.getmembers()
        assert [m.name for m in members] == sorted(tree)
        assert [archive.extractfile(m).read() for m in members] == [tree[m.name] for m in members]  # type: ignore[union-attr]
    assert count == len(tree)
    assert {m.mtime for m in members} <= {0}


@pytest.mark.parametrize("length", [*range(1, 12), 88, 89, 90, 91, 92, 985, 990, 991, 992, 993, 994])
def test_pax_record_counts_itself(length: int) -> None:
    """The length stands in decimal and includes its own digits, at every carry."""
    record = pax_record("path", "x" * length)
    assert int(record.split(b" ")[0]) == len(record)


@given(rows=st.integers(1, 3_000_000))
def test_shares_add_up(rows: int) -> None:
    """Largest remainder: the sources' rows are the rows asked for, and their files cover each row once."""
    counts = shares(rows)
    assert sum(counts) == rows
    assert min(counts) >= (1 if rows >= len(SOURCES) else 0)
    for profile, count in zip(SOURCES, counts, strict=True):
        plans = list(files_of(profile, count))
        assert [plan.first_row for plan in plans] == [0, *(p.first_row + p.n_rows for p in plans)][: len(plans)]
        assert sum(plan.n_rows for plan in plans) == count
        assert len({plan.name for plan in plans}) == len(plans)
        assert profile.repaired or all(plan.n_rows <= SINGLE_GROUP_ROWS for plan in plans)
    assert CHUNK_ROWS % 32 == 0


def test_refuses_a_folder_that_holds_something_else(tmp_path: Path) -> None:
    """A folder with anything in it but an earlier corpus is left alone."""
    precious = tmp_path / "thesis.tex"
    precious.write_text("years of work")
    with pytest.raises(OutputError, match="not empty"):
        make_corpus(tmp_path, rows=20)
    assert precious.read_text() == "years of work"


def test_replaces_an_earlier_corpus_and_nothing_else(tmp_path: Path) -> None:
    """Files of the earlier corpus that the new one lacks are gone, half-written ones too; foreign files stay."""
    make_corpus(tmp_path / "c", rows=40, hostile=True)
    half = tmp_path / "c" / f"{SOURCES[0].directory}/tasks.parquet.part"
    half.write_bytes(b"half")
    (tmp_path / "c" / "notes.txt").write_text("mine")
    make_corpus(tmp_path / "c", rows=40)
    assert not half.exists()
    assert not (tmp_path / "c" / "hostile__rows" / "tasks.parquet").exists()
    assert (tmp_path / "c" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("listed", [["../outside.parquet"], ["/etc/passwd"], ["a/notes.txt"], [7], "x"])
def test_a_forged_marker_deletes_nothing(tmp_path: Path, listed: object) -> None:
    """A marker that lists what no corpus has is refused before anything is removed."""
    outside = tmp_path / "outside.parquet"
    outside.write_bytes(b"precious")
    root = tmp_path / "c"
    root.mkdir()
    (root / "corpus.json").write_bytes(msgspec.json.encode({"files": listed}))
    with pytest.raises(OutputError, match=r"corpus\.json"):
        make_corpus(root, rows=20)
    assert outside.read_bytes() == b"precious"


def test_unwritable_folder(tmp_path: Path) -> None:
    """A folder that cannot be made is one sentence, not a traceback."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Cannot write a corpus"):
        make_corpus(tmp_path / "file" / "c", rows=20)


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"seed": -1}, {"seed": 1 << 63}, {"workers": 0}])
def test_arguments_out_of_range(tmp_path: Path, wrong: dict[str, int]) -> None:
    """Numbers out of range are refused before anything is written."""
    with pytest.raises(UsageError):
        make_corpus(tmp_path / "c", **wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("rows", [1, 19, 20, 21])
def test_tiny_corpora(tmp_path: Path, rows: int) -> None:
    """Fewer rows than sources is fine: sources without a row have no file."""
    info = make_corpus(tmp_path / "c", rows=rows)
    assert sum(source.n_rows for source in info.sources if source.name in _live(info)) == rows


def test_hostile_rows_are_small_and_always_the_same(corpus: CorpusInfo) -> None:
    """Under 2 MB in all, one row for each case and in order, names unique but for the pair that is not."""
    cases = hostile_cases()
    assert sum(len(blob or b"") for _, blob in cases) < 2_000_000
    assert [name for name, count in Counter(name for name, _ in cases).items() if count > 1] == ["path-duplicate"]
    table = pq.read_table(Path(corpus.directory) / "hostile__rows/tasks.parquet", partitioning=None)
    assert list(zip(table["path"].to_pylist(), table["task_binary"].to_pylist(), strict=True)) == cases


@pytest.mark.parametrize(
    "name", ["zip-data-descriptors", "zip-prefix", "zip-comment", "zip-overlap-quoted", "zip-stored"]
)
def test_hostile_zips_are_what_they_claim(name: str) -> None:
    """Zips that are odd but whole read without a complaint in zipfile, the quoted overlap (CVE-2024-0450) included."""
    with zipfile.ZipFile(io.BytesIO(dict(hostile_cases())[name] or b"")) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) >= 3


@pytest.mark.parametrize(
    "name", ["gzip-several-members", "gzip-stored-blocks", "gzip-all-header-fields", "gzip-trailing-zeros"]
)
def test_hostile_gzips_are_what_they_claim(name: str) -> None:
    """Gzip streams that are odd but whole inflate to the sound task."""
    raw = gzip.decompress(dict(hostile_cases())[name] or b"")
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        assert "tests/test.sh" in archive.getnames()


@pytest.mark.parametrize(("name", "fault"), hostile_faults().items())
def test_hostile_rows_report_the_fault_that_is_due(name: str, fault: str) -> None:
    """Scanned, each hostile row names its flaw."""
    blob = dict(hostile_cases())[name]
    flaw = None if blob is not None else "null-blob"
    data = None if blob is None else memoryview(blob)
    record, _ = Probe(Limits())(Blob(data, name, "hostile__rows/tasks.parquet", 0, flaw))  # type: ignore[arg-type]
    assert fault in {each.kind for each in record.faults}
    assert "internal-error" not in {each.kind for each in record.faults}


def test_command(tmp_path: Path) -> None:
    """The command prints a line per source within 80 columns; a second call into the same folder works."""
    for _ in range(2):
        result = CliRunner().invoke(command, [str(tmp_path / "c"), "--rows", "60", "--seed", "3", "--hostile"])
        assert result.exit_code == 0, result.output
        lines = result.output.splitlines()
        assert len(lines) == 24
        assert max(map(len, lines[:-1])) <= 80
        assert "rows/s" in lines[-1]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_no_worker_outlives_the_command(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Interrupted or killed, the command takes its workers with it, and what is left can be made again."""
    argv = [sys.executable, "-m", "scanner", "make-corpus", str(tmp_path / "c"), "--rows", "9000"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if line.startswith(b"opentasks__shell"):
                break
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal sends it: to every process of the group
        else:
            process.kill()
        said = process.stderr.read()  # ends once every process that could write there has ended
    assert process.returncode == code
    assert b"Traceback" not in said
    make_corpus(tmp_path / "c", rows=20)
    assert not list(tmp_path.rglob("*.part"))
