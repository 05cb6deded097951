"""`PostgresLocker`: one PostgreSQL, shared by a fleet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from aiosched.durations import SECOND, Duration, microseconds
from aiosched.errors import LockerUnavailable
from aiosched.lockers._postgres_bell import Ear, Listen, channel_of
from aiosched.lockers._postgres_driver import connect_to
from aiosched.lockers._postgres_session import Borrowed, Session, Settings
from aiosched.lockers._postgres_sql import Statements
from aiosched.lockers._postgres_store import PostgresStore
from aiosched.lockers._remote import RemoteLocker, _Open
from aiosched.lockers._renewal import Lease
from aiosched.lockers._requests import Ring
from aiosched.lockers._shown import without_password
from aiosched.model import LockRecord

Mode = Literal["advisory", "lease"]

_LONGEST_TIMEOUTS = {"advisory": 10.0, "lease": 5.0}
_PARTS = {"advisory": 3, "lease": 6}


class PostgresLocker(RemoteLocker):
    """Locks and claims in one PostgreSQL (14 or newer).

    It keeps them in two tables, `PREFIX_record_v1` and `PREFIX_occurrence_v1`, which it makes where
    they are missing. Replicas of both modes may share them.

    With ``mode="advisory"`` each locker has a session of its own, and an advisory lock on it that
    tells the others that it lives: when its process dies, what it held is free in milliseconds,
    and when its session ends, all that it held is lost at once. With ``mode="lease"`` nothing
    depends on a session, and what a dead holder held is free after *ttl*: for poolers.

    Args:
        dsn: ``postgresql://``, with the driver's parameters; None with *connect* or *pool*.
        ttl: After this time what is held by a holder that cannot be reached is free. The same on
            all replicas.
        mode: See above.
        prefix: Of the tables' names. Replicas that share locks have the same.
        schema: Of the tables; None: the first that the search path names.
        connect: Makes a connection of `asyncpg`, for the locker alone, instead of *dsn*.
        pool: A pool of `asyncpg`, for ``mode="lease"``; it is used in the loop that it belongs to,
            and not closed.
        timeout: For each exchange with the server; by default a third of *ttl* but at most 10 s,
            and for leases a sixth but at most 5 s.

    Raises:
        TypeError: An argument is of a wrong kind, or there is not exactly one way to connect.
        ValueError: An argument cannot be right.
    """

    def __init__(  # noqa: PLR0913 - options, by name
        self,
        dsn: str | None = None,
        /,
        ttl: Duration = 30,
        mode: Mode = "advisory",
        *,
        prefix: str = "aiosched",
        schema: str | None = None,
        connect: Callable[[], Awaitable[Any]] | None = None,
        pool: Any | None = None,
        timeout: Duration | None = None,
    ) -> None:
        lease = Lease(ttl)
        super().__init__(lease, name="aiosched-postgres-locker")
        if mode not in _PARTS:
            raise ValueError(f"mode must be 'advisory' or 'lease', got {mode!r}")
        if pool is not None and mode == "advisory":
            raise ValueError("pool needs mode='lease': an advisory lock belongs to one session")
        if sum(way is not None for way in (dsn, connect, pool)) != 1:
            raise TypeError("give a dsn, or connect=, or pool=, and one of them alone")
        limit = min(lease.ttl / _PARTS[mode], _LONGEST_TIMEOUTS[mode])
        if timeout is not None:
            limit = microseconds(timeout, "timeout", minimum=1) / SECOND
        where = _address_of(dsn) if dsn is not None else "its address"
        self._settings = Settings(where, lease.ttl, limit, keeps_home=mode == "advisory")
        self._statements = Statements(prefix, schema)
        self._pool = pool
        self._make = connect or partial(connect_to, dsn)

    async def records(self) -> list[LockRecord]:
        """Return what is remembered, by key.

        Raises:
            LockerUnavailable: The server could not be asked.
        """
        store = self._store(self._settings._replace(keeps_home=False, makes_tables=False))
        try:
            return await store.records()
        finally:
            await store.close()

    async def release(self, key: str, /) -> bool:
        """Take *key* away from whoever holds it. Did somebody? What was claimed stays claimed.

        The holder hears of it with his next renewal.

        Raises:
            LockerUnavailable: The server could not be asked.
        """
        store = self._store(self._settings._replace(keeps_home=False, makes_tables=False))
        try:
            return await store.evict(key)
        finally:
            await store.close()

    def ring(self, key: str, /) -> None:
        """Tell all who listen for *key* that it may be free."""
        self._opened().actor.send(Ring(channel_of(self._statements.record, key)))

    async def listen(self, key: str, call: Callable[[], object], /) -> None:
        """Call *call* as soon as rings are heard, in the locker's own session, and with each.

        Raises:
            LockerUnavailable: The session has ended; or there is a pool, through which none is
                heard.
        """
        ear = Ear(channel_of(self._statements.record, key), call)
        try:
            await self._opened().actor.read(Listen(ear))
            call()
            await ear.ended
        finally:
            ear.ended.cancel()
        raise LockerUnavailable("no bell is heard any more: the session has ended")

    def _connect(self) -> PostgresStore:
        return self._store(self._settings)

    def _store(self, settings: Settings) -> PostgresStore:
        if self._pool is not None:
            line: Session | Borrowed = Borrowed(self._pool, self._statements, settings)
        else:
            line = Session(self._make, self._statements, settings)
        return PostgresStore(line, self._statements, self._lease)

    def _open_in(self, loop: asyncio.AbstractEventLoop) -> _Open:
        opened = super()._open_in(loop)
        cast("PostgresStore", opened.store).on_lost = opened.actor.lose_all
        return opened


def _address_of(dsn: str) -> str:
    """Return where *dsn* leads, without a password.

    Raises:
        TypeError: It is no text.
        ValueError: It is no URL of PostgreSQL.
    """
    if not isinstance(dsn, str):
        raise TypeError(f"dsn must be text like 'postgresql://host/database', got {dsn!r}")
    if not dsn.startswith(("postgresql://", "postgres://")):
        raise ValueError(f"dsn must begin with postgresql://, got {_shown(dsn)}")
    parts = urlsplit(dsn)
    return f"{parts.netloc.rpartition('@')[2] or 'its default address'}{parts.path}"


def _shown(dsn: str) -> str:
    if "://" not in dsn and ("@" in dsn or "password" in dsn.lower()):
        return "text without a scheme"
    return repr(without_password(dsn))
