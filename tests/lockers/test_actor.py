"""The actor: batches, and no grant and no release that gets lost, whatever the store does."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging

import pytest

from aiosched.errors import LockerUnavailable, LockHeld, LockLost, UnfitStore
from aiosched.lockers._actor import Actor
from aiosched.lockers._record import BLANK, Grant
from aiosched.lockers._requests import Ask, Ping, Release
from aiosched.model import Claim
from aiosched.testing._interrupt import Moment, interrupt


class Store:
    """A store whose answers the test gives, or that holds each key for one."""

    def __init__(self):
        self.batches = []
        self.held = {}
        self.failures = []  # raised in turn, one for each batch
        self.gate = None  # awaited before each answer
        self.fence = 0

    async def perform(self, batch):
        self.batches.append(list(batch))
        if self.gate is not None:
            await self.gate.wait()
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure
        return [self.answer(request) for request in batch]

    def answer(self, request):
        if isinstance(request, Ask):
            if self.held.get(request.key, request.attempt) != request.attempt:
                return LockHeld()
            if request.claim.exclusive:
                self.held[request.key] = request.attempt
            self.fence += 1
            return Grant(BLANK, request.claim.due_us, self.fence, 1)
        if isinstance(request, Release):
            return self.held.pop(request.key, None) == request.attempt
        return "pong"

    @property
    def kinds(self):
        return [[type(request).__name__ for request in batch] for batch in self.batches]


@pytest.fixture
def store():
    return Store()


@pytest.fixture
async def actor(store):
    actor = Actor(store.perform, name="test-actor")
    yield actor
    store.failures, store.gate = [], None
    await actor.close(1)


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_requests_of_one_loop_turn_are_one_batch(store, actor):
    locks = await asyncio.gather(*(actor.claim(Claim(str(number))) for number in range(5)))
    await asyncio.gather(*(lock.unlock() for lock in locks))
    assert store.kinds == [["Ask"] * 5, ["Release"] * 5]


async def test_what_is_asked_while_a_batch_is_away_is_the_next_batch(store, actor):
    store.gate = asyncio.Event()
    first = asyncio.ensure_future(actor.claim(Claim("a")))
    await turns(3)
    rest = [asyncio.ensure_future(actor.claim(Claim(key))) for key in "bcd"]
    await turns(3)
    assert store.kinds == [["Ask"]]
    store.gate.set()
    await asyncio.gather(first, *rest)
    assert store.kinds == [["Ask"], ["Ask"] * 3]


async def test_a_very_large_turn_is_cut(store, actor, monkeypatch):
    monkeypatch.setattr("aiosched.lockers._actor._LARGEST_BATCH", 4)
    await asyncio.gather(*(actor.claim(Claim(str(number))) for number in range(10)))
    assert [len(batch) for batch in store.batches] == [4, 4, 2]


async def test_an_eager_task_factory_does_not_break_up_batches(store, actor):
    def refuse(loop, coroutine, **options):
        raise AssertionError("not for the actor's task")

    tasks = [asyncio.ensure_future(actor.claim(Claim(key))) for key in "ab"]
    asyncio.get_running_loop().set_task_factory(refuse)
    try:
        await turns(5)
    finally:
        asyncio.get_running_loop().set_task_factory(None)
    await asyncio.gather(*tasks)
    assert store.kinds == [["Ask"] * 2]


async def test_the_task_keeps_no_callers_context(store, actor):
    variable = contextvars.ContextVar("variable", default="nobody's")
    seen = []
    perform, actor._perform = actor._perform, None

    async def look(batch):
        seen.append(variable.get())
        return await perform(batch)

    actor._perform = look
    variable.set("the first caller's")
    await actor.claim(Claim("key"))
    assert seen == ["nobody's"]


async def test_attempts_are_never_the_same(store, actor):
    for _ in range(3):
        lock = await actor.claim(Claim("key"))
        await lock.unlock()
    attempts = {batch[0].attempt for batch in store.batches[::2]}
    assert len(attempts) == 3
    assert all(len(attempt) > 20 for attempt in attempts)


async def test_a_refusal_is_raised_without_a_cycle(store, actor):
    await actor.claim(Claim("key"))
    gc.collect()
    before = _refusals()  # other tests may have left some that somebody still knows
    gc.disable()
    try:
        for _ in range(3):
            try:  # not pytest.raises, which makes a cycle itself
                await actor.claim(Claim("key"))
            except LockHeld:
                continue
        store.batches.clear()
        await turns(2)  # the loop lets go of what woke this task
        assert _refusals() == before
    finally:
        gc.enable()


def _refusals():
    return [id(each) for each in gc.get_objects() if isinstance(each, LockHeld)]


# ── cancelled callers ─────────────────────────────────────────────────────────────────────────


async def test_what_was_not_sent_is_dropped(store, actor):
    task = asyncio.ensure_future(actor.claim(Claim("key")))
    await turns(1)
    task.cancel()
    await turns(5)
    assert task.cancelled()
    assert store.batches == []


async def test_a_grant_for_who_has_gone_is_given_back_before_others_are_asked(store, actor):
    store.gate = asyncio.Event()
    gone = asyncio.ensure_future(actor.claim(Claim("key")))
    await turns(3)
    gone.cancel()
    behind = asyncio.ensure_future(actor.claim(Claim("key")))
    await turns(3)
    store.gate.set()
    lock = await behind
    assert store.kinds == [["Ask"], ["Release", "Ask"]]
    assert store.held == {"key": lock.id}


async def test_an_answer_that_meets_a_cancellation_is_given_back(store, actor):
    assert await interrupt(actor.claim(Claim("key")), 0, Moment.ANSWERED) == (True, None)
    await turns(3)
    assert store.kinds == [["Ask"], ["Release"]]
    assert store.held == {}


async def test_a_refusal_that_meets_a_cancellation_is_nothing_to_give_back(store, actor):
    held = await actor.claim(Claim("key"))
    assert await interrupt(actor.claim(Claim("key")), 0, Moment.ANSWERED) == (True, None)
    await turns(3)
    assert store.held == {"key": held.id}


async def test_a_caller_that_is_closed_from_outside_holds_nothing(store, actor):
    store.gate = asyncio.Event()
    coroutine = actor.claim(Claim("key"))
    coroutine.send(None)
    await turns(3)
    coroutine.close()
    store.gate.set()
    await turns(5)
    assert store.kinds == [["Ask"], ["Release"]]
    assert store.held == {}


def test_a_caller_that_outlives_its_loop_is_closed_in_peace():
    async def start():
        return Actor(Store().perform, name="test-actor")

    loop = asyncio.new_event_loop()
    actor = loop.run_until_complete(start())
    coroutine = actor.claim(Claim("key"))
    coroutine.send(None)
    actor._queue.clear()
    loop.run_until_complete(turns(3))
    loop.close()
    coroutine.close()


async def test_a_grant_without_mutex_is_nothing_to_give_back(store, actor):
    store.gate = asyncio.Event()
    task = asyncio.ensure_future(actor.claim(Claim("key", exclusive=False)))
    await turns(3)
    task.cancel()
    store.gate.set()
    await turns(5)
    assert store.kinds == [["Ask"]]


async def test_a_cancelled_unlock_is_sent_all_the_same(store, actor):
    lock = await actor.claim(Claim("key"))
    task = asyncio.ensure_future(lock.unlock())
    await turns(1)
    task.cancel()
    await turns(5)
    assert task.cancelled()
    assert store.held == {}


# ── stores that fail ──────────────────────────────────────────────────────────────────────────


async def test_each_caller_gets_an_error_of_its_own(store, actor):
    store.failures = [UnfitStore("no")]
    errors = await asyncio.gather(
        actor.claim(Claim("a")), actor.claim(Claim("b")), return_exceptions=True
    )
    assert [type(error) for error in errors] == [UnfitStore, UnfitStore]
    assert [str(error) for error in errors] == ["no", "no"]
    assert errors[0] is not errors[1]


async def test_an_unexpected_error_is_logged_and_chained(store, actor, caplog):
    store.failures = [ZeroDivisionError("oops")]
    with pytest.raises(LockerUnavailable, match="ZeroDivisionError: oops") as refusal:
        await actor.read(Ping())
    assert isinstance(refusal.value.__cause__, ZeroDivisionError)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_an_unanswered_claim_is_asked_again_as_the_same_attempt(store, actor):
    store.failures = [LockerUnavailable("timed out"), LockerUnavailable("again")]
    for _ in range(2):
        with pytest.raises(LockerUnavailable):
            await actor.claim(Claim("key"))
    await actor.claim(Claim("key"))
    with pytest.raises(LockHeld):
        await actor.claim(Claim("key"))
    attempts = [batch[0].attempt for batch in store.batches]
    assert attempts[0] == attempts[1] == attempts[2] != attempts[3]


async def test_two_equal_claims_never_share_an_attempt(store, actor):
    store.failures = [LockerUnavailable("timed out")]
    asked = (actor.claim(Claim("key")) for _ in range(2))
    await asyncio.gather(*asked, return_exceptions=True)
    again = (actor.claim(Claim("key")) for _ in range(2))
    await asyncio.gather(*again, return_exceptions=True)
    assert len({request.attempt for request in store.batches[1]}) == 2


async def test_few_unanswered_attempts_are_remembered(store, actor, monkeypatch):
    monkeypatch.setattr("aiosched.lockers._actor._MOST_REMEMBERED", 2)
    store.failures = [LockerUnavailable("timed out")]
    asked = (actor.claim(Claim(key)) for key in "abc")
    await asyncio.gather(*asked, return_exceptions=True)
    assert [claim.key for claim in actor._unknown] == ["b", "c"]


async def test_an_unanswered_claim_whose_caller_has_gone_is_given_back(store, actor, monkeypatch):
    monkeypatch.setattr("aiosched.lockers._actor._FIRST_PAUSE", 0.001)
    store.gate = asyncio.Event()
    store.failures = [LockerUnavailable("timed out")]
    task = asyncio.ensure_future(actor.claim(Claim("key")))
    await turns(3)
    task.cancel()
    store.held["key"] = store.batches[0][0].attempt  # it was granted after all
    store.gate.set()
    async with asyncio.timeout(5):
        while store.held:
            await asyncio.sleep(0.001)


async def test_an_unanswered_release_is_sent_until_it_is_answered(store, actor, monkeypatch):
    monkeypatch.setattr("aiosched.lockers._actor._FIRST_PAUSE", 0.001)
    lock = await actor.claim(Claim("key"))
    store.failures = [LockerUnavailable("full")] * 3
    assert await lock.unlock() is False
    async with asyncio.timeout(5):
        while store.held:
            await asyncio.sleep(0.001)
    assert store.kinds[1:] == [["Release"]] * 4
    assert actor.unanswered_releases == 0


async def test_an_unanswered_release_goes_along_with_the_next_batch(store, actor):
    lock = await actor.claim(Claim("key"))
    store.failures = [LockerUnavailable("full")]
    await lock.unlock()
    await (await actor.claim(Claim("key"))).unlock()
    assert store.kinds == [["Ask"], ["Release"], ["Release", "Ask"], ["Release"]]


async def test_pauses_between_unanswered_releases_grow(store, actor, monkeypatch):
    monkeypatch.setattr("aiosched.lockers._actor._FIRST_PAUSE", 1.0)
    lock = await actor.claim(Claim("key"))
    store.failures = [LockerUnavailable("full")] * 8
    await lock.unlock()
    pauses = []
    for _ in range(5):
        await turns(3)
        pauses.append(round(actor._timer.when() - asyncio.get_running_loop().time()))
        actor._timer.cancel()
        actor._send_owed()
    assert pauses == [1, 2, 4, 5, 5]


async def test_where_a_lease_ends_by_itself_releases_are_given_up(store):
    actor = Actor(store.perform, name="test-actor", release_tries=2)
    lock = await actor.claim(Claim("key"))
    store.failures = [LockerUnavailable("gone")] * 2
    assert await lock.unlock() is False
    with pytest.raises(LockerUnavailable):
        await actor.read(Ping())
    assert actor.unanswered_releases == 1
    await actor.close(1)
    assert store.kinds == [["Ask"], ["Release"], ["Release", "Ping"]]


async def test_a_refused_release_is_no_yes(store, actor):
    lock = await actor.claim(Claim("key"))
    store.answer = lambda _: LockerUnavailable("a wrong type")
    assert await lock.unlock() is False


async def test_wrong_answers_leave_nobody_waiting(store, actor):
    problems = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: problems.append(context))
    good, actor._perform = actor._perform, None

    async def too_few(batch):
        return [True]

    actor._perform = too_few
    with pytest.raises(LockerUnavailable, match="broke"):
        await asyncio.gather(actor.read(Ping()), actor.read(Ping()))
    assert "broke" in problems[0]["message"]
    actor._perform = good
    assert await actor.read(Ping()) == "pong"


# ── all tasks are cancelled ───────────────────────────────────────────────────────────────────


async def test_a_cancelled_task_still_sends_what_is_asked_of_it_then(store, actor):
    lock = await actor.claim(Claim("key"))
    store.gate = asyncio.Event()
    asking = asyncio.ensure_future(actor.claim(Claim("other")))
    await turns(3)
    unlocking = asyncio.ensure_future(lock.unlock())
    await turns(1)
    actor._task.cancel()
    store.gate.set()
    with pytest.raises(LockerUnavailable, match="cancelled"):
        await asking
    assert await unlocking
    assert store.held == {}


async def test_a_task_cancelled_before_its_first_step_leaves_nobody_waiting(store, actor):
    lock = await actor.claim(Claim("key"))
    unlocking = asyncio.ensure_future(lock.unlock())
    await turns(1)
    actor._task.cancel()
    assert await unlocking
    assert store.held == {}


def test_a_run_that_ends_while_a_claim_is_on_its_way_gives_back_what_it_may_have_got():
    store = Store()
    granted = []

    async def perform(batch):
        answers = [store.answer(request) for request in batch]
        if not granted:
            granted.append(dict(store.held))
            await asyncio.Event().wait()  # the answer never comes
        return answers

    async def ask():
        actor = Actor(perform, name="test-actor")
        asking.add(asyncio.create_task(actor.claim(Claim("key"))))
        await turns(3)

    asking = set()
    asyncio.run(ask())
    assert list(granted[0]) == ["key"]
    assert store.held == {}


def test_a_run_that_ends_with_held_locks_gives_them_back_in_their_finally():
    store = Store()

    async def hold(actor):
        lock = await actor.claim(Claim("key"))
        try:
            await asyncio.sleep(60)
        finally:
            await lock.unlock()

    async def main():
        actor = Actor(store.perform, name="test-actor")
        tasks.append(asyncio.ensure_future(hold(actor)))
        while not store.held:
            await asyncio.sleep(0)
        await turns(3)

    tasks = []
    asyncio.run(main())
    assert store.held == {}


# ── closing ───────────────────────────────────────────────────────────────────────────────────


async def test_closing_gives_back_what_is_held(store):
    actor = Actor(store.perform, name="test-actor")
    lock = await actor.claim(Claim("key", redeliver=True))
    await actor.close(1)
    assert store.held == {}
    assert store.batches[-1][0].done is False
    assert lock.lost.is_set()
    with pytest.raises(LockLost, match="closed"):
        lock.check()
    assert await lock.unlock() is False


async def test_closing_refuses_what_is_queued_and_returns_what_arrives(store):
    actor = Actor(store.perform, name="test-actor")
    store.gate = asyncio.Event()
    away = asyncio.ensure_future(actor.claim(Claim("away")))
    await turns(3)
    queued = asyncio.ensure_future(actor.claim(Claim("queued")))
    await turns(1)
    closing = asyncio.ensure_future(actor.close(5))
    await turns(3)
    store.gate.set()
    await closing
    for task in (away, queued):
        with pytest.raises(LockerUnavailable, match="closed"):
            await task
    assert store.kinds == [["Ask"], ["Release"]]
    assert store.held == {}


async def test_a_closed_actor_refuses_at_once(store):
    actor = Actor(store.perform, name="test-actor")
    await actor.close(1)
    with pytest.raises(LockerUnavailable, match="closed"):
        await actor.claim(Claim("key"))
    await actor.close(1)
    assert store.batches == []


async def test_closing_sends_queued_and_owed_releases(store):
    actor = Actor(store.perform, name="test-actor")
    locks = [await actor.claim(Claim(key)) for key in "ab"]
    store.failures = [LockerUnavailable("full")]
    await locks[0].unlock()
    unlocking = asyncio.ensure_future(locks[1].unlock())
    await turns(1)
    await actor.close(1)
    assert store.held == {}
    assert await unlocking


async def test_closing_does_not_wait_for_ever(store):
    actor = Actor(store.perform, name="test-actor")
    lock = await actor.claim(Claim("key"))
    store.gate = asyncio.Event()
    asking = asyncio.ensure_future(actor.claim(Claim("other")))
    unlocking = asyncio.ensure_future(lock.unlock())
    await turns(3)
    async with asyncio.timeout(5):
        await actor.close(0.01)
    assert await unlocking is False
    with pytest.raises(LockerUnavailable):
        await asking
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "test-actor"]


async def test_closing_without_an_answer_leaves_no_timer(store):
    actor = Actor(store.perform, name="test-actor")
    lock = await actor.claim(Claim("key"))
    store.failures = [LockerUnavailable("full")] * 9
    await lock.unlock()
    await actor.close(1)
    assert actor._timer is None


async def test_leaving_frees_whoever_waits(store):
    actor = Actor(store.perform, name="test-actor")
    lock = await actor.claim(Claim("key"))
    store.gate = asyncio.Event()
    asking = asyncio.ensure_future(actor.claim(Claim("other")))
    await turns(3)
    actor.leave()
    with pytest.raises(LockerUnavailable):
        await asking
    assert lock.lost.is_set()
    await turns(5)
    assert store.kinds == [["Ask"], ["Ask"]]


def test_an_actor_whose_loop_is_gone_says_what_gives_everything_back():
    store = Store()

    async def main():
        actor = Actor(store.perform, name="test-actor")
        held = await actor.claim(Claim("held"))
        unlocked = await actor.claim(Claim("unlocked"))
        waiting = asyncio.ensure_future(held.lost.wait())
        store.gate = asyncio.Event()
        asking = asyncio.ensure_future(actor.claim(Claim("asked")))
        reading = asyncio.ensure_future(actor.read(Ping()))
        unlocking = asyncio.ensure_future(unlocked.unlock())
        await turns(3)
        return actor, held, [waiting, asking, reading, unlocking]

    loop = asyncio.new_event_loop()
    actor, held, tasks = loop.run_until_complete(main())
    releases = actor.abandon()
    assert sorted(release.key for release in releases) == ["asked", "held", "unlocked"]
    assert [release.done for release in releases if release.key == "unlocked"] == [True]
    assert not held.lost._callbacks
    with pytest.raises(LockLost, match="loop is gone"):
        held.check()
    for task in [*tasks, *asyncio.all_tasks(loop)]:
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
