"""How long the loop is held when very many runs are due at one instant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from aiosched import Every, Scheduler
from benchmarks.harness import (
    Figures,
    Line,
    Scenario,
    Topic,
    frozen,
    next_instant,
    run_in,
    sleep_until,
)


class Probe:
    """Has a callback in every turn of the loop, and keeps the longest time between two turns.

    Attributes:
        held: That time, in seconds.
        held_cpu: The same in processor time: what others ran in between does not count.
    """

    def __init__(self) -> None:
        self.held = self.held_cpu = 0.0
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.call_soon(self._look)
        self._at, self._cpu_at = time.perf_counter(), time.thread_time()

    def _look(self) -> None:
        at, cpu_at = time.perf_counter(), time.thread_time()
        self.held = max(self.held, at - self._at)
        self.held_cpu = max(self.held_cpu, cpu_at - self._cpu_at)
        self._at, self._cpu_at = at, cpu_at
        self._next = self._loop.call_soon(self._look)

    def stop(self) -> None:
        """Look no more."""
        self._next.cancel()


class Crowd:
    """Many jobs of one no-op coroutine function, which notes when all have called it."""

    def __init__(self, size: int) -> None:
        self._size = self._left = size
        self._loop = asyncio.get_running_loop()
        self._full: asyncio.Future[float] = self._loop.create_future()

    async def tick(self) -> None:
        """Be called."""
        self._left -= 1
        if not self._left:
            self._full.set_result(self._loop.time())

    async def watch(self, instant: float) -> Figures:
        """Return how the loop fared from *instant* on, until all had called."""
        await sleep_until(instant - 0.02)
        self._left, self._full = self._size, self._loop.create_future()
        probe = Probe()
        ended = await self._full
        await asyncio.sleep(0.01)  # the last of them settle
        probe.stop()
        return {
            "held": probe.held * 1_000,
            "held cpu": probe.held_cpu * 1_000,
            "started": ended - instant,
        }


def measure_ours(jobs: int, period: float) -> Figures:
    """Measure anchored intervals that are due at one instant."""
    return run_in(_ours(jobs, period))


async def _ours(jobs: int, period: float) -> Figures:
    crowd = Crowd(jobs)
    scheduler = Scheduler()
    trigger = Every(timedelta(seconds=period), anchor=datetime(1970, 1, 1, tzinfo=UTC))
    for number in range(jobs):
        scheduler.add(crowd.tick, trigger, name=f"job{number}")
    async with scheduler:
        with frozen():
            return await crowd.watch(next_instant(period))


def measure_call_later(jobs: int) -> Figures:
    """Measure timers by hand, each of which makes a task."""
    return run_in(_call_later(jobs))


async def _call_later(jobs: int) -> Figures:
    loop = asyncio.get_running_loop()
    crowd = Crowd(jobs)
    make: Callable[[], object] = lambda: loop.create_task(crowd.tick())  # noqa: E731
    instant = loop.time() + jobs * 20e-6 + 0.1
    for _ in range(jobs):
        loop.call_at(instant, make)
    with frozen():
        return await crowd.watch(instant)


_NEED = "100,000 due at one instant: "

TOPIC = Topic(
    scenarios=(
        Scenario(
            "burst",
            measure_ours,
            full={"jobs": 100_000, "period": 3},
            quick={"jobs": 100_000, "period": 3},
            tiny={"jobs": 5, "period": 0.1},
        ),
        Scenario(
            "burst-call-later",
            measure_call_later,
            full={"jobs": 100_000},
            quick={"jobs": 100_000},
            tiny={"jobs": 5},
        ),
    ),
    lines=(
        Line(_NEED + "the loop was held at most", "burst:held", "ms", first=10, aim=4),
        Line("· in processor time", "burst:held cpu", "ms"),
        Line("· call_later + task", "burst-call-later:held", "ms"),
        Line(_NEED + "all started within", "burst:started", "s", first=1, aim=0.3),
        Line("· call_later + task", "burst-call-later:started", "s"),
    ),
)
