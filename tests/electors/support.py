"""What tests of electors share: patience, a listener, electors that die."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

PATIENCE = 20.0


async def eventually(holds, within=PATIENCE):
    """Return what *holds* returns as soon as that is true."""
    deadline = time.monotonic() + within
    while not (found := holds()):
        assert time.monotonic() < deadline, "it never came to be"
        await asyncio.sleep(0.01)
    return found


@asynccontextmanager
async def opened(*electors):
    """Open them one after the other, and close them in the end."""
    entered = []
    try:
        for elector in electors:
            await elector.open()
            entered.append(elector)
        yield electors[0] if len(electors) == 1 else electors
    finally:
        for elector in reversed(entered):
            await elector.aclose()


def leaders(electors):
    """Return those who lead."""
    return [elector for elector in electors if elector.term is not None]


class Told:
    """Keeps what an elector tells."""

    def __init__(self, elector):
        self.changes = []
        self.forget = elector.observe(
            lambda is_leader, term: self.changes.append((is_leader, term))
        )


def own_tasks():
    """Return the names of the tasks that aiosched has going."""
    return sorted(
        task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("aiosched")
    )
