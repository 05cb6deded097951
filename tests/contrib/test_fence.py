"""The guard against writers that come back too late, on a real PostgreSQL."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from aiosched.contrib.fence import guard, guard_table
from aiosched.errors import StaleFence
from aiosched.lockers.postgres import PostgresLocker
from tests.lockers.support import drop


@pytest.fixture
async def pool(postgres_server, postgres_database):
    async with asyncpg.create_pool(postgres_server.dsn(postgres_database), min_size=0) as pool:
        async with pool.acquire() as connection:
            await guard_table(connection)
            await connection.execute("CREATE TABLE account (balance bigint)")
            await connection.execute("INSERT INTO account VALUES (0)")
        yield pool


async def write(pool, fence, balance, paused=None):
    async with pool.acquire() as connection, connection.transaction():
        await guard(connection, "account", fence)
        if paused is not None:
            await paused.wait()
        await connection.execute("UPDATE account SET balance = $1", balance)


async def balance(pool):
    return await pool.fetchval("SELECT balance FROM account")


async def test_a_stale_writer_is_refused_and_what_it_wrote_is_undone(pool):
    await write(pool, 2, 20)
    with pytest.raises(StaleFence, match="'account' was written under a newer fence than 1"):
        await write(pool, 1, 10)
    assert await balance(pool) == 20


async def test_the_same_grant_writes_as_often_as_it_likes(pool):
    await write(pool, 7, 1)
    await write(pool, 7, 2)
    await write(pool, 8, 3)
    assert await balance(pool) == 3


async def test_a_writer_paused_within_its_transaction_is_waited_for(pool):
    paused = asyncio.Event()
    older = asyncio.create_task(write(pool, 1, 10, paused))
    while not await pool.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid'"):
        await asyncio.sleep(0.001)
    newer = asyncio.create_task(write(pool, 2, 20))
    while not await pool.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
        await asyncio.sleep(0.001)
    assert not newer.done()
    paused.set()
    await asyncio.gather(older, newer)
    assert await balance(pool) == 20


async def test_a_holder_that_was_replaced_cannot_write(pool, postgres_server, postgres_database):
    dsn = postgres_server.dsn(postgres_database)
    frozen, other = PostgresLocker(dsn), PostgresLocker(dsn)
    await other.open()
    stale = await frozen.lock("job")
    await drop(frozen)
    lock = await other.lock("job")
    await write(pool, lock.fence, 20)
    with pytest.raises(StaleFence):
        await write(pool, stale.fence, 10)
    assert await balance(pool) == 20
    await lock.unlock()
    await other.aclose()


async def test_several_may_make_the_table_at_once(postgres_server, postgres_database):
    dsn = postgres_server.dsn(postgres_database)
    connections = await asyncio.gather(*(asyncpg.connect(dsn) for _ in range(8)))
    await asyncio.gather(*map(guard_table, connections))
    await asyncio.gather(*(each.close() for each in connections))


async def test_without_a_transaction_there_is_no_guard(pool):
    async with pool.acquire() as connection:
        with pytest.raises(RuntimeError, match="guard of 'account' must be called within a"):
            await guard(connection, "account", 1)


async def test_a_pool_is_no_connection(pool):
    message = r"connection must be a connection in a transaction, got <asyncpg\.pool\.Pool object"
    with pytest.raises(TypeError, match=message):
        await guard(pool, "account", 5)


@pytest.mark.parametrize("resource", [5, None, b"account"])
async def test_a_resource_is_text(pool, resource):
    async with pool.acquire() as connection, connection.transaction():
        with pytest.raises(TypeError, match=f"resource must be text, got {resource!r}"):
            await guard(connection, resource, 5)


@pytest.mark.parametrize("fence", [None, True, "1"])
async def test_without_a_fence_there_is_no_guard(pool, fence):
    async with pool.acquire() as connection, connection.transaction():
        with pytest.raises(TypeError, match=f"fence must be the run's.*got {fence!r}"):
            await guard(connection, "account", fence)
