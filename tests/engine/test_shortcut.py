"""The short way of a usual run ends where the long way does."""

import asyncio
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest

from aiosched import Daily, Every, Once, Outcome, Scheduler
from aiosched.testing import VirtualClock, run
from aiosched.triggers import After

START = datetime(2026, 1, 1, tzinfo=UTC)
TRIGGERS = [
    Every(seconds=7),
    Every(seconds=7, anchor=START),
    Daily(["00:00:10", "00:00:20", "00:01"]),
    Once(START + timedelta(seconds=5), START + timedelta(seconds=9)),
    After("12s"),
]


def history(trigger, *, listen: bool, works_for: float = 0.0):
    """What is known of a job after two minutes."""

    async def work():
        await asyncio.sleep(works_for)
        return 42

    async def main(clock: VirtualClock):
        scheduler = Scheduler(clock=clock)
        if listen:
            scheduler.on(Outcome, lambda _: None)
        job = scheduler.add(work, trigger, name="job")
        async with scheduler:
            await asyncio.sleep(120.5)
            last = replace(job.last, run=None)
            run_of_it = (job.last.run.id, job.last.run.number, job.last.run.cause)
            return last, run_of_it, job.next_run, job.state, len(job.running), scheduler.running

    return run(main, start=START)


@pytest.mark.parametrize("works_for", [0.0, 1.5, 10.0])
@pytest.mark.parametrize("trigger", TRIGGERS, ids=repr)
def test_both_ways_leave_the_same_behind(trigger, works_for):
    short = history(trigger, listen=False, works_for=works_for)
    assert short == history(trigger, listen=True, works_for=works_for)
    assert short[0].value == 42 or works_for == 10.0
    assert {field.name for field in fields(Outcome)} >= {"elapsed", "lateness", "started_at"}


async def test_a_trigger_that_raises_on_the_short_way_is_told_of(virtual_time, caplog):
    class Breaks:
        def next_after(self, moment):
            if moment > START + timedelta(seconds=3):
                raise ValueError("no more")
            return moment + timedelta(seconds=2)

    runs = []
    scheduler = Scheduler(clock=virtual_time)
    job = scheduler.add(lambda: runs.append(1), Breaks(), name="job", executor="async")
    async with scheduler:
        await asyncio.sleep(10)
        assert job.next_run is None
        assert not scheduler.health().ok
    assert len(runs) == 2
    assert "the trigger of job job raised" in caplog.text
