"""Where a job begins and ends: bounds, its number of runs, its run on the start."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from aiosched import Cron, Every, Scheduler
from tests.engine.support import START, Told, Work, due, nothing, seconds


async def test_both_bounds_are_inclusive(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(
        nothing,
        Cron("*/10 * * * * *"),
        start_at=START + timedelta(seconds=20),
        stop_at=START + timedelta(seconds=40),
    )
    async with scheduler:
        await asyncio.sleep(60)
        assert job.state == "finished"
    assert due(told) == [20, 30, 40]


async def test_start_at_anchors_an_interval(scheduler: Scheduler, told: Told) -> None:
    scheduler.add(nothing, Every(seconds=10), start_at=START + timedelta(seconds=3))
    async with scheduler:
        await asyncio.sleep(30)
    assert due(told) == [3, 13, 23]


async def test_start_at_is_the_first_run_from_completion(scheduler: Scheduler, told: Told) -> None:
    start = START + timedelta(seconds=25)
    job = scheduler.add(nothing, Every(seconds=10), from_completion=True, start_at=start)
    assert seconds(*job.next_runs(2)) == [25, 35]
    async with scheduler:
        assert seconds(*job.next_runs(2)) == [25, 35]
        await asyncio.sleep(50)
    assert due(told) == [25, 35, 45]


async def test_stop_at_ends_what_counts_from_completion(scheduler: Scheduler, told: Told) -> None:
    stop = START + timedelta(seconds=25)
    job = scheduler.add(nothing, Every(seconds=10), from_completion=True, stop_at=stop)
    async with scheduler:
        await asyncio.sleep(60)
        assert job.state == "finished"
    assert due(told) == [10, 20]


async def test_stop_at_ends_an_interval_too(scheduler: Scheduler, told: Told) -> None:
    stop = START + timedelta(seconds=20)
    job = scheduler.add(nothing, Every(seconds=10), stop_at=stop)
    assert seconds(*job.next_runs(5)) == [10, 20]
    async with scheduler:
        await asyncio.sleep(60)
        assert job.state == "finished"
    assert due(told) == [10, 20]


async def test_a_job_whose_time_is_over_is_finished_at_once(scheduler: Scheduler) -> None:
    await asyncio.sleep(10)
    async with scheduler:
        job = scheduler.add(nothing, Every(seconds=1), stop_at=START + timedelta(seconds=5))
        assert job.state == "finished"


async def test_a_job_ends_after_so_many_started_runs(scheduler: Scheduler, told: Told) -> None:
    work = Work()
    job = scheduler.add(work, Every(seconds=10), max_runs=2)
    async with scheduler:
        await asyncio.sleep(25)
        work.end()
        await asyncio.sleep(10)
        assert (job.state, job.next_run) == ("scheduled", None)  # its last run goes on
        work.end()
        await asyncio.sleep(30)
        assert job.state == "finished"
    assert told.statuses() == ["refused", "succeeded", "succeeded"]


async def test_a_manual_run_counts_and_one_too_many_is_refused(
    scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, Every(seconds=10), max_runs=2)
    async with scheduler:
        await job.run_now()
        await asyncio.sleep(30)
        outcome = await job.run_now()
    assert told.statuses() == ["succeeded", "succeeded", "refused"]
    assert (outcome.refusal.gate, outcome.refusal.reason) == ("job_limit", "max_runs")
    assert outcome.started_at is None


async def test_runs_that_are_queued_when_the_last_has_started_are_refused(
    scheduler: Scheduler, told: Told
) -> None:
    work = Work()
    job = scheduler.add(work, Every(seconds=10), max_runs=1, overlap="queue", max_queued=None)
    async with scheduler:
        for _ in range(3):
            job.trigger_now()
        await asyncio.sleep(1)
        work.end()
        await asyncio.sleep(1)
        assert job.state == "finished"
    assert told.statuses() == ["succeeded", "refused", "refused"]


async def test_a_finished_job_goes_on_with_a_higher_limit(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(nothing, Every(seconds=10), max_runs=1)
    async with scheduler:
        await asyncio.sleep(15)
        assert job.state == "finished"
        job.update(max_runs=2)
        assert job.state == "scheduled"
        await asyncio.sleep(20)
        assert job.state == "finished"
    assert due(told) == [10, 20]


async def test_run_on_start_is_one_extra_run(scheduler: Scheduler, told: Told) -> None:
    scheduler.add(nothing, Every(seconds=10), run_on_start=True)
    async with scheduler:
        await asyncio.sleep(15)
    assert [each.run.cause for each in told.outcomes] == ["start", "trigger"]
    assert due(told) == [0, 10]


async def test_a_paused_job_does_not_run_on_start(scheduler: Scheduler, told: Told) -> None:
    for name in "abc":
        scheduler.add(nothing, Every(seconds=10), run_on_start=True, name=name)
    scheduler["a"].pause()
    scheduler["b"].pause(until=START + timedelta(seconds=5))
    async with scheduler:
        await asyncio.sleep(1)
    assert [each.job.name for each in told.outcomes] == ["c"]


async def test_a_finished_job_does_not_run_on_start(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(nothing, Every(seconds=10), run_on_start=True, max_runs=1)
    for _ in range(2):
        async with scheduler:
            await asyncio.sleep(1)
            assert job.state == "finished"
    assert told.statuses() == ["succeeded"]


async def test_from_completion_counts_from_the_run_on_start(
    scheduler: Scheduler, told: Told
) -> None:
    async def slow() -> None:
        await asyncio.sleep(4)

    scheduler.add(slow, Every(seconds=10), run_on_start=True, from_completion=True)
    async with scheduler:
        await asyncio.sleep(20)
    assert due(told) == [0, 14]
