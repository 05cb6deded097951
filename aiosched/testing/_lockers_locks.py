"""Locks: who holds a key, who gives it back, and fences that grow."""

# ruff: noqa: S101 - these are tests, to be collected where they are inherited

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from aiosched.errors import LockHeld, LockLost
from aiosched.model import Claim
from aiosched.protocols import ClaimedLock, ClaimingLocker
from aiosched.testing._lockers_base import LockerSuite, a_key, answers

KEYS = {
    "empty": "",
    "space": " ",
    "newline": "a\nb\r\n",
    "nul": "a\0b",
    "after nul": "a\0c",
    "backslash": "a\\0b",
    "unicode": "täglich/每日/🕰️",
    "composed": "caf\u00e9",
    "decomposed": "cafe\u0301",
    "surrogate": "a\ud800b",
    "spelled surrogate": "a\\ud800b",
    "quotes": "'; DROP TABLE record; --\"",
    "braces": "{tenant}:{{x}}*?[a]",
    "upper": "KEY",
    "lower": "key",
    "long": "x" * 100_000,
    "one longer": "x" * 100_001,
}


class LockTests(LockerSuite):
    """Mutual exclusion."""

    async def test_it_is_a_locker_that_claims(self) -> None:
        async with self.client() as locker:
            assert isinstance(locker, ClaimingLocker)
            lock = await locker.lock(key := a_key())
            assert isinstance(lock, ClaimedLock)
            assert (lock.key, lock.due_at, lock.attempt) == (key, None, 1)
            assert await lock.unlock()

    async def test_a_key_is_held_by_one_at_a_time(self) -> None:
        async with self.clients(2) as (ours, theirs):
            key = a_key()
            lock = await ours.lock(key)
            for locker in (ours, theirs):
                with pytest.raises(LockHeld, match=key):
                    await locker.lock(key)
            assert await lock.unlock()
            assert await (await theirs.lock(key)).unlock()

    async def test_keys_do_not_disturb_each_other(self) -> None:
        async with self.client() as locker:
            locks = [await locker.lock(a_key()) for _ in range(3)]
            assert [await lock.unlock() for lock in locks] == [True] * 3

    async def test_a_second_unlock_does_nothing_and_says_so(self) -> None:
        async with self.clients(2) as (ours, theirs):
            key = a_key()
            lock = await ours.lock(key)
            assert await lock.unlock() is True
            other = await theirs.lock(key)
            assert await lock.unlock() is False
            with pytest.raises(LockHeld):
                await ours.lock(key)
            assert await other.unlock() is True

    async def test_a_lock_is_a_context(self) -> None:
        async with self.client() as locker:
            key = a_key()
            async with await locker.lock(key):  # type: ignore[attr-defined]
                with pytest.raises(LockHeld):
                    await locker.lock(key)
            assert await (await locker.lock(key)).unlock()

    async def test_a_held_lock_checks_and_an_unlocked_one_does_not(self) -> None:
        async with self.client() as locker:
            lock = await locker.lock(a_key())
            lock.check()
            assert not lock.lost.is_set()
            await lock.unlock()
            assert not lock.lost.is_set(), "unlocked is not lost"
            with pytest.raises(LockLost):
                lock.check()

    async def test_requests_of_one_loop_turn_for_one_key_give_one_grant(self) -> None:
        async with self.client() as locker:
            key = a_key()
            granted, refused = await answers(*(locker.lock(key) for _ in range(20)))
            assert (len(granted), len(refused)) == (1, 19)
            await granted[0].unlock()

    async def test_many_claimants_have_one_winner(self) -> None:
        async with self.clients(4) as lockers:
            for _ in range(10):
                claim = Claim(a_key(), await self.ago(1))
                granted, refused = await answers(
                    *(locker.claim(claim) for locker in lockers for _ in range(5))
                )
                assert (len(granted), len(refused)) == (1, 19)
                await granted[0].unlock()

    async def test_an_unlock_is_seen_by_the_next_request(self) -> None:
        async with self.client() as locker:
            key = a_key()
            lock = await locker.lock(key)
            unlocked, again = await asyncio.gather(lock.unlock(), locker.lock(key))
            assert unlocked
            assert await again.unlock()

    async def test_keys_may_be_any_text(self) -> None:
        async with self.clients(2) as (ours, theirs):
            prefix = a_key()
            keys = [f"{prefix}{text}" if text else "" for text in KEYS.values()]
            locks = await asyncio.gather(*(ours.lock(key) for key in keys))
            assert [lock.key for lock in locks] == keys
            granted, refused = await answers(*(theirs.lock(key) for key in keys))
            assert (granted, len(refused)) == ([], len(keys))
            assert all(await asyncio.gather(*(lock.unlock() for lock in locks)))

    async def test_ten_thousand_keys_are_held_at_once(self) -> None:
        async with self.clients(2) as (ours, theirs):
            prefix = a_key()
            keys = [f"{prefix}.{number}" for number in range(10_000)]
            locks = await asyncio.gather(*(ours.lock(key) for key in keys))
            granted, refused = await answers(*(theirs.lock(key) for key in keys[::97]))
            assert (granted, len(refused)) == ([], len(keys[::97]))
            assert all(await asyncio.gather(*(lock.unlock() for lock in locks)))

    async def test_fences_grow_with_every_grant_of_a_key(self) -> None:
        key, fences = a_key(), []
        for _ in range(3):  # over closing and opening as well
            async with self.clients(2) as lockers:
                for locker in lockers * 2:
                    lock = await locker.lock(key)
                    fences.append(lock.fence)
                    with pytest.raises(LockHeld):
                        await lockers[0].lock(key)
                    await lock.unlock()
        assert all(one < other for one, other in pairwise(fences)), fences

    async def test_a_dead_holders_lock_is_free(self) -> None:
        async with self.client() as locker:
            claim = Claim(a_key())
            await self.kill_holder(claim)
            lock = await self.freed(locker, claim)
            assert await lock.unlock()

    async def test_fences_grow_over_a_holders_death(self) -> None:
        async with self.client() as locker:
            claim = Claim(a_key())
            before = await locker.claim(claim)
            await before.unlock()
            await self.kill_holder(claim)
            after = await self.freed(locker, claim)
            assert after.fence > before.fence + 1
            await after.unlock()
