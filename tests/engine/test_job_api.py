"""Running jobs by hand and removing them; what a job says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiosched import (
    DuplicateJob,
    Every,
    JobChanged,
    JobGroup,
    JobState,
    Once,
    Refusal,
    Run,
    Scheduler,
    SchedulerClosed,
    TooEarly,
    UnknownJob,
)
from tests.engine.support import NEVER, START, Told, Work, at, due, nothing, settle


async def test_run_now_returns_how_the_run_ended(scheduler: Scheduler) -> None:
    async def add(a: int, b: int) -> int:
        await asyncio.sleep(3)
        return a + b

    job = scheduler.add(add, NEVER, args=(1,), kwargs={"b": 2})
    async with scheduler:
        outcome = await job.run_now()
    assert (outcome.status, outcome.value, outcome.run.cause) == ("succeeded", 3, "manual")


async def test_a_refused_run_now_is_an_outcome_with_a_reason(scheduler: Scheduler) -> None:
    work = Work()
    job = scheduler.add(work, NEVER)
    async with scheduler:
        job.trigger_now()
        outcome = await job.run_now()
        work.end()
    assert (outcome.status, outcome.refusal) == ("refused", Refusal("job_limit", "running"))


async def test_trigger_now_does_not_wait(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        run = job.trigger_now()
        assert told.outcomes == []
        await settle()
        assert [each.run for each in told.outcomes] == [run]


async def test_a_manual_run_leaves_the_schedule_alone(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(nothing, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(7)
        await job.run_now()
        await asyncio.sleep(15)
    assert due(told) == [7, 10, 20]


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.FINISHED])
async def test_a_job_that_is_not_scheduled_can_be_run_by_hand(
    state: JobState, scheduler: Scheduler
) -> None:
    job = scheduler.add(nothing, Once(START) if state == "finished" else NEVER)
    await asyncio.sleep(1)
    async with scheduler:
        if state == "paused":
            job.pause()
        assert job.state == state
        assert (await job.run_now()).status == "succeeded"
        assert job.state == state


async def test_a_removed_job_cannot_be_run(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        job.remove()
        with pytest.raises(UnknownJob, match="was removed"):
            await job.run_now()
        with pytest.raises(UnknownJob, match="was removed"):
            job.trigger_now()


async def test_runs_can_be_fired_while_the_scheduler_is_paused(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        scheduler.pause()
        assert (await job.run_now()).status == "succeeded"


async def test_run_now_belongs_on_the_schedulers_loop(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        with pytest.raises(SchedulerClosed, match="runs on another event loop"):
            await asyncio.to_thread(asyncio.run, job.run_now())


async def test_a_removed_job_is_forgotten_and_its_run_goes_on(
    scheduler: Scheduler, told: Told, changes: list
) -> None:
    work = Work()
    job = scheduler.add(work, Every(seconds=10), name="job", overlap="queue")
    async with scheduler:
        await asyncio.sleep(25)
        job.remove()
        assert (job.state, job.next_run, dict(scheduler.jobs)) == ("removed", None, {})
        assert told.statuses() == ["cancelled"]  # the queued one
        await asyncio.sleep(30)
        work.end()
        await settle()
    assert told.statuses() == ["cancelled", "succeeded"]
    assert changes == [("job", "added"), ("job", "removed")]


async def test_a_removed_job_may_be_cancelled_as_well(scheduler: Scheduler, told: Told) -> None:
    work = Work()
    scheduler.add(work, NEVER, name="job", max_instances=2, overlap="queue")
    async with scheduler:
        for _ in range(3):
            scheduler["job"].trigger_now()
        await settle()
        scheduler.remove("job", cancel=True)
        await settle()
        assert told.statuses() == ["cancelled"] * 3
        assert work.running == 0


@pytest.mark.parametrize("change", ["pause", "resume", "update"])
async def test_a_removed_job_cannot_be_changed(change: str, scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, NEVER)
    job.remove()
    with pytest.raises(UnknownJob, match="was removed"):
        getattr(job, change)()


async def test_a_run_that_waits_for_a_store_is_cancelled_with_its_job(
    scheduler: Scheduler, told: Told
) -> None:
    class Fast:
        """A locker by whose clock everything is too early."""

        async def lock(self, key: str) -> Any:
            raise TooEarly(wait=60)

    job = scheduler.add(nothing, Every(seconds=10), name="job", locker=Fast())
    async with scheduler:
        await asyncio.sleep(15)
        assert told.outcomes == []
        job.remove()
        await settle()
        assert told.statuses() == ["cancelled"]


async def test_running_are_the_runs_that_hold_a_slot(scheduler: Scheduler) -> None:
    work = Work()
    job = scheduler.add(work, NEVER, max_instances=2, overlap="queue")
    async with scheduler:
        runs = [job.trigger_now() for _ in range(3)]
        assert job.running == tuple(runs[:2])
        await settle()
        work.end(1)
        await settle()
        assert job.running == (runs[1], runs[2])
        work.end()
    assert job.running == ()


async def test_a_group_can_be_included_while_running(
    scheduler: Scheduler, told: Told, changes: list
) -> None:
    group = JobGroup()
    group.every(seconds=5, name="a")(nothing)
    group.every(seconds=5, name="b")(nothing)
    twice = JobGroup()
    twice.every(seconds=5, name="c")(nothing)
    twice.every(seconds=5, name="c")(nothing)
    async with scheduler:
        scheduler.include(group)
        with pytest.raises(DuplicateJob, match="two jobs of a group are named 'c'"):
            scheduler.include(twice)
        await asyncio.sleep(7)
    assert [each.job.name for each in told.outcomes] == ["a", "b"]
    assert changes == [("a", "added"), ("b", "added")]


async def test_a_gate_may_look_at_its_job(scheduler: Scheduler) -> None:
    seen: list[Any] = []

    @asynccontextmanager
    async def gate(run: Run) -> AsyncIterator[None]:
        seen.extend([run.job.running, scheduler.running])
        yield

    job = scheduler.add(nothing, NEVER, gates=[gate])
    async with scheduler:
        outcome = await job.run_now()
    assert seen == [(outcome.run,), 1]


async def test_a_listener_may_remove_jobs_that_are_finished(scheduler: Scheduler) -> None:
    reminded: list[str] = []

    async def remind(who: str) -> None:
        await asyncio.sleep(1)
        reminded.append(who)

    @scheduler.on(JobChanged)
    def forget(event: JobChanged) -> None:
        if event.change == "finished":
            scheduler.remove(event.job.name)

    async with scheduler:
        for number, who in enumerate("abc"):
            scheduler.add(remind, Once(at(5 + number)), args=(who,), name=who)
        scheduler.add(remind, Every(seconds=3), args=("d",), name="d", max_runs=2)
        await asyncio.sleep(20)
        assert reminded == ["d", "a", "b", "d", "c"]
        assert list(scheduler) == []
