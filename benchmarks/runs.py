"""What a run costs, from due to outcome: aligned to one instant, and spread over a second."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aiosched import Every, Scheduler
from benchmarks.harness import (
    Figures,
    Line,
    Scenario,
    Ticks,
    Topic,
    bare_task,
    cpu_per_run,
    frozen,
    next_instant,
    run_in,
    sleep_until,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def measure_ours(
    jobs: int, period: float, windows: int, *, spread: bool = False, uvloop: bool = False
) -> Figures:
    """Measure anchored intervals."""
    return _beside_bare(_ours(jobs, period, windows, spread=spread), uvloop=uvloop)


async def _ours(jobs: int, period: float, windows: int, *, spread: bool) -> float:
    ticks = Ticks()
    scheduler = Scheduler()
    interval, step = timedelta(seconds=period), timedelta(seconds=period / jobs) * spread
    for number in range(jobs):
        trigger = Every(interval, anchor=_EPOCH + number * step)
        scheduler.add(ticks.tick, trigger, name=f"job{number}")
    with frozen():
        async with scheduler:
            first = next_instant(period, 0.25 * period)
            return await cpu_per_run(ticks.count, first, period, windows)


def measure_elapsed(jobs: int, period: float, windows: int) -> Figures:
    """Measure intervals without an anchor, whose phase is when each was added."""
    return _beside_bare(_elapsed(jobs, period, windows))


async def _elapsed(jobs: int, period: float, windows: int) -> float:
    ticks = Ticks()
    async with Scheduler() as scheduler:
        began = asyncio.get_running_loop().time()
        interval = timedelta(seconds=period)
        for number in range(jobs):
            scheduler.add(ticks.tick, Every(interval), name=f"job{number}")
            await sleep_until(began + number * period / jobs)
        with frozen():
            first = next_instant(period)
            return await cpu_per_run(ticks.count, first, period, windows)


def measure_call_later(jobs: int, period: float, windows: int, *, spread: bool = False) -> Figures:
    """Measure what one would write by hand: each job a timer, that makes a task and is set anew."""
    return _beside_bare(_call_later(jobs, period, windows, spread=spread))


async def _call_later(jobs: int, period: float, windows: int, *, spread: bool) -> float:
    loop = asyncio.get_running_loop()
    ticks = Ticks()

    goes_on = True

    def fire() -> None:
        if goes_on:
            loop.create_task(ticks.tick())  # noqa: RUF006 - as cheap as it can be
            loop.call_later(period, fire)

    first = next_instant(period, 0.25 * period + jobs * 3e-6)
    for number in range(jobs):
        loop.call_at(first + spread * number * period / jobs, fire)
    with frozen():
        us = await cpu_per_run(ticks.count, first, period, windows)
        goes_on = False
        await asyncio.sleep(0)  # those that have begun end
        return us


def measure_apscheduler(jobs: int, period: float, windows: int, *, spread: bool = False) -> Figures:
    """Measure APScheduler 3 on asyncio."""
    return _beside_bare(_apscheduler(jobs, period, windows, spread=spread))


async def _apscheduler(jobs: int, period: float, windows: int, *, spread: bool) -> float:
    scheduler = new_apscheduler()
    ticks = Ticks()
    step = timedelta(seconds=period / jobs) * spread
    for number in range(jobs):
        scheduler.add_job(
            ticks.tick,
            "interval",
            seconds=period,
            start_date=_EPOCH + number * step,
            id=f"job{number}",
        )
    with frozen():
        scheduler.start()
        first = next_instant(period, 0.25 * period)
        us = await cpu_per_run(ticks.count, first, period, windows)
        scheduler.shutdown(wait=False)
        return us


def new_apscheduler() -> Any:
    """Return a scheduler of APScheduler."""
    from apscheduler.schedulers.asyncio import AsyncIOScheduler  # noqa: PLC0415 - a rival

    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    return AsyncIOScheduler(timezone=UTC)


def measure_bare(batches: int, sizes: Mapping[str, int]) -> Figures:
    """Measure tasks alone, by the size of a batch."""
    with frozen():
        bare = run_in(bare_task())
        each = {name: run_in(bare_task(size, batches)) / bare for name, size in sizes.items()}
    return {"us": bare, **each}


def _beside_bare(contest: Coroutine[Any, Any, float], *, uvloop: bool = False) -> Figures:
    """Return what a run cost, also in F, which is taken before and after; each has its own loop."""
    before = run_in(bare_task(), uvloop=uvloop)
    us = run_in(contest, uvloop=uvloop)
    bare = (before + run_in(bare_task(), uvloop=uvloop)) / 2
    return {"us": us, "F": us / bare}


def _size(jobs: int, period: float, windows: int) -> dict[str, Any]:
    return {"jobs": jobs, "period": period, "windows": windows}


_TINY = _size(5, 0.05, 1)
_1K = {"full": _size(1_000, 0.1, 15), "quick": _size(1_000, 0.1, 8), "tiny": _TINY}
_10K = {"full": _size(10_000, 0.3, 8), "quick": _size(10_000, 0.3, 3), "tiny": _TINY}
_100K = {"full": _size(100_000, 2, 1), "quick": _size(100_000, 2, 1), "tiny": _TINY}
_SECOND = {"full": _size(10_000, 1, 2), "quick": _size(10_000, 1, 1), "tiny": _TINY}
_SPREAD = {"spread": True}
_APSCHEDULER = ("apscheduler",)

TOPIC = Topic(
    scenarios=(
        Scenario(
            "bare",
            measure_bare,
            full={"batches": 3, "sizes": {"10k": 10_000, "100k": 100_000}},
            quick={"batches": 2, "sizes": {"10k": 10_000, "100k": 100_000}},
            tiny={"batches": 1, "sizes": {"10k": 5, "100k": 5}},
        ),
        Scenario("ours-1k", measure_ours, **_1K),
        Scenario("call-later-1k", measure_call_later, **_1K),
        Scenario("ours-10k", measure_ours, **_10K),
        Scenario("call-later-10k", measure_call_later, **_10K),
        Scenario("ours-100k", measure_ours, **_100K),
        Scenario("call-later-100k", measure_call_later, **_100K),
        Scenario("uvloop-10k", measure_ours, **_10K, fixed={"uvloop": True}, needs=("uvloop",)),
        Scenario("spread", measure_ours, **_SECOND, fixed=_SPREAD),
        Scenario("spread-elapsed", measure_elapsed, **_SECOND),
        Scenario("spread-call-later", measure_call_later, **_SECOND, fixed=_SPREAD),
        Scenario("apscheduler", measure_apscheduler, **_SECOND, needs=_APSCHEDULER),
        Scenario(
            "spread-apscheduler",
            measure_apscheduler,
            **_SECOND,
            fixed=_SPREAD,
            needs=_APSCHEDULER,
        ),
    ),
    lines=(
        Line("F: a bare task, 1,000 at once", "bare:us", "µs"),
        Line("a bare task, 10,000 at once", "bare:10k", "F"),
        Line("a bare task, 100,000 at once", "bare:100k", "F"),
        Line("CPU a run, 1,000 jobs aligned", "ours-1k:F", "F", first=3, aim=1.2),
        Line("· call_later + task", "call-later-1k:F", "F"),
        Line("CPU a run, 10,000 jobs aligned", "ours-10k:F", "F", first=3, aim=1.2),
        Line("· call_later + task", "call-later-10k:F", "F"),
        Line("· of it", "ours-10k:F", "×", over="call-later-10k:F", first=1),
        Line("CPU a run, 100,000 jobs aligned", "ours-100k:F", "F", first=3, aim=1.2),
        Line("· call_later + task", "call-later-100k:F", "F"),
        Line("· of it", "ours-100k:F", "×", over="call-later-100k:F", first=1),
        Line("CPU a run, 10,000 jobs aligned, uvloop (its own F)", "uvloop-10k:F", "F"),
        Line("CPU a run, 10,000 a second spread, anchored", "spread:F", "F"),
        Line("CPU a run, 10,000 a second spread, by elapsed time", "spread-elapsed:F", "F"),
        Line("· call_later + task", "spread-call-later:F", "F"),
        Line(
            "APScheduler, 10,000 a second aligned: times our CPU",
            "apscheduler:F",
            "×",
            over="ours-10k:F",
            first=6,
            aim=13,
            more=True,
        ),
        Line(
            "APScheduler, 10,000 a second spread: times our CPU",
            "spread-apscheduler:F",
            "×",
            over="spread:F",
            first=3,
            more=True,
        ),
    ),
)
