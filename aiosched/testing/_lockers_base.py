"""What the tests of lockers stand on: the hooks of a store, clients, moments and keys."""

# ruff: noqa: S101 - these are tests, to be collected where they are inherited

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest

from aiosched.errors import LockError, LockHeld
from aiosched.model import Claim
from aiosched.protocols import ClaimedLock, ClaimingLocker


class LockerSuite:
    """The hooks, and short ways to say what the tests say often."""

    pytestmark: ClassVar[pytest.MarkDecorator] = pytest.mark.asyncio

    patience: ClassVar[float] = 5.0
    """Seconds after which a lock whose holder died must be free."""

    async def connect(self) -> ClaimingLocker:
        """Return a further client of the same store, not opened. Clients may be one object."""
        raise NotImplementedError("a locker's test class says how to connect")

    async def kill_holder(self, claim: Claim) -> None:
        """Have a holder take *claim* and die without unlocking, before this returns."""
        raise NotImplementedError("a locker's test class says how a holder dies")

    async def now(self) -> datetime:
        """Return the store's clock, by default the host's."""
        return datetime.now(UTC)

    async def advance(self, seconds: float) -> None:
        """Let time pass on the store's clock, by default by waiting."""
        await asyncio.sleep(seconds)

    # ── for the tests ─────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def client(self) -> AsyncIterator[ClaimingLocker]:
        """Return a client that is open until the context is left."""
        locker = await self.connect()
        await locker.open()
        try:
            yield locker
        finally:
            await locker.aclose()

    @asynccontextmanager
    async def clients(self, count: int) -> AsyncIterator[list[ClaimingLocker]]:
        """Return several clients that are open until the context is left."""
        async with AsyncExitStack() as stack:
            yield [await stack.enter_async_context(self.client()) for _ in range(count)]

    async def ago(self, seconds: float) -> datetime:
        """Return a moment on the store's clock, in whole microseconds."""
        return await self.now() - timedelta(seconds=seconds)

    async def freed(self, locker: ClaimingLocker, claim: Claim) -> ClaimedLock:
        """Return the lock of *claim*, asking again while its key is held."""
        deadline = asyncio.get_running_loop().time() + self.patience
        while True:
            try:
                return await locker.claim(claim)
            except LockHeld:
                if asyncio.get_running_loop().time() > deadline:
                    raise
            await self.advance(0.02)


def a_key() -> str:
    """Return a key that nobody used before."""
    return f"conformance.{secrets.token_hex(8)}"


async def answers(*claims: Any) -> tuple[list[ClaimedLock], list[LockError]]:
    """Await all at once; return the locks that were granted and the refusals."""
    outcomes = await asyncio.gather(*claims, return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, LockError)]
    granted = [each for each in outcomes if not isinstance(each, BaseException)]
    assert len(granted) + len(refused) == len(outcomes), outcomes
    return granted, refused
