"""The wall clock steps, the machine sleeps: nothing is repeated, nothing is lost without a word."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from aiosched import ClockStepped, Cron, Every, Once, Run, Scheduler
from tests.engine import support
from tests.engine.support import settle

MINUTELY = Cron("* * * * *")
HOUR = 3600


def at(seconds):
    """Return the moment so many seconds after virtual time began."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


async def nothing():
    """Be a job."""


class Silent:
    """A clock like a host's, which does not tell of its steps."""

    def __init__(self, clock):
        self._clock = clock
        self.now = clock.now
        self.monotonic = clock.monotonic


@pytest.fixture(params=["host", "virtual"])
def clock(request, virtual_time):
    """A clock that has to be looked at, and one that tells of its steps."""
    return Silent(virtual_time) if request.param == "host" else virtual_time


@pytest.fixture
def scheduler(clock):
    return Scheduler(clock=clock)


@pytest.fixture
def told(scheduler):
    return support.Told(scheduler)


@pytest.fixture
def steps(scheduler):
    steps: list[ClockStepped] = []
    scheduler.on(ClockStepped, steps.append)
    return steps


def dues(told, *statuses):
    return [each.run.due_at for each in told.outcomes if each.status in statuses]


# -- noticing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [3600, -3600, 0.5, -0.5])
async def test_a_step_is_an_event_within_a_second(virtual_time, scheduler, steps, seconds):
    scheduler.add(nothing, Cron("0 0 * * *"))
    async with scheduler:
        await asyncio.sleep(10.3)
        virtual_time.step(seconds)
        await asyncio.sleep(1.001)
        assert [each.seconds for each in steps] == [pytest.approx(seconds, abs=0.001)]
        await asyncio.sleep(60)
    assert len(steps) == 1


async def test_a_clock_that_is_slewed_has_not_stepped(virtual_time, scheduler, told, steps):
    scheduler.add(nothing, MINUTELY)
    async with scheduler:
        for _ in range(100):
            virtual_time.step(0.05)
            await asyncio.sleep(1.45)
    assert steps == []
    assert dues(told, "succeeded") == [at(60), at(120)]


async def test_a_reading_that_was_interrupted_is_no_step(virtual_time):
    late = iter([0, 0, 0, 5_000_000])

    class Stopped(Silent):
        """The process is stopped for five seconds between its two readings."""

        def __init__(self, clock):
            super().__init__(clock)
            self.now = lambda: clock.now() + next(late, 0)

    scheduler = Scheduler(clock=Stopped(virtual_time))
    steps: list[ClockStepped] = []
    scheduler.on(ClockStepped, steps.append)
    job = scheduler.add(nothing, MINUTELY)
    async with scheduler:
        await asyncio.sleep(60.5)
        assert job.last.run.number == 1
    assert next(late, None) is None
    assert steps == []


async def test_a_step_between_two_lives_is_no_event(virtual_time, scheduler, steps):
    scheduler.add(nothing, MINUTELY)
    async with scheduler:
        await asyncio.sleep(1)
    virtual_time.step(HOUR)
    async with scheduler:
        await asyncio.sleep(2)
    assert steps == []


async def test_a_step_while_the_scheduler_is_paused_is_told_when_it_goes_on(
    virtual_time, scheduler, told, steps
):
    scheduler.add(nothing, MINUTELY)
    async with scheduler:
        scheduler.pause()
        virtual_time.step(HOUR)
        await asyncio.sleep(10)
        assert steps == []
        scheduler.resume()
        assert [each.seconds for each in steps] == [HOUR]
        await asyncio.sleep(51)
    assert dues(told, "succeeded") == [at(HOUR + 60)]


# -- wall-clock jobs ----------------------------------------------------------------------------


async def test_after_a_step_forwards_each_occurrence_has_its_outcome_and_the_latest_runs(
    virtual_time, scheduler, told
):
    scheduler.add(nothing, MINUTELY)
    async with scheduler:
        await asyncio.sleep(60.5)
        virtual_time.step(HOUR)
        await asyncio.sleep(61)
    assert dues(told, "succeeded") == [at(60), at(HOUR + 60), at(HOUR + 120)]
    assert dues(told, "missed") == [at(60 * minute) for minute in range(2, 61)]


