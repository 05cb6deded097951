"""What a job costs: its bytes, adding it, changing it; and a million of them."""

from __future__ import annotations

import asyncio
import gc
import random
import resource
import sys
import time
import tracemalloc
from collections.abc import Callable

from aiosched import Every, Run, Scheduler
from benchmarks.harness import (
    MICRO,
    Figures,
    Line,
    Scenario,
    Ticks,
    Topic,
    each_us,
    frozen,
    run_in,
)
from benchmarks.runs import new_apscheduler

_SAMPLED = 16  # one job of so many measures how late it is


def measure_bytes(jobs: int, period: float, *, runs: bool) -> Figures:
    """Measure the memory of intervals: planned, and when each has run."""
    return run_in(_bytes(jobs, period, runs=runs))


async def _bytes(jobs: int, period: float, *, runs: bool) -> Figures:
    ticks = Ticks()
    scheduler = Scheduler()
    gc.collect()
    tracemalloc.start()
    _add_intervals(scheduler, ticks, jobs, period)
    async with scheduler:
        figures = {"planned": _traced() / jobs}
        if runs:
            while ticks.count() < jobs:  # noqa: ASYNC110 - an event would be measured, too
                await asyncio.sleep(0.05)
            figures["ran"] = _traced() / jobs
    tracemalloc.stop()
    return figures


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _add_intervals(scheduler: Scheduler, ticks: Ticks, jobs: int, period: float) -> None:
    for number in range(jobs):
        scheduler.add(ticks.tick, Every(seconds=period), name=f"job{number}")


def measure_add(jobs: int, changed: int) -> Figures:
    """Measure adding to a scheduler that does not run yet and to one that does, and changing."""
    return run_in(_add(jobs, changed))


async def _add(jobs: int, changed: int) -> Figures:
    ticks = Ticks()
    scheduler = Scheduler()
    began = time.process_time()
    _add_intervals(scheduler, ticks, jobs, 3600)
    added = time.process_time()
    await scheduler.start()
    started = time.process_time()
    with frozen():
        figures = _change(scheduler, ticks, changed)
    await scheduler.stop()
    return {
        "add": (added - began) / jobs * MICRO,
        "add+start": (started - began) / jobs * MICRO,
        **figures,
    }


def _change(scheduler: Scheduler, ticks: Ticks, changed: int) -> Figures:
    jobs = random.Random(0).sample(list(scheduler), changed)
    other = Every(seconds=1800)
    names = [f"late{number}" for number in range(changed)]

    def adding(name: str) -> Callable[[], object]:
        return lambda: scheduler.add(ticks.tick, Every(seconds=3600), name=name)

    return {
        "add running": each_us(map(adding, names)),
        "pause": each_us(job.pause for job in jobs),
        "resume": each_us(job.resume for job in jobs),
        "update option": each_us((lambda j=job: j.update(max_runs=9)) for job in jobs),
        "update trigger": each_us((lambda j=job: j.update(trigger=other)) for job in jobs),
        "remove": each_us(job.remove for job in jobs),
    }


def measure_apscheduler(jobs: int, changed: int) -> Figures:
    """Measure adding as many to APScheduler 3."""
    return run_in(_add_apscheduler(jobs, changed))


async def _add_apscheduler(jobs: int, changed: int) -> Figures:
    scheduler = new_apscheduler()
    ticks = Ticks()
    began = time.process_time()
    for number in range(jobs):
        scheduler.add_job(ticks.tick, "interval", seconds=3600, id=f"job{number}")
    added = time.process_time()
    scheduler.start()
    await asyncio.sleep(0)
    started = time.process_time()

    def adding(name: str) -> Callable[[], object]:
        return lambda: scheduler.add_job(ticks.tick, "interval", seconds=3600, id=name)

    with frozen():
        running = each_us(adding(f"late{number}") for number in range(changed))
    scheduler.shutdown(wait=False)
    return {
        "add": (added - began) / jobs * MICRO,
        "add+start": (started - began) / jobs * MICRO,
        "add running": running,
    }


def measure_million(jobs: int, period: float, seconds: float) -> Figures:
    """Measure *jobs* intervals of *period* seconds, their phases spread evenly over it."""
    return run_in(_million(jobs, period, seconds))


