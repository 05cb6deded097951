"""What tests of lockers on servers do often."""

from __future__ import annotations

import asyncio


async def drop(locker):
    """Have *locker* die as its process would: nothing is given back, the connections break."""
    for opened in locker._open.values():
        tasks = [opened.actor._task, opened.actor._renewal._task]
        opened.actor.abandon()
        await opened.store.close()
        for task in tasks:
            if task is not None:
                task.cancel()
                await asyncio.wait([task])
    locker._open = {}
