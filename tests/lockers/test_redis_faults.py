"""RedisLocker when the network or the server is at its worst."""

from __future__ import annotations

import asyncio
import secrets
import time
from itertools import count

import pytest

from aiosched.errors import (
    AlreadyRan,
    LockerUnavailable,
    LockHeld,
    LockLost,
    Superseded,
    UnfitStore,
)
from aiosched.lockers.redis import RedisLocker
from aiosched.model import Claim
from aiosched.testing._interrupt import Moment, interrupt
from tests.lockers.support import ago, drop, eventually, opened
from tests.servers.proxy import Proxy

TTL = 1.0
SHORT = 0.5


@pytest.fixture
async def proxy(redis_server):
    async with Proxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture
async def locker(proxy):
    """Behind the proxy."""
    async with opened(RedisLocker(f"redis://127.0.0.1:{proxy.port}", ttl=TTL, timeout=0.3)) as one:
        yield one


@pytest.fixture
async def other(redis_server):
    """Straight at the server."""
    async with opened(RedisLocker(redis_server.url, ttl=TTL)) as one:
        yield one


@pytest.fixture
def key():
    return f"faults.{secrets.token_hex(8)}"


# ── one round trip ────────────────────────────────────────────────────────────────────────────


async def test_what_is_asked_in_one_turn_costs_one_round_trip(locker, proxy, key):
    await (await locker.lock(key)).unlock()  # it is connected, and the script is known
    before = proxy.to_server.messages
    locks = await asyncio.gather(*(locker.lock(f"{key}.{n}") for n in range(150)))
    assert proxy.to_server.messages == before + 1
    while proxy.to_server.messages == before + 1:
        await asyncio.sleep(0.01)
    assert proxy.to_server.messages == before + 2  # all were renewed at once
    before = proxy.to_server.messages
    assert all(await asyncio.gather(*(lock.unlock() for lock in locks)))
    assert proxy.to_server.messages == before + 1
    assert proxy.connections == 1


