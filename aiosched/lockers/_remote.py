"""What all lockers on servers share: users counted, an actor for each loop, health, forks."""

from __future__ import annotations

import asyncio
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from aiosched.errors import LockerUnavailable, UnfitStore
from aiosched.lockers import _forks
from aiosched.lockers._actor import Actor, Perform
from aiosched.lockers._lease import HeldLock
from aiosched.lockers._renewal import Lease, LeaseActor
from aiosched.lockers._requests import Look, Ping, Request
from aiosched.model import Claim

_log = logging.getLogger("aiosched.lockers")

_OPENING = 1.0
"""Seconds that opening waits for a server that does not answer."""
_CLOSING = 2.0
"""Seconds that closing waits for the releases, and no longer than a third of the lease."""
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0

_inherited: list[object] = []
"""What a forked child has of its parent's connections: kept, for to tidy it up would reach the
parent's event loop through the selector that both have."""


class Store(Protocol):
    """The connections of one event loop."""

    async def perform(self, batch: Sequence[Request], /) -> Sequence[object]:
        """Answer each request (see `Perform`). To a `Ping`, anything but an error is good.

        Raises:
            LockerUnavailable: What became of the batch is not known.
        """
        ...

    async def close(self) -> None:
        """Let go of the connections. Never raises."""
        ...


class RemoteLocker(ABC):
    """Locks and claims on a server.

    It connects when it is first used; `aclose` closes it, and then it must be opened again. It may
    be used from several event loops, on connections of their own. A forked child holds nothing
    that its parent holds.

    Args:
        lease: Of the locks.
        name: Of its tasks, and what to call it in the log: ``aiosched-redis-locker``.
    """

    def __init__(self, lease: Lease, *, name: str) -> None:
        self._lease = lease
        self._name = name
        self._guard = threading.Lock()  # of what follows, as each loop may be in its own thread
        self._users = 0
        self._is_closed = False  # a late claim must not open again what nobody would close
        self._open: dict[asyncio.AbstractEventLoop, _Open] = {}
        self._last_error: LockerUnavailable | None = None
        _forks.register(self)

    @abstractmethod
    def _connect(self) -> Store:
        """Return what asks the server from the running loop. No I/O yet."""

    def _new_actor(self, perform: Perform) -> Actor:
        return LeaseActor(perform, name=self._name, lease=self._lease)

    @property
    def ttl(self) -> float:
        """Seconds after which the locks of a holder that died are free."""
        return self._lease.ttl

    @property
    def last_error(self) -> LockerUnavailable | None:
        """Why the store could not be asked the last time; None: it could."""
        return self._last_error

    @property
    def clock_offset(self) -> float | None:
        """Seconds by which the server's clock was ahead of ours the last time, if it tells."""
        offsets = [getattr(each.store, "clock_offset", None) for each in self._open.values()]
        return next((each for each in offsets if each is not None), None)

    async def open(self) -> None:
        """Get ready on the running loop; counted, so that schedulers may share a locker.

        A server that is not there is no error: it is tried in the background, and until then
        claims are `LockerUnavailable`.

        Raises:
            UnfitStore: It is there and cannot be used: wrong credentials, too old, not ours.
        """
        with self._guard:
            self._users += 1
            self._is_closed = False
        try:
            await self._opened().reach()
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """When the last user closes: give everything back and leave no task or connection."""
        with self._guard:
            self._users = max(self._users - 1, 0)
            if self._users:
                return
            self._is_closed = True
            opened, self._open = self._open, {}
        within = min(_CLOSING, self._lease.ttl / 3)
        for loop, each in opened.items():
            if loop is asyncio.get_running_loop():
                await each.close(within)
            else:
                with suppress(RuntimeError):  # that loop is closed, so that nobody there cares
                    loop.call_soon_threadsafe(each.close_soon, within)

    async def lock(self, key: str, /) -> HeldLock:
        """Try once; never wait for the holder.

        Raises:
            LockHeld: Somebody else holds *key* now.
            LockerUnavailable: The server could not be asked. The key may be ours until the lease
                ends, and is given to the same caller that asks again.
        """
        return await self._opened().actor.claim(Claim(key))

    async def claim(self, claim: Claim, /) -> HeldLock:
        """Ask once for an occurrence; never wait for the holder.

        Cancelled, it leaves no lock behind; the occurrence may be claimed all the same.

        Raises:
            LockHeld, AlreadyRan, Superseded, TooEarly, TooLate: No, and why.
            LockerUnavailable: The server could not be asked.
        """
        return await self._opened().actor.claim(claim)

    async def last_claimed(self, key: str, /) -> datetime | None:
        """Return the newest occurrence of *key* that was claimed, None when none is remembered.

        Raises:
            LockerUnavailable: The server could not be asked.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        newest: datetime | None = await self._opened().actor.read(Look(key, future))
        return newest

    # ── one actor for each loop ───────────────────────────────────────────────────────────────

    def _opened(self) -> _Open:
        loop = asyncio.get_running_loop()
        found = self._open.get(loop)  # without the guard: only this loop puts it there
        if found is not None:
            return found
        with self._guard:
            if self._is_closed:
                raise LockerUnavailable(f"{self._name} is closed")
            return self._open_in(loop)

    def _open_in(self, loop: asyncio.AbstractEventLoop) -> _Open:
        store = self._connect()
        opened = _Open(store, self._new_actor(partial(self._perform, store)), self._name)
        for gone in [each for each in self._open if each.is_closed()]:
            for release in self._open.pop(gone).actor.abandon():
                opened.actor.send(release)
        self._open[loop] = opened
        return opened

    async def _perform(self, store: Store, batch: Sequence[Request]) -> Sequence[object]:
        try:
            answers = await store.perform(batch)
        except LockerUnavailable as error:
            self._last_error = error
            raise
        self._last_error = None
        return answers

    # ── forks ─────────────────────────────────────────────────────────────────────────────────

    def before_fork(self) -> None:
        """Have nothing half done in another thread."""
        self._guard.acquire()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._guard.release()

    def after_fork_in_child(self) -> None:
        """Be as never opened; the locks and connections are the parent's."""
        for each in self._open.values():
            each.actor.abandon()
            _inherited.append(each)
        self._users, self._is_closed, self._open = 0, False, {}
        self._guard.release()


