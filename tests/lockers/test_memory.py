"""MemoryLocker against the suite, and what is its own."""

from __future__ import annotations

import asyncio

from aiosched.lockers import MemoryLocker
from aiosched.testing.lockers import LockerConformance


class TestMemoryLocker(LockerConformance):
    def setup_method(self):
        self.locker = MemoryLocker()

    async def connect(self):
        return self.locker

    async def kill_holder(self, claim):
        await asyncio.to_thread(asyncio.run, self.locker.claim(claim))
