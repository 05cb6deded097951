"""PostgresLocker when the network, the server or a session is at its worst."""

from __future__ import annotations

import asyncio
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import asynccontextmanager
from itertools import count

import asyncpg
import pytest

from aiosched.errors import AlreadyRan, LockerUnavailable, LockHeld, LockLost, UnfitStore
from aiosched.lockers._renewal import Renew
from aiosched.lockers.postgres import PostgresLocker
from aiosched.model import Claim
from aiosched.testing._interrupt import Moment, interrupt
from tests.lockers.support import ago, drop, eventually, opened
from tests.servers.proxy import Proxy

TTL = 1.0
MODES = ["advisory", "lease"]

HOLDER = """
import asyncio, sys
from datetime import datetime
from aiosched.lockers.postgres import PostgresLocker
from aiosched.model import Claim

async def hold(dsn, mode, key, due):
    locker = PostgresLocker(dsn, ttl=1, mode=mode, timeout=2)
    await locker.claim(Claim(key, datetime.fromisoformat(due), redeliver=True))
    print("held", flush=True)
    await asyncio.sleep(60)

asyncio.run(hold(*sys.argv[1:]))
"""


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


@pytest.fixture(scope="module")
def _database(_postgres):
    name = _postgres.new_database()
    yield name
    _postgres.ensure()
    _postgres.drop_database(name)


@pytest.fixture
def postgres_database(postgres_server, _database):
    """One for all these tests, which have keys of their own."""
    return _database


@pytest.fixture
def dsn(postgres_server, postgres_database):
    return postgres_server.dsn(postgres_database)


@pytest.fixture
async def proxy(postgres_server):
    async with Proxy(postgres_server.port) as proxy:
        yield proxy


@pytest.fixture
async def locker(proxy, postgres_database, mode):
    """Behind the proxy."""
    dsn = f"postgresql://postgres@127.0.0.1:{proxy.port}/{postgres_database}"
    async with opened(PostgresLocker(dsn, ttl=TTL, mode=mode, timeout=0.3)) as one:
        yield one


@pytest.fixture
async def other(dsn, mode):
    """Straight at the server."""
    async with opened(PostgresLocker(dsn, ttl=TTL, mode=mode, timeout=0.3)) as one:
        yield one


@pytest.fixture
def key():
    return f"faults.{secrets.token_hex(8)}"


@pytest.fixture
def sql(postgres_server, postgres_database):
    """Ask as the superuser."""
    return lambda text: postgres_server.sql(text, postgres_database)


OTHERS = (
    "FROM pg_stat_activity WHERE application_name = 'aiosched' AND datname = current_database()"
)
TERMINATE = f"SELECT pg_terminate_backend(pid) {OTHERS}"


# ── round trips ───────────────────────────────────────────────────────────────────────────────


async def test_what_is_asked_in_one_turn_costs_one_round_trip(proxy, postgres_database, mode, key):
    dsn = f"postgresql://postgres@127.0.0.1:{proxy.port}/{postgres_database}"
    # Patient: what is tried again, and renewals, would be counted as well.
    async with opened(PostgresLocker(dsn, ttl=60, mode=mode, timeout=20)) as locker:
        await _count_trips(locker, proxy, key)


async def _count_trips(locker, proxy, key):
    due = ago(5)

    async def trips(*asked):
        before = proxy.to_server.messages
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return proxy.to_server.messages - before, answers

    def claims():
        return [locker.claim(Claim(f"{key}.{n}", due)) for n in range(100)]

    for lock in (await trips(*claims()))[1]:  # each statement was prepared once
        await lock.unlock()
    due = ago(4)
    claimed, locks = await trips(*claims())
    refused, errors = await trips(*claims())
    (store,) = (each.store for each in locker._open.values())
    await store.perform([Renew(locks, None)])
    renewed, answers = await trips(store.perform([Renew(locks, None)]))
    given_back, were_held = await trips(*(lock.unlock() for lock in locks))
    assert (claimed, refused, renewed, given_back) == (1, 1, 1, 1)
    assert answers == [[[True] * 100]]
    assert {type(error) for error in errors} == {AlreadyRan}
    assert all(were_held)


async def test_locks_are_renewed_for_as_long_as_they_are_held(mode, dsn, other, key):
    async with opened(PostgresLocker(dsn, ttl=0.5, mode=mode, timeout=0.3)) as locker:
        lock = await locker.lock(key)
        end = time.monotonic() + 5 * locker.ttl
        while time.monotonic() < end:
            with pytest.raises(LockHeld):
                await other.lock(key)
            lock.check()
            await asyncio.sleep(locker.ttl / 10)
        assert await lock.unlock()
        assert await (await other.lock(key)).unlock()


