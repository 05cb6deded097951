"""A lock that is held, and the event that tells when it no longer is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from aiosched.errors import LockLost
from aiosched.moments import from_us

_log = logging.getLogger("aiosched.lockers")


class LostEvent(asyncio.Event):
    """An event that also calls: whoever waits for many locks needs no task for each."""

    def __init__(self) -> None:
        super().__init__()
        self._callbacks: list[Callable[[], object]] = []

    def add_callback(self, callback: Callable[[], object], /) -> None:
        """Call *callback* in the loop as soon as the event is set: now, if it is set already."""
        if self.is_set():
            callback()
        else:
            self._callbacks.append(callback)

    def remove_callback(self, callback: Callable[[], object], /) -> None:
        """Forget *callback*, if it is known."""
        if callback in self._callbacks:
            self._callbacks.remove(callback)

    def set(self) -> None:
        """Wake who waits and call the callbacks, each once."""
        super().set()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback()
            except Exception:  # noqa: BLE001 - its mistake must not keep the loss from others
                _log.exception("a callback of a lost lock raised")


class Granted(Protocol):
    """What a store's yes must say."""

    @property
    def due(self) -> int | None: ...
    @property
    def fence(self) -> int: ...
    @property
    def attempt(self) -> int: ...


class Holder(Protocol):
    """Who granted a lock and takes it back."""

    async def give_back(self, lock: HeldLock, /, *, done: bool) -> bool:
        """Release *lock*; was it still held? It is on its way before the first await."""
        ...


class HeldLock:
    """What the built-in lockers grant; give it back with `unlock`, or use it as a context.

    Leaving the context completes the occurrence only when nothing was raised.
    """

    __slots__ = (
        "__weakref__",
        "_holder",
        "_lost",
        "_why",
        "attempt",
        "due_us",
        "fence",
        "id",
        "key",
    )

    def __init__(self, key: str, id: str, granted: Granted, holder: Holder) -> None:  # noqa: A002
        self.key: str = key
        self.id: str = id  # of the attempt that was granted
        self.due_us: int | None = granted.due
        self.fence: int = granted.fence
        self.attempt: int = granted.attempt
        self._holder: Holder | None = holder  # None: given back, or nothing to give back
        self._lost: LostEvent | None = None
        self._why: str | None = None

    @property
    def due_at(self) -> datetime | None:
        """The occurrence that was granted, in UTC; None for the mutual exclusion alone."""
        return None if self.due_us is None else from_us(self.due_us)

    @property
    def lost(self) -> LostEvent:
        """Set when the lock is no longer held although nobody unlocked it."""
        if self._lost is None:
            self._lost = LostEvent()
            if self._why is not None:
                self._lost.set()
        return self._lost

    def check(self) -> None:
        """Raise `LockLost` unless the lock is still held, as far as is known here. No I/O."""
        if self._holder is None or self._why is not None:
            raise LockLost(f"the lock of {self.key!r} is held no longer: {self._why or 'unlocked'}")

    def lose(self, why: str) -> None:
        """Note that it is no longer held. For lockers, in the lock's loop."""
        if self._why is None:
            self._why = why
            if self._lost is not None:
                self._lost.set()

    def forsake(self, why: str, *, quietly: bool = False) -> None:
        """Note that it is no longer held, and that there is nobody to give it back to.

        Args:
            why: For `check` to say.
            quietly: Wake nobody, as their loop is gone.
        """
        self._holder = None
        if quietly:
            self._why = self._why or why
        else:
            self.lose(why)

    async def unlock(self, *, done: bool = True) -> bool:
        """Give it back and, with *done*, complete its occurrence.

        Never raises for a lock that is no longer held. The release is on its way before this
        waits for anything, so that cancelling it abandons only the waiting.

        Returns:
            Whether it was still held; False also where the store did not confirm it, and from
            the second call on. A lock of ``exclusive=False`` is as good as held until unlocked.
        """
        holder, self._holder = self._holder, None
        if holder is None:
            return False
        held = await holder.give_back(self, done=done)
        return held and self._why is None

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
        due = "" if self.due_at is None else f" of {self.due_at.isoformat()}"
        return f"<HeldLock {self.key!r}{due}, fence={self.fence}>"


class Unheld:
    """The holder of locks of ``exclusive=False``: there is nothing to give back."""

    async def give_back(self, lock: HeldLock, /, *, done: bool) -> bool:  # noqa: ARG002
        return True


UNHELD = Unheld()
