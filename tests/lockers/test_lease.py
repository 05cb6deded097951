"""A held lock by itself: its event, its check, its context."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest

from aiosched.errors import LockLost
from aiosched.lockers import HeldLock, LostEvent
from aiosched.moments import from_us


class Granted(NamedTuple):
    due: int | None
    fence: int
    attempt: int


class Holder:
    def __init__(self, *, held=True):
        self.held = held
        self.given_back = []

    async def give_back(self, lock, *, done):
        self.given_back.append(done)
        await asyncio.sleep(0)
        return self.held


def a_lock(holder=None, due=None):
    return HeldLock("key", "attempt", Granted(due, 7, 2), holder or Holder())


def test_an_event_calls_back_once_and_in_order():
    event, calls = LostEvent(), []
    event.add_callback(lambda: calls.append("a"))
    event.add_callback(lambda: calls.append("b"))
    event.set()
    event.set()
    assert calls == ["a", "b"]


def test_a_callback_added_late_is_called_at_once():
    event, calls = LostEvent(), []
    event.set()
    event.add_callback(lambda: calls.append("late"))
    assert calls == ["late"]


def test_a_removed_callback_is_not_called():
    event, calls = LostEvent(), []

    def call():
        calls.append("removed")

    event.add_callback(call)
    event.remove_callback(call)
    event.remove_callback(call)
    event.set()
    assert calls == []


def test_a_callback_that_raises_is_logged_and_keeps_nothing_from_the_others(caplog):
    event, calls = LostEvent(), []
    event.add_callback(lambda: 1 / 0)
    event.add_callback(lambda: calls.append("after"))
    event.set()
    assert calls == ["after"]
    assert "ZeroDivisionError" in caplog.text


async def test_an_event_wakes_who_waits():
    event = LostEvent()
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.sleep(0)
    event.set()
    assert await waiting


async def test_a_lost_lock_says_why_and_cannot_be_unlocked_as_held():
    lock = a_lock()
    lock.check()
    lock.lose("expired")
    lock.lose("again")
    assert lock.lost.is_set()
    with pytest.raises(LockLost, match="'key' is held no longer: expired"):
        lock.check()
    assert await lock.unlock() is False
    assert lock._holder is None


async def test_a_lost_lock_is_given_back_all_the_same():
    holder = Holder()
    lock = a_lock(holder)
    lock.lose("the deadline passed")
    await lock.unlock(done=False)
    assert holder.given_back == [False]


def test_losing_sets_an_event_that_was_asked_for_before():
    lock = a_lock()
    event = lock.lost
    lock.lose("expired")
    assert event.is_set()


async def test_a_forsaken_lock_asks_nobody():
    holder = Holder()
    lock = a_lock(holder)
    lock.forsake("closed")
    assert await lock.unlock() is False
    assert holder.given_back == []


def test_quietly_forsaken_wakes_nobody():
    lock = a_lock()
    calls = []
    lock.lost.add_callback(lambda: calls.append(1))
    lock.forsake("its loop is gone", quietly=True)
    assert calls == []
    with pytest.raises(LockLost, match="its loop is gone"):
        lock.check()


async def test_a_lock_unlocks_once():
    holder = Holder()
    lock = a_lock(holder)
    assert [await lock.unlock(), await lock.unlock()] == [True, False]
    assert holder.given_back == [True]


async def test_what_the_store_does_not_know_was_not_held():
    assert await a_lock(Holder(held=False)).unlock() is False


async def test_a_context_completes_unless_something_was_raised():
    holder = Holder()
    async with a_lock(holder):
        pass
    with pytest.raises(asyncio.CancelledError):
        async with a_lock(holder):
            raise asyncio.CancelledError
    assert holder.given_back == [True, False]


def test_a_lock_shows_what_it_is_of():
    assert repr(a_lock()) == "<HeldLock 'key', fence=7>"
    lock = a_lock(due=1_800_000_000_000_000)
    assert lock.due_at == from_us(1_800_000_000_000_000)
    assert repr(lock) == "<HeldLock 'key' of 2027-01-15T08:00:00+00:00, fence=7>"