async def test_a_session_that_holds_nothing_may_be_idle_for_long(dsn, sql, key):
    async with opened(PostgresLocker(dsn, ttl=0.3, timeout=2)) as locker:
        await (await locker.lock(key)).unlock()
        session = sql(f"SELECT pid {OTHERS}")
        await asyncio.sleep(3 * locker.ttl)
        await (await locker.lock(key)).unlock()
        assert sql(f"SELECT pid {OTHERS}") == session


# ── sessions that end ─────────────────────────────────────────────────────────────────────────


async def test_a_terminated_session_loses_all_its_locks_at_once(dsn, sql, key):
    async with (
        opened(PostgresLocker(dsn)) as locker,
        opened(PostgresLocker(dsn)) as other,
    ):
        claim = Claim(key, ago(5), redeliver=True)
        locks = [await locker.claim(claim), await locker.lock(f"{key}.other")]
        (home,) = (each.store._line.home for each in locker._open.values())
        holder = f"SELECT pid FROM pg_locks WHERE objid::bigint = {home} & 4294967295"
        began = time.monotonic()
        sql(f"SELECT pg_terminate_backend(({holder}))")
        async with asyncio.timeout(5):
            await asyncio.gather(*(lock.lost.wait() for lock in locks))
        assert time.monotonic() - began < 2  # not after the 30 s of the lease
        again = await other.claim(claim)
        assert (again.due_at, again.attempt) == (claim.due_at, 2)
        assert again.fence > locks[0].fence
        assert await locks[0].unlock() is False
        again.check()
        assert await again.unlock()
        assert await (await locker.lock(key)).unlock()  # on a new session


@pytest.mark.parametrize("exact", [False, True])  # granted as it is read, and after that
async def test_what_a_session_was_granted_ends_with_it(dsn, monkeypatch, key, exact):
    claim = Claim(key, exact=exact)
    async with opened(PostgresLocker(dsn)) as locker:
        (store,) = (each.store for each in locker._open.values())
        fetch = store._line.fetch

        async def end_after(*asked):
            rows = await fetch(*asked)
            store._line._connection.terminate()
            await asyncio.sleep(0)
            return rows

        monkeypatch.setattr(store._line, "fetch", end_after)
        with pytest.raises(LockerUnavailable, match="session"):
            await locker.claim(claim)
        monkeypatch.undo()
        async with opened(PostgresLocker(dsn)) as other:
            lock = await locker.claim(claim)
            with pytest.raises(LockHeld):
                await other.lock(key)
            assert await lock.unlock()


@pytest.mark.parametrize("exact", [False, True])  # granted as it is read, and after that
async def test_a_session_that_holds_nothing_may_be_idle(dsn, key, exact):
    async with opened(PostgresLocker(dsn, ttl=0.3)) as locker:
        (store,) = (each.store for each in locker._open.values())
        await locker.claim(Claim(key, ago(1), exclusive=False, exact=exact))
        home = store._line.home
        assert [row[0] for row in await store._line.fetch("SHOW idle_session_timeout")] == ["0"]
        lock = await locker.claim(Claim(key, exact=exact))
        assert [row[0] for row in await store._line.fetch("SHOW idle_session_timeout")] == ["300ms"]
        assert await lock.unlock()
        assert [row[0] for row in await store._line.fetch("SHOW idle_session_timeout")] == ["0"]
        assert store._line.home == home


async def test_a_leases_holder_does_not_mind_the_end_of_its_session(dsn, sql, key):
    async with opened(PostgresLocker(dsn, mode="lease")) as locker:
        lock = await locker.lock(key)
        (store,) = (each.store for each in locker._open.values())
        sql(TERMINATE)
        while store._line._connection is not None:
            await asyncio.sleep(0.001)
        lock.check()
        assert await lock.unlock()


async def test_a_killed_holders_key_is_free_and_its_occurrence_delivered(dsn, mode, other, key):
    claim = Claim(key, ago(5), redeliver=True)
    words = [dsn, mode, key, claim.due_at.isoformat()]
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, *words], stdout=subprocess.PIPE)
    with holder:
        holder.stdout.readline()
        with pytest.raises(LockHeld):
            await other.claim(claim)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        began = time.monotonic()
        again = await eventually(lambda: other.claim(claim), LockHeld)
        took = time.monotonic() - began
    assert (again.due_at, again.attempt) == (claim.due_at, 2)
    assert took < (0.5 if mode == "advisory" else TTL + 1)
    await again.unlock()


