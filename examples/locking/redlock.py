"""Redlock: several independent Redis servers, of which most must agree.

`REDLOCK=redis://one,redis://two,redis://three python redlock.py`. If one of them is down, nothing
changes; with a majority down nobody is granted anything.
"""

from __future__ import annotations

import asyncio
import os

from aiosched import RedlockLocker, Run, Scheduler

DEFAULT = ",".join(f"redis://127.0.0.1:{port}" for port in (7001, 7002, 7003))
URLS = os.environ.get("REDLOCK", DEFAULT).split(",")


def replica(name: str) -> Scheduler:
    scheduler = Scheduler(locker=RedlockLocker(URLS, prefix="example"), instance=name)

    @scheduler.every(seconds=0.5, name="report")
    async def report(run: Run) -> None:
        print(f"{run.due_at:%H:%M:%S.%f} ran on {name}")

    return scheduler


async def main() -> None:
    async with replica("a"), replica("b"):
        await asyncio.sleep(3.3)


if __name__ == "__main__":
    asyncio.run(main())
