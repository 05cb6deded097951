"""Redelivery: an occurrence whose holder died is granted again before any later one."""

# ruff: noqa: S101, PLR2004 - these are tests, to be collected where they are inherited

from __future__ import annotations

from datetime import timedelta

import pytest

from aiosched.errors import AlreadyRan, LockHeld, Superseded, TooLate
from aiosched.model import Claim
from aiosched.testing._lockers_base import LockerSuite, a_key
from aiosched.testing._lockers_claims import refused, taken

SECOND = timedelta(seconds=1)


class DeliveryTests(LockerSuite):
    """At least once."""

    async def test_what_a_dead_holder_did_not_complete_is_granted_first(self) -> None:
        async with self.clients(2) as (ours, theirs):
            key, due = a_key(), await self.ago(10)
            await self.kill_holder(Claim(key, due, redeliver=True))
            newer = Claim(key, due + SECOND, redeliver=True)
            lock = await self.freed(ours, newer)
            assert (lock.due_at, lock.attempt) == (due, 2)
            await refused(theirs, newer, LockHeld)
            await lock.unlock()
            assert (await taken(theirs, newer)).fence > lock.fence

    async def test_each_redelivery_counts(self) -> None:
        async with self.client() as locker:
            claim = Claim(a_key(), await self.ago(10), redeliver=True)
            fences = []
            for attempt in (1, 2, 3):
                lock = await locker.claim(claim)
                assert (lock.due_at, lock.attempt) == (claim.due_at, attempt)
                fences.append(lock.fence)
                await lock.unlock(done=False)
            assert fences == sorted(set(fences))

    async def test_it_is_granted_to_who_asks_for_it_itself(self) -> None:
        async with self.client() as locker:
            claim = Claim(a_key(), await self.ago(10), redeliver=True)
            await self.kill_holder(claim)
            lock = await self.freed(locker, claim)
            assert (lock.due_at, lock.attempt) == (claim.due_at, 2)
            await lock.unlock()
            await refused(locker, claim, AlreadyRan)

    async def test_it_is_granted_before_one_that_is_not_due(self) -> None:
        async with self.client() as locker:
            key, due = a_key(), await self.ago(10)
            await self.kill_holder(Claim(key, due, redeliver=True))
            lock = await self.freed(locker, Claim(key, await self.ago(-60), redeliver=True))
            assert lock.due_at == due
            await lock.unlock()

    async def test_who_does_not_want_redelivery_is_not_given_it(self) -> None:
        async with self.client() as locker:
            key, due = a_key(), await self.ago(10)
            await self.kill_holder(Claim(key, due, redeliver=True))
            lock = await self.freed(locker, Claim(key, due + SECOND))
            assert (lock.due_at, lock.attempt) == (due + SECOND, 1)
            await lock.unlock()
            await refused(locker, Claim(key, due, redeliver=True), Superseded)

    async def test_a_completed_occurrence_is_not_granted_again(self) -> None:
        async with self.client() as locker:
            key, due = a_key(), await self.ago(10)
            await taken(locker, Claim(key, due, redeliver=True))
            await refused(locker, Claim(key, due, redeliver=True), AlreadyRan)
            await taken(locker, Claim(key, due + SECOND, redeliver=True))

    async def test_a_living_holders_occurrence_is_held(self) -> None:
        async with self.clients(2) as (ours, theirs):
            key, due = a_key(), await self.ago(10)
            lock = await ours.claim(Claim(key, due, redeliver=True))
            with pytest.raises(LockHeld) as same:
                await theirs.claim(Claim(key, due, redeliver=True))
            assert same.value.same_occurrence
            assert same.value.remaining is not None
            assert same.value.remaining > 0
            with pytest.raises(LockHeld) as newer:
                await theirs.claim(Claim(key, due + SECOND, redeliver=True))
            assert not newer.value.same_occurrence
            await lock.unlock()

    async def test_it_is_not_granted_while_another_lock_holds_the_key(self) -> None:
        async with self.clients(2) as (ours, theirs):
            claim = Claim(a_key(), await self.ago(10), redeliver=True)
            lock = await ours.claim(claim)
            await lock.unlock(done=False)
            manual = await ours.lock(claim.key)
            with pytest.raises(LockHeld) as refusal:
                await theirs.claim(claim)
            assert refusal.value.same_occurrence
            await manual.unlock()
            again = await theirs.claim(claim)
            assert (again.due_at, again.attempt) == (claim.due_at, 2)
            await again.unlock()

    async def test_a_manual_run_neither_takes_it_nor_completes_it(self) -> None:
        async with self.client() as locker:
            claim = Claim(a_key(), await self.ago(10), redeliver=True)
            await (await locker.claim(claim)).unlock(done=False)
            manual = await locker.claim(Claim(claim.key, redeliver=True))
            assert (manual.due_at, manual.attempt) == (None, 1)
            await manual.unlock(done=True)
            again = await locker.claim(claim)
            assert (again.due_at, again.attempt) == (claim.due_at, 2)
            await again.unlock()

    async def test_a_manual_run_that_dies_leaves_it_as_it_was(self) -> None:
        async with self.client() as locker:
            claim = Claim(a_key(), await self.ago(10), redeliver=True)
            await (await locker.claim(claim)).unlock(done=False)
            await self.kill_holder(Claim(claim.key))
            again = await self.freed(locker, claim)
            assert (again.due_at, again.attempt) == (claim.due_at, 2)
            await again.unlock()

    async def test_what_is_too_old_to_be_delivered_again_is_dropped(self) -> None:
        async with self.client() as locker:
            key, due = a_key(), await self.ago(100)
            await self.kill_holder(Claim(key, due, redeliver=True))
            newer = await self.ago(1)
            claim = Claim(key, newer, late=50, redeliver=True)
            lock = await self.freed(locker, claim)
            assert (lock.due_at, lock.attempt) == (newer, 1)
            await lock.unlock()
            await refused(locker, Claim(key, due, late=50, redeliver=True), TooLate)

    async def test_a_newer_one_that_is_not_exclusive_does_not_drop_it(self) -> None:
        async with self.client() as locker:
            key, due = a_key(), await self.ago(10)
            await self.kill_holder(Claim(key, due, redeliver=True))
            await taken(locker, Claim(key, due + SECOND, exclusive=False))
            lock = await self.freed(locker, Claim(key, due + 2 * SECOND, redeliver=True))
            assert (lock.due_at, lock.attempt) == (due, 2)
            await lock.unlock()

    async def test_exact_sets_redeliver_as_well(self) -> None:
        async with self.client() as locker:
            key, due = a_key(), await self.ago(10)
            await taken(locker, Claim(key, due + 2 * SECOND, exact=True, redeliver=True))
            await self.kill_holder(Claim(key, due, exact=True, redeliver=True))
            next_one = Claim(key, due + SECOND, exact=True, redeliver=True)
            lock = await self.freed(locker, next_one)
            assert (lock.due_at, lock.attempt) == (due, 2)
            await lock.unlock()
            await refused(locker, Claim(key, due, exact=True, redeliver=True), AlreadyRan)
            await taken(locker, next_one)

    async def test_a_context_that_raises_does_not_complete(self) -> None:
        async with self.client() as locker:
            claim = Claim(a_key(), await self.ago(10), redeliver=True)
            with pytest.raises(ZeroDivisionError):
                async with await locker.claim(claim):  # type: ignore[attr-defined]
                    raise ZeroDivisionError
            lock = await locker.claim(claim)
            assert lock.attempt == 2
            await lock.unlock()
