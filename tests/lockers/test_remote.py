"""What lockers on servers share, on a server that is a dict, in virtual time."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from aiosched.errors import LockerUnavailable, LockHeld, LockLost, UnfitStore
from aiosched.lockers import _remote
from aiosched.lockers._remote import RemoteLocker
from aiosched.lockers._renewal import Lease
from aiosched.lockers._requests import Ask, Look, Ping, Release

pytestmark = pytest.mark.virtual_time


class Store:
    def __init__(self, locker):
        self.locker = locker
        self.loop = asyncio.get_running_loop()
        self.is_closed = False

    async def perform(self, batch):
        self.locker.asked += batch
        await asyncio.sleep(self.locker.delay)
        if self.locker.error is not None:
            raise self.locker.error
        return [self.answer(request) for request in batch]

    def answer(self, request):
        match request:
            case Ping():
                return True
            case Look():
                return "the newest"
            case Ask():
                if self.locker.holders.setdefault(request.key, request.attempt) != request.attempt:
                    return LockHeld()
                return SimpleNamespace(due=None, fence=1, attempt=1)
            case Release():
                return self.locker.holders.pop(request.key, None) == request.attempt

    async def close(self):
        self.is_closed = True


class Locker(RemoteLocker):
    def __init__(self):
        super().__init__(Lease(9), name="tested-locker")
        self.holders = {}
        self.asked = []
        self.stores = []
        self.delay = 0.0
        self.error = None

    def _connect(self):
        self.stores.append(Store(self))
        return self.stores[-1]


@pytest.fixture
def locker():
    return Locker()


def own_tasks():
    return [task for task in asyncio.all_tasks() if task.get_name().startswith("tested")]


async def test_it_opens_itself_when_first_used(locker):
    assert not locker.stores
    lock = await locker.lock("key")
    assert await locker.last_claimed("key") == "the newest"
    assert await lock.unlock()
    assert len(locker.stores) == 1
    await locker.aclose()
    assert locker.stores[0].is_closed


async def test_a_server_that_is_there_is_asked_once(locker):
    await locker.open()
    assert [type(request) for request in locker.asked] == [Ping]
    assert locker.last_error is None
    assert not own_tasks()
    await locker.aclose()


async def test_a_server_that_is_not_there_is_reached_in_the_background(locker):
    locker.error = LockerUnavailable("down")
    await locker.open()
    with pytest.raises(LockerUnavailable, match="down"):
        await locker.lock("key")
    assert str(locker.last_error) == "down"
    await asyncio.sleep(60)
    assert 10 < len(locker.asked) < 30
    locker.error = None
    await asyncio.sleep(5)
    assert locker.last_error is None
    assert not own_tasks()
    await locker.aclose()


async def test_a_server_that_does_not_answer_holds_nobody_up(locker):
    locker.delay = 100
    began = asyncio.get_running_loop().time()
    await locker.open()
    assert asyncio.get_running_loop().time() - began <= 1
    await locker.open()  # it is being tried already
    await locker.aclose()
    await locker.aclose()
    assert not own_tasks()
    assert locker.stores[0].is_closed


async def test_a_server_that_cannot_be_used_is_an_error(locker):
    locker.error = UnfitStore("wrong password")
    with pytest.raises(UnfitStore, match="wrong password"):
        await locker.open()
    assert not own_tasks()
    assert locker.stores[0].is_closed
    with pytest.raises(LockerUnavailable, match="closed"):
        await locker.lock("key")


async def test_one_that_turns_out_to_be_unusable_later_is_seen_in_its_health(locker):
    locker.error = LockerUnavailable("down")
    await locker.open()
    locker.error = UnfitStore("wrong password")
    await asyncio.sleep(10)
    assert str(locker.last_error) == "wrong password"
    await locker.aclose()
    assert not own_tasks()


async def test_a_cancelled_open_leaves_nothing_open(locker):
    locker.delay = 100
    opening = asyncio.create_task(locker.open())
    await asyncio.sleep(0.5)
    opening.cancel()
    await asyncio.wait([opening])
    assert not own_tasks()
    assert locker.stores[0].is_closed


async def test_the_last_user_closes_it(locker):
    await locker.open()
    await locker.open()
    lock = await locker.lock("key")
    await locker.aclose()
    lock.check()
    await locker.aclose()
    assert lock.lost.is_set()
    assert locker.holders == {}
    with pytest.raises(LockerUnavailable, match="tested-locker is closed"):
        await locker.lock("key")
    await locker.open()
    assert await (await locker.lock("key")).unlock()
    await locker.aclose()


async def test_closing_does_not_wait_for_ever_for_the_releases(locker):
    await locker.open()
    lock = await locker.lock("key")
    locker.delay = 100
    began = asyncio.get_running_loop().time()
    await locker.aclose()
    assert asyncio.get_running_loop().time() - began <= 2 * 2
    assert lock.lost.is_set()
    assert not own_tasks()


def test_each_loop_has_connections_of_its_own(locker):
    one, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    lock = one.run_until_complete(locker.lock("one"))
    other.run_until_complete(locker.lock("other"))
    assert [store.loop for store in locker.stores] == [one, other]
    other.run_until_complete(locker.aclose())
    assert not lock.lost.is_set()
    one.run_until_complete(asyncio.sleep(0.01))  # closing was left to this one
    assert lock.lost.is_set()
    assert locker.holders == {}
    assert [store.is_closed for store in locker.stores] == [True, True]
    one.close()
    other.close()


def test_what_was_held_in_a_loop_that_is_gone_is_given_back(locker):
    gone, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    lock = gone.run_until_complete(locker.lock("key"))
    gone.close()
    again = other.run_until_complete(locker.lock("key"))
    with pytest.raises(LockLost, match="loop is gone"):
        lock.check()
    assert other.run_until_complete(again.unlock())
    other.run_until_complete(locker.aclose())
    other.close()


def test_closing_passes_over_loops_that_are_gone(locker):
    gone, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    gone.run_until_complete(locker.last_claimed("key"))
    gone.close()
    other.run_until_complete(locker.aclose())
    other.close()


async def test_a_forked_child_holds_nothing_and_begins_anew(locker, monkeypatch):
    monkeypatch.setattr(_remote, "_inherited", [])
    await locker.open()
    lock = await locker.lock("key")
    locker.before_fork()
    locker.after_fork_in_child()
    with pytest.raises(LockLost):
        lock.check()
    with pytest.raises(LockHeld):
        await locker.lock("key")  # the parent has it
    assert len(locker.stores) == 2
    assert not locker.stores[0].is_closed
    await locker.aclose()


async def test_a_parent_goes_on_after_a_fork(locker):
    lock = await locker.lock("key")
    locker.before_fork()
    locker.after_fork_in_parent()
    lock.check()
    assert await lock.unlock()
    await locker.aclose()


def test_its_ttl_can_be_seen(locker):
    assert locker.ttl == 9
