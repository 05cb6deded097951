"""What the drill found in Redlock (redlock, seed 105), step by step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aiosched.errors import AlreadyRan
from aiosched.lockers import RedisLocker, RedlockLocker
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
