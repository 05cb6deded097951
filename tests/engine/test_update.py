"""Changing a job: checked before anything changes, its phase and history kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiosched import Cron, Every, Outcome, Scheduler
from tests.engine.support import NEVER, START, Told, Work, at, due, nothing, seconds, settle


async def test_an_update_of_options_keeps_phase_and_history(
    scheduler: Scheduler, told: Told, changes: list
) -> None:
    job = scheduler.add(nothing, Every(seconds=10), name="job")
    async with scheduler:
        await asyncio.sleep(15)
        job.update(timeout=5, tags=["new"], start_at=None)
        assert job.last is not None
        assert seconds(job.next_run) == [20]
        await asyncio.sleep(10)
    assert due(told) == [10, 20]
    assert [each.run.number for each in told.outcomes] == [1, 2]
    assert changes[1:] == [("job", "updated")]


async def test_an_update_of_the_trigger_counts_from_the_last_occurrence(
    scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(12)
        job.update(trigger=Every(seconds=4))
        assert seconds(job.next_run) == [14]
        await asyncio.sleep(7)
        job.update(trigger=Cron("*/10 * * * * *"))
        assert seconds(job.next_run) == [20]
        await asyncio.sleep(12)
        job.update(trigger=Every(seconds=10))
        assert seconds(job.next_run) == [41]
        await asyncio.sleep(11)
    assert due(told) == [10, 14, 18, 20, 30, 41]


async def test_the_same_occurrence_is_not_repeated_by_an_update(
    scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, Cron("*/10 * * * * *"))
    scheduler.on(Outcome, lambda _: job.update(trigger=Cron("*/5 * * * * *")))
    async with scheduler:
        await asyncio.sleep(17)
    assert due(told) == [10, 15]


@pytest.mark.parametrize("trigger", [Every(seconds=10, anchor=START), Cron("*/10 * * * * *")])
async def test_an_update_may_change_the_clock_that_a_job_follows(
    trigger: Any, scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, trigger)
    async with scheduler:
        await asyncio.sleep(15)
        job.update(trigger=Every(seconds=10), from_completion=True)
        await asyncio.sleep(11)
        job.update(trigger=trigger, from_completion=False)
        await asyncio.sleep(10)
    assert due(told) == [10, 25, 30]


async def test_bounds_can_be_moved(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(nothing, Cron("*/10 * * * * *"), stop_at=at(15))
    async with scheduler:
        await asyncio.sleep(25)
        assert job.state == "finished"
        job.update(stop_at=at(40))
        assert job.state == "scheduled"
        await asyncio.sleep(30)
        assert job.state == "finished"
    assert due(told) == [10, 30, 40]


async def test_a_moved_bound_holds_for_what_is_planned(scheduler: Scheduler, told: Told) -> None:
    earlier = scheduler.add(nothing, Cron("*/10 * * * * *"), name="earlier")
    later = scheduler.add(nothing, Cron("*/10 * * * * *"), name="later")
    late = scheduler.add(nothing, Cron("*/10 * * * * *"), name="late")
    async with scheduler:
        await asyncio.sleep(15)
        earlier.update(stop_at=at(18))
        assert earlier.state == "finished"
        later.update(start_at=at(35))
        late.update(jitter=9)
        await asyncio.sleep(30)
    assert due(told, earlier) == [10]
    assert due(told, later) == [10, 40]
    assert told.of(late)[1].started_at > at(20.5)


async def test_a_running_job_goes_on_with_what_it_began_with(scheduler: Scheduler) -> None:
    work = Work()
    job = scheduler.add(work, NEVER)
    async with scheduler:
        job.trigger_now()
        await settle()
        job.update(timeout=1)
        await asyncio.sleep(5)
        assert len(job.running) == 1
        work.end()


async def test_a_higher_limit_lets_queued_runs_in(scheduler: Scheduler) -> None:
    work = Work()
    job = scheduler.add(work, NEVER, overlap="queue", max_queued=None)
    async with scheduler:
        for _ in range(5):
            job.trigger_now()
        await settle()
        job.update(max_instances=3)
        await settle()
        assert (work.running, scheduler.queued) == (3, 2)
        job.update(max_instances=None)
        await settle()
        assert (work.running, scheduler.queued) == (5, 0)
        work.end()


async def test_a_paused_job_can_be_updated(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(nothing, Every(seconds=10))
    async with scheduler:
        job.pause()
        job.update(trigger=Every(seconds=3))
        await asyncio.sleep(20)
        assert job.state == "paused"
        job.resume()
        await asyncio.sleep(2)
    assert due(told) == [21]


async def test_a_job_can_be_updated_before_the_start(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(nothing, Every(seconds=10))
    job.update(trigger=Every(seconds=4), max_runs=2)
    assert seconds(*job.next_runs(5)) == [4, 8]
    async with scheduler:
        await asyncio.sleep(20)
    assert due(told) == [4, 8]
