"""Replicas that start at different times agree on the moments: `python aligned_start.py [URL]`.

With a locker an interval counts from the Unix epoch, not from the start of the process; `start_at`
says from when on, and is the same on all replicas because it is a moment and no delay.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from datetime import UTC, datetime, timedelta

from aiosched import Run, Scheduler
from aiosched.lockers import locker_from_url

URL = sys.argv[1] if len(sys.argv) > 1 else f"file:{tempfile.gettempdir()}/aiosched-example"
FROM = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)


def replica(name: str) -> Scheduler:
    scheduler = Scheduler(locker=locker_from_url(URL), instance=name)

    @scheduler.every(seconds=1, name="aligned")
    async def aligned(run: Run) -> None:
        print(f"aligned {run.due_at:%H:%M:%S.%f} on {name}")

    @scheduler.every(seconds=1, name="later", start_at=FROM)
    async def later(run: Run) -> None:
        since = (run.due_at - FROM).total_seconds()
        print(f"later {since:+.6f} s from start_at on {name}")

    return scheduler


async def main() -> None:
    async with replica("a"):
        await asyncio.sleep(0.37)  # the second one starts in the middle of an interval
        async with replica("b"):
            await asyncio.sleep(4.2)


if __name__ == "__main__":
    asyncio.run(main())
