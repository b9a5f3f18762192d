"""The sources of the embedded sample: how many rows each has, what they hold, and how they are packed and laid out.

Shares follow the dataset: the largest source is 35 % of all rows, the top five 63 %, most of the others under 3 %.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Literal, NamedTuple, TypeAlias
from zlib import crc32

from scanner.corpus import oddities, pack, tasks
from scanner.corpus.draw import Draw, template
from scanner.corpus.oddities import Oddity
from scanner.corpus.tasks import Files, Maker
from scanner.model import CodecName

CODECS: Final[tuple[CodecName, ...]] = ("none", "none", "zstd", "bzip2", "xz", "lz4")
"""Of the source that mixes them."""
EPOCH: Final = 1_735_689_600
"""1 January 2025: rows seem to have been written in the months after it."""
SINGLE_GROUP_ROWS: Final = 50_000
"""Most rows in a file of a single row group (250 MB at 5 kB a row): larger sources get several files. Bounds the
maker's memory, for which sources of large rows are written in small groups."""
REPAIRED_GROUP_ROWS: Final = 32


class Packed(NamedTuple):
    """One row, ready to be written."""

    path: str
    blob: bytes
    raw_bytes: int
    """After the outer codec."""
    n_members: int


Packing: TypeAlias = Callable[[Files, Draw], tuple[bytes, int, int]]
"""Files to (blob, raw bytes, members)."""


def pax(files: Files, draw: Draw) -> tuple[bytes, int, int]:
    """Flavour (a) in gzip with a clock."""
    clock = EPOCH + draw.random() * 2e7
    raw, count = pack.pax_tar(files, clock, draw.random)
    return pack.gzip_blob(raw, int(clock) + 9), len(raw), count


def pax_named(files: Files, draw: Draw) -> tuple[bytes, int, int]:
    """Flavour (a) as ``tarfile.open(name, "w:gz")`` writes it: the file's name stands in the gzip header."""
    clock = EPOCH + draw.random() * 2e7
    raw, count = pack.pax_tar(files, clock, draw.random)
    return pack.gzip_blob(raw, int(clock) + 9, f"{draw.name}.tar"), len(raw), count


def plain(files: Files, _draw: Draw) -> tuple[bytes, int, int]:
    """Flavour (b) in gzip without a clock."""
    raw, count = pack.plain_tar(files)
    return pack.gzip_blob(raw), len(raw), count


def dotted(files: Files, draw: Draw) -> tuple[bytes, int, int]:
    """Every name with ``./`` before it."""
    return plain({f"./{name}": data for name, data in files.items()}, draw)


def enclosed(files: Files, draw: Draw) -> tuple[bytes, int, int]:
    """Everything inside one directory."""
    return pax({f"{draw.name.replace('/', '_')}/{name}": data for name, data in files.items()}, draw)


def zipped(files: Files, draw: Draw) -> tuple[bytes, int, int]:
    """A zip, now and then one that only stores."""
    blob, count = pack.zip_blob(files, stored=draw.chance(0.1))
    return blob, len(blob), count


def coded(codec: CodecName, files: Files, _draw: Draw) -> tuple[bytes, int, int]:
    """Flavour (b) in ``codec``."""
    raw, count = pack.plain_tar(files)
    return pack.COMPRESSORS[codec](raw), len(raw), count


PathForm: TypeAlias = Callable[[str, int, Draw], str]
"""(stem, row, draw) to a path that is unique within its source."""


def numbered(stem: str, row: int, _draw: Draw) -> str:
    """``stack-pytest-0249``."""
    return f"{stem}-{row:04d}"


def underscored(stem: str, row: int, _draw: Draw) -> str:
    """``task_1492``."""
    return f"{stem}_{row}"


def repository(_stem: str, row: int, draw: Draw) -> str:
    """``pybamm-team__pybamm-809``."""
    name = draw.pick(draw.topic.names).lower()
    return f"{name}-{draw.pick(draw.topic.nouns)}__{name}-{row + 101}"


def hashed(stem: str, row: int, _draw: Draw) -> str:
    """``comp-coding-dd2a13b32896.tar.gz``."""
    return f"{stem}-{row * 0x9E3779B97F4B % (1 << 48):012x}.tar.gz"


def nested(stem: str, row: int, draw: Draw) -> str:
    """``a/b/c``."""
    return f"{stem}/{draw.pick(draw.topic.nouns)}/{row:05d}"


class Profile(NamedTuple):
    """One source."""

    directory: str
    share: int
    """Thousandths of the rows asked for; of a retired source, thousandths on top of them."""
    stem: str
    makers: tuple[Maker, ...]
    packings: tuple[Packing, ...] = (pax,)
    path: PathForm = numbered
    repaired: bool = False
    """Row groups of at most 32 rows in zstd; else a single row group in snappy."""
    parts: int = 0
    """0: one ``tasks.parquet``. Else at least so many ``data/train-*`` files."""
    n_templates: int = 12
    odd: float = 0.01
    """Share of the rows that have one of ``oddities``."""
    oddities: tuple[Oddity, ...] = oddities.COMMON
    copies: int = 1
    """Rows with the same blob, one after another."""
    column: Literal["binary", "large_binary", "base64"] = "binary"
    extra_columns: bool = False
    content_of: str = ""
    """Directory whose tasks these are, packed anew."""