async def test_many_keys_are_asked_for_in_few_calls(locker, redis_server, key):
    redis_server.ask("CONFIG", "RESETSTAT")
    locks = await asyncio.gather(*(locker.lock(f"{key}.{n}") for n in range(1000)))
    stats = redis_server.ask("INFO", "commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 5
    await asyncio.gather(*(lock.unlock() for lock in locks))


# ── renewal and loss ──────────────────────────────────────────────────────────────────────────


async def test_a_lock_is_held_for_five_times_its_lease(redis_server, other, key):
    async with opened(RedisLocker(redis_server.url, ttl=0.5)) as locker:
        lock = await locker.lock(key)
        end = time.monotonic() + 5 * locker.ttl
        while time.monotonic() < end:
            with pytest.raises(LockHeld):
                await other.lock(key)
            lock.check()
            await asyncio.sleep(locker.ttl / 10)
        assert await lock.unlock()
        assert await (await other.lock(key)).unlock()


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


async def test_a_holder_learns_within_a_period_that_the_store_was_emptied(
    locker, other, redis_server, key
):
    lock = await locker.lock(key)
    redis_server.ask("FLUSHALL")
    async with asyncio.timeout(5):
        await lock.lost.wait()
    again = await other.lock(key)
    assert again.fence > lock.fence
    assert await lock.unlock() is False
    again.check()
    await again.unlock()


async def test_a_short_failure_loses_no_lock(locker, other, proxy, key):
    lock = await locker.lock(key)
    proxy.go_silent()
    await asyncio.sleep(TTL / 3)
    proxy.go_silent(silent=False)
    proxy.reset_all()
    await asyncio.sleep(TTL)
    lock.check()
    with pytest.raises(LockHeld):
        await other.lock(key)
    assert await lock.unlock()


# ── answers that do not come ──────────────────────────────────────────────────────────────────


async def test_a_silent_server_is_unavailable_after_the_timeout(locker, proxy, key):
    proxy.go_silent()
    began = time.monotonic()
    with pytest.raises(LockerUnavailable, match=r"silent for 0\.3 s"):
        await locker.lock(key)
    assert time.monotonic() - began < 5
    assert "silent" in str(locker.last_error)
    proxy.go_silent(silent=False)
    await (await locker.lock(key)).unlock()
    assert locker.last_error is None


async def test_who_asks_again_is_given_the_grant_whose_answer_was_lost(locker, other, proxy, key):
    claim = Claim(key, ago(5))
    proxy.to_client.is_silent = True
    with pytest.raises(LockerUnavailable):
        await locker.claim(claim)
    proxy.to_client.is_silent = False
    with pytest.raises(AlreadyRan):
        await other.claim(claim)
    lock = await locker.claim(claim)
    assert (lock.due_at, lock.attempt) == (claim.due_at, 1)
    assert await lock.unlock()


async def test_a_release_whose_answer_was_lost_is_sent_again(locker, other, proxy, key):
    lock = await locker.lock(key)
    proxy.go_silent()
    assert await lock.unlock() is False
    proxy.go_silent(silent=False)
    assert await (await eventually(lambda: other.lock(key), LockHeld)).unlock()


async def test_a_connection_that_breaks_between_requests_is_made_anew(locker, proxy, key):
    for _ in range(3):
        lock = await locker.lock(key)
        proxy.reset_all()
        assert await lock.unlock()
    assert proxy.connections == 4


async def test_a_server_that_refuses_connections_is_unavailable(locker, proxy, key):
    await proxy.refuse()
    with pytest.raises(LockerUnavailable):
        await locker.lock(key)
    await proxy.accept()
    assert await (await locker.lock(key)).unlock()


async def test_a_paused_server_grants_the_same_attempt_when_it_goes_on(
    locker, other, redis_server, key
):
    claim = Claim(key, ago(5))
    redis_server.pause()
    with pytest.raises(LockerUnavailable):
        await locker.claim(claim)
    redis_server.resume()
    lock = await locker.claim(claim)
    with pytest.raises(AlreadyRan):
        await other.claim(claim)
    assert await lock.unlock()


# ── restarts ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kill", [False, True])
async def test_locks_claims_and_fences_survive_a_restart(other, redis_server, key, kill):
    ran, held = Claim(f"{key}.ran", ago(5)), Claim(f"{key}.held", ago(5))
    before = await other.claim(ran)
    await before.unlock()
    lock = await other.claim(held)
    redis_server.restart(kill=kill)
    with pytest.raises(AlreadyRan):
        await other.claim(ran)
    with pytest.raises(LockHeld):
        await other.lock(held.key)
    after = await other.lock(ran.key)
    assert after.fence > before.fence
    await after.unlock()
    lock.check()
    assert await lock.unlock()


async def test_a_server_that_was_told_to_forget_its_scripts_is_told_again(other, redis_server, key):
    for count_ in (1, 500):  # in one call and in several at once
        redis_server.ask("SCRIPT", "FLUSH")
        locks = await asyncio.gather(*(other.lock(f"{key}.{n}") for n in range(count_)))
        assert all(await asyncio.gather(*(lock.unlock() for lock in locks)))


async def test_a_server_that_starts_late_is_found(redis_server, key):
    redis_server.stop()
    async with opened(RedisLocker(redis_server.url, ttl=TTL)) as locker:
        with pytest.raises(LockerUnavailable):
            await locker.lock(key)
        assert locker.last_error is not None
        redis_server.start()
        while locker.last_error is not None:  # by itself, in the background
            await asyncio.sleep(0.01)
        assert await (await locker.lock(key)).unlock()


# ── loss of memory ────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def forgetful(forgetful_redis_server):
    """A locker that has found out that its server forgets, past the first quarantine."""
    forgetful_redis_server.ask("FLUSHALL")
    async with opened(RedisLocker(forgetful_redis_server.url, ttl=SHORT)) as locker:
        lock = await eventually(lambda: locker.lock("first"), LockerUnavailable)
        await lock.unlock()
        yield locker


async def test_a_forgetful_server_is_in_quarantine_when_it_begins(forgetful_redis_server, key):
    forgetful_redis_server.ask("FLUSHALL")
    async with opened(RedisLocker(forgetful_redis_server.url, ttl=SHORT)) as locker:
        with pytest.raises(LockerUnavailable, match="lost its memory"):
            await locker.lock(key)


@pytest.mark.parametrize("how", ["restart", "flush"])
async def test_after_a_loss_of_memory_nothing_that_was_due_before_runs(
    forgetful, forgetful_redis_server, key, how
):
    claim = Claim(key, ago(0))
    assert await (await forgetful.claim(claim)).unlock()
    if how == "restart":
        forgetful_redis_server.restart(kill=True)
    else:
        forgetful_redis_server.ask("FLUSHALL")
    with pytest.raises(Superseded):
        await forgetful.claim(claim)
    with pytest.raises(LockerUnavailable):
        await forgetful.claim(Claim(key))
    newer = Claim(key, ago(0))
    with pytest.raises(LockerUnavailable):
        await forgetful.claim(newer)
    lock = await eventually(lambda: forgetful.claim(newer), LockerUnavailable)
    assert lock.due_at == newer.due_at
    await lock.unlock()
    with pytest.raises(Superseded):
        await forgetful.claim(claim)


async def test_a_holder_and_the_next_one_never_overlap_over_a_loss_of_memory(
    forgetful, forgetful_redis_server, key
):
    lock = await forgetful.lock(key)
    async with opened(RedisLocker(forgetful_redis_server.url, ttl=SHORT)) as other:
        forgetful_redis_server.restart(kill=True)
        again = await eventually(lambda: other.lock(key), LockerUnavailable, LockHeld)
        assert lock.lost.is_set()
        assert again.fence > lock.fence
        await again.unlock()


async def test_who_trusts_a_forgetful_server_is_granted_at_once(forgetful_redis_server, key):
    forgetful_redis_server.restart(kill=True)
    url = forgetful_redis_server.url
    async with opened(RedisLocker(url, ttl=SHORT, on_amnesia="run")) as locker:
        claim = Claim(key, ago(5))
        await (await locker.claim(claim)).unlock()
        forgetful_redis_server.restart(kill=True)
        await (await locker.claim(claim)).unlock()  # twice: that is the price


async def test_who_distrusts_a_durable_server_notices_that_it_was_emptied(redis_server, key):
    redis_server.ask("FLUSHALL")
    async with opened(RedisLocker(redis_server.url, ttl=SHORT, on_amnesia="quarantine")) as locker:
        await (await eventually(lambda: locker.lock(key), LockerUnavailable)).unlock()
        redis_server.restart(kill=True)
        await (await locker.lock(key)).unlock()  # it forgot nothing
        redis_server.ask("FLUSHALL")
        with pytest.raises(LockerUnavailable, match="lost its memory"):
            await locker.lock(key)


async def test_what_a_server_can_forget_is_told_when_it_is_opened(
    forgetful_redis_server, redis_server, caplog
):
    async with opened(RedisLocker(forgetful_redis_server.url)):
        assert "forgets when it restarts" in caplog.text
    caplog.clear()
    async with opened(RedisLocker(redis_server.url)):
        assert not caplog.text
    redis_server.ask("CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "volatile-lru")
    try:
        async with opened(RedisLocker(redis_server.url)):
            assert "may evict" in caplog.text
    finally:
        redis_server.ask("CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction")


# ── servers that do not let us ────────────────────────────────────────────────────────────────


async def test_a_wrong_password_is_an_error_of_opening(redis_server):
    redis_server.ask("ACL", "SETUSER", "known", "on", ">right", "~*", "+@all")
    where = f"127.0.0.1:{redis_server.port}"
    async with opened(RedisLocker(f"redis://known:right@{where}")):
        pass
    locker = RedisLocker(f"redis://known:wrong@{where}")
    with pytest.raises(UnfitStore, match=where) as refusal:
        await locker.open()
    assert "wrong" not in str(refusal.value).replace("WRONGPASS", "")


async def test_the_least_rights_are_enough_and_fewer_are_told(redis_server, key):
    least = ["~aiosched:v1:*", "+evalsha", "+eval", "+info", "+hmget", "+hset", "+get", "+set"]
    least += ["+setrange", "+pexpireat", "+del", "+zadd", "+zrem", "+zscore", "+zrevrangebyscore"]
    least += ["+zremrangebyscore", "+time", "+client|setname", "+client|setinfo"]
    redis_server.ask("ACL", "SETUSER", "least", "reset", "on", "nopass", *least)
    url = f"redis://least:x@127.0.0.1:{redis_server.port}"
    redis_server.ask("FLUSHALL")
    async with opened(RedisLocker(url, on_amnesia="quarantine", ttl=0.2)) as locker:
        with pytest.raises(LockerUnavailable, match="lost its memory"):
            await locker.lock(key)
        await (await eventually(lambda: locker.lock(key), LockerUnavailable)).unlock()
        assert await (await locker.claim(Claim(key, ago(0), exact=True))).unlock()
    redis_server.ask("ACL", "SETUSER", "least", "-info")
    with pytest.raises(UnfitStore, match="INFO"):
        await RedisLocker(url).open()
    async with opened(RedisLocker(url, on_amnesia="run")) as locker:
        await (await locker.lock(key)).unlock()
    redis_server.ask("ACL", "SETUSER", "least", "-evalsha")
    async with opened(RedisLocker(url, on_amnesia="run")) as locker:
        with pytest.raises(UnfitStore, match="evalsha"):
            await locker.lock(key)


async def test_a_replica_is_unavailable_until_it_is_promoted(redis_server, other_redis_server, key):
    async with opened(RedisLocker(other_redis_server.url, on_amnesia="run")) as locker:
        other_redis_server.ask("REPLICAOF", "127.0.0.1", redis_server.port)
        try:
            with pytest.raises(LockerUnavailable) as refusal:
                await locker.lock(key)
            assert not isinstance(refusal.value, UnfitStore)
        finally:
            other_redis_server.ask("REPLICAOF", "NO", "ONE")
        assert await (await locker.lock(key)).unlock()


async def test_a_server_without_memory_to_spare_still_locks(redis_server, other, key):
    redis_server.ask("CONFIG", "SET", "maxmemory", "1")
    try:
        assert await (await other.claim(Claim(key, ago(1), exact=True))).unlock()
    finally:
        redis_server.ask("CONFIG", "SET", "maxmemory", "0")


# ── cancelling, dying ─────────────────────────────────────────────────────────────────────────


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
    for turn in range(60):
        claiming = asyncio.create_task(locker.lock(key))
        await asyncio.sleep(turn / 60 * 0.006)
        claiming.cancel()
        await asyncio.wait([claiming])
        if not claiming.cancelled():
            await claiming.result().unlock()
    await asyncio.sleep(0.05)
    (record,) = [each for each in await other.records() if each.key == key]
    assert not record.held


async def test_all_tasks_cancelled_while_asking_leave_no_lock(proxy, other, key):
    locker = RedisLocker(f"redis://127.0.0.1:{proxy.port}", ttl=TTL, timeout=0.3)
    async with opened(locker):
        proxy.delay(0.005)
        claiming = asyncio.create_task(locker.lock(key))
        await asyncio.sleep(0.005)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            if task.get_name().startswith("aiosched"):
                task.cancel()
        with pytest.raises(LockerUnavailable):
            await claiming
    assert await (await eventually(lambda: other.lock(key), LockHeld)).unlock()


async def test_a_dead_holders_key_is_free_when_its_lease_is_over(other, redis_server, key):
    holder = RedisLocker(redis_server.url, ttl=0.5)
    lock = await holder.lock(key)
    await drop(holder)
    with pytest.raises(LockHeld) as refusal:
        await other.lock(key)
    assert 0 < refusal.value.remaining <= 0.5
    began = time.monotonic()
    again = await eventually(lambda: other.lock(key), LockHeld)
    assert time.monotonic() - began < 5
    assert again.fence > lock.fence
    await again.unlock()
