"""Time on a virtual loop jumps; whatever is real on it is waited for."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial

import anyio
import pytest

from aiosched.clock import real_work
from aiosched.testing import LoopDeadlock, VirtualLoop
from aiosched.testing import loop as loop_module

YEAR = 365 * 86400


def run(main):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


@pytest.fixture
def no_grace(monkeypatch):
    monkeypatch.setattr(loop_module, "_GRACE", 0.01)


def now():
    return asyncio.get_running_loop().time()


# -- time jumps -----------------------------------------------------------------------------------


def test_a_year_of_hourly_sleeps_takes_seconds():
    async def main():
        for _ in range(365 * 24):
            await asyncio.sleep(3600)
        return now()

    began = time.monotonic()
    assert run(main()) == YEAR
    assert time.monotonic() - began < 10


def test_time_stands_still_while_something_is_ready():
    async def main():
        for _ in range(100):
            await asyncio.sleep(0)
        return now()

    assert run(main()) == 0


def test_timers_fire_in_the_order_of_their_moments():
    async def main():
        loop, fired = asyncio.get_running_loop(), []
        for delay in (3, 1, 2, 1.000001, 86400 * 400, 0.000001):
            loop.call_later(delay, lambda delay=delay: fired.append((delay, now())))
        await asyncio.sleep(86400 * 401)
        return fired

    moments = [0.000001, 1, 1.000001, 2, 3, 86400 * 400]
    assert run(main()) == [(moment, moment) for moment in moments]


@pytest.mark.parametrize("after", [0, 100 * 86400, 20 * YEAR])
def test_timers_a_microsecond_apart_fire_each_at_its_own_time(after):
    async def main():
        loop = asyncio.get_running_loop()
        await asyncio.sleep(after)
        begin, fired = loop.elapsed_us, []
        for step in range(1, 50):
            loop.call_at((begin + step) / 1e6, lambda: fired.append(loop.elapsed_us - begin))
        await asyncio.sleep(1)
        return fired

    assert run(main()) == list(range(1, 50))


@pytest.mark.parametrize("after", [0, 98 * 86400, 20 * YEAR])
def test_a_sleep_of_less_than_a_microsecond_ends(after):
    async def main():
        loop = asyncio.get_running_loop()
        await asyncio.sleep(after)
        before = loop.elapsed_us
        for _ in range(10):
            await asyncio.sleep(1e-7)
        return loop.elapsed_us - before

    assert 0 <= run(main()) <= 10


# A deadline in 10 ms, which as a float is a trifle more than the microsecond that it means.
ROUNDED_UP = [us for us in range(1_000, 9_000) if us / 1e6 + 0.01 > (us + 10_000) / 1e6][:5]


@pytest.mark.parametrize("start", [us / 1e6 for us in ROUNDED_UP])
def test_whoever_waits_for_what_is_left_until_a_deadline_comes_to_it(start):
    async def main():
        loop = asyncio.get_running_loop()
        never = loop.create_future()
        await asyncio.sleep(start)
        until, turns = loop.time() + 0.01, 0
        with loop.real_work():  # where time passes by timers alone
            while (left := until - loop.time()) > 0:
                others = loop.create_task(asyncio.wait({never}))  # so that something is ready
                await asyncio.wait({others}, timeout=left)
                others.cancel()
                turns += 1
                assert turns < 5
        return loop.time()

    assert run(main()) == pytest.approx(start + 0.01, abs=2e-6)


def test_time_is_a_whole_number_of_microseconds_however_often_it_is_added_up():
    async def main():
        for _ in range(10_000):
            await asyncio.sleep(0.1)
        return asyncio.get_running_loop().elapsed_us

    assert run(main()) == 1_000_000_000


def test_a_timeout_is_virtual():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()
        return now()

    began = time.monotonic()
    assert run(main()) == 3600
    assert time.monotonic() - began < 10


def test_a_cancelled_timer_is_not_jumped_to():
    async def main():
        asyncio.get_running_loop().call_later(10, int).cancel()
        await asyncio.sleep(20)
        asyncio.get_running_loop().call_later(3600, int).cancel()
        return now()

    assert run(main()) == 20


# -- real work ------------------------------------------------------------------------------------


def test_a_thread_is_waited_for_without_a_jump():
    async def main():
        async with asyncio.timeout(3600):
            await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.02)
        return now()

    assert run(main()) == 0


def test_a_thread_that_takes_longer_than_a_timeout_is_timed_out():
    release = threading.Event()

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await asyncio.to_thread(release.wait)
        reached = now()
        release.set()
        return reached

    began = time.monotonic()
    assert run(main()) == 0.02
    assert time.monotonic() - began >= 0.02


def test_the_result_of_a_thread_arrives():
    async def main():
        return await asyncio.to_thread(partial(pow, 2, 10))

    assert run(main()) == 1024


def test_after_a_thread_has_ended_time_jumps_again():
    async def main():
        await asyncio.to_thread(int)
        await asyncio.sleep(86400)
        return now()

    began = time.monotonic()
    assert run(main()) == 86400
    assert time.monotonic() - began < 10


def test_work_that_the_loop_cannot_see_is_waited_for_inside_of_real_work():
    async def main():
        async with asyncio.timeout(3600):
            with real_work(asyncio.get_running_loop()):
                await anyio.to_thread.run_sync(time.sleep, 0.02)
        return now()

    assert run(main()) == 0


def test_real_work_ends_when_it_fails():
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(KeyError), loop.real_work():
            raise KeyError
        await asyncio.sleep(86400)
        return now()

    assert run(main()) == 86400


async def test_on_another_loop_real_work_means_nothing():
    with real_work(asyncio.get_running_loop()) as nothing:
        assert nothing is None


def test_a_callback_from_a_thread_nobody_told_of_is_given_some_grace():
    async def main():
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        threading.Timer(0.02, loop.call_soon_threadsafe, [arrived.set]).start()
        await arrived.wait()
        return now()

    assert run(main()) == 0


# -- files, sockets, signals ----------------------------------------------------------------------


def test_a_server_and_a_client_talk_on_the_virtual_loop():
    async def answer(reader, writer):
        writer.write((await reader.readline()).upper())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            host, port = server.sockets[0].getsockname()
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(b"hello\n")
            said = await reader.readline()
            writer.close()
            await writer.wait_closed()
        return said

    assert run(main()) == b"HELLO\n"


def test_data_that_is_there_comes_before_a_timer():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)

        async def main():
            loop = asyncio.get_running_loop()
            theirs.send(b"x")
            async with asyncio.timeout(1):
                return await loop.sock_recv(ours, 1), now()

        assert run(main()) == (b"x", 0)


def test_a_watched_file_is_waited_for_really_when_there_is_no_timer():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        sender = threading.Timer(0.02, theirs.send, [b"x"])

        async def main():
            sender.start()
            return await asyncio.get_running_loop().sock_recv(ours, 1)

        assert run(main()) == b"x"
        sender.join()


def test_a_child_is_waited_for_inside_of_real_work():
    async def main():
        with real_work(asyncio.get_running_loop()):
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-c", "print('hello')", stdout=subprocess.PIPE
            )
            async with asyncio.timeout(60):
                said, _ = await child.communicate()
        return said

    assert run(main()) == b"hello\n"


def test_a_signal_is_waited_for_where_one_is_handled():
    async def main():
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, arrived.set)
        killer = threading.Timer(0.02, os.kill, [os.getpid(), signal.SIGUSR1])
        killer.start()
        await arrived.wait()
        loop.remove_signal_handler(signal.SIGUSR1)
        killer.join()
        return now()

    assert run(main()) == 0


# -- deadlock -------------------------------------------------------------------------------------


async def wait_for_ever():
    await asyncio.Event().wait()


@pytest.mark.usefixtures("no_grace")
def test_waiting_for_what_cannot_come_is_an_error_that_names_who_waits():
    async def main():
        asyncio.current_task().set_name("the sleeper")
        await asyncio.sleep(5)
        await wait_for_ever()

    with pytest.raises(LoopDeadlock, match=r"virtual second 5: .*tasks waiting: the sleeper"):
        run(main())


@pytest.mark.usefixtures("no_grace")
def test_running_for_ever_with_nothing_to_do_is_an_error():
    loop = VirtualLoop()
    with pytest.raises(LoopDeadlock, match="there is no task"):
        loop.run_forever()
    loop.close()


@pytest.mark.usefixtures("no_grace")
def test_after_a_deadlock_the_waiting_tasks_are_cancelled_as_usual():
    ended = []

    async def main():
        try:
            await wait_for_ever()
        finally:
            ended.append(True)

    with pytest.raises(LoopDeadlock):
        run(main())
    assert ended == [True]


def test_without_another_thread_a_deadlock_is_seen_at_once(monkeypatch):
    monkeypatch.setattr(loop_module, "_GRACE", None)  # to wait for it would be for ever
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    with pytest.raises(LoopDeadlock):
        run(wait_for_ever())
