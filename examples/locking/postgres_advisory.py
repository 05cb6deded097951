"""PostgreSQL, by advisory locks: who loses his session has lost his locks at that moment.

`POSTGRES=postgresql://user@host/database python postgres_advisory.py`. A run is going on when the
server ends the session of its locker; the run is cancelled, and another replica need not wait for a
timeout.
"""

from __future__ import annotations

import asyncio
import os
import time

import asyncpg

from aiosched import LockHeld, PostgresLocker, Scheduler

URL = os.environ.get("POSTGRES", "postgresql://127.0.0.1:5432/postgres")
END_THE_HOLDER = """
    SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE locktype = 'advisory' AND (classid::bigint << 32) + objid::bigint = (
        SELECT home FROM example_record_v1 WHERE key = 'settle')
"""


async def settle() -> None:
    await asyncio.sleep(60)


async def main() -> None:
    scheduler = Scheduler(locker=PostgresLocker(URL, prefix="example"))
    job = scheduler.every(hours=1, name="settle")(settle)
    other = PostgresLocker(URL, prefix="example")
    await other.open()
    async with scheduler:
        run = asyncio.create_task(scheduler[job].run_now())
        await asyncio.sleep(0.5)
        try:
            await other.lock("settle")
        except LockHeld:
            print("held by the run")
        admin = await asyncpg.connect(URL)
        await admin.execute(END_THE_HOLDER)
        await admin.close()
        outcome = await run
        print(f"the run {outcome.status}: {type(outcome.error).__name__}")
        began = time.monotonic()
        lock = await other.lock("settle")
        print(f"free after {time.monotonic() - began:.3f} s, with a TTL of {other.ttl:g} s")
        await lock.unlock()
    await other.aclose()


if __name__ == "__main__":
    asyncio.run(main())
