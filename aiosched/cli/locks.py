"""`aiosched locks URL`: what a store of locks remembers, and a key taken away by force."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from aiosched.cli._mistake import Mistake
from aiosched.cli._number import count
from aiosched.cli._show import distance, moment, printable
from aiosched.errors import LockerUnavailable
from aiosched.lockers import FileLocker, MemoryLocker, locker_from_url
from aiosched.model import LockRecord
from aiosched.protocols import InspectableLocker

T = TypeVar("T")

_HEADINGS = ("key", "held", "until", "last claimed", "completed", "fence", "remembered")
_NOTHING_RELEASED = 1


def locks(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL", help="Where the locks live, such as file:/var/lib/app/locks."
        ),
    ],
    release: Annotated[
        str | None,
        typer.Option("--release", metavar="KEY", help="Take this key away from its holder."),
    ] = None,
    most: Annotated[
        int,
        typer.Option(
            "-n",
            metavar="N",
            parser=count,
            help="How many a terminal shows, held ones first; 0: all.",
        ),
    ] = 100,
    as_json: Annotated[  # noqa: FBT002 - a command's flag
        bool, typer.Option("--json", help="Print a JSON array, in UTC.")
    ] = False,
) -> None:
    """List the locks of a store: who holds each key, and which occurrence was claimed last.

    With --release take a key away: its holder hears of it with his next renewal, and what was
    claimed stays claimed. Exits with 1 where nobody held it.
    """
    if most < 0:
        raise Mistake(f"-n must be at least 0, got {most}")
    locker = _locker_at(url)
    if release is not None:
        _release(locker, release)
        return
    records = _ask(locker, locker.records())
    if as_json:
        print(json.dumps([_jsonable(record) for record in records], indent=2))
    else:
        _print(records, most)


def _locker_at(url: str) -> InspectableLocker:
    try:
        locker = locker_from_url(url)
    except (TypeError, ValueError, ModuleNotFoundError, NotImplementedError) as error:
        raise Mistake(str(error)) from error
    if isinstance(locker, MemoryLocker):
        raise Mistake("memory: is within each process, and there is nothing to see of another's")
    if isinstance(locker, FileLocker) and not locker.path.is_dir():
        raise Mistake(f"there is no directory {str(locker.path)!r}")
    if not isinstance(locker, InspectableLocker):
        raise Mistake(f"{type(locker).__name__} cannot be looked into")
    return locker


def _ask(locker: Any, question: Awaitable[T]) -> T:
    try:
        return asyncio.run(_closing(locker, question))
    except LockerUnavailable as error:
        raise Mistake(str(error)) from error


async def _closing(locker: Any, question: Awaitable[T]) -> T:
    try:
        return await question
    finally:
        await locker.aclose()


# ── taking away ───────────────────────────────────────────────────────────────────────────────


def _release(locker: InspectableLocker, key: str) -> None:
    shown = printable(key)
    if sys.stdin.isatty() and not typer.confirm(f"Take {shown} away from its holder?"):
        raise typer.Exit(_NOTHING_RELEASED)
    if not _ask(locker, locker.release(key)):
        print(f"{shown} is not held", file=sys.stderr)
        raise typer.Exit(_NOTHING_RELEASED)
    print(f"{shown} is free")


# ── showing ───────────────────────────────────────────────────────────────────────────────────


def _print(records: list[LockRecord], most: int) -> None:
    now = datetime.now(UTC)
    console = Console()
    if not console.is_terminal:
        for row in [_HEADINGS, *(_row(record, now) for record in records)]:
            print("\t".join(row))
        return
    chosen = sorted(records, key=lambda record: not record.held)[: most or None]
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in _HEADINGS:
        table.add_column(heading, overflow="fold")
    for record in chosen:
        key, held, *rest = _row(record, now)
        style = "yellow" if record.held else "dim"
        table.add_row(Text(key, style="bold"), Text(held, style=style), *map(Text, rest))
    console.print(table)
    summary = f"{len(records)} keys, {sum(record.held for record in records)} held"
    if len(chosen) < len(records):
        summary += f"; {len(chosen)} are shown, -n 0 shows all"
    console.print(Text(summary, "dim"))


def _row(record: LockRecord, now: datetime) -> tuple[str, ...]:
    return (
        printable(record.key),
        printable(record.holder or "somebody") if record.held else "free",
        _until(record, now),
        moment(record.last_claimed) if record.last_claimed else "-",
        _completed(record),
        str(record.fence),
        distance(record.forget_at - now),
    )


def _until(record: LockRecord, now: datetime) -> str:
    if not record.held:
        return "-"
    return "it dies" if record.held_until is None else distance(record.held_until - now)


def _completed(record: LockRecord) -> str:
    if record.uncompleted is None:
        return "yes" if record.last_claimed else "-"
    since = "" if record.uncompleted == record.last_claimed else f" ({moment(record.uncompleted)})"
    return ("running" if record.held else "no") + since


def _jsonable(record: LockRecord) -> dict[str, object]:
    return {
        "key": record.key,
        "held": record.held,
        "holder": record.holder,
        "held_until": _iso(record.held_until),
        "last_claimed": _iso(record.last_claimed),
        "uncompleted": _iso(record.uncompleted),
        "attempt": record.attempt,
        "fence": record.fence,
        "forget_at": _iso(record.forget_at),
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
