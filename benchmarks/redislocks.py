"""What a lock costs in Redis: `RedisLocker`, `RedlockLocker`, rivals and the bare round trip."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from aiosched import RedisLocker, RedlockLocker
from benchmarks.harness import MICRO, Figures, Line, Scenario, Topic, run_in
from tests.servers.redis import RedisServer, find_valkey


@contextmanager
def servers(count: int) -> Iterator[list[str]]:
    """Start so many, append-only as they should be; yield their URLs."""
    with ExitStack() as stack:
        urls = []
        for _ in range(count):
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            server = RedisServer(find_valkey(), Path(folder))
            stack.callback(server.stop)
            server.start()
            urls.append(server.url)
        yield urls


def measure_pairs(count: int, at_once: Sequence[int], seconds: float) -> Figures:
    """Lock and unlock so many keys at once, again and again, on so many servers."""
    with servers(count) as urls:
        return run_in(_all_pairs(urls, at_once, seconds))


async def _all_pairs(urls: list[str], at_once: Sequence[int], seconds: float) -> Figures:
    locker = RedisLocker(urls[0]) if len(urls) == 1 else RedlockLocker(urls)
    await locker.open()
    figures = {}
    for keys in at_once:

        async def pairs(names: tuple[str, ...] = tuple(map(str, range(keys)))) -> None:
            locks = await asyncio.gather(*map(locker.lock, names))
            await asyncio.gather(*(lock.unlock() for lock in locks))

        figures[str(keys)] = keys * await _a_second(pairs, seconds)
    await locker.aclose()
    return figures


async def _a_second(step: Callable[[], Awaitable[None]], seconds: float) -> float:
    await step()  # connected, and the script is known
    began, turns = time.perf_counter(), 0
    while not turns or time.perf_counter() - began < seconds:
        turns += 1
        await step()
    return turns / (time.perf_counter() - began)


def measure_bare(seconds: float) -> Figures:
    """Measure PING by redis-py's client."""
    with servers(1) as (url,):
        return run_in(_bare(url, seconds))


async def _bare(url: str, seconds: float) -> Figures:
    from redis.asyncio import Redis  # noqa: PLC0415 - a rival too

    async with Redis.from_url(url) as client:

        async def ping() -> None:
            await client.ping()

        return {"us": MICRO / await _a_second(ping, seconds)}


def measure_redis_lock(seconds: float) -> Figures:
    """Measure redis-py's own lock, one after the other and 50 at once."""
    with servers(1) as (url,):
        return run_in(_redis_lock(url, seconds))


async def _redis_lock(url: str, seconds: float) -> Figures:
    from redis.asyncio import Redis  # noqa: PLC0415

    async with Redis.from_url(url) as client:

        async def pair(name: str = "0") -> None:
            lock = client.lock(name, timeout=30)
            await lock.acquire(blocking=False)
            await lock.release()

        return await _one_and_fifty(pair, seconds)


def measure_pottery(seconds: float) -> Figures:
    """Measure pottery's lock on one server."""
    with servers(1) as (url,):
        return run_in(_pottery(url, seconds))


async def _pottery(url: str, seconds: float) -> Figures:
    from pottery import AIORedlock  # noqa: PLC0415
    from redis.asyncio import Redis  # noqa: PLC0415

    async with Redis.from_url(url) as client:

        async def pair(name: str = "0") -> None:
            lock = AIORedlock(key=name, masters={client}, auto_release_time=30)
            await lock.acquire(blocking=False)
            await lock.release()

        return await _one_and_fifty(pair, seconds)


async def _one_and_fifty(pair: Callable[..., Awaitable[None]], seconds: float) -> Figures:
    async def fifty() -> None:
        await asyncio.gather(*(pair(str(number)) for number in range(50)))

    one = await _a_second(pair, seconds)
    return {"1": one, "50": 50 * await _a_second(fifty, seconds)}


_AT_ONCE = (1, 10, 100, 1_000)
_SECONDS = {"full": {"seconds": 1}, "quick": {"seconds": 0.3}, "tiny": {"seconds": 0}}

TOPIC = Topic(
    scenarios=(
        Scenario(
            "redis",
            measure_pairs,
            fixed={"count": 1, "at_once": _AT_ONCE},
            **_SECONDS,
            needs=("redis",),
        ),
        Scenario(
            "redlock",
            measure_pairs,
            fixed={"count": 5, "at_once": _AT_ONCE},
            **_SECONDS,
            needs=("redis",),
        ),
        Scenario("redis-bare", measure_bare, **_SECONDS, needs=("redis",)),
        Scenario("redis-py", measure_redis_lock, **_SECONDS, needs=("redis",)),
        Scenario("pottery", measure_pottery, **_SECONDS, needs=("redis", "pottery")),
    ),
    lines=(
        *(
            Line(f"RedisLocker: lock + unlock, {keys:,} in one turn", f"redis:{keys}", "/s")
            for keys in _AT_ONCE
        ),
        Line("· redis-py's bare PING", "redis-bare:us", "µs"),
        Line("· redis-py's Lock, one after the other", "redis-py:1", "/s"),
        Line("· redis-py's Lock, 50 at once", "redis-py:50", "/s"),
        Line("· pottery's AIORedlock, one server, one after the other", "pottery:1", "/s"),
        Line("· pottery's AIORedlock, one server, 50 at once", "pottery:50", "/s"),
        *(
            Line(f"RedlockLocker, 5 servers: {keys:,} in one turn", f"redlock:{keys}", "/s")
            for keys in _AT_ONCE
        ),
    ),
)