async def test_after_a_step_forwards_all_occurrences_run_if_the_job_says_so(
    virtual_time, scheduler, told
):
    scheduler.add(nothing, MINUTELY, coalesce="all")
    async with scheduler:
        await asyncio.sleep(60.5)
        virtual_time.step(HOUR)
        await asyncio.sleep(61)
    assert dues(told, "succeeded") == [at(60 * minute) for minute in range(1, 63)]
    assert told.reasons() == [None] * 62


async def test_after_a_step_forwards_what_is_later_than_the_grace_is_missed(
    virtual_time, scheduler, told
):
    scheduler.add(nothing, Cron("*/30 * * * *"), misfire_grace="10m")
    async with scheduler:
        await asyncio.sleep(1)
        virtual_time.step(69 * 60)
        await asyncio.sleep(2)
    assert dues(told, "missed") == [at(HOUR / 2)]
    assert dues(told, "succeeded") == [at(HOUR)]


async def test_after_a_step_backwards_nothing_is_repeated(virtual_time, scheduler, told):
    scheduler.add(nothing, MINUTELY)
    async with scheduler:
        await asyncio.sleep(2 * HOUR + 0.5)
        virtual_time.step(-HOUR)
        await asyncio.sleep(2 * HOUR)
    ran = dues(told, "succeeded")
    assert ran == [at(60 * minute) for minute in range(1, 181)]
    assert told.statuses() == ["succeeded"] * 180


async def test_after_a_step_backwards_an_occurrence_that_was_near_is_far_again(
    virtual_time, scheduler, told
):
    scheduler.add(nothing, Cron("30 0 * * *"))
    async with scheduler:
        await asyncio.sleep(HOUR / 2 - 1)
        virtual_time.step(-600)
        await asyncio.sleep(600)
        assert told.outcomes == []
        await asyncio.sleep(2)
    assert dues(told, "succeeded") == [at(HOUR / 2)]


async def test_an_anchored_interval_follows_the_wall_clock(virtual_time, scheduler, told):
    scheduler.add(nothing, Every(minutes=10, anchor=at(0)))
    async with scheduler:
        await asyncio.sleep(605)
        virtual_time.step(-HOUR)
        await asyncio.sleep(HOUR + 600)
        virtual_time.step(HOUR)
        await asyncio.sleep(2)
    assert dues(told, "succeeded") == [at(600), at(1200), at(1200 + HOUR)]
    assert Counter(told.statuses()) == {"succeeded": 3, "missed": 5}


async def test_a_moment_that_a_step_has_skipped_runs_late(virtual_time, scheduler, told):
    scheduler.add(nothing, Once(at(100)))
    async with scheduler:
        await asyncio.sleep(1)
        virtual_time.step(HOUR)
        await asyncio.sleep(1)
    (outcome,) = told.outcomes
    assert outcome.status == "succeeded"
    assert outcome.lateness == pytest.approx(HOUR - 99, abs=1.01)


# -- intervals that count from the start --------------------------------------------------------


@pytest.mark.parametrize("seconds", [HOUR, -HOUR, 7, -7])
@pytest.mark.parametrize("with_wall_clock_job", [True, False])
async def test_an_unanchored_interval_keeps_its_elapsed_spacing(
    virtual_time, scheduler, seconds, with_wall_clock_job
):
    moments: list[int] = []

    async def tick():
        moments.append(virtual_time.monotonic())

    scheduler.add(tick, Every(seconds=10))
    if with_wall_clock_job:
        scheduler.add(nothing, MINUTELY, name="wall")
    async with scheduler:
        for _ in range(5):
            await asyncio.sleep(21)
            virtual_time.step(seconds)
    assert [later - sooner for sooner, later in pairwise(moments)] == [10_000_000] * 9


