"""A run that waits for what waits for it gets an error; who only seems to is let be."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from aiosched import Job, Outcome, Run, RunDeadlock, Scheduler
from tests.engine.support import NEVER, Make, Told, Work, nothing, settle


async def test_a_job_that_waits_for_itself_gets_an_error(scheduler: Scheduler, told: Told) -> None:
    async def selfish(run: Run) -> None:
        await run.job.run_now()

    job = scheduler.add(selfish, NEVER, name="selfish", overlap="queue")
    async with scheduler:
        outcome = await job.run_now()
    assert isinstance(outcome.error, RunDeadlock)
    assert str(outcome.error) == "job 'selfish' cannot wait for a run of itself"
    assert len(told.outcomes) == 1


async def test_so_does_a_circle_of_jobs(scheduler: Scheduler, told: Told) -> None:
    async def call(name: str) -> Any:
        outcome = await scheduler[name].run_now()
        if outcome.error:
            raise outcome.error

    for name, following in ("ab", "bc", "ca"):
        scheduler.add(call, NEVER, name=name, args=(following,))
    async with scheduler:
        outcome = await scheduler["a"].run_now()
    assert isinstance(outcome.error, RunDeadlock)
    assert [each.job.name for each in told.outcomes] == ["c", "b", "a"]


async def test_a_job_may_wait_for_another(scheduler: Scheduler, told: Told) -> None:
    other = scheduler.add(nothing, NEVER, name="other")

    async def call() -> str:
        return (await other.run_now()).status

    job = scheduler.add(call, NEVER)
    async with scheduler:
        outcome = await job.run_now()
    assert outcome.value == "succeeded"
    assert [each.job for each in told.outcomes] == [other, job]


async def test_whoever_has_given_up_waits_no_more(scheduler: Scheduler) -> None:
    async def impatient() -> str:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await scheduler["patient"].run_now()
        return "gave up"

    async def patient() -> str:
        await asyncio.sleep(5)
        return (await scheduler["impatient"].run_now()).refusal.reason

    scheduler.add(impatient, NEVER, name="impatient", max_runs=1)
    scheduler.add(patient, NEVER, name="patient")
    async with scheduler:
        scheduler["impatient"].trigger_now()
        await asyncio.sleep(6)
        assert scheduler["patient"].last.value == "max_runs"


async def test_what_a_run_has_left_behind_is_no_part_of_it(scheduler: Scheduler) -> None:
    left: list[asyncio.Task[Outcome]] = []

    async def later(job: Job) -> Outcome:
        await asyncio.sleep(5)
        return await job.run_now()

    async def work(run: Run) -> None:
        if run.number == 1:
            left.append(asyncio.create_task(later(run.job)))

    job = scheduler.add(work, NEVER)
    async with scheduler:
        await job.run_now()
        assert (await left[0]).status == "succeeded"


async def test_a_listener_may_ask_for_the_next_run(scheduler: Scheduler, told: Told) -> None:
    asked: list[asyncio.Task[Outcome]] = []

    def again(outcome: Outcome) -> None:
        if outcome.run.number == 1:
            asked.append(asyncio.ensure_future(outcome.job.run_now()))

    job = scheduler.add(nothing, NEVER)
    scheduler.on(Outcome, again)
    async with scheduler:
        await job.run_now()
        assert (await asked[0]).status == "succeeded"


async def test_waiting_for_a_slot_that_one_holds_is_an_error(make: Make) -> None:
    scheduler = make(max_running=1)
    other = scheduler.add(nothing, NEVER, name="other")

    async def call() -> None:
        await other.run_now()

    job = scheduler.add(call, NEVER)
    async with scheduler:
        outcome = await job.run_now()
    assert isinstance(outcome.error, RunDeadlock)
    assert "would wait for ever: max_running=1" in str(outcome.error)


async def test_the_last_slot_is_not_given_away_by_several_who_wait(make: Make) -> None:
    scheduler = make(max_running=2)
    other = scheduler.add(nothing, NEVER, name="other", max_instances=None)

    async def call() -> str:
        await asyncio.sleep(1)
        return (await other.run_now()).status

    jobs = [scheduler.add(call, NEVER, name=name) for name in "ab"]
    async with scheduler:
        first, second = await asyncio.gather(*(job.run_now() for job in jobs))
    assert first.value == "succeeded"  # the slot of the second
    assert isinstance(second.error, RunDeadlock)


async def test_waiting_for_a_slot_that_somebody_else_holds_is_none(make: Make) -> None:
    scheduler = make(max_running=2)
    other = scheduler.add(nothing, NEVER, name="other")
    work = Work()
    holder = scheduler.add(work, NEVER, name="holder")

    async def call() -> str:
        return (await other.run_now()).status

    job = scheduler.add(call, NEVER)
    async with scheduler:
        holder.trigger_now()
        waiting = asyncio.create_task(job.run_now())
        await settle()
        assert scheduler.queued == 1
        work.end()
        assert (await waiting).value == "succeeded"


async def test_a_run_cannot_wait_for_the_schedulers_stop(scheduler: Scheduler) -> None:
    async def stop() -> None:
        await scheduler.stop()

    job = scheduler.add(stop, NEVER)
    async with scheduler:
        outcome = await job.run_now()
    assert isinstance(outcome.error, RunDeadlock)
