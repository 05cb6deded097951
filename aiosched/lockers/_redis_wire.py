"""One connection to one Redis: bytes there and back within a time limit, errors told apart."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from aiosched.durations import SECOND
from aiosched.errors import LockerUnavailable, UnfitStore
from aiosched.lockers._redis_driver import (
    Connection,
    ConnectionPool,
    NoBackoff,
    Redis,
    Retry,
    exceptions,
)
from aiosched.lockers._shown import without_password

_log = logging.getLogger("aiosched.lockers")

Command = tuple[Any, ...]
"""Texts, bytes and integers."""

PAGE = 1_000
"""Names that a scan looks at in one step."""

_REFUSED = (
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.NoPermissionError,
)
_PASSING = ("READONLY", "MISCONF", "NOREPLICAS", "BUSY", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN")
"""What a server answers that cannot be used now and may be later."""


class UnknownParameter(ValueError):
    """A URL has a parameter that the driver does not know."""


class AnyWire(Protocol):
    """What leads to one server or to a cluster."""

    where: str

    async def send(self, commands: Sequence[Command], /) -> list[Any]:
        """Return the answers as bytes and integers, errors among them.

        Raises:
            LockerUnavailable: What became of the commands is not known.
            UnfitStore: The server does not let us in.
        """
        ...

    async def facts(self) -> list[dict[str, str]]:
        """Return what each server says of itself."""
        ...

    async def now(self) -> int:
        """Return a server's clock in microseconds."""
        ...

    def scan(self, pattern: bytes, /) -> AsyncIterator[list[bytes]]:
        """Return the names like *pattern*, in pages, some of them twice."""
        ...

    async def fetch(self, names: Sequence[bytes], /) -> list[bytes | None]:
        """Return the texts of these names; None: it is gone, or no text."""
        ...

    def explain(self, error: BaseException, /) -> LockerUnavailable:
        """Return what *error* means to who wants a lock."""
        ...

    async def close(self) -> None:
        """Let go of the connections."""
        ...


