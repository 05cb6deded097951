"""Looking into every store, and taking a key away by force."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from redis.asyncio.cluster import RedisCluster

from aiosched.errors import AlreadyRan, LockerUnavailable, LockHeld, LockLost
from aiosched.lockers import (
    FileLocker,
    MemoryLocker,
    PostgresLocker,
    Prefixed,
    RedisLocker,
    RedlockLocker,
)
from aiosched.lockers._holder import holder_of, new_asker
from aiosched.model import Claim
from aiosched.protocols import InspectableLocker
from tests.lockers.support import ago, opened

TTL, TIMEOUT = 3, 1


@pytest.fixture
def memory():
    return MemoryLocker()


@pytest.fixture
def file(tmp_path):
    return FileLocker(tmp_path / "locks")


@pytest.fixture
def redis(redis_server):
    return RedisLocker(redis_server.url, TTL, prefix=secrets.token_hex(4), timeout=TIMEOUT)


@pytest.fixture
def cluster(redis_cluster_servers):
    client = RedisCluster.from_url(redis_cluster_servers[0].url)
    return RedisLocker(client, TTL, prefix=secrets.token_hex(4), timeout=TIMEOUT)


@pytest.fixture
def redlock(five_redis_servers):
    urls = [server.url for server in five_redis_servers[:3]]
    return RedlockLocker(urls, TTL, prefix=secrets.token_hex(4), timeout=TIMEOUT)


@pytest.fixture
def advisory(postgres_server, postgres_database):
    return PostgresLocker(postgres_server.dsn(postgres_database), TTL, timeout=TIMEOUT)


@pytest.fixture
def lease(postgres_server, postgres_database):
    return PostgresLocker(postgres_server.dsn(postgres_database), TTL, "lease", timeout=TIMEOUT)


@pytest.fixture
def prefixed(redis):
    return Prefixed(redis, "shop:")


LEASES = ["redis", "cluster", "redlock", "lease", "prefixed"]
TELLING = ["memory", "advisory", *LEASES]
STORES = ["file", *TELLING]


@pytest.fixture
async def locker(request):
    async with opened(request.getfixturevalue(request.param)) as locker:
        yield locker
    if request.param == "cluster":
        await locker._client.aclose()


@pytest.mark.parametrize("locker", STORES, indirect=True)
async def test_a_record_tells_who_holds_a_key_and_what_was_claimed(locker):
    assert isinstance(locker, InspectableLocker)
    due = ago(1)
    lock = await locker.claim(Claim("held", due))
    await (await locker.claim(Claim("done", due))).unlock()
    await (await locker.claim(Claim("undone", due))).unlock(done=False)
    done, held, undone = await locker.records()
    assert [each.key for each in (done, held, undone)] == ["done", "held", "undone"]
    assert [each.held for each in (done, held, undone)] == [False, True, False]
    assert [each.last_claimed for each in (done, held, undone)] == [due] * 3
    assert [each.uncompleted for each in (done, held, undone)] == [None, due, due]
    assert held.holder == f"{socket.gethostname()}:{os.getpid()}"
    assert (done.holder, done.held_until) == (None, None)
    assert held.fence == lock.fence
    assert held.forget_at > datetime.now(UTC) + timedelta(days=6)
    await lock.unlock()


@pytest.mark.parametrize("locker", LEASES, indirect=True)
async def test_a_lease_tells_when_it_ends(locker):
    async with await locker.lock("key"):
        (record,) = await locker.records()
    assert abs((record.held_until - datetime.now(UTC)).total_seconds()) < 60


@pytest.mark.parametrize("locker", ["memory", "file", "advisory"], indirect=True)
async def test_what_is_held_while_its_holder_lives_has_no_end(locker):
    async with await locker.lock("key"):
        (record,) = await locker.records()
    assert (record.held, record.held_until) == (True, None)


@pytest.mark.parametrize("locker", STORES, indirect=True)
async def test_a_key_that_is_taken_away_is_free_and_its_occurrence_stays_claimed(locker):
    due = ago(1)
    lock = await locker.claim(Claim("key", due))
    with pytest.raises(LockHeld):
        await locker.lock("key")
    assert await locker.release("key") is True
    (record,) = await locker.records()
    assert (record.held, record.holder, record.last_claimed) == (False, None, due)
    assert record.uncompleted == due, "nobody has said that it was completed"
    with pytest.raises(AlreadyRan):
        await locker.claim(Claim("key", due))
    other = await locker.lock("key")
    assert other.fence > lock.fence
    assert await lock.unlock() is False
    assert await other.unlock() is True


@pytest.mark.parametrize("locker", TELLING, indirect=True)
async def test_a_holder_is_told_that_his_key_was_taken_away(locker):
    lock = await locker.lock("key")
    await locker.release("key")
    await asyncio.wait_for(lock.lost.wait(), 30)
    with pytest.raises(LockLost):
        lock.check()
    assert await lock.unlock() is False


@pytest.mark.parametrize("locker", STORES, indirect=True)
async def test_what_nobody_holds_is_not_taken_away(locker):
    await (await locker.lock("free")).unlock()
    for key in ("free", "unheard of"):
        assert await locker.release(key) is False
    assert [each.key for each in await locker.records()] == ["free"]


@pytest.mark.parametrize("locker", STORES, indirect=True)
async def test_more_keys_than_the_stores_tell_at_once_are_shown_in_order(locker):
    keys = [f"key {number:04}" for number in range(2_500)]
    claims = (Claim(key, exclusive=False) for key in keys)
    await asyncio.gather(*map(locker.claim, claims))
    assert [each.key for each in await locker.records()] == keys


@pytest.mark.parametrize("mode", ["advisory", "lease"])
async def test_looking_makes_no_tables(mode, postgres_server, postgres_database):
    dsn = postgres_server.dsn(postgres_database)
    locker = PostgresLocker(dsn, mode=mode)
    assert await locker.records() == []
    assert await locker.release("key") is False
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT to_regclass('aiosched_record_v1')") is None
    await connection.close()


async def test_a_minority_that_still_holds_a_key_is_cleared_and_does_not_count(
    redlock, five_redis_servers
):
    alone = RedisLocker(five_redis_servers[0].url, 600, prefix=redlock._names._start[:8].decode())
    async with opened(alone), opened(redlock):
        await alone.lock("key")
        assert await redlock.release("key") is False
        assert await redlock.records() == await alone.records()
        await (await alone.lock("key")).unlock()


@pytest.mark.parametrize(
    "make",
    [
        lambda: RedisLocker("redis://127.0.0.1:1"),
        lambda: RedlockLocker([f"redis://127.0.0.1:{port}" for port in (1, 2, 3)]),
        lambda: PostgresLocker("postgresql://127.0.0.1:1/shop"),
    ],
)
async def test_what_cannot_be_asked_is_unavailable(make):
    with pytest.raises(LockerUnavailable):
        await make().release("key")


async def test_a_holder_in_another_loop_is_told_in_it(memory):
    held, lost = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def hold():
        lock = await memory.lock("key")
        loop.call_soon_threadsafe(held.set)
        await lock.lost.wait()
        loop.call_soon_threadsafe(lost.set)

    holding = asyncio.create_task(asyncio.to_thread(asyncio.run, hold()))
    await asyncio.wait_for(held.wait(), 10)
    assert await memory.release("key")
    await asyncio.wait_for(lost.wait(), 10)
    await holding


def test_an_attempt_tells_its_process_and_another_text_itself():
    assert holder_of(f"{new_asker()}.1a") == f"{socket.gethostname()[:40]}:{os.getpid()}"
    assert new_asker() != new_asker()
    assert holder_of("somebody") == "somebody"
