"""What is odd in real tasks (none of it hostile): each function changes the files of one task, as found in the wild."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable
from typing import Final, TypeAlias

from scanner.corpus.draw import Draw
from scanner.corpus.pack import zip_blob
from scanner.corpus.tasks import Files

Oddity: TypeAlias = Callable[[Files, Draw], None]


def crlf_script(files: Files, _draw: Draw) -> None:
    """A test entry with Windows line ends, which fails at its ``#!``."""
    files["tests/test.sh"] = files.get("tests/test.sh", b"#!/bin/bash\nexit 0\n").replace(b"\n", b"\r\n")


def empty_test(files: Files, draw: Draw) -> None:
    """A test entry that verifies nothing: empty, or only comments."""
    files["tests/test.sh"] = draw.pick((b"", b"#!/bin/bash\n# TODO: write the tests\n"))


def broken_toml(files: Files, draw: Draw) -> None:
    """A ``task.toml`` that does not parse: a quote or bracket is missing, or a key stands twice."""
    toml = files.get("task.toml", b'[task]\nname = "a/b"\n')
    old, new = draw.pick(((b'"\n', b"\n"), (b"[metadata]", b"[metadata"), (b"[agent]", b"[metadata]")))
    files["task.toml"] = toml.replace(old, new, 1)


def broken_json(files: Files, draw: Draw) -> None:
    """JSON that does not parse: a trailing comma, a comment, or nothing at all."""
    files["metadata.json"] = draw.pick((b'{"id": 1,}\n', b'// settings\n{"id": 1}\n', b""))


def unnamed(files: Files, draw: Draw) -> None:
    """A ``[task]`` table whose name Harbor refuses: none at all, or without an organisation."""
    table = draw.pick(('[task]\ndescription = "x"\n', f'[task]\nname = "{draw.name}"\n'))
    files["task.toml"] = f'schema_version = "1.1"\n\n{table}\n[verifier]\n\n[environment]\ncpus = 1\n'.encode()


def no_environment(files: Files, _draw: Draw) -> None:
    """Neither an ``environment/`` nor an image: Harbor drops the task without a message."""
    for name in [name for name in files if name.startswith("environment/")]:
        del files[name]


def no_instruction(files: Files, draw: Draw) -> None:
    """The instruction under another name."""
    files[draw.pick(("prompt.md", "README.md"))] = files.pop("instruction.md", b"")


def private_key(files: Files, draw: Draw) -> None:
    """A key made for a test, as TLS and SSH tasks carry them (random bytes; it unlocks nothing)."""
    kind = draw.pick(("PRIVATE KEY", "RSA PRIVATE KEY", "OPENSSH PRIVATE KEY"))
    body = base64.encodebytes(draw.rng.randbytes(610)).decode()
    files["environment/certs/server.key"] = f"-----BEGIN {kind}-----\n{body}-----END {kind}-----\n".encode()


def lfs_pointer(files: Files, draw: Draw) -> None:
    """A git-LFS pointer (https://git-lfs.com/spec/v1) where the file should be."""
    oid = f"{draw.rng.getrandbits(256):064x}"
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {draw.pick(draw.topic.numbers)}\n"
    files[f"environment/data/{draw.pick(draw.topic.nouns)}.{draw.pick(('bin', 'parquet', 'png'))}"] = pointer.encode()


def lying_extension(files: Files, draw: Draw) -> None:
    """Text under the name of a binary: a placeholder somebody meant to replace."""
    name = f"environment/{draw.pick(draw.topic.nouns)}.{draw.pick(('png', 'db', 'so', 'jpg', 'gz', 'pdf'))}"
    files[name] = draw.pick(draw.topic.sentences).encode()


def damaged_binary(files: Files, draw: Draw) -> None:
    """A binary that went through a text decoder: every byte that was not UTF-8 is now U+FFFD."""
    files["environment/model.bin"] = draw.rng.randbytes(400).decode("utf-8", "replace").encode()


def chinese_names(files: Files, draw: Draw) -> None:
    """Names and text in Chinese."""
    text = "".join(draw.some("数据处理任务说明文件请将输入转换为输出并保存结果列表中的每一行", 150))
    files[f"environment/数据/{draw.pick(('说明', '输入', '测试数据'))}.md"] = text.encode()


def spaced_names(files: Files, draw: Draw) -> None:
    """A name with spaces and brackets."""
    files[f"environment/{draw.pick(draw.topic.names)} report (final {draw.pick('123')}).txt"] = draw.text(4).encode()


def long_name(files: Files, draw: Draw) -> None:
    """A path of 120 to 146 bytes, which ustar's name field cannot hold."""
    path = "/".join(draw.some(draw.topic.idents, 9))[:120].strip("/")
    files[f"environment/{path}/{draw.pick(draw.topic.nouns)}.py"] = draw.pick(draw.topic.tests).encode()


def nested_zip(files: Files, draw: Draw) -> None:
    """A wheel, a spreadsheet or numpy arrays: zip archives by another name."""
    inner = {
        f"{draw.pick(draw.topic.nouns)}/{i}.py": text.encode() for i, text in enumerate(draw.some(draw.topic.tests, 5))
    }
    name = draw.pick(("environment/pkg-1.0-py3-none-any.whl", "environment/table.xlsx", "tests/arrays.npz"))
    files[name] = zip_blob(inner)[0]


def picture(files: Files, draw: Draw) -> None:
    """A real PNG (8-bit grey, noise)."""
    width = 16 + int(draw.random() * 80)
    rows = b"".join(b"\0" + draw.rng.randbytes(width) for _ in range(width))
    out = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    out.seek(8)
    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", width, width, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ):
        out.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
    files["environment/chart.png"] = out.getvalue()


def many_files(files: Files, draw: Draw) -> None:
    """A repository of some hundred small files."""
    for number, text in enumerate(draw.some(draw.topic.tests, 60 + int(draw.random() * 240))):
        files[f"environment/repo/{draw.pick(draw.topic.nouns)}/{draw.pick(draw.topic.idents)}_{number}.py"] = (
            text.encode()
        )


def large_table(files: Files, draw: Draw) -> None:
    """A CSV of hundreds of kilobytes to some megabytes."""
    lines = draw.some(draw.topic.records, 8_000 + int(draw.random() ** 3 * 90_000))
    files["environment/data/records.csv"] = "".join(f"{i},{line}\n" for i, line in enumerate(lines)).encode()


def large_binary(files: Files, draw: Draw) -> None:
    """Incompressible bytes: hundreds of kilobytes, rarely some megabytes."""
    files["environment/data/weights.bin"] = draw.rng.randbytes(100_000 + int(draw.random() ** 12 * 9_000_000))


COMMON: Final[tuple[Oddity, ...]] = (
    crlf_script,
    empty_test,
    broken_json,
    lying_extension,
    lying_extension,
    lfs_pointer,
    damaged_binary,
    chinese_names,
    spaced_names,
    long_name,
    private_key,
    nested_zip,
    picture,
)
"""What any source has, at a rate of its own."""
REFUSED: Final[tuple[Oddity, ...]] = (broken_toml, unnamed, no_environment, no_instruction)
"""What makes Harbor drop a task."""
HEAVY: Final[tuple[Oddity, ...]] = (
    *(large_table, large_binary),
    *(nested_zip, picture, lying_extension, lfs_pointer, damaged_binary, spaced_names) * 2,
)
"""Data-heavy sources."""