async def test_a_stopped_holders_key_is_free_after_the_lease(dsn, mode, other, key):
    words = [dsn, mode, key, ago(5).isoformat()]
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, *words], stdout=subprocess.PIPE)
    with holder:
        holder.stdout.readline()
        holder.send_signal(signal.SIGSTOP)
        try:
            lock = await eventually(lambda: other.lock(key), LockHeld, within=2 * TTL + 3)
            await lock.unlock()
        finally:
            holder.kill()


async def test_a_holder_that_is_cut_off_knows_before_another_gets_its_lock(
    locker, other, proxy, key
):
    lock = await locker.lock(key)
    proxy.go_silent()
    again = await eventually(lambda: other.lock(key), LockHeld)
    assert lock.lost.is_set()
    with pytest.raises(LockLost):
        lock.check()
    assert again.fence > lock.fence
    proxy.go_silent(silent=False)
    assert await lock.unlock() is False
    again.check()
    assert await again.unlock()


async def test_a_holder_learns_within_a_period_that_its_record_is_gone(locker, other, sql, key):
    lock = await locker.lock(key)
    sql("TRUNCATE aiosched_record_v1")
    async with asyncio.timeout(5):
        await lock.lost.wait()
    again = await other.lock(key)
    assert await lock.unlock() is False
    assert await again.unlock()


# ── answers that do not come ──────────────────────────────────────────────────────────────────


async def test_a_silent_server_is_unavailable_after_the_timeout(locker, proxy, key):
    proxy.go_silent()
    with pytest.raises(LockerUnavailable, match=r"silent for 0\.3 s"):
        await locker.lock(key)
    with pytest.raises(LockerUnavailable, match=r"silent for 0\.3 s"):  # connecting, too
        await locker.lock(key)
    proxy.go_silent(silent=False)
    await (await locker.lock(key)).unlock()
    assert locker.last_error is None


@pytest.mark.parametrize("exact", [False, True])  # granted as it is read, and after that
async def test_who_asks_again_is_given_the_grant_whose_answer_was_lost(
    locker, other, proxy, key, exact
):
    await (await locker.claim(Claim(key, ago(9), exact=exact))).unlock()
    claim = Claim(key, ago(5), exact=exact)
    reading = proxy.to_client.messages
    asking = asyncio.create_task(locker.claim(claim))
    while exact and proxy.to_client.messages == reading:
        await asyncio.sleep(0)
    proxy.to_client.is_silent = True
    with pytest.raises(LockerUnavailable):
        await asking
    proxy.to_client.is_silent = False
    with pytest.raises(AlreadyRan):
        await other.claim(claim)
    lock = await locker.claim(claim)
    assert (lock.due_at, lock.attempt) == (claim.due_at, 1)
    assert await lock.unlock()


async def test_a_server_that_refuses_connections_is_unavailable(locker, proxy, key):
    await proxy.refuse()
    with pytest.raises(LockerUnavailable):
        await locker.lock(key)
    await proxy.accept()
    assert await (await eventually(lambda: locker.lock(key), LockerUnavailable)).unlock()


async def test_a_paused_server_is_unavailable_until_it_goes_on(other, postgres_server, key):
    claim = Claim(key, ago(5))
    postgres_server.pause()
    with pytest.raises(LockerUnavailable, match="silent"):
        await other.claim(claim)
    postgres_server.resume()
    lock = await eventually(lambda: other.claim(claim), LockerUnavailable)
    assert (lock.due_at, lock.attempt) == (claim.due_at, 1)
    assert await lock.unlock()


# ── restarts ──────────────────────────────────────────────────────────────────────────────────


async def test_claims_and_fences_survive_a_restart(dsn, mode, postgres_server, key):
    async with opened(PostgresLocker(dsn, mode=mode)) as locker:
        ran, held = Claim(f"{key}.ran", ago(5)), Claim(f"{key}.held", ago(5))
        before = await locker.claim(ran)
        await before.unlock()
        lock = await locker.claim(held)
        postgres_server.restart(kill=True)
        with pytest.raises(AlreadyRan):
            await eventually(lambda: locker.claim(ran), LockerUnavailable)
        with pytest.raises(AlreadyRan):
            await locker.claim(held)
        after = await locker.lock(ran.key)
        assert after.fence > before.fence
        await after.unlock()
        if mode == "advisory":
            assert lock.lost.is_set()
        else:
            lock.check()
            assert await lock.unlock()