def row_of(profile: Profile, seed: int, row: int) -> Packed:
    """Row ``row`` of a source: a function of its arguments alone. Runs once a row, so it takes from pools and memos."""
    original, copy = divmod(row, profile.copies)
    source = crc32((profile.content_of or profile.directory).encode())
    draw = Draw(seed, (seed << 64) | (source << 32) | original)
    path = profile.path(profile.stem, original, draw)
    draw.org, draw.name = profile.stem, path.removesuffix(".tar.gz").replace("/", "-")
    shared = template(seed, source, int(draw.random() ** 3 * profile.n_templates))
    made = draw.pick(profile.makers)(draw, shared)
    if copy:
        path = f"{path}_copy{copy}"
    if isinstance(made, bytes):
        return Packed(path, made, len(made), 0)
    if draw.chance(profile.odd):
        draw.pick(profile.oddities)(made, draw)
    return Packed(path, *draw.pick(profile.packings)(made, draw))


MAIN: Final = Profile("opentasks__stack-pytest", 350, "stack-pytest", (tasks.harbor,), n_templates=60)

SOURCES: Final[tuple[Profile, ...]] = (
    MAIN,
    Profile(
        "opentasks__shell-exercises", 95, "task", (tasks.harbor,), (plain,), underscored, repaired=True, n_templates=8
    ),
    Profile(
        "repobugs__verified-issues",
        75,
        "issue",
        (tasks.swe_with_entry,) * 7 + (tasks.swe,) * 3,
        path=repository,
        column="large_binary",
    ),
    Profile(
        "codearena__competitive",
        60,
        "comp-coding",
        (tasks.verifier_script, tasks.verifier_script, tasks.data_only),
        (pax_named,),
        hashed,
        parts=2,
    ),
    Profile("termgym__terminal-tasks", 50, "terminal", (tasks.terminal_bench,), path=nested),
    Profile("selfplay__rephrased", 48, "rephrased", (tasks.harbor,), copies=10),
    Profile("rubrics__open-ended", 45, "rubric", (tasks.judge,), (plain,), repaired=True, n_templates=4),
    Profile("termgym__multi-step", 42, "steps", (tasks.steps,), parts=3, repaired=True),
    Profile(
        "mathmix__json-problems",
        38,
        "math",
        (tasks.json_row, tasks.json_row, tasks.jsonl_row),
        path=underscored,
        repaired=True,
    ),
    Profile("opentasks__twice-published", 35, "twice", (tasks.harbor,), (plain,), repaired=True, copies=2),
    Profile("graders__separate-images", 32, "graded", (tasks.separate,), (pax, pax, enclosed)),
    Profile("termgym__run-logs", 28, "run", (tasks.log_pack,), path=nested, column="base64"),
    Profile(
        "polyglot__bilingual",
        24,
        "bilingual",
        (tasks.harbor, tasks.prebuilt),
        (zipped, plain),
        repaired=True,
        odd=0.7,
        oddities=(oddities.chinese_names, oddities.spaced_names, oddities.long_name),
    ),
    Profile(
        "mirrors__mixed-codecs",
        20,
        "mixed",
        (tasks.harbor, tasks.terminal_bench),
        (dotted, enclosed, zipped, *(partial(coded, codec) for codec in CODECS)),
        repaired=True,
    ),
    Profile(
        "notebooks__data-analysis",
        16,
        "analysis",
        (tasks.harbor,),
        repaired=True,
        odd=0.6,
        oddities=oddities.HEAVY,
        extra_columns=True,
    ),
    Profile(
        "legacy__unverified",
        13,
        "legacy",
        (tasks.unverified, tasks.bare, tasks.entryless),
        (plain,),
        repaired=True,
        odd=0.3,
        oddities=(*oddities.COMMON, *oddities.REFUSED),
    ),
    Profile("winlab__powershell", 11, "win", (tasks.windows,), (plain, zipped), odd=0.05),
    Profile(
        "drafts__unreviewed",
        8,
        "draft",
        (tasks.harbor, tasks.steps, tasks.bare),
        (dotted, pax),
        odd=0.8,
        oddities=oddities.REFUSED,
    ),
    Profile(
        "infra__whole-repositories",
        6,
        "infra",
        (tasks.harbor,),
        odd=0.5,
        oddities=(oddities.many_files, oddities.private_key, oddities.crlf_script),
    ),
    Profile("mathmix__prompts", 4, "prompt", (tasks.text_row,), path=underscored),
)
"""The live sources, largest first."""

RETIRED: Final = MAIN._replace(
    directory="deprecated/opentasks__stack-pytest-v0", share=50, packings=(plain,), content_of=MAIN.directory
)
"""The first tasks of the largest source in another flavour: equal content, other blobs. Scans leave it out."""
