"""How a command's help reads: options under headings, an example at the end.

>>> @click.command(cls=Command, examples=["scanner report run --top 5"])
... @option("--top", default=10, section="What is shown", help="Names in each list.")
... def command(top: int) -> None: ...
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class Option(click.Option):
    """A click option that knows the heading it stands under."""

    def __init__(self, *args: Any, section: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


def option(*names: str, section: str, **settings: Any) -> Callable[[F], F]:
    """``click.option`` with the heading it stands under in ``--help``."""
    return click.option(*names, cls=Option, section=section, **settings)


class Command(click.Command):
    """A click command with options under headings, in the order they are declared, and examples that can be run.

    ``examples`` are command lines; where the first needs a Run or a corpus, those before it make one.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, those without a heading of their own last."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            line = parameter.get_help_record(ctx)
            if line is not None and isinstance(parameter, click.Option):
                sections.setdefault(getattr(parameter, "section", "Other"), []).append(line)
        for title in sorted(sections, key="Other".__eq__):  # stable: all others keep the order they came in
            with formatter.section(title):
                formatter.write_dl(sections[title])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as they stand: a command line that is wrapped cannot be copied."""
        super().format_epilog(ctx, formatter)
        if self.examples:
            formatter.write("\nExample:\n" + "".join(f"  {line}\n" for line in self.examples))
