"""What tests of lockers on servers do often."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta


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


def ago(seconds):
    """Return a moment on the host's clock, which is the servers', too."""
    return datetime.now(UTC) - timedelta(seconds=seconds)


async def eventually(ask, *errors, within=10.0):
    """Return what *ask* returns, asking again while it raises *errors*."""
    deadline = time.monotonic() + within
    while True:
        try:
            return await ask()
        except errors:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.02)
