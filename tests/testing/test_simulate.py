"""A year of a job in seconds, a fleet for a month, and the same history each time."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from aiosched import (
    Every,
    MemoryLocker,
    Monitored,
    Outcome,
    Planned,
    Scheduler,
    SchedulerClosed,
    Status,
    UnknownJob,
)
from aiosched.testing import VirtualClock, simulate

START = datetime(2026, 1, 1, tzinfo=UTC)


async def nothing():
    pass


def quarter_hourly():
    scheduler = Scheduler(timezone="Europe/Berlin")
    scheduler.cron("*/15 * * * *", name="quarter")(nothing)
    return scheduler


def test_a_year_of_a_quarter_hourly_job_replays_with_the_same_trace():
    first = simulate(quarter_hourly(), START, START.replace(year=2027))
    again = simulate(quarter_hourly(), START, START.replace(year=2027))
    assert len(first.of("quarter", Status.SUCCEEDED)) == 365 * 24 * 4 == len(first.outcomes)
    assert first.digest() == again.digest()


def test_another_history_has_another_digest():
    short = simulate(quarter_hourly(), START, START + timedelta(hours=1))
    longer = simulate(quarter_hourly(), START, START + timedelta(hours=2))
    assert short.digest() != longer.digest()


def fleet(locker):
    for number in range(3):
        scheduler = Scheduler(locker=locker, instance=f"replica {number}")
        scheduler.cron("*/15 * * * *", name="quarter")(nothing)
        scheduler.every(hours=1, name="hourly")(nothing)
        yield scheduler


def test_a_fleet_of_three_runs_each_occurrence_of_a_month_once_whatever_its_clocks():
    end = START + timedelta(days=31)
    result = simulate(fleet(MemoryLocker()), START, end, skews=(0.0, 0.25, -0.25))
    runs = Counter(each.run.id for each in result.outcomes if each.status is Status.SUCCEEDED)
    assert set(runs.values()) == {1}
    # Of the start itself, too: by the clock of the replica that is behind it is still to come.
    assert len(runs) == 31 * 24 * 5 + 2


def test_jobs_wait_in_virtual_time_and_see_it_in_datetime_now():
    scheduler = Scheduler()
    seen = []

    @scheduler.once(START + timedelta(hours=1), name="sleeper")
    async def sleeper():
        await asyncio.sleep(3600)
        seen.append(datetime.now(UTC))

    result = simulate(scheduler, START, START + timedelta(hours=3))
    assert [each.elapsed for each in result.of("sleeper")] == [3600.0]
    assert abs(seen[0] - (START + timedelta(hours=2))) < timedelta(seconds=1)


def test_it_keeps_other_events_when_asked():
    result = simulate(quarter_hourly(), START, START + timedelta(hours=1), events=True)
    assert {type(each) for each in result.events} > {Planned}
    assert not any(isinstance(each, Outcome) for each in result.events)
    assert simulate(quarter_hourly(), START, START + timedelta(hours=1)).events == ()


def a_service():
    scheduler = Scheduler(timezone="Europe/Berlin")
    scheduler.every(minutes=15, name="report")(nothing)
    scheduler.daily(at="02:30", name="nightly")(nothing)
    scheduler.once(START + timedelta(days=1), name="once")(nothing)
    scheduler.every(hours=1, name="few", max_runs=3)(nothing)
    scheduler.every(hours=1, name="paused")(nothing)
    scheduler["paused"].pause()
    return scheduler


def test_a_second_simulation_of_the_same_scheduler_has_the_same_history():
    scheduler = a_service()
    end = START + timedelta(days=30)
    first, again = (simulate(scheduler, START, end) for _ in range(2))
    assert len(first.of("nightly")) == 30
    assert len(first.of("once")) == 1
    assert len(first.of("few")) == 3
    assert first.of("paused") == []
    assert first.digest() == again.digest()
    before = START - timedelta(days=30)
    assert len(simulate(scheduler, before, START).of("nightly")) == 30


def test_a_fleet_can_be_simulated_again_with_its_memory_locker():
    schedulers = list(fleet(Monitored(MemoryLocker(), lambda *_: None)))
    first, again = (simulate(schedulers, START, START + timedelta(days=2)) for _ in range(2))
    assert len(first.of("quarter", "succeeded")) == 2 * 24 * 4
    assert first.digest() == again.digest()


async def test_after_a_simulation_a_scheduler_is_as_it_was():
    scheduler = a_service()
    clock = scheduler.clock
    locker = MemoryLocker()
    scheduler.add(nothing, Every(hours=1), name="locked", locker=locker)
    before = [(job.name, job.state, job.last) for job in scheduler]
    result = await asyncio.to_thread(simulate, scheduler, START, START + timedelta(days=2))
    assert len(result.of("locked")) == 48
    assert [(job.name, job.state, job.last) for job in scheduler] == before
    assert (scheduler.clock, scheduler.state) == (clock, "new")
    assert await locker.last_claimed("locked") is None
    async with scheduler:
        outcome = await scheduler["few"].run_now()
    assert (outcome.status, outcome.run.number) == ("succeeded", 1)
    assert datetime.now(UTC) - outcome.at < timedelta(minutes=1)


def test_a_simulation_of_a_scheduler_that_failed_leaves_no_trace_of_it():
    scheduler = Scheduler()

    class Broken:
        def next_after(self, moment):
            raise RuntimeError("broken")

    scheduler.add(nothing, Broken(), name="broken")
    simulate(scheduler, START, START + timedelta(hours=1))
    assert scheduler.health().problems == ()
    assert scheduler["broken"].state == "scheduled"


async def test_a_rehearsal_that_is_left_by_an_error_says_that_the_scheduler_runs():
    scheduler = Scheduler()

    async def rehearse():
        with scheduler.rehearsal(VirtualClock(START)):
            await scheduler.start()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await rehearse()
    assert scheduler.state == "running"
    await scheduler.stop()


async def test_a_rehearsal_ends_with_a_scheduler_that_does_not_run():
    scheduler = Scheduler()
    with (
        pytest.raises(SchedulerClosed, match="the end of a rehearsal is possible only while"),
        scheduler.rehearsal(VirtualClock(START)),
    ):
        await scheduler.start()
    await scheduler.stop()


async def test_a_scheduler_that_runs_cannot_be_simulated():
    async with Scheduler() as scheduler:
        with pytest.raises(SchedulerClosed, match="a rehearsal is possible only while"):
            await asyncio.to_thread(simulate, scheduler, START, START + timedelta(hours=1))


def test_jobs_that_are_added_meanwhile_are_known_and_forget_it():
    scheduler = Scheduler()

    @scheduler.once(START + timedelta(hours=1), name="first")
    async def first():
        scheduler.add(nothing, Every(hours=1), name="second", max_runs=2)

    result = simulate(scheduler, START, START + timedelta(hours=9))
    assert len(result.of("second")) == 2
    assert scheduler["second"].state == "scheduled"


def test_a_name_or_a_status_that_there_is_not_is_refused():
    result = simulate(a_service(), START, START + timedelta(hours=1))
    assert result.of("nightly") == []
    with pytest.raises(UnknownJob, match=r"no such job in the simulation: 'nighty'; .* nightly,"):
        result.of("nighty")
    with pytest.raises(ValueError, match="'done' is not a valid Status"):
        result.of("nightly", "done")
    assert repr(result) == "<Simulation: 5 outcomes of 5 jobs>"


@pytest.mark.parametrize(
    ("schedulers", "skews", "complaint"),
    [
        (nothing, (), "schedulers must be a Scheduler or several, got <function nothing"),
        ([Scheduler(), 5], (), "schedulers must be a Scheduler or several, got 5"),
        (Scheduler(), "x", "skews must be several numbers of seconds, got 'x'"),
        (Scheduler(), 3, "skews must be several numbers of seconds, got 3"),
        (Scheduler(), ["x"], "skews must be numbers of seconds, got 'x'"),
        (Scheduler(), [1, 2], r"skews must be at most one for each of 1 schedulers, got \[1, 2\]"),
    ],
)
def test_what_cannot_be_simulated_is_named(schedulers, skews, complaint):
    with pytest.raises((TypeError, ValueError), match=complaint):
        simulate(schedulers, START, START + timedelta(hours=1), skews=skews)


def test_the_end_must_come_after_the_start():
    with pytest.raises(ValueError, match="end must be after start"):
        simulate(quarter_hourly(), START, START)


async def test_the_fixture_gives_a_running_scheduler_in_virtual_time(
    aiosched_scheduler: Scheduler, virtual_time: VirtualClock
):
    runs = []
    aiosched_scheduler.every(minutes=1, name="tick")(lambda: runs.append(virtual_time.now()))
    await asyncio.sleep(150)
    assert len(runs) == 2
