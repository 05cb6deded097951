"""Gates decide whether a run may start: `python examples/gates.py`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiosched import Outcome, Refusal, Run, Scheduler


class Maintenance:
    """A switch that keeps jobs out while it is on."""

    def __init__(self) -> None:
        self.on = False

    @asynccontextmanager
    async def __call__(self, run: Run) -> AsyncIterator[Refusal | None]:
        yield Refusal("maintenance", f"{run.job.name} has to wait") if self.on else None


@asynccontextmanager
async def connection(run: Run) -> AsyncIterator[None]:
    """Hold something around the run: what follows the yield happens whatever the run did."""
    print(f"connected for {run.job.name}")
    try:
        yield None
    finally:
        print("disconnected")


maintenance = Maintenance()
scheduler = Scheduler()


@scheduler.every(hours=1, gates=[maintenance, connection])
async def vacuum() -> str:
    return "3 tables"


@scheduler.on(Outcome)
def say(outcome: Outcome) -> None:
    why = f": {outcome.refusal.gate}, {outcome.refusal.reason}" if outcome.refusal else ""
    print(f"{outcome.run.job.name} {outcome.status}{why}")


async def main() -> None:
    async with scheduler:
        job = scheduler[vacuum]
        await job.run_now()
        maintenance.on = True
        await job.run_now()


if __name__ == "__main__":
    asyncio.run(main())