class Wire:
    """A connection of its own, made like those of *pool*, and made anew when it is lost.

    Args:
        pool: Of the client.
        limit: Seconds for each exchange, connecting included.
    """

    def __init__(self, pool: ConnectionPool, limit: float) -> None:
        self.where = address_of(pool)
        self._pool = pool  # a Sentinel's connections know it weakly
        self._connection: Connection = pool.make_connection()  # type: ignore[no-untyped-call]
        self._limit = limit

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers (see `AnyWire`).

        Commands may be sent twice, where the server was away since the last time.
        """
        try:
            async with asyncio.timeout(self._limit):
                return await self._send(commands)
        except (exceptions.RedisError, OSError, TimeoutError) as error:
            raise self.explain(error) from error

    async def facts(self) -> list[dict[str, str]]:
        (info,) = await self.send([("INFO",)])
        if isinstance(info, exceptions.NoPermissionError):
            raise no_info(self.where)
        if isinstance(info, Exception):
            raise self.explain(info)
        lines = info.decode(errors="replace").splitlines()
        facts = dict(line.split(":", 1) for line in lines if ":" in line)
        if facts.get("cluster_enabled") == "1":
            raise UnfitStore(f"Redis at {self.where} is a cluster: give a RedisCluster client")
        return [facts]

    async def now(self) -> int:
        ((seconds, micros),) = await self._checked([("TIME",)])
        return int(seconds) * SECOND + int(micros)

    async def scan(self, pattern: bytes) -> AsyncIterator[list[bytes]]:
        cursor: bytes | int = 0
        while True:
            command = ("SCAN", cursor, "MATCH", pattern, "COUNT", PAGE)
            ((cursor, names),) = await self._checked([command])
            if names:
                yield names
            if int(cursor) == 0:
                return

    async def fetch(self, names: Sequence[bytes]) -> list[bytes | None]:
        (values,) = await self._checked([("MGET", *names)])
        found: list[bytes | None] = values
        return found

    async def close(self) -> None:
        with suppress(exceptions.RedisError, OSError):
            await self._connection.disconnect(nowait=True)

    def explain(self, error: BaseException) -> LockerUnavailable:
        return explained(error, self.where, self._limit)

    async def _checked(self, commands: Sequence[Command]) -> list[Any]:
        replies = await self.send(commands)
        for reply in replies:
            if isinstance(reply, Exception):
                raise self.explain(reply)
        return replies

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        if self._connection.is_connected:
            try:
                return await self._exchange(commands)
            except exceptions.ConnectionError as error:
                if isinstance(error, (*_REFUSED, exceptions.BusyLoadingError)):
                    raise
        await self._connection.connect()  # type: ignore[no-untyped-call]
        return await self._exchange(commands)

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        connection = self._connection
        try:
            for command in commands:  # the server works at the first while we pack the second
                await connection.send_packed_command(self._pack(command), check_health=False)
            return [await self._read() for _ in commands]
        except BaseException:
            await connection.disconnect(nowait=True)  # the rest of the answers would be taken for
            raise  # those to the next commands

    async def _read(self) -> Any:
        try:
            return await self._connection.read_response(disable_decoding=True)
        except exceptions.ResponseError as error:
            return error

    def _pack(self, command: Command) -> Sequence[bytes]:
        if _pack is not None:
            return [_pack(command)]
        packed: Sequence[bytes] = self._connection.pack_command(*command)
        return packed


def _packer() -> Callable[[Any], Any] | None:
    try:
        from hiredis import pack_command  # noqa: PLC0415 - it may be absent
    except ModuleNotFoundError:
        return None  # then the driver packs, which takes five times as long
    return pack_command


_pack = _packer()

_TRANSIENT = (
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
    exceptions.OutOfMemoryError,
)


def is_unknown_script(reply: Any) -> bool:
    """Tell whether the server does not know the script of this name."""
    return isinstance(reply, exceptions.NoScriptError)


def no_info(where: str) -> UnfitStore:
    """Return what to say where our user may not ask this."""
    return UnfitStore(
        f"Redis at {where} must let us ask INFO (ACL +info), to see whether it can forget; or give "
        'on_amnesia="run"'
    )


def explained(error: BaseException, where: str, limit: float) -> LockerUnavailable:
    """Return what *error* means to who wants a lock."""
    if isinstance(error, TimeoutError):
        return LockerUnavailable(f"Redis at {where} is silent for {limit:g} s")
    message = f"Redis at {where}: {error}"
    if isinstance(error, exceptions.ResponseError):
        is_passing = str(error).startswith(_PASSING) or isinstance(error, _TRANSIENT)
        return (LockerUnavailable if is_passing else UnfitStore)(message)
    return (UnfitStore if isinstance(error, _REFUSED) else LockerUnavailable)(message)


def pool_of(url_or_client: str | Any) -> ConnectionPool:
    """Return what makes connections: of our own without retries, or a client's as they are.

    Raises:
        TypeError: It is neither a URL nor a client of `redis.asyncio`.
        UnknownParameter: The driver does not know a parameter of the URL.
        ValueError: The URL cannot be right.
    """
    if isinstance(url_or_client, str):
        return _own_pool(url_or_client)
    if not isinstance(url_or_client, Redis):
        raise TypeError(
            f"url_or_client must be a URL or a client of redis.asyncio, got {url_or_client!r}"
        )
    pool = url_or_client.connection_pool
    if getattr(pool.connection_kwargs.get("retry"), "_retries", 0):
        _log.warning(
            "the client of Redis at %s retries by itself, so that a failure is noticed late; give "
            "it retry=Retry(NoBackoff(), 0), or give a URL",
            address_of(pool),
        )
    return pool


def _own_pool(url: str) -> ConnectionPool:
    try:
        pool = ConnectionPool.from_url(
            url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=None,  # each exchange has a limit of its own
            socket_connect_timeout=None,
            client_name="aiosched",
            protocol=2,
        )
        pool.make_connection()  # type: ignore[no-untyped-call] # to see that it knows its options
    except (ValueError, TypeError, AttributeError) as error:
        raise _refusal(url, error) from error
    return pool


def _refusal(url: str, error: Exception) -> ValueError:
    shown = without_password(url)
    unknown = _UNKNOWN.search(str(error))
    if unknown:
        return UnknownParameter(
            f"unknown parameter {unknown[1]} in the URL of Redis, got {shown!r}"
        )
    return ValueError(f"the URL of Redis cannot be right: {error}, got {shown!r}")


_UNKNOWN = re.compile("unexpected keyword argument ('.*?')")
"""What Python says of it."""


def address_of(pool: ConnectionPool) -> str:
    """Return where it leads, without the password."""
    settings = pool.connection_kwargs
    where = getattr(pool, "service_name", None) or settings.get("path")
    if where is None:
        where = f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"
    return f"{where}/{settings.get('db') or 0}"
