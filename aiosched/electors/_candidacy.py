"""Standing for election in one event loop: ask, wait for one's turn, lead, lose, and ask again.

Whoever holds the lock leads. All that is known of the store is what its locker says; a bell, where
it has one, only saves waiting.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any, Final

from aiosched.errors import LockError, LockerUnavailable, LockHeld, LockLost
from aiosched.protocols import ClaimedLock, ClaimingLocker, ClockedLocker, RingingLocker

log = logging.getLogger("aiosched.electors")

_LOOK: Final = 0.5
"""Seconds after which to ask again where no bell is heard, or the store cannot say how long."""
_AT_LEAST: Final = 0.05
_SCATTER: Final = 0.03
"""Seconds over which those who wait for one lease, or hear one bell, ask."""
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0
"""Seconds between tries while the store cannot be asked."""
_STAND_BACK: Final = 2.0
"""Seconds that who has resigned leaves to the others."""
_DEAF: Final = 5.0
"""Seconds after which a bell that could not be heard is tried again."""
_WATCH: Final = 2.0
"""Seconds between a leader's looks at a store which would not tell it of a loss."""


class Candidacy:
    """One candidate, from its making in a running loop until it withdraws.

    Args:
        locker: Open.
        key: Of the lock that the leader holds.
        changed: Called with whether we lead, and the term that has begun or ended.

    Attributes:
        loop: Where it stands.
        trouble: Why the store could not be asked the last time; None: it could.
    """

    def __init__(
        self, locker: ClaimingLocker, key: str, changed: Callable[[bool, int], object]
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.trouble: Exception | None = None
        self._locker = locker
        self._bell = locker if isinstance(locker, RingingLocker) else None
        self._key = key
        self._changed = changed
        self._lock: ClaimedLock | None = None
        self._answered = asyncio.Event()
        self._woken = asyncio.Event()
        self._hears = False
        self._pause = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._campaign = self._spawn(self._stand())
        if self._bell is not None:
            self._spawn(self._listen(self._bell))

    @property
    def term(self) -> int | None:
        """The fence of the lock while we hold it; no longer than its deadline, blocked or not."""
        if self._lock is None:
            return None
        try:
            self._lock.check()
        except LockLost:
            return None
        return self._lock.fence

    async def first_answer(self, within: float) -> None:
        """Wait until it is known whether we lead, but no longer than *within* seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._answered.wait()

    async def resign(self) -> bool:
        """Hand over, and stand again when others had their chance. Did we lead?"""
        lock = self._lock
        if lock is None:
            return False
        self._campaign.cancel()
        self._campaign = self._spawn(self._stand(_STAND_BACK))
        return await self._hand_over(lock)

    async def withdraw(self) -> None:
        """Hand over, stand no more, and leave no task."""
        for task in self._tasks:
            task.cancel()
        try:
            if self._lock is not None:
                await self._hand_over(self._lock)
        finally:
            if self._tasks:
                await asyncio.wait(self._tasks)

    # ── standing ──────────────────────────────────────────────────────────────────────────────

    async def _stand(self, after: float = 0.0) -> None:
        await asyncio.sleep(after)
        while True:
            self._woken.clear()  # before it is asked: a ring meanwhile is about what comes now
            wait = await self._ask()
            self._answered.set()
            if self._lock is None:
                await self._rest(wait)
            else:
                await self._lead(self._lock)

    async def _ask(self) -> float:
        """Ask for the lock once; return the seconds until it makes sense to ask again."""
        try:
            lock = await self._locker.lock(self._key)
        except LockHeld as error:
            self.trouble, self._pause = None, 0.0
            return self._patience(error.remaining)
        except Exception as error:  # noqa: BLE001 - a locker of the user's own may raise anything
            return self._fail(error)
        # No await from here on: a lock that was granted must be known.
        self.trouble, self._pause = None, 0.0
        self._lock = lock
        log.info("leads %s, term %d", self._key, lock.fence)
        self._changed(True, lock.fence)  # noqa: FBT003 - as events have it
        return 0.0

    def _patience(self, remaining: float | None) -> float:
        wait = _LOOK if remaining is None else max(remaining, _AT_LEAST)
        return wait + _scatter() if self._hears else min(wait, _LOOK)

    def _fail(self, error: Exception) -> float:
        if self.trouble is None:
            is_known = isinstance(error, LockError)
            log.warning("cannot stand for %s: %r", self._key, error, exc_info=not is_known)
        self.trouble = error
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
        return self._pause

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
                await asyncio.sleep(_scatter())

    # ── leading ───────────────────────────────────────────────────────────────────────────────

    async def _lead(self, lock: ClaimedLock) -> None:
        """Wait until the lock is lost."""
        is_told = hasattr(lock, "expires_in") or isinstance(self._locker, ClockedLocker)
        while not lock.lost.is_set():
            try:
                async with asyncio.timeout(None if is_told else _WATCH):
                    await lock.lost.wait()
            except TimeoutError:
                with suppress(LockError):  # who looks into the store finds out what became of it
                    await self._locker.last_claimed(self._key)
        if self._step_down(lock):
            log.warning("leads %s no longer: the lock was lost, term %d", self._key, lock.fence)
        await lock.unlock(done=False)

    def _step_down(self, lock: ClaimedLock) -> bool:
        """Lead no longer, at once. Did we lead?"""
        if self._lock is not lock:
            return False
        self._lock = None
        self._changed(False, lock.fence)  # noqa: FBT003
        return True

    async def _hand_over(self, lock: ClaimedLock) -> bool:
        self._step_down(lock)
        if self._bell is not None:
            with suppress(LockerUnavailable):
                # In one batch with the release, which goes first in it.
                self._bell.ring(self._key)
        was_held = await lock.unlock(done=True)
        log.info("resigned from %s, term %d", self._key, lock.fence)
        return was_held

    # ── the bell ──────────────────────────────────────────────────────────────────────────────

    async def _listen(self, bell: RingingLocker) -> None:
        while True:
            try:
                await bell.listen(self._key, self._hear)
            except Exception as error:  # noqa: BLE001 - without a bell, it is asked more often
                log.debug("no bell of %s: %r", self._key, error)
            if self._hears:
                self._hears = False
                self._woken.set()
            await asyncio.sleep(_DEAF)

    def _hear(self) -> None:
        self._hears = True
        self._woken.set()

    # ── tasks ─────────────────────────────────────────────────────────────────────────────────

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # An empty context: it serves all who use the elector, not the one who came first.
        task = self.loop.create_task(work, name="aiosched elector", context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("the candidacy for %s broke", self._key, exc_info=error)
            self.trouble = error if isinstance(error, Exception) else None


def _scatter() -> float:
    return random.uniform(0, _SCATTER)  # noqa: S311 - no secret
