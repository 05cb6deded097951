"""Hearing of a channel of Redis, on a connection of its own, until it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiosched.errors import LockerUnavailable
from aiosched.lockers._redis_driver import Redis, RedisCluster, exceptions
from aiosched.lockers._redis_wire import pool_of

_QUIET = 30.0
"""Seconds of silence, after which it is looked whether the connection still is one."""


def channel_of(prefix: str, key: str) -> bytes:
    """Return where rings of *key* go."""
    return f"{prefix}:v1:bell:{key}".encode("utf-8", "surrogatepass")


async def hear(
    client: str | Any, channel: bytes, call: Callable[[], object], *, limit: float
) -> None:
    """Call *call* as soon as *channel* is heard, and with each message.

    Args:
        client: A URL, or a client of `redis.asyncio`.
        channel: Of rings.
        call: In the running loop.
        limit: Seconds for each exchange.

    Raises:
        LockerUnavailable: It is heard no longer, or this client cannot hear.
    """
    if isinstance(client, RedisCluster):
        raise LockerUnavailable("in a cluster no bell is heard")
    own = Redis(connection_pool=pool_of(client)) if isinstance(client, str) else None
    asking: Any = client if own is None else own
    bell = asking.pubsub()
    try:
        async with asyncio.timeout(limit):
            await bell.subscribe(channel)
        while True:
            await _next(bell, limit)
            call()
    except (exceptions.RedisError, OSError) as error:
        raise LockerUnavailable(f"no bell is heard: {error}") from error
    finally:
        await bell.aclose()
        if own is not None:
            await own.aclose()
            await own.connection_pool.disconnect()


async def _next(bell: Any, limit: float) -> None:
    """Wait for a message; the confirmation, after each connecting, is one, too."""
    while (message := await bell.get_message(timeout=_QUIET)) is None or message["type"] == "pong":
        if message is None:
            async with asyncio.timeout(limit):
                await bell.ping()
            if await bell.get_message(timeout=limit) is None:
                raise TimeoutError("the connection is silent")
