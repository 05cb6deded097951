"""The thread that makes blocking calls."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref

import pytest

from aiosched.lockers._worker import Worker
from aiosched.testing import VirtualLoop


@pytest.fixture
def worker():
    worker = Worker("test-worker")
    yield worker
    worker.stop(5)
    assert "test-worker" not in {thread.name for thread in threading.enumerate()}


async def test_it_returns_what_is_returned_and_raises_what_is_raised(worker):
    assert await worker.run(lambda: threading.current_thread().name) == "test-worker"
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 / 0)


async def test_calls_are_made_in_order_by_one_thread(worker):
    made = []
    await asyncio.gather(*(worker.run(lambda n=n: made.append(n)) for n in range(50)))
    assert made == list(range(50))


async def test_it_starts_no_thread_before_it_is_needed(worker):
    assert not worker.is_started
    await worker.run(int)
    assert worker.is_started


async def test_a_first_cancellation_does_not_end_the_waiting(worker):
    go = threading.Event()
    task = asyncio.ensure_future(worker.run(lambda: go.wait(5)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go.set()
    assert await task is True


async def test_a_second_cancellation_ends_it(worker):
    go = threading.Event()
    for together in (True, False):
        task = asyncio.ensure_future(worker.run(lambda: go.wait(5)))
        await asyncio.sleep(0)
        task.cancel()
        if not together:
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
    go.set()
    assert await worker.run(int) == 0  # the answers that nobody waits for do no harm


def test_a_loop_that_was_closed_meanwhile_is_no_error(worker):
    go = threading.Event()
    loop = asyncio.new_event_loop()
    task = loop.create_task(worker.run(lambda: go.wait(5)))
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    loop.close()
    go.set()
    assert asyncio.run(worker.run(int)) == 0


async def test_finishing_makes_a_last_call_and_ends_the_thread(worker):
    await worker.run(int)
    made = []
    await worker.finish(lambda: made.append("last"), 5)
    assert made == ["last"]
    assert "test-worker" not in {thread.name for thread in threading.enumerate()}


async def test_finishing_does_not_wait_for_ever():
    go = threading.Event()
    worker = Worker("stuck-worker")
    task = asyncio.ensure_future(worker.run(lambda: go.wait(5)))
    await asyncio.sleep(0)
    began = time.monotonic()
    await worker.finish(int, 0.01)
    assert time.monotonic() - began < 2
    go.set()
    await task
    worker._join(5)


async def test_it_may_be_stopped_from_its_own_thread(worker):
    await worker.run(lambda: worker.stop(5))


async def test_idle_it_keeps_nothing_alive(worker):
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    await worker.run(lambda thing=thing: None)
    await worker.run(int)
    del thing
    assert gone() is None


def test_a_loop_of_virtual_time_waits_for_it(worker):
    loop = VirtualLoop()
    loop.call_later(3600, loop.stop)
    loop.run_until_complete(worker.run(lambda: time.sleep(0.02)))
    assert loop.time() < 60
    loop.close()
