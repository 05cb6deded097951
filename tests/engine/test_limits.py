"""The limits of a job and of the scheduler: who comes in, who waits, who is refused or replaced."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aiosched import Cron, Every, Job, Once, Run, Scheduler, testing
from tests.engine.support import Told, Work, settle

START = datetime(2026, 1, 1, tzinfo=UTC)
NEVER = Every(days=1)
Make = Callable[..., Scheduler]


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


# -- the law -------------------------------------------------------------------------------------

KINDS: list[dict[str, Any]] = [
    {},
    {"max_instances": 2, "priority": 3},
    {"overlap": "queue", "max_queued": 2},
    {"overlap": "queue", "max_instances": 2, "max_queued": None, "priority": -1},
    {"overlap": "replace"},
    {"overlap": "replace", "max_instances": 2},
    {"max_instances": None},
]
MOST = 3  # jobs at once, so that they meet
STEPS = st.tuples(
    st.sampled_from(
        ["start"] * 6 + ["end", "fail", "cancel", "turns", "remove", "cancel job", "allow more"]
    ),
    st.integers(0, 7),
)


class Law:
    """A scheduler under a sequence of steps, and what must hold after each of them."""

    def __init__(
        self, clock: testing.VirtualClock, limit: int | None, when_full: Any, kinds: list[int]
    ) -> None:
        self.scheduler = Scheduler(clock=clock, max_running=limit, when_full=when_full)
        self.told = Told(self.scheduler)
        self.limit = limit
        self.when_full = when_full
        self.fired: list[Run] = []
        self.inside: dict[Run, asyncio.Task[Any]] = {}
        self.goes_on: dict[Run, asyncio.Future[None]] = {}
        self.kinds = kinds
        self.jobs: list[Job] = [self.add(number) for number in range(len(kinds))]

    def add(self, number: int) -> Job:
        kind = self.kinds[number]
        gates = [self.gate] if kind % 2 else []
        return self.scheduler.add(
            self.work, NEVER, name=f"{number} {len(self.fired)}", gates=gates, **KINDS[kind]
        )

    @asynccontextmanager
    async def gate(self, run: Run) -> AsyncIterator[None]:
        await asyncio.sleep(0)
        try:
            yield
        finally:
            await asyncio.sleep(0)

    async def work(self, run: Run) -> None:
        self.goes_on[run] = asyncio.get_running_loop().create_future()
        self.inside[run] = asyncio.current_task()
        try:
            self.check_limits()
            await self.goes_on[run]
        finally:
            del self.inside[run], self.goes_on[run]

    def check_limits(self) -> None:
        if self.limit is not None:
            assert len(self.inside) <= self.limit
            assert self.scheduler.running <= self.limit
        for job in self.jobs:
            allowed = job.spec.max_instances
            if allowed is not None:
                assert sum(run.job is job for run in self.inside) <= allowed
                assert len(job.running) <= allowed

    def check_nobody_waits_in_vain(self) -> None:
        waiting = self.scheduler.queued
        full = self.limit is not None and len(self.inside) >= self.limit
        busy = any(
            job.spec.max_instances is not None and len(job.running) >= job.spec.max_instances
            for job in self.jobs
        )
        assert not waiting or full or busy

    def step(self, action: str, number: int) -> None:
        chosen = list(self.inside)[number] if number < len(self.inside) else None
        number %= len(self.jobs)
        if action == "start":
            self.fired.append(self.jobs[number].trigger_now())
        elif action == "end" and chosen and not self.goes_on[chosen].done():
            self.goes_on[chosen].set_result(None)
        elif action == "fail" and chosen and not self.goes_on[chosen].done():
            self.goes_on[chosen].set_exception(ValueError("on purpose"))
        elif action == "cancel" and chosen:
            self.inside[chosen].cancel()
        elif action in {"remove", "cancel job"}:
            self.jobs[number].remove(cancel=action == "cancel job")
            self.jobs[number] = self.add(number)
        elif action == "allow more" and self.jobs[number].spec.max_instances is not None:
            self.jobs[number].update(max_instances=3)

    async def come_to_rest(self) -> None:
        for _ in range(2 * len(self.fired) + 2):
            await settle()
            if not self.scheduler.running:
                return
            self.check_nobody_waits_in_vain()
            for future in self.goes_on.values():
                if not future.done():
                    future.set_result(None)


@example(
    limit=2,
    when_full="skip",
    kinds=[0, 2],
    steps=[("start", 0), ("start", 1), ("start", 1), ("cancel job", 0), ("allow more", 1)],
)
@settings(max_examples=120, deadline=None)
@given(
    limit=st.sampled_from([None, 1, 1, 2]),
    when_full=st.sampled_from(["queue", "skip"]),
    kinds=st.lists(st.integers(0, len(KINDS) - 1), min_size=2, max_size=MOST),
    steps=st.lists(STEPS, min_size=15, max_size=40),
)
def test_limits_hold_and_no_run_is_lost_under_any_interleaving(
    limit: int | None, when_full: str, kinds: list[int], steps: list[tuple[str, int]]
) -> None:
    async def main(clock: testing.VirtualClock) -> None:
        law = Law(clock, limit, when_full, kinds)
        async with law.scheduler:
            for action, number in steps:
                if action == "turns":
                    await settle(number + 1)
                else:
                    law.step(action, number)
                law.check_limits()
            await law.come_to_rest()
            assert (law.scheduler.queued, law.scheduler.running) == (0, 0)
            assert not any(job.running for job in law.jobs)
            ended = [outcome.run for outcome in law.told.outcomes]
            assert len(ended) == len(set(ended)) == len(law.fired)
            assert set(ended) == set(law.fired)
            assert not any(isinstance(each.error, AssertionError) for each in law.told.outcomes)
            allowed = {"running", "queue_full", "replaced", "full"}
            refused = {reason[1] for reason in law.told.reasons() if reason}
            assert refused <= (allowed if when_full == "skip" else allowed - {"full"})

    testing.run(main)
