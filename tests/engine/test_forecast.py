"""What comes next: bounds, limits, pauses and zones included."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from aiosched import Cron, Every, Scheduler
from tests.engine.support import Told, Work, at, due, nothing, seconds, settle


async def test_next_runs_honour_bounds_and_max_runs(scheduler: Scheduler) -> None:
    job = scheduler.add(
        nothing, Cron("*/10 * * * * *"), start_at=at(20), stop_at=at(90), max_runs=4
    )
    assert seconds(*job.next_runs(10)) == [20, 30, 40, 50]
    async with scheduler:
        await asyncio.sleep(35)
        assert seconds(*job.next_runs(10)) == [40, 50]
        job.update(max_runs=None)
        assert seconds(*job.next_runs(10)) == [40, 50, 60, 70, 80, 90]
        assert seconds(*job.next_runs(2)) == [40, 50]
        assert job.next_runs(0) == []
    with pytest.raises(ValueError, match="n must not be negative, got -1"):
        job.next_runs(-1)


@pytest.mark.parametrize("n", ["5", 2.5, True, None])
async def test_the_number_of_next_runs_is_an_int(scheduler: Scheduler, n: Any) -> None:
    job = scheduler.add(nothing, Every(seconds=10))
    with pytest.raises(TypeError) as refusal:
        job.next_runs(n)
    assert str(refusal.value) == f"n must be an int, got {n!r}"


async def test_next_runs_of_an_interval_are_those_that_come(
    scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, Every(seconds=10))
    assert seconds(*job.next_runs(3)) == [10, 20, 30]
    async with scheduler:
        await asyncio.sleep(12)
        foreseen = job.next_runs(3)
        await asyncio.sleep(30)
    assert due(told)[1:] == seconds(*foreseen)
    assert seconds(job.next_run) == [52]  # if it started now


async def test_next_runs_of_a_single_delay_are_one(scheduler: Scheduler) -> None:
    scheduler.once(after="90s", name="job")(nothing)
    assert seconds(*scheduler["job"].next_runs(3)) == [90]
    async with scheduler:
        assert seconds(*scheduler["job"].next_runs(3)) == [90]


async def test_nothing_is_foreseen_while_an_interval_waits_for_the_end_of_a_run(
    scheduler: Scheduler,
) -> None:
    work = Work()
    job = scheduler.add(work, Every(seconds=10), from_completion=True)
    async with scheduler:
        assert seconds(*job.next_runs(2)) == [10, 20]
        await asyncio.sleep(12)
        assert job.next_run is None
        work.end()
        await settle()
        assert seconds(*job.next_runs(2)) == [22, 32]


async def test_next_runs_are_in_the_triggers_zone(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, Cron("0 9 * * *", tz="Europe/Berlin"))
    assert [str(each) for each in job.next_runs(1)] == ["2026-01-01 09:00:00+01:00"]


async def test_next_runs_of_a_custom_trigger_are_in_its_zone_too(scheduler: Scheduler) -> None:
    class Noon:
        """Noon in Tokyo."""

        zone_of_it = timezone(timedelta(hours=9))

        def next_after(self, moment: datetime) -> datetime:
            noon = moment.astimezone(self.zone_of_it).replace(hour=12, minute=0, second=0)
            return noon if noon > moment else noon + timedelta(days=1)

    job = scheduler.add(nothing, Noon())
    expected = ["2026-01-01 12:00:00+09:00", "2026-01-02 12:00:00+09:00"]
    assert [str(each) for each in job.next_runs(2)] == expected
    async with scheduler:
        assert [str(each) for each in job.next_runs(2)] == expected


async def test_next_runs_of_a_union_are_each_in_the_zone_that_named_it(
    scheduler: Scheduler,
) -> None:
    trigger = Cron("0 9 * * *", tz="Europe/Berlin") | Cron("0 20 * * *", tz="Asia/Tokyo")
    job = scheduler.add(nothing, trigger)
    assert [str(each) for each in job.next_runs(2)] == [
        "2026-01-01 09:00:00+01:00",
        "2026-01-01 20:00:00+09:00",
    ]