async def test_a_server_that_starts_late_is_found(dsn, mode, postgres_server, key):
    postgres_server.stop()
    async with opened(PostgresLocker(dsn, ttl=TTL, mode=mode, timeout=1)) as locker:
        with pytest.raises(LockerUnavailable):
            await locker.lock(key)
        assert locker.last_error is not None
        postgres_server.start()
        while locker.last_error is not None:  # by itself, in the background
            await asyncio.sleep(0.01)
        assert await (await locker.lock(key)).unlock()


# ── many at once ──────────────────────────────────────────────────────────────────────────────


async def test_lockers_that_start_at_once_make_the_tables_once(dsn, mode, sql, key):
    sql("DROP TABLE IF EXISTS aiosched_record_v1, aiosched_occurrence_v1")
    lockers, claim = [PostgresLocker(dsn, mode=mode) for _ in range(8)], Claim(key, ago(5))
    await asyncio.gather(*(each.open() for each in lockers))
    claims = (each.claim(claim) for each in lockers)
    answers = await asyncio.gather(*claims, return_exceptions=True)
    assert Counter(map(type, answers))[AlreadyRan] == 7
    await asyncio.gather(*(each.aclose() for each in lockers))


async def test_four_that_race_for_a_hundred_keys_grant_each_once_and_never_deadlock(
    dsn, mode, sql, key
):
    lockers = [PostgresLocker(dsn, mode=mode) for _ in range(4)]
    await asyncio.gather(*(each.open() for each in lockers))
    for turn in range(15):
        due = ago(100 - turn)
        asked = [Claim(f"{key}.{n}", due, exact=n % 2 == 0) for n in range(100)]
        claims = [[each.claim(claim) for claim in asked] for each in lockers]
        for mine in claims[::2]:
            mine.reverse()
        asking = (asyncio.gather(*mine, return_exceptions=True) for mine in claims)
        answers = [answer for mine in await asyncio.gather(*asking) for answer in mine]
        granted = [each for each in answers if not isinstance(each, Exception)]
        refused = {type(each) for each in answers if isinstance(each, Exception)}
        assert sorted(lock.key for lock in granted) == sorted(claim.key for claim in asked)
        assert refused == {AlreadyRan}
        assert all(await asyncio.gather(*(lock.unlock() for lock in granted)))
    await asyncio.gather(*(each.aclose() for each in lockers))
    stats = "SELECT deadlocks, conflicts FROM pg_stat_database WHERE datname = current_database()"
    assert sql(stats) == "0|0"


async def test_nothing_is_left_when_it_is_closed(dsn, mode, sql, key):
    lockers = [PostgresLocker(dsn, mode=mode) for _ in range(3)]
    for each in lockers:
        await each.open()
    locks = [await each.lock(f"{key}.{n}") for n, each in enumerate(lockers)]
    await locks[0].unlock()
    await asyncio.gather(*(each.aclose() for each in lockers))
    while sql(f"SELECT count(*) {OTHERS}") != "0":
        await asyncio.sleep(0.01)
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    assert sql(locks) == "0"
    ours = f"FROM aiosched_record_v1 WHERE position('{key}'::bytea IN key) = 1"
    assert sql(f"SELECT count(*), count(owner), count(home), sum(till) {ours}") == "3|0|0|0"


async def test_replicas_of_both_modes_exclude_each_other(dsn, key):
    async with (
        opened(PostgresLocker(dsn, mode="advisory")) as session,
        opened(PostgresLocker(dsn, mode="lease")) as lease,
    ):
        for one, another in ((session, lease), (lease, session)):
            lock = await one.lock(key)
            with pytest.raises(LockHeld):
                await another.lock(key)
            assert await lock.unlock()


# ── cancelling ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("moment", Moment)
async def test_cancelled_anywhere_over_a_slow_network_it_leaves_no_lock(
    locker, other, proxy, key, moment
):
    proxy.delay(0.002)
    for at in count():
        reached, lock = await interrupt(locker.lock(key), at, moment)
        if lock is not None:
            await lock.unlock()
        await (await eventually(lambda: other.lock(key), LockHeld)).unlock()
        if not reached:
            break


