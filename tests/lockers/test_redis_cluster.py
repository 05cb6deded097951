"""RedisLocker in a cluster of two, against the suite and of its own."""

from __future__ import annotations

import asyncio
import secrets

import pytest
from redis.asyncio.cluster import RedisCluster

from aiosched.errors import LockerUnavailable, UnfitStore
from aiosched.lockers import RedisLocker
from aiosched.lockers._redis_cluster import GroupedNames
from aiosched.testing.lockers import LockerConformance
from tests.lockers.support import drop, opened


class TestCluster(LockerConformance):
    @pytest.fixture(autouse=True)
    def _server(self, redis_cluster_servers):
        self.url = redis_cluster_servers[0].url
        self.drivers = []

    @pytest.fixture(autouse=True)
    async def _closing(self, _server):
        yield
        for client in self.drivers:
            await client.aclose()

    async def connect(self, **options):
        self.drivers.append(RedisCluster.from_url(self.url))
        return RedisLocker(self.drivers[-1], **options)

    async def kill_holder(self, claim):
        holder = await self.connect(ttl=0.2, timeout=1)
        await holder.claim(claim)
        await drop(holder)
        await asyncio.sleep(holder.ttl)  # the suite knows of no leases

    test_it_can_be_opened_again_on_another_loop = None  # its client belongs to one


@pytest.fixture
async def client(redis_cluster_servers):
    async with RedisCluster.from_url(redis_cluster_servers[0].url, decode_responses=True) as client:
        yield client


@pytest.fixture
def key():
    return f"cluster.{secrets.token_hex(8)}\ud800"


async def test_keys_lie_on_all_servers_and_are_found_again(client, redis_cluster_servers, key):
    async with opened(RedisLocker(client, prefix=secrets.token_hex(4))) as locker:
        keys = sorted(f"{key}.{n}" for n in range(300))
        locks = await asyncio.gather(*(locker.lock(each) for each in keys))
        assert [record.key for record in await locker.records()] == keys
        assert all(record.held for record in await locker.records())
        assert all(await asyncio.gather(*(lock.unlock() for lock in locks)))
    assert all(server.ask("DBSIZE") > 0 for server in redis_cluster_servers)


async def test_a_batch_is_few_calls(client, redis_cluster_servers, key):
    async with opened(RedisLocker(client)) as locker:
        for server in redis_cluster_servers:
            server.ask("CONFIG", "RESETSTAT")
        locks = await asyncio.gather(*(locker.lock(f"{key}.{n}") for n in range(1000)))
        stats = [server.ask("INFO", "commandstats") for server in redis_cluster_servers]
        assert sum(each["cmdstat_evalsha"]["calls"] for each in stats) <= 2 * 16
        await asyncio.gather(*(lock.unlock() for lock in locks))


async def test_a_server_that_is_away_is_unavailable(client, redis_cluster_servers, key):
    async with opened(RedisLocker(client, timeout=0.5)) as locker:
        for server in redis_cluster_servers:
            server.pause()
        with pytest.raises(LockerUnavailable, match="a cluster"):
            await locker.lock(key)
        for server in redis_cluster_servers:
            server.resume()
        assert await (await locker.lock(key)).unlock()


async def test_a_cluster_that_is_away_is_reached_in_the_background(redis_cluster_servers, key):
    async with RedisCluster.from_url(redis_cluster_servers[0].url) as client:
        for server in redis_cluster_servers:
            server.pause()
        async with opened(RedisLocker(client, timeout=0.5)) as locker:
            assert locker.last_error is not None
            for server in redis_cluster_servers:
                server.resume()
            while locker.last_error is not None:
                await asyncio.sleep(0.01)
            assert await (await locker.lock(key)).unlock()


async def test_a_cluster_that_was_emptied_is_in_quarantine(client, redis_cluster_servers, key):
    async with opened(RedisLocker(client, ttl=0.3, on_amnesia="quarantine")) as locker:
        with pytest.raises(LockerUnavailable, match="lost its memory"):
            await locker.lock(key)
        await asyncio.sleep(0.35)
        assert await (await locker.lock(key)).unlock()
        for server in redis_cluster_servers:
            server.ask("FLUSHALL")
        with pytest.raises(LockerUnavailable, match="lost its memory"):
            await locker.lock(key)


async def test_what_a_user_may_not_ask_is_told(redis_cluster_servers):
    for server in redis_cluster_servers:
        server.ask("ACL", "SETUSER", "mute", "reset", "on", ">x", "~*", "+@all", "-info")
    url = f"redis://mute:x@127.0.0.1:{redis_cluster_servers[0].port}"
    async with RedisCluster.from_url(url) as client:
        with pytest.raises(UnfitStore, match="INFO"):
            await RedisLocker(client).open()


async def test_a_client_of_one_server_is_told_to_be_one_of_the_cluster(redis_cluster_servers):
    with pytest.raises(UnfitStore, match="RedisCluster"):
        await RedisLocker(redis_cluster_servers[0].url).open()


@pytest.mark.parametrize("prefix", ["aiosched", "", "{one}", "b*?[x]\\"])
def test_a_name_tells_its_key(prefix):
    names = GroupedNames(prefix)
    keys = ["", "}", "{}", "a:exact:b", ":key:", "a:key:b", "\0", "\ud800", "key"]
    records = [names.record(key) for key in keys]
    assert [names.key_of(record) for record in records] == keys
    exact = [names.exact(record) for record in records]
    assert len({*records, *exact}) == 2 * len(keys)
    assert [names.key_of(name) for name in exact] == [None] * len(keys)
    for record, other in zip(records, exact, strict=True):
        tags = {name.partition(b"{")[2].partition(b"}")[0] for name in (record, other)}
        assert len(tags) == 1
