"""FileLocker among real processes: killed, stopped, forked, and racing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from datetime import timedelta

import pytest

from aiosched.durations import SECOND
from aiosched.errors import LockerUnavailable, LockHeld, LockLost
from aiosched.lockers import FileLocker, _filestore, _forks
from aiosched.model import Claim
from aiosched.moments import from_us

HOLDER = """
import asyncio, sys
from datetime import datetime
from aiosched.lockers import FileLocker
from aiosched.model import Claim

async def hold(path, due, *keys):
    locker = FileLocker(path)
    due = datetime.fromisoformat(due)
    claims = (locker.claim(Claim(key, due, redeliver=True)) for key in keys)
    await asyncio.gather(*claims)
    print("held", flush=True)
    await asyncio.sleep(60)

asyncio.run(hold(*sys.argv[1:]))
"""

RACER = """
import asyncio, json, sys
from datetime import datetime, timedelta
from aiosched.errors import AlreadyRan, LockHeld, Superseded
from aiosched.lockers import FileLocker
from aiosched.model import Claim

async def race(path, base, jobs, occurrences):
    locker = FileLocker(path)
    await locker.open()
    print("ready", flush=True)
    sys.stdin.readline()
    ran = []

    async def run(job, number):
        due = datetime.fromisoformat(base) + timedelta(seconds=number)
        claim = Claim(f"job {job}", due, exclusive=False)
        try:
            lock = await locker.claim(claim)
        except (AlreadyRan, Superseded, LockHeld):
            return
        ran.append([job, number, lock.fence])
        await lock.unlock()

    for number in range(int(occurrences)):
        await asyncio.gather(*(run(job, number) for job in range(int(jobs))))
    await locker.aclose()
    print(json.dumps(ran))

asyncio.run(race(*sys.argv[1:]))
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "locks"


@pytest.fixture
def due():
    return from_us(_filestore.host_now() - 10 * SECOND)


@pytest.fixture
def holder(path, due):
    """A process that holds keys; call it with them."""
    processes = []

    def start(*keys):
        command = [sys.executable, "-c", HOLDER, str(path), due.isoformat(), *keys]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


async def test_a_killed_process_frees_all_its_locks_at_once(path, holder, due):
    keys = [f"key {number}" for number in range(200)]
    process = holder(*keys)
    locker = FileLocker(path)
    with pytest.raises(LockHeld):
        await locker.lock(keys[0])
    process.kill()
    process.wait()
    began = time.monotonic()
    claims = (Claim(key, due + timedelta(seconds=5), redeliver=True) for key in keys)
    locks = await asyncio.gather(*(locker.claim(claim) for claim in claims))
    assert time.monotonic() - began < 2
    assert {(lock.due_at, lock.attempt) for lock in locks} == {(due, 2)}
    assert len(list(path.glob("owner-*"))) == 1, "the dead one's is removed"
    await locker.aclose()


async def test_a_stopped_process_keeps_its_locks(path, holder):
    process = holder("key")
    process.send_signal(signal.SIGSTOP)
    locker = FileLocker(path)
    with pytest.raises(LockHeld):
        await locker.lock("key")
    process.send_signal(signal.SIGCONT)
    with pytest.raises(LockHeld):
        await locker.lock("key")
    await locker.aclose()


async def test_owner_files_of_the_dead_are_swept_when_a_locker_opens(path, holder):
    holder("a").kill()
    holder("b").kill()
    async with asyncio.timeout(5):
        while True:
            locker = FileLocker(path)
            await locker.open()
            left = len(list(path.glob("owner-*")))
            await locker.aclose()
            if left == 1:
                break


def test_four_processes_that_race_run_each_occurrence_once(path, due):
    jobs, occurrences = 20, 25
    base = (due - timedelta(seconds=occurrences)).isoformat()
    command = [sys.executable, "-c", RACER, str(path), base, str(jobs), str(occurrences)]
    racers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    ran = [run for racer in racers for run in json.loads(racer.communicate(timeout=60)[0])]
    expected = {(job, number) for job in range(jobs) for number in range(occurrences)}
    # Where a slower process asks for one that a faster one has gone past, it is superseded: all of
    # them ask in the same order, so that cannot be the first to ask.
    assert sorted((job, number) for job, number, _ in ran) == sorted(expected)
    for job in range(jobs):
        fences = [fence for _, fence in sorted((n, f) for j, n, f in ran if j == job)]
        assert fences == sorted(set(fences))


# ── forks ─────────────────────────────────────────────────────────────────────────────────────


