"""RedisLocker: what it is made of, and what it says of itself."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys

import pytest
import redis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from aiosched.errors import LockerUnavailable, LockHeld, UnfitStore
from aiosched.lockers import RedisLocker, RedlockLocker, _redis_wire
from aiosched.lockers._redis_store import RedisStore
from aiosched.lockers._redis_wire import Wire, address_of, pool_of
from tests.lockers.support import eventually, opened

QUIET = Retry(NoBackoff(), 0)


@pytest.fixture
def key():
    return f"redis.{secrets.token_hex(8)}"


@pytest.mark.parametrize(
    ("arguments", "error", "blamed"),
    [
        ({"ttl": 0.1}, ValueError, "ttl must be at least 0.2 s"),
        ({"ttl": "soon"}, ValueError, "ttl"),
        ({"prefix": b"bytes"}, TypeError, "prefix must be text"),
        ({"on_amnesia": "hope"}, ValueError, "on_amnesia must be"),
        ({"timeout": 0}, ValueError, "timeout must be positive"),
    ],
)
@pytest.mark.parametrize("made", [RedisLocker, RedlockLocker])
def test_an_impossible_argument_is_named(made, arguments, error, blamed):
    where = "redis://one" if made is RedisLocker else ["redis://one", "redis://two", "redis://3"]
    with pytest.raises(error, match=blamed):
        made(where, **arguments)


@pytest.mark.parametrize("url", ["http://one", "redis://one:port", "redis://one?nonsense=1", ""])
def test_an_impossible_url_is_refused(url):
    with pytest.raises(ValueError, match="URL of Redis"):
        RedisLocker(url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "redis://user:secret@one?tll=1",
            "unknown parameter 'tll' in the URL of Redis, got 'redis://…@one?tll=1'",
        ),
        (
            "rediss://one?password=se@cret&tll=1",
            "unknown parameter 'tll' in the URL of Redis, got 'rediss://one?password=…&tll=1'",
        ),
        (
            "unix:///run/redis.sock?tll=1",
            "unknown parameter 'tll' in the URL of Redis, got 'unix:///run/redis.sock?tll=1'",
        ),
    ],
)
def test_a_parameter_that_the_driver_does_not_know_is_named(url, message):
    with pytest.raises(ValueError, match="tll") as refusal:
        RedisLocker(url)
    assert str(refusal.value) == message


def test_a_parameter_of_a_wrong_kind_is_refused():
    with pytest.raises(ValueError, match=r"URL of Redis cannot .* got 'redis://…@one\?retry=3'"):
        RedisLocker("redis://user:secret@one?retry=3")


@pytest.mark.parametrize("thing", [None, 6379, object()])
def test_something_that_is_no_client_is_refused(thing):
    with pytest.raises(TypeError, match=r"must be a URL or a client of redis\.asyncio"):
        RedisLocker(thing)


def test_a_client_that_blocks_is_refused():
    with redis.Redis() as client, pytest.raises(TypeError, match=r"redis\.asyncio"):
        RedisLocker(client)


def test_making_one_needs_no_loop_and_no_server():
    assert RedisLocker("redis://nowhere.invalid", ttl="10s").ttl == 10


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("redis://user:secret@one:7/3", "one:7/3"),
        ("redis://one", "one:6379/0"),
        ("rediss://one", "one:6379/0"),
        ("unix:///run/redis.sock?db=2", "/run/redis.sock/2"),
    ],
)
def test_an_address_has_no_password(url, where):
    assert address_of(pool_of(url)) == where


async def test_a_sentinels_address_is_its_services_name():
    sentinel = Sentinel([("localhost", 1)])
    async with sentinel.master_for("mymaster", retry=QUIET) as client:
        assert address_of(pool_of(client)) == "mymaster/0"


async def test_a_client_is_used_as_it_is_and_not_closed(redis_server, key):
    async with Redis.from_url(redis_server.url, decode_responses=True, retry=QUIET) as client:
        async with opened(RedisLocker(client)) as locker:
            lock = await locker.lock(key)
            with pytest.raises(LockHeld):
                await locker.lock(key)
            assert [each.key for each in await locker.records() if each.key == key] == [key]
            assert await lock.unlock()
        assert await client.ping()


async def test_a_client_that_retries_by_itself_gets_a_warning(redis_server, caplog):
    async with Redis.from_url(redis_server.url, retry=QUIET) as client:
        RedisLocker(client)
        assert not caplog.text
    async with Redis.from_url(redis_server.url, retry=Retry(NoBackoff(), 3)) as client:
        RedisLocker(client)
        assert "retries by itself" in caplog.text


async def test_keys_of_another_prefix_are_others(redis_server, key):
    async with (
        opened(RedisLocker(redis_server.url, prefix="one")) as one,
        opened(RedisLocker(redis_server.url, prefix="two")) as two,
    ):
        locks = [await each.lock(key) for each in (one, two)]
        assert [record.key for record in await two.records()] == [key]
        assert all([await lock.unlock() for lock in locks])


async def test_it_knows_how_far_the_servers_clock_is_ahead(redis_server, key):
    async with opened(RedisLocker(redis_server.url)) as locker:
        assert locker.clock_offset is None
        await (await locker.lock(key)).unlock()
        assert abs(locker.clock_offset) < 1


async def test_records_of_a_server_that_is_away_are_unavailable():
    with pytest.raises(LockerUnavailable):
        await RedisLocker("redis://127.0.0.1:1").records()


async def test_records_are_found_however_many_there_are(redis_server, key):
    async with opened(RedisLocker(redis_server.url, prefix=key)) as locker:
        keys = [f"{number:04}" for number in range(2500)]
        locks = await asyncio.gather(*map(locker.lock, keys))
        assert [record.key for record in await locker.records()] == keys
        await asyncio.gather(*(lock.unlock() for lock in locks))


async def test_records_that_may_not_be_seen_are_an_error(redis_server):
    redis_server.ask("ACL", "SETUSER", "blind", "reset", "on", ">x", "~*", "+@all", "-scan")
    with pytest.raises(UnfitStore, match="scan"):
        await RedisLocker(f"redis://blind:x@127.0.0.1:{redis_server.port}").records()


async def test_a_server_that_is_loading_is_not_asked_twice(redis_server, key, monkeypatch):
    async with opened(RedisLocker(redis_server.url)) as locker:
        asked = []

        async def load(self, commands):
            asked.append(commands)
            raise redis.BusyLoadingError("Redis is loading the dataset in memory")

        monkeypatch.setattr(Wire, "_exchange", load)
        with pytest.raises(LockerUnavailable, match="loading"):
            await locker.lock(key)
        assert len(asked) == 1
        monkeypatch.undo()


async def test_it_can_be_used_without_hiredis(redis_server, key, monkeypatch):
    monkeypatch.setattr(_redis_wire, "_pack", None)
    async with opened(RedisLocker(redis_server.url)) as locker:
        assert await (await locker.lock(key + "\ud800")).unlock()


def test_hiredis_packs_where_it_is(monkeypatch):
    assert _redis_wire._packer() is not None
    monkeypatch.setitem(sys.modules, "hiredis", None)
    assert _redis_wire._packer() is None


def test_who_lacks_the_driver_is_told_how_to_get_it():
    code = "import sys; sys.modules['redis'] = None; from aiosched import RedisLocker"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'aiosched-py[redis]'" in done.stderr


@pytest.mark.parametrize(
    ("version", "is_fit"), [("7.0.0", True), ("10.2", True), ("6.2.14", False), ("", False)]
)
async def test_a_server_must_be_new_enough(redis_server, version, is_fit):
    wire = Wire(pool_of(redis_server.url), 5)
    store = RedisStore(wire, None, 1, None)
    if is_fit:
        store._check_version(version)
    else:
        with pytest.raises(UnfitStore, match=r"7\.0 or newer"):
            store._check_version(version)


HOLDER = """
import asyncio, sys
from aiosched import RedisLocker

