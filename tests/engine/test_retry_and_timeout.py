"""Attempts within one run: each with its timeout, delays between them, one outcome for all."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from aiosched import Job, Outcome, Refusal, Retry, Run, Scheduler, Started
from aiosched.testing import VirtualClock, run
from tests.engine.support import NEVER, Told, settle


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")


class Failing:
    """A job that fails its first tries; it notes when each began."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.began: list[float] = []
        self.attempts: list[int] = []

    async def __call__(self, run: Run) -> str:
        self.began.append(round(asyncio.get_running_loop().time(), 3))
        self.attempts.append(run.attempt)
        if self.errors:
            raise self.errors.pop(0)
        return "done"


async def run_once(scheduler: Scheduler, func: Any, **options: Any) -> Outcome:
    job = scheduler.add(func, NEVER, name="job", **options)
    async with scheduler:
        return await job.run_now()


# -- retry ---------------------------------------------------------------------------------------


async def test_a_run_is_tried_again_until_it_succeeds(scheduler: Scheduler, told: Told) -> None:
    started: list[Started] = []
    scheduler.on(Started, started.append)
    work = Failing(OSError("one"), OSError("two"))
    outcome = await run_once(scheduler, work, retry=Retry(attempts=4, delay=1, backoff=2))
    assert (outcome.status, outcome.value, outcome.run.attempt) == ("succeeded", "done", 3)
    assert work.began == [0, 1, 3]
    assert work.attempts == [1, 2, 3]
    assert (len(started), len(told.outcomes)) == (1, 1)
    assert outcome.elapsed == pytest.approx(3, abs=1e-3)


async def test_the_last_error_is_the_runs(scheduler: Scheduler) -> None:
    work = Failing(OSError("one"), OSError("two"), OSError("three"))
    outcome = await run_once(scheduler, work, retry=Retry(attempts=2, delay=0))
    assert (outcome.status, str(outcome.error), outcome.run.attempt) == ("failed", "two", 2)


async def test_one_attempt_is_no_retry(scheduler: Scheduler) -> None:
    work = Failing(OSError("one"))
    outcome = await run_once(scheduler, work, retry=Retry(attempts=1))
    assert (outcome.status, work.began) == ("failed", [0])


async def test_only_the_errors_that_are_named_are_worth_another_try(scheduler: Scheduler) -> None:
    work = Failing(OSError("one"), ValueError("two"))
    outcome = await run_once(scheduler, work, retry=Retry(attempts=5, delay=0, on=(OSError,)))
    assert (outcome.status, str(outcome.error), len(work.began)) == ("failed", "two", 2)


async def test_a_cancellation_is_no_error_to_retry(scheduler: Scheduler) -> None:
    work = Failing(asyncio.CancelledError())
    outcome = await run_once(scheduler, work, retry=Retry(attempts=5, delay=0))
    assert (outcome.status, len(work.began)) == ("cancelled", 1)


def test_jitter_varies_the_delay_and_is_the_same_in_a_replay() -> None:
    async def main(clock: VirtualClock) -> list[float]:
        work = Failing(*[OSError()] * 5)
        retry = Retry(attempts=6, delay=1, backoff=1, jitter=1)
        await run_once(Scheduler(clock=clock), work, retry=retry)
        return work.began

    first, second = run(main), run(main)
    gaps = [round(after - before, 3) for before, after in pairwise(first)]
    assert all(1 <= gap < 2 for gap in gaps)
    assert len(set(gaps)) == 5
    assert first == second


async def test_all_attempts_are_within_the_gates_of_one_run(scheduler: Scheduler) -> None:
    passed: list[str] = []

    @asynccontextmanager
    async def gate(run: Run) -> AsyncIterator[None]:
        passed.append("in")
        yield
        passed.append("out")

    work = Failing(OSError(), OSError())
    await run_once(scheduler, work, retry=Retry(attempts=3, delay=5), gates=[gate])
    assert passed == ["in", "out"]


async def test_a_run_between_two_attempts_keeps_its_slot(scheduler: Scheduler, told: Told) -> None:
    work = Failing(OSError())
    job = scheduler.add(work, NEVER, retry=Retry(attempts=2, delay=10))
    async with scheduler:
        job.trigger_now()
        await asyncio.sleep(5)
        outcome = await job.run_now()
        assert outcome.refusal == Refusal("job_limit", "running")
        await asyncio.sleep(6)
    assert told.statuses() == ["refused", "succeeded"]


