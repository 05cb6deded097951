"""Elections over a locker in memory, in virtual time."""

from __future__ import annotations

import asyncio
import logging

import pytest

from aiosched import LeaseElector, LockerUnavailable, MemoryLocker, Monitored, Prefixed
from aiosched.protocols import CandidateElector
from aiosched.testing._interrupt import Moment, interrupt
from tests.electors.support import Told, eventually, leaders, opened, own_tasks

pytestmark = pytest.mark.virtual_time


class Failing(MemoryLocker):
    """Cannot be asked while it has an error."""

    def __init__(self):
        super().__init__()
        self.error = None
        self.asked = 0

    async def lock(self, key, /):
        self.asked += 1
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return await super().lock(key)


class Silent(MemoryLocker):
    """Never answers."""

    async def lock(self, key, /):
        await asyncio.sleep(10**6)


async def test_the_first_leads_when_it_is_open_and_the_second_does_not():
    locker = MemoryLocker()
    async with opened(LeaseElector(locker), LeaseElector(locker)) as (first, second):
        assert await first.is_leader()
        assert not await second.is_leader()
        assert isinstance(first.term, int)
        assert second.term is None


async def test_nobody_leads_who_is_not_open():
    elector = LeaseElector(MemoryLocker())
    assert not await elector.is_leader()
    async with opened(elector):
        assert await elector.is_leader()
    assert not await elector.is_leader()
    assert (elector.term, elector.last_error, await elector.resign()) == (None, None, False)


async def test_asking_who_leads_never_suspends():
    async with opened(LeaseElector(MemoryLocker())) as elector:
        with pytest.raises(StopIteration) as answer:
            elector.is_leader().send(None)
        assert answer.value.value is True


async def test_candidates_of_different_keys_do_not_stand_against_each_other():
    locker = MemoryLocker()
    async with opened(LeaseElector(locker, "a"), LeaseElector(locker, key="b")) as both:
        assert leaders(both) == list(both)
        assert [each.key for each in await locker.records()] == ["elector:a", "elector:b"]


@pytest.mark.parametrize(
    "wrap",
    [lambda locker: Prefixed(locker, "shop:"), lambda locker: Monitored(locker, lambda *_: None)],
)
async def test_a_locker_may_be_wrapped(wrap):
    locker = MemoryLocker()
    async with opened(*(LeaseElector(wrap(locker)) for _ in range(2))) as (first, second):
        (record,) = await locker.records()
        assert record.fence == first.term
        await first.resign()
        await asyncio.sleep(1)
        assert second.term > record.fence


async def test_whoever_closes_is_followed_by_another_with_a_later_term():
    locker = MemoryLocker()
    first, second = LeaseElector(locker), LeaseElector(locker)
    terms = []
    await first.open()
    for _ in range(5):
        terms.append(first.term)
        await second.open()
        await first.aclose()
        await asyncio.sleep(1)
        assert second.term is not None
        first, second = second, first
    assert terms == sorted(set(terms))
    await first.aclose()
    assert own_tasks() == []


async def test_whoever_resigns_leaves_the_others_their_chance_and_stands_again():
    locker = MemoryLocker()
    async with opened(LeaseElector(locker), LeaseElector(locker)) as (first, second):
        term = first.term
        assert await first.resign() is True
        assert first.term is None
        await asyncio.sleep(1)
        assert second.term > term
        await second.aclose()
        await asyncio.sleep(3)
        assert first.term is not None
        await second.open()


async def test_who_resigns_alone_leads_again():
    async with opened(LeaseElector(MemoryLocker())) as elector:
        term = elector.term
        await elector.resign()
        await asyncio.sleep(1.5)
        assert elector.term is None
        await asyncio.sleep(1)
        assert elector.term > term


async def test_changes_are_told_with_their_terms_and_once_each():
    async with opened(LeaseElector(MemoryLocker())) as elector:
        told, first = Told(elector), elector.term
        await elector.resign()
        await asyncio.sleep(3)
        second = elector.term
        told.forget()
        told.forget()
        await elector.resign()
    assert told.changes == [(True, first), (False, first), (True, second)]


