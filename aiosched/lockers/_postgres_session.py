"""How PostgreSQL is reached: a session of our own, made anew when it is lost, or a pool's.

Where a pooler is in between, each statement is a transaction, and nothing is left in the session.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple, Protocol, TypeVar

from aiosched.errors import LockerUnavailable, UnfitStore
from aiosched.lockers._postgres_bell import Ear, Ears
from aiosched.lockers._postgres_driver import ERRORS, explained
from aiosched.lockers._postgres_sql import Statements

T = TypeVar("T")

_log = logging.getLogger("aiosched.lockers")

_OLDEST = 14
_INSPECT = """
    SELECT pg_backend_pid() AS pid, current_setting('server_version_num')::int / 10000 AS version,
        pg_is_in_recovery() AS is_standby, current_setting('synchronous_commit') AS commits
"""
_CLOSING = 1.0


class Settings(NamedTuple):
    """What a session is made with.

    Attributes:
        where: What to call the server, without its password.
        ttl: Seconds of the lease.
        limit: Seconds for each exchange, connecting included.
        keeps_home: Whether the session holds a lock that says that it lives.
        makes_tables: Whether those that are missing are made.
    """

    where: str
    ttl: float
    limit: float
    keeps_home: bool
    makes_tables: bool = True


class Line(Protocol):
    """Where statements go, one at a time."""

    home: int
    """The session's lock; 0: it has none."""

    async def fetch(self, sql: str, *values: object) -> list[Any]:
        """Return the rows.

        Raises:
            LockerUnavailable: What became of the statement is not known.
        """
        ...

    async def listen(self, ear: Ear) -> LockerUnavailable | None:
        """Have *ear* hear its channel for as long as the session lasts; or return why not."""
        ...

    async def close(self) -> None:
        """Let go. Never raises."""
        ...


class Session:
    """A connection of its own.

    Args:
        connect: Makes it.
        statements: Of the tables, which it makes where they are missing.
        settings: See there.

    Attributes:
        on_lost: Called, with the reason, when the session has ended by itself.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[Any]], statements: Statements, settings: Settings
    ) -> None:
        self.home = 0
        self.on_lost: Callable[[str], object] = str
        self._connect = connect
        self._statements = statements
        self._settings = settings
        self._connection: Any = None
        self._prepared: dict[str, Any] = {}
        self._is_pooled = False
        self._ears = Ears()

    async def fetch(self, sql: str, *values: object) -> list[Any]:
        connection = self._connection
        if connection is None:  # since it was ready: what was read goes by a session that is gone
            raise LockerUnavailable(f"PostgreSQL at {self._settings.where}: the session has ended")
        ask = self._ask_in_transaction if self._is_pooled else self._ask
        asking = ask(connection, sql, values)
        return await limited(connection, asking, self._settings, self._end)

    async def listen(self, ear: Ear) -> LockerUnavailable | None:
        if self._is_pooled or self._connection is None:
            return LockerUnavailable(f"of PostgreSQL at {self._settings.where} no bell is heard")
        listening = self._ears.add(ear, self._connection)
        await limited(self._connection, listening, self._settings, self._end)
        return None

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        self._prepared.clear()
        self._ears.close()
        if connection is not None:
            with suppress(*ERRORS):
                await connection.close(timeout=min(_CLOSING, self._settings.limit))

    async def ready(self) -> None:
        """Connect, unless it is.

        Raises:
            LockerUnavailable: It cannot be done now.
            UnfitStore: Nor later.
        """
        if self._connection is None:
            await self._begin()

    # ── asking ────────────────────────────────────────────────────────────────────────────────

    async def _ask(self, connection: Any, sql: str, values: tuple[object, ...]) -> list[Any]:
        prepared = self._prepared.get(sql)
        if prepared is None:
            prepared = await connection.prepare(sql, name=f"aiosched_{len(self._prepared)}")
            self._prepared[sql] = prepared
        rows: list[Any] = await prepared.fetch(*values)
        return rows

    async def _ask_in_transaction(
        self, connection: Any, sql: str, values: tuple[object, ...]
    ) -> list[Any]:
        return await in_transaction(connection, sql, values)

    # ── connecting ────────────────────────────────────────────────────────────────────────────

    async def _begin(self) -> None:
        settings = self._settings
        try:
            async with asyncio.timeout(settings.limit):
                connection = await self._connect()
        except TimeoutError as error:
            raise silent(settings) from error
        except (*ERRORS, ValueError) as error:  # a wrong parameter, such as a malformed port
            raise explained(error, settings.where) from error
        await limited(connection, self._prepare(connection), settings, _nobody_cares)
        self._connection = connection
        connection.add_termination_listener(self._terminated)

    async def _prepare(self, connection: Any) -> None:
        where = self._settings.where
        (facts,) = await in_transaction(connection, _INSPECT, ())
        self._is_pooled = facts["pid"] != connection.get_server_pid()
        if self._is_pooled and self._settings.keeps_home:
            raise UnfitStore(
                f"a pooler stands before PostgreSQL at {where}, where a session is not ours alone: "
                'give mode="lease", or the address of the server itself'
            )
        check(facts, where)
        if self._settings.makes_tables:
            await make_tables(connection, self._statements)
        if self._is_pooled:
            return
        await connection.fetch(*self._configuration())
        self.home = 0
        if self._settings.keeps_home:
            self.home = secrets.randbits(62) + 1
            await connection.fetch("SELECT pg_advisory_lock($1)", self.home)

    def _configuration(self) -> tuple[str, ...]:
        milliseconds = str(max(round(self._settings.ttl * 1000 / 3), 1))
        seconds = str(max(round(self._settings.ttl), 1))
        settings = {
            "idle_session_timeout": "0",  # until a lock is held
            "statement_timeout": milliseconds,
            "lock_timeout": milliseconds,
            "default_transaction_isolation": "read committed",
            "plan_cache_mode": "force_generic_plan",
            "jit": "off",
            "tcp_keepalives_idle": seconds,
        }
        values = [part for setting in settings.items() for part in setting]
        calls = (f"set_config(${n}, ${n + 1}, false)" for n in range(1, len(values), 2))
        return (f"SELECT {', '.join(calls)}", *values)

    # ── the end ───────────────────────────────────────────────────────────────────────────────

    def _terminated(self, connection: Any) -> None:
        if connection is self._connection:
            self._end("its session has ended")

    def _end(self, why: str) -> None:
        self._connection = None
        self._prepared.clear()
        self._ears.close()
        self.on_lost(why)


class Borrowed:
    """A pool of the user's."""

    home = 0

    def __init__(self, pool: Any, statements: Statements, settings: Settings) -> None:
        self._pool = pool
        self._statements = statements
        self._settings = settings
        self._is_ready = False

    async def fetch(self, sql: str, *values: object) -> list[Any]:
        settings = self._settings
        try:
            connection = await self._pool.acquire(timeout=settings.limit)
        except TimeoutError as error:
            raise silent(settings) from error
        except ERRORS as error:
            raise explained(error, settings.where) from error
        try:
            if not self._is_ready:
                await limited(connection, self._prepare(connection), settings, _nobody_cares)
                self._is_ready = True
            asking = in_transaction(connection, sql, values)
            return await limited(connection, asking, settings, self._end)
        finally:
            with suppress(*ERRORS):
                await self._pool.release(connection, timeout=settings.limit)

    async def listen(self, ear: Ear) -> LockerUnavailable | None:
        return LockerUnavailable(f"through a pool no bell is heard: {ear.channel}")

    async def ready(self) -> None:
        """Have the tables made, as `Session.ready`."""
        await self.fetch("SELECT 1")

    async def close(self) -> None:
        """Leave the pool open: it is the user's."""

    async def _prepare(self, connection: Any) -> None:
        (facts,) = await in_transaction(connection, _INSPECT, ())
        check(facts, self._settings.where)
        if self._settings.makes_tables:
            await make_tables(connection, self._statements)

    def _end(self, _why: str) -> None:
        self._is_ready = False


