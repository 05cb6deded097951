"""A year of a job in seconds, a fleet for a month, and the same history each time."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from aiosched import MemoryLocker, Outcome, Planned, Scheduler, Status
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
