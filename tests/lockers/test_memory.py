"""MemoryLocker against the suite, and what is its own."""

from __future__ import annotations

import asyncio
import threading

import pytest

from aiosched.clock import SystemClock
from aiosched.durations import SECOND
from aiosched.errors import LockHeld, LockLost, TooEarly
from aiosched.lockers import MemoryLocker
from aiosched.model import Claim
from aiosched.moments import from_us
from aiosched.protocols import ClockedLocker
from aiosched.testing.lockers import LockerConformance


class TestMemoryLocker(LockerConformance):
    def setup_method(self):
        self.locker = MemoryLocker()

    async def connect(self):
        return self.locker

    async def kill_holder(self, claim):
        await asyncio.to_thread(asyncio.run, self.locker.claim(claim))


class TestMemoryLockerInVirtualTime(TestMemoryLocker):
    @pytest.fixture(autouse=True)
    def _clock(self, virtual_time):
        self.clock = virtual_time
        self.locker.use_clock(virtual_time)

    async def now(self):
        return from_us(self.clock.now())


class StillClock(SystemClock):
    def now(self):
        return 1_800_000_000 * SECOND + round(self.skew * SECOND)


async def test_it_lives_by_its_schedulers_clock_without_skew():
    locker = MemoryLocker()
    assert isinstance(locker, ClockedLocker)
    due = from_us(StillClock().now())
    for skew in (0.0, -5.0, 5.0):
        locker.use_clock(StillClock(skew=skew))
        with pytest.raises(TooEarly) as refusal:
            await locker.claim(Claim(f"early {skew}", from_us(StillClock().now() + SECOND)))
        assert refusal.value.wait == 1.0
        assert (await locker.claim(Claim(f"due {skew}", due))).fence == StillClock().now()


async def test_claiming_never_suspends():
    coroutine = MemoryLocker().claim(Claim("key"))
    with pytest.raises(StopIteration):
        coroutine.send(None)


async def test_threads_that_race_have_one_winner_each_time():
    locker, granted, refused = MemoryLocker(), [], []
    barrier = threading.Barrier(4)

    async def race():
        for number in range(200):
            barrier.wait()
            try:
                granted.append((await locker.claim(Claim(f"key {number}"))).key)
            except LockHeld:
                refused.append(number)
            barrier.wait()

    await asyncio.gather(*(asyncio.to_thread(asyncio.run, race()) for _ in range(4)))
    assert sorted(granted) == sorted(f"key {number}" for number in range(200))
    assert len(refused) == 600


def test_a_loop_that_is_closed_has_lost_its_locks():
    locker = MemoryLocker()
    loop = asyncio.new_event_loop()
    lock = loop.run_until_complete(locker.lock("key"))

    async def other():
        with pytest.raises(LockHeld):
            await locker.lock("key")
        loop.close()
        again = await locker.lock("key")
        assert await lock.unlock() is False
        return await again.unlock()

    assert asyncio.run(other()) is True
    assert locker._holdings == {}


async def test_closing_tells_the_holders_in_other_loops():
    locker = MemoryLocker()
    held, told = threading.Event(), threading.Event()

    async def hold():
        lock = await locker.lock("key")
        held.set()
        await lock.lost.wait()
        with pytest.raises(LockLost, match="closed"):
            lock.check()
        told.set()

    thread = threading.Thread(target=asyncio.run, args=(hold(),))
    thread.start()
    await asyncio.to_thread(held.wait, 5)
    await locker.aclose()
    await asyncio.to_thread(thread.join, 5)
    assert told.is_set()


def test_closing_after_a_loop_was_closed_is_no_error():
    locker = MemoryLocker()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(locker.lock("key"))
    loop.close()
    asyncio.run(locker.aclose())
    assert locker._holdings == {}


@pytest.mark.virtual_time
async def test_forgotten_records_are_purged_in_passing(virtual_time):
    locker = MemoryLocker()
    locker.use_clock(virtual_time)
    for number in range(5):
        claim = Claim(f"short {number}", from_us(virtual_time.now()), keep=10, exact=True)
        await (await locker.claim(claim)).unlock()
    held = await locker.claim(Claim("held", keep=10))
    await asyncio.sleep(61)
    await (await locker.lock("new")).unlock()
    assert sorted(locker._records) == ["held", "new"]
    assert locker._exact == {}
    await held.unlock()


@pytest.mark.virtual_time
async def test_it_shows_what_it_remembers(virtual_time):
    locker = MemoryLocker()
    locker.use_clock(virtual_time)
    due = from_us(virtual_time.now())
    lock = await locker.claim(Claim("b", due))
    await (await locker.claim(Claim("a", keep=5))).unlock()
    shown = await locker.records()
    assert [(each.key, each.held, each.last_claimed) for each in shown] == [
        ("a", False, None),
        ("b", True, due),
    ]
    await asyncio.sleep(6)
    assert [each.key for each in await locker.records()] == ["b"]
    await lock.unlock()
