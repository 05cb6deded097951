"""Many runs at once, few wake-ups, and what is expected of a scheduler meanwhile."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

import pytest

from aiosched import Every, Once, Run, Scheduler, SchedulerChanged, SchedulerClosed, Started
from aiosched.testing import VirtualClock
from tests.engine.support import START, Make, Told, Work, due, nothing, settle


async def test_intervals_alone_wake_the_loop_only_when_something_is_due(
    make: Make, virtual_time: VirtualClock
) -> None:
    class Counting:
        readings = 0

        def now(self) -> int:
            self.readings += 1
            return virtual_time.now()

        def monotonic(self) -> int:
            return virtual_time.monotonic()

    scheduler = make(clock=(clock := Counting()))
    scheduler.add(nothing, Every(hours=1))
    async with scheduler:
        await asyncio.sleep(1)
        before = clock.readings
        await asyncio.sleep(3_000)
        assert clock.readings == before


async def test_a_burst_leaves_the_loop_its_turns(make: Make, virtual_time: VirtualClock) -> None:
    class Slow:
        """A clock on which everything takes its time: 50 µs for each look at it."""

        passed = 0

        def now(self) -> int:
            return virtual_time.now() + self.passed

        def monotonic(self) -> int:
            self.passed += 50
            return virtual_time.monotonic() + self.passed

    turns = 0

    def count_turns() -> None:
        nonlocal turns
        turns += 1
        if len(told.outcomes) < 500:
            asyncio.get_running_loop().call_soon(count_turns)

    scheduler = make(clock=Slow())
    told = Told(scheduler)
    for number in range(500):
        scheduler.add(
            nothing, Once(START + timedelta(seconds=1)), name=str(number), priority=number % 2
        )
    scheduler.on(Started, lambda _: turns or count_turns())
    async with scheduler:
        await asyncio.sleep(2)
    assert turns > 10
    assert [each.run.job.spec.priority for each in told.outcomes] == [1] * 250 + [0] * 250


async def test_a_job_that_runs_before_it_is_planned_is_not_finished(make: Make) -> None:
    scheduler = make()
    for number in range(2_500):
        scheduler.add(nothing, Every(seconds=10), name=str(number))
    last = scheduler["2499"]
    scheduler.on(SchedulerChanged, lambda event: event.state != "running" or last.trigger_now())
    async with scheduler:  # more jobs than are planned in one turn of the loop
        assert last.state == "scheduled"
        scheduler.pause()
        scheduler.resume()
        await settle()
        assert last.state == "scheduled"
        told = Told(scheduler)
        await asyncio.sleep(12)
        assert len(told.outcomes) == 2_500


async def test_a_spent_job_that_ends_in_a_pause_is_finished_after_it(
    scheduler: Scheduler, work: Work
) -> None:
    job = scheduler.add(work, Every(seconds=10), max_runs=1)
    async with scheduler:
        await asyncio.sleep(15)
        scheduler.pause()
        scheduler.resume()
        assert job.state == "scheduled"
        scheduler.pause()
        work.end()
        await settle()
        assert job.state == "scheduled"
        scheduler.resume()
        assert job.state == "finished"


async def test_an_interval_begins_anew_also_after_a_pause(scheduler: Scheduler, told: Told) -> None:
    scheduler.add(nothing, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(15)
        scheduler.pause()
    await asyncio.sleep(2)
    async with scheduler:
        await asyncio.sleep(12)
    assert due(told) == [10, 27]


async def test_a_run_that_waits_for_its_turn_in_a_burst_can_be_taken_out(
    make: Make, virtual_time: VirtualClock
) -> None:
    class Slow:
        """A clock on which each look takes half a millisecond: two runs a turn."""

        passed = 0

        def now(self) -> int:
            return virtual_time.now() + self.passed

        def monotonic(self) -> int:
            self.passed += 500
            return virtual_time.monotonic() + self.passed

    scheduler = make(clock=Slow())
    told = Told(scheduler)
    for number in range(20):
        scheduler.add(
            nothing, Once(START + timedelta(seconds=1)), name=str(number), priority=-number
        )
    queued: list[int] = []
    started: list[str] = []

    def remove_the_last(event: Started) -> None:
        queued.append(scheduler.queued)
        started.append(event.job.name)
        if "19" in scheduler.jobs:
            scheduler.remove("19")

    scheduler.on(Started, remove_the_last)
    async with scheduler:
        await asyncio.sleep(2)
    assert queued[0] > 10
    assert [(each.job.name, each.status) for each in told.outcomes][:1] == [("19", "cancelled")]
    assert [each.job.name for each in told.outcomes[1:]] == [str(number) for number in range(19)]
    assert "19" not in started


async def test_calls_that_need_a_running_scheduler_say_so(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, Every(seconds=1))
    for state in ("new", "stopped"):
        with pytest.raises(
            SchedulerClosed, match=f"needs a running scheduler; this one is {state}"
        ):
            await job.run_now()
        with pytest.raises(SchedulerClosed):
            job.trigger_now()
        with pytest.raises(SchedulerClosed):
            scheduler.pause()
        async with scheduler:
            pass


async def test_what_is_expected_of_a_job_counts_from_when_it_is_expected(
    scheduler: Scheduler,
) -> None:
    async with scheduler:
        await asyncio.sleep(3_600)
        job = scheduler.add(nothing, Every(days=1), expect_within="90s")
        assert scheduler.health().ok
        await asyncio.sleep(100)
        assert not scheduler.health().ok
        job.update(expect_within="200s")
        assert scheduler.health().ok
        job.update(expect_within=None)
        await asyncio.sleep(1_000)
        assert scheduler.health().ok


async def test_expect_within_turns_health_bad_until_the_next_success(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    async def flaky(run: Run) -> None:
        if run.number % 2:
            raise OSError("down")

    caplog.set_level(logging.CRITICAL)
    job = scheduler.add(flaky, Every(hours=1), expect_within="90s")
    async with scheduler:
        await asyncio.sleep(80)
        assert scheduler.health().ok
        await asyncio.sleep(20)
        assert scheduler.health().problems == (
            f"job '{job.name}' has not succeeded for 100 s, expected within 90 s",
        )
        await job.run_now()
        assert not scheduler.health().ok
        await job.run_now()
        assert scheduler.health().ok
