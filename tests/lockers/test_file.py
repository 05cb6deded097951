"""FileLocker against the suite, and what is its own: opening, closing, loops, leaving nothing."""

from __future__ import annotations

import asyncio
import gc
import pickle
import sqlite3
import subprocess
import sys
import threading
import time
import weakref
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path

import pytest

from aiosched.durations import SECOND
from aiosched.errors import AlreadyRan, LockerUnavailable, LockHeld, LockLost
from aiosched.lockers import FileLocker, _filestore, _sqlite
from aiosched.lockers import file as file_module
from aiosched.lockers._requests import Ask, Release, Survey
from aiosched.model import Claim
from aiosched.moments import from_us
from aiosched.testing import VirtualLoop
from aiosched.testing.lockers import LockerConformance

HOLDER = """
import asyncio, pickle, sys
from aiosched.lockers import FileLocker

async def hold():
    lock = await FileLocker(sys.argv[1]).claim(pickle.loads(bytes.fromhex(sys.argv[2])))
    print(lock.fence, flush=True)
    await asyncio.sleep(60)

asyncio.run(hold())
"""


class TestFileLocker(LockerConformance):
    @pytest.fixture(autouse=True)
    def _directory(self, tmp_path):
        self.path = tmp_path / "locks"

    async def connect(self):
        return FileLocker(self.path)

    async def kill_holder(self, claim):
        holder = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HOLDER, str(self.path), pickle.dumps(claim).hex(), stdout=-1
        )
        assert await holder.stdout.readline()
        holder.kill()
        await holder.wait()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "locks"


def threads():
    return [each for each in threading.enumerate() if each.name == "aiosched-file-locker"]


