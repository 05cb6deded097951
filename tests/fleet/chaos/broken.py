"""Real lockers with one thing wrong with each, for the drill to find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aiosched.lockers._lease import HeldLock
from aiosched.model import Claim


class _Broken:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def lock(self, key: str, /) -> Any:
        return await self._inner.lock(key)

    async def last_claimed(self, key: str, /) -> Any:
        return await self._inner.last_claimed(key)

    async def open(self) -> None:
        await self._inner.open()

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def claim(self, claim: Claim, /) -> HeldLock:
        lock: HeldLock = await self._inner.claim(claim)
        return lock


class NoClaim(_Broken):
    """Excludes, and remembers no occurrence."""

    async def claim(self, claim: Claim, /) -> HeldLock:
        lock = await super().claim(replace(claim, due_at=None, redeliver=False))
        lock.due_us = claim.due_us
        return lock


class NoOwner(_Broken):
    """Frees a key whoever holds it."""

    async def claim(self, claim: Claim, /) -> HeldLock:
        lock = await super().claim(claim)
        if claim.exclusive:
            lock._holder = _Forceful(lock._holder, self._inner)
        return lock


class _Forceful:
    def __init__(self, holder: Any, locker: Any) -> None:
        self._holder = holder
        self._locker = locker

    async def give_back(self, lock: HeldLock, /, *, done: bool) -> bool:
        await self._locker.release(lock.key)
        held: bool = await self._holder.give_back(lock, done=done)
        return held


class Expired(_Broken):
    """Goes on using a lock whose lease has ended."""

    async def claim(self, claim: Claim, /) -> HeldLock:
        lock = await super().claim(claim)
        if claim.exclusive:
            lock.__class__ = HeldLock if type(lock) is HeldLock else _deathless(type(lock))
        return lock


def _deathless(base: Any) -> type[HeldLock]:
    if base not in _CLASSES:
        eternal = property(lambda lock: 1e12, lambda lock, until: None)
        body = {"__slots__": (), "deadline": eternal, "lose": lambda lock, why: None}
        _CLASSES[base] = type(f"Deathless{base.__name__}", (base,), body)
    return _CLASSES[base]


_CLASSES: dict[Any, type[HeldLock]] = {}

BROKEN: dict[str, Callable[[Any], Any]] = {
    "no-claim": NoClaim,
    "no-owner": NoOwner,
    "expired": Expired,
}
