"""`aiosched next EXPR`: when a cron expression comes next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from aiosched.cli._mistake import Mistake
from aiosched.cli._number import count
from aiosched.cli._show import distance, moment
from aiosched.errors import InvalidTrigger
from aiosched.protocols import Trigger
from aiosched.triggers import Cron
from aiosched.triggers.cronfields import is_hashed


def next_occurrences(
    expression: Annotated[
        str, typer.Argument(metavar="EXPR", help="A cron expression, quoted, or an alias: @daily.")
    ],
    most: Annotated[
        int, typer.Option("-n", metavar="N", parser=count, help="How many occurrences.")
    ] = 10,
    zone: Annotated[
        str, typer.Option("--tz", metavar="ZONE", help="The zone of its wall clock.")
    ] = "UTC",
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The job's name, from which H draws its values."),
    ] = None,
) -> None:
    """Show the next occurrences of a cron expression."""
    if most < 1:
        raise Mistake(f"-n must be at least 1, got {most}")
    try:
        trigger = _trigger(expression, zone, name)
        now = datetime.now(UTC).replace(microsecond=0)  # intervals count from a whole second
        found = list(islice(_occurrences(trigger, now), most))
    except InvalidTrigger as error:
        raise Mistake(str(error)) from error
    if not found:
        raise Mistake(f"{expression!r} never comes again")
    _print([(moment(at), distance(at - now)) for at in found])


def _trigger(expression: str, zone: str, name: str | None) -> Trigger:
    trigger = Cron(expression, tz=zone)
    if name is not None:
        return trigger.bind(name=name, tz=UTC)
    if isinstance(trigger, Cron) and is_hashed(trigger.expr):  # @every makes no Cron
        raise Mistake(f"{expression!r} has an H, which draws from a job's name: give --name NAME")
    return trigger


def _occurrences(trigger: Trigger, after: datetime) -> Iterator[datetime]:
    following = trigger.next_after(after)
    while following is not None:
        yield following
        following = trigger.next_after(following)


def _print(rows: list[tuple[str, str]]) -> None:
    console = Console()
    if not console.is_terminal:
        for at, ahead in rows:
            print(f"{at}  {ahead}")
        return
    table = Table(box=None, show_header=False, padding=(0, 3, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(style="dim", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)
