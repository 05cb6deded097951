"""PostgresLocker behind PgBouncer in transaction mode: sessions are refused, leases work."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import AsyncExitStack

import asyncpg
import pytest

from aiosched import Run, Scheduler
from aiosched.errors import AlreadyRan, LockerUnavailable, LockHeld, LockLost, UnfitStore
from aiosched.lockers import locker_from_url
from aiosched.lockers.postgres import PostgresLocker
from aiosched.model import Claim
from tests.lockers.support import ago, eventually, opened
from tests.system.pgbouncer import SHARED

TTL = 1.0


@pytest.fixture
def dsn(pgbouncer, postgres_database):
    return pgbouncer.dsn(postgres_database)


@pytest.fixture
def sql(postgres_server, postgres_database):
    """Ask as the superuser, straight at the server."""
    return lambda text: postgres_server.sql(text, postgres_database)


@pytest.fixture
async def locker(dsn):
    async with opened(PostgresLocker(dsn, ttl=TTL, mode="lease")) as one:
        yield one


@pytest.fixture
async def other(postgres_server, postgres_database):
    """Straight at the server."""
    direct = postgres_server.dsn(postgres_database)
    async with opened(PostgresLocker(direct, ttl=TTL, mode="lease")) as one:
        yield one


@pytest.fixture
def key():
    return f"pooled.{secrets.token_hex(8)}"


# ── sessions ──────────────────────────────────────────────────────────────────────────────────

REFUSED = r'a pooler stands before.*give mode="lease", or the address of the server itself'


async def test_a_session_is_refused_when_it_is_opened(dsn, sql):
    locker = PostgresLocker(dsn)
    with pytest.raises(UnfitStore, match=REFUSED):
        await locker.open()
    assert sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0"


async def hourly(): ...


async def test_a_scheduler_does_not_start_with_a_session_behind_it(dsn):
    scheduler = Scheduler(locker=locker_from_url(dsn))
    scheduler.every(hours=1, name="hourly")(hourly)
    with pytest.raises(UnfitStore, match=REFUSED):
        await scheduler.start()


async def test_a_session_that_comes_behind_it_later_is_refused_then(dsn, pgbouncer, key):
    pgbouncer.kill()
    async with opened(PostgresLocker(dsn, ttl=TTL)) as locker:  # for who may be back soon
        pgbouncer.start()
        with pytest.raises(UnfitStore, match=REFUSED):
            await locker.lock(key)


# ── leases ────────────────────────────────────────────────────────────────────────────────────


async def test_four_that_race_for_a_hundred_keys_grant_each_once_and_never_deadlock(dsn, sql, key):
    turns, lockers = 20, [PostgresLocker(dsn, mode="lease") for _ in range(4)]
    fences = {}
    async with AsyncExitStack() as stack:
        for each in lockers:
            await stack.enter_async_context(opened(each))
        for turn in range(turns):
            due = ago(100 - turn)
            asked = [Claim(f"{key}.{n}", due, exact=n % 2 == 0) for n in range(100)]
            claims = [[each.claim(claim) for claim in asked] for each in lockers]
            for mine in claims[::2]:
                mine.reverse()
            asking = (asyncio.gather(*mine, return_exceptions=True) for mine in claims)
            answers = [answer for mine in await asyncio.gather(*asking) for answer in mine]
            granted = [each for each in answers if not isinstance(each, BaseException)]
            refused = {type(each) for each in answers if isinstance(each, BaseException)}
            assert sorted(lock.key for lock in granted) == sorted(claim.key for claim in asked)
            assert refused == {AlreadyRan}
            for lock in granted:
                assert lock.fence > fences.get(lock.key, 0)
                fences[lock.key] = lock.fence
            assert all(await asyncio.gather(*(lock.unlock() for lock in granted)))
    stats = "SELECT deadlocks, conflicts FROM pg_stat_database WHERE datname = current_database()"
    assert sql(stats) == "0|0"


async def test_clients_share_the_servers_sessions_and_leave_nothing_in_them(dsn, sql, key):
    async with AsyncExitStack() as stack:
        lockers = [PostgresLocker(dsn, ttl=TTL, mode="lease") for _ in range(3 * SHARED)]
        for each in lockers:
            await stack.enter_async_context(opened(each))
        locks = [await each.lock(f"{key}.{n}") for n, each in enumerate(lockers)]
        sessions = "FROM pg_stat_activity WHERE datname = current_database()"
        backends = f"{sessions} AND pid <> pg_backend_pid()"
        assert 1 <= int(sql(f"SELECT count(*) {backends}")) <= SHARED
        assert sql(f"SELECT count(*) {backends} AND state LIKE 'idle in%'") == "0"
        assert sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0"
        assert all([await lock.unlock() for lock in locks])
    plain = await asyncpg.connect(dsn, statement_cache_size=0)
    try:
        async with plain.transaction():
            for setting in ("idle_session_timeout", "statement_timeout", "lock_timeout"):
                assert await plain.fetchval(f"SHOW {setting}") == "0"
    finally:
        await plain.close()


async def test_a_lock_is_renewed_for_five_times_its_lease(locker, other, key):
    lock = await locker.lock(key)
    end = time.monotonic() + 5 * TTL
    while time.monotonic() < end:
        with pytest.raises(LockHeld):
            await other.lock(key)
        lock.check()
        await asyncio.sleep(TTL / 10)
    assert await lock.unlock()
    assert await (await other.lock(key)).unlock()


async def test_a_lock_outlives_the_pooler(locker, other, pgbouncer, key):
    claim = Claim(key, ago(5), redeliver=True)
    lock = await locker.claim(claim)
    for _ in range(3):
        pgbouncer.restart(kill=True)
        await asyncio.sleep(TTL / 2)  # for it to be renewed by a new connection
        lock.check()
        with pytest.raises(LockHeld):
            await other.claim(claim)
    assert await eventually(lock.unlock, LockerUnavailable)
    with pytest.raises(AlreadyRan):
        await eventually(lambda: locker.claim(claim), LockerUnavailable)


async def test_who_cannot_renew_knows_before_another_gets_the_lock(locker, other, pgbouncer, key):
    claim = Claim(key, ago(5), redeliver=True)
    lock = await locker.claim(claim)
    pgbouncer.kill()
    again = await eventually(lambda: other.claim(claim), LockHeld)
    assert lock.lost.is_set()
    with pytest.raises(LockLost):
        lock.check()
    assert (again.due_at, again.attempt) == (claim.due_at, 2)
    assert again.fence > lock.fence
    assert await again.unlock()


async def test_without_the_pooler_it_is_unavailable_until_it_is_back(locker, pgbouncer, key):
    claim = Claim(key, ago(5))
    for end in (pgbouncer.kill, pgbouncer.pause):
        end()
        with pytest.raises(LockerUnavailable):
            await locker.claim(claim)
        pgbouncer.ensure()
    lock = await eventually(lambda: locker.claim(claim), LockerUnavailable)
    assert (lock.due_at, lock.attempt) == (claim.due_at, 1)
    assert await lock.unlock()


async def test_a_pool_of_ones_own_works_behind_it(dsn, other, key):
    async with asyncpg.create_pool(dsn, min_size=0, max_size=2, statement_cache_size=0) as pool:
        async with opened(PostgresLocker(pool=pool, ttl=TTL, mode="lease")) as locker:
            locks = await asyncio.gather(*(locker.lock(f"{key}.{n}") for n in range(20)))
            with pytest.raises(LockHeld):
                await other.lock(f"{key}.0")
            await asyncio.sleep(TTL)
            assert all(await asyncio.gather(*(lock.unlock() for lock in locks)))
        assert await pool.fetchval("SELECT 1") == 1


async def test_replicas_behind_it_run_each_occurrence_once(dsn):
    ran = []

    async def tick(run: Run) -> None:
        ran.append(run.due_at)

    async with AsyncExitStack() as stack:
        for _ in range(4):
            scheduler = Scheduler(locker=locker_from_url(f"{dsn}?mode=lease&ttl={TTL:g}"))
            scheduler.every(seconds=0.2, name="tick")(tick)
            await stack.enter_async_context(scheduler)
        async with asyncio.timeout(30):
            while len(ran) < 10:
                await asyncio.sleep(0.05)
    assert len(set(ran)) == len(ran)
