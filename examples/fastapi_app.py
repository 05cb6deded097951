"""A FastAPI service whose jobs run once, however many workers serve it.

    uvicorn --app-dir examples --workers 4 fastapi_app:app

Every worker has this scheduler; the locks in LOCKS decide which of them runs each occurrence.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from fastapi import FastAPI

from aiosched import FileLocker, Run, Scheduler

LOCKS = os.environ.get("LOCKS", str(Path(tempfile.gettempdir()) / "fastapi-app-locks"))

scheduler = Scheduler(locker=FileLocker(LOCKS))


@scheduler.every(seconds=1, delivery="at_least_once")
async def tick(run: Run) -> None:
    """Run once a second in the whole service; a worker that dies halfway is made up for."""
    tick = f"{run.due_at:%H:%M:%S} in process {os.getpid()}, delivery {run.delivery_attempt}"
    print(f"started   {tick}", flush=True)
    await asyncio.sleep(0.2)  # the work
    print(f"completed {tick}", flush=True)


@scheduler.every(minutes=5, locker=None)
async def refresh_cache() -> None:
    """Run in every worker: each has a cache of its own."""


app = FastAPI(lifespan=scheduler.lifespan)


@app.get("/jobs")
async def jobs() -> dict[str, str | None]:
    """Say when each job comes next."""
    return {
        job.name: job.next_run.isoformat() if job.next_run else None
        for job in scheduler.jobs.values()
    }
