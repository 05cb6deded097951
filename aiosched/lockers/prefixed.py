"""`Prefixed`: a part of a locker's keys, as if it were a locker of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast, overload

from aiosched.lockers._wrapper import AnyLock, Claims, Wrapper
from aiosched.model import LockRecord
from aiosched.protocols import ClaimedLock, ClaimingLocker, Locker


class Prefixed(Wrapper):
    """Asks *locker* for ``prefix + key``, so that tenants or services can share one store.

    Inside, keys are without it: `lock.key` is the key that was asked for, `records` has the keys
    that begin with the prefix and shows them without. Only messages name the whole key, as the
    store has it. End the prefix with a character that keeps prefixes apart, as in ``"shop:"``.

    It does all that *locker* does; around one with two methods it has no more than these, and
    hands out its locks as they are.

    Args:
        locker: Any locker.
        prefix: Not empty.

    Raises:
        TypeError: One of them is of a wrong kind.
        ValueError: *prefix* is empty.
    """

    if TYPE_CHECKING:

        @overload
        def __new__(cls, locker: ClaimingLocker, /, prefix: str) -> _Claiming: ...
        @overload
        def __new__(cls, locker: Locker, /, prefix: str) -> Self: ...
        def __new__(cls, locker: Locker, /, prefix: str) -> Self: ...

    def __init__(self, locker: Locker, /, prefix: str) -> None:
        super().__init__(locker)
        if not isinstance(prefix, str):
            raise TypeError(f"prefix must be text, got {prefix!r}")
        if not prefix:
            raise ValueError(f"prefix must not be empty, got {prefix!r}")
        self.prefix: str = prefix

    def _inward(self, key: str) -> str:
        return self.prefix + key

    async def _asked(self, key: str, asking: Awaitable[AnyLock]) -> AnyLock:
        lock = await asking
        if not isinstance(self, Claims):
            return lock
        return cast("AnyLock", PrefixedLock(key, cast("ClaimedLock", lock)))

    def _shown(self, record: LockRecord) -> LockRecord | None:
        if not record.key.startswith(self.prefix):
            return None
        return replace(record, key=record.key[len(self.prefix) :])

    def __repr__(self) -> str:
        return f"Prefixed({self.inner!r}, {self.prefix!r})"


class PrefixedLock:
    """A lock under the key that was asked for; otherwise the inner one.

    Attributes:
        key: Without the prefix.
        inner: The lock of the inner locker.
    """

    __slots__ = ("__weakref__", "inner", "key")

    def __init__(self, key: str, inner: ClaimedLock) -> None:
        self.key: str = key
        self.inner: ClaimedLock = inner

    @property
    def due_at(self) -> datetime | None:
        """The occurrence that was granted, in UTC; None for the mutual exclusion alone."""
        return self.inner.due_at

    @property
    def fence(self) -> int:
        """Grows with every grant of the key."""
        return self.inner.fence

    @property
    def attempt(self) -> int:
        """Grants of this occurrence, from 1."""
        return self.inner.attempt

    @property
    def lost(self) -> asyncio.Event:
        """Set when the lock is no longer held although nobody unlocked it."""
        return self.inner.lost

    def check(self) -> None:
        """Raise `LockLost` unless the lock is still held, as far as is known here. No I/O."""
        self.inner.check()

    async def unlock(self, *, done: bool = True) -> bool:
        """Give it back and, with *done*, complete its occurrence. Was it still held?"""
        return await self.inner.unlock(done=done)

    def __getattr__(self, name: str) -> Any:
        if name == "expires_in":  # of a lease
            return getattr(self.inner, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        await self.unlock(done=kind is None)

    def __repr__(self) -> str:
        return f"<PrefixedLock {self.key!r} of {self.inner!r}>"


if TYPE_CHECKING:

    class _Claiming(Claims, Prefixed):
        """What is made around a locker that claims."""
