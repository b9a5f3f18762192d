"""The command line: one file per command, imported when it is called. ``scanner --help`` imports none of them.

A command's file (``make-corpus`` lies in ``make_corpus.py``) exposes a click command named ``command``, which returns
its exit code, or None for 0, and raises :class:`scanner.errors.ScannerError` for what a person has to know (a
``KeyboardInterrupt`` with a text says how to go on).

Exit codes: 0 all that was asked is done; 1 ``--fail-on`` matched; 2 usage, configuration, unreadable source or
unwritable output; 3 not every planned row was reached, a failure of the scanner itself included (the list is what
people script against, so it stays closed, and 1, what Python itself would exit with, already means something else);
4 nothing matched; 130 interrupted.
"""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import click

from scanner.environment import settle
from scanner.errors import ScannerError
from scanner.report.terminal import safe

COMMANDS: Final = {
    "scan": "Scan every row of SOURCE into a Run",
    "report": "Show a Run: as text, JSON, a page, pictures or Markdown",
    "show": "Show one task: its members, its metadata, its verifier",
    "sample": "Show a few rows drawn at random",
    "find": "Find the first rows that match an expression",
    "export": "Unpack rows into folders",
    "slice": "Write the records of a Run as one analysis table",
    "sources": "List files, sources, rows and bytes without reading a row",
    "merge": "Join Runs of parts of a dataset into one Run",
    "bench": "Measure how fast SOURCE can be scanned on this machine",
    "make-corpus": "Write a seeded look-alike of TaskTrove into DIR",
}
"""Each command and its help in one line, in the order they are listed; a test compares them with the commands' own."""

_EXAMPLE: Final = """\
Example:
  scanner make-corpus corpus --rows 2000
  scanner scan corpus --out run
  scanner report run --top 5

Every command has its own --help. Exit codes: 0 done, 1 --fail-on matched, 2 wrong usage or unreadable input,
3 not every row was reached, 4 nothing matched, 130 interrupted."""

INTERRUPTED: Final = 130


class Commands(click.Group):
    """The group of :data:`COMMANDS`: lists them from the table and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names in the table's order, of those whose file is installed."""
        return [name for name in COMMANDS if find_spec(_module(name))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name; imports its file."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(_module(cmd_name)).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that ``args`` begin with. Raises UsageError with the names that are near, where there is none."""
        names = self.list_commands(ctx)
        if args[0] not in names:
            ctx.fail(_no_such("command", args[0], names))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table, which spares the import of every command."""
        rows = [(name, COMMANDS[name]) for name in self.list_commands(ctx)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """Write the example as it stands."""
        formatter.write(f"\n{_EXAMPLE}\n")


def _module(name: str) -> str:
    return f"{__name__}.{name.replace('-', '_')}"


@click.group(cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tasktrove-scanner", prog_name="scanner", message="%(prog)s %(version)s")
@click.pass_context
def commands(ctx: click.Context) -> None:
    """Scan packed agent-task datasets: every row, every core, nothing extracted."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(ScannerError.exit_code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code. ``arguments`` without the program's name; None takes sys.argv's.

    Whatever goes wrong is one sentence on stderr; with ``SCANNER_DEBUG=1`` the traceback comes before it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8 still gets every line
    settle()
    try:
        code = _run(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
    except click.exceptions.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, click.Abort) as error:
        # One that came within the exec() of a string (dataclasses are made so while they are imported) leaves a mark by
        # which CPython ends the process with SIGINT whatever we return; any other exec() takes the mark away.
        exec("")  # noqa: S102
        _complain(str(error) or "interrupted", "scanner: ")
        return INTERRUPTED
    except click.ClickException as error:
        _complain(_usage(error))
        return ScannerError.exit_code
    except ScannerError as error:
        _trace()
        _complain(str(error))
        return error.exit_code
    except BrokenPipeError as error:
        # `scanner report RUN | head`: the reader has what it wanted (as ripgrep sees it). A pipe to a worker that
        # breaks is another matter, so look whose it was.
        return 0 if _stdout_is_gone() else _bug(error)
    except OSError as error:
        _trace()
        _stdout_is_gone()
        _complain(_of_system(error))
        return ScannerError.exit_code
    except Exception as error:  # noqa: BLE001 - the last line of defence: a sentence instead of a traceback
        return _bug(error)
    return code


def _run(arguments: list[str]) -> int:
    instruction = os.environ.get("_SCANNER_COMPLETE")
    if instruction:  # as click's own main does: `eval "$(_SCANNER_COMPLETE=bash_source scanner)"`
        from click.shell_completion import shell_complete

        return shell_complete(commands, {}, "scanner", "_SCANNER_COMPLETE", instruction)
    # Not click's own main: on a broken pipe it exits with 1, which here means that --fail-on matched.
    with commands.make_context("scanner", arguments) as context:
        result: Any = commands.invoke(context)
    return result if isinstance(result, int) else 0


def _usage(error: click.ClickException) -> str:
    message = error.format_message().rstrip(".")
    if isinstance(error, click.NoSuchOption):  # click's own sentence differs from version to version
        message = _no_such("option", error.option_name, error.possibilities or ())
    context = getattr(error, "ctx", None)
    return f"{message} (see {context.command_path} --help)" if context else message


def _no_such(what: str, name: str, names: Iterable[str]) -> str:
    near = get_close_matches(name, sorted(names))
    return f"no such {what} {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else "")


def _of_system(error: OSError) -> str:
    what = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {what}" if error.filename else what


def _bug(error: Exception) -> int:
    _trace()
    _complain(
        f"the scanner itself failed with {type(error).__name__}: {error}"
        + ("" if _debugging() else "; set SCANNER_DEBUG=1 to see where, and please report it")
    )
    return 3


def _debugging() -> bool:
    return os.environ.get("SCANNER_DEBUG", "") not in {"", "0"}


def _trace() -> None:
    if _debugging():
        import traceback

        traceback.print_exc()


def _complain(message: str, prefix: str = "scanner: error: ") -> None:
    click.echo(prefix + safe(" ".join(message.split())), err=True)


def _stdout_is_gone() -> bool:
    """Whether stdout takes nothing any more; what it holds then goes nowhere, so that the exit does not stumble."""
    try:
        sys.stdout.flush()
        gone = _no_reader(sys.stdout.fileno())
    except (OSError, ValueError):  # ValueError: closed, or no file at all
        gone = True
    if gone:
        with suppress(OSError, ValueError):
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, sys.stdout.fileno())
            os.close(devnull)
    return gone


def _no_reader(descriptor: int) -> bool:
    """Whether a pipe's reader has closed it. A failed write leaves nothing behind that a flush could trip over."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
