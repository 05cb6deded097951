"""Leases: locks that the store frees by itself unless they are renewed, and what renews them.

The holder's deadline comes from the moment before the lease was asked for, so it is over here
before it is over in the store, whatever the network does.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from typing import Any

from aiosched.durations import SECOND, Duration, microseconds
from aiosched.errors import LockError, LockLost
from aiosched.lockers._actor import Actor, Perform
from aiosched.lockers._lease import UNHELD, Granted, HeldLock, Holder
from aiosched.lockers._requests import Ask, Request
from aiosched.model import Claim

_SHORTEST = SECOND // 5
_FIRST_PAUSE = 0.05

if sys.platform == "linux":

    def boot_time() -> float:
        """Return seconds on a clock that also counts while the host is suspended."""
        # CLOCK_MONOTONIC, which asyncio goes by, would take a lease for valid that expired during
        # the suspension.
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:
    boot_time = time.monotonic


class Lease:
    """How long the store keeps a lock that is not renewed, and what follows from it.

    Attributes:
        ttl_us: That, in microseconds.
        usable: Seconds from asking, after which the holder no longer trusts it.
        every: Seconds between renewals.
    """

    __slots__ = ("every", "ttl_us", "usable")

    def __init__(self, ttl: Duration) -> None:
        self.ttl_us: int = microseconds(ttl, "ttl", minimum=_SHORTEST)
        self.usable: float = self.ttl - max(self.ttl / 10, 0.05)
        self.every: float = self.ttl / 3

    @property
    def ttl(self) -> float:
        """In seconds."""
        return self.ttl_us / SECOND


class LeasedLock(HeldLock):
    """A lock with a deadline.

    Attributes:
        deadline: On *clock*; moved on by each renewal.
    """

    __slots__ = ("_clock", "deadline")

    def __init__(  # noqa: PLR0913, PLR0917 - a HeldLock, and its deadline on a clock
        self,
        key: str,
        id: str,  # noqa: A002
        granted: Granted,
        holder: Holder,
        deadline: float,
        clock: Callable[[], float],
    ) -> None:
        super().__init__(key, id, granted, holder)
        self.deadline = deadline
        self._clock = clock

    def expires_in(self) -> float:
        """Return the seconds for which it can be trusted without another renewal."""
        return self.deadline - self._clock()

    @property
    def is_good(self) -> bool:
        """Whether it is held still, as far as is known here."""
        return self._why is None and self.expires_in() > 0

    def check(self) -> None:
        super().check()
        if self.expires_in() <= 0:
            raise LockLost(f"the lock of {self.key!r} is held no longer: it was not renewed")


class Renew(Request):
    """Prolonging the leases of *locks*. The answer: for each, whether it is still held.

    In the place of a bool there may be a `LockError`, where that one could not be asked.
    """

    __slots__ = ("locks",)

    def __init__(self, locks: Sequence[HeldLock], future: asyncio.Future[Any]) -> None:
        super().__init__(future)
        self.locks = locks


class Renewal:
    """Renews locks every third of their lease, all at once, by one task that lives while there are.

    Args:
        ask: Sends a `Renew` on its way.
        lease: Of every lock.
        name: Of the task.
        clock: Of the deadlines, in seconds.
    """

    def __init__(
        self,
        ask: Callable[[Renew], object],
        lease: Lease,
        *,
        name: str,
        clock: Callable[[], float] = boot_time,
    ) -> None:
        self._ask = ask
        self._lease = lease
        self._name = name
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._locks: dict[str, LeasedLock] = {}
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def add(self, lock: LeasedLock) -> None:
        """Renew *lock* from now on."""
        self._locks[lock.id] = lock
        if self._task is None:
            self._begin()

    def discard(self, lock: HeldLock) -> None:
        """Renew *lock* no longer; with the last one the task is cancelled."""
        if self._locks.pop(lock.id, None) is not None and not self._locks:
            self._end()

    def clear(self) -> None:
        """Renew nothing any longer."""
        if self._locks:
            self._locks.clear()
            self._end()

    def abandon(self) -> None:
        """Forget everything, in a loop that does not run any more."""
        self._locks.clear()
        for task in (self._task, *self._ending):
            if task is not None:
                task._log_destroy_pending = False  # type: ignore[attr-defined] # noqa: SLF001

    async def settle(self) -> None:
        """Wait until a task that was cancelled has ended."""
        if self._ending:
            await asyncio.wait(self._ending)

    # ── the task ──────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        self._task = asyncio.Task(self._keep(), loop=self._loop, name=self._name, context=Context())
        self._task.add_done_callback(self._ended)

    def _end(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            self._ending.add(task)
            task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        if task is not self._task:
            return
        self._task = None
        if self._locks and not self._loop.is_closed():
            # Cancelled by somebody who cancels everything. Holders may be busy cleaning up, so
            # what they hold is renewed until they give it back.
            self._begin()

    async def _keep(self) -> None:
        pause = 0.0
        wait = self._lease.every
        while self._locks:
            await self._sleep(wait)
            if not self._locks:
                return
            if await self._round():
                pause, wait = 0.0, self._lease.every
            else:
                pause = wait = min(max(2 * pause, _FIRST_PAUSE), self._lease.every)

    async def _sleep(self, seconds: float) -> None:
        """Wait, and tell of the locks whose deadline passes meanwhile."""
        until = self._loop.time() + seconds
        while self._locks and (left := until - self._loop.time()) > 0:
            await asyncio.sleep(min(left, self._until_deadline()))
            self._lose_expired()

    async def _round(self) -> bool:
        """Renew all; tell whether the store could be asked for each."""
        locks, sent_at = list(self._locks.values()), self._clock()
        future: asyncio.Future[Any] = self._loop.create_future()
        self._ask(Renew(locks, future))
        try:
            while not future.done() and self._locks:
                await asyncio.wait([future], timeout=self._until_deadline())
                self._lose_expired()
        finally:
            future.cancel()
        if future.cancelled() or isinstance(future.result(), LockError):
            return False
        return self._apply(zip(locks, future.result(), strict=True), sent_at)

    def _apply(self, answers: Iterable[tuple[LeasedLock, object]], sent_at: float) -> bool:
        complete = True
        for lock, answer in answers:
            if lock.id not in self._locks:
                continue  # given back, or too late: a success does not bring it back
            if isinstance(answer, LockError):
                complete = False
            elif answer:
                lock.deadline = sent_at + self._lease.usable
            else:
                self._lose(lock, "its lease ended, or the store has forgotten it")
        return complete

    def _until_deadline(self) -> float:
        first = min(lock.deadline for lock in self._locks.values())
        return max(first - self._clock(), 0.0)

    def _lose_expired(self) -> None:
        now = self._clock()
        for lock in [each for each in self._locks.values() if each.deadline <= now]:
            self._lose(lock, "it could not be renewed in time")

    def _lose(self, lock: LeasedLock, why: str) -> None:
        del self._locks[lock.id]
        lock.lose(why)


class LeaseActor(Actor):
    """An actor whose locks are leases.

    Its `perform` is also asked to `Renew`. It must answer the same attempt, asked again after its
    lease has ended and nobody else took the key, with the same grant and a new lease.
    """

    def __init__(
        self,
        perform: Perform,
        *,
        name: str,
        lease: Lease,
        release_tries: int | None = 3,
        clock: Callable[[], float] = boot_time,
    ) -> None:
        super().__init__(perform, name=name, release_tries=release_tries)
        self._lease = lease
        self._clock = clock
        self._sent_at = 0.0
        self._came_too_late = False
        self._renewal = Renewal(self._put, lease, name=f"{name} renewal", clock=clock)

    async def claim(self, claim: Claim) -> HeldLock:
        while True:
            lock = await super().claim(claim)
            if not isinstance(lock, LeasedLock) or lock.is_good:
                return lock
            # The loop stood still after the answer had come, and the lease is over: nothing may
            # begin under it. Ask again, as the same attempt.
            self._held.pop(lock.id, None)
            self._renewal.discard(lock)
            lock.forsake("it ended before its caller heard of it")
            self._unknown[claim] = lock.id

    async def give_back(self, lock: HeldLock, /, *, done: bool) -> bool:
        self._renewal.discard(lock)
        try:
            return await super().give_back(lock, done=done)
        finally:
            await self._renewal.settle()

    async def close(self, within: float) -> None:
        try:
            await super().close(within)
        finally:
            self._renewal.clear()
            await self._renewal.settle()

    def lose_all(self, why: str, *, quietly: bool = False) -> None:
        if quietly:
            self._renewal.abandon()
        else:
            self._renewal.clear()
        super().lose_all(why, quietly=quietly)

    async def _answers(self, batch: Sequence[Request]) -> Sequence[object] | None:
        self._sent_at = self._clock()
        return await super()._answers(batch)

    def _deliver_all(self, batch: Sequence[Request], answers: Sequence[object]) -> None:
        self._came_too_late = self._clock() >= self._sent_at + self._lease.usable
        super()._deliver_all(batch, answers)

    def _grant(self, ask: Ask, granted: Any) -> None:
        if self._came_too_late and ask.claim.exclusive and not ask.is_unwanted:
            self._queue.insert(0, ask)  # too old to begin with: ask again, as the same attempt
        else:
            super()._grant(ask, granted)
            # After it is told: so its caller runs first, and the renewal need not begin at all
            # where he gives it back at once.
            lock = self._held.get(ask.attempt)
            if isinstance(lock, LeasedLock):
                self._renewal.add(lock)

    def _hold(self, ask: Ask, granted: Any) -> HeldLock:
        if not ask.claim.exclusive:
            return HeldLock(ask.key, ask.attempt, granted, UNHELD)
        lock = LeasedLock(
            ask.key,
            ask.attempt,
            granted,
            self,
            self._sent_at + self._lease.usable,
            self._clock,
        )
        self._held[ask.attempt] = lock
        return lock

    def _take_back(self, answer: object) -> None:
        if isinstance(answer, HeldLock):
            self._renewal.discard(answer)
        super()._take_back(answer)
