"""What PostgresLocker is made with."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest

import aiosched
from aiosched.errors import LockerUnavailable, UnfitStore
from aiosched.lockers import PostgresLocker, _postgres_store, locker_from_url
from aiosched.lockers._postgres_session import check
from aiosched.model import Claim
from aiosched.protocols import ClaimingLocker
from tests.lockers.support import ago, opened

DSN = "postgresql://me:secret@db.example:6432/shop"


async def connect():
    raise ConnectionRefusedError("nobody there")


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "POSTGRESQL"])
def test_a_url_makes_one(scheme):
    url = DSN.replace("postgresql", scheme, 1)
    locker = locker_from_url(
        f"{url}?ttl=5&mode=lease&prefix=x&schema=y&timeout=250ms&sslmode=require"
    )
    assert isinstance(locker, PostgresLocker)
    assert isinstance(locker, ClaimingLocker)
    assert locker.ttl == 5
    settings = locker._settings
    assert (settings.where, settings.limit) == ("db.example:6432/shop", 0.25)
    assert not settings.keeps_home
    assert locker._statements.tables == ('"y"."x_record_v1"', '"y"."x_occurrence_v1"')
    assert locker._make.args[0].endswith("@db.example:6432/shop?sslmode=require")


def test_the_package_exports_it():
    assert aiosched.PostgresLocker is PostgresLocker


@pytest.mark.parametrize(
    ("mode", "ttl", "limit"),
    [("advisory", 3, 1), ("advisory", 90, 10), ("lease", 6, 1), ("lease", timedelta(hours=1), 5)],
)
def test_the_timeout_follows_the_lease(mode, ttl, limit):
    assert PostgresLocker(DSN, ttl, mode)._settings.limit == limit


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((5,), {}, TypeError, "dsn must be text like .* got 5"),
        ((), {}, TypeError, "give a dsn, or connect=, or pool="),
        ((DSN,), {"connect": connect}, TypeError, "give a dsn, or connect=, or pool="),
        ((DSN,), {"mode": "row"}, ValueError, "mode must be 'advisory' or 'lease', got 'row'"),
        ((), {"pool": object()}, ValueError, "pool needs mode='lease'"),
        ((DSN,), {"ttl": 0}, ValueError, "ttl"),
        ((DSN,), {"timeout": 0}, ValueError, "timeout"),
        ((DSN,), {"prefix": None}, TypeError, "prefix must be text, got None"),
        ((DSN,), {"prefix": ""}, ValueError, "prefix must have 1 to 49 bytes and no NUL, got ''"),
        ((DSN,), {"prefix": "é" * 25}, ValueError, "prefix must have 1 to 49 bytes"),
        ((DSN,), {"schema": "a\0"}, ValueError, "schema must have 1 to 63 bytes and no NUL"),
    ],
)
def test_a_wrong_argument_is_named(arguments, options, error, message):
    with pytest.raises(error, match=message) as refusal:
        PostgresLocker(*arguments, **options)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("mysql://me:secret@host/db", "'mysql://…@host/db'"),
        ("mysql://me:secret/se@cret@host/db", "'mysql://…@host/db'"),
        ("mysql://me:sec?ret@host/db", "'mysql://…@host/db'"),
        ("mysql://host/db?password=se@cret&x=1", "'mysql://host/db?password=…&x=1'"),
        ("jdbc:postgresql://me:secret@host/db", "'jdbc:postgresql://…@host/db'"),
        ("me:secret://secret@host/db", "'…@host/db'"),
        ("://me:secret@host", "'…@host'"),
        ("host=db dbname=x", "'host=db dbname=x'"),
        ("", "''"),
        ("host=db PASSWORD=secret", "text without a scheme"),
        ("me:secret@host/db", "text without a scheme"),
    ],
)
def test_a_dsn_of_something_else_is_shown_without_its_password(dsn, shown):
    with pytest.raises(ValueError, match="dsn") as refusal:
        PostgresLocker(dsn)
    assert str(refusal.value) == f"dsn must begin with postgresql://, got {shown}"


def test_the_driver_is_named_where_it_is_missing():
    code = "import sys; sys.modules['asyncpg'] = None; import aiosched.lockers.postgres"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'aiosched-py[postgres]'" in done.stderr


async def test_a_way_to_connect_of_ones_own_may_fail():
    async with opened(PostgresLocker(connect=connect)) as locker:
        with pytest.raises(LockerUnavailable, match="PostgreSQL at its address: nobody there"):
            await locker.lock("key")


async def test_a_port_that_is_none_is_an_error_of_opening():
    with pytest.raises(UnfitStore, match="'port'"):
        await PostgresLocker("postgresql://host:port/db").open()


def test_an_old_server_is_refused():
    facts = {"version": 13, "is_standby": False, "commits": "on"}
    with pytest.raises(UnfitStore, match="must be 14 or newer, it is 13"):
        check(facts, "host")


async def test_who_is_always_too_slow_is_told(postgres_server, monkeypatch):
    monkeypatch.setattr(_postgres_store, "_ROUNDS", 3)
    async with (
        opened(PostgresLocker(postgres_server.dsn())) as locker,
        opened(PostgresLocker(postgres_server.dsn())) as other,
    ):
        (store,) = (each.store for each in locker._open.values())
        fetch = store._line.fetch

        async def slowly(sql, *values):
            if sql == store._statements.write:
                await other.claim(Claim("contended", ago(1), exclusive=False))
            return await fetch(sql, *values)

        monkeypatch.setattr(store._line, "fetch", slowly)
        with pytest.raises(LockerUnavailable, match="'contended' is changed by others"):
            await locker.claim(Claim("contended", exact=True))  # which is read first
        monkeypatch.undo()
        assert await (await locker.lock("contended")).unlock()
