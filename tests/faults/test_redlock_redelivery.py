"""What the drill found in Redlock (redlock, seeds 105, 147 and 149), step by step."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

from aiosched.errors import AlreadyRan, LockerUnavailable, LockHeld
from aiosched.lockers import RedisLocker, RedlockLocker
from aiosched.lockers._lease import HeldLock
from aiosched.model import Claim
from tests.servers.redis import RedisServer


async def test_what_a_minority_alone_knew_of_is_remembered_by_all_once_it_was_run_again(
    five_redis_servers: list[RedisServer],
) -> None:
    servers = five_redis_servers[:3]
    older = datetime.now(UTC) - timedelta(seconds=20)
    newer = older + timedelta(seconds=10)
    one = RedisLocker(servers[2].url, ttl=0.3, prefix="settled")
    all_three = RedlockLocker([each.url for each in servers], ttl=2, prefix="settled")
    await one.open()
    await all_three.open()
    try:
        # Its asker died while it asked: one server has granted it, the others were not reached.
        lock = await one.claim(Claim("k", older, exact=True, redeliver=True))
        await (await all_three.claim(Claim("k", newer, exact=True))).unlock()
        await lock.unlock(done=False)
        claim = Claim("k", older, exact=True, redeliver=True)
        again = await all_three.claim(claim)
        assert (again.due_at, again.attempt) == (older, 2)
        assert await again.unlock()
        with pytest.raises(AlreadyRan):
            await all_three.claim(claim)
    finally:
        await all_three.aclose()
        await one.aclose()


async def test_what_was_completed_is_not_run_again_because_one_server_did_not_hear_of_it(
    five_redis_servers: list[RedisServer],
) -> None:
    servers = five_redis_servers[:3]
    older = datetime.now(UTC) - timedelta(seconds=20)
    newer = older + timedelta(seconds=10)
    urls = [each.url for each in servers]
    first, second = (RedlockLocker(urls, ttl=0.5, prefix="unheard") for _ in range(2))
    await first.open()
    await second.open()
    try:
        lock = await first.claim(Claim("k", older, redeliver=True))
        servers[0].kill()
        assert await lock.unlock()
        servers[0].start()  # it has the grant, and not that it was completed
        await first.aclose()
        servers[1].kill()
        async with asyncio.timeout(20):
            lock = await _eventually(second, Claim("k", newer, redeliver=True))
        assert (lock.due_at, lock.attempt) == (newer, 1)
        assert await lock.unlock()
    finally:
        await second.aclose()


async def _eventually(locker: RedlockLocker, claim: Claim) -> HeldLock:
    while True:
        with suppress(LockHeld, LockerUnavailable):
            return await locker.claim(claim)
        await asyncio.sleep(0.02)