async def test_a_run_between_two_attempts_can_be_cancelled(
    scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(Failing(OSError()), NEVER, retry=Retry(attempts=2, delay=10))
    async with scheduler:
        job.trigger_now()
        await asyncio.sleep(5)
        job.remove(cancel=True)
        await settle()
        assert told.statuses() == ["cancelled"]


async def test_nothing_waits_for_another_attempt_beyond_a_drain(
    scheduler: Scheduler, told: Told
) -> None:
    loop = asyncio.get_running_loop()
    job = scheduler.add(Failing(OSError("down")), NEVER, retry=Retry(attempts=2, delay=60))
    async with scheduler:
        job.trigger_now()
        await asyncio.sleep(5)
        before = loop.time()
        report = await scheduler.stop(timeout=30)
        assert loop.time() - before < 0.01
    (outcome,) = told.outcomes
    assert (outcome.status, str(outcome.error)) == ("failed", "down")
    assert report.finished == 1


async def test_an_attempt_that_fails_in_a_drain_is_the_last(
    scheduler: Scheduler, told: Told
) -> None:
    async def until_told(run: Run) -> None:
        await run.stopping.wait()
        raise OSError("told to stop")

    job = scheduler.add(until_told, NEVER, retry=Retry(attempts=5, delay=0))
    async with scheduler:
        job.trigger_now()
        await settle()
    (outcome,) = told.outcomes
    assert (outcome.status, outcome.run.attempt) == ("failed", 1)


# -- timeout -------------------------------------------------------------------------------------


async def test_a_timeout_is_of_one_attempt(scheduler: Scheduler) -> None:
    async def slow_at_first(run: Run) -> int:
        await asyncio.sleep(10 if run.attempt < 3 else 1)
        return run.attempt

    outcome = await run_once(
        scheduler, slow_at_first, timeout=4, retry=Retry(attempts=3, delay=0, on=TimeoutError)
    )
    assert (outcome.status, outcome.value) == ("succeeded", 3)
    assert outcome.elapsed == pytest.approx(9, abs=1e-3)


async def test_a_timeout_of_the_last_attempt_is_the_runs(scheduler: Scheduler) -> None:
    async def slow() -> None:
        await asyncio.sleep(10)

    outcome = await run_once(scheduler, slow, timeout=1, retry=Retry(attempts=2, delay=1))
    assert (outcome.status, outcome.run.attempt) == ("timed_out", 2)
    assert type(outcome.error) is TimeoutError


async def test_a_timeout_error_of_the_functions_own_is_a_failure(scheduler: Scheduler) -> None:
    async def fetch() -> None:
        async with asyncio.timeout(1):
            await asyncio.sleep(5)

    outcome = await run_once(scheduler, fetch, timeout=60)
    assert (outcome.status, outcome.elapsed) == ("failed", pytest.approx(1, abs=1e-3))
    assert isinstance(outcome.error, TimeoutError)


async def test_a_function_may_clean_up_after_its_timeout(scheduler: Scheduler) -> None:
    cleaned: list[float] = []

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(2)
            cleaned.append(asyncio.get_running_loop().time())

    outcome = await run_once(scheduler, work, timeout=3)
    assert outcome.status == "timed_out"
    assert cleaned == [pytest.approx(5, abs=1e-3)]


async def test_a_run_that_is_done_in_time_is_not_touched(scheduler: Scheduler) -> None:
    async def quick() -> str:
        await asyncio.sleep(2.99)
        return "in time"

    outcome = await run_once(scheduler, quick, timeout=3)
    assert (outcome.status, outcome.value) == ("succeeded", "in time")


async def test_a_cancelled_run_has_not_timed_out(scheduler: Scheduler, told: Told) -> None:
    async def slow() -> None:
        await asyncio.sleep(100)

    job: Job = scheduler.add(slow, NEVER, timeout=50)
    async with scheduler:
        job.trigger_now()
        await asyncio.sleep(1)
        job.remove(cancel=True)
        await settle()
        assert told.statuses() == ["cancelled"]


# -- in threads ----------------------------------------------------------------------------------


async def test_the_next_attempt_waits_for_the_thread_of_the_last(
    scheduler: Scheduler, told: Told
) -> None:
    release, at_once, most = threading.Event(), [0], [0]

    def work(run: Run) -> int:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        if run.attempt == 1:
            release.wait(5)
        at_once[0] -= 1
        return run.attempt

    job = scheduler.add(
        work, NEVER, timeout=0.05, retry=Retry(attempts=2, delay=0, on=TimeoutError)
    )
    async with scheduler:
        run = job.trigger_now()
        await asyncio.wait_for(run.stopping.wait(), 5)
        await settle()
        assert told.outcomes == []
        release.set()
        while not told.outcomes:
            await asyncio.sleep(0.001)
    (outcome,) = told.outcomes
    assert (outcome.status, outcome.value, most) == ("succeeded", 2, [1])
    assert not run.stopping.is_set()


async def test_a_run_that_waits_for_its_thread_can_be_cancelled(
    scheduler: Scheduler, told: Told
) -> None:
    release = threading.Event()
    attempts: list[int] = []

    def work(run: Run) -> None:
        attempts.append(run.attempt)
        release.wait(5)

    job = scheduler.add(work, NEVER, timeout=0.05, retry=Retry(attempts=9, delay=0))
    async with scheduler:
        run = job.trigger_now()
        await asyncio.wait_for(run.stopping.wait(), 5)
        job.remove(cancel=True)
        await settle()
        assert told.statuses() == ["cancelled"]
        release.set()
        while job.running:
            await asyncio.sleep(0.001)
    assert attempts == [1]
    assert told.statuses() == ["cancelled"]
