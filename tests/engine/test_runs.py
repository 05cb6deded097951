"""When runs start, and what a run knows of itself: cadence, numbers, contexts, jitter."""

from __future__ import annotations

import asyncio
import contextvars
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from aiosched import (
    Cron,
    Daily,
    Every,
    JobChanged,
    Once,
    Planned,
    RandomEvery,
    Run,
    Scheduler,
    Started,
)
from tests.engine.support import START, Make, Told, Work, due, nothing, seconds


async def test_an_interval_begins_one_interval_after_the_start(
    scheduler: Scheduler, told: Told
) -> None:
    scheduler.add(nothing, Every(seconds=10))
    await asyncio.sleep(3)
    async with scheduler:
        await asyncio.sleep(35)
    assert due(told) == [13, 23, 33]


async def test_a_run_never_moves_the_next_occurrence(scheduler: Scheduler, told: Told) -> None:
    async def slow() -> None:
        await asyncio.sleep(7)

    scheduler.add(slow, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(48)
    assert seconds(*(each.started_at for each in told.outcomes)) == [10, 20, 30, 40]


async def test_from_completion_counts_from_the_end_of_the_run(
    scheduler: Scheduler, told: Told
) -> None:
    async def slow() -> None:
        await asyncio.sleep(7)

    scheduler.add(slow, Every(seconds=10), from_completion=True)
    async with scheduler:
        await asyncio.sleep(50)
    assert due(told) == [10, 27, 44]


async def test_from_completion_goes_on_after_a_refusal(scheduler: Scheduler, told: Told) -> None:
    work = Work()
    job = scheduler.add(work, Every(seconds=10), from_completion=True)
    async with scheduler:
        job.trigger_now()
        await asyncio.sleep(15)
        work.end()
        await asyncio.sleep(12)
        work.end()
        await asyncio.sleep(1)
    assert told.statuses() == ["refused", "succeeded", "succeeded"]
    assert due(told) == [10, 0, 25]


async def test_from_completion_ends_after_its_last_run(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(nothing, Every(seconds=10), from_completion=True, max_runs=2)
    async with scheduler:
        await asyncio.sleep(60)
        assert job.state == "finished"
    assert told.statuses() == ["succeeded", "succeeded"]


async def test_from_completion_with_a_random_interval_stays_within_its_bounds(
    scheduler: Scheduler, told: Told
) -> None:
    scheduler.add(nothing, RandomEvery(5, 10), from_completion=True)
    async with scheduler:
        await asyncio.sleep(200)
    moments = [0.0, *due(told)]
    gaps = [after - before for before, after in pairwise(moments)]
    assert all(5 <= gap < 10 for gap in gaps)
    assert len(set(gaps)) > 10


@pytest.mark.parametrize("change", ["update", "pause", "pause the scheduler"])
async def test_from_completion_counts_from_the_end_whatever_happens_meanwhile(
    change: str, scheduler: Scheduler, told: Told
) -> None:
    work = Work()
    job = scheduler.add(work, Every(seconds=10), from_completion=True)
    async with scheduler:
        await asyncio.sleep(12)
        if change == "update":
            job.update(priority=1)
        else:
            paused: Any = job if change == "pause" else scheduler
            paused.pause()
            paused.resume()
        await asyncio.sleep(3)
        work.end()
        await asyncio.sleep(9.5)
        assert work.began == [1]
        await asyncio.sleep(1)
        assert work.began == [1, 2]
        work.end()


async def test_moments_come_once_each_and_then_the_job_is_finished(
    scheduler: Scheduler, told: Told
) -> None:
    moments = [START + timedelta(seconds=each) for each in (30, 10)]
    job = scheduler.add(nothing, Once(*moments))
    changes: list[str] = []
    scheduler.on(JobChanged, lambda event: changes.append(event.change))
    async with scheduler:
        await asyncio.sleep(40)
        assert job.state == "finished"
        assert job.next_run is None
    assert seconds(*(each.started_at for each in told.outcomes)) == [10, 30]
    assert changes == ["finished"]


async def test_a_moment_that_is_past_at_the_start_is_not_made_up_for(
    scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, Once(START))
    await asyncio.sleep(1)
    async with scheduler:
        assert job.state == "finished"
    assert told.outcomes == []


async def test_a_delay_of_nothing_is_due_at_once(scheduler: Scheduler, told: Told) -> None:
    scheduler.once(after=0)(nothing)
    async with scheduler:
        await asyncio.sleep(0.1)
    assert told.statuses() == ["succeeded"]


async def test_a_delay_that_is_over_is_not_repeated_by_an_update(
    scheduler: Scheduler, told: Told
) -> None:
    scheduler.once(after=5, name="job")(nothing)
    async with scheduler:
        await asyncio.sleep(10)
        scheduler["job"].update(tags=["new"])
        await asyncio.sleep(10)
        assert scheduler["job"].state == "finished"
    assert due(told) == [5]


async def test_a_custom_trigger_is_followed_to_its_end(scheduler: Scheduler, told: Told) -> None:
    class Doubling:
        def next_after(self, moment: datetime) -> datetime | None:
            due = START
            for exponent in range(4):
                due = START + timedelta(seconds=2**exponent)
                if due > moment:
                    return due
            return None

    job = scheduler.add(nothing, Doubling())
    async with scheduler:
        await asyncio.sleep(20)
        assert job.state == "finished"
    assert seconds(*(each.started_at for each in told.outcomes)) == [1, 2, 4, 8]


async def test_wall_clock_jobs_follow_the_schedulers_zone(make: Make) -> None:
    scheduler = make(timezone="Europe/Berlin")
    job = scheduler.add(nothing, Daily(at="09:00"))
    assert str(job.next_run) == "2026-01-01 09:00:00+01:00"
    other = scheduler.add(nothing, Daily(at="09:00", tz="Asia/Tokyo"), name="other")
    assert str(other.next_run) == "2026-01-02 09:00:00+09:00"


async def test_what_is_due_together_starts_in_the_order_of_adding(scheduler: Scheduler) -> None:
    started: list[str] = []
    scheduler.on(Started, lambda event: started.append(event.job.name))
    for name in "cab":
        scheduler.add(nothing, Cron("* * * * * *"), name=name)
    async with scheduler:
        await asyncio.sleep(1.5)
    assert started == ["c", "a", "b"]


async def test_a_higher_priority_starts_first(scheduler: Scheduler) -> None:
    started: list[str] = []
    scheduler.on(Started, lambda event: started.append(event.job.name))
    for name, priority in {"low": -1, "usual": 0, "high": 5, "usual too": 0}.items():
        scheduler.add(nothing, Cron("* * * * * *"), name=name, priority=priority)
    async with scheduler:
        await asyncio.sleep(1.5)
    assert started == ["high", "usual", "usual too", "low"]


async def test_a_run_knows_its_job_number_and_cause(scheduler: Scheduler) -> None:
    runs: list[Run] = []

    async def note(run: Run) -> None:
        runs.append(run)

    job = scheduler.add(note, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(25)
        await job.run_now()
    assert [run.number for run in runs] == [1, 2, 3]
    assert [run.cause for run in runs] == ["trigger", "trigger", "manual"]
    assert all(run.job is job for run in runs)
    assert (runs[0].attempt, runs[0].delivery_attempt, runs[0].fence, runs[0].lock) == (
        1,
        1,
        None,
        None,
    )


async def test_a_run_starts_from_a_copy_of_the_context_of_the_start(scheduler: Scheduler) -> None:
    colour = contextvars.ContextVar("colour", default="none")
    seen: list[str] = []

    async def paint(run: Run) -> None:
        seen.append(colour.get())
        colour.set(f"by {run.number}")

    scheduler.add(paint, Every(seconds=10))
    colour.set("at the start")
    async with scheduler:
        colour.set("later")
        await asyncio.sleep(25)
    assert seen == ["at the start", "at the start"]


@pytest.mark.parametrize("prepared", [True, False])
async def test_a_job_may_have_a_context_of_its_own(prepared: bool, scheduler: Scheduler) -> None:
    colour = contextvars.ContextVar("colour", default="none")
    context = contextvars.Context()
    if prepared:
        context.run(colour.set, "its own")

    async def look() -> str:
        return colour.get()

    job = scheduler.add(look, Every(seconds=10), context=context)
    colour.set("at the start")
    async with scheduler:
        outcome = await job.run_now()
    assert outcome.value == ("its own" if prepared else "none")


async def test_planned_tells_each_next_occurrence(scheduler: Scheduler) -> None:
    planned: list[Planned] = []
    scheduler.on(Planned, planned.append)
    scheduler.add(nothing, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(25)
    assert seconds(*(each.due_at for each in planned)) == [10, 20, 30]
    assert seconds(*(each.at for each in planned)) == [0, 10, 20]


async def test_jitter_delays_a_run_and_never_its_occurrence(
    scheduler: Scheduler, told: Told
) -> None:
    scheduler.add(nothing, Cron("*/10 * * * * *"), jitter=5)
    async with scheduler:
        await asyncio.sleep(299)
    delays = [each.started_at - each.run.due_at for each in told.outcomes]
    assert all(timedelta(0) <= delay < timedelta(seconds=5) for delay in delays)
    assert len(set(delays)) > 20
    assert due(told) == list(range(10, 300, 10))
    assert all(each.lateness < 0.001 for each in told.outcomes)


async def test_jitter_is_the_same_on_every_host(make: Make) -> None:
    first, second = make(), make()
    told = [Told(first), Told(second)]
    for scheduler in (first, second):
        scheduler.add(nothing, Cron("* * * * * *"), jitter=0.5)
    async with first, second:
        await asyncio.sleep(20)
    starts = [seconds(*(each.started_at for each in one.outcomes)) for one in told]
    assert [round(each, 3) for each in starts[0]] == [round(each, 3) for each in starts[1]]
