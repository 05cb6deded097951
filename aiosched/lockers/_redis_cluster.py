"""A cluster of Redis servers: keys in a few groups, of which each lies on one server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any
from zlib import crc32

from aiosched.durations import SECOND
from aiosched.errors import LockerUnavailable
from aiosched.lockers._redis_driver import RedisCluster, exceptions
from aiosched.lockers._redis_script import Operation, escaped
from aiosched.lockers._redis_wire import PAGE, Command, explained, no_info

_GROUPS = 16
"""In so many slots the records of a prefix lie: calls that a large batch needs at least."""
_AT_ONCE = 16


class GroupedNames:
    """``aiosched:v1:{3}:key:NAME`` and ``aiosched:v1:{3}:exact:NAME``.

    All of a group lie in one slot, so that one call of the script can answer for many keys, and
    has an epoch beside them.
    """

    __slots__ = ("_prefix",)

    def __init__(self, prefix: str) -> None:
        self._prefix = f"{prefix}:v1:".encode("utf-8", "surrogatepass")

    def shared_out(self, operations: Sequence[Operation]) -> Iterable[tuple[bytes, Sequence[int]]]:
        groups: dict[int, list[int]] = {}
        for place, operation in enumerate(operations):
            group = _group(operation.key.encode("utf-8", "surrogatepass"))
            groups.setdefault(group, []).append(place)
        for group, places in groups.items():
            yield b"%b{%x}:epoch" % (self._prefix, group), places

    def record(self, key: str) -> bytes:
        name = key.encode("utf-8", "surrogatepass")
        return b"%b{%x}:key:%b" % (self._prefix, _group(name), name)

    def exact(self, record: bytes) -> bytes:
        start, _, name = record[len(self._prefix) :].partition(b":key:")
        return b"%b%b:exact:%b" % (self._prefix, start, name)

    @property
    def pattern(self) -> bytes:
        return escaped(self._prefix) + b"{?}:key:*"

    def key_of(self, record: bytes) -> str | None:
        _, colon, name = record[len(self._prefix) :].partition(b":key:")
        if not colon or record != b"%b{%x}:key:%b" % (self._prefix, _group(name), name):
            return None
        return name.decode("utf-8", "surrogatepass")


def _group(name: bytes) -> int:
    return crc32(name) % _GROUPS


class ClusterWire:
    """Asks through a client of `redis.asyncio.cluster`, which knows where each slot is.

    Args:
        client: It is not closed here.
        limit: Seconds for each exchange.
    """

    def __init__(self, client: RedisCluster, limit: float) -> None:
        self.where = "a cluster"
        self._client = client
        self._limit = limit
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answers (see `aiosched.lockers._redis_wire.AnyWire`)."""
        answers: list[Any] = await self._within(asyncio.gather(*map(self._one, commands)))
        return answers

    async def facts(self) -> list[dict[str, str]]:
        """Return what each server that takes writes says of itself."""
        try:
            told = await self._within(self._client.info(target_nodes="primaries"))
        except LockerUnavailable as error:
            if isinstance(error.__cause__, exceptions.NoPermissionError):
                raise no_info(self.where) from error
            raise
        # Of one alone it is told without its name.
        servers = told.values() if all(isinstance(each, dict) for each in told.values()) else [told]
        return [_texts(each) for each in servers]

    async def now(self) -> int:
        """Return the clock of one of them, in microseconds."""
        seconds, micros = await self._within(self._client.time(target_nodes="random"))
        return int(seconds) * SECOND + int(micros)

    async def scan(self, pattern: bytes) -> AsyncIterator[list[bytes]]:
        """Return the names like *pattern*, of one server after the other."""
        await self._within(self._client.initialize())
        for node in self._client.get_primaries():
            cursor: Any = 0
            while True:
                command = ("SCAN", cursor, "MATCH", pattern, "COUNT", PAGE)
                cursors, names = await self._within(
                    self._client.execute_command(*command, target_nodes=node, **_RAW)
                )
                if names:
                    yield names
                (cursor,) = cursors.values()  # by the name of the node
                if cursor == 0:
                    break

    async def fetch(self, names: Sequence[bytes]) -> list[bytes | None]:
        """Return the texts of these names, of which each is a question of its own to a cluster."""
        found: list[Any] = []
        for first in range(0, len(names), _AT_ONCE):
            found += await self.send([("GET", name) for name in names[first : first + _AT_ONCE]])
        return [None if isinstance(each, Exception) else each for each in found]

    def explain(self, error: BaseException) -> LockerUnavailable:
        """Return what *error* means to who wants a lock."""
        return explained(error, self.where, self._limit)

    async def close(self) -> None:
        """The client is its owner's."""

    async def _one(self, command: Command) -> Any:
        async with self._room:
            try:
                return await self._client.execute_command(*command, **_RAW)
            except exceptions.ResponseError as error:
                return error

    async def _within(self, asking: Any) -> Any:
        try:
            async with asyncio.timeout(self._limit):
                return await asking
        except (exceptions.RedisError, OSError, TimeoutError) as error:
            raise self.explain(error) from error


_RAW = {"NEVER_DECODE": True}


def _texts(facts: dict[Any, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in facts.items()}
