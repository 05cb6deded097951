"""On a start, occurrences that came due while no replica ran are made up for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from aiosched import (
    Claim,
    Cron,
    Every,
    JobState,
    LockerUnavailable,
    MemoryLocker,
    Once,
    Run,
    Scheduler,
)
from tests.engine import support
from tests.engine.stores import Minimal, Told
from tests.engine.support import settle

HOURLY = Cron("0 * * * *")
HOUR = 3600


def at(hours):
    """Return the moment so many hours after virtual time began."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)


@pytest.fixture
def lines():
    return []


@pytest.fixture
def job(lines):
    async def job(run: Run):
        lines.append(((run.due_at - at(0)) / timedelta(hours=1), str(run.cause)))

    return job


@pytest.fixture
def locker(virtual_time):
    locker = MemoryLocker()
    locker.use_clock(virtual_time)
    return locker


@pytest.fixture
def restart(virtual_time, locker, job, lines):
    """Run for an hour, be away until 5:30, and start again; return what ran since."""

    async def restart(trigger=HOURLY, **options):
        scheduler = Scheduler(clock=virtual_time, locker=locker)
        scheduler.add(job, trigger, name="hourly", **options)
        async with scheduler:
            await asyncio.sleep(HOUR + 1)
        assert lines == [(1, "trigger")]
        lines.clear()
        await asyncio.sleep(4.5 * HOUR - 1)
        async with scheduler:
            await asyncio.sleep(1)
        return lines

    return restart


async def test_nothing_is_made_up_for_unless_it_is_asked_for(restart):
    assert await restart() == []


async def test_the_latest_missed_occurrence_is_made_up_for(restart):
    assert await restart(catch_up="latest") == [(5, "catch_up")]


async def test_all_missed_occurrences_are_made_up_for_in_order(restart):
    assert await restart(catch_up="all") == [(hour, "catch_up") for hour in (2, 3, 4, 5)]


@pytest.mark.parametrize(("catch_up", "expected"), [("all", [4, 5]), ("latest", [5])])
async def test_what_is_older_than_the_window_is_not_made_up_for(restart, catch_up, expected):
    ran = await restart(catch_up=catch_up, catch_up_window="1h 45m")
    assert [hour for hour, _ in ran] == expected


async def test_an_occurrence_as_old_as_the_window_is_made_up_for(restart):
    ran = await restart(catch_up="all", catch_up_window="2h 30m 1s")
    assert [hour for hour, _ in ran] == [3, 4, 5]


async def test_a_window_without_an_occurrence_makes_up_for_nothing(restart):
    assert await restart(catch_up="latest", catch_up_window="10m") == []


async def test_the_bounds_of_the_job_bound_what_is_made_up_for(restart):
    ran = await restart(catch_up="all", start_at=at(1), stop_at=at(4))
    assert [hour for hour, _ in ran] == [2, 3, 4]


async def test_a_moment_that_came_while_nobody_ran_is_made_up_for(virtual_time, locker, job, lines):
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    made = scheduler.add(job, Once(at(1), at(2)), name="hourly", catch_up="all")
    async with scheduler:
        await asyncio.sleep(HOUR + 1)
    await asyncio.sleep(5 * HOUR)
    async with scheduler:
        await asyncio.sleep(1)
        assert made.state is JobState.FINISHED
    assert lines == [(1, "trigger"), (2, "catch_up")]


async def test_a_job_that_has_had_all_its_runs_makes_up_for_no_more(
    virtual_time, locker, job, lines
):
    await (await locker.claim(Claim("hourly", at(0)))).unlock()
    virtual_time.step(5 * HOUR)
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    told = support.Told(scheduler)
    scheduler.add(job, HOURLY, name="hourly", catch_up="all", max_runs=2)
    async with scheduler:
        await asyncio.sleep(1)
    assert [hour for hour, _ in lines] == [1, 2]
    assert told.statuses() == ["succeeded"] * 2


