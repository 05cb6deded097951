"""One worker process of `aiosched demo`: a scheduler on the shared locks that reports JSON lines.

It says ``ready``, waits for one line with the plan, and lives until its stdin is closed: a worker
whose parent is gone goes too.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime

from aiosched.lockers.file import FileLocker
from aiosched.model import Run
from aiosched.scheduler import Scheduler
from aiosched.triggers import Every


def main(locks: str) -> None:
    """Serve on the folder *locks* until stdin ends."""
    asyncio.run(_serve(locks))


async def _serve(locks: str) -> None:
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin
    )
    async with Scheduler(locker=FileLocker(locks)) as scheduler:
        _say("ready")
        if line := await stdin.readline():
            _plan(scheduler, json.loads(line))
            await stdin.read()


def _plan(scheduler: Scheduler, plan: dict[str, float]) -> None:
    async def tick(run: Run) -> None:
        _say("started", run)
        await asyncio.sleep(plan["takes"])
        _say("completed", run)

    first, last = (datetime.fromisoformat(str(plan[edge])) for edge in ("first", "last"))
    scheduler.add(
        tick,
        Every(seconds=plan["every"], anchor=first),
        name="tick",
        start_at=first,
        stop_at=last,
        delivery="at_least_once",
        coalesce="all",  # also on a machine that stands still for longer than an interval
    )


def _say(word: str, run: Run | None = None) -> None:
    """Write one line in one go, so that a kill leaves a whole line or none."""
    about = {} if run is None else {"due": run.due_at.isoformat(), "attempt": run.delivery_attempt}
    sys.stdout.write(json.dumps({"said": word, **about}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