async def test_an_observer_that_raises_is_logged_and_harms_nobody(caplog):
    def raises(is_leader, term):
        raise OSError("no")

    elector = LeaseElector(MemoryLocker(), "shop")
    elector.observe(raises)
    told = Told(elector)
    async with opened(elector):
        assert await elector.is_leader()
    assert [is_leader for is_leader, _ in told.changes] == [True, False]
    assert "an observer of the elector of 'shop' raised" in caplog.text


async def test_a_lost_lock_ends_the_term_at_once_and_a_new_one_begins():
    async with opened(LeaseElector(MemoryLocker())) as elector:
        told, term = Told(elector), elector.term
        elector._candidacy._lock.lose("a test says so")
        assert not await elector.is_leader()
        await asyncio.sleep(0.1)
        assert elector.term > term
    assert [change for change, _ in told.changes] == [True, False, True, False]


@pytest.mark.parametrize("resigns_first", [True, False])
async def test_resigning_and_losing_at_once_end_each_term_once(resigns_first):
    async with opened(LeaseElector(MemoryLocker())) as elector:
        told, lock = Told(elector), elector._candidacy._lock
        if not resigns_first:
            lock.lose("a test says so")
        resigning = asyncio.create_task(elector.resign())
        await asyncio.sleep(0)
        lock.lose("a test says so")
        await resigning
        await asyncio.sleep(5)
        begun = [term for is_leader, term in told.changes if is_leader]
        alternating = [(change, term) for term in begun for change in (True, False)]
        assert told.changes == alternating[:-1], "the last one goes on"
        assert len(begun) in {2, 3}, "between the two, a term may have begun"


async def test_an_elector_that_is_shared_resigns_with_its_last_user():
    elector = LeaseElector(MemoryLocker())
    async with opened(elector):
        term = elector.term
        async with opened(elector):
            assert elector.term == term
        assert elector.term == term
        assert elector.locker._users == 1
    assert (elector.term, elector.locker._users) == (None, 0)


async def test_closing_what_is_not_open_does_nothing():
    elector = LeaseElector(MemoryLocker())
    await elector.aclose()
    async with opened(elector):
        assert await elector.is_leader()


async def test_one_of_fifty_candidates_leads():
    locker = Failing()
    electors = [LeaseElector(locker) for _ in range(50)]
    await asyncio.gather(*(each.open() for each in electors))
    assert len(leaders(electors)) == 1
    await asyncio.sleep(0.9)
    assert locker.asked <= 3 * 50
    terms = []
    while electors:
        (leader,) = leaders(electors)
        terms.append(leader.term)
        electors.remove(leader)
        await leader.aclose()
        if electors:
            assert len(leaders(electors)) == 0
            await asyncio.sleep(1)
    assert terms == sorted(set(terms))
    assert own_tasks() == []