async def test_occurrences_before_the_start_of_a_job_are_not_made_up_for(
    virtual_time, locker, job, lines
):
    virtual_time.step(HOUR)
    await (await locker.claim(Claim("hourly", at(1)))).unlock()
    virtual_time.step(5 * HOUR)
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    scheduler.add(job, HOURLY, name="hourly", catch_up="all", start_at=at(4))
    async with scheduler:
        await asyncio.sleep(1)
    assert [hour for hour, _ in lines] == [4, 5, 6]


async def test_the_misfire_grace_does_not_bound_what_is_made_up_for(restart):
    ran = await restart(catch_up="all", misfire_grace=60, catch_up_window="1d")
    assert [hour for hour, _ in ran] == [2, 3, 4, 5]


async def test_without_a_claim_to_remember_nothing_is_made_up_for(virtual_time, locker, job, lines):
    virtual_time.step(5 * HOUR)
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    scheduler.add(job, HOURLY, name="hourly", catch_up="all")
    async with scheduler:
        await asyncio.sleep(1)
    assert lines == []


async def test_an_occurrence_at_the_very_moment_of_the_start_is_made_up_for_once(
    virtual_time, locker, job, lines
):
    virtual_time.step(HOUR)
    await (await locker.claim(Claim("hourly", at(1)))).unlock()
    virtual_time.step(HOUR)
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    told = support.Told(scheduler)
    scheduler.add(job, HOURLY, name="hourly", catch_up="all")
    async with scheduler:
        await asyncio.sleep(1)
    assert lines == [(2, "catch_up")]
    assert told.statuses() == ["succeeded"]


async def test_of_replicas_that_start_together_each_occurrence_is_made_up_for_by_one(
    virtual_time, locker, job, lines
):
    virtual_time.step(HOUR)
    await (await locker.claim(Claim("hourly", at(1)))).unlock()
    virtual_time.step(4 * HOUR)
    replicas = [Scheduler(clock=virtual_time, locker=locker) for _ in range(3)]
    for scheduler in replicas:
        scheduler.add(job, HOURLY, name="hourly", catch_up="all")
    await asyncio.gather(*(scheduler.start() for scheduler in replicas))
    await asyncio.sleep(1)
    await asyncio.gather(*(scheduler.stop() for scheduler in replicas))
    assert sorted(lines) == [(hour, "catch_up") for hour in (2, 3, 4, 5)]


async def test_the_newest_of_many_missed_occurrences_is_found_at_once(virtual_time, locker, lines):
    asked: list[int] = []

    class Counting:
        """Every second, for planners that count in microseconds."""

        elapsed = False
        _every = Every(seconds=1, anchor=at(0))

        def next_after(self, moment):
            return self._every.next_after(moment)

        def next_us(self, us):
            asked.append(us)
            return self._every.next_us(us)

    async def note(run: Run):
        lines.append((run.due_at, str(run.cause)))

    virtual_time.step(1)
    await (await locker.claim(Claim("secondly", at(0)))).unlock()
    virtual_time.step(7 * 24 * HOUR - 2)
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    scheduler.add(note, Counting(), name="secondly", catch_up="latest")
    async with scheduler:
        await settle()
    assert lines == [(at(7 * 24) - timedelta(seconds=1), "catch_up")]
    assert len(asked) < 20


async def test_the_newest_occurrence_of_a_rare_job_is_found_however_long_ago(
    virtual_time, locker, lines
):
    async def note(run: Run):
        lines.append((run.due_at, str(run.cause)))

    await (await locker.claim(Claim("rare", at(0)))).unlock()
    virtual_time.step(6 * 24 * HOUR)
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    scheduler.add(note, Cron("0 0 2 1 *"), name="rare", catch_up="latest")
    async with scheduler:
        await settle()
    assert lines == [(at(24), "catch_up")]


async def test_a_paused_job_makes_up_for_nothing(virtual_time, locker, job, lines):
    await (await locker.claim(Claim("hourly", at(0)))).unlock()
    virtual_time.step(5 * HOUR)
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    scheduler.add(job, HOURLY, name="hourly", catch_up="all").pause()
    async with scheduler:
        await asyncio.sleep(1)
    assert lines == []


