"""A leader instead of a lock for each run: `python examples/leader_election.py`.

The job here waits for a second after each run has ended. On that replicas could not agree, so that
a locker would not help; but one of them can lead, and do it alone. The two replicas stand in one
process, and would be two processes of a service.
"""

from __future__ import annotations

import asyncio
import tempfile

from aiosched import FileElector, LeadershipChanged, Scheduler


class Replica:
    def __init__(self, name: str, folder: str) -> None:
        self.name = name
        self.worked = asyncio.Event()
        self.scheduler = Scheduler(elector=FileElector(folder, "catalogue"), instance=name)
        self.scheduler.on(LeadershipChanged, self.tell)
        self.scheduler.every(seconds=1, from_completion=True)(self.refresh)

    def tell(self, event: LeadershipChanged) -> None:
        print(self.name, "leads" if event.is_leader else "leads no longer")

    async def refresh(self) -> None:
        if not self.worked.is_set():
            print(self.name, "refreshes the catalogue")
            self.worked.set()


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, second = Replica("first", folder), Replica("second", folder)
        async with first.scheduler, second.scheduler:
            await first.worked.wait()
            await first.scheduler.stop()  # as in a deployment: it resigns, and another leads
            await second.worked.wait()


if __name__ == "__main__":
    asyncio.run(main())
