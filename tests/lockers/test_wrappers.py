"""Monitored and Prefixed: against the suite, over lockers of two methods, and in each other."""

from __future__ import annotations

import asyncio
import logging

import pytest

import aiosched
from aiosched import Every, LeaseElector, Outcome, Scheduler
from aiosched.errors import AlreadyRan, LockerUnavailable, LockHeld, LockLost
from aiosched.lockers import FileLocker, MemoryLocker, Monitored, Prefixed, RedisLocker
from aiosched.model import Claim
from aiosched.protocols import (
    ClaimedLock,
    ClaimingLocker,
    ClockedLocker,
    InspectableLocker,
    Locker,
    RingingLocker,
)
from aiosched.testing.lockers import LockerConformance
from tests.lockers.support import ago, opened

SEAMS = (ClaimingLocker, ClockedLocker, InspectableLocker, RingingLocker)


def ignore(key, seconds, error):
    """Hear and say nothing."""


WRAPPERS = {
    "monitored": lambda locker: Monitored(locker, ignore),
    "prefixed": lambda locker: Prefixed(locker, "shop:"),
    "both": lambda locker: Monitored(Prefixed(locker, "shop:"), ignore),
    "both ways": lambda locker: Prefixed(Monitored(Prefixed(locker, "b:"), ignore), "a:"),
}


class Suite(LockerConformance):
    wrap = staticmethod(WRAPPERS["monitored"])

    def setup_method(self):
        self.locker = MemoryLocker()

    async def connect(self):
        return self.wrap(self.locker)

    async def kill_holder(self, claim):
        async def hold():
            await self.wrap(self.locker).claim(claim)

        await asyncio.to_thread(asyncio.run, hold())


class TestMonitored(Suite):
    pass


class TestPrefixed(Suite):
    wrap = staticmethod(WRAPPERS["prefixed"])


class TestBothWays(Suite):
    wrap = staticmethod(WRAPPERS["both ways"])


class TestOverFiles(Suite):
    wrap = staticmethod(WRAPPERS["both"])

    @pytest.fixture(autouse=True)
    def _path(self, tmp_path):
        self.path = tmp_path / "locks"

    async def connect(self):
        return self.wrap(FileLocker(self.path))

    async def kill_holder(self, claim):
        holder = FileLocker(self.path)
        await self.wrap(holder).claim(claim)
        opened = holder._open
        opened.finalizer()  # as the kernel does when its process is killed
        for actor in holder._actors.values():
            actor.abandon()


class Lock:
    def __init__(self, held, key):
        self.held, self.key = held, key

    async def unlock(self):
        self.held.remove(self.key)


class Plain:
    """A locker of two methods."""

    def __init__(self):
        self.held = []

    async def lock(self, key, /):
        if key in self.held:
            raise LockHeld(key)
        self.held.append(key)
        return Lock(self.held, key)


class Broken:
    async def lock(self, key, /):
        raise ConnectionRefusedError("nobody there")


class Countable(Plain):
    users = 0

    async def open(self):
        self.users += 1

    async def aclose(self):
        self.users -= 1


def seams_of(locker):
    return [kind for kind in SEAMS if isinstance(locker, kind)]


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize(
    "make",
    [Plain, MemoryLocker, lambda: FileLocker("locks"), lambda: RedisLocker("redis://127.0.0.1:1")],
    ids=["plain", "memory", "file", "redis"],
)
def test_a_wrapper_has_the_seams_of_what_it_is_around_and_no_others(make, wrap):
    inner = make()
    outer = wrap(inner)
    assert isinstance(outer, Locker)
    assert seams_of(outer) == seams_of(inner)
    for name in ("ttl", "last_error", "clock_offset"):
        assert getattr(outer, name, "absent") == getattr(inner, name, "absent")


