"""RedlockLocker while a minority, or more, is down, slow or empty."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import AsyncExitStack
from functools import partial

import pytest

from aiosched.errors import (
    AlreadyRan,
    LockerUnavailable,
    LockHeld,
    Superseded,
    UnfitStore,
)
from aiosched.lockers import _redis_script as script
from aiosched.lockers.redis import RedisLocker
from aiosched.lockers.redlock import RedlockLocker
from aiosched.model import Claim
from tests.lockers.support import ago, drop, eventually, opened
from tests.servers.proxy import Proxy

TTL = 1.0


@pytest.fixture
def servers(five_redis_servers):
    return five_redis_servers


@pytest.fixture
def key():
    return f"redlock.{secrets.token_hex(8)}"


def locker_of(servers, **options):
    urls = [server.url for server in servers]
    return RedlockLocker(urls, **{"ttl": TTL, "timeout": 0.2, **options})


@pytest.fixture
async def locker(servers):
    async with opened(locker_of(servers)) as locker:
        yield locker


@pytest.fixture
async def other(servers):
    async with opened(locker_of(servers)) as locker:
        yield locker


async def knows(server, key):
    """What one of the servers alone remembers."""
    async with opened(RedisLocker(server.url)) as alone:
        return next((each for each in await alone.records() if each.key == key), None)


@pytest.mark.parametrize("count", [3, 5])
@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_it_works_while_any_minority_is_away(servers, key, count, fault):
    servers = servers[:count]
    async with opened(locker_of(servers)) as locker, opened(locker_of(servers)) as other:
        away = [servers[0], servers[count - 1]][: count // 2]
        before = await locker.claim(Claim(key, ago(10)))
        await before.unlock()
        for server in away:
            getattr(server, fault)()
        claim = Claim(key, ago(5))
        lock = await locker.claim(claim)
        assert lock.fence > before.fence
        with pytest.raises(AlreadyRan):
            await other.claim(claim)
        with pytest.raises(LockHeld):
            await other.lock(key)
        await asyncio.sleep(TTL / 2)  # it was renewed
        lock.check()
        assert await lock.unlock()
        assert await other.last_claimed(key) == claim.due_at
        for server in away:
            server.ensure()
        after = await other.lock(key)
        assert after.fence > lock.fence
        assert await after.unlock()
        with pytest.raises(AlreadyRan):
            await locker.claim(claim)


@pytest.mark.parametrize("count", [3, 5])
async def test_it_works_while_any_minority_is_slow(servers, key, count):
    async with AsyncExitStack() as stack:
        proxies = [
            await stack.enter_async_context(Proxy(server.port)) for server in servers[:count]
        ]
        urls = [f"redis://127.0.0.1:{proxy.port}" for proxy in proxies]
        locker, other = [
            await stack.enter_async_context(opened(RedlockLocker(urls, ttl=TTL, timeout=0.2)))
            for _ in range(2)
        ]
        await (await locker.lock(key)).unlock()
        for proxy in (proxies[0], proxies[-1])[: count // 2]:
            proxy.to_server.delay = proxy.to_client.delay = 0.3  # later than the timeout
        claim = Claim(key, ago(5))
        lock = await locker.claim(claim)
        with pytest.raises(AlreadyRan):
            await other.claim(claim)
        await asyncio.sleep(TTL)  # it was renewed
        lock.check()
        assert await lock.unlock()
        with pytest.raises(AlreadyRan):
            await other.claim(claim)


async def test_one_of_two_rivals_wins_although_each_is_nearer_to_another_server(servers, key):
    async with AsyncExitStack() as stack:

        async def rival(*delays):
            urls = [f"redis://127.0.0.1:{servers[1].port}"]
            for server, delay in zip((servers[0], servers[2]), delays, strict=True):
                proxy = await stack.enter_async_context(Proxy(server.port))
                proxy.to_server.delay = delay
                urls.append(f"redis://127.0.0.1:{proxy.port}")
            return await stack.enter_async_context(opened(RedlockLocker(urls, ttl=5, timeout=0.5)))

        # Each has the vote of its neighbour long before the other one, who asks at the same time.
        ours, theirs = await rival(0.0, 0.1), await rival(0.1, 0.0)
        servers[1].kill()
        for number in range(3):
            claim = Claim(f"{key}.{number}", ago(5))
            answers = await asyncio.gather(
                ours.claim(claim), theirs.claim(claim), return_exceptions=True
            )
            refusals = [each for each in answers if isinstance(each, BaseException)]
            assert [type(each) for each in refusals] in ([LockHeld], [AlreadyRan])


async def test_without_a_majority_it_is_unavailable(locker, servers, key):
    for server in servers[:3]:
        server.kill()
    with pytest.raises(LockerUnavailable, match="2 of 5 servers answer, 3 are needed"):
        await locker.lock(key)
    with pytest.raises(LockerUnavailable, match="3 are needed"):
        await locker.last_claimed(key)
    with pytest.raises(LockerUnavailable):
        await locker.records()
    servers[0].start()
    lock = await locker.lock(key)
    assert await lock.unlock()


async def test_a_holder_without_a_majority_loses_its_lock(locker, servers, key):
    lock = await locker.lock(key)
    for server in servers[:3]:
        server.pause()
    began = time.monotonic()
    await lock.lost.wait()
    assert time.monotonic() - began <= TTL


async def test_a_majority_that_forgot_loses_the_lock_and_a_minority_does_not(locker, servers, key):
    lock = await locker.lock(key)
    for server in servers[:2]:
        server.ask("FLUSHALL")
    await asyncio.sleep(TTL)
    lock.check()
    servers[2].ask("FLUSHALL")
    async with asyncio.timeout(TTL):
        await lock.lost.wait()
    assert await lock.unlock() is False


async def test_what_was_claimed_is_known_to_every_majority(locker, other, servers, key):
    claim = Claim(key, ago(5))
    servers[0].kill()
    servers[1].kill()
    await (await locker.claim(claim)).unlock()
    for server in servers[:2]:
        server.start()
    servers[2].kill()
    servers[3].kill()
    with pytest.raises(LockerUnavailable, match="divided"):  # one of the three knows
        await other.claim(claim)
    servers[2].start()
    servers[3].start()
    with pytest.raises(AlreadyRan):
        await eventually(lambda: other.claim(claim), LockerUnavailable)


async def test_a_fence_is_told_to_most_before_it_is_told_to_the_holder(locker, other, servers, key):
    for server, value in zip(servers, (5, 4, 3, 2, 1), strict=True):
        async with opened(RedisLocker(server.url)) as alone:
            for _ in range(value):
                await (await alone.lock(key)).unlock()
    locks = []
    for gone in ((servers[0], servers[1]), (servers[3], servers[4])) * 2:
        for server in gone:
            server.pause()
        locks.append(await locker.lock(key))
        await locks[-1].unlock()
        for server in gone:
            server.resume()
    fences = [lock.fence for lock in locks]
    assert fences == sorted(set(fences))


async def test_a_failed_attempt_leaves_no_claim_behind(locker, servers, key):
    await (await locker.claim(Claim(key, ago(20), exact=True))).unlock()
    before = [await knows(server, key) for server in servers]
    claim = Claim(key, ago(5), exact=True)
    for server in servers[:3]:  # a majority says that somebody holds the key
        async with opened(RedisLocker(server.url, ttl=TTL)) as alone:
            lock = await alone.lock(key)
            await drop(alone)
    with pytest.raises(LockHeld):
        await locker.claim(claim)
    for server, known in zip(servers[3:], before[3:], strict=True):
        after = await knows(server, key)
        assert (after.last_claimed, after.held) == (known.last_claimed, False)
    taken = await eventually(lambda: locker.claim(claim), LockHeld)
    assert taken.due_at == claim.due_at
    assert taken.fence > lock.fence
    await taken.unlock()


async def test_a_server_that_was_away_is_told_later_what_it_has_missed(locker, servers, key):
    claim = Claim(key, ago(5), redeliver=True)
    lock = await locker.claim(claim)
    servers[0].kill()
    assert await lock.unlock()
    servers[0].start()
    assert (await knows(servers[0], key)).uncompleted == claim.due_at
    await asyncio.sleep(0.2)  # it rests
    await (await locker.lock(f"{key}.other")).unlock()
    known = await knows(servers[0], key)
    assert (known.held, known.uncompleted) == (False, None)


async def test_a_completed_occurrence_is_not_run_again_for_a_minority_that_missed_it(
    locker, other, servers, key
):
    claim = Claim(key, ago(9), redeliver=True)
    lock = await locker.claim(claim)
    for server in servers[:2]:
        server.kill()
    assert await lock.unlock()
    for server in servers[:2]:
        server.start()
    newer = Claim(key, ago(5), redeliver=True)
    lock = await eventually(lambda: other.claim(newer), LockHeld)
    assert (lock.due_at, lock.attempt) == (newer.due_at, 1)
    assert await lock.unlock()


async def test_what_a_dead_holder_did_not_complete_is_run_again_while_a_minority_is_away(
    other, servers, key
):
    holder = locker_of(servers, ttl=0.3)
    claim = Claim(key, ago(9), redeliver=True)
    servers[3].kill()
    servers[4].kill()
    await holder.claim(claim)
    await drop(holder)
    await asyncio.sleep(holder.ttl)
    servers[3].start()
    servers[4].start()
    servers[0].kill()  # two of the three who know are left, and two who do not
    lock = await eventually(lambda: other.claim(Claim(key, ago(5), redeliver=True)), LockHeld)
    assert (lock.due_at, lock.attempt) == (claim.due_at, 2)
    await lock.unlock()
    lock = await other.claim(Claim(key, ago(5), redeliver=True))
    assert lock.attempt == 1
    await lock.unlock()


async def test_many_who_ask_at_once_have_one_winner_each_time(servers):
    async with AsyncExitStack() as stack:
        lockers = [await stack.enter_async_context(opened(locker_of(servers))) for _ in range(6)]
        prefix = secrets.token_hex(8)
        for turn in range(15):
            claim = Claim(f"{prefix}.{turn}", ago(5))
            outcomes = await asyncio.gather(
                *(locker.claim(claim) for locker in lockers), return_exceptions=True
            )
            locks = [each for each in outcomes if not isinstance(each, BaseException)]
            assert len(locks) == 1, outcomes
            assert {type(each) for each in outcomes if each not in locks} <= {AlreadyRan, LockHeld}
            await locks[0].unlock()


async def test_who_finds_too_few_because_of_another_asks_again(locker, servers, key):
    """Two of five were taken by somebody who gives up, one is away: it is no refusal."""
    rival = locker_of(servers[:3], ttl=0.3)
    lock = await rival.lock(key)
    servers[2].pause()
    servers[1].ask("FLUSHALL")
    await drop(rival)
    claims = asyncio.create_task(eventually(lambda: locker.claim(Claim(key, ago(5))), LockHeld))
    again = await claims
    assert again.fence > lock.fence
    servers[2].resume()
    assert await again.unlock()


async def test_a_reply_that_is_lost_on_the_way_grants_nothing_twice(servers, key):
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(Proxy(server.port)) for server in servers]
        urls = [f"redis://127.0.0.1:{proxy.port}" for proxy in proxies]
        locker = RedlockLocker(urls, ttl=TTL, timeout=0.3)
        other = await stack.enter_async_context(opened(locker_of(servers)))
        async with opened(locker):
            await (await locker.lock(key)).unlock()
            for proxy in proxies[:3]:
                proxy.to_client.is_silent = True
            claim = Claim(key, ago(5))
            with pytest.raises(LockerUnavailable):
                await locker.claim(claim)
            for proxy in proxies[:3]:
                proxy.to_client.is_silent = False
                proxy.reset_all()
            with pytest.raises((AlreadyRan, LockHeld)):
                await other.claim(claim)
            lock = await locker.claim(claim)  # as the same attempt
            assert lock.attempt == 1
            assert await lock.unlock()


async def test_a_minority_that_restarts_empty_may_not_vote_at_once(forgetful_redis_server, servers):
    """Two hold it, one forgets: without its quarantine the next could have three of five."""
    servers = [forgetful_redis_server, *servers[:2]]
    key = secrets.token_hex(8)
    async with opened(locker_of(servers)) as locker, opened(locker_of(servers)) as other:
        lock = await eventually(lambda: locker.lock(key), LockerUnavailable)
        await lock.unlock()
        await asyncio.sleep(TTL)  # the forgetful one has begun
        servers[2].kill()
        claim = Claim(key, ago(0))
        lock = await eventually(lambda: locker.claim(claim), LockerUnavailable)
        servers[0].restart(kill=True)
        servers[2].start()
        servers[1].pause()
        with pytest.raises((LockerUnavailable, Superseded)):
            await other.claim(claim)
        servers[1].resume()
        await lock.unlock()
        with pytest.raises((AlreadyRan, Superseded)):
            await eventually(lambda: other.claim(claim), LockerUnavailable)


async def test_two_of_five_that_forget_neither_run_it_again_nor_turn_fences_back(
    locker, other, servers, key
):
    claim = Claim(key, ago(5))
    lock = await locker.claim(claim)
    for server in servers[:2]:
        server.ask("FLUSHALL")
    assert await lock.unlock()
    with pytest.raises((AlreadyRan, Superseded)):
        await eventually(lambda: other.claim(claim), LockerUnavailable)
    after = await eventually(lambda: other.claim(Claim(key, ago(4))), LockerUnavailable)
    assert after.fence > lock.fence
    assert await after.unlock()
    with pytest.raises((AlreadyRan, Superseded)):
        await eventually(lambda: locker.claim(claim), LockerUnavailable)


@pytest.mark.parametrize("count", [3, 5])
async def test_claims_and_fences_survive_restarts_of_all(servers, key, count):
    fences, due = [], ago(9)
    async with opened(locker_of(servers[:count])) as locker:
        for number in range(3):
            claiming = partial(locker.claim, Claim(key, due))
            lock = await eventually(claiming, LockerUnavailable, LockHeld)
            fences.append(lock.fence)
            assert await lock.unlock()
            for server in servers[:count]:
                server.restart(kill=number % 2 == 1)
            with pytest.raises(AlreadyRan):
                await eventually(claiming, LockerUnavailable)
            due = ago(8 - number)
    assert fences == sorted(set(fences))


async def test_records_are_those_of_the_majority(locker, servers, key):
    claim = Claim(key, ago(5), redeliver=True)
    lock = await locker.claim(claim)
    servers[0].ask("FLUSHALL")
    servers[1].kill()
    (record,) = [each for each in await locker.records() if each.key == key]
    assert (record.held, record.last_claimed, record.fence) == (True, claim.due_at, lock.fence)
    servers[2].ask("FLUSHALL")
    (record,) = [each for each in await locker.records() if each.key == key]
    assert record.held is False
    await lock.unlock()


async def test_wrong_credentials_of_one_are_an_error_of_opening(servers):
    urls = [server.url for server in servers[:2]]
    locker = RedlockLocker([*urls, f"redis://nobody:x@127.0.0.1:{servers[2].port}"])
    with pytest.raises(UnfitStore, match=str(servers[2].port)):
        await locker.open()


async def test_its_clock_offset_is_the_middle_one(locker, key):
    assert locker.clock_offset is None or abs(locker.clock_offset) < 1
    await (await locker.lock(key)).unlock()
    assert abs(locker.clock_offset) < 1


async def test_a_key_that_cannot_be_used_anywhere_is_unavailable(locker, servers, key):
    name = script.OneServer("aiosched").record(key)
    for server in servers[:3]:
        server.ask("LPUSH", name, "x")
    with pytest.raises(LockerUnavailable, match="could vote"):
        await locker.lock(key)
    with pytest.raises(UnfitStore):
        await locker.last_claimed(key)


@pytest.mark.parametrize(
    ("urls", "error"),
    [
        ("redis://one", TypeError),
        (3, TypeError),
        ([], ValueError),
        (["redis://one", "redis://two"], ValueError),
        (["redis://one", "redis://two", "redis://one"], ValueError),
        (["redis://one", "redis://two", 3], TypeError),
    ],
)
def test_it_wants_several_different_servers(urls, error):
    with pytest.raises(error, match="_or_client"):
        RedlockLocker(urls)
