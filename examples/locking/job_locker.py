"""A job with a locker of its own, which wins over the scheduler's: `python job_locker.py [URL]`.

Here the scheduler's locker is for one host, and the job that may run once in the whole company asks
the store that all hosts share (by default another directory, so that this runs anywhere).
"""

from __future__ import annotations

import asyncio
import sys
import tempfile

from aiosched import Monitored, Scheduler
from aiosched.lockers import locker_from_url

FOLDER = tempfile.gettempdir()
SHARED = sys.argv[1] if len(sys.argv) > 1 else f"file:{FOLDER}/aiosched-example-company"


def told(store: str) -> Monitored:
    """Return a locker that tells what it is asked for."""
    url = SHARED if store == "company" else f"file:{FOLDER}/aiosched-example"
    return Monitored(locker_from_url(url), lambda key, *_: print(f"{store} was asked for {key}"))


async def work() -> None:
    await asyncio.sleep(0.1)


async def main() -> None:
    scheduler = Scheduler(locker=told("host"))
    scheduler.every(hours=1, name="rotate-logs")(work)
    scheduler.every(hours=1, name="send-invoices", locker=told("company"))(work)
    async with scheduler:
        for job in scheduler.jobs.values():
            outcome = await job.run_now()
            print(f"{job.name} {outcome.status}")


if __name__ == "__main__":
    asyncio.run(main())
