"""The system's programs, as fixtures; what is missing is fetched, or an error that says how."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer
from tests.system.debian import PACKAGES, search_path, unpack
from tests.system.pgbouncer import PgBouncer


@pytest.fixture(scope="session")
def programs(server_home: Path) -> Iterator[dict[str, Path]]:
    """Where the system's programs are, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", search_path())
        if missing := [name for name in PACKAGES if shutil.which(name) is None]:
            for name, value in unpack(missing, server_home / "debian").items():
                patch.setenv(name, value)
        yield {name: Path(str(shutil.which(name))) for name in PACKAGES}


@pytest.fixture(scope="session")
def system_postgres(programs: dict[str, Path], server_home: Path) -> Iterator[PostgresServer]:
    """The system's PostgreSQL, a cluster of ours."""
    home = server_home / "system-postgres"
    home.mkdir()
    server = PostgresServer(programs["initdb"].resolve().parent, home)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def system_redis(programs: dict[str, Path], server_home: Path) -> Iterator[RedisServer]:
    """The system's Redis, a server of ours."""
    home = server_home / "system-redis"
    home.mkdir()
    server = RedisServer(programs["redis-server"], home)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _pgbouncer(
    programs: dict[str, Path], server_home: Path, _postgres: PostgresServer
) -> Iterator[PgBouncer]:
    home = server_home / "pgbouncer"
    home.mkdir()
    pooler = PgBouncer(programs["pgbouncer"], home, _postgres)
    pooler.start()
    yield pooler
    pooler.stop()


@pytest.fixture
def pgbouncer(_pgbouncer: PgBouncer, postgres_server: PostgresServer) -> Iterator[PgBouncer]:
    """PgBouncer in transaction mode before ``postgres_server``, up whatever was done to it."""
    _pgbouncer.ensure()
    yield _pgbouncer
    _pgbouncer.ensure()
