"""Redis or Valkey: the server's clock decides. `REDIS=redis://host python redis_basic.py`.

One replica's clock is two seconds fast; still no occurrence runs twice, and none too early.
"""

from __future__ import annotations

import asyncio
import os
import time

from aiosched import RedisLocker, Run, Scheduler, SystemClock

URL = os.environ.get("REDIS", "redis://127.0.0.1:6379/0")


def replica(name: str, skew: float) -> Scheduler:
    scheduler = Scheduler(
        locker=RedisLocker(URL, prefix="example"), clock=SystemClock(skew), instance=name
    )

    @scheduler.every(seconds=0.5, name="report")
    async def report(run: Run) -> None:
        age = time.time() - run.due_at.timestamp()
        when = "in time" if age >= 0 else f"{-age:.3f} s too early"
        print(f"{run.due_at:%H:%M:%S.%f} ran on {name}, {when}")

    return scheduler


async def main() -> None:
    async with replica("right", 0.0), replica("fast", 2.0):
        await asyncio.sleep(2.8)


if __name__ == "__main__":
    asyncio.run(main())
