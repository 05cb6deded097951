"""What a lock costs in Redis: `RedisLocker`, `RedlockLocker`, and the memory of a claimed key."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiosched import Claim, RedisLocker, RedlockLocker
from benchmarks.harness import Figures, Line, Scenario, Topic, run_in
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


def measure_memory(keys: int) -> Figures:
    """Measure what a server spends on each key that was claimed, and for how long."""
    with servers(1) as (url,):
        return run_in(_memory(url, keys))


async def _memory(url: str, keys: int) -> Figures:
    from redis.asyncio import Redis  # noqa: PLC0415 - only where it is measured

    due_at = datetime.now(UTC) - timedelta(hours=1)
    locker = RedisLocker(url)
    await locker.open()
    figures: Figures = {}
    async with Redis.from_url(url) as client:
        for kind, is_exact in (("plain", False), ("exact", True)):
            before = (await client.info("memory"))["used_memory"]
            claims = [Claim(f"{kind}{key:06}", due_at, exact=is_exact) for key in range(keys)]
            locks = await asyncio.gather(*map(locker.claim, claims))
            await asyncio.gather(*(lock.unlock() for lock in locks))
            after = (await client.info("memory"))["used_memory"]
            figures[kind] = (after - before) / keys
        left = await client.pttl(f"aiosched:v1:{{key:{claims[0].key}}}")
        figures["days"] = left / timedelta(days=1).total_seconds() / 1_000
    await locker.aclose()
    return figures


_AT_ONCE = (1, 10, 100, 1_000)
_REDLOCKS = (3, 5)
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
        *(
            Scenario(
                f"redlock-{count}",
                measure_pairs,
                fixed={"count": count, "at_once": _AT_ONCE},
                **_SECONDS,
                needs=("redis",),
            )
            for count in _REDLOCKS
        ),
        Scenario(
            "redis-memory",
            measure_memory,
            full={"keys": 20_000},
            quick={"keys": 5_000},
            tiny={"keys": 2},
            repeats=1,
            needs=("redis",),
        ),
    ),
    lines=(
        *(
            Line(f"RedisLocker: lock + unlock, {keys:,} in one turn", f"redis:{keys}", "/s")
            for keys in _AT_ONCE
        ),
        *(
            Line(
                f"RedlockLocker, {count} servers: {keys:,} in one turn",
                f"redlock-{count}:{keys}",
                "/s",
            )
            for count in _REDLOCKS
            for keys in _AT_ONCE
        ),
        Line("Redis: memory of a key that was claimed", "redis-memory:plain", "B"),
        Line("· with its exact set", "redis-memory:exact", "B"),
        Line("· given back after so many days without another claim", "redis-memory:days", "d"),
    ),
)
