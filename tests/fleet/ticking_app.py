"""A service that writes down every tick: what `test_uvicorn_workers` lets uvicorn serve."""

from __future__ import annotations

import asyncio
import os

from fastapi import FastAPI

from aiosched import FileLocker, Outcome, Run, Scheduler, SchedulerChanged

LOG = os.open(os.environ["LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

scheduler = Scheduler(locker=FileLocker(os.environ["LOCKS"]))
app = FastAPI(lifespan=scheduler.lifespan)


def note(word: str, run: Run | None = None) -> None:
    """Append a line in one write: whole, or not at all."""
    due = run.due_at.timestamp() if run else 0
    os.write(LOG, f"{word} {due:.0f} {os.getpid()}\n".encode())


@scheduler.on(SchedulerChanged)
def say_ready(event: SchedulerChanged) -> None:
    note(event.state)


@scheduler.on(Outcome)
def say_why_not(outcome: Outcome) -> None:
    if outcome.refusal:
        note(f"{outcome.status}:{outcome.refusal.reason}", outcome.run)


@scheduler.every(seconds=1, name="tick", delivery=os.environ["DELIVERY"])
async def tick(run: Run) -> None:
    note("started", run)
    await asyncio.sleep(0.3)
    note("completed", run)
