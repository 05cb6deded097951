"""`FileLocker`: one directory, shared by the processes of one host. No server."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from aiosched.durations import SECOND, Duration, microseconds
from aiosched.errors import LockerUnavailable, UnfitStore
from aiosched.lockers import _forks
from aiosched.lockers._actor import Actor
from aiosched.lockers._filestore import FileStore
from aiosched.lockers._lease import HeldLock
from aiosched.lockers._owner import HAS_FLOCK
from aiosched.lockers._requests import Evict, Look, Ping, Request, Survey
from aiosched.lockers._sqlite import OLDEST
from aiosched.lockers._worker import Worker
from aiosched.model import Claim, LockRecord

_CLOSING = 2.0
"""Seconds that closing waits for the releases."""


class FileLocker:
    """Locks and claims that all processes of this host share.

    A process that dies, however it dies, frees its locks at once. One that is stopped (SIGSTOP)
    keeps them until it goes on or dies. A forked child holds nothing that its parent holds: the
    child's copy is closed, and opens anew when it is used. Claims survive a killed process; a
    power failure may take those of the last moments.

    It opens itself when it is first used; `aclose` closes it, and then it must be opened again.

    Args:
        path: A directory on a local file system, made with its parents when first used. It may
            be shared by any number of lockers.
        timeout: How long to wait for other processes that are writing.

    Raises:
        TypeError: *path* is neither text nor a path of text, or *timeout* is no duration.
        ValueError: *path* is empty, has a NUL or is an existing file; or *timeout* cannot be right.
        NotImplementedError: This system has no `flock` (Windows), or an SQLite before 3.33.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: Duration = 5.0) -> None:
        if not HAS_FLOCK:
            raise NotImplementedError("FileLocker needs flock, which this system does not have")
        if sqlite3.sqlite_version_info < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            found = sqlite3.sqlite_version
            raise NotImplementedError(f"FileLocker needs SQLite {oldest}, this is {found}")
        self.path: Path = _absolute(path)
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"path must be a directory, and {str(self.path)!r} is a file")
        self._timeout = microseconds(timeout, "timeout", minimum=1) / SECOND
        self._guard = threading.Lock()  # of what follows, as each loop may be in its own thread
        self._users = 0
        self._is_closed = False  # a late claim must not open again what nobody would close
        self._open: _Open | None = None
        self._actors: dict[asyncio.AbstractEventLoop, Actor] = {}
        _forks.register(self)

    async def open(self) -> None:
        """Get ready on the running loop; counted, so that schedulers may share a locker.

        Raises:
            UnfitStore: The path is on a network file system, cannot be made a directory, or holds
                a file that is not ours. A store that is merely busy or full does not raise.
        """
        with self._guard:
            self._users += 1
            self._is_closed = False
        try:
            await self._read(Ping)
        except UnfitStore:
            await self.aclose()
            raise
        except LockerUnavailable:
            pass  # and so are the claims, until it is available
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """When the last user closes: give everything back and leave no thread and no file open."""
        with self._guard:
            self._users = max(self._users - 1, 0)
            if self._users:
                return
            self._is_closed = True
            if self._open is None:
                return
            opened, self._open = self._open, None
            actors, self._actors = self._actors, {}
        try:
            for loop, actor in actors.items():
                if loop is not asyncio.get_running_loop():
                    _soon(loop, actor.leave)
                else:
                    await actor.close(_CLOSING)
        finally:
            opened.finalizer.detach()
            await opened.worker.finish(opened.store.close, _CLOSING)

    async def lock(self, key: str, /) -> HeldLock:
        """Try once; never wait for the holder.

        Raises:
            LockHeld: Somebody else holds *key* now.
            LockerUnavailable: The directory could not be used.
        """
        return await self._actor().claim(Claim(key))

    async def claim(self, claim: Claim, /) -> HeldLock:
        """Ask once for an occurrence; never wait for the holder.

        Cancelled, it leaves no lock behind; the occurrence may be claimed all the same.

        Raises:
            LockHeld, AlreadyRan, Superseded, TooEarly, TooLate: No, and why.
            LockerUnavailable: The directory could not be used.
        """
        return await self._actor().claim(claim)

    async def last_claimed(self, key: str, /) -> datetime | None:
        """Return the newest occurrence of *key* that was claimed, None when none is remembered.

        Raises:
            LockerUnavailable: The directory could not be used.
        """
        newest: datetime | None = await self._read(partial(Look, key))
        return newest

    async def records(self) -> list[LockRecord]:
        """Return what is remembered, by key.

        Raises:
            LockerUnavailable: The directory could not be used.
        """
        records: list[LockRecord] = await self._read(Survey)
        return records

    async def release(self, key: str, /) -> bool:
        """Take *key* away from whoever holds it. Did somebody? What was claimed stays claimed.

        As nothing is renewed here, the holder hears of it when he unlocks, and his run goes on.

        Raises:
            LockerUnavailable: The directory could not be used.
        """
        held: bool = await self._read(partial(Evict, key))
        return held

    # ── one actor for each loop, one store for all ────────────────────────────────────────────

    def _actor(self) -> Actor:
        loop = asyncio.get_running_loop()
        found = self._actors.get(loop)  # without the guard: only this loop puts it there
        if found is not None:
            return found
        with self._guard:
            if self._is_closed:
                raise LockerUnavailable(f"the locker of {self.path} is closed")
            return self._new_actor(loop)

    def _new_actor(self, loop: asyncio.AbstractEventLoop) -> Actor:
        opened = self._open = self._open or self._start()
        # A method of ours: while a lock is held, and with it its actor, we live.
        actor = Actor(partial(self._perform, opened), name="aiosched-file-locker")
        for gone in [each for each in self._actors if each.is_closed()]:
            for release in self._actors.pop(gone).abandon():
                actor.send(release)
        self._actors[loop] = actor
        return actor

    def _start(self) -> _Open:
        store = FileStore(self.path, self._timeout, _Weakly(self._lose_all))
        worker = Worker("aiosched-file-locker")
        return _Open(store, worker, weakref.finalize(self, _let_go, store, worker))

    async def _perform(self, opened: _Open, batch: Sequence[Request]) -> list[object]:
        return await opened.worker.run(partial(opened.store.perform, batch))

    async def _read(self, request: Callable[[asyncio.Future[Any]], Request]) -> Any:
        return await self._actor().read(request(asyncio.get_running_loop().create_future()))

    def _lose_all(self, why: str) -> None:
        # In the worker, whatever loop it works for. Without the guard: a fork that waits for the
        # worker holds it.
        for loop, actor in list(self._actors.items()):
            _soon(loop, partial(actor.lose_all, why))

    # ── forks ─────────────────────────────────────────────────────────────────────────────────

    def before_fork(self) -> None:
        """Have nothing half done in another thread."""
        self._guard.acquire()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._guard.release()

    def after_fork_in_child(self) -> None:
        """Be as never opened; the locks are the parent's."""
        for actor in self._actors.values():
            actor.abandon()
        if self._open is not None:
            self._open.finalizer.detach()
        self._users, self._is_closed, self._open, self._actors = 0, False, None, {}
        self._guard.release()


class _Open(NamedTuple):
    store: FileStore
    worker: Worker
    finalizer: weakref.finalize[..., FileLocker]


class _Weakly:
    """Calls a method of what still lives; keeps nothing alive."""

    def __init__(self, method: Callable[[str], object]) -> None:
        self._method = weakref.WeakMethod(method)

    def __call__(self, why: str) -> None:
        if (method := self._method()) is not None:
            method(why)


def _let_go(store: FileStore, worker: Worker) -> None:
    """Free everything after a locker that nobody closed."""
    if worker.is_started:
        worker.submit(store.close)
        worker.stop(_CLOSING)


def _absolute(path: str | os.PathLike[str]) -> Path:
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(text, str):
        raise TypeError(f"path must be a directory's path, got {path!r}")
    if not text:  # which would be the working directory
        raise ValueError(f"path must not be empty, got {path!r}")
    if "\0" in text:
        raise ValueError(f"path must not contain a NUL, got {path!r}")
    return Path(os.path.abspath(text))  # noqa: PTH100 - as it is now, links unresolved


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    with suppress(RuntimeError):  # that loop is closed, so that nobody there wants to know
        loop.call_soon_threadsafe(call)
