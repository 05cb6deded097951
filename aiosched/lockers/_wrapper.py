"""A locker around another: whatever seams that one has, the one around it has, and no others."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Self, TypeVar

from aiosched.model import Claim, LockRecord
from aiosched.protocols import (
    ClaimedLock,
    ClaimingLocker,
    ClockedLocker,
    InspectableLocker,
    Lock,
    Locker,
    RehearsedLocker,
    RingingLocker,
)

if TYPE_CHECKING:
    from aiosched.protocols import Clock

AnyLock = TypeVar("AnyLock", bound=Lock)

_FACTS = frozenset({"clock_offset", "last_error", "ttl"})
"""What is read of a locker on a server, where there is one."""


class Wrapper:
    """What `Monitored` and `Prefixed` share.

    Attributes:
        inner: The locker that is asked.
    """

    inner: Any

    def __new__(cls, locker: Locker, /, *_args: Any, **_options: Any) -> Self:
        seams = tuple(seam for kind, seam in _SEAMS.items() if isinstance(locker, kind))
        made: type[Self] = _with(cls, seams)  # type: ignore[arg-type] # classes are hashable
        return object.__new__(made)

    def __init__(self, locker: Locker, /) -> None:
        if isinstance(locker, type) or not inspect.iscoroutinefunction(
            getattr(locker, "lock", None)
        ):
            raise TypeError(f"locker must have an async lock(key), got {locker!r}")
        self.inner = locker

    async def lock(self, key: str, /) -> Any:
        """Ask the inner locker (see `aiosched.protocols.Locker`)."""
        return await self._asked(key, self.inner.lock(self._inward(key)))

    async def open(self) -> None:
        """Open the inner locker, which counts, if it can be opened."""
        if hasattr(self.inner, "open"):
            await self.inner.open()

    async def aclose(self) -> None:
        """Close the inner locker, if it can be closed."""
        if hasattr(self.inner, "aclose"):
            await self.inner.aclose()

    def __getattr__(self, name: str) -> Any:
        if name in _FACTS:
            return getattr(self.inner, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # ── what a wrapper is about ───────────────────────────────────────────────────────────────

    def _inward(self, key: str) -> str:
        """Return what the inner locker calls *key*."""
        return key

    async def _asked(self, key: str, asking: Awaitable[AnyLock]) -> AnyLock:  # noqa: ARG002
        """Return what *asking* for *key* came to."""
        return await asking

    def _shown(self, record: LockRecord) -> LockRecord | None:
        """Return what to show for *record* of the inner locker; None: nothing."""
        return record


class Claims(Wrapper):
    """Over a locker that claims."""

    async def lock(self, key: str, /) -> ClaimedLock:
        """Ask the inner locker (see `aiosched.protocols.Locker`)."""
        lock: ClaimedLock = await super().lock(key)
        return lock

    async def claim(self, claim: Claim, /) -> ClaimedLock:
        """Ask the inner locker (see `aiosched.protocols.ClaimingLocker`)."""
        inward = self._inward(claim.key)
        asked = claim if inward == claim.key else replace(claim, key=inward)
        lock: ClaimedLock = await self._asked(claim.key, self.inner.claim(asked))
        return lock

    async def last_claimed(self, key: str, /) -> datetime | None:
        """Ask the inner locker."""
        newest: datetime | None = await self.inner.last_claimed(self._inward(key))
        return newest


class _Clocked(Wrapper):
    def use_clock(self, clock: Clock, /) -> None:
        """Have the inner locker live by *clock*."""
        self.inner.use_clock(clock)


class _Rehearsed(Wrapper):
    def rehearsal(self) -> AbstractContextManager[None]:
        """Have the inner locker set aside what it remembers."""
        context: AbstractContextManager[None] = self.inner.rehearsal()
        return context


class _Inspectable(Wrapper):
    async def records(self) -> list[LockRecord]:
        """Return what the inner locker remembers, by key."""
        shown = [self._shown(record) for record in await self.inner.records()]
        return [record for record in shown if record is not None]

    async def release(self, key: str, /) -> bool:
        """Take *key* away from whoever holds it. Did somebody?"""
        held: bool = await self.inner.release(self._inward(key))
        return held


class _Ringing(Wrapper):
    def ring(self, key: str, /) -> None:
        """Have the inner locker ring."""
        self.inner.ring(self._inward(key))

    async def listen(self, key: str, call: Callable[[], object], /) -> None:
        """Have the inner locker listen."""
        await self.inner.listen(self._inward(key), call)


_SEAMS: dict[type, type[Wrapper]] = {
    ClaimingLocker: Claims,
    ClockedLocker: _Clocked,
    InspectableLocker: _Inspectable,
    RehearsedLocker: _Rehearsed,
    RingingLocker: _Ringing,
}


@cache
def _with(kind: type[Any], seams: tuple[type[Wrapper], ...]) -> type[Any]:
    """Return *kind* with these *seams*: what is looked for by `isinstance` must be in the class."""
    return type(kind.__name__, (*seams, kind), {"__module__": kind.__module__})
