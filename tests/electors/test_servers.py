"""Elections on real servers that restart, forget, fall silent, and on loops that are blocked."""

from __future__ import annotations

import asyncio
import secrets
import time

import pytest

from aiosched import LeaseElector, PostgresElector, PostgresLocker, RedisElector, RedisLocker
from aiosched.testing._interrupt import Moment, interrupt
from tests.electors.support import PATIENCE, Told, eventually, leaders, opened, own_tasks
from tests.servers.proxy import Proxy

TTL = 1.0


@pytest.fixture
def key():
    return secrets.token_hex(8)


@pytest.fixture(params=["redis", "advisory", "lease"])
def make(request, key):
    """Make candidates of one election, each with connections of its own."""
    if request.param == "redis":
        url = request.getfixturevalue("redis_server").url
        return lambda: RedisElector(url, key, ttl=TTL)
    server = request.getfixturevalue("postgres_server")
    dsn = server.dsn(request.getfixturevalue("postgres_database"))
    return lambda: PostgresElector(dsn, key, ttl=TTL, mode=request.param)


@pytest.fixture
def server(make, request):
    """The server of `make`."""
    kind = request.node.callspec.params["make"]
    name = "redis_server" if kind == "redis" else "postgres_server"
    return request.getfixturevalue(name)


async def heard(*electors):
    """Wait until those who follow hear the bell."""
    await eventually(lambda: all(each._candidacy._hears for each in electors))


async def test_a_leader_that_resigns_wakes_who_would_wait_for_its_lease(make, monkeypatch):
    async with opened(make(), make()) as (first, second):
        await heard(second)
        monkeypatch.setattr(second._candidacy, "_patience", lambda _remaining: 600.0)
        await asyncio.sleep(TTL)
        assert second.term is None
        term = first.term
        assert await first.resign() is True
        assert (await eventually(lambda: second.term)) > term


async def test_one_of_many_leads_and_the_others_take_their_turns(make):
    async with opened(*(make() for _ in range(5))) as electors:
        terms = []
        for _ in range(4):
            (leader,) = await eventually(lambda: leaders(electors))
            terms.append(leader.term)
            await leader.resign()
            assert len(leaders(electors)) <= 1
        assert terms == sorted(set(terms))
    assert own_tasks() == []


async def test_a_candidate_opens_again_after_it_was_closed(make):
    elector = make()
    terms = []
    for _ in range(3):
        async with opened(elector):
            terms.append(elector.term)
    assert terms == sorted(set(terms))
    assert own_tasks() == []


async def test_fifty_candidates_in_one_process_have_one_leader(redis_server, key):
    locker = RedisLocker(redis_server.url, ttl=10)
    electors = [LeaseElector(locker, key) for _ in range(50)]
    await asyncio.gather(*(each.open() for each in electors))
    (leader,) = leaders(electors)
    await heard(*electors)
    await leader.resign()
    await eventually(lambda: leaders(electors))
    assert len(leaders(electors)) == 1
    await asyncio.gather(*(each.aclose() for each in electors))
    assert own_tasks() == []


async def test_a_leader_whose_server_restarts_leads_on_or_another_does(make, server):
    async with opened(make(), make()) as electors:
        terms = [electors[0].term]
        server.restart(kill=True)
        (leader,) = await eventually(lambda: leaders(electors))
        terms.append(leader.term)
        assert terms == sorted(terms)
        await eventually(lambda: not any(each.last_error for each in electors))
        assert len(leaders(electors)) <= 1


async def test_a_leader_keeps_its_term_where_the_server_kept_the_record(redis_server, key):
    async with opened(RedisElector(redis_server.url, key, ttl=4)) as elector:
        term, lock = elector.term, elector._candidacy._lock
        granted_until = lock.deadline
        redis_server.restart(kill=True)
        await eventually(lambda: lock.deadline > granted_until, within=4)
        assert elector.term == term


async def test_who_opens_while_the_server_is_down_leads_when_it_is_up(make, server):
    server.kill()
    async with opened(make()) as elector:
        assert elector.term is None
        assert elector.last_error is not None
        server.start()
        await eventually(lambda: elector.term)
        assert elector.last_error is None


async def test_a_server_that_forgets_has_one_leader_at_most(forgetful_redis_server, key):
    server = forgetful_redis_server
    electors = [RedisElector(server.url, key, ttl=TTL) for _ in range(3)]
    async with opened(*electors):
        (leader,) = await eventually(lambda: leaders(electors))
        term = newest = leader.term
        server.restart(kill=True)
        deadline = time.monotonic() + PATIENCE
        while newest == term:
            assert time.monotonic() < deadline
            leading = leaders(electors)
            assert len(leading) <= 1
            newest = max([newest, *(each.term or 0 for each in leading)])
            await asyncio.sleep(0.005)


async def test_a_leader_that_is_cut_off_steps_down_before_another_leads(redis_server, key):
    async with Proxy(redis_server.port) as proxy:
        cut_off = RedisElector(f"redis://127.0.0.1:{proxy.port}", key, ttl=TTL, timeout=0.3)
        async with opened(cut_off, RedisElector(redis_server.url, key, ttl=TTL)) as (_, other):
            told = Told(cut_off)
            proxy.go_silent()
            while other.term is None:
                both = leaders([cut_off, other])
                assert len(both) <= 1
                await asyncio.sleep(0.005)
            assert [change for change, _ in told.changes] == [True, False]
            proxy.go_silent(silent=False)


@pytest.mark.parametrize("make", ["redis", "advisory"], indirect=True)
async def test_after_a_blocked_loop_the_first_look_says_that_it_leads_no_longer(make):
    async with opened(make()) as elector:
        term = elector.term
        time.sleep(TTL + 0.2)
        assert not await elector.is_leader()
        assert elector.term is None
        assert (await eventually(lambda: elector.term)) > term


@pytest.mark.parametrize("what", ["open", "aclose", "resign"])
@pytest.mark.parametrize("moment", [Moment.SOON, Moment.ANSWERED])
async def test_cancelled_at_any_await_it_leaves_no_leader_behind(make, what, moment):
    async with opened(make()) as _connected:  # the tables are there
        pass
    at, reached = 0, True
    while reached:
        elector = make()
        if what != "open":
            await elector.open()
        reached, _ = await interrupt(getattr(elector, what)(), at, moment)
        if elector._users:
            await elector.aclose()
        await eventually(lambda: own_tasks() == [])
        at += 1
    async with opened(make()) as other:
        await eventually(lambda: other.term)


async def test_without_a_direct_connection_it_is_asked_more_often(
    postgres_server, postgres_database, key
):
    import asyncpg

    async with asyncpg.create_pool(postgres_server.dsn(postgres_database), min_size=1) as pool:
        lockers = [PostgresLocker(mode="lease", pool=pool, ttl=600) for _ in range(2)]
        async with opened(*(LeaseElector(locker, key) for locker in lockers)) as (first, second):
            await first.resign()
            await eventually(lambda: second.term)