def test_the_package_exports_both():
    assert (aiosched.Monitored, aiosched.Prefixed) == (Monitored, Prefixed)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Monitored(5, ignore), TypeError, "locker must have an async lock.*got 5"),
        (lambda: Monitored(MemoryLocker, ignore), TypeError, "locker must have an async lock"),
        (lambda: Monitored(Plain(), None), TypeError, "on_result must be a function .* got None"),
        (lambda: Monitored(Plain(), asyncio.sleep), TypeError, "on_result .* not async"),
        (lambda: Prefixed("redis://cache", "a:"), TypeError, "locker must have .* 'redis://cache'"),
        (lambda: Prefixed(Plain(), b"a:"), TypeError, "prefix must be text, got b'a:'"),
        (lambda: Prefixed(Plain(), ""), ValueError, "prefix must not be empty, got ''"),
    ],
)
def test_a_wrong_argument_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


async def test_grants_and_refusals_are_told_with_the_key_that_was_asked_for():
    told = []
    locker = Monitored(Prefixed(MemoryLocker(), "shop:"), lambda *result: told.append(result))
    due = ago(1)
    lock = await locker.claim(Claim("daily", due))
    with pytest.raises(LockHeld) as held:
        await locker.lock("daily")
    await lock.unlock()
    with pytest.raises(AlreadyRan) as ran:
        await locker.claim(Claim("daily", due))
    assert [(key, error) for key, _seconds, error in told] == [
        ("daily", None),
        ("daily", held.value),
        ("daily", ran.value),
    ]
    assert all(0 <= seconds < 60 for _key, seconds, _error in told)


async def test_what_a_locker_of_ones_own_raises_is_told_as_unavailable_and_raised_as_it_is():
    told = []
    locker = Monitored(Broken(), lambda *result: told.append(result))
    with pytest.raises(ConnectionRefusedError) as refusal:
        await locker.lock("key")
    ((key, _seconds, error),) = told
    assert (key, type(error), error.__cause__) == ("key", LockerUnavailable, refusal.value)
    assert str(error) == "ConnectionRefusedError: nobody there"


