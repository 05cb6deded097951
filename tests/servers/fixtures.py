"""Real servers for the tests that ask for them: one set for the session, started when needed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers.postgres import PostgresServer, find_programs
from tests.servers.redis import (
    ClusterServer,
    RedisServer,
    find_redis,
    find_valkey,
    form_cluster,
)


@pytest.fixture(scope="session")
def server_home() -> Iterator[Path]:
    """A short path that all users can reach, which pytest's own is not."""
    home = Path(tempfile.mkdtemp(prefix="aiosched-tests-"))
    home.chmod(0o755)
    yield home
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def _postgres(server_home: Path) -> Iterator[PostgresServer]:
    home = _new(server_home / "postgres")
    server = PostgresServer(find_programs(server_home / "programs"), home)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def postgres_server(_postgres: PostgresServer) -> Iterator[PostgresServer]:
    """PostgreSQL, up when a test begins and when it has ended, whatever the test does to it."""
    _postgres.ensure()
    yield _postgres
    _postgres.ensure()


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of an empty database; its URL is ``postgres_server.dsn(postgres_database)``."""
    name = postgres_server.new_database()
    yield name
    postgres_server.ensure()
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def _redis(server_home: Path) -> Iterator[RedisServer]:
    yield from _running_redis(RedisServer(find_valkey(), _new(server_home / "redis")))


@pytest.fixture(scope="session")
def _other_redis(server_home: Path) -> Iterator[RedisServer]:
    yield from _running_redis(RedisServer(find_redis(), _new(server_home / "other-redis")))


@pytest.fixture(scope="session")
def _forgetful_redis(server_home: Path) -> Iterator[RedisServer]:
    home = _new(server_home / "forgetful-redis")
    yield from _running_redis(RedisServer(find_valkey(), home, forgetful=True))


@pytest.fixture(scope="session")
def _five_redis(server_home: Path) -> Iterator[list[RedisServer]]:
    program = find_valkey()
    five = [RedisServer(program, _new(server_home / f"redis-{number}")) for number in range(5)]
    with ExitStack() as stack:
        for server in five:
            stack.callback(server.stop)
            server.start()
        yield five


@pytest.fixture
def redis_server(_redis: RedisServer) -> Iterator[RedisServer]:
    """Valkey that keeps what it acknowledged, up when a test begins, whatever was done to it."""
    yield from _ensured(_redis)


@pytest.fixture
def other_redis_server(_other_redis: RedisServer) -> Iterator[RedisServer]:
    """Redis, which is not Valkey; it keeps what it acknowledged, too."""
    yield from _ensured(_other_redis)


@pytest.fixture
def forgetful_redis_server(_forgetful_redis: RedisServer) -> Iterator[RedisServer]:
    """Valkey that is empty after a restart."""
    yield from _ensured(_forgetful_redis)


@pytest.fixture
def five_redis_servers(_five_redis: list[RedisServer]) -> Iterator[list[RedisServer]]:
    """Five independent ones that keep what they acknowledged."""
    for server in _five_redis:
        server.ensure()
    yield _five_redis
    for server in _five_redis:
        server.ensure()


@pytest.fixture(scope="session")
def _redis_cluster(server_home: Path) -> Iterator[list[ClusterServer]]:
    program = find_valkey()
    servers = [ClusterServer(program, _new(server_home / f"cluster-{n}")) for n in range(2)]
    with ExitStack() as stack:
        for server in servers:
            stack.callback(server.stop)
            server.start()
        form_cluster(servers)
        yield servers


@pytest.fixture
def redis_cluster_servers(_redis_cluster: list[RedisServer]) -> Iterator[list[RedisServer]]:
    """Two that are one cluster, and keep what they acknowledged."""
    for server in _redis_cluster:
        server.ensure()
    yield _redis_cluster
    for server in _redis_cluster:
        server.ensure()


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _running_redis(server: RedisServer) -> Iterator[RedisServer]:
    server.start()
    yield server
    server.stop()


def _ensured(server: RedisServer) -> Iterator[RedisServer]:
    server.ensure()
    yield server
    server.ensure()
