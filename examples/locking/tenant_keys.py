"""One lock for each tenant: by a field of the key, or by a prefix. `python tenant_keys.py [URL]`.

With `lock_key="invoices-{tenant}"` one job's runs for different tenants do not wait for each other.
With `Prefixed` a whole scheduler has a part of the store to itself, and names may be the same.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile

from aiosched import Every, Prefixed, Run, Scheduler
from aiosched.lockers import locker_from_url

URL = sys.argv[1] if len(sys.argv) > 1 else f"file:{tempfile.gettempdir()}/aiosched-example"


async def send_invoices(tenant: str) -> str:
    await asyncio.sleep(0.2)
    return f"invoices of {tenant} sent"


async def back_up(run: Run) -> str:
    return f"{run.job.name} is the key, as for the others"


async def main() -> None:
    locker = locker_from_url(URL)

    shared = Scheduler(locker=locker)
    for tenant in ("acme", "globex"):
        shared.add(
            send_invoices,
            Every(hours=1),
            name=f"invoices of {tenant}",
            args=(tenant,),
            lock_key="invoices-{tenant}",
        )
    async with shared:
        outcomes = await asyncio.gather(*(job.run_now() for job in shared.jobs.values()))
        for outcome in outcomes:
            print(f"{outcome.run.job.lock_key}: {outcome.value}")

    for tenant in ("acme", "globex"):
        own = Scheduler(locker=Prefixed(locker, f"{tenant}:"))
        job = own.every(hours=1, name="back-up")(back_up)
        async with own:
            print(f"{tenant}: {(await own[job].run_now()).value}")

    await locker.open()
    keys = {record.key for record in await locker.records()}
    await locker.aclose()
    for key in ("invoices-acme", "invoices-globex", "acme:back-up", "globex:back-up"):
        print(f"in the store: {key}" if key in keys else f"missing: {key}")


if __name__ == "__main__":
    asyncio.run(main())