def descriptors(path):
    """What this process has open below *path*."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # what was open to list them
            found.append(str(link.readlink()))
    return [target for target in found if target.startswith(str(path))]


# ── making one ────────────────────────────────────────────────────────────────────────────────


def test_making_one_needs_no_loop_and_touches_nothing(path):
    FileLocker(path)
    FileLocker(str(path), timeout="2s")
    assert not path.exists()
    assert threads() == []


def test_a_relative_path_stays_what_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    locker = FileLocker("locks")
    monkeypatch.chdir("/")
    assert locker.path == tmp_path / "locks"


def test_an_existing_file_is_a_value_error_that_names_it(path):
    path.touch()
    with pytest.raises(ValueError, match=f"path must be a directory, and '{path}' is a file"):
        FileLocker(path)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (5, TypeError, "path must be a directory's path, got 5"),
        (None, TypeError, "path must be a directory's path, got None"),
        (b"locks", TypeError, "path must be a directory's path, got b'locks'"),
        ("", ValueError, "path must not be empty, got ''"),
        ("/x/\0y", ValueError, r"path must not contain a NUL, got '/x/\x00y'"),
        (Path("x\0"), ValueError, r"path must not contain a NUL, got PosixPath('x\x00')"),
    ],
)
def test_what_cannot_be_a_path_is_named(wrong, error, message):
    with pytest.raises(error) as refusal:
        FileLocker(wrong)
    assert str(refusal.value) == message


@pytest.mark.parametrize("timeout", [0, -1, "soon"])
def test_a_timeout_is_positive(path, timeout):
    with pytest.raises(ValueError, match="timeout"):
        FileLocker(path, timeout=timeout)


def test_where_there_is_no_flock_it_says_so(path, monkeypatch):
    monkeypatch.setattr(file_module, "HAS_FLOCK", False)
    with pytest.raises(NotImplementedError, match="needs flock"):
        FileLocker(path)


# ── opening and closing ───────────────────────────────────────────────────────────────────────


async def test_the_directory_is_made_with_its_parents_and_is_private(tmp_path):
    locker = FileLocker(tmp_path / "a" / "b" / "locks")
    await locker.open()
    assert locker.path.stat().st_mode & 0o777 == 0o700
    await locker.aclose()


async def test_it_opens_itself_when_it_is_first_used(path):
    locker = FileLocker(path)
    async with await locker.lock("key"):
        assert len(threads()) == 1
    await locker.aclose()
    assert threads() == []


async def test_closed_it_must_be_opened_again(path):
    locker = FileLocker(path)
    await (await locker.lock("key")).unlock()
    await locker.aclose()
    for asked in (locker.lock("key"), locker.last_claimed("key"), locker.records()):
        with pytest.raises(LockerUnavailable, match="is closed"):
            await asked
    assert threads() == []
    await locker.open()
    await (await locker.lock("key")).unlock()
    await locker.aclose()


async def test_closing_what_was_never_open_is_nothing(path):
    locker = FileLocker(path)
    await locker.aclose()
    assert not path.exists()
    await locker.open()
    await locker.aclose()
    await locker.aclose()


async def test_closing_leaves_no_thread_no_descriptor_and_no_owner_file(path):
    locker = FileLocker(path)
    await locker.open()
    lock = await locker.lock("key")
    assert descriptors(path)
    assert list(path.glob("owner-*"))
    await locker.aclose()
    assert lock.lost.is_set()
    assert (threads(), descriptors(path)) == ([], [])
    assert [each.name for each in path.iterdir()] == ["locks.sqlite3"]


async def test_a_cancelled_open_is_no_user(path, monkeypatch):
    go = threading.Event()
    perform = _filestore.FileStore.perform
    monkeypatch.setattr(
        _filestore.FileStore, "perform", lambda *args: go.wait(5) and perform(*args)
    )
    locker = FileLocker(path)
    opening = asyncio.ensure_future(locker.open())
    await asyncio.sleep(0.01)
    opening.cancel()
    await asyncio.sleep(0.01)
    go.set()
    await asyncio.wait([opening])
    assert opening.cancelled()
    assert locker._users == 0
    assert threads() == []


async def test_closing_that_is_cancelled_closes_all_the_same(path):
    locker = FileLocker(path)
    await locker.open()
    lock = await locker.lock("key")
    closing_ = asyncio.ensure_future(locker.aclose())
    await asyncio.sleep(0)
    closing_.cancel()
    await asyncio.wait([closing_])
    assert lock.lost.is_set()
    async with asyncio.timeout(5):
        while threads():
            await asyncio.sleep(0.001)
    assert descriptors(path) == []


def test_a_second_loop_finds_the_locks_of_a_closed_one_free(path):
    """`asyncio.run` twice with one locker that nobody closed in between."""
    locker = FileLocker(path)
    kept = []

    async def first():
        kept.append(await locker.lock("held"))
        asyncio.ensure_future(locker.lock("on its way")).add_done_callback(kept.append)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def second():
        for key in ("held", "on its way"):
            await (await locker.lock(key)).unlock()
        assert len(threads()) == 1
        await locker.aclose()

    asyncio.run(first())
    asyncio.run(second())
    with pytest.raises(LockLost):
        kept[0].check()


async def test_loops_in_several_threads_share_one_locker(path):
    locker = FileLocker(path)
    await locker.open()

    async def work():
        await locker.open()
        granted = []
        for number in range(30):
            try:
                granted.append((await locker.claim(Claim(f"key {number}", due))).key)
            except (AlreadyRan, LockHeld):
                continue
        await locker.aclose()
        return granted

    due = from_us(_filestore.host_now() - SECOND)
    results = await asyncio.gather(*(asyncio.to_thread(asyncio.run, work()) for _ in range(3)))
    assert sorted(chain.from_iterable(results)) == sorted(f"key {number}" for number in range(30))
    assert len(threads()) == 1
    await locker.aclose()
    assert threads() == []


async def test_closing_frees_what_other_loops_hold(path):
    locker = FileLocker(path)
    held, told = threading.Event(), threading.Event()

    async def hold():
        lock = await locker.lock("key")
        held.set()
        await lost_in_time(lock)
        told.set()

    async def lost_in_time(lock):
        async with asyncio.timeout(5):
            await lock.lost.wait()

    thread = threading.Thread(target=asyncio.run, args=(hold(),))
    thread.start()
    await asyncio.to_thread(held.wait, 5)
    await locker.open()
    await locker.aclose()
    await asyncio.to_thread(thread.join, 5)
    assert told.is_set()
    other = FileLocker(path)
    async with await other.lock("key"):
        pass
    await other.aclose()


def test_a_loop_of_virtual_time_does_not_jump_while_it_is_asked(path):
    loop = VirtualLoop()
    locker = FileLocker(path)

    async def use():
        loop.call_later(3600, loop.stop)
        for _ in range(20):
            await (await locker.lock("key")).unlock()
        await locker.aclose()

    loop.run_until_complete(use())
    assert loop.time() < 60
    loop.close()


async def test_one_that_nobody_closed_is_freed_with_its_last_reference(path):
    locker = FileLocker(path)
    lock = await locker.lock("key")
    other = FileLocker(path)
    del locker
    gc.collect()
    with pytest.raises(LockHeld):
        await other.lock("key")
    del lock
    gc.collect()
    assert len(threads()) == 1
    await (await other.lock("key")).unlock()
    await other.aclose()


def test_the_interpreter_leaves_although_nobody_closed(path):
    code = (
        "import asyncio, sys; from aiosched.lockers import FileLocker;"
        "locker = FileLocker(sys.argv[1]); asyncio.run(locker.lock('key')); print('held')"
    )
    began = time.monotonic()
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "held\n", "")
    assert time.monotonic() - began < 10
    assert [each.name for each in path.iterdir()] == ["locks.sqlite3"]


async def test_one_that_never_asked_is_dropped_without_a_thread(path):
    locker = FileLocker(path)
    coroutine = locker.lock("key")
    coroutine.send(None)
    coroutine.close()
    for _ in range(3):
        await asyncio.sleep(0)  # its actor finds nothing left to ask
    gone = weakref.ref(locker)
    del locker, coroutine
    gc.collect()
    assert gone() is None
    assert threads() == []
    assert not path.exists()


async def test_a_loss_that_nobody_is_left_to_hear_of_is_no_error(path):
    locker = FileLocker(path)
    tell = file_module._Weakly(locker._lose_all)
    tell("of nothing")
    del locker
    gc.collect()
    tell("nobody")


def test_an_old_sqlite_is_refused(path, monkeypatch):
    monkeypatch.setattr(file_module, "OLDEST", (99, 1))
    with pytest.raises(NotImplementedError, match=r"needs SQLite 99.1, this is 3\."):
        FileLocker(path)


# ── what it stores ────────────────────────────────────────────────────────────────────────────


async def test_it_shows_what_it_remembers(path):
    locker, other = FileLocker(path), FileLocker(path)
    due = from_us(_filestore.host_now() - SECOND)
    held = await locker.claim(Claim("b\0", due))
    await (await locker.claim(Claim("a"))).unlock()
    shown = await other.records()
    assert [(each.key, each.held, each.last_claimed, each.uncompleted) for each in shown] == [
        ("a", False, None, None),
        ("b\0", True, due, due),
    ]
    assert shown[1].fence == held.fence
    await locker.aclose()
    await other.aclose()


@pytest.fixture
def host_clock(monkeypatch):
    """The host's clock, in the test's hand."""
    clock = [1_800_000_000 * SECOND]
    monkeypatch.setattr(_filestore, "host_now", lambda: clock[0])
    return clock


def rows(path, query):
    with closing(sqlite3.connect(path / "locks.sqlite3")) as connection:
        return connection.execute(query).fetchall()


async def test_forgotten_records_are_purged_in_passing(path, host_clock):
    locker = FileLocker(path)
    due = from_us(host_clock[0])
    for number in range(5):
        claim = Claim(f"short {number}\\", due, keep=10, exact=True)
        await (await locker.claim(claim)).unlock()
    held = await locker.claim(Claim("held", keep=10))
    host_clock[0] += 61 * SECOND
    await (await locker.lock("new")).unlock()
    assert rows(path, "SELECT key FROM record ORDER BY key") == [("held",), ("new",)]
    assert rows(path, "SELECT * FROM occurrence") == []
    await held.unlock()
    await locker.aclose()


async def test_few_are_purged_at_a_time(path, host_clock, monkeypatch):
    monkeypatch.setattr(_filestore, "_MOST_PURGED", 2)
    locker = FileLocker(path)
    for number in range(5):
        await (await locker.claim(Claim(f"short {number}", keep=10))).unlock()
    host_clock[0] += 61 * SECOND
    left = []
    for _ in range(4):
        await locker.last_claimed("any")
        left.append(len(rows(path, "SELECT key FROM record")))
    assert left == [3, 1, 0, 0]
    await locker.aclose()


async def test_a_forgotten_exact_set_leaves_no_rows(path, host_clock):
    locker = FileLocker(path)
    await locker.open()
    claim = Claim("key", from_us(host_clock[0]), keep=10, exact=True)
    await (await locker.claim(claim)).unlock()
    host_clock[0] += 11 * SECOND
    await (await locker.claim(Claim("key", from_us(host_clock[0])))).unlock()
    assert rows(path, "SELECT * FROM occurrence") == []
    await locker.aclose()


@pytest.fixture
def store(path):
    store = _filestore.FileStore(path, 1.0, print)
    yield store
    store.close()


def asks(*keys):
    return [Ask(Claim(key, from_us(_filestore.host_now())), f"attempt {key}", None) for key in keys]


def released(ask, **options):
    return Release(ask.key, ask.attempt, ask.claim.due_us, **options)


@pytest.mark.parametrize("stranger", [None, "unknown", "b"])
def test_releases_are_answered_one_by_one_also_where_one_of_them_fails(store, stranger):
    a, b = asks("a", "b")
    store.perform([a, b])
    batch = [released(a, done=True), released(b, done=False)]
    if stranger is not None:
        batch.insert(1, Release(stranger, "attempt of another"))
    assert store.perform(batch) == ([True, True] if stranger is None else [True, False, True])
    shown = store.perform([Survey()])[0]
    assert [(each.key, each.held, each.uncompleted) for each in shown] == [
        ("a", False, None),
        ("b", False, b.claim.due_at),
    ]


def test_completing_another_occurrence_leaves_the_open_one(store):
    (ask,) = asks("key")
    store.perform([ask])
    older = Release("key", ask.attempt, ask.claim.due_us - 1, done=True)
    assert store.perform([older]) == [True]
    assert store.perform([Survey()])[0][0].uncompleted == ask.claim.due_at


def test_what_is_given_back_is_free_for_all_of_the_same_batch(store):
    (ask,) = asks("key")
    store.perform([ask])
    again = Ask(Claim("key"), "another attempt", None)
    granted, unlocked = store.perform([again, released(ask, done=True)])
    assert (granted.record.owner, unlocked) == ("another attempt", True)


def test_a_store_that_two_make_at_once_is_made_once(path, monkeypatch):
    path.mkdir()
    transaction, begun = _sqlite._transaction, []

    def begin(connection, kind):
        begun.append(kind)
        if begun == ["DEFERRED", "IMMEDIATE"]:  # we have looked, and another is quicker
            _sqlite.open_file(path / "locks.sqlite3", 1.0).close()
        return transaction(connection, kind)

    monkeypatch.setattr(_sqlite, "_transaction", begin)
    _sqlite.open_file(path / "locks.sqlite3", 1.0).close()
    assert begun == ["DEFERRED", "IMMEDIATE", "DEFERRED", "IMMEDIATE"]
    assert rows(path, "SELECT count(*) FROM record") == [(0,)]


async def test_claims_of_one_loop_turn_are_one_transaction(path, monkeypatch):
    begun = []
    begin = _filestore._sqlite.begin
    monkeypatch.setattr(
        _filestore._sqlite, "begin", lambda *args: begun.append(args) or begin(*args)
    )
    locker = FileLocker(path)
    await locker.open()
    begun.clear()
    locks = await asyncio.gather(*(locker.lock(str(number)) for number in range(300)))
    await asyncio.gather(*(lock.unlock() for lock in locks))
    assert len(begun) == 2
    await locker.aclose()
