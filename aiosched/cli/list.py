"""`aiosched list MODULE:ATTR`: the jobs of a scheduler, and when each comes next."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from aiosched.cli._show import complaint, distance, moment, schedule
from aiosched.cli._target import Target, load
from aiosched.job import Job

_HEADINGS = ("job", "state", "next", "", "trigger", "tags")
_STATE_STYLES = {
    "scheduled": "green",
    "paused": "yellow",
    "finished": "dim",
    "removed": "dim",
    "broken": "red",
}


def list_jobs(
    target: Target,
) -> None:
    """List the jobs of a scheduler, without starting it."""
    now = datetime.now(UTC)
    rows = [_row(job, now) for job in load(target).jobs.values()]
    console = Console()
    if console.is_terminal:
        console.print(_table(rows))
        return
    for row in [_HEADINGS, *rows]:
        print("\t".join(row))


def _row(job: Job, now: datetime) -> tuple[str, ...]:
    state, following, ahead = str(job.state), "-", "-"
    try:
        at = job.next_run
    except Exception as error:  # noqa: BLE001 - a user's trigger may raise anything
        state, following = "broken", complaint(error)
    else:
        if at is not None:
            following, ahead = moment(at), distance(at - now)
    return (
        job.name,
        state,
        following,
        ahead,
        schedule(job.trigger),
        ",".join(job.tags) or "-",
    )


def _table(rows: list[tuple[str, ...]]) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in _HEADINGS:
        table.add_column(heading, overflow="fold")
    for name, state, following, ahead, trigger, tags in rows:
        table.add_row(
            Text(name, style="bold"),
            Text(state, style=_STATE_STYLES[state]),
            Text(following, style="cyan"),
            Text(ahead, style="dim"),
            Text(trigger),  # as text: a trigger's brackets are no markup
            Text(tags, style="magenta"),
        )
    return table
