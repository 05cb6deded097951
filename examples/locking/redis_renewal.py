"""A run longer than the lock's TTL keeps its lock: it is renewed every third of that.

`REDIS=redis://host python redis_renewal.py`. The TTL is one second and the run takes three;
somebody else asks for the key all the time, and gets it only when the run is over.
"""

from __future__ import annotations

import asyncio
import os
import time

from aiosched import LockHeld, RedisLocker, Scheduler

URL = os.environ.get("REDIS", "redis://127.0.0.1:6379/0")
TTL = 1


async def export() -> None:
    await asyncio.sleep(3 * TTL)


async def main() -> None:
    scheduler = Scheduler(locker=RedisLocker(URL, ttl=TTL, prefix="example"))
    job = scheduler.every(hours=1, name="export")(export)
    rival = RedisLocker(URL, ttl=TTL, prefix="example")
    await rival.open()
    async with scheduler:
        run = asyncio.create_task(scheduler[job].run_now())
        await asyncio.sleep(0.5)
        refused, began = 0, time.monotonic()
        while True:
            try:
                lock = await rival.lock("export")
                break
            except LockHeld:
                refused += 1
                await asyncio.sleep(0.25)
        print(f"refused for {(time.monotonic() - began) / TTL:.1f} TTL, {refused} times")
        await lock.unlock()
        print(f"the run {(await run).status}")
    await rival.aclose()


if __name__ == "__main__":
    asyncio.run(main())
