"""The limits of a job and of the scheduler: who comes in, waits, is refused or replaced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from aiosched import Cron, Every, Once, Run, Scheduler
from tests.engine.support import NEVER, START, Make, Told, Work, settle

# -- the job's limit -----------------------------------------------------------------------------


async def test_a_second_run_is_refused_while_the_first_goes_on(
    scheduler: Scheduler, told: Told, work: Work
) -> None:
    scheduler.add(work, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(25)
        work.end()
        await asyncio.sleep(10)
        work.end()
    assert told.reasons() == [("job_limit", "running"), None, None]
    assert told.numbers("succeeded") == [1, 3]


async def test_several_instances_may_run_at_once(
    scheduler: Scheduler, told: Told, work: Work
) -> None:
    scheduler.add(work, Every(seconds=10), max_instances=3)
    async with scheduler:
        await asyncio.sleep(55)
        assert work.running == 3
        work.end()
    assert work.most == 3
    assert told.reasons()[:2] == [("job_limit", "running")] * 2


async def test_instances_without_a_limit(scheduler: Scheduler, work: Work) -> None:
    scheduler.add(work, Every(seconds=1), max_instances=None)
    async with scheduler:
        await asyncio.sleep(50.5)
        assert work.running == 50
        work.end()


async def test_a_queued_run_starts_when_the_first_has_ended(
    scheduler: Scheduler, told: Told, work: Work
) -> None:
    job = scheduler.add(work, NEVER, overlap="queue", max_queued=2)
    async with scheduler:
        for _ in range(4):
            job.trigger_now()
        await settle()
        assert (work.began, scheduler.queued) == ([1], 2)
        assert told.reasons() == [("job_limit", "queue_full")]
        for number in (1, 2, 3):
            work.end()
            await settle()
            assert work.began == list(range(1, min(number + 1, 3) + 1))
    assert told.numbers("succeeded") == [1, 2, 3]
    assert told.numbers("refused") == [4]


async def test_a_queue_may_have_no_bound_or_no_place(scheduler: Scheduler, told: Told) -> None:
    endless, none = Work(), Work()
    long = scheduler.add(endless, NEVER, name="long", overlap="queue", max_queued=None)
    short = scheduler.add(none, NEVER, name="short", overlap="queue", max_queued=0)
    async with scheduler:
        for _ in range(50):
            long.trigger_now()
        short.trigger_now()
        short.trigger_now()
        await settle()
        assert scheduler.queued == 49
        assert told.reasons() == [("job_limit", "queue_full")]
        while endless.running or none.running:
            endless.end()
            none.end()
            await settle()
    assert endless.began == list(range(1, 51))


async def test_a_replaced_run_is_cancelled_and_the_new_one_takes_its_place(
    scheduler: Scheduler, told: Told, work: Work
) -> None:
    scheduler.add(work, Every(seconds=10), overlap="replace")
    async with scheduler:
        await asyncio.sleep(35)
        work.end()
        await settle()
    assert told.numbers("cancelled") == [1, 2]
    assert told.numbers("succeeded") == [3]
    assert work.most == 1


async def test_the_oldest_of_several_is_replaced(
    scheduler: Scheduler, told: Told, work: Work
) -> None:
    scheduler.add(work, Every(seconds=10), overlap="replace", max_instances=2)
    async with scheduler:
        await asyncio.sleep(45)
        assert told.numbers("cancelled") == [1, 2]
        work.end()
    assert work.most == 2


async def test_the_new_run_waits_until_the_old_has_left_its_gates(
    scheduler: Scheduler, told: Told
) -> None:
    inside: list[int] = []
    most: list[int] = []

    @asynccontextmanager
    async def gate(run: Run) -> AsyncIterator[None]:
        inside.append(run.number)
        most.append(len(inside))
        yield
        await asyncio.sleep(3)
        inside.remove(run.number)

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(2)

    scheduler.add(work, Every(seconds=10), overlap="replace", gates=[gate], max_runs=2)
    async with scheduler:
        await asyncio.sleep(24)
        assert inside == [1]
        await asyncio.sleep(3)
        assert inside == [2]
    assert told.statuses()[0] == "cancelled"
    assert max(most) == 1


async def test_a_run_is_not_cancelled_twice_by_two_newer_ones(
    scheduler: Scheduler, told: Told
) -> None:
    cleaned: list[int] = []

    async def work(run: Run) -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            await asyncio.sleep(15)
            cleaned.append(run.number)

    scheduler.add(work, Every(seconds=10), overlap="replace")
    async with scheduler:
        await asyncio.sleep(39)
        assert cleaned == [1]
        assert told.reasons() == [("job_limit", "replaced"), None]


async def test_a_run_that_only_waits_is_replaced_by_a_refusal(make: Make) -> None:
    scheduler = make(max_running=1)
    told, first, work = Told(scheduler), Work(), Work()
    holder = scheduler.add(first, NEVER, name="holder")
    job = scheduler.add(work, NEVER, name="job", overlap="replace")
    async with scheduler:
        holder.trigger_now()
        for _ in range(3):
            job.trigger_now()
        assert scheduler.queued == 1
        await settle()
        first.end()
        await settle()
        work.end()
    assert told.reasons(job) == [("job_limit", "replaced"), ("job_limit", "replaced"), None]
    assert work.began == [3]


async def test_a_slot_is_free_after_any_end(scheduler: Scheduler, told: Told) -> None:
    ends = iter([ValueError("bad"), asyncio.CancelledError(), None])

    async def work() -> None:
        error = next(ends, None)
        if error is not None:
            raise error
        await asyncio.sleep(100)

    job = scheduler.add(work, Every(seconds=10), timeout=5)
    async with scheduler:
        await asyncio.sleep(56)
        assert job.running == ()
    assert told.statuses() == ["failed", "cancelled", *["timed_out"] * 3]


async def test_a_run_holds_its_slot_in_its_gates(scheduler: Scheduler, told: Told) -> None:
    @asynccontextmanager
    async def slow(run: Run) -> AsyncIterator[None]:
        await asyncio.sleep(15)
        yield

    async def nothing() -> None: ...

    scheduler.add(nothing, Every(seconds=10), gates=[slow])
    async with scheduler:
        await asyncio.sleep(29)
    assert told.statuses() == ["refused", "succeeded"]


# -- the scheduler's limit -----------------------------------------------------------------------


async def test_runs_wait_for_a_slot_of_the_scheduler_in_their_order(make: Make) -> None:
    scheduler = make(max_running=2)
    work, told = Work(), Told(scheduler)
    job = scheduler.add(work, NEVER, max_instances=None)
    async with scheduler:
        for _ in range(5):
            job.trigger_now()
        await settle()
        assert (work.began, scheduler.queued, scheduler.running) == ([1, 2], 3, 2)
        work.end(2)
        await settle()
        assert work.began == [1, 2, 3]
        work.end(1, 3)
        await settle()
        assert (work.began, scheduler.queued) == ([1, 2, 3, 4, 5], 0)
        work.end()
        await settle()
    assert told.statuses() == ["succeeded"] * 5


async def test_runs_are_refused_where_a_full_scheduler_skips(make: Make, work: Work) -> None:
    scheduler = make(max_running=1, when_full="skip")
    told = Told(scheduler)
    job = scheduler.add(work, NEVER, max_instances=None)
    async with scheduler:
        job.trigger_now()
        job.trigger_now()
        assert (told.reasons(), scheduler.queued) == ([("scheduler_limit", "full")], 0)
        await settle()
        work.end()


async def test_of_those_that_wait_the_higher_priority_comes_first(make: Make) -> None:
    scheduler = make(max_running=1)
    work = Work()
    jobs = {
        name: scheduler.add(work, NEVER, name=name, priority=priority)
        for name, priority in {"first": 0, "low": -1, "usual": 0, "high": 9, "higher": 10}.items()
    }
    told = Told(scheduler)
    async with scheduler:
        for job in jobs.values():
            job.trigger_now()
        for _ in jobs:
            await settle()
            work.end()
    assert [each.job.name for each in told.outcomes] == ["first", "higher", "high", "usual", "low"]


async def test_a_one_shot_job_is_never_lost_in_a_queue(make: Make) -> None:
    scheduler = make(max_running=1)
    told, work = Told(scheduler), Work()
    for number in range(20):
        scheduler.add(work, Once(START + timedelta(seconds=10)), name=str(number))
    async with scheduler:
        await asyncio.sleep(11)
        assert scheduler.queued == 19
        assert {job.state for job in scheduler} == {"scheduled"}
        for _ in range(20):
            work.end()
            await settle()
        assert {job.state for job in scheduler} == {"finished"}
    assert told.statuses() == ["succeeded"] * 20


async def test_the_jobs_limit_comes_before_the_schedulers(make: Make) -> None:
    scheduler = make(max_running=2)
    told, work, other = Told(scheduler), Work(), Work()
    queueing = scheduler.add(work, NEVER, name="queueing", overlap="queue", max_queued=9)
    free = scheduler.add(other, NEVER, name="free")
    async with scheduler:
        for _ in range(4):
            queueing.trigger_now()
        free.trigger_now()
        await settle()
        # Its queued runs take no slot that another job could have.
        assert (work.running, other.running, scheduler.queued) == (1, 1, 3)
        other.end()
        await settle()
        assert (work.running, scheduler.queued) == (1, 3)
        for _ in range(4):
            work.end()
            await settle()
    assert told.statuses(queueing) == ["succeeded"] * 4


async def test_a_run_that_waits_for_the_scheduler_counts_for_its_job(make: Make) -> None:
    scheduler = make(max_running=1)
    told, holder, work = Told(scheduler), Work(), Work()
    scheduler.add(holder, NEVER, name="holder")
    job = scheduler.add(work, NEVER, name="job")
    async with scheduler:
        scheduler["holder"].trigger_now()
        job.trigger_now()
        job.trigger_now()
        await settle()
        assert told.reasons(job) == [("job_limit", "running")]
        holder.end()
        await settle()
        work.end()
        await settle()
    assert told.numbers("succeeded") == [1, 1]


async def test_a_full_scheduler_that_skips_refuses_runs_queued_at_their_job(make: Make) -> None:
    scheduler = make(max_running=1, when_full="skip")
    told, work, other = Told(scheduler), Work(), Work()
    job = scheduler.add(work, NEVER, name="job", overlap="queue", max_queued=3)
    async with scheduler:
        for _ in range(3):
            job.trigger_now()
        scheduler.add(other, NEVER, name="other").trigger_now()
        await settle()
        assert told.reasons() == [("scheduler_limit", "full")]
        for _ in range(3):
            work.end()
            await settle()
    assert told.statuses(job) == ["succeeded"] * 3


async def test_a_queued_run_is_not_refused_because_its_jobs_limit_has_grown(make: Make) -> None:
    scheduler = make(max_running=1, when_full="skip")
    told, work = Told(scheduler), Work()
    job = scheduler.add(work, NEVER, name="job", overlap="queue", max_queued=3)
    async with scheduler:
        for _ in range(3):
            job.trigger_now()
        job.update(max_instances=3)
        await settle()
        assert (work.began, scheduler.queued, told.outcomes) == ([1], 2, [])
        for _ in range(3):
            work.end()
            await settle()
    assert told.statuses() == ["succeeded"] * 3


async def test_removing_a_job_makes_place_for_others(make: Make) -> None:
    scheduler = make(max_running=1)
    told, work, gone = Told(scheduler), Work(), Work()
    holder = scheduler.add(work, NEVER, name="holder", max_instances=None)
    job = scheduler.add(gone, NEVER, name="job", overlap="queue")
    async with scheduler:
        holder.trigger_now()
        job.trigger_now()  # waits for the scheduler
        job.trigger_now()  # waits for the job
        holder.trigger_now()
        assert scheduler.queued == 3
        job.remove()
        assert (told.statuses(job), scheduler.queued) == (["cancelled", "cancelled"], 1)
        for _ in range(2):
            await settle()
            work.end()
    assert gone.began == []
    assert told.statuses(holder) == ["succeeded", "succeeded"]


async def test_waiting_makes_no_run_late_by_its_own_fault(make: Make, work: Work) -> None:
    scheduler = make(max_running=1)
    told = Told(scheduler)
    scheduler.add(work, Cron("*/10 * * * * *"), max_instances=None, misfire_grace=1)
    async with scheduler:
        await asyncio.sleep(25)
        work.end()
        await settle()
        work.end()
    assert told.statuses() == ["succeeded", "succeeded"]
    assert told.outcomes[1].lateness == pytest.approx(5, abs=0.01)
