"""PostgresLocker against the suite, in both modes."""

from __future__ import annotations

import asyncio

import pytest

from aiosched.lockers.postgres import PostgresLocker
from aiosched.testing.lockers import LockerConformance
from tests.lockers.support import drop


class PostgresSuite(LockerConformance):
    mode = "advisory"

    @pytest.fixture(autouse=True)
    def _dsn(self, postgres_server):
        self.dsn = postgres_server.dsn()

    async def connect(self):
        return PostgresLocker(self.dsn, mode=self.mode)


class TestAdvisory(PostgresSuite):
    async def kill_holder(self, claim):
        holder = PostgresLocker(self.dsn)
        await holder.claim(claim)
        await drop(holder)


class TestLease(PostgresSuite):
    mode = "lease"

    async def kill_holder(self, claim):
        # A statement may take a third of the TTL: on a busy machine a tenth of a second is little.
        holder = PostgresLocker(self.dsn, ttl=0.75, mode="lease", timeout=2)
        await holder.claim(claim)
        await drop(holder)
        await asyncio.sleep(holder.ttl)  # the suite knows of no leases
