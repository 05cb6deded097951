"""A locker of your own needs two methods: `python examples/own_locker.py`.

This one makes a folder for each key, which only one process can do. It gives mutual exclusion and
no more: it forgets which occurrences ran (the scheduler warns of that), and a killed holder leaves
its folder behind. The lockers that come with aiosched do better on both.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from urllib.parse import quote

from aiosched import LockHeld, Scheduler


class FolderLock:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def unlock(self) -> None:
        self._folder.rmdir()


class FolderLocker:
    def __init__(self, root: Path) -> None:
        self._root = root

    async def lock(self, key: str, /) -> FolderLock:
        folder = self._root / quote(key, safe="")
        try:
            folder.mkdir()
        except FileExistsError:
            raise LockHeld(f"{key} is held") from None
        return FolderLock(folder)


async def backup() -> str:
    await asyncio.sleep(0.1)
    return "backed up"


def replica(name: str, root: Path) -> Scheduler:
    """Return what one of several replicas of a service would run."""
    scheduler = Scheduler(locker=FolderLocker(root), instance=name)
    scheduler.daily(at="03:00", name="backup")(backup)
    return scheduler


async def main() -> None:
    with tempfile.TemporaryDirectory() as root:
        async with replica("a", Path(root)) as first, replica("b", Path(root)) as second:
            outcomes = await asyncio.gather(*(each["backup"].run_now() for each in (first, second)))
    for outcome in outcomes:
        print(outcome.status, outcome.value or outcome.refusal)


if __name__ == "__main__":
    asyncio.run(main())
