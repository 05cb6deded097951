"""A locked run may be cancelled at every await: it has one outcome, and its key is free."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from aiosched import (
    Claim,
    Cron,
    Every,
    LockerUnavailable,
    MemoryLocker,
    Run,
    Scheduler,
    Status,
    SystemClock,
    TooEarly,
)
from aiosched._engine.runner import Runner
from aiosched.lockers import FileLocker
from aiosched.testing import run as run_virtually
from aiosched.testing._interrupt import Interrupted, Moment
from tests.engine import support
from tests.engine.stores import Minimal, Told, die_holding
from tests.engine.support import settle

SOON = Cron("* * * * * *")


def at(seconds):
    """Return the moment so many seconds after virtual time began."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


@asynccontextmanager
async def gate(_run):
    """A gate that waits on its way in, and on its way out."""
    await asyncio.sleep(0.01)
    try:
        yield None
    finally:
        await asyncio.sleep(0)


async def job(_run: Run):
    await asyncio.sleep(0.01)
    await asyncio.sleep(0.01)


async def of_memory(_clock):
    return MemoryLocker()


async def of_a_distant_store(_clock):
    locker = Told()
    locker.latency = 0.01
    return locker


async def of_a_store_that_is_away(_clock):
    answers = iter([LockerUnavailable("away"), LockerUnavailable("away")])
    locker = Told(lambda _: next(answers, None))
    locker.latency = 0.01
    return locker


async def of_a_store_that_is_behind(_clock):
    answers = iter([TooEarly(wait=1)])
    return Told(lambda _: next(answers, None))


async def of_ones_own(_clock):
    locker = Minimal()
    locker.delay = 0.01
    return locker


async def with_an_older_occurrence(clock):
    locker = Told()
    locker.use_clock(clock)
    await die_holding(locker.memory, Claim("job", at(0), redeliver=True))
    return locker


async def interrupted_life(clock, locker, which, interruption, trigger=SOON):
    """Let one run be cancelled at one suspension, and look at what is left.

    Returns:
        Whether there was that suspension.
    """
    perform = Runner.perform
    interrupts: list[Interrupted] = []

    def interrupting(self, run):
        work = perform(self, run)
        if interrupts or run.cause != which:
            return work
        interrupts.append(Interrupted(work, *interruption))
        return follow(interrupts[0])

    async def follow(interrupted):
        return await interrupted

    scheduler = Scheduler(clock=clock, locker=locker)
    told = support.Told(scheduler)
    made = scheduler.add(job, trigger, name="job", gates=[gate], delivery="at_least_once")
    before = asyncio.all_tasks()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runner, "perform", interrupting)
        await scheduler.start()
        while not interrupts:
            await asyncio.sleep(0.01)
    made.pause()
    while made.running or scheduler.running:
        await asyncio.sleep(0.01)
    outcomes = Counter(outcome.run for outcome in told.outcomes)
    assert set(outcomes.values()) == {1}
    assert sorted(run.number for run in outcomes) == list(range(1, made._fired + 1))
    assert scheduler.queued == 0
    last = await made.run_now()
    assert last.status is Status.SUCCEEDED, last
    await scheduler.stop()
    await settle()
    assert asyncio.all_tasks() == before
    return interrupts[0].reached


SCENARIOS = [
    (of_memory, "trigger"),
    (of_a_distant_store, "trigger"),
    (of_a_store_that_is_away, "trigger"),
    (of_a_store_that_is_behind, "trigger"),
    (of_ones_own, "trigger"),
    (with_an_older_occurrence, "trigger"),
    (with_an_older_occurrence, "redelivery"),
]


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize(("make", "which"), SCENARIOS)
def test_a_run_cancelled_at_any_await_has_one_outcome_and_leaves_the_key_free(make, which, moment):
    async def life(clock):
        return await interrupted_life(clock, await make(clock), which, (wait, moment))

    wait = 0
    while run_virtually(life):
        wait += 1
    assert wait >= 4


@pytest.mark.parametrize("moment", [Moment.AT_ONCE, Moment.ANSWERED])
def test_a_run_cancelled_at_any_await_leaves_nothing_in_a_file_either(tmp_path, moment):
    async def life():
        clock, locker = SystemClock(), FileLocker(tmp_path / str(wait))
        often = Every(milliseconds=20)
        return await interrupted_life(clock, locker, "trigger", (wait, moment), often)

    wait = 0
    while asyncio.run(life()):
        wait += 1
    assert wait >= 5
