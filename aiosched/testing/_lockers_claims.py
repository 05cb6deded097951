"""Claims: one run of each occurrence, by the store's clock, for as long as the store remembers."""

# ruff: noqa: S101, PLR2004 - these are tests, to be collected where they are inherited

from __future__ import annotations

from datetime import timedelta

import pytest

from aiosched.errors import AlreadyRan, LockError, LockHeld, Superseded, TooEarly, TooLate
from aiosched.model import Claim
from aiosched.protocols import ClaimedLock, ClaimingLocker
from aiosched.testing._lockers_base import LockerSuite, a_key, answers

_SHORT = 0.5  # seconds of retention: what a slow store may take to be asked for what is due now


class ClaimTests(LockerSuite):
    """Occurrences."""

    async def test_an_occurrence_is_granted_once(self) -> None:
        async with self.clients(2) as (ours, theirs):
            claim = Claim(a_key(), await self.ago(1))
            lock = await ours.claim(claim)
            assert (lock.due_at, lock.attempt) == (claim.due_at, 1)
            await refused(theirs, claim, AlreadyRan)
            assert await lock.unlock()
            for locker in (ours, theirs):
                await refused(locker, claim, AlreadyRan)

    async def test_an_occurrence_that_was_not_completed_ran_all_the_same(self) -> None:
        async with self.client() as locker:
            claim = Claim(a_key(), await self.ago(1))
            lock = await locker.claim(claim)
            await lock.unlock(done=False)
            await refused(locker, claim, AlreadyRan)

    async def test_an_older_occurrence_is_superseded(self) -> None:
        async with self.client() as locker:
            key, due = a_key(), await self.ago(10)
            await taken(locker, Claim(key, due))
            await refused(locker, Claim(key, due - timedelta(microseconds=1)), Superseded)
            await taken(locker, Claim(key, due + timedelta(microseconds=1)))

    async def test_an_occurrence_that_is_not_due_names_the_wait(self) -> None:
        async with self.client() as locker:
            claim = Claim(a_key(), await self.ago(-60))
            with pytest.raises(TooEarly) as refusal:
                await locker.claim(claim)
            assert 55 < refusal.value.wait <= 60
            assert await locker.last_claimed(claim.key) is None

    async def test_a_refusal_as_too_early_consumes_nothing(self) -> None:
        async with self.client() as locker:
            claim = Claim(a_key(), await self.ago(-0.3))
            with pytest.raises(TooEarly) as refusal:
                await locker.claim(claim)
            await self.advance(refusal.value.wait)
            await taken(locker, claim)

    async def test_an_occurrence_may_be_too_late(self) -> None:
        async with self.client() as locker:
            key, due = a_key(), await self.ago(20)
            await refused(locker, Claim(key, due, late=10), TooLate)
            await taken(locker, Claim(key, due, late=30))

    async def test_without_a_bound_it_may_be_as_late_as_the_record_is_kept(self) -> None:
        async with self.client() as locker:
            key, due = a_key(), await self.ago(20)
            await refused(locker, Claim(key, due, keep=10), TooLate)
            await taken(locker, Claim(key, due, keep=30))

    async def test_a_busy_key_consumes_nothing(self) -> None:
        async with self.clients(2) as (ours, theirs):
            key, due = a_key(), await self.ago(10)
            lock = await ours.claim(Claim(key, due))
            newer = Claim(key, due + timedelta(seconds=5))
            await refused(theirs, newer, LockHeld)
            await lock.unlock()
            await taken(theirs, newer)

    async def test_a_manual_lock_claims_no_occurrence(self) -> None:
        async with self.client() as locker:
            key = a_key()
            await taken(locker, Claim(key))
            assert await locker.last_claimed(key) is None
            await taken(locker, Claim(key, await self.ago(1)))

    async def test_a_manual_lock_keeps_occurrences_out(self) -> None:
        async with self.clients(2) as (ours, theirs):
            claim = Claim(a_key(), await self.ago(1))
            lock = await ours.lock(claim.key)
            await refused(theirs, claim, LockHeld)
            await lock.unlock()
            await taken(theirs, claim)

    # ── without the mutual exclusion ──────────────────────────────────────────────────────────

    async def test_runs_that_are_not_exclusive_overlap(self) -> None:
        async with self.clients(2) as (ours, theirs):
            key, due = a_key(), await self.ago(10)
            first = Claim(key, due, exclusive=False)
            second = Claim(key, due + timedelta(seconds=1), exclusive=False)
            locks = [await ours.claim(first), await theirs.claim(second)]
            assert locks[0].fence < locks[1].fence
            for claim, error in ((first, Superseded), (second, AlreadyRan)):
                await refused(theirs, claim, error)
            assert [await lock.unlock() for lock in locks] == [True, True]
            assert await locks[0].unlock() is False

    async def test_who_is_not_exclusive_neither_waits_for_the_key_nor_frees_it(self) -> None:
        async with self.clients(2) as (ours, theirs):
            key, due = a_key(), await self.ago(10)
            lock = await ours.lock(key)
            await taken(theirs, Claim(key, due, exclusive=False))
            await refused(theirs, Claim(key, due + timedelta(seconds=1)), LockHeld)
            assert await lock.unlock()

    # ── exact sets ────────────────────────────────────────────────────────────────────────────

    async def test_an_exact_set_grants_in_any_order_and_each_once(self) -> None:
        async with self.clients(2) as (ours, theirs):
            key, base = a_key(), await self.ago(60)
            dues = [base + timedelta(seconds=number) for number in (5, 1, 9, 3, 7)]
            for due in dues:
                await taken(ours, Claim(key, due, exact=True))
            for due in dues:
                await refused(theirs, Claim(key, due, exact=True), AlreadyRan)
            await taken(theirs, Claim(key, base + timedelta(seconds=4), exact=True))
            assert await theirs.last_claimed(key) == dues[2]

    async def test_nothing_at_or_below_the_floor_of_an_exact_set_is_granted(self) -> None:
        async with self.client() as locker:
            key, base = a_key(), await self.ago(60)
            second = timedelta(seconds=1)
            await taken(locker, Claim(key, base))
            await taken(locker, Claim(key, base + 5 * second, exact=True))
            await refused(locker, Claim(key, base, exact=True), AlreadyRan)
            await refused(locker, Claim(key, base - second, exact=True), Superseded)
            await taken(locker, Claim(key, base + 3 * second, exact=True))

    async def test_an_exact_set_is_not_made_by_a_refusal(self) -> None:
        async with self.client() as locker:
            key, base = a_key(), await self.ago(60)
            await taken(locker, Claim(key, base))
            await refused(locker, Claim(key, base, exact=True), AlreadyRan)
            await taken(locker, Claim(key, base + timedelta(seconds=5)))
            await refused(locker, Claim(key, base + timedelta(seconds=3), exact=True), Superseded)

    async def test_replicas_with_and_without_exact_sets_run_nothing_twice(self) -> None:
        async with self.clients(2) as (exact, plain):
            key, base = a_key(), await self.ago(60)
            second = timedelta(seconds=1)
            await taken(exact, Claim(key, base + 1 * second, exact=True))
            await taken(plain, Claim(key, base + 5 * second))
            await refused(exact, Claim(key, base + 5 * second, exact=True), AlreadyRan)
            await taken(exact, Claim(key, base + 3 * second, exact=True))
            await refused(plain, Claim(key, base + 3 * second), AlreadyRan)
            await refused(plain, Claim(key, base + 2 * second), Superseded)
            await taken(exact, Claim(key, base + 2 * second, exact=True))

    async def test_an_exact_set_sheds_what_is_too_late_anyway(self) -> None:
        async with self.client() as locker:
            key, base = a_key(), await self.ago(60)
            second = timedelta(seconds=1)
            await taken(locker, Claim(key, base, exact=True))
            await taken(locker, Claim(key, base + 50 * second, exact=True, keep=30))
            for due in (base, base - second, base + second):
                await refused(locker, Claim(key, due, exact=True, keep=30), TooLate)
            await refused(locker, Claim(key, base, exact=True), AlreadyRan)
            await refused(locker, Claim(key, base - second, exact=True), Superseded)
            await taken(locker, Claim(key, base + second, exact=True))

    # ── memory ────────────────────────────────────────────────────────────────────────────────

    async def test_the_last_claimed_occurrence_is_the_newest(self) -> None:
        key, base = a_key(), await self.ago(60)
        async with self.clients(2) as (ours, theirs):
            assert await ours.last_claimed(key) is None
            await taken(ours, Claim(key, base + timedelta(seconds=5), exact=True))
            await taken(ours, Claim(key, base, exact=True))
            assert await theirs.last_claimed(key) == base + timedelta(seconds=5)
            lock = await ours.claim(Claim(key, base + timedelta(seconds=9)))
            assert await theirs.last_claimed(key) == lock.due_at
            await lock.unlock()

    async def test_a_record_is_kept_while_its_occurrence_might_be_asked_for(self) -> None:
        async with self.client() as locker:
            key, due = a_key(), await self.ago(1)
            await taken(locker, Claim(key, due, late=3600, keep=0.05))
            await self.advance(0.1)
            await refused(locker, Claim(key, due, late=3600), AlreadyRan)

    async def test_a_record_is_forgotten_after_its_retention(self) -> None:
        async with self.client() as locker:
            key, base = a_key(), await self.now()
            lock = await locker.claim(Claim(key, base, keep=_SHORT, exact=True))
            await lock.unlock()
            await self.advance(1.2 * _SHORT)
            assert await locker.last_claimed(key) is None
            older = Claim(key, base - timedelta(seconds=1))
            again = await locker.claim(older)
            assert again.fence > lock.fence
            await again.unlock()
            await refused(locker, Claim(key, base - timedelta(seconds=2), exact=True), Superseded)

    async def test_a_held_lock_outlives_its_retention(self) -> None:
        async with self.clients(2) as (ours, theirs):
            key, due = a_key(), await self.now()
            lock = await ours.claim(Claim(key, due, keep=_SHORT))
            await self.advance(1.2 * _SHORT)
            await refused(theirs, Claim(key), LockHeld)
            assert await theirs.last_claimed(key) == due
            assert await lock.unlock()

    async def test_retention_is_never_shortened(self) -> None:
        async with self.client() as locker:
            key, due = a_key(), await self.ago(1)
            await taken(locker, Claim(key, due))
            await taken(locker, Claim(key, keep=0.05))
            await self.advance(0.1)
            assert await locker.last_claimed(key) == due

    async def test_clients_that_race_run_each_occurrence_once(self) -> None:
        async with self.clients(4) as lockers:
            keys, base = [a_key() for _ in range(10)], await self.ago(600)
            for number in range(20):
                due = base + timedelta(seconds=number)
                claims = [Claim(key, due) for key in keys]
                granted, _ = await answers(
                    *(locker.claim(claim) for claim in claims for locker in lockers)
                )
                assert sorted(lock.key for lock in granted) == sorted(keys)
                for lock in granted:
                    await lock.unlock()


async def taken(locker: ClaimingLocker, claim: Claim) -> ClaimedLock:
    """Claim, see that it is what was asked for, and complete it."""
    lock = await locker.claim(claim)
    assert lock.due_at == claim.due_at
    assert await lock.unlock()
    return lock


async def refused(locker: ClaimingLocker, claim: Claim, error: type[LockError]) -> None:
    """Claim, and see that it is refused as *error* and nothing else."""
    with pytest.raises(LockError) as refusal:
        await locker.claim(claim)
    assert type(refusal.value) is error, refusal.value
