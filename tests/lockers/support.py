"""What tests of lockers on servers do often."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager


@asynccontextmanager
async def opened(locker):
    """Open *locker*, and close it in the end."""
    await locker.open()
    try:
        yield locker
    finally:
        await locker.aclose()


async def drop(locker):
    """Have *locker* die as its process would: nothing is given back, the connections break."""
    for each in locker._open.values():
        tasks = [each.actor._task, each.actor._renewal._task]
        each.actor.abandon()
        await each.store.close()
        for task in tasks:
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
    locker._open = {}