async def test_an_asking_that_is_cancelled_has_no_result():
    class Slow:
        async def lock(self, key, /):
            await asyncio.sleep(60)

    told = []
    task = asyncio.create_task(Monitored(Slow(), lambda *result: told.append(result)).lock("key"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == []


async def test_a_callback_that_raises_is_logged_and_changes_nothing(caplog):
    def fail(key, seconds, error):
        raise RuntimeError("no metrics today")

    locker = Monitored(MemoryLocker(), fail)
    lock = await locker.lock("key")
    with pytest.raises(LockHeld):
        await locker.lock("key")
    assert await lock.unlock()
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert caplog.messages[0] == "on_result raised for 'key'"


async def test_prefixes_keep_keys_apart_and_are_not_seen_inside():
    shared = MemoryLocker()
    ours, theirs = Prefixed(shared, "a:"), Prefixed(Prefixed(shared, "c:"), "b:")
    lock, other, third = [await each.lock("key") for each in (ours, theirs, shared)]
    assert (lock.key, other.key, third.key) == ("key", "key", "key")
    assert [record.key for record in await shared.records()] == ["a:key", "c:b:key", "key"]
    assert [record.key for record in await ours.records()] == ["key"]
    assert [record.key for record in await theirs.records()] == ["key"]
    with pytest.raises(LockHeld, match="'a:key' is held"):
        await ours.lock("key")
    for each in (lock, other, third):
        await each.unlock()


async def test_a_prefixed_lock_is_the_inner_one_under_another_key():
    locker, due = Prefixed(MemoryLocker(), "a:"), ago(1)
    async with await locker.claim(Claim("key", due)) as lock:
        assert isinstance(lock, ClaimedLock)
        assert (lock.key, lock.due_at, lock.attempt) == ("key", due, 1)
        assert lock.fence == lock.inner.fence
        lock.check()
        assert not hasattr(lock, "expires_in")
        assert "'key'" in repr(lock)
    assert await locker.last_claimed("key") == due
    with pytest.raises(LockLost):
        lock.check()
    (record,) = await locker.records()
    assert record.uncompleted is None, "left without an error: completed"


async def test_over_two_methods_keys_are_prefixed_and_locks_are_as_they_are():
    plain = Plain()
    lock = await Prefixed(plain, "a:").lock("key")
    assert type(lock) is Lock
    assert plain.held == ["a:key"]
    await lock.unlock()
    assert plain.held == []


async def test_two_wrappers_share_one_locker_which_counts_who_opens_it(tmp_path):
    shared = FileLocker(tmp_path / "locks")
    one, two = Prefixed(shared, "one:"), Monitored(shared, ignore)
    async with opened(two):
        async with opened(one):
            assert await (await one.lock("key")).unlock()
        assert await (await two.lock("key")).unlock(), "still open"
    with pytest.raises(LockerUnavailable, match="closed"):
        await two.lock("key")


async def test_what_can_be_opened_is_opened_and_closed_and_what_cannot_is_not():
    countable = Countable()
    async with opened(Monitored(Prefixed(countable, "a:"), ignore)):
        assert countable.users == 1
    assert countable.users == 0
    async with opened(Monitored(Prefixed(Plain(), "a:"), ignore)) as locker:
        assert not hasattr(locker, "claim")


async def test_rings_are_heard_through_wrappers_of_one_prefix_only(redis_server):
    heard, deaf = asyncio.Event(), asyncio.Event()
    locker = RedisLocker(redis_server.url)
    ours, theirs = Prefixed(Monitored(locker, ignore), "a:"), Prefixed(locker, "b:")
    async with opened(ours):
        listening = [
            asyncio.create_task(ours.listen("key", heard.set)),
            asyncio.create_task(theirs.listen("key", deaf.set)),
        ]
        for event in (heard, deaf):  # each is told once, when it begins to hear
            await asyncio.wait_for(event.wait(), 10)
            event.clear()
        ours.ring("key")
        await asyncio.wait_for(heard.wait(), 10)
        assert not deaf.is_set()
        for task in listening:
            task.cancel()
        await asyncio.wait(listening)


async def test_a_prefixed_lease_tells_how_long_it_lasts_and_is_renewed(redis_server):
    locker = Prefixed(RedisLocker(redis_server.url, ttl=1), "a:")
    async with opened(locker), await locker.lock("key") as lock:
        before = lock.inner.deadline
        assert 0 < lock.expires_in() <= 1
        async with asyncio.timeout(30):
            while lock.inner.deadline == before:
                await asyncio.sleep(0.02)
        lock.check()


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
async def test_an_elector_stands_over_a_wrapper(wrap, redis_server):
    wrapped = wrap(RedisLocker(redis_server.url))
    async with opened(LeaseElector(wrapped, "wrapped elections")) as elector, asyncio.timeout(30):
        while not await elector.is_leader():
            await asyncio.sleep(0.02)


@pytest.mark.virtual_time
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
async def test_a_fleet_over_wrappers_runs_each_occurrence_once(virtual_time, wrap, caplog):
    locker, runs, refused = MemoryLocker(), [], []

    async def job(run):
        runs.append((run.due_at, run.lock.key, run.fence))

    job.__qualname__, job.__module__ = "job", "fleet"
    job.__annotations__ = {"run": aiosched.Run}
    replicas = [Scheduler(clock=virtual_time, locker=wrap(locker)) for _ in range(3)]
    for each in replicas:
        each.add(job, Every(seconds=10))
        each.on(Outcome, lambda outcome: refused.append(outcome.refusal))
    for each in replicas:
        await each.start()
    await asyncio.sleep(95)
    for each in replicas:
        await each.stop()
    assert len(runs) == len({due for due, _key, _fence in runs}) == 9
    assert {key for _due, key, _fence in runs} == {"fleet:job"}
    assert [fence for *_, fence in runs] == sorted(fence for *_, fence in runs)
    assert [each.reason for each in refused if each] == ["already_ran"] * 18
    assert not caplog.messages, "no word of a locker that only excludes"
