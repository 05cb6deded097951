"""Leases and their renewal, in virtual time, on a store of ten lines."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from aiosched.errors import LockerUnavailable, LockHeld, LockLost
from aiosched.lockers._renewal import Lease, LeaseActor, Renew, boot_time
from aiosched.lockers._requests import Ask, Release
from aiosched.model import Claim

pytestmark = pytest.mark.virtual_time

TTL = 9.0
USABLE = 8.1  # a tenth of it is the margin
EVERY = 3.0


class Store:
    """Keeps leases by the loop's time; slow, broken or forgetful when told to be."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.offset = 0.0  # of the holder's clock: what passed while everything was suspended
        self.leases = {}  # key → (attempt, until)
        self.asked = []
        self.delay = 0.0
        self.error = None
        self.broken_keys = set()
        self.fence = 0
        self.actor = LeaseActor(self.perform, name="store", lease=Lease(TTL), clock=self.clock)

    def clock(self):
        return self.loop.time() + self.offset

    async def perform(self, batch):
        self.asked.append(batch)
        answers = [self.answer(request) for request in batch]
        error = self.error
        await asyncio.sleep(self.delay)
        if error is not None:
            raise error
        return answers

    def answer(self, request):
        if isinstance(request, Renew):
            return [self.renew(lock) for lock in request.locks]
        attempt, until = self.leases.get(request.key, (None, 0))
        if isinstance(request, Ask):
            if until > self.clock() and attempt != request.attempt:
                return LockHeld()
            self.leases[request.key] = request.attempt, self.clock() + TTL
            self.fence += 1
            return SimpleNamespace(due=None, fence=self.fence, attempt=1)
        if attempt == request.attempt:
            del self.leases[request.key]
        return attempt == request.attempt

    def renew(self, lock):
        if lock.key in self.broken_keys:
            return LockerUnavailable("this part of the store is down")
        attempt, until = self.leases.get(lock.key, (None, 0))
        if self.error is not None or attempt != lock.id or until <= self.clock():
            return False
        self.leases[lock.key] = attempt, self.clock() + TTL
        return True

    async def lock(self, key="key", **options):
        return await self.actor.claim(Claim(key, **options))

    @property
    def renewals(self):
        return [each for batch in self.asked for each in batch if isinstance(each, Renew)]


@pytest.fixture
async def store():
    store = Store()
    yield store
    store.delay, store.error = 0.0, None
    await store.actor.close(5)
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("store")]


def renewing():
    return [task for task in asyncio.all_tasks() if task.get_name() == "store renewal"]


async def test_a_lock_is_held_for_as_long_as_it_takes(store):
    lock = await store.lock()
    for _ in range(50):
        await asyncio.sleep(TTL / 10)
        lock.check()
        assert lock.expires_in() > 0
        with pytest.raises(LockHeld):
            await store.lock()
    assert await lock.unlock()
    assert len(store.renewals) == 5 * TTL / EVERY


async def test_the_task_lives_from_before_the_first_lock_returns_to_the_last_unlock(store):
    assert not renewing()
    locks = [await store.lock(key) for key in "ab"]
    assert len(renewing()) == 1
    await locks[0].unlock()
    assert len(renewing()) == 1
    await locks[1].unlock()
    assert not renewing()


async def test_locks_without_mutual_exclusion_are_not_renewed(store):
    lock = await store.lock(exclusive=False)
    assert not renewing()
    await asyncio.sleep(10 * TTL)
    lock.check()
    assert await lock.unlock()


async def test_all_locks_are_renewed_in_one_request(store):
    locks = await asyncio.gather(*(store.lock(str(number)) for number in range(100)))
    await asyncio.sleep(EVERY + 0.001)
    (renewal,) = store.renewals
    assert {lock.id for lock in renewal.locks} == {lock.id for lock in locks}
    await asyncio.gather(*(lock.unlock() for lock in locks))


