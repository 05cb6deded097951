"""FileLocker on a store that is foreign, torn, full, busy or gone: an error, and nobody wedged."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from aiosched.durations import SECOND
from aiosched.errors import (
    AlreadyRan,
    LockerUnavailable,
    LockHeld,
    LockLost,
    Superseded,
    UnfitStore,
)
from aiosched.lockers import FileLocker, _filestore, _sqlite
from aiosched.model import Claim
from aiosched.moments import from_us


@pytest.fixture
def path(tmp_path):
    return tmp_path / "locks"


@pytest.fixture
def database(path):
    return path / "locks.sqlite3"


@pytest.fixture
async def locker(path):
    locker = FileLocker(path, timeout=0.05)
    yield locker
    await locker.aclose()


def due():
    return from_us(_filestore.host_now() - SECOND)


async def works(locker):
    assert await (await locker.claim(Claim("works", due()))).unlock()
    return True


async def works_in_time(locker):
    async with asyncio.timeout(5):
        while True:
            try:
                return await works(locker)
            except LockerUnavailable:
                await asyncio.sleep(0.01)


# ── foreign and torn ──────────────────────────────────────────────────────────────────────────


def a_text_file(database):
    database.write_text("These are my notes. " * 100)


def another_programs_database(database):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE mine (x)")
        connection.execute("PRAGMA application_id = 7")


def a_database_without_application(database):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE record (key TEXT PRIMARY KEY)")


def a_later_format(database):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA application_id = {_sqlite.APPLICATION}")
        connection.execute("PRAGMA user_version = 2")


def a_directory(database):
    database.mkdir()


FOREIGN = {
    a_text_file: "damaged or no database",
    another_programs_database: "another program's database",
    a_database_without_application: "another program's database",
    a_later_format: "has format v2; this aiosched knows v1",
}


@pytest.mark.parametrize("make", FOREIGN, ids=lambda make: make.__name__)
async def test_a_foreign_file_is_refused_and_left_as_it_is(make, path, database, locker):
    path.mkdir()
    make(database)
    content = database.read_bytes()
    for asked in (locker.open, lambda: locker.lock("key")):
        with pytest.raises(UnfitStore, match=FOREIGN[make]) as refusal:
            await asked()
        assert str(database) in str(refusal.value)
        locker._is_closed = False  # who could not open it might ask all the same
    assert database.read_bytes() == content
    assert not (path / "locks.sqlite3-wal").exists()
    database.rename(path / "moved away")
    assert await works(locker)


async def test_opening_a_foreign_file_leaves_nothing_open(path, database):
    path.mkdir()
    a_text_file(database)
    locker = FileLocker(path)
    with pytest.raises(UnfitStore):
        await locker.open()
    assert locker._open is None
    assert locker._users == 0
    assert sorted(each.name for each in path.iterdir()) == ["locks.sqlite3"]


async def test_a_directory_in_the_files_place_is_no_store(path, database, locker):
    path.mkdir()
    a_directory(database)
    with pytest.raises(LockerUnavailable, match=str(database)):
        await locker.lock("key")
    database.rmdir()
    assert await works(locker)


async def fill(path, keys=2000):
    locker = FileLocker(path)
    await locker.open()
    locks = await asyncio.gather(*(locker.lock(f"key {number}") for number in range(keys)))
    await asyncio.gather(*(lock.unlock() for lock in locks))
    await locker.aclose()


def half_of_it(database):
    os.truncate(database, database.stat().st_size // 2)


def its_beginning_overwritten(database):
    with database.open("r+b") as file:
        file.write(os.urandom(4096))


def its_middle_overwritten(database):
    size = database.stat().st_size
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 8192))


def its_tables_dropped(database):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("DROP TABLE record")


@pytest.mark.parametrize(
    "tear",
    [half_of_it, its_beginning_overwritten, its_middle_overwritten, its_tables_dropped],
    ids=lambda tear: tear.__name__,
)
async def test_a_torn_file_is_an_error_that_names_it(tear, path, database, locker):
    await fill(path)
    tear(database)
    content = database.read_bytes()
    with pytest.raises(LockerUnavailable, match=str(database)):
        await asyncio.gather(*(locker.lock(f"key {number}") for number in range(500)))
    assert database.read_bytes() == content, "nothing is destroyed, or made to look whole"
    database.unlink()
    assert await works_in_time(locker)


async def test_a_file_torn_while_it_is_used_wedges_nobody(path, database, locker):
    await fill(path)
    held = await locker.lock("key 1")
    its_middle_overwritten(database)
    other = FileLocker(path)  # what this one has read before, it still knows
    with pytest.raises(LockerUnavailable, match=str(database)):
        await asyncio.gather(*(other.lock(f"key {number}") for number in range(2, 2000)))
    await other.aclose()
    database.unlink()
    assert await works_in_time(locker)
    with pytest.raises(LockLost):
        held.check()


async def test_text_that_is_no_text_is_damage(path, database, locker):
    await fill(path, keys=1)
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE record SET owner = CAST(x'ff22fe' AS TEXT), home = 'owner-1'")
    with pytest.raises(LockerUnavailable):
        await locker.lock("key 0")
    assert await works(locker)


# ── network file systems and impossible paths ─────────────────────────────────────────────────


async def test_a_network_file_system_is_refused(path, locker, monkeypatch):
    monkeypatch.setattr(_filestore, "networked_file_system", lambda path: "nfs4")
    with pytest.raises(UnfitStore, match=r"network file system \(nfs4\)") as refusal:
        await locker.open()
    assert str(path) in str(refusal.value)


async def test_a_path_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    locker = FileLocker(tmp_path / "file" / "locks")
    with pytest.raises(UnfitStore, match="cannot be made a directory"):
        await locker.open()


async def test_a_directory_that_denies_access_is_refused(locker, monkeypatch):
    def deny(directory):
        raise PermissionError(errno.EACCES, "Permission denied", str(directory))

    monkeypatch.setattr(_filestore, "OwnerFile", deny)
    with pytest.raises(UnfitStore, match="Permission denied"):
        await locker.open()


async def test_a_file_that_may_not_be_written_is_refused(path, locker, monkeypatch):
    await fill(path, keys=1)
    read_only = f"file:{path}/locks.sqlite3?mode=ro"
    monkeypatch.setattr(
        _sqlite.sqlite3,
        "connect",
        lambda _, connect=sqlite3.connect, **more: connect(read_only, uri=True, **more),
    )
    with pytest.raises(UnfitStore, match="readonly"):
        await locker.lock("key")


# ── busy and full ─────────────────────────────────────────────────────────────────────────────


def occupy(database):
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return closing(connection)


async def test_a_busy_file_is_unavailable_until_it_is_free(path, database, locker):
    await fill(path, keys=1)
    with occupy(database):
        await locker.open()  # does not fail because of that
        with pytest.raises(LockerUnavailable, match=r"others kept it busy for 0.05 s"):
            await locker.lock("key")
    assert await works(locker)


async def test_a_file_that_is_busy_for_a_moment_is_waited_for(path, database):
    await fill(path, keys=1)
    locker = FileLocker(path, timeout=5)
    with occupy(database) as other:
        asking = asyncio.ensure_future(locker.lock("key"))
        await asyncio.sleep(0.05)
        assert not asking.done()
        other.execute("ROLLBACK")
        assert await (await asking).unlock()
    await locker.aclose()


async def test_an_unlock_that_met_a_busy_file_is_made_up_for(path, database, locker):
    other = FileLocker(path, timeout=0.05)
    lock = await locker.claim(Claim("key", due(), redeliver=True))
    with occupy(database):
        assert await lock.unlock() is False
    async with asyncio.timeout(5):
        while True:
            try:
                again = await other.lock("key")
                break
            except (LockHeld, LockerUnavailable):
                await asyncio.sleep(0.01)
    await again.unlock()
    with pytest.raises(AlreadyRan):  # that it was done has not been forgotten
        await other.claim(Claim("key", lock.due_at, redeliver=True))
    await other.aclose()


async def test_a_full_disk_is_unavailable_until_there_is_room(path, locker):
    await locker.open()
    await (await locker.lock("small")).unlock()
    connection = locker._open.store._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    big = Claim("k" * 20_000, due())
    with pytest.raises(LockerUnavailable, match="full"):
        await locker.claim(big)
    lock = await locker.claim(big)  # a new connection has no bound
    assert await lock.unlock()


async def test_what_was_not_committed_was_not_granted(path, locker):
    await locker.open()
    store = locker._open.store
    real = store._connection
    claim = Claim("key", due())

    class Broken:
        def __getattr__(self, name):
            return getattr(real, name)

        def execute(self, statement, *values):
            if statement == "COMMIT":
                raise sqlite3.OperationalError("disk I/O error")
            return real.execute(statement, *values)

    store._connection = Broken()
    with pytest.raises(LockerUnavailable):
        await locker.claim(claim)
    assert await (await locker.claim(claim)).unlock()


async def test_a_transaction_that_cannot_even_be_rolled_back_is_dropped_with_its_connection(
    path, locker
):
    await locker.open()
    store = locker._open.store
    real = store._connection

    class Broken:
        in_transaction = True

        def __getattr__(self, name):
            return getattr(real, name)

        def execute(self, statement, *values):
            if statement in ("COMMIT", "ROLLBACK"):
                raise sqlite3.OperationalError("disk I/O error")
            return real.execute(statement, *values)

    store._connection = Broken()
    with pytest.raises(LockerUnavailable):
        await locker.claim(Claim("key", due()))
    assert store._connection is None
    assert await works(locker)


# ── gone ──────────────────────────────────────────────────────────────────────────────────────


def the_directory(path):
    shutil.rmtree(path)


def the_owner_file(path):
    (owner,) = path.glob("owner-*")
    owner.unlink()


def the_database(path):
    (path / "locks.sqlite3").unlink()


def the_log(path):
    (path / "locks.sqlite3-wal").unlink()


def the_directory_for_a_file(path):
    shutil.rmtree(path)
    path.touch()


@pytest.mark.parametrize(
    "remove",
    [the_directory, the_owner_file, the_database, the_log],
    ids=lambda remove: remove.__name__,
)
async def test_what_is_removed_loses_the_locks_and_is_made_again(remove, path, locker, caplog):
    lock = await locker.lock("key")
    told = []
    lock.lost.add_callback(lambda: told.append(True))
    remove(path)
    with pytest.raises(LockerUnavailable, match="removed"):
        await locker.lock("other")
    await asyncio.sleep(0)
    assert told == [True]
    with pytest.raises(LockLost, match="removed"):
        lock.check()
    assert await lock.unlock() is False
    assert "all locks held through it are lost" in caplog.text
    assert await works(locker)
    other = FileLocker(path)
    assert await (await other.lock("key")).unlock()
    await other.aclose()


async def test_a_file_in_the_directorys_place_is_unavailable_until_it_is_gone(path, locker):
    lock = await locker.lock("key")
    the_directory_for_a_file(path)
    for message in ("removed", "cannot be made a directory"):
        with pytest.raises(LockerUnavailable, match=message):
            await locker.lock("other")
    assert lock.lost.is_set()
    path.unlink()
    assert await works(locker)


async def test_every_loop_hears_of_the_loss(path, locker):
    async def hold():
        lock = await locker.lock("key")
        held.set_result(None)
        async with asyncio.timeout(5):
            await lock.lost.wait()

    loop = asyncio.get_running_loop()
    held = loop.create_future()
    held.set_result = lambda _, set_result=held.set_result: loop.call_soon_threadsafe(
        set_result, None
    )
    thread = asyncio.ensure_future(asyncio.to_thread(asyncio.run, hold()))
    await held
    the_directory(path)
    with pytest.raises(LockerUnavailable):
        await locker.lock("other")
    await thread


async def test_closing_after_everything_was_removed_is_no_error(path):
    locker = FileLocker(path)
    lock = await locker.lock("key")
    the_directory_for_a_file(path)
    await locker.aclose()
    assert lock.lost.is_set()


async def test_a_wall_clock_that_steps_back_grants_nothing_twice(path, locker, monkeypatch):
    clock = [1_800_000_000 * SECOND]
    monkeypatch.setattr(_filestore, "host_now", lambda: clock[0])
    first = await locker.claim(Claim("key", from_us(clock[0])))
    await first.unlock()
    clock[0] -= 3600 * SECOND
    with pytest.raises(Superseded):
        await locker.claim(Claim("key", from_us(clock[0])))
    clock[0] += 3601 * SECOND
    with pytest.raises(AlreadyRan):
        await locker.claim(Claim("key", first.due_at))
    again = await locker.claim(Claim("key", first.due_at + timedelta(seconds=1)))
    assert again.fence > first.fence
