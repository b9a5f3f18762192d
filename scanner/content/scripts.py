"""Which language a script is in, by its shebang."""

from __future__ import annotations

_LANGUAGES = {
    "script/shell": "sh bash dash zsh ksh ash fish",
    "script/python": "python pypy ipython uv",
    "script/node": "node nodejs deno bun ts-node tsx",
    "script/perl": "perl",
    "script/ruby": "ruby jruby",
    "script/php": "php",
    "script/lua": "lua luajit",
    "script/r": "Rscript",
    "script/awk": "awk gawk mawk nawk",
    "script/tcl": "tclsh wish expect",
    "script/make": "make gmake",
}
_BY_INTERPRETER = {name.encode(): type_ for type_, names in _LANGUAGES.items() for name in names.split()}
SHEBANG_LINES = {
    b"#!" + folder + name + version + b"\n": type_
    for folder in (b"/bin/", b"/usr/bin/", b"/usr/bin/env ")
    for version in (b"", b"3")
    for name, type_ in _BY_INTERPRETER.items()
}
"""The usual first lines word for word, with their line end: two or three files of nearly every task have one."""


def script_type(window: bytes) -> str:
    """The type of a file that begins with ``#!``; ``script/other`` for interpreters that are not listed.

    Follows ``env`` (with its options, assignments and ``-S``) to the command behind it, and drops version numbers, as
    in ``python3.11``. Only lines that are not among the usual ones come here.
    """
    for word in window[2:].partition(b"\n")[0].split():
        command = word.rpartition(b"/")[2]
        if command != b"env" and not command.startswith(b"-") and b"=" not in word:
            return _BY_INTERPRETER.get(command) or _BY_INTERPRETER.get(command.rstrip(b"0123456789.-"), "script/other")
    return "script/other"


SCRIPT_TYPES = frozenset({"script/other", *_LANGUAGES})
"""Everything :func:`script_type` answers."""
