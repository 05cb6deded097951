"""Who computes: worker threads, worker processes, an executor of one's own. In real time."""

from __future__ import annotations

import asyncio
import contextvars
import math
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio.from_thread
import pytest

from aiosched import (
    Job,
    Outcome,
    ProcessExecutor,
    Run,
    RunDeadlock,
    Scheduler,
    ThreadExecutor,
    current_run,
)
from tests.engine.support import NEVER, Told, settle


@pytest.fixture
def scheduler() -> Scheduler:
    """One on the host's clocks: threads and processes do not live in virtual time."""
    return Scheduler(shutdown_timeout=5)


class Thread:
    """A job's function that blocks its thread until it is let go, or told to stop as well."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.go = threading.Event()
        self.at_once = 0
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self, run: Run) -> int:
        with self._lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        self.entered.release()
        self.go.wait(10)
        with self._lock:
            self.at_once -= 1
        return run.number

    def until_told(self, run: Run) -> str:
        self.entered.release()
        while not run.stopping.is_set():
            time.sleep(0.001)
        self.go.wait(10)
        return "stopped when told"

    async def has_begun(self) -> None:
        assert await asyncio.to_thread(self.entered.acquire, timeout=10)


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.001)


# -- threads -------------------------------------------------------------------------------------


async def test_a_thread_returns_and_raises_like_any_function(scheduler: Scheduler) -> None:
    def divide(a: int, b: int) -> float:
        return a / b

    good = scheduler.add(divide, NEVER, name="good", args=(6, 3))
    bad = scheduler.add(divide, NEVER, name="bad", kwargs={"a": 1, "b": 0})
    async with scheduler:
        assert (await good.run_now()).value == 2
        assert isinstance((await bad.run_now()).error, ZeroDivisionError)


async def test_the_loop_goes_on_while_a_thread_blocks(scheduler: Scheduler) -> None:
    thread = Thread()
    job = scheduler.add(thread, NEVER)
    async with scheduler:
        waiting = asyncio.create_task(job.run_now())
        await thread.has_begun()
        assert not waiting.done()
        thread.go.set()
        assert (await waiting).value == 1


async def test_a_thread_has_the_context_of_its_run(scheduler: Scheduler) -> None:
    colour = contextvars.ContextVar("colour", default="none")
    colour.set("red")

    def look() -> tuple[str, Run]:
        seen = colour.get()
        colour.set("blue")
        return seen, current_run()

    job = scheduler.add(look, NEVER)
    async with scheduler:
        for _ in range(2):
            outcome = await job.run_now()
            assert outcome.value == ("red", outcome.run)


async def test_a_timeout_is_told_at_once_and_keeps_the_slot_until_the_thread_ends(
    scheduler: Scheduler,
) -> None:
    told, thread = Told(scheduler), Thread()
    left: list[int] = []

    @asynccontextmanager
    async def gate(run: Run) -> AsyncIterator[None]:
        yield
        left.append(run.number)

    job = scheduler.add(thread, NEVER, timeout=0.05, gates=[gate])
    async with scheduler:
        outcome = await job.run_now()
        assert outcome.status == "timed_out"
        assert outcome.run.stopping.is_set()
        assert (job.running, left) == ((outcome.run,), [])
        refused = await job.run_now()
        assert (refused.refusal.gate, refused.refusal.reason) == ("job_limit", "running")
        thread.go.set()
        await until(lambda: not job.running)
        assert left == [1]
    assert told.statuses() == ["timed_out", "refused"]


async def test_a_cancelled_thread_is_told_to_stop_and_keeps_the_slot(scheduler: Scheduler) -> None:
    told, thread = Told(scheduler), Thread()
    job = scheduler.add(thread.until_told, NEVER, overlap="replace")
    async with scheduler:
        first = job.trigger_now()
        await thread.has_begun()
        second = job.trigger_now()
        await settle()
        assert told.statuses() == ["cancelled"]
        assert job.running == (first,)
        thread.go.set()
        await thread.has_begun()
        assert job.running == (second,)
    assert told.statuses() == ["cancelled", "succeeded"]


async def test_a_thread_that_raises_after_its_timeout_changes_nothing(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told(scheduler)

    def work(run: Run) -> None:
        while not run.stopping.is_set():
            time.sleep(0.001)
        raise ValueError("too late to matter")

    job = scheduler.add(work, NEVER, timeout=0.05)
    async with scheduler:
        await job.run_now()
        await until(lambda: not job.running)
    assert told.statuses() == ["timed_out"]
    assert "never retrieved" not in caplog.text


async def test_a_limiter_keeps_threads_few(scheduler: Scheduler) -> None:
    told, thread = Told(scheduler), Thread()
    executor = ThreadExecutor(limit=2)
    for number in range(5):
        scheduler.add(thread, NEVER, name=str(number), executor=executor)
    async with scheduler:
        for job in scheduler:
            job.trigger_now()
        await thread.has_begun()
        await thread.has_begun()
        await settle()
        assert thread.at_once == 2
        thread.go.set()
        await until(lambda: len(told.outcomes) == 5)
    assert thread.most == 2


async def test_a_run_that_waits_for_a_thread_is_cancelled_without_one(
    scheduler: Scheduler,
) -> None:
    told, thread = Told(scheduler), Thread()
    executor = ThreadExecutor(limit=1)
    for name in ("first", "second"):
        scheduler.add(thread, NEVER, name=name, executor=executor)
    async with scheduler:
        scheduler["first"].trigger_now()
        await thread.has_begun()
        second = scheduler["second"]
        second.trigger_now()
        await settle()
        second.remove(cancel=True)
        await settle()
        assert (told.statuses(), second.running) == (["cancelled"], ())
        thread.go.set()
        await until(lambda: len(told.outcomes) == 2)
    assert thread.most == 1


async def test_a_function_is_not_called_when_its_run_was_cancelled_just_before(
    scheduler: Scheduler,
) -> None:
    called: list[int] = []
    told = Told(scheduler)

    def note(run: Run) -> None:
        called.append(run.number)

    job = scheduler.add(note, NEVER, name="job", overlap="replace")
    async with scheduler:
        for number in range(200):
            job.trigger_now()
            await settle(number % 8)
        await until(lambda: len(told.outcomes) == 200 and not job.running)
    succeeded = set(told.numbers("succeeded"))
    assert succeeded <= set(called)
    assert len(called) == len(set(called))


async def test_a_drain_gives_a_thread_up_and_says_so(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    told, thread = Told(scheduler), Thread()
    job = scheduler.add(thread, NEVER, name="stuck", timeout=0.05)
    await scheduler.start()
    run = (await job.run_now()).run
    report = await scheduler.stop(timeout=0.1)
    thread.go.set()
    assert report.abandoned == (run.id,)
    assert not report.clean
    assert "gave up waiting for stuck@" in caplog.text
    assert told.statuses() == ["timed_out"]


@pytest.mark.parametrize("limit", [0, -1, True, 2.5, "many"])
def test_a_limit_of_threads_is_checked(limit: Any) -> None:
    with pytest.raises(ValueError, match="limit must be an int of at least 1, got"):
        ThreadExecutor(limit=limit)


# -- processes -----------------------------------------------------------------------------------


async def test_a_process_returns_and_raises_and_can_be_killed(scheduler: Scheduler) -> None:
    where = scheduler.add(os.getpid, NEVER, name="where", executor="process")
    bad = scheduler.add(math.sqrt, NEVER, name="bad", executor="process", args=(-1,))
    slow = scheduler.add(
        time.sleep, NEVER, name="slow", executor="process", args=(60,), timeout=0.2
    )
    async with scheduler:
        assert (await where.run_now()).value != os.getpid()
        error = (await bad.run_now()).error
        assert isinstance(error, ValueError)
        outcome = await slow.run_now()
        assert (outcome.status, slow.running) == ("timed_out", ())


async def test_processes_have_a_limit_of_their_own(scheduler: Scheduler) -> None:
    executor = ProcessExecutor(limit=1)
    told = Told(scheduler)
    for name in ("first", "second"):
        scheduler.add(time.sleep, NEVER, name=name, executor=executor, args=(0.2,))
    async with scheduler:
        for job in scheduler:
            job.trigger_now()
        await until(lambda: len(told.outcomes) == 2)
    first, second = sorted(told.outcomes, key=lambda outcome: outcome.at)
    assert (second.at - first.at).total_seconds() > 0.15


@pytest.mark.parametrize("limit", [0, True, 1.5])
def test_a_limit_of_processes_is_checked(limit: Any) -> None:
    with pytest.raises(ValueError, match="limit must be None or an int of at least 1, got"):
        ProcessExecutor(limit=limit)
    assert ProcessExecutor().limit == os.cpu_count()


# -- one's own -----------------------------------------------------------------------------------


class Elsewhere:
    """An executor that hands the work to somebody else."""

    def __init__(self) -> None:
        self.submitted: list[tuple[Any, ...]] = []
        self.cancelled: list[str] = []

    async def submit(
        self,
        run: Run,
        func: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        /,
    ) -> object:
        self.submitted.append((run.id, func, tuple(args), dict(kwargs)))
        try:
            await asyncio.sleep(kwargs.get("takes", 0))
        except asyncio.CancelledError:
            self.cancelled.append(run.id)
            raise
        return f"done {run.number}"


def task(word: str, run: Run, *, takes: float = 0) -> None:
    raise AssertionError("it is not called here")


async def async_task(run: Run) -> None:
    raise AssertionError("it is not called here")


async def test_an_executor_of_ones_own_gets_the_call_and_gives_the_value(
    scheduler: Scheduler,
) -> None:
    executor = Elsewhere()
    job = scheduler.add(task, NEVER, name="job", args=("a",), executor=executor)
    async with scheduler:
        outcome = await job.run_now()
    assert outcome.value == "done 1"
    assert executor.submitted == [(outcome.run.id, task, ("a", outcome.run), {})]


async def test_it_may_take_async_functions(scheduler: Scheduler) -> None:
    executor = Elsewhere()
    job = scheduler.add(async_task, NEVER, executor=executor)
    async with scheduler:
        assert (await job.run_now()).value == "done 1"


async def test_timeout_and_cancellation_reach_it(scheduler: Scheduler) -> None:
    executor = Elsewhere()
    job: Job = scheduler.add(
        task, NEVER, args=("a",), kwargs={"takes": 60}, executor=executor, timeout=0.05
    )
    async with scheduler:
        timed_out = await job.run_now()
        run = job.trigger_now()
        await settle()
        job.remove(cancel=True)
        await settle()
    assert timed_out.status == "timed_out"
    assert executor.cancelled == [timed_out.run.id, run.id]


async def test_its_failure_is_the_runs(scheduler: Scheduler) -> None:
    class Broken(Elsewhere):
        async def submit(self, run: Run, *_: Any) -> object:
            raise ConnectionError("no engine")

    job = scheduler.add(task, NEVER, args=("a",), executor=Broken())
    async with scheduler:
        outcome: Outcome = await job.run_now()
    assert (outcome.status, str(outcome.error)) == ("failed", "no engine")


async def test_a_run_in_a_thread_may_not_stop_its_scheduler(scheduler: Scheduler) -> None:
    def stop() -> None:
        anyio.from_thread.run(scheduler.stop)

    job = scheduler.add(stop, NEVER)
    async with scheduler:
        assert isinstance((await job.run_now()).error, RunDeadlock)
