"""What locks of others cost in Redis: all on one server, in turns, so that only ratios count."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

from redis.asyncio import Redis

from aiosched import RedisLocker
from benchmarks.harness import MICRO, Figures, Line, Scenario, Topic, run_in
from benchmarks.redislocks import servers

Pair = Callable[[str], Awaitable[object]]
"""Locks a name and unlocks it."""

_TURNS = 5
_AT_ONCE = 50
_TTL = 30


def measure_rivals(seconds: float) -> Figures:
    """Measure pairs a second, one after the other (``1``) and 50 at once (``50``)."""
    with servers(1) as (url,):
        return run_in(_all(url, seconds))


async def _all(url: str, seconds: float) -> Figures:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Redis.from_url(url))
        contestants: Mapping[str, Pair] = {
            "ours": await _ours(stack, url),
            "redis-py": _redis_py(client),
            "pottery": _pottery(client),
            "aioredlock": await _aioredlock(stack, url),
        }
        taken: dict[str, list[float]] = {}
        for _ in range(_TURNS):
            for name, pair in contestants.items():
                for count in (1, _AT_ONCE):
                    rate = await _rate(pair, count, seconds / _TURNS)
                    taken.setdefault(f"{name} {count}", []).append(rate)
            ping = await _rate(lambda _: client.ping(), 1, seconds / _TURNS)
            taken.setdefault("ping us", []).append(MICRO / ping)
        return {name: statistics.median(values) for name, values in taken.items()}


async def _rate(pair: Pair, count: int, seconds: float) -> float:
    began, turns = time.perf_counter(), 0
    while not turns or time.perf_counter() - began < seconds:
        turns += 1
        if count == 1:
            await pair("0")
        else:
            await asyncio.gather(*(pair(str(number)) for number in range(count)))
    return count * turns / (time.perf_counter() - began)


async def _ours(stack: AsyncExitStack, url: str) -> Pair:
    locker = RedisLocker(url)
    await locker.open()
    stack.push_async_callback(locker.aclose)

    async def pair(name: str) -> None:
        lock = await locker.lock(name)
        await lock.unlock()

    return pair


def _redis_py(client: Redis) -> Pair:
    async def pair(name: str) -> None:
        lock = client.lock(f"redis-py:{name}", timeout=_TTL)
        await lock.acquire(blocking=False)
        await lock.release()

    return pair


def _pottery(client: Redis) -> Pair:
    from pottery import AIORedlock  # noqa: PLC0415 - a rival, only there for benchmarks

    async def pair(name: str) -> None:
        lock = AIORedlock(key=name, masters={client}, auto_release_time=_TTL)
        await lock.acquire(blocking=False)
        await lock.release()

    return pair


async def _aioredlock(stack: AsyncExitStack, url: str) -> Pair:
    # It asks for `distutils.version`, which Python 3.12 has no longer: setuptools brings it.
    from aioredlock import Aioredlock  # noqa: PLC0415

    manager = Aioredlock([url], retry_count=1)
    stack.push_async_callback(manager.destroy)

    async def pair(name: str) -> None:
        lock = await manager.lock(f"aioredlock:{name}", lock_timeout=_TTL)
        await manager.unlock(lock)

    return pair


_RIVALS = {
    "redis-py": "redis-py's Lock",
    "pottery": "pottery's AIORedlock, one server",
    "aioredlock": "aioredlock, one server",
}

TOPIC = Topic(
    scenarios=(
        Scenario(
            "redis-rivals",
            measure_rivals,
            full={"seconds": 2},
            quick={"seconds": 1},
            tiny={"seconds": 0},
            needs=("redis", "pottery", "aioredlock"),
        ),
    ),
    lines=(
        Line("redis-py's bare PING, the same server", "redis-rivals:ping us", "µs"),
        *(
            Line(what, f"redis-rivals:{name} {count}", "/s")
            for name, whose in {"ours": "RedisLocker", **_RIVALS}.items()
            for count, what in (
                (1, f"{whose}: lock + unlock, one after the other"),
                (_AT_ONCE, f"· {_AT_ONCE} at once"),
            )
        ),
        *(
            Line(
                f"RedisLocker, {how}: times {whose}",
                f"redis-rivals:ours {count}",
                "×",
                over=f"redis-rivals:{name} {count}",
                first=first,
                more=True,
            )
            for count, how, first in (
                (1, "one after the other", None),
                (_AT_ONCE, f"{_AT_ONCE} at once", 1),
            )
            for name, whose in _RIVALS.items()
        ),
    ),
)
