"""Lockers for the engine's tests: one that answers as it is told, a minimal one, dying holders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from aiosched import Claim, ClaimedLock, LockHeld, MemoryLocker
from aiosched.lockers import HeldLock

Answer = BaseException | type[BaseException] | None


class Told:
    """A locker that claims in memory unless the test has another answer for it.

    Attributes:
        answer: Given the claim, what to raise; None: what the memory says.
        latency: Seconds that each answer is on its way there, and back.
        claims: What was asked.
    """

    def __init__(self, answer: Callable[[Claim], Answer] | None = None) -> None:
        self.memory = MemoryLocker()
        self.answer = answer or (lambda _: None)
        self.latency = 0.0
        self.claims: list[Claim] = []

    def use_clock(self, clock) -> None:
        self.memory.use_clock(clock)

    async def lock(self, key: str, /) -> HeldLock:
        return await self.claim(Claim(key))

    async def claim(self, claim: Claim, /) -> HeldLock:
        self.claims.append(claim)
        await self._travel()
        answer = self.answer(claim)
        if answer is not None:
            raise answer
        lock = await self.memory.claim(claim)
        try:
            await self._travel()
        except asyncio.CancelledError:
            await lock.unlock(done=False)
            raise
        return lock

    async def last_claimed(self, key: str, /) -> datetime | None:
        await self._travel()
        answer = self.answer(Claim(key))
        if answer is not None:
            raise answer
        return await self.memory.last_claimed(key)

    async def open(self) -> None:
        await self.memory.open()

    async def aclose(self) -> None:
        await self.memory.aclose()

    async def _travel(self) -> None:
        if self.latency:
            await asyncio.sleep(self.latency)


class Minimal:
    """What a user's own locker may look like: `lock` and `unlock`, and nothing more."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.log: list[str] = []
        self.delay = 0.0
        self.error: Exception | None = None

    async def lock(self, key: str) -> MinimalLock:
        if key in self.held:
            raise LockHeld(key)
        self.held.add(key)
        self.log.append(f"lock {key}")
        return MinimalLock(self, key)


class MinimalLock:
    def __init__(self, locker: Minimal, key: str) -> None:
        self._locker = locker
        self._key = key

    async def unlock(self) -> None:
        await asyncio.sleep(self._locker.delay)
        if self._locker.error is not None:
            raise self._locker.error
        self._locker.held.discard(self._key)
        self._locker.log.append(f"unlock {self._key}")


class Holder:
    """Another replica that holds a lock until it dies: in memory, when its loop is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    async def claim(self, locker: MemoryLocker, claim: Claim) -> ClaimedLock:
        return await asyncio.to_thread(self._loop.run_until_complete, locker.claim(claim))

    def die(self) -> None:
        self._loop.close()


async def die_holding(locker: MemoryLocker, claim: Claim) -> ClaimedLock:
    """Claim as a replica that dies before it gives the lock back; return what it was granted."""
    holder = Holder()
    try:
        return await holder.claim(locker, claim)
    finally:
        holder.die()


async def is_free(locker: MemoryLocker, key: str) -> bool:
    """Say whether nobody holds *key*; nothing is claimed."""
    try:
        lock = await locker.lock(key)
    except LockHeld:
        return False
    await lock.unlock(done=False)
    return True
