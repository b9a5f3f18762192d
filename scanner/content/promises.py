"""Extensions that promise a content type, and whether the content keeps the promise."""

from __future__ import annotations

from collections.abc import Iterable

from scanner.content.magic import CONTENT_TYPES
from scanner.content.scripts import SCRIPT_TYPES
from scanner.content.zips import ZIP_TYPES

TEXT_TYPES = frozenset(
    {"text/utf-8", "text/8-bit", "image/svg", "document/rtf", "document/postscript", *SCRIPT_TYPES}
    | {row.type for row in CONTENT_TYPES if row.type.startswith(("text/", "key/"))}
)
"""The content types a person can read in an editor."""

_TEXT_EXTENSIONS = (
    ".adoc .asm .awk .bash .bat .bib .c .cc .cfg .clj .cmake .cmd .conf .cpp .cs .csproj .css .csv .cxx .dart .diff "
    ".dockerfile .env .erl .ex .exs .f90 .fs .geojson .go .gql .gradle .graphql .groovy .h .hcl .hpp .hs .htm .html "
    ".hxx .ini .ipynb .java .jl .js .json .json5 .jsonl .jsx .kt .kts .less .lisp .lua .md .mdx .mjs .mk .ml .mli "
    ".ndjson .nim .patch .pem .php .pl .pm .properties .proto .ps1 .py .pyi .pyx .r .rb .rs .rst .sass .scala .scm "
    ".scss .sh .sln .sol .sql .srt .svelte .svg .swift .tex .tf .toml .tsv .tsx .txt .vb .vue .xhtml .xml .xsd .xsl "
    ".yaml .yml .zig .zsh"
)

_HONEST: dict[str, str] = {
    # archives and codecs
    ".tar": "archive/tar",
    ".zip": "zip",
    ".jar .war": "zip",
    ".whl": "archive/wheel archive/zip",
    ".apk": "archive/apk archive/jar archive/zip codec/gzip",
    ".rar": "archive/rar",
    ".7z": "archive/7z",
    ".deb": "archive/deb",
    ".rpm": "archive/rpm",
    ".a .lib": "archive/ar",
    ".gz .tgz": "codec/gzip",
    ".bz2 .tbz2": "codec/bzip2",
    ".xz .txz": "codec/xz",
    ".zst": "codec/zstd",
    ".lz4": "codec/lz4",
    # images, audio, video
    ".png": "image/png",
    ".jpg .jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".tif .tiff": "image/tiff",
    ".ico": "image/ico image/png binary",
    ".psd": "image/psd",
    ".heic": "image/heif",
    ".avif": "image/avif",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".ogg .oga": "audio/ogg",
    ".mp3": "audio/mpeg binary",
    ".m4a": "audio/mp4 video/mp4",
    ".mid .midi": "audio/midi",
    ".mp4 .m4v": "video/mp4 video/quicktime",
    ".mov": "video/quicktime video/mp4",
    ".avi": "video/avi",
    ".mkv": "video/matroska",
    ".webm": "video/webm video/matroska",
    # documents
    ".pdf": "document/pdf",
    ".doc .ppt": "document/ole",
    ".xls": "document/ole",
    ".docx": "document/docx document/ooxml document/ole archive/zip",
    ".xlsx": "document/xlsx document/ooxml document/ole archive/zip",
    ".pptx": "document/pptx document/ooxml document/ole archive/zip",
    ".odt": "document/odt document/odf archive/zip",
    ".ods": "document/ods document/odf archive/zip",
    ".odp": "document/odp document/odf archive/zip",
    ".epub": "document/epub archive/zip",
    # executables; object files of some platforms have no signature
    ".so": "executable/elf executable/mach-o",
    ".dylib": "executable/mach-o",
    ".exe .dll .pyd": "executable/pe binary",
    ".o .obj": "executable/elf executable/mach-o executable/llvm binary",
    ".class": "executable/java-class",
    ".pyc": "executable/pyc",
    ".wasm": "executable/wasm",
    # databases and data; where a binary format has no signature at its start, any binary will do
    ".sqlite .sqlite3 .db3": "database/sqlite",
    ".db": "database binary",
    ".duckdb": "database/duckdb",
    ".mdb": "database binary",
    ".parquet": "data/parquet",
    ".arrow": "data/arrow binary",
    ".feather": "data/arrow data/feather",
    ".orc": "data/orc",
    ".avro": "data/avro",
    ".h5 .hdf5": "data/hdf5 binary",
    ".npy": "data/npy",
    ".npz": "data/npz archive/zip",
    ".pkl .pickle": "data/pickle codec data/torch zip data/npy binary",
    ".pt .pth": "data/torch data/pickle zip archive/tar binary",
    ".safetensors": "data/safetensors",
    ".gguf": "data/gguf",
    ".pcap": "data/pcap",
    # fonts
    ".ttf": "font/ttf font/otf font/ttc",
    ".otf": "font/otf font/ttf",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
"""Extensions and the types that keep their promise; a bare class stands for all types of it, ``zip`` for all zips."""

_NEVER_LIES = frozenset({"empty", "pointer/git-lfs"})


def _types(words: str) -> Iterable[str]:
    for word in words.split():
        if word == "zip":
            yield from ZIP_TYPES
        elif "/" in word or word == "binary":
            yield word
        else:
            yield from (row.type for row in CONTENT_TYPES if row.type.startswith(word + "/"))


_PROMISES: dict[str, frozenset[str]] = {
    **dict.fromkeys(_TEXT_EXTENSIONS.split(), TEXT_TYPES | _NEVER_LIES),
    **{
        extension: frozenset(_types(types)) | _NEVER_LIES
        for extensions, types in _HONEST.items()
        for extension in extensions.split()
    },
}


def lies(name: str, type_: str) -> str | None:
    """The extension of ``name`` (lower case, with its dot) where content of ``type_`` contradicts it, else None.

    Extensions that promise nothing (``.bin``, ``.dat``, ``.log``, none at all) cannot lie, nor can empty files and
    git-LFS pointers (which are a finding of their own). One that promises text is kept by any text. Runs once per
    file: two look-ups in tables made at import, so there is nothing to memoise.

    >>> lies("assets/Logo.PNG", "text/utf-8"), lies("a.py", "script/python"), lies(".png", "text/utf-8")
    ('.png', None, None)
    """
    promised = promise_of(name)
    return None if promised is None or type_ in promised else extension_of(name)


def extension_of(name: str) -> str:
    """Lower-cased extension with its dot."""
    return name[name.rfind(".") :].lower()


def promise_of(name: str) -> frozenset[str] | None:
    """The content types that keep what the extension of ``name`` promises; None where it promises nothing."""
    dot = name.rfind(".")
    is_dotfile = dot < 1 or name[dot - 1] == "/"
    return None if is_dotfile else _PROMISES.get(extension_of(name))