async def hold():
    lock = await RedisLocker(sys.argv[1], ttl=0.5).lock(sys.argv[2])
    print(lock.fence, flush=True)
    await asyncio.sleep(60)

asyncio.run(hold())
"""


async def test_a_killed_process_holds_its_lock_for_no_longer_than_its_lease(redis_server, key):
    command = [sys.executable, "-c", HOLDER, redis_server.url, key]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    holder = await asyncio.create_subprocess_exec(*command, stdout=-1, env=environment)
    fence = int(await holder.stdout.readline())
    async with opened(RedisLocker(redis_server.url)) as locker:
        await asyncio.sleep(1)
        with pytest.raises(LockHeld):
            await locker.lock(key)  # it was renewed
        holder.kill()
        await holder.wait()
        lock = await eventually(lambda: locker.lock(key), LockHeld)
        assert lock.fence > fence
        await lock.unlock()


FORK = """
import asyncio, os, sys
from aiosched import RedisLocker
from aiosched.errors import LockLost

async def main():
    locker = RedisLocker(sys.argv[1])
    lock = await locker.lock(sys.argv[2])
    child = os.fork()
    if child == 0:
        try:
            lock.check()
        except LockLost:
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    lock.check()
    print(os.waitstatus_to_exitcode(status), await lock.unlock())
    await locker.aclose()

asyncio.run(main())
"""


async def test_a_forked_child_holds_nothing(redis_server, key):
    command = [sys.executable, "-W", "error", "-c", FORK, redis_server.url, key]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = await asyncio.create_subprocess_exec(*command, stdout=-1, env=environment)
    output, _ = await parent.communicate()
    assert output.decode().split() == ["0", "True"]