async def test_the_occurrences_of_an_unanchored_interval_are_told_in_wall_time(
    virtual_time, scheduler, told
):
    due: list[datetime] = []

    async def tick(run: Run):
        due.append(run.due_at)

    job = scheduler.add(tick, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(10.5)
        virtual_time.step(HOUR)
        await settle()
        await asyncio.sleep(10)
        assert job.last.lateness < 0.001
        assert job.last.started_at == pytest.approx(at(HOUR + 20), abs=timedelta(milliseconds=1))
        assert job.next_run == at(HOUR + 30)
    assert due == [at(10), at(HOUR + 20)]


async def test_the_wall_is_looked_at_from_the_first_job_on_that_goes_by_it(virtual_time):
    scheduler = Scheduler(clock=Silent(virtual_time))
    steps = []
    scheduler.on(ClockStepped, steps.append)
    scheduler.add(nothing, Every(seconds=100))
    async with scheduler:
        scheduler.add(nothing, Once(at(5 * HOUR)), name="later")  # long after the next wake-up
        virtual_time.step(HOUR)
        await asyncio.sleep(1.01)
        assert [each.seconds for each in steps] == [HOUR]


async def test_a_step_is_told_by_the_next_interval_where_nobody_looks_at_the_wall(virtual_time):
    scheduler = Scheduler(clock=Silent(virtual_time))
    steps: list[ClockStepped] = []
    scheduler.on(ClockStepped, steps.append)
    scheduler.add(nothing, Every(seconds=100))
    async with scheduler:
        await asyncio.sleep(50)
        virtual_time.step(HOUR)
        await asyncio.sleep(40)
        assert steps == []
        await asyncio.sleep(20)
    assert [each.seconds for each in steps] == [HOUR]


async def test_a_machine_that_was_suspended_runs_the_latest_and_keeps_its_intervals(
    virtual_time, scheduler, told
):
    # While it sleeps the wall clock goes on and the monotonic clock stands still.
    cron = scheduler.add(nothing, MINUTELY, name="wall")
    every = scheduler.add(nothing, Every(seconds=60), name="interval")
    async with scheduler:
        await asyncio.sleep(90)
        virtual_time.step(8 * HOUR)
        await asyncio.sleep(1.1)
        assert cron.last.run.due_at == at(8 * HOUR + 60)
        assert every.last.run.number == 1
        await asyncio.sleep(29.9)
        assert every.last.run.number == 2
    assert Counter(told.statuses(cron)) == {"succeeded": 3, "missed": 8 * 60 - 1}
    assert told.statuses(every) == ["succeeded"] * 2


# -- wake-ups -----------------------------------------------------------------------------------


@pytest.fixture
def wake_ups(scheduler):
    """The moments, in seconds, at which the scheduler woke up."""
    planner = scheduler._engine.planner
    moments: list[float] = []
    wake = planner._wake

    def counting():
        moments.append(planner._time.monotonic() / 1e6)
        wake()

    planner._wake = counting
    return moments


async def test_a_scheduler_with_intervals_only_wakes_for_what_is_due(scheduler, wake_ups):
    scheduler.add(nothing, Every(seconds=60), name="minutely")
    scheduler.add(nothing, Every(seconds=90), name="slower")
    async with scheduler:
        await asyncio.sleep(HOUR + 1)
    expected = sorted({*range(60, HOUR + 1, 60), *range(90, HOUR + 1, 90)})
    assert [round(each, 3) for each in wake_ups] == expected


async def test_an_empty_scheduler_never_wakes(virtual_time, scheduler, wake_ups):
    async with scheduler:
        await asyncio.sleep(24 * HOUR)
    assert wake_ups == []


async def test_a_host_clock_is_looked_at_once_a_second_while_there_is_a_wall_clock_job(
    virtual_time,
):
    scheduler = Scheduler(clock=Silent(virtual_time))
    planner = scheduler._engine.planner
    wake, moments = planner._wake, []
    planner._wake = lambda: (moments.append(virtual_time.monotonic()), wake())
    job = scheduler.add(nothing, Cron("0 0 * * *"))
    async with scheduler:
        await asyncio.sleep(10.5)
        assert len(moments) == 10
        job.remove()
        await asyncio.sleep(HOUR)
        assert len(moments) <= 11
        scheduler.add(nothing, Cron("0 0 * * *"), name="again")
        await asyncio.sleep(10.5)
        assert 20 <= len(moments) <= 22
        scheduler.pause()
        await asyncio.sleep(HOUR)
        assert len(moments) <= 22


async def test_a_clock_that_tells_of_its_steps_is_not_looked_at(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    planner = scheduler._engine.planner
    wake, moments = planner._wake, []
    planner._wake = lambda: (moments.append(virtual_time.monotonic()), wake())
    scheduler.add(nothing, Cron("0 12 * * *"))
    async with scheduler:
        await asyncio.sleep(24 * HOUR)
        assert len(moments) == 1
        virtual_time.step(1)
        await settle()
        assert len(moments) == 2
    virtual_time.step(1)
    await settle()
    assert len(moments) == 2