async def test_cancelled_at_any_time_it_leaves_no_lock(locker, other, proxy, key):
    proxy.delay(0.002)
    for turn in range(40):
        claiming = asyncio.create_task(locker.lock(key))
        await asyncio.sleep(turn / 40 * 0.012)
        claiming.cancel()
        await asyncio.wait([claiming])
        if not claiming.cancelled():
            await claiming.result().unlock()
    await (await eventually(lambda: other.lock(key), LockHeld)).unlock()


async def test_all_tasks_cancelled_while_asking_leave_no_lock(proxy, locker, other, key):
    proxy.delay(0.005)
    for pause in (0.002, 0.008, 0.013, 0.018):
        claiming = asyncio.create_task(locker.lock(key))
        await asyncio.sleep(pause)
        for task in asyncio.all_tasks() - {asyncio.current_task(), claiming}:
            if task.get_name().startswith("aiosched"):
                task.cancel()
        (outcome,) = await asyncio.gather(claiming, return_exceptions=True)
        if not isinstance(outcome, LockerUnavailable):
            await outcome.unlock()
        await (await eventually(lambda: other.lock(key), LockHeld)).unlock()


async def test_a_dead_holder_leaves_no_task_and_its_key_is_free(dsn, mode, other, key):
    holder = PostgresLocker(dsn, ttl=0.5, mode=mode, timeout=0.3)
    lock = await holder.lock(key)
    await drop(holder)
    again = await eventually(lambda: other.lock(key), LockHeld)
    assert again.fence > lock.fence
    await again.unlock()


# ── servers that do not let us ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("postgresql://nobody:secret@127.0.0.1:{port}/postgres", 'role "nobody" does not exist'),
        ("postgresql://postgres:secret@127.0.0.1:{port}/nowhere", 'database "nowhere" does not'),
        ("postgresql://postgres@127.0.0.1:{port}/postgres?nonsense=1", "nonsense"),
    ],
)
async def test_what_the_server_does_not_let_in_is_an_error_of_opening(
    postgres_server, mode, wrong, message
):
    locker = PostgresLocker(wrong.format(port=postgres_server.port), mode=mode)
    with pytest.raises(UnfitStore, match=message) as refusal:
        await locker.open()
    assert "secret" not in str(refusal.value)