async def test_a_job_that_is_removed_makes_up_for_nothing_more(virtual_time, locker):
    ran: list[datetime] = []

    async def once(run: Run):
        ran.append(run.due_at)
        run.job.remove()

    await (await locker.claim(Claim("hourly", at(0)))).unlock()
    virtual_time.step(5 * HOUR)
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    scheduler.add(once, HOURLY, name="hourly", catch_up="all")
    async with scheduler:
        await asyncio.sleep(1)
    assert ran == [at(1)]


async def test_what_is_made_up_for_waits_for_its_job_instead_of_being_refused(virtual_time, locker):
    lines: list[tuple[str, float]] = []

    async def slow(run: Run):
        lines.append((str(run.cause), (run.due_at - at(0)) / timedelta(hours=1)))
        await asyncio.sleep(10)

    await (await locker.claim(Claim("hourly", at(0)))).unlock()
    virtual_time.step(3 * HOUR - 5)
    scheduler = Scheduler(clock=virtual_time, locker=locker, shutdown_timeout=60)
    told = support.Told(scheduler)
    scheduler.add(slow, HOURLY, name="hourly", catch_up="all", run_on_start=True, overlap="queue")
    async with scheduler:
        await asyncio.sleep(50)
    assert [each[0] for each in lines] == ["start", "catch_up", "trigger", "catch_up"]
    assert told.statuses() == ["succeeded"] * 4


async def test_what_is_made_up_for_waits_for_its_store(virtual_time, job, lines):
    is_away = False
    locker = Told(lambda _: LockerUnavailable("away") if is_away else None)
    locker.use_clock(virtual_time)
    await (await locker.claim(Claim("hourly", at(0)))).unlock()
    virtual_time.step(2 * HOUR + 60)
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    told = support.Told(scheduler)
    scheduler.add(job, HOURLY, name="hourly", catch_up="all", misfire_grace=1)
    async with scheduler:
        await settle(1)
        is_away = True
        await asyncio.sleep(20)
        assert told.outcomes == []
        is_away = False
        await asyncio.sleep(10)
    assert lines == [(1, "catch_up"), (2, "catch_up")]


async def test_what_was_going_to_be_made_up_for_is_cancelled_by_a_stop(virtual_time, locker):
    started: list[datetime] = []

    async def slow(run: Run):
        started.append(run.due_at)
        await asyncio.sleep(10)

    await (await locker.claim(Claim("hourly", at(0)))).unlock()
    virtual_time.step(5 * HOUR + 60)
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    scheduler.add(slow, HOURLY, name="hourly", catch_up="all")
    await scheduler.start()
    await asyncio.sleep(5)
    report = await scheduler.stop()
    await asyncio.sleep(60)
    assert started == [at(1)]
    assert report.finished == 1


async def test_a_locker_that_remembers_nothing_makes_up_for_nothing(virtual_time, job, lines):
    scheduler = Scheduler(clock=virtual_time, locker=Minimal())
    scheduler.add(job, HOURLY, name="hourly", catch_up="all")
    async with scheduler:
        await asyncio.sleep(HOUR + 1)
    virtual_time.step(5 * HOUR)
    async with scheduler:
        await asyncio.sleep(1)
    assert lines == [(1, "trigger")]


async def test_what_is_made_up_for_waits_for_a_key_that_another_replica_holds(
    virtual_time, locker, job, lines
):
    await (await locker.claim(Claim("hourly", at(-3)))).unlock()
    elsewhere = await locker.lock("hourly")
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    scheduler.add(job, HOURLY, name="hourly", catch_up="all")
    async with scheduler:
        await asyncio.sleep(5)
        assert lines == []
        await elsewhere.unlock()
        await asyncio.sleep(2)
    assert lines == [(hours, "catch_up") for hours in (-2, -1, 0)]
