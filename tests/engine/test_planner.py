"""WHEN: what is planned, what is told of it, and when the loop is woken for it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from aiosched import Cron, Every, JobState, Once, Planned, RandomEvery, Run, Scheduler
from aiosched._engine.jitter import share
from tests.engine import support
from tests.engine.support import settle

MINUTELY = Cron("* * * * *")
HOUR = 3600


def at(seconds):
    """Return the moment so many seconds after virtual time began."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


async def nothing():
    """Be a job."""


@pytest.fixture
def planned(scheduler):
    planned: list[Planned] = []
    scheduler.on(Planned, planned.append)
    return planned


# -- what is told -------------------------------------------------------------------------------


async def test_each_next_occurrence_is_told_once(scheduler, planned):
    scheduler.add(nothing, MINUTELY)
    async with scheduler:
        await asyncio.sleep(121)
    assert [each.due_at for each in planned] == [at(60), at(120), at(180)]
    assert [each.at for each in planned] == pytest.approx(
        [at(0), at(60), at(120)], abs=timedelta(milliseconds=1)
    )


async def test_the_next_occurrence_of_an_interval_is_told_in_wall_time(scheduler, planned):
    scheduler.add(nothing, Every(seconds=7))
    async with scheduler:
        await asyncio.sleep(8)
    assert [each.due_at for each in planned] == [at(7), at(14)]


async def test_jitter_does_not_change_what_is_told(scheduler, planned):
    job = scheduler.add(nothing, MINUTELY, jitter=30)
    async with scheduler:
        assert job.next_run == at(60)
    assert [each.due_at for each in planned] == [at(60)]


# -- when it wakes ------------------------------------------------------------------------------


async def test_nothing_starts_early_and_everything_within_a_millisecond(virtual_time, make):
    scheduler = make()
    told = support.Told(scheduler)
    for number in range(1, 50):
        scheduler.add(nothing, Every(seconds=number / 7), name=f"every {number}")
    scheduler.add(nothing, Cron("* * * * * *"), name="cron")
    async with scheduler:
        await asyncio.sleep(30)
    assert len(told.outcomes) > 500
    for outcome in told.outcomes:
        assert timedelta(0) <= outcome.started_at - outcome.run.due_at < timedelta(milliseconds=1)


async def test_a_run_after_100_days_is_on_time(scheduler, told):
    scheduler.add(nothing, Every("2400h 1us"))
    async with scheduler:
        await asyncio.sleep(101 * 24 * HOUR)
    (outcome,) = told.outcomes
    assert outcome.lateness < 0.001


async def test_a_nearer_occurrence_that_is_added_later_is_woken_for_first(
    virtual_time, scheduler, told
):
    scheduler.add(nothing, Every(hours=1), name="far")
    async with scheduler:
        await asyncio.sleep(10)
        scheduler.add(nothing, Every(seconds=5), name="near")
        await asyncio.sleep(6)
        assert [each.job.name for each in told.outcomes] == ["near"]


async def test_a_timer_for_what_is_gone_wakes_at_most_once(virtual_time, scheduler):
    planner = scheduler._engine.planner
    wake, moments = planner._wake, []
    planner._wake = lambda: (moments.append(virtual_time.monotonic()), wake())
    scheduler.add(nothing, Every(hours=1), name="far")
    near = scheduler.add(nothing, Every(seconds=5), name="near")
    async with scheduler:
        near.remove()
        await asyncio.sleep(HOUR + 1)
    assert len(moments) <= 2


async def test_one_timer_serves_thousands_of_jobs(scheduler, told):
    loop = asyncio.get_running_loop()
    for number in range(2_000):
        scheduler.add(nothing, Every(seconds=10 + number / 250), name=str(number))
    async with scheduler:
        assert len(loop._scheduled) == 1
        await asyncio.sleep(18)
        assert len(told.outcomes) == 2_000


async def test_random_intervals_that_count_from_the_start_are_planned_one_by_one(scheduler, told):
    scheduler.add(nothing, RandomEvery(10, 20, seed=1), from_completion=True)
    async with scheduler:
        await asyncio.sleep(200)
    gaps = [
        (later.run.due_at - sooner.run.due_at).total_seconds()
        for sooner, later in pairwise(told.outcomes)
    ]
    assert len(gaps) >= 9
    assert all(10 < gap < 20 for gap in gaps)
    assert len(set(gaps)) > 5


# -- jitter -------------------------------------------------------------------------------------


