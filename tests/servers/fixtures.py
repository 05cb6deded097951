"""Real servers for the tests that ask for them: one set for the session, started when needed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.postgres import PostgresServer, find_programs


@pytest.fixture(scope="session")
def server_home() -> Iterator[Path]:
    """A short path that all users can reach, which pytest's own is not."""
    home = Path(tempfile.mkdtemp(prefix="aiosched-tests-"))
    home.chmod(0o755)
    yield home
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def _postgres(server_home: Path) -> Iterator[PostgresServer]:
    (home := server_home / "postgres").mkdir()
    server = PostgresServer(find_programs(server_home / "programs"), home)
    server.start()
    yield server
    server.resume()
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