async def _million(jobs: int, period: float, seconds: float) -> Figures:
    ticks = Ticks()
    late: list[int] = []

    async def tick_and_look(run: Run) -> None:
        late.append(time.time_ns() // 1_000 - run.due_us)
        await ticks.tick()

    before = _resident()
    async with Scheduler() as scheduler:
        cpu = await _add_evenly(scheduler, jobs, period, (ticks.tick, tick_and_look))
        resident = _resident() - before
        with frozen():
            await asyncio.sleep(seconds / 10)  # what came late by the freezing is over
            late.clear()
            began, runs = time.process_time(), ticks.count()
            await asyncio.sleep(seconds)
            busy, runs = time.process_time() - began, ticks.count() - runs
    late.sort()
    return {
        "bytes": resident / jobs,
        "add": cpu / jobs * MICRO,
        "core": busy / seconds * 100,
        "runs": runs / seconds,
        "p50": late[len(late) // 2] / 1_000,
        "p99": late[len(late) * 99 // 100] / 1_000,
    }


async def _add_evenly(
    scheduler: Scheduler, jobs: int, period: float, functions: tuple[object, object]
) -> float:
    """Add over one period, as an interval's phase is when it was added; return CPU seconds."""
    usual, sampled = functions
    loop = asyncio.get_running_loop()
    began, cpu, added = loop.time(), 0.0, 0
    while added < jobs:
        due = min(jobs, int((loop.time() - began) / period * jobs) + 1)
        mark = time.process_time()
        for number in range(added, due):
            function = usual if number % _SAMPLED else sampled
            scheduler.add(function, Every(seconds=period), name=f"job{number}")
        cpu += time.process_time() - mark
        added = due
        await asyncio.sleep(0.001)
    return cpu


def _resident() -> int:
    """Return the greatest size that this process has had in memory, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


TOPIC = Topic(
    scenarios=(
        Scenario(
            "bytes",
            measure_bytes,
            full={"jobs": 100_000, "period": 20, "runs": True},
            quick={"jobs": 100_000, "period": 3600, "runs": False},
            tiny={"jobs": 5, "period": 0.05, "runs": True},
            repeats=1,
        ),
        Scenario(
            "add",
            measure_add,
            full={"jobs": 100_000, "changed": 10_000},
            quick={"jobs": 100_000, "changed": 10_000},
            tiny={"jobs": 5, "changed": 2},
        ),
        Scenario(
            "add-apscheduler",
            measure_apscheduler,
            full={"jobs": 100_000, "changed": 10_000},
            quick={"jobs": 100_000, "changed": 10_000},
            tiny={"jobs": 5, "changed": 2},
            needs=("apscheduler",),
        ),
        Scenario(
            "million",
            measure_million,
            full={"jobs": 1_000_000, "period": 60, "seconds": 15},
            quick=None,
            tiny={"jobs": 50, "period": 0.2, "seconds": 0.4},
            repeats=1,
        ),
    ),
    lines=(
        Line("100,000 jobs: bytes of one, planned", "bytes:planned", "B", first=700, aim=350),
        Line("· after its first run, whose outcome it keeps", "bytes:ran", "B"),
        Line("100,000 jobs: to add one", "add:add", "µs", first=8, aim=3.5),
        Line("· to add and plan one (with the start)", "add:add+start", "µs"),
        Line("· to add one more while running", "add:add running", "µs"),
        Line("100,000 jobs: to remove (cancel) one", "add:remove", "µs", first=5),
        Line("· to pause one", "add:pause", "µs", first=5),
        Line("· to resume one", "add:resume", "µs"),
        Line("· to update an option of one", "add:update option", "µs", first=5),
        Line("· to update the trigger of one", "add:update trigger", "µs", first=5),
        Line(
            "APScheduler, to add one: times our CPU",
            "add-apscheduler:add",
            "×",
            over="add:add",
            first=5,
            more=True,
        ),
        Line(
            "· with the start",
            "add-apscheduler:add+start",
            "×",
            over="add:add+start",
            more=True,
        ),
        Line(
            "· while running",
            "add-apscheduler:add running",
            "×",
            over="add:add running",
            first=5,
            more=True,
        ),
        Line("1,000,000 intervals of 60 s: bytes of one, resident", "million:bytes", "B"),
        Line("· to add one while running", "million:add", "µs"),
        Line("· runs a second", "million:runs", "/s"),
        Line("· share of a core", "million:core", "%"),
        Line("· lateness p50, collector frozen", "million:p50", "ms"),
        Line("· lateness p99, collector frozen", "million:p99", "ms"),
    ),
)
