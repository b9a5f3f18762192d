"""What a zip is for: documents, packages and arrays are zips whose first entries give them away."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_MIMETYPES = {
    b"application/epub+zip": "document/epub",
    b"application/vnd.oasis.opendocument.text": "document/odt",
    b"application/vnd.oasis.opendocument.spreadsheet": "document/ods",
    b"application/vnd.oasis.opendocument.presentation": "document/odp",
    b"application/hwp+zip": "document/hwpx",
}
"""Content of the entry ``mimetype``, which OCF 3.3 (section 4.3) and ODF 1.3 (part 2, 3.3) put first, stored."""

_PARTS = {"word/": "document/docx", "xl/": "document/xlsx", "ppt/": "document/pptx"}
"""The part of an Office Open XML package (ECMA-376 part 2) that names the application."""

_LOCAL_HEADER = b"PK\x03\x04"


def zip_flavour(first_names: Sequence[str], mimetype: bytes = b"") -> str:
    """The content type of a zip by the names of its first entries; ``archive/zip`` where they tell nothing.

    Args:
        first_names: Names of entries in archive order; as many as are at hand, the first few are mostly enough
            (a wheel keeps its ``.dist-info`` last).
        mimetype: Content of the entry ``mimetype`` where it comes first. Without it OpenDocument files stay
            ``document/odf``.

    >>> zip_flavour(["[Content_Types].xml", "_rels/.rels", "xl/workbook.xml"])
    'document/xlsx'
    """
    if mimetype in _MIMETYPES:
        return _MIMETYPES[mimetype]
    for name in first_names:
        for part, type_ in _PARTS.items():
            if name.startswith(part) and name.endswith((".xml", ".rels", ".bin")):
                return type_
    for type_, belongs in _FLAVOURS:
        if any(map(belongs, first_names)):
            return type_
    return "archive/zip"


_FLAVOURS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("archive/apk", lambda name: name in {"AndroidManifest.xml", "classes.dex"}),
    ("archive/nupkg", lambda name: name.endswith(".nuspec") and "/" not in name),
    ("document/epub", lambda name: name == "META-INF/container.xml"),
    ("document/odf", lambda name: name in {"META-INF/manifest.xml", "content.xml"}),
    ("archive/jar", lambda name: name.startswith("META-INF/")),
    ("archive/wheel", lambda name: name.endswith((".dist-info/METADATA", ".dist-info/WHEEL", ".dist-info/RECORD"))),
    ("data/npz", lambda name: name.endswith(".npy") and "/" not in name),
    ("data/torch", lambda name: name.endswith("/data.pkl") and name.count("/") == 1),
    ("document/ooxml", lambda name: name in {"[Content_Types].xml", "_rels/.rels"}),
)
"""In order of truth: an APK holds a manifest of a jar, a NuGet package the parts of Office Open XML."""


def zip_type(window: bytes) -> str:
    """The flavour by those local headers (APPNOTE 4.3.7) that lie in the window of :func:`scanner.content_type`.

    An entry of stated size is stepped over, so that a zip stored within this one is not taken for it; behind one of
    unknown size (general purpose bit 3) the next header is searched for.
    """
    names: list[str] = []
    mimetype = b""
    at = 0
    while 0 <= at <= len(window) - 30 and window.startswith(_LOCAL_HEADER, at):
        packed_size = int.from_bytes(window[at + 18 : at + 22], "little")
        n_name = int.from_bytes(window[at + 26 : at + 28], "little")
        name = window[at + 30 : at + 30 + n_name]
        content = at + 30 + n_name + int.from_bytes(window[at + 28 : at + 30], "little")
        if len(name) == n_name:
            names.append(name.decode("utf-8", "replace"))
        if name == b"mimetype" and not at:
            mimetype = window[content : content + packed_size].strip()
        at = window.find(_LOCAL_HEADER, content) if window[at + 6] & 8 else content + packed_size
    return zip_flavour(names, mimetype)


ZIP_TYPES = frozenset({"archive/zip", *_MIMETYPES.values(), *_PARTS.values(), *(type_ for type_, _ in _FLAVOURS)})
"""Everything :func:`zip_flavour` answers."""
