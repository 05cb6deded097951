"""What is left after cancelling, closing and dying: nothing."""

# ruff: noqa: S101 - these are tests, to be collected where they are inherited

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

import pytest

from aiosched.errors import AlreadyRan, LockLost
from aiosched.model import Claim
from aiosched.protocols import ClaimedLock
from aiosched.testing._interrupt import Moment, interrupt
from aiosched.testing._lockers_base import LockerSuite, a_key, answers
from aiosched.testing._lockers_claims import refused

ROUNDS = 3
"""Each cancellation is tried so often, as threads and networks are not always as quick."""


class SurvivalTests(LockerSuite):
    """Cancelling, closing, opening again."""

    @pytest.mark.parametrize("moment", Moment)
    async def test_a_cancelled_lock_leaves_the_key_free(self, moment: Moment) -> None:
        async with self.clients(2) as (ours, theirs):
            key = a_key()

            async def is_free() -> None:
                lock = await ours.lock(key)  # at once, for who asks behind it
                await lock.unlock()
                await (await self.freed(theirs, Claim(key))).unlock()

            await self._interrupt_everywhere(lambda: ours.lock(key), moment, is_free)

    @pytest.mark.parametrize("moment", Moment)
    async def test_a_cancelled_claim_leaves_the_key_free(self, moment: Moment) -> None:
        async with self.clients(2) as (ours, theirs):
            key, base = a_key(), await self.ago(600)
            dues = (base.replace(microsecond=number) for number in count())

            async def is_free() -> None:
                await (await self.freed(theirs, Claim(key))).unlock()

            await self._interrupt_everywhere(
                lambda: ours.claim(Claim(key, next(dues), exact=True)), moment, is_free
            )

    @pytest.mark.parametrize("moment", Moment)
    async def test_what_a_cancelled_claim_took_is_delivered_again(self, moment: Moment) -> None:
        async with self.client() as locker:
            claims: list[Claim] = []

            def ask() -> Coroutine[Any, Any, ClaimedLock]:
                claims.append(Claim(a_key(), base, redeliver=True))
                return locker.claim(claims[-1])

            async def is_delivered() -> None:
                lock = await self.freed(locker, claims[-1])
                assert lock.due_at == base
                await lock.unlock()

            base = await self.ago(10)
            await self._interrupt_everywhere(ask, moment, is_delivered)

    @pytest.mark.parametrize("moment", Moment)
    async def test_a_cancelled_unlock_unlocks_and_completes(self, moment: Moment) -> None:
        async with self.clients(2) as (ours, theirs):
            base = await self.ago(10)
            at, reached = -1, True
            while reached:
                at += 1
                claim = Claim(a_key(), base, redeliver=True)
                lock = await ours.claim(claim)
                reached, _ = await interrupt(lock.unlock(), at, moment)
                assert await lock.unlock() is False
                await (await self.freed(theirs, Claim(claim.key))).unlock()
                await refused(theirs, claim, AlreadyRan)

    async def test_a_cancelled_claim_does_not_disturb_its_neighbours(self) -> None:
        async with self.client() as locker:
            keys = [a_key() for _ in range(10)]
            for turns in range(6):
                tasks = [asyncio.ensure_future(locker.lock(key)) for key in keys]
                for _ in range(turns):
                    await asyncio.sleep(0)
                for task in tasks[::2]:
                    task.cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
                for lock in outcomes:
                    if not isinstance(lock, BaseException):
                        assert await lock.unlock()
                assert not any(isinstance(each, BaseException) for each in outcomes[1::2])

    async def test_closing_gives_everything_back_and_says_so(self) -> None:
        claim, told = Claim(a_key(), await self.ago(10), redeliver=True), []
        async with self.client() as locker:
            lock = await locker.claim(claim)
            lock.lost.add_callback(lambda: told.append(True))  # type: ignore[attr-defined]
        assert lock.lost.is_set()
        assert told == [True]
        with pytest.raises(LockLost):
            lock.check()
        assert await lock.unlock() is False
        async with self.client() as locker:
            again = await locker.claim(claim)
            assert (again.due_at, again.attempt) == (claim.due_at, 2)
            await again.unlock()

    async def test_closing_while_claims_are_on_their_way_leaves_no_lock(self) -> None:
        keys = [a_key() for _ in range(20)]
        for turns in range(1, 6):
            locker = await self.connect()
            await locker.open()
            claims = [asyncio.ensure_future(locker.lock(key)) for key in keys]
            for _ in range(turns):
                await asyncio.sleep(0)
            await locker.aclose()
            granted, _refused = await answers(*claims)
            assert all(lock.lost.is_set() for lock in granted)
            async with self.client() as other:
                for key in keys:
                    await (await other.lock(key)).unlock()

    async def test_who_opened_it_twice_closes_it_twice(self) -> None:
        locker = await self.connect()
        await locker.open()
        await locker.open()
        lock = await locker.lock(a_key())
        await locker.aclose()
        lock.check()
        assert await lock.unlock()
        await locker.aclose()

    async def test_it_can_be_opened_again_on_another_loop(self) -> None:
        key, base = a_key(), await self.ago(10)
        locker = await self.connect()

        async def run_once() -> None:
            await locker.open()
            lock = await locker.claim(Claim(key, base, redeliver=True))
            attempts.append(lock.attempt)
            await lock.unlock(done=False)
            await locker.aclose()

        attempts: list[int] = []
        await run_once()
        await asyncio.to_thread(asyncio.run, run_once())
        await run_once()
        assert attempts == [1, 2, 3]

    async def test_it_leaves_no_task_and_no_thread(self) -> None:
        tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
        async with self.clients(2) as (ours, theirs):
            lock = await ours.lock(a_key())
            await answers(ours.lock(lock.key), theirs.lock(lock.key))
            await lock.unlock()
        assert asyncio.all_tasks() == tasks
        assert set(threading.enumerate()) <= threads

    async def _interrupt_everywhere(
        self,
        ask: Callable[[], Coroutine[Any, Any, ClaimedLock]],
        moment: Moment,
        verify: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        at, reached = -1, True
        while reached:
            at += 1
            for _ in range(ROUNDS):
                reached, lock = await interrupt(ask(), at, moment)
                if lock is not None:
                    await lock.unlock(done=False)
                await verify()
