"""Names are keys, so they must be the same on every replica: `python stable_names.py`."""

from __future__ import annotations

import asyncio

from aiosched import MemoryLocker, Scheduler


async def report() -> None: ...


async def main() -> None:
    scheduler = Scheduler(locker=MemoryLocker())
    for function in (lambda: None, report):  # nobody can import these two from elsewhere
        try:
            scheduler.every(hours=1)(function)
        except ValueError as error:
            print(f"refused: {error}")
    scheduler.every(hours=1, name="shop.report")(report)
    scheduler.every(hours=1, name="shop.report.v2", lock_key="shop.report")(report)
    for job in scheduler.jobs.values():
        print(f"{job.name} has the key {job.lock_key}")


if __name__ == "__main__":
    asyncio.run(main())
