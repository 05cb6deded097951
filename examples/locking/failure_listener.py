"""Why did a run not happen here? A listener tells what is usual from what needs somebody.

`python failure_listener.py`. *already_ran* is how a fleet works, *held* says that a run takes
longer than its interval, *unavailable* that the store is not there.
"""

from __future__ import annotations

import asyncio
import tempfile

from aiosched import FileLocker, Lock, LockerUnavailable, Outcome, Scheduler

MEANING = {
    "already_ran": "as usual: another replica ran it",
    "held": "look into it: the run before is not over",
    "unavailable": "alert: the store cannot be asked",
}


class Gone:
    """A store that is not there."""

    async def lock(self, key: str, /) -> Lock:
        raise LockerUnavailable(f"nobody could be asked for {key}")


def listen(scheduler: Scheduler) -> None:
    @scheduler.on(Outcome)
    def tell(outcome: Outcome) -> None:
        refusal = outcome.refusal
        if refusal is not None and refusal.gate == "lock":
            print(f"{outcome.run.job.name}, {refusal.reason}: {MEANING[refusal.reason]}")


def replica(path: str) -> Scheduler:
    scheduler = Scheduler(locker=FileLocker(path))
    listen(scheduler)

    @scheduler.every(seconds=0.5, name="quick")
    async def quick() -> None: ...

    @scheduler.every(seconds=0.5, name="slow")
    async def slow() -> None:
        await asyncio.sleep(1.2)

    @scheduler.every(hours=1, name="lost", locker=Gone())
    async def lost() -> None: ...

    return scheduler


async def main() -> None:
    with tempfile.TemporaryDirectory() as path:
        async with replica(path) as one, replica(path):
            await asyncio.sleep(1.8)
            await one["lost"].run_now()


if __name__ == "__main__":
    asyncio.run(main())
