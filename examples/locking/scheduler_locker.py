"""One locker for all jobs of a scheduler: of three replicas one runs each occurrence.

`python scheduler_locker.py [URL]`; the URL is any that `locker_from_url` knows.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile

from aiosched import Run, Scheduler
from aiosched.lockers import locker_from_url

URL = sys.argv[1] if len(sys.argv) > 1 else f"file:{tempfile.gettempdir()}/aiosched-example"


def replica(name: str) -> Scheduler:
    """Return what one process of the service would have: a locker of its own, to the same store."""
    scheduler = Scheduler(locker=locker_from_url(URL), instance=name)

    @scheduler.every(seconds=0.5, name="report")
    async def report(run: Run) -> None:
        print(f"{run.due_at:%H:%M:%S.%f} ran on {name}, fence {run.fence}")

    return scheduler


async def main() -> None:
    async with replica("a"), replica("b"), replica("c"):
        await asyncio.sleep(2.3)


if __name__ == "__main__":
    asyncio.run(main())