class _Open:
    """What serves one loop."""

    def __init__(self, store: Store, actor: Actor, name: str) -> None:
        self.store = store
        self.actor = actor
        self._name = name
        self._reaching: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def reach(self) -> None:
        """Ask the server for a sign of life, for a moment here and then in the background.

        Raises:
            UnfitStore: It is there and cannot be used.
        """
        if self._reaching is not None:
            return
        first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reaching = asyncio.create_task(
            self._reach(partial(_resolve, first)), name=f"{self._name} connecting"
        )
        await asyncio.wait([first], timeout=_OPENING)
        if not first.cancel():
            first.result()

    async def _reach(self, tell: Callable[[Exception | None], None]) -> None:
        pause = _FIRST_PAUSE
        try:
            while (error := await self._ping()) is not None:
                tell(error if isinstance(error, UnfitStore) else None)
                _log.warning("%s: %s", self._name, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            tell(None)
        finally:
            self._reaching = None

    async def _ping(self) -> LockerUnavailable | None:
        try:
            await self.actor.read(Ping(asyncio.get_running_loop().create_future()))
        except LockerUnavailable as error:
            return error
        return None

    async def close(self, within: float) -> None:
        """Give everything back, and leave no task and no connection."""
        try:
            if (reaching := self._reaching) is not None:
                reaching.cancel()
                await asyncio.wait([reaching])
            await self.actor.close(within)
        finally:
            await self.store.close()

    def close_soon(self, within: float) -> None:
        """Close in this loop, which is not the one that wanted it."""
        self._closing = asyncio.get_running_loop().create_task(
            self.close(within), name=f"{self._name} closing"
        )


def _resolve(future: asyncio.Future[None], error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
