"""RedisLocker against the suite, on Valkey and on Redis."""

from __future__ import annotations

import asyncio

import pytest

from aiosched.lockers.redis import RedisLocker
from aiosched.testing.lockers import LockerConformance
from tests.lockers.support import drop


class RedisSuite(LockerConformance):
    async def connect(self):
        return RedisLocker(self.server.url)

    async def kill_holder(self, claim):
        holder = RedisLocker(self.server.url, ttl=0.2, timeout=1)
        await holder.claim(claim)
        await drop(holder)
        await asyncio.sleep(holder.ttl)  # the suite knows of no leases


class TestValkey(RedisSuite):
    @pytest.fixture(autouse=True)
    def _server(self, redis_server):
        self.server = redis_server


class TestRedis(RedisSuite):
    @pytest.fixture(autouse=True)
    def _server(self, other_redis_server):
        self.server = other_redis_server
