"""A job that every replica runs for itself, by `locker=None`: `python local_only.py [URL]`."""

from __future__ import annotations

import asyncio
import sys
import tempfile

from aiosched import Run, Scheduler
from aiosched.lockers import locker_from_url

URL = sys.argv[1] if len(sys.argv) > 1 else f"file:{tempfile.gettempdir()}/aiosched-example"


def replica(name: str) -> Scheduler:
    scheduler = Scheduler(locker=locker_from_url(URL), instance=name)

    @scheduler.every(seconds=0.5, name="report")
    async def report(run: Run) -> None:
        print(f"report of {run.due_at:%H:%M:%S.%f} on {name}")

    @scheduler.every(seconds=0.5, name="refresh-cache", locker=None)
    async def refresh_cache() -> None:
        print(f"cache refreshed on {name}")

    return scheduler


async def main() -> None:
    async with replica("a"), replica("b"):
        await asyncio.sleep(1.8)


if __name__ == "__main__":
    asyncio.run(main())