async def in_transaction(connection: Any, sql: str, values: tuple[object, ...]) -> list[Any]:
    """Return the rows, leaving nothing in the session: whose is it next?"""
    # Also for the driver's sake, which prepares first and then runs what a pooler would have let
    # it prepare somewhere else.
    async with connection.transaction(isolation="read_committed"):
        rows: list[Any] = await connection.fetch(sql, *values)
        return rows


async def make_tables(connection: Any, statements: Statements) -> None:
    """Make what is missing."""
    (row,) = await in_transaction(connection, statements.exists, statements.tables)
    if not row[0]:
        await connection.execute(statements.create)


def check(facts: Any, where: str) -> None:
    """Refuse servers that cannot be used.

    Raises:
        UnfitStore: It is too old.
        LockerUnavailable: It is a standby, which may become the primary.
    """
    if facts["version"] < _OLDEST:
        found = facts["version"]
        raise UnfitStore(f"PostgreSQL at {where} must be {_OLDEST} or newer, it is {found}")
    if facts["is_standby"]:
        raise LockerUnavailable(f"PostgreSQL at {where} is a standby (in recovery)")
    if facts["commits"] == "off":
        _log.warning(
            "PostgreSQL at %s has synchronous_commit=off: when it crashes it forgets the claims of "
            "the last moments, and those occurrences may run twice",
            where,
        )


def silent(settings: Settings) -> LockerUnavailable:
    """Return what to tell when no answer came in time."""
    return LockerUnavailable(f"PostgreSQL at {settings.where} is silent for {settings.limit:g} s")


async def limited(
    connection: Any,
    asking: Awaitable[T],
    settings: Settings,
    tell_end: Callable[[str], object],
) -> T:
    """Await *asking*; after the time limit, or when it fails, *connection* is at its end.

    Raises:
        LockerUnavailable: It failed.
    """
    # By its end and not by cancelling: the driver would then ask the server, over a connection
    # more, to cancel the statement; and that server is silent.
    loop, is_late = asyncio.get_running_loop(), False

    def be_late() -> None:
        nonlocal is_late
        is_late = True
        connection.terminate()

    timer = loop.call_later(settings.limit, be_late)
    try:
        return await asking
    except BaseException as error:
        with suppress(*ERRORS):  # a pool's, which it may have taken back by now
            connection.terminate()
        tell_end("its session was given up")
        if is_late:
            raise silent(settings) from error
        if isinstance(error, ERRORS):
            raise explained(error, settings.where) from error
        raise
    finally:
        timer.cancel()


def _nobody_cares(why: str) -> None:
    """Have nothing to lose."""
