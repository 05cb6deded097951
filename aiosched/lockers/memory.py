"""`MemoryLocker`: several schedulers in one process, in one loop or in several."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from typing import NamedTuple

from aiosched.clock import SystemClock
from aiosched.durations import MINUTE, SECOND
from aiosched.errors import LockError
from aiosched.lockers import _record
from aiosched.lockers._holder import new_asker
from aiosched.lockers._lease import UNHELD, HeldLock
from aiosched.lockers._record import BLANK, ExactSet, Grant, Question
from aiosched.model import Claim, LockRecord
from aiosched.protocols import Clock

_PURGE_EVERY = MINUTE


class _Holding(NamedTuple):
    lock: HeldLock
    loop: asyncio.AbstractEventLoop


class MemoryLocker:
    """Locks and claims within this process.

    It needs no opening. A holder whose event loop was closed without unlocking counts as dead.
    Claiming never waits for anything, so that cancelling it cannot leave a lock behind.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()  # each loop may be in a thread of its own
        self._clock: Clock = SystemClock()
        self._records: dict[str, _record.Record] = {}
        self._exact: dict[str, ExactSet] = {}
        self._holdings: dict[str, _Holding] = {}  # by attempt
        self._users = 0
        self._attempts = new_asker()
        self._count = 0
        self._purge_at: int | None = None

    def use_clock(self, clock: Clock, /) -> None:
        """Live by *clock*, without its skew: all who share a store share its clock."""
        self._clock = clock

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """Remember nothing of before, and afterwards nothing of meanwhile: for a simulation."""
        kept = (self._records, self._exact, self._holdings, self._purge_at, self._clock)
        with self._guard:
            self._records, self._exact, self._holdings, self._purge_at = {}, {}, {}, None
        try:
            yield
        finally:
            with self._guard:
                self._records, self._exact, self._holdings, self._purge_at, self._clock = kept

    async def open(self) -> None:
        """Count one more user."""
        with self._guard:
            self._users += 1

    async def aclose(self) -> None:
        """When the last user closes, take back every lock. What was claimed is remembered."""
        with self._guard:
            self._users = max(self._users - 1, 0)
            if self._users:
                return
            holdings = list(self._holdings.values())
            for lock, _loop in holdings:
                self._release(lock, done=False)
        for lock, loop in holdings:
            _forsake(lock, loop, "the locker was closed")

    async def lock(self, key: str, /) -> HeldLock:
        """Try once; never wait for the holder.

        Raises:
            LockHeld: Somebody else holds *key* now.
        """
        return await self.claim(Claim(key))

    async def claim(self, claim: Claim, /) -> HeldLock:
        """Ask once for an occurrence; never wait for the holder.

        Raises:
            LockHeld, AlreadyRan, Superseded, TooEarly, TooLate: No, and why.
        """
        with self._guard:
            answer = self._decide(claim)
        if not isinstance(answer, LockError):
            return answer
        try:
            raise answer
        finally:
            del answer  # the error's traceback knows this frame: no cycle for each refusal

    async def last_claimed(self, key: str, /) -> datetime | None:
        """Return the newest occurrence of *key* that was claimed, None when none is remembered."""
        with self._guard:
            record = self._records.get(key, BLANK)
            return _record.last_claimed(record, self._now(), busy=self._is_busy(record))

    async def records(self) -> list[LockRecord]:
        """Return what is remembered, by key."""
        with self._guard:
            self._purge(self._now())
            found = sorted(self._records.items())
            return [
                _record.describe(key, record, busy=self._is_busy(record)) for key, record in found
            ]

    async def release(self, key: str, /) -> bool:
        """Take *key* away from whoever holds it. Did somebody? What was claimed stays claimed."""
        with self._guard:
            record = self._records.get(key, BLANK)
            if record.owner is None or not self._is_busy(record):
                return False
            lock, loop = self._holdings[record.owner]
            self._release(lock, done=False)
        _forsake(lock, loop, "it was released by force")
        return True

    async def give_back(self, lock: HeldLock, /, *, done: bool) -> bool:
        """Release *lock*; was it still held? For the lock."""
        with self._guard:
            return self._release(lock, done=done)

    # ── with the guard ────────────────────────────────────────────────────────────────────────

    def _now(self) -> int:
        skew: float = getattr(self._clock, "skew", 0.0)
        return self._clock.now() - round(skew * SECOND)

    def _is_busy(self, record: _record.Record) -> bool:
        if record.owner is None:
            return False
        holding = self._holdings.get(record.owner)
        return holding is not None and not holding.loop.is_closed()

    def _decide(self, claim: Claim) -> HeldLock | LockError:
        now, key = self._now(), claim.key
        if self._purge_at is None or now >= self._purge_at:
            self._purge(now)
            self._purge_at = now + _PURGE_EVERY
        record = self._records.get(key, BLANK)
        exact = self._exact.get(key, _record.NONE_CLAIMED)
        self._count += 1
        attempt = f"{self._attempts}.{self._count:x}"
        question = Question(claim, attempt, now, self._is_busy(record), exact)
        answer = _record.decide(record, question)
        return self._grant(claim, attempt, answer) if isinstance(answer, Grant) else answer

    def _grant(self, claim: Claim, attempt: str, grant: Grant) -> HeldLock:
        key, old = claim.key, self._records.get(claim.key, BLANK)
        self._records[key] = grant.record
        if grant.record.floor is None:
            self._exact.pop(key, None)
        else:
            self._exact.setdefault(key, ExactSet()).apply(grant)
        holder = self if claim.exclusive else UNHELD
        lock = HeldLock(key, attempt, grant, holder)
        if claim.exclusive:
            if old.owner is not None:
                self._holdings.pop(old.owner, None)  # dead, or it would not have been granted
            self._holdings[attempt] = _Holding(lock, asyncio.get_running_loop())
        return lock

    def _release(self, lock: HeldLock, *, done: bool) -> bool:
        self._holdings.pop(lock.id, None)
        record = self._records.get(lock.key, BLANK)
        after = _record.release(record, lock.id, lock.due_us, done=done)
        if after is not None:
            self._records[lock.key] = after
        return after is not None

    def _purge(self, now: int) -> None:
        for key, record in list(self._records.items()):
            if _record.is_forgotten(record, now, busy=self._is_busy(record)):
                del self._records[key]
                self._exact.pop(key, None)


def _forsake(lock: HeldLock, loop: asyncio.AbstractEventLoop, why: str) -> None:
    """Tell the holder of *lock* in its loop, which may be another one."""
    if loop is asyncio.get_running_loop():
        lock.forsake(why)
        return
    with suppress(RuntimeError):  # that loop is closed, so that nobody wants to know
        loop.call_soon_threadsafe(partial(lock.forsake, why))
