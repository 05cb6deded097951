"""The suite of lockers on the system's servers, and behind PgBouncer: no wheel has these."""

from __future__ import annotations

import pytest

from tests.lockers import test_postgres, test_redis


class TestRedisOfTheSystem(test_redis.RedisSuite):
    @pytest.fixture(autouse=True)
    def _server(self, system_redis):
        self.server = system_redis


class TestAdvisoryOnTheSystemsPostgres(test_postgres.TestAdvisory):
    @pytest.fixture(autouse=True)
    def _dsn(self, system_postgres):
        self.dsn = system_postgres.dsn()


class TestLeaseOnTheSystemsPostgres(test_postgres.TestLease):
    @pytest.fixture(autouse=True)
    def _dsn(self, system_postgres):
        self.dsn = system_postgres.dsn()


class TestLeaseBehindPgBouncer(test_postgres.TestLease):
    @pytest.fixture(autouse=True)
    def _dsn(self, pgbouncer):
        self.dsn = pgbouncer.dsn()


def test_the_systems_redis_is_new_enough(system_redis):
    version = system_redis.ask("INFO", "server")["redis_version"]
    assert int(version.split(".")[0]) >= 7, f"Redis {version} is too old: install 7 or newer"


def test_the_systems_postgres_is_new_enough(system_postgres):
    version = system_postgres.sql("SHOW server_version")
    assert float(version.split()[0]) >= 14, f"PostgreSQL {version} is too old: 14 or newer"
