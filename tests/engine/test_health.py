"""Whether a scheduler is well, as `health` tells it."""

from __future__ import annotations

import asyncio

import pytest

from aiosched import Every, Health, LockerUnavailable, LockHeld, Scheduler, SchedulerState
from tests.engine.stores import Told


async def nothing():
    """Be a job."""


async def test_a_scheduler_that_does_not_run_is_not_well(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    assert scheduler.health() == Health(
        ok=False, state=SchedulerState.NEW, problems=(), jobs=0, running=0, queued=0
    )
    async with scheduler:
        assert scheduler.health().ok
    assert not scheduler.health().ok


async def test_a_paused_scheduler_is_well(virtual_time):
    async with Scheduler(clock=virtual_time) as scheduler:
        scheduler.pause()
        assert scheduler.health().ok
        assert scheduler.health().state is SchedulerState.PAUSED


async def test_health_counts_jobs_and_runs(virtual_time):
    scheduler = Scheduler(clock=virtual_time, max_running=1)
    for name in "abc":
        scheduler.add(asyncio.Event().wait, Every(seconds=1), name=name)
    await scheduler.start()
    await asyncio.sleep(1.5)
    health = scheduler.health()
    assert (health.jobs, health.running, health.queued) == (3, 1, 2)
    await scheduler.stop(drain=False)


@pytest.mark.parametrize(("interval", "ok"), [(10, True), (30, False)])
async def test_a_success_that_is_expected_and_late_is_bad_health(virtual_time, interval, ok):
    scheduler = Scheduler(clock=virtual_time)
    scheduler.add(nothing, Every(seconds=interval), name="tick", expect_within=20)
    async with scheduler:
        await asyncio.sleep(25.5)
        assert scheduler.health().ok is ok
        await asyncio.sleep(5)
        assert scheduler.health().ok


async def test_failures_do_not_count_as_the_success_that_is_expected(virtual_time):
    scheduler = Scheduler(clock=virtual_time)

    async def fails():
        raise ValueError

    scheduler.add(fails, Every(seconds=1), name="bad", expect_within="5s")
    async with scheduler:
        await asyncio.sleep(4)
        assert scheduler.health().ok
        await asyncio.sleep(3)
        assert scheduler.health().problems == (
            "job 'bad' has not succeeded for 7 s, expected within 5 s",
        )


async def test_what_is_expected_counts_from_each_start(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    scheduler.add(nothing, Every(seconds=4), name="tick", expect_within=5)
    async with scheduler:
        await asyncio.sleep(1)
    await asyncio.sleep(100)
    async with scheduler:
        await asyncio.sleep(3)
        assert scheduler.health().ok


async def test_a_removed_job_ails_no_more(virtual_time):
    scheduler = Scheduler(clock=virtual_time)

    class Broken:
        def next_after(self, _moment):
            raise ValueError

    scheduler.add(nothing, Broken(), name="bad")
    scheduler.add(nothing, Every(hours=1), name="late", expect_within=1)
    async with scheduler:
        await asyncio.sleep(2)
        assert len(scheduler.health().problems) == 2
        scheduler.remove("bad")
        scheduler.remove("late")
        assert scheduler.health().ok


async def test_a_store_that_cannot_be_asked_is_bad_health_until_it_answers(virtual_time):
    is_away = True
    locker = Told(lambda _: LockerUnavailable("connection refused") if is_away else None)
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    scheduler.add(nothing, Every(hours=1), name="hourly")
    async with scheduler:
        assert scheduler.health().ok
        await asyncio.sleep(3601)
        assert scheduler.health().problems == (
            "Told is unavailable: LockerUnavailable('connection refused')",
        )
        is_away = False
        await asyncio.sleep(10)
        assert scheduler.health().ok


async def test_an_outage_of_an_earlier_life_is_forgotten(virtual_time):
    scheduler = Scheduler(clock=virtual_time, locker=Told(lambda _: LockerUnavailable("away")))
    job = scheduler.add(nothing, Every(hours=1), name="hourly")
    async with scheduler:
        await job.run_now()
        assert not scheduler.health().ok
    async with scheduler:
        assert scheduler.health().ok


async def test_a_store_that_refuses_is_in_good_health(virtual_time):
    scheduler = Scheduler(clock=virtual_time, locker=Told(lambda _: LockHeld("busy")))
    job = scheduler.add(nothing, Every(hours=1), name="hourly")
    async with scheduler:
        await job.run_now()
        assert scheduler.health().ok