def in_child(function):
    """Fork, return what *function* returns in the child."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, from 3.12
        pid = os.fork()
    if pid == 0:
        try:
            answer = function()
        except BaseException as error:  # noqa: BLE001 - nothing may get out of the child
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = json.loads(pipe.read())
    os.waitpid(pid, 0)
    return answer


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def locker(path, loop):
    locker = FileLocker(path)
    loop.run_until_complete(locker.open())
    yield locker
    loop.run_until_complete(locker.aclose())


def outcome(coroutine):
    """What came of *coroutine* in a loop of its own, as text."""

    async def run():
        try:
            return repr(await coroutine)
        except Exception as error:  # noqa: BLE001 - told to the parent
            return type(error).__name__

    return asyncio.run(run())


def test_a_forked_child_holds_nothing_of_its_parent(locker, loop):
    lock = loop.run_until_complete(locker.lock("key"))

    def child():
        try:
            lock.check()
        except LockLost:
            lost = True
        return [lost, outcome(lock.unlock()), locker._users, locker._open is None]

    assert in_child(child) == [True, "False", 0, True]
    lock.check()
    assert loop.run_until_complete(lock.unlock()) is True


def test_a_forked_child_that_uses_the_locker_is_another_process(locker, loop, path):
    lock = loop.run_until_complete(locker.lock("key"))

    def child():
        async def use():
            with pytest.raises(LockHeld):
                await locker.lock("key")
            other = await locker.lock("other")
            owners = len(list(path.glob("owner-*")))
            unlocked = await other.unlock()
            await locker.aclose()
            return [owners, unlocked]

        return asyncio.run(use())

    assert in_child(child) == [2, True]
    lock.check()
    assert loop.run_until_complete(lock.unlock()) is True


def test_a_parent_goes_on_after_a_fork_in_the_middle_of_its_work(locker, loop):
    async def work(fork_at):
        for number in range(fork_at, fork_at + 20):
            asking = asyncio.ensure_future(locker.lock(f"key {number}"))
            for _ in range(number % 4):
                await asyncio.sleep(0)
            if number % 5 == 0:
                assert in_child(lambda: outcome(locker.lock("from the child"))) != "LockHeld"
            assert await (await asking).unlock()

    loop.run_until_complete(work(100))


def test_a_living_child_does_not_keep_its_dead_parents_locks(path):
    code = """
import asyncio, os, sys, time
from aiosched.lockers import FileLocker

async def hold():
    lock = await FileLocker(sys.argv[1]).lock("key")
    child = os.fork()
    if child == 0:
        time.sleep(60)
    print(child, flush=True)
    time.sleep(60)

asyncio.run(hold())
"""
    command = [sys.executable, "-W", "ignore", "-c", code, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        try:
            parent.kill()
            parent.wait()
            locker = FileLocker(path)
            assert "HeldLock" in outcome(locker.lock("key"))
            asyncio.run(locker.aclose())
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_child_that_inherits_a_descriptor_by_exec_does_not_keep_the_lock(path):
    """A subprocess that was told to keep descriptors open does not get these."""
    code = """
import asyncio, subprocess, sys
from aiosched.lockers import FileLocker

async def hold():
    lock = await FileLocker(sys.argv[1]).lock("key")
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
    print(child.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(hold())
"""
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        try:
            parent.kill()
            parent.wait()
            locker = FileLocker(path)
            assert "HeldLock" in outcome(locker.lock("key"))
            asyncio.run(locker.aclose())
        finally:
            os.kill(child, signal.SIGKILL)


def test_nothing_rests_after_a_fork(locker, loop):
    assert in_child(lambda: [len(_forks._resting), _forks._forking.locked()]) == [0, False]
    assert (_forks._resting, _forks._forking.locked()) == ([], False)
    assert loop.run_until_complete(locker.last_claimed("key")) is None


def test_the_store_that_a_child_inherited_is_closed(locker, loop):
    loop.run_until_complete(locker.lock("key"))
    store = locker._open.store

    def child():
        try:
            store.perform([])
        except LockerUnavailable as error:
            return [str(error).endswith("was closed"), store._connection is None]

    assert in_child(child) == [True, True]


async def test_what_a_child_does_first_is_to_hold_nothing(path):
    """In this process, what `os.fork` has every child do: to be seen, and measured."""
    locker = FileLocker(path)
    lock = await locker.lock("key")
    opened = locker._open
    for thing in (locker, opened.store):
        thing.before_fork()
    for thing in (locker, opened.store):
        thing.after_fork_in_child()
    assert (locker._users, locker._open, locker._actors) == (0, None, {})
    with pytest.raises(LockLost):
        lock.check()
    assert not lock.lost._callbacks
    opened.worker.stop(5)
    async with await locker.lock("key"):  # its owner is as good as dead
        pass
    await locker.aclose()


def test_a_locker_that_was_never_open_is_forked_as_it_is(path):
    locker = FileLocker(path)
    assert "HeldLock" in in_child(lambda: outcome(locker.lock("key")))
    locker.before_fork()
    locker.after_fork_in_child()
    assert locker._open is None


def test_a_store_that_was_never_used_closes(path):
    store = _filestore.FileStore(path, 1.0, print)
    store.before_fork()
    store.after_fork_in_child()
    store.close()
    assert not path.exists()