async def test_the_least_rights_are_enough_and_fewer_are_told(dsn, mode, other, sql, key):
    role = f"r{secrets.token_hex(4)}"
    least = dsn.replace("postgres@", f"{role}@")
    sql(f"CREATE ROLE {role} LOGIN")
    try:
        tables = "aiosched_record_v1, aiosched_occurrence_v1"
        async with opened(PostgresLocker(least, mode=mode)) as locker:
            with pytest.raises(UnfitStore, match="permission denied for table aiosched_record_v1"):
                await locker.lock(key)
            sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO {role}")
            lock = await locker.claim(Claim(key, ago(1), exact=True))
            with pytest.raises(LockHeld):
                await other.lock(key)
            assert await lock.unlock()
        with pytest.raises(UnfitStore, match="permission denied for schema public"):
            await PostgresLocker(least, mode=mode, prefix="others").open()
    finally:
        sql(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_tables_that_are_dropped_are_made_anew(dsn, mode, sql, key):
    async with opened(PostgresLocker(dsn, mode=mode)) as locker:
        sql("DROP TABLE aiosched_record_v1, aiosched_occurrence_v1")
        with pytest.raises(LockerUnavailable, match="does not exist"):
            await locker.lock(key)
        assert await (await locker.lock(key)).unlock()


async def test_tables_that_are_not_ours_are_refused(dsn, mode, sql, key):
    for table in ("record", "occurrence"):
        sql(f"CREATE TABLE {mode}_{table}_v1 (x int)")
    async with opened(PostgresLocker(dsn, mode=mode, prefix=mode)) as locker:
        with pytest.raises(UnfitStore, match="does not exist"):
            await locker.lock(key)


async def test_tables_may_be_in_a_schema_of_their_own(dsn, mode, sql, key):
    sql(f'CREATE SCHEMA "of ""{mode}"""')
    locker = PostgresLocker(dsn, mode=mode, schema=f'of "{mode}"', prefix='my "locks"')
    async with opened(locker):
        assert await (await locker.claim(Claim(key, ago(1), exact=True))).unlock()
        assert [record.key for record in await locker.records()] == [key]
    assert sql(f"SELECT count(*) FROM pg_tables WHERE schemaname = 'of \"{mode}\"'") == "2"
    with pytest.raises(UnfitStore, match="absent"):
        await PostgresLocker(dsn, mode=mode, schema="absent").open()


async def test_a_standby_is_unavailable_until_it_is_promoted(mode, postgres_server, dsn, key):
    signal_file = postgres_server._log.parent / "data" / "standby.signal"
    async with opened(PostgresLocker(dsn, mode=mode)) as locker:
        await (await locker.lock(key)).unlock()
        postgres_server.kill()
        signal_file.touch()
        try:
            postgres_server.start()
            with pytest.raises(LockerUnavailable):  # the connection is gone
                await locker.lock(key)
            with pytest.raises(LockerUnavailable, match="standby") as refusal:
                await locker.lock(key)
            assert not isinstance(refusal.value, UnfitStore)
        finally:
            postgres_server.kill()
            signal_file.unlink(missing_ok=True)
            postgres_server.start()
        assert await (await locker.lock(key)).unlock()


async def test_a_server_that_may_forget_what_it_acknowledged_is_told(dsn, mode, caplog):
    async with opened(PostgresLocker(f"{dsn}?synchronous_commit=on", mode=mode)):
        assert not caplog.text
    async with opened(PostgresLocker(f"{dsn}?synchronous_commit=off", mode=mode)):
        assert "synchronous_commit=off" in caplog.text


# ── poolers ───────────────────────────────────────────────────────────────────────────────────


class Pooled(asyncpg.Connection):
    """As it is behind a pooler, which makes up the number of the process."""

    def get_server_pid(self):
        return -7


@pytest.fixture
def pooled(dsn):
    async def connect():
        return await asyncpg.connect(dsn, statement_cache_size=0, connection_class=Pooled)

    return connect


async def test_a_pooler_before_a_session_is_refused(pooled):
    with pytest.raises(UnfitStore, match=r'a pooler stands before.*give mode="lease"'):
        await PostgresLocker(connect=pooled).open()


async def test_behind_a_pooler_nothing_is_left_in_a_session(pooled, other, key):
    async with opened(PostgresLocker(connect=pooled, ttl=TTL, mode="lease")) as locker:
        lock = await locker.claim(Claim(key, ago(1), exact=True))
        (store,) = (each.store for each in locker._open.values())
        ask = store._line._connection.fetchval
        assert await ask("SELECT count(*) FROM pg_prepared_statements") == 0
        assert await ask("SHOW idle_session_timeout") == "0"
        with pytest.raises(LockHeld):
            await other.lock(key)
        await asyncio.sleep(TTL)
        lock.check()
        assert await lock.unlock()
        held = {record.key: record.held for record in await locker.records()}
        assert held[key] is False


async def test_a_pool_of_ones_own_serves_leases(dsn, other, key):
    async with asyncpg.create_pool(dsn, min_size=0, max_size=2) as pool:
        async with opened(PostgresLocker(pool=pool, ttl=TTL, mode="lease")) as locker:
            lock = await locker.lock(key)
            with pytest.raises(LockHeld):
                await other.lock(key)
            assert await lock.unlock()
            assert key in {record.key for record in await locker.records()}
        assert await pool.fetchval("SELECT 1") == 1


@asynccontextmanager
async def pooled_locker(dsn):
    async with (
        asyncpg.create_pool(dsn, min_size=0, max_size=1) as pool,
        opened(PostgresLocker(pool=pool, ttl=TTL, mode="lease")) as locker,
    ):
        yield pool, locker


async def test_a_pool_that_has_nothing_to_lend_is_unavailable(dsn, key):
    async with pooled_locker(dsn) as (pool, locker):
        async with pool.acquire():
            with pytest.raises(LockerUnavailable, match="silent"):
                await locker.lock(key)
        assert await (await locker.lock(key)).unlock()


async def test_a_pool_whose_server_is_silent_is_unavailable(postgres_server, dsn, key):
    async with pooled_locker(dsn) as (_pool, locker):
        postgres_server.pause()
        with pytest.raises(LockerUnavailable, match="silent"):
            await locker.lock(key)
        postgres_server.resume()
        lock = await eventually(lambda: locker.lock(key), LockerUnavailable)
        assert await lock.unlock()


async def test_a_pool_whose_server_is_gone_is_unavailable(postgres_server, dsn, key):
    async with pooled_locker(dsn) as (_pool, locker):
        postgres_server.kill()
        for _ in range(2):
            with pytest.raises(LockerUnavailable):
                await locker.lock(key)
        postgres_server.start()
        assert await (await locker.lock(key)).unlock()
