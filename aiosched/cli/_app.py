"""All commands in one app, and the border where errors become exit codes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from aiosched import __version__
from aiosched.cli._mistake import Mistake
from aiosched.cli.demo import demo
from aiosched.cli.list import list_jobs
from aiosched.cli.locks import locks
from aiosched.cli.next import next_occurrences
from aiosched.cli.run import run

# Typer gives the base of its usage errors no public name; it is the third in this line of descent.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[2]
_INTERRUPTED = 130

app = typer.Typer(
    name="aiosched",
    help="An asyncio-native job scheduler: run it, and look into it.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it
    if wanted:
        print(f"aiosched {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # noqa: FBT002 - a command's flag
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Take what stands before a command."""


app.command("run")(run)
app.command("list")(list_jobs)
app.command("next")(next_occurrences)
app.command("locks")(locks)
app.command("demo")(demo)


def run_app(arguments: list[str]) -> int:
    """Carry out *arguments* and return the exit code.

    A mistake of the user's is one line on stderr and 2; an interruption is 130.
    """
    try:
        code = app(arguments or ["--help"], prog_name="aiosched", standalone_mode=False)
    except (Mistake, _USAGE_ERROR) as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        print(f"aiosched: {' '.join(message.split())}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    return int(code or 0)
