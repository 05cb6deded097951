"""Jobs that change jobs: in the loop, and from a worker thread."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio.from_thread
import pytest

from aiosched import DuplicateJob, Every, JobGroup, Run, RunDeadlock, Scheduler
from tests.engine.support import NEVER, Told, due, nothing, seconds


async def test_a_job_may_change_jobs_from_inside(scheduler: Scheduler, told: Told) -> None:
    async def manage(run: Run) -> None:
        if run.number == 1:
            scheduler.add(nothing, Every(seconds=3), name="added")
            scheduler["paused"].pause()
            scheduler["updated"].update(trigger=Every(seconds=100))
            scheduler.remove("removed")
        else:
            scheduler["paused"].resume()
            run.job.remove()

    for name in ("paused", "updated", "removed"):
        scheduler.add(nothing, Every(seconds=7), name=name)
    job = scheduler.add(manage, Every(seconds=5), name="manager")
    async with scheduler:
        await asyncio.sleep(15)
        assert sorted(scheduler.jobs) == ["added", "paused", "updated"]
        assert job.state == "removed"
    assert due(told, job) == [5, 10]
    assert [
        (each.job.name, *seconds(each.run.due_at)) for each in told.of() if each.job is not job
    ] == [
        ("added", 8),
        ("added", 11),
        ("paused", 14),
        ("added", 14),
    ]


async def test_a_job_may_end_itself(scheduler: Scheduler, told: Told) -> None:
    async def once(run: Run) -> str:
        run.job.remove(cancel=True)
        await asyncio.sleep(1)
        return "not reached"

    scheduler.add(once, Every(seconds=5))
    async with scheduler:
        await asyncio.sleep(20)
    assert told.statuses() == ["cancelled"]


async def test_a_sync_job_may_change_jobs_from_its_thread(scheduler: Scheduler, told: Told) -> None:
    other = scheduler.add(nothing, Every(seconds=7), name="other")
    seen: list[Any] = []

    def manage() -> None:
        scheduler.add(nothing, Every(seconds=3), name="added")
        other.pause()
        seen.extend([other.state, len(scheduler)])
        other.resume()
        other.update(trigger=Every(seconds=100))
        seen.append(scheduler["added"].trigger_now().number)
        scheduler.remove("added")
        group = JobGroup()
        group.every(seconds=1, name="grouped")(nothing)
        scheduler.include(group)
        seen.append(sorted(scheduler.jobs))
        scheduler.pause()
        scheduler.resume()

    job = scheduler.add(manage, NEVER, name="manager")
    async with scheduler:
        outcome = await job.run_now()
        assert outcome.error is None
    assert seen == ["paused", 3, 1, ["grouped", "manager", "other"]]


async def test_an_error_comes_back_to_the_thread(scheduler: Scheduler) -> None:
    def manage() -> None:
        scheduler.add(nothing, NEVER, name="manager")

    job = scheduler.add(manage, NEVER, name="manager")
    async with scheduler:
        outcome = await job.run_now()
    assert isinstance(outcome.error, DuplicateJob)


async def test_a_sync_job_may_wait_for_a_run_but_not_for_its_own(scheduler: Scheduler) -> None:
    other = scheduler.add(nothing, NEVER, name="other")

    def call(run: Run) -> str:
        status = anyio.from_thread.run(other.run_now).status
        with pytest.raises(RunDeadlock):
            anyio.from_thread.run(run.job.run_now)
        return status

    job = scheduler.add(call, NEVER)
    async with scheduler:
        assert (await job.run_now()).value == "succeeded"
