"""The suite itself: what it asks of who inherits it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from aiosched.errors import LockHeld
from aiosched.lockers import MemoryLocker
from aiosched.model import Claim
from aiosched.testing._interrupt import Moment, interrupt
from aiosched.testing._lockers_base import LockerSuite


async def test_it_must_be_told_how_to_reach_the_store():
    with pytest.raises(NotImplementedError, match="how to connect"):
        await LockerSuite().connect()
    with pytest.raises(NotImplementedError, match="how a holder dies"):
        await LockerSuite().kill_holder(Claim("key"))


async def test_its_clock_is_the_hosts():
    before = datetime.now(UTC)
    assert before <= await LockerSuite().now() <= datetime.now(UTC)


async def test_a_key_that_is_never_freed_is_a_failure():
    class Impatient(LockerSuite):
        patience = 0.05

    locker = MemoryLocker()
    lock = await locker.lock("key")
    with pytest.raises(LockHeld):
        await Impatient().freed(locker, Claim("key"))
    await lock.unlock()


async def three_steps(steps):
    for step in range(3):
        steps.append(step)
        await asyncio.sleep(0)
    return "done"


@pytest.mark.parametrize("moment", Moment)
async def test_a_coroutine_is_cancelled_where_it_was_said(moment):
    steps = []
    assert await interrupt(three_steps(steps), 0, moment) == (True, None)
    assert steps[0] == 0
    assert steps[-1] < 2 or moment is Moment.LATER


async def test_a_coroutine_without_so_many_steps_is_not_cancelled():
    assert await interrupt(three_steps([]), 3, Moment.AT_ONCE) == (False, "done")


async def test_an_error_of_the_coroutine_is_raised():
    async def fail():
        await asyncio.sleep(0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await interrupt(fail(), 5, Moment.AT_ONCE)