async def test_jitter_delays_each_run_by_less_than_itself_and_not_all_alike(scheduler, told):
    scheduler.add(nothing, MINUTELY, jitter=20, name="a")
    scheduler.add(nothing, MINUTELY, jitter=20, name="b")
    async with scheduler:
        await asyncio.sleep(10 * 60 + 30)
    delays = [(each.started_at - each.run.due_at).total_seconds() for each in told.outcomes]
    assert len(delays) == 20
    assert all(0 <= delay < 20 for delay in delays)
    assert len({round(delay, 3) for delay in delays}) == 20
    assert all(each.lateness < 0.001 for each in told.outcomes)


async def test_jitter_is_the_same_on_every_host(make):
    replicas = [make(), make()]
    told = support.Told(*replicas)
    for scheduler in replicas:
        scheduler.add(nothing, MINUTELY, jitter=20, name="a")
        await scheduler.start()
    await asyncio.sleep(5 * 60)
    for scheduler in replicas:
        await scheduler.stop()
    starts: dict[str, set[datetime]] = {}
    for outcome in told.outcomes:
        starts.setdefault(outcome.run.id, set()).add(outcome.started_at)
    assert {len(moments) for moments in starts.values()} == {1}


async def test_jitter_longer_than_the_interval_loses_nothing(scheduler, told):
    scheduler.add(nothing, Every(seconds=1), jitter=30, max_instances=None, coalesce="all")
    async with scheduler:
        await asyncio.sleep(100)
    dues = [each.run.due_at for each in told.outcomes]
    assert dues == [at(second) for second in range(1, len(dues) + 1)]
    assert len(dues) > 65
    assert set(told.statuses()) == {"succeeded"}


def test_a_share_is_spread_evenly_and_takes_any_name():
    shares = [share("name", occurrence) for occurrence in range(1_000)]
    assert all(0 <= each < 1 for each in shares)
    assert 0.45 < sum(shares) / 1_000 < 0.55
    assert share("a\ud800", 1) != share("b", 1)


# -- bounds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("trigger", [MINUTELY, Every(seconds=60)])
async def test_both_bounds_are_inclusive(scheduler, told, trigger):
    job = scheduler.add(nothing, trigger, start_at=at(120), stop_at=at(240))
    assert job.next_runs(10) == [at(120), at(180), at(240)]
    async with scheduler:
        await asyncio.sleep(600)
        assert job.state is JobState.FINISHED
    assert [each.run.due_at for each in told.outcomes] == [at(120), at(180), at(240)]


async def test_an_interval_that_counts_elapsed_time_ends_with_its_bound(scheduler, told):
    scheduler.add(nothing, Every(seconds=60), stop_at=at(150))
    async with scheduler:
        await asyncio.sleep(600)
    assert [each.run.due_at for each in told.outcomes] == [at(60), at(120)]


async def test_a_start_long_after_the_bound_finishes_the_job(scheduler, told):
    job = scheduler.add(nothing, MINUTELY, stop_at=at(-60))
    async with scheduler:
        await settle()
        assert job.state is JobState.FINISHED
        assert job.next_run is None
    assert told.outcomes == []


async def test_a_moment_that_has_passed_does_not_run(scheduler, told):
    job = scheduler.add(nothing, Once(at(-1)))
    async with scheduler:
        await asyncio.sleep(5)
        assert job.state is JobState.FINISHED
    assert told.outcomes == []


async def test_a_delay_counts_from_each_start_until_it_has_run(scheduler, told):
    scheduler.once(after="90s", name="once")(nothing)
    async with scheduler:
        await asyncio.sleep(60)
    async with scheduler:
        await asyncio.sleep(60)
        assert told.outcomes == []
        await asyncio.sleep(31)
    async with scheduler:
        await asyncio.sleep(200)
    assert told.statuses() == ["succeeded"]


# -- other loops --------------------------------------------------------------------------------


def test_on_uvloop_nothing_is_early_and_each_instant_costs_two_wake_ups_at_most():
    uvloop = pytest.importorskip("uvloop")
    scheduler = Scheduler()
    told = support.Told(scheduler)
    planner = scheduler._engine.planner
    wake, wake_ups = planner._wake, []
    planner._wake = lambda: (wake_ups.append(time.monotonic()), wake())
    early: list[float] = []

    async def tick(run: Run):
        early.append(time.time() - run.due_us / 1e6)

    scheduler.add(tick, Every(milliseconds=13))

    async def life():
        async with scheduler:
            await asyncio.sleep(0.7)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(life())
    instants = len(told.outcomes)
    assert instants > 20
    assert min(early) >= 0
    assert len(wake_ups) <= 2 * instants


async def test_in_real_time_nothing_is_early():
    scheduler = Scheduler()
    early: list[float] = []

    async def tick(run: Run):
        early.append(time.time() - run.due_us / 1e6)

    scheduler.add(tick, Every(milliseconds=7))
    async with scheduler:
        await asyncio.sleep(0.3)
    assert len(early) > 10
    assert min(early) >= 0
