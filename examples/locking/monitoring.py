"""A locker that is watched: how often it grants and refuses, and how long it takes.

`python monitoring.py [URL]`. Where this counts, call Prometheus or whatever you have.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections import Counter

from aiosched import LockError, Monitored, Scheduler
from aiosched.lockers import locker_from_url

URL = sys.argv[1] if len(sys.argv) > 1 else f"file:{tempfile.gettempdir()}/aiosched-example"

counts: Counter[str] = Counter()
latencies: list[float] = []


def on_result(key: str, seconds: float, error: LockError | None) -> None:
    counts[f"{key} {type(error).__name__ if error else 'granted'}"] += 1
    latencies.append(seconds)


def replica(name: str) -> Scheduler:
    scheduler = Scheduler(locker=Monitored(locker_from_url(URL), on_result), instance=name)

    @scheduler.every(seconds=0.5, name="report")
    async def report() -> None:
        await asyncio.sleep(0.05)

    return scheduler


async def main() -> None:
    async with replica("a"), replica("b"), replica("c"):
        await asyncio.sleep(1.8)
    for what, count in sorted(counts.items()):
        print(f"{count} × {what}")
    print(f"slowest answer {max(latencies) * 1000:.1f} ms")


if __name__ == "__main__":
    asyncio.run(main())
