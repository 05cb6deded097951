"""Pausing and resuming, jobs and schedulers: for good, until a moment, and in any state."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiosched import Cron, Every, Once, Scheduler
from tests.engine.support import NEVER, START, Told, Work, at, due, nothing, seconds, settle


async def test_a_paused_job_is_not_due_and_nothing_is_made_up_for(
    scheduler: Scheduler, told: Told, changes: list
) -> None:
    job = scheduler.add(nothing, Every(seconds=10), name="job")
    async with scheduler:
        await asyncio.sleep(15)
        job.pause()
        assert (job.state, job.next_run, job.next_runs(3)) == ("paused", None, [])
        await asyncio.sleep(20)
        job.resume()
        assert job.state == "scheduled"
        assert seconds(job.next_run) == [40]  # its phase is kept
        await asyncio.sleep(20)
    assert due(told) == [10, 40, 50]
    assert changes == [("job", "added"), ("job", "paused"), ("job", "resumed")]


@pytest.mark.parametrize("trigger", [Every(seconds=10), Cron("*/10 * * * * *")])
async def test_a_pause_until_a_moment_ends_with_it(
    trigger: Any, scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, trigger)
    async with scheduler:
        await asyncio.sleep(5)
        job.pause(until=at(30))
        assert (job.state, *seconds(job.next_run)) == ("paused", 30)
        await asyncio.sleep(30)
        assert job.state == "scheduled"
        await asyncio.sleep(10)
    assert due(told) == [30, 40]


async def test_a_pause_until_a_moment_can_be_ended_before(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(nothing, Every(seconds=10))
    async with scheduler:
        job.pause(until=at(1_000))
        await asyncio.sleep(15)
        job.resume()
        assert job.state == "scheduled"
        await asyncio.sleep(10)
    assert due(told) == [20]


async def test_a_pause_until_a_moment_becomes_one_for_good_and_back(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, Every(seconds=10))
    async with scheduler:
        job.pause(until=at(30))
        job.pause()
        assert (job.state, job.next_run) == ("paused", None)
        job.pause(until=at(30))
        assert (job.state, *seconds(job.next_run)) == ("paused", 30)


async def test_a_pause_beyond_the_last_moment_can_be_taken_back(
    scheduler: Scheduler, told: Told, changes: list
) -> None:
    job = scheduler.add(nothing, Once(at(10)), name="job")
    async with scheduler:
        job.pause(until=at(60))
        assert job.next_run is None
        await asyncio.sleep(5)
        job.resume()
        assert seconds(job.next_run) == [10]
        await asyncio.sleep(10)
    assert due(told) == [10]


async def test_a_delay_that_passes_in_a_pause_has_passed(scheduler: Scheduler, told: Told) -> None:
    scheduler.once(after=10, name="job")(nothing)
    job = scheduler["job"]
    async with scheduler:
        job.pause(until=at(15))
        await asyncio.sleep(60)
        assert job.state == "finished"
    assert told.outcomes == []


async def test_a_job_may_be_paused_before_the_start(scheduler: Scheduler, told: Told) -> None:
    for_good = scheduler.add(nothing, Every(seconds=10), name="for good")
    for_now = scheduler.add(nothing, Every(seconds=10), name="for now")
    for_good.pause()
    for_now.pause(until=at(25))
    assert (for_good.state, for_now.state) == ("paused", "paused")
    assert (for_good.next_run, *seconds(for_now.next_run)) == (None, 30)
    async with scheduler:
        await asyncio.sleep(35)
        assert for_good.state == "paused"
    assert due(told) == [30]


async def test_pausing_and_resuming_twice_changes_nothing(
    scheduler: Scheduler, told: Told, changes: list
) -> None:
    job = scheduler.add(nothing, Every(seconds=10), name="job")
    async with scheduler:
        job.resume()
        job.pause()
        job.pause()
        job.resume()
        job.resume()
        await asyncio.sleep(15)
    assert changes[1:] == [("job", "paused"), ("job", "paused"), ("job", "resumed")]
    assert due(told) == [10]


async def test_a_finished_job_stays_finished(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, Once(START))
    await asyncio.sleep(1)
    async with scheduler:
        job.pause()
        job.resume()
        assert job.state == "finished"


@pytest.mark.parametrize(
    ("until", "error"), [(START.replace(tzinfo=None), ValueError), ("soon", TypeError)]
)
def test_a_pause_ends_at_an_aware_moment(until: Any, error: type, scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, NEVER)
    with pytest.raises(error, match="until must be"):
        job.pause(until=until)
    assert job.state == "scheduled"


async def test_a_pause_leaves_runs_alone(scheduler: Scheduler, told: Told) -> None:
    work = Work()
    job = scheduler.add(work, Every(seconds=10), overlap="queue")
    async with scheduler:
        await asyncio.sleep(25)
        job.pause()
        work.end()
        await settle()
        assert work.began == [1, 2]
        work.end()
        await settle()
    assert told.statuses() == ["succeeded", "succeeded"]


async def test_a_paused_scheduler_fires_nothing_and_makes_nothing_up(
    scheduler: Scheduler, told: Told
) -> None:
    every = scheduler.add(nothing, Every(seconds=10), name="every")
    cron = scheduler.add(nothing, Cron("*/10 * * * * *"), name="cron")
    async with scheduler:
        await asyncio.sleep(15)
        scheduler.pause()
        scheduler.pause()
        assert scheduler.state == "paused"
        assert (every.state, *seconds(every.next_run)) == ("scheduled", 20)
        added = scheduler.add(nothing, Every(seconds=10), name="added")
        await asyncio.sleep(20)
        scheduler.resume()
        scheduler.resume()
        assert scheduler.state == "running"
        await asyncio.sleep(12)
    assert due(told, every) == due(told, cron) == [10, 40]
    assert due(told, added) == [45]
