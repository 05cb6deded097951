"""Lockers that ring: whoever waits for a key hears that it was given back."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis, RedisCluster

from aiosched.errors import LockerUnavailable
from aiosched.lockers import FileLocker, MemoryLocker, PostgresLocker, RedisLocker
from aiosched.protocols import RingingLocker
from tests.lockers.support import opened
from tests.servers.proxy import Proxy

PATIENCE = 20


@pytest.fixture(params=["redis", "client", "advisory", "lease"])
def make(request):
    """Make lockers that share a store, and can ring."""
    if request.param == "redis":
        url = request.getfixturevalue("redis_server").url
        return lambda: RedisLocker(url, prefix="bells")
    if request.param == "client":
        server = request.getfixturevalue("redis_server")
        return lambda: RedisLocker(Redis.from_url(server.url, decode_responses=True))
    server = request.getfixturevalue("postgres_server")
    dsn = server.dsn(request.getfixturevalue("postgres_database"))
    return lambda: PostgresLocker(dsn, mode=request.param)


@pytest.fixture
def key():
    return f"bell {secrets.token_hex(8)} ü"


class Listener:
    """Counts what it hears."""

    def __init__(self):
        self.rings = 0
        self.news = asyncio.Event()

    def __call__(self):
        self.rings += 1
        self.news.set()

    async def next(self):
        async with asyncio.timeout(PATIENCE):
            await self.news.wait()
        self.news.clear()


@asynccontextmanager
async def listening(locker, key):
    """Listen, from the first call on."""
    listener = Listener()
    task = asyncio.create_task(locker.listen(key, listener))
    await listener.next()
    yield listener
    task.cancel()
    await asyncio.wait([task])


async def test_a_ring_is_heard_after_what_was_given_back_before_it(make, key):
    async with opened(make()) as holder, opened(make()) as other:
        lock = await holder.lock(key)
        async with listening(other, key) as listener:
            holder.ring(key)
            await lock.unlock()
            await listener.next()
            assert await (await other.lock(key)).unlock()
    await tidy(holder, other)


async def test_each_key_has_a_bell_of_its_own(make, key):
    async with (
        opened(make()) as locker,
        listening(locker, key) as listener,
        listening(locker, f"{key}2") as other,
    ):
        for _ in range(3):
            locker.ring(f"{key}2")
            await other.next()
        assert (listener.rings, other.rings) == (1, 4)
    await tidy(locker)


async def test_several_listen_to_one_bell_and_some_stop(make, key):
    async with opened(make()) as locker, listening(locker, key) as stays:
        async with listening(locker, key) as goes:
            locker.ring(key)
            await asyncio.gather(stays.next(), goes.next())
        locker.ring(key)
        await stays.next()
        assert (stays.rings, goes.rings) == (3, 2)
    await tidy(locker)


async def test_closing_ends_no_ring_in_an_error(make, key):
    locker = make()
    await locker.open()
    locker.ring(key)
    await locker.aclose()
    with pytest.raises(LockerUnavailable, match="closed"):
        locker.ring(key)
    await tidy(locker)


async def test_who_listens_learns_that_the_connection_is_gone_redis(redis_server, key):
    async with (
        Proxy(redis_server.port) as proxy,
        opened(RedisLocker(f"redis://127.0.0.1:{proxy.port}")) as locker,
    ):
        listener = Listener()
        task = asyncio.create_task(locker.listen(key, listener))
        await listener.next()
        proxy.reset_all()
        with pytest.raises(LockerUnavailable):
            await asyncio.wait_for(task, PATIENCE)


async def test_who_listens_in_silence_learns_that_the_connection_is_gone_redis(
    redis_server, key, monkeypatch
):
    monkeypatch.setattr("aiosched.lockers._redis_bell._QUIET", 0.1)
    async with Proxy(redis_server.port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}"
        async with opened(RedisLocker(url, timeout=0.3)) as locker:
            listener = Listener()
            task = asyncio.create_task(locker.listen(key, listener))
            await listener.next()
            await asyncio.sleep(0.5)  # in which it asks and is answered
            assert not task.done()
            proxy.go_silent()
            with pytest.raises(LockerUnavailable, match="no bell is heard"):
                await asyncio.wait_for(task, PATIENCE)


async def test_who_listens_learns_that_the_session_is_gone_postgres(
    postgres_server, postgres_database, key
):
    dsn = postgres_server.dsn(postgres_database)
    async with opened(PostgresLocker(dsn)) as locker:
        listener = Listener()
        task = asyncio.create_task(locker.listen(key, listener))
        await listener.next()
        ours = f"datname = '{postgres_database}' AND pid <> pg_backend_pid()"
        postgres_server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")
        with pytest.raises(LockerUnavailable, match="session has ended"):
            await asyncio.wait_for(task, PATIENCE)
        async with listening(locker, key) as again:
            locker.ring(key)
            await again.next()


async def test_a_listener_does_not_outlive_its_locker_postgres(
    postgres_server, postgres_database, key
):
    locker = PostgresLocker(postgres_server.dsn(postgres_database))
    await locker.open()
    listener = Listener()
    task = asyncio.create_task(locker.listen(key, listener))
    await listener.next()
    await locker.aclose()
    with pytest.raises(LockerUnavailable, match="session has ended"):
        await asyncio.wait_for(task, PATIENCE)


async def test_in_a_cluster_nothing_is_heard(redis_cluster_servers, key):
    async with (
        RedisCluster.from_url(redis_cluster_servers[0].url) as client,
        opened(RedisLocker(client)) as locker,
    ):
        locker.ring(key)
        await (await locker.lock(key)).unlock()
        with pytest.raises(LockerUnavailable, match="cluster"):
            await locker.listen(key, Listener())


async def test_through_a_pool_nothing_is_heard(postgres_server, postgres_database, key):
    import asyncpg

    async with (
        asyncpg.create_pool(postgres_server.dsn(postgres_database), min_size=1) as pool,
        opened(PostgresLocker(mode="lease", pool=pool)) as locker,
    ):
        locker.ring(key)
        with pytest.raises(LockerUnavailable, match="pool"):
            await locker.listen(key, Listener())


async def test_behind_a_pooler_nothing_is_heard(postgres_server, postgres_database, key):
    async with opened(PostgresLocker(postgres_server.dsn(postgres_database), mode="lease")) as one:
        (served,) = one._open.values()
        served.store._line._is_pooled = True  # as it finds out when it connects through one
        one.ring(key)
        await (await one.lock(key)).unlock()
        with pytest.raises(LockerUnavailable, match="no bell is heard"):
            await one.listen(key, Listener())


def test_stores_without_a_server_do_not_ring(tmp_path):
    assert not isinstance(MemoryLocker(), RingingLocker)
    assert not isinstance(FileLocker(tmp_path), RingingLocker)


async def tidy(*lockers):
    """Close the clients that were given."""
    for locker in lockers:
        client = getattr(locker, "_client", None)
        if isinstance(client, Redis):
            await client.aclose()