async def test_a_lock_that_the_store_gave_to_another_is_lost_within_a_period(store):
    lock, other = await store.lock(), await store.lock("other")
    store.leases["key"] = ("somebody", store.clock() + 100)
    async with asyncio.timeout(EVERY + 0.001):
        await lock.lost.wait()
    with pytest.raises(LockLost, match="forgotten"):
        lock.check()
    other.check()
    assert await lock.unlock() is False
    assert store.leases["key"][0] == "somebody"
    assert await other.unlock()


async def test_a_store_that_fails_for_a_while_costs_nothing(store):
    lock = await store.lock()
    store.error = LockerUnavailable("down")
    await asyncio.sleep(USABLE - 2)
    store.error = None
    await asyncio.sleep(4 * TTL)
    lock.check()
    assert not lock.lost.is_set()
    assert await lock.unlock()


async def test_a_store_that_stays_away_loses_the_lock_before_its_lease_ends(store):
    lock = await store.lock()
    begin = store.clock()
    store.error = LockerUnavailable("down")
    await lock.lost.wait()
    assert USABLE - 0.001 <= store.clock() - begin <= USABLE + 0.001
    with pytest.raises(LockLost, match="not be renewed in time"):
        lock.check()
    assert not renewing()


async def test_a_store_that_does_not_answer_loses_the_lock_just_as_soon(store):
    lock = await store.lock()
    store.delay = 100.0
    begin = store.clock()
    await lock.lost.wait()
    assert USABLE - 0.001 <= store.clock() - begin <= USABLE + 0.001


async def test_what_is_down_for_one_lock_does_not_harm_the_others(store):
    broken, fine = await store.lock("broken"), await store.lock("fine")
    store.broken_keys = {"broken"}
    await broken.lost.wait()
    fine.check()
    await asyncio.sleep(2 * TTL)
    fine.check()


async def test_a_success_that_comes_late_brings_nothing_back(store):
    lock = await store.lock()
    store.delay = USABLE - EVERY + 0.5  # renewed in the store, and told after the deadline
    await lock.lost.wait()
    await asyncio.sleep(1)
    assert store.leases["key"][0] == lock.id
    with pytest.raises(LockLost):
        lock.check()


async def test_time_that_passed_while_suspended_counts(store):
    lock = await store.lock()
    store.offset += USABLE
    with pytest.raises(LockLost, match="not renewed"):
        lock.check()
    assert not lock.lost.is_set()  # nobody woke up so far
    await asyncio.sleep(EVERY)
    assert lock.lost.is_set()


async def test_an_unlock_while_a_renewal_is_on_its_way_frees_the_key(store):
    lock = await store.lock()
    store.delay = 0.5
    await asyncio.sleep(EVERY + 0.1)
    assert len(store.renewals) == 1
    assert await lock.unlock()
    assert store.leases == {}
    assert not renewing()
    assert not lock.lost.is_set()


async def test_an_unlock_while_a_renewal_is_on_its_way_leaves_the_others_renewed(store):
    lock, other = await store.lock(), await store.lock("other")
    store.delay = 0.5
    await asyncio.sleep(EVERY + 0.1)
    assert await lock.unlock()
    assert list(store.leases) == ["other"]
    assert other.expires_in() > USABLE - EVERY
    assert not lock.lost.is_set()


async def test_an_unlocked_one_is_not_renewed_although_its_release_takes_long(store):
    lock = await store.lock()
    store.delay = 10.0
    unlocking = asyncio.create_task(lock.unlock())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not renewing()
    assert await unlocking
    assert not store.renewals


async def test_a_cancelled_unlock_leaves_no_task(store):
    lock = await store.lock()
    store.delay = 1.0
    unlocking = asyncio.create_task(lock.unlock())
    await asyncio.sleep(0)
    unlocking.cancel()
    await asyncio.wait([unlocking])
    assert not renewing()
    await asyncio.sleep(2)
    assert store.leases == {}


async def test_a_cancelled_renewal_begins_anew_while_locks_are_held(store):
    lock = await store.lock()
    for task in renewing():
        task.cancel()
    await asyncio.sleep(5 * TTL)
    lock.check()
    assert await lock.unlock()
    assert not renewing()