async def test_a_store_that_cannot_be_asked_is_tried_again(caplog):
    locker = Failing()
    locker.error = LockerUnavailable("gone")
    async with opened(LeaseElector(locker)) as elector:
        assert not await elector.is_leader()
        assert elector.last_error is locker.error
        await asyncio.sleep(20)
        assert locker.asked < 20
        locker.error = None
        await asyncio.sleep(3)
        assert await elector.is_leader()
        assert elector.last_error is None
    (warning,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "cannot stand for elector:leader: LockerUnavailable('gone')" in warning.message


async def test_a_locker_that_raises_anything_is_tried_again(caplog):
    locker = Failing()
    locker.error = ZeroDivisionError("odd")
    async with opened(LeaseElector(locker)) as elector:
        assert elector.last_error is locker.error
        locker.error = None
        await asyncio.sleep(3)
        assert await elector.is_leader()
    assert "ZeroDivisionError" in caplog.text


async def test_opening_waits_no_longer_than_a_second_for_an_answer():
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with opened(LeaseElector(Silent())) as elector:
        assert loop.time() - began == pytest.approx(1)
        assert not await elector.is_leader()
    assert own_tasks() == []


async def test_an_open_that_the_locker_refuses_leaves_nothing_open():
    class Unfit(MemoryLocker):
        async def open(self):
            raise OSError("unfit")

    elector = LeaseElector(Unfit())
    with pytest.raises(OSError, match="unfit"):
        await elector.open()
    assert elector._candidacy is None
    assert own_tasks() == []


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("what", ["open", "aclose", "resign"])
async def test_cancelled_at_any_await_it_leaves_nothing_behind(what, moment):
    at = 0
    while True:
        locker, other = Failing(), None
        elector = LeaseElector(locker)
        if what != "open":
            await elector.open()
        reached, _ = await interrupt(getattr(elector, what)(), at, moment)
        if elector._users:
            await elector.aclose()
        other = LeaseElector(locker)
        await other.open()
        await asyncio.sleep(0.1)
        assert await other.is_leader(), "the lock is free"
        await other.aclose()
        assert (own_tasks(), locker._users) == ([], 0)
        if not reached:
            return
        at += 1


async def test_a_candidacy_that_breaks_is_loud(caplog, monkeypatch):
    class Broken(MemoryLocker):
        async def lock(self, key, /):
            lock = await super().lock(key)
            monkeypatch.setattr(type(lock), "unlock", None)
            lock.lost.set()
            return lock

    elector = LeaseElector(Broken())
    await elector.open()
    await asyncio.sleep(0.1)
    assert "the candidacy for elector:leader broke" in caplog.text
    assert isinstance(elector.last_error, TypeError)
    monkeypatch.undo()
    await elector.aclose()


def test_it_can_be_opened_on_one_loop_after_the_other():
    elector = LeaseElector(MemoryLocker())

    async def lead():
        async with opened(elector):
            return elector.term

    terms = [asyncio.run(lead()) for _ in range(3)]
    assert terms == sorted(set(terms))


def test_what_a_loop_that_was_closed_has_left_open_is_forgotten():
    elector = LeaseElector(MemoryLocker())
    asyncio.run(elector.open())
    assert elector._users == 1

    async def lead():
        async with opened(elector):
            await eventually(lambda: elector.term)

    asyncio.run(lead())
    assert elector._users == 0


async def test_a_child_that_was_forked_stands_for_itself():
    elector = LeaseElector(MemoryLocker())

    async def stand():
        async with opened(elector):
            return elector._candidacy

    async with opened(elector):
        parent = elector._candidacy
        elector._process = 0  # as a child sees it, which has a loop and an id of its own
        child = await asyncio.to_thread(asyncio.run, stand())
        assert child is not parent
        await parent.withdraw()


async def test_a_second_loop_at_the_same_time_is_refused():
    async with opened(LeaseElector(MemoryLocker())) as elector:
        for call in (elector.open, elector.aclose, elector.resign):
            with pytest.raises(RuntimeError, match="open in another event loop"):
                await asyncio.to_thread(asyncio.run, call())
        assert await elector.is_leader()


class Excluding:
    """Does not claim."""

    async def lock(self, key, /):
        raise NotImplementedError


@pytest.mark.parametrize("locker", [Excluding(), MemoryLocker, None, "redis://"])
def test_a_locker_that_does_not_claim_is_refused(locker):
    with pytest.raises(TypeError, match="locker must be one that claims occurrences, got"):
        LeaseElector(locker)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"key": 1}, TypeError, "key must be text, got 1"),
        ({"key": ""}, ValueError, "key must not be empty, got ''"),
        (
            {"on_leadership_lost": "panic"},
            ValueError,
            "on_leadership_lost must be 'finish' or 'cancel', got 'panic'",
        ),
    ],
)
def test_an_argument_that_cannot_be_right_is_refused(options, kind, message):
    with pytest.raises(kind, match=message):
        LeaseElector(MemoryLocker(), **options)


def test_it_is_what_the_protocol_says_and_shows_what_it_is():
    elector = LeaseElector(MemoryLocker(), "shop")
    assert isinstance(elector, CandidateElector)
    assert repr(elector) == "<LeaseElector 'shop', term=None>"
