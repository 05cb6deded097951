"""RedlockLocker against the suite, with three servers and with five."""

from __future__ import annotations

import asyncio

import pytest

from aiosched.lockers.redlock import RedlockLocker
from aiosched.testing.lockers import LockerConformance
from tests.lockers.support import drop


class RedlockSuite(LockerConformance):
    count = 0

    @pytest.fixture(autouse=True)
    def _servers(self, five_redis_servers):
        self.urls = [server.url for server in five_redis_servers[: self.count]]

    async def connect(self):
        return RedlockLocker(self.urls)

    async def kill_holder(self, claim):
        holder = RedlockLocker(self.urls, ttl=0.2, timeout=1)
        await holder.claim(claim)
        await drop(holder)
        await asyncio.sleep(holder.ttl)  # the suite knows of no leases


class TestThree(RedlockSuite):
    count = 3


class TestFive(RedlockSuite):
    count = 5

    test_ten_thousand_keys_are_held_at_once = None  # three are slow enough