async def test_a_lock_taken_right_after_the_last_unlock_is_renewed(store):
    first = await store.lock()
    _, second = await asyncio.gather(first.unlock(), store.lock("second"))
    await asyncio.sleep(3 * TTL)
    second.check()
    assert await second.unlock()


async def test_a_lock_taken_as_the_last_one_is_lost_is_renewed(store):
    lock = await store.lock()
    del store.leases["key"]
    again = []

    def retake():
        again.append(asyncio.ensure_future(store.lock()))

    lock.lost.add_callback(retake)
    await asyncio.sleep(3 * TTL)
    (second,) = [await each for each in again]
    second.check()
    assert await second.unlock()


async def test_a_grant_that_comes_too_late_is_asked_for_again_as_the_same_attempt(store):
    store.delay = USABLE + 0.1
    asking = asyncio.create_task(store.lock())
    await asyncio.sleep(1)
    store.delay = 0.0
    lock = await asking
    assert lock.expires_in() > USABLE - 0.001
    attempts = [each.attempt for batch in store.asked for each in batch]
    assert attempts == [lock.id] * 2
    assert await lock.unlock()


async def test_a_grant_whose_caller_hears_of_it_too_late_is_asked_for_again(store):
    answer = store.answer

    def stand_still(request):
        store.answer = answer
        store.loop.call_soon(store.loop._jump, TTL)  # after the answer, before its caller's turn
        return answer(request)

    store.answer = stand_still
    lock = await store.lock()
    lock.check()
    asks = [each for batch in store.asked for each in batch if isinstance(each, Ask)]
    assert [each.attempt for each in asks] == [lock.id, lock.id]
    assert await lock.unlock()
    assert store.leases == {}


async def test_a_grant_that_another_took_over_before_its_caller_heard_of_it_is_refused(store):
    answer = store.answer

    def stand_still(request):
        def later():
            store.loop._jump(TTL)
            store.leases["key"] = "another", store.clock() + TTL

        store.answer = answer
        store.loop.call_soon(later)
        return answer(request)

    store.answer = stand_still
    with pytest.raises(LockHeld):
        await store.lock()
    assert store.leases["key"][0] == "another"


async def test_a_late_grant_that_nobody_wants_is_given_back(store):
    store.delay = USABLE + 0.1
    asking = asyncio.create_task(store.lock())
    await asyncio.sleep(1)
    asking.cancel()
    store.delay = 0.0
    await asyncio.sleep(USABLE + 1)
    assert store.leases == {}
    assert isinstance(store.asked[-1][0], Release)
    assert not renewing()


async def test_closing_loses_all_and_ends_the_task(store):
    lock = await store.lock()
    await store.actor.close(1)
    assert lock.lost.is_set()
    assert store.leases == {}
    assert not renewing()
    with pytest.raises(LockerUnavailable):
        await store.lock()


async def test_an_actor_whose_loop_is_gone_says_what_it_held(store):
    lock = await store.lock()
    told = []
    lock.lost.add_callback(lambda: told.append(True))
    (task,) = renewing()
    (release,) = store.actor.abandon()
    assert (release.key, release.attempt) == ("key", lock.id)
    assert task._log_destroy_pending is False
    assert not told  # nobody lives who could wait for it
    with pytest.raises(LockLost):
        lock.check()
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize(("ttl", "usable"), [(30, 27), (0.2, 0.15), ("1s", 0.9)])
def test_a_lease_is_trusted_for_less_than_it_lasts(ttl, usable):
    lease = Lease(ttl)
    assert lease.usable == pytest.approx(usable)
    assert lease.every == pytest.approx(lease.ttl / 3)
    assert 2 * lease.every < lease.usable  # two renewals may fail


@pytest.mark.parametrize("ttl", [0, 0.1, -1, "soon", None, float("inf")])
def test_a_ttl_must_be_a_duration_that_leaves_time_to_renew(ttl):
    with pytest.raises((TypeError, ValueError), match="ttl"):
        Lease(ttl)


def test_the_clock_of_deadlines_goes_on():
    assert boot_time() <= boot_time()
