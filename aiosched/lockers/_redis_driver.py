"""What we use of the driver of Redis, in one place; or what to install."""

from __future__ import annotations

try:
    from redis import exceptions
    from redis.asyncio import Connection, ConnectionPool, Redis, RedisCluster
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "Redis needs its driver: pip install 'aiosched-py[redis]'", name=error.name
    ) from error

__all__ = [
    "Connection",
    "ConnectionPool",
    "NoBackoff",
    "Redis",
    "RedisCluster",
    "Retry",
    "exceptions",
]
