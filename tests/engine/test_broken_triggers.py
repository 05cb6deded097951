"""A trigger that breaks stops its job, loudly, and no other."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from aiosched import Every, JobChanged, Scheduler
from tests.engine.support import START, Told, nothing


class Breaking:
    """A trigger that raises once it is asked for what comes after *last*."""

    def __init__(self, last: datetime, answer: Any = None) -> None:
        self.last = last
        self.answer = answer

    def next_after(self, moment: datetime) -> datetime | None:
        if moment < self.last:
            return moment.replace(microsecond=0) + timedelta(seconds=1)
        if self.answer is not None:
            return self.answer
        raise ZeroDivisionError("no more")


async def test_an_interval_of_ones_own_that_breaks_stops_its_job_too(
    scheduler: Scheduler, told: Told
) -> None:
    class Breaking:
        """Counts elapsed time, until it breaks."""

        elapsed = True

        def next_after(self, moment: datetime) -> datetime:
            return moment + timedelta(seconds=10)

        def gap(self, index: int) -> int:
            if index == 2:
                raise ZeroDivisionError("no more")
            return 10_000_000

    for name, from_completion in (("a", False), ("b", True)):
        scheduler.add(nothing, Breaking(), name=name, from_completion=from_completion)
    async with scheduler:
        await asyncio.sleep(60)
        assert len(scheduler.health().problems) == 2
        assert {job.state for job in scheduler} == {"scheduled"}
    assert len(told.outcomes) == 4


@pytest.mark.parametrize("answer", [None, START, START.replace(tzinfo=None), "soon"])
@pytest.mark.parametrize("seconds_until", [0, 3])
async def test_a_trigger_that_breaks_stops_its_job_loudly_and_no_other(
    answer: Any,
    seconds_until: int,
    scheduler: Scheduler,
    told: Told,
    caplog: pytest.LogCaptureFixture,
) -> None:
    changes: list[JobChanged] = []
    scheduler.on(JobChanged, changes.append)
    broken = scheduler.add(
        nothing, Breaking(START + timedelta(seconds=seconds_until), answer), name="broken"
    )
    well = scheduler.add(nothing, Every(seconds=1), name="well")
    async with scheduler:
        await asyncio.sleep(10.5)
        health = scheduler.health()
        assert (broken.state, broken.next_run) == ("scheduled", None)
    assert (len(told.of(broken)), len(told.of(well))) == (seconds_until, 10)
    assert [(each.job, each.change) for each in changes[2:]] == [(broken, "broken")]
    assert changes[2].error is not None
    assert "the trigger of job broken raised" in caplog.text
    assert not health.ok
    assert "the trigger of job 'broken' raised" in health.problems[0]


async def test_a_broken_job_is_well_again_with_another_trigger(
    scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, Breaking(START))
    async with scheduler:
        assert not scheduler.health().ok
        job.update(trigger=Every(seconds=1))
        assert scheduler.health().ok
        await asyncio.sleep(2.5)
    assert told.statuses() == ["succeeded"] * 2


async def test_a_removed_job_ails_nobody(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, Breaking(START))
    async with scheduler:
        job.remove()
        assert scheduler.health().ok
