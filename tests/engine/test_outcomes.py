"""Every fired run has exactly one outcome, whatever becomes of it; and what an outcome says."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from aiosched import (
    Cron,
    Every,
    Job,
    Outcome,
    Refusal,
    Retry,
    Run,
    Scheduler,
    Started,
    testing,
)
from tests.engine.support import NEVER, START, Told, Work, block, nothing, settle


async def forever() -> None:
    await asyncio.sleep(1e6)


@asynccontextmanager
async def open_gate(run: Run) -> AsyncIterator[None]:
    yield


# -- each status ---------------------------------------------------------------------------------


async def test_a_success_has_the_value_and_its_times(scheduler: Scheduler, told: Told) -> None:
    async def answer() -> int:
        await asyncio.sleep(2.5)
        return 42

    scheduler.add(answer, Every(seconds=10), name="answer")
    async with scheduler:
        await asyncio.sleep(15)
    (outcome,) = told.outcomes
    assert (outcome.status, outcome.value) == ("succeeded", 42)
    assert (outcome.error, outcome.refusal) == (None, None)
    assert outcome.run.due_at == START + timedelta(seconds=10)
    assert outcome.at - outcome.started_at == timedelta(seconds=2.5)
    assert outcome.elapsed == 2.5
    assert outcome.lateness < 0.001


async def test_a_failure_has_the_error_and_is_logged(
    scheduler: Scheduler, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    error = ValueError("on purpose")

    async def fail() -> None:
        raise error

    scheduler.add(fail, Every(seconds=10), name="bad")
    async with scheduler:
        await asyncio.sleep(15)
    (outcome,) = told.outcomes
    assert (outcome.status, outcome.value) == ("failed", None)
    assert outcome.error is error
    (record,) = caplog.records
    assert (record.levelname, record.name) == ("ERROR", "aiosched")
    assert record.getMessage() == "job bad failed: ValueError('on purpose')"
    assert (record.aiosched_job, record.aiosched_run) == ("bad", outcome.run.id)
    assert record.exc_info[1] is error


async def test_a_timeout_is_an_outcome_of_its_own(
    scheduler: Scheduler, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler.add(forever, Every(seconds=10), timeout=3, name="slow")
    async with scheduler:
        await asyncio.sleep(15)
    (outcome,) = told.outcomes
    assert (outcome.status, outcome.elapsed) == ("timed_out", 3)
    assert type(outcome.error) is TimeoutError
    assert str(outcome.error) == "slow took longer than 3 s"
    assert "job slow timed out: slow took longer than 3 s" in caplog.text


async def test_a_run_is_cancelled_with_its_job(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(forever, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(12)
        job.remove(cancel=True)
        await settle()
        (outcome,) = told.outcomes
    assert outcome.status == "cancelled"
    assert isinstance(outcome.error, asyncio.CancelledError)
    assert outcome.elapsed == pytest.approx(2, abs=1e-3)


async def test_a_function_that_raises_a_cancellation_is_cancelled(
    scheduler: Scheduler, told: Told
) -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError("enough")

    job = scheduler.add(give_up, NEVER)
    async with scheduler:
        assert (await job.run_now()).status == "cancelled"
    assert len(told.outcomes) == 1


async def test_a_refusal_says_which_gate_and_why(scheduler: Scheduler, told: Told) -> None:
    work = Work()
    job = scheduler.add(work, Every(seconds=10))
    async with scheduler:
        job.trigger_now()
        await asyncio.sleep(11)
        (outcome,) = told.outcomes
        work.end()
    assert (outcome.status, outcome.refusal) == ("refused", Refusal("job_limit", "running"))
    assert (outcome.started_at, outcome.elapsed) == (None, 0)


async def test_a_missed_occurrence_says_why(scheduler: Scheduler, told: Told) -> None:
    scheduler.add(nothing, Every(seconds=10), misfire_grace=1)
    async with scheduler:
        await asyncio.sleep(9)
        block(5)
        await settle()
    (outcome,) = told.outcomes
    assert (outcome.status, outcome.refusal) == ("missed", Refusal("misfire", "too_late"))
    assert outcome.started_at is None
    assert outcome.lateness == 4


async def test_lateness_counts_from_when_a_run_was_to_start(
    scheduler: Scheduler, told: Told
) -> None:
    scheduler.add(nothing, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(9)
        block(5)
        await settle()
    assert told.outcomes[0].lateness == 4


async def test_an_outcome_knows_its_job_and_a_job_its_last_outcome(
    scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, Every(seconds=10))
    assert job.last is None
    async with scheduler:
        await asyncio.sleep(25)
        assert [each.job for each in told.outcomes] == [job, job]
        assert job.last == told.outcomes[-1]
        block(3_600)
        assert job.last == told.outcomes[-1]
    assert job.last == told.outcomes[-1]


@pytest.mark.parametrize("heard", [True, False])
async def test_a_job_knows_its_last_outcome_also_when_nobody_listens(
    heard: bool, scheduler: Scheduler
) -> None:
    async def second_try(run: Run) -> int:
        if run.attempt == 1:
            raise OSError("first")
        return run.number

    @asynccontextmanager
    async def counting(run: Run) -> AsyncIterator[None]:
        run.fence = 7
        yield

    if heard:
        scheduler.on(Outcome, lambda _: None)
    plain = scheduler.add(nothing, Every(seconds=10), name="plain", jitter=2)
    retried = scheduler.add(
        second_try, Every(seconds=10), name="retried", retry=Retry(attempts=2, delay=3)
    )
    gated = scheduler.add(nothing, Every(seconds=10), name="gated", gates=[counting])
    async with scheduler:
        await asyncio.sleep(29)
        last = plain.last
        assert last == plain.last
        assert (last.status, last.run.number, last.run.cause) == ("succeeded", 2, "trigger")
        assert last.run.due_at == START + timedelta(seconds=20)
        assert last.run.due_at < last.started_at == last.at
        assert last.lateness < 0.001
        assert not last.run.stopping.is_set()
        assert repr(last.run).endswith("succeeded>")
        assert (retried.last.run.attempt, retried.last.value) == (2, 2)
        assert retried.last.elapsed == pytest.approx(3, abs=1e-3)
        assert gated.last.run.fence == 7


async def test_a_run_is_shown_with_how_it_ended(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, NEVER, name="job")
    async with scheduler:
        outcome = await job.run_now()
    assert repr(outcome.run) == "<Run job@2026-01-01T00:00:00.000000Z succeeded>"


# -- exactly one ---------------------------------------------------------------------------------


@pytest.mark.parametrize("gates", [(), (open_gate,)])
async def test_a_run_that_is_cancelled_before_its_first_step(
    gates: tuple, scheduler: Scheduler, told: Told
) -> None:
    started: list[Started] = []
    scheduler.on(Started, started.append)
    job = scheduler.add(forever, NEVER, gates=gates)
    async with scheduler:
        run = job.trigger_now()
        job.remove(cancel=True)
        await settle()
        assert told.statuses() == ["cancelled"]
        assert told.outcomes[0].run is run
        assert job.running == ()
        assert scheduler.running == 0
    assert started == []


@pytest.mark.parametrize("gates", [(), (open_gate,)])
async def test_its_slot_is_free_again_when_a_run_never_had_its_first_step(
    gates: tuple, scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, Every(seconds=10), gates=gates, overlap="replace")
    async with scheduler:
        for _ in range(3):
            job.trigger_now()
        await settle()
        assert told.statuses() == ["refused", "cancelled", "succeeded"]
        await asyncio.sleep(15)
    assert told.statuses()[3:] == ["succeeded"]


async def test_a_stop_gives_every_run_its_outcome(make: Callable[..., Scheduler]) -> None:
    scheduler = make(max_running=2)
    told = Told(scheduler)
    stubborn = scheduler.add(forever, NEVER, name="going on", gates=[open_gate])
    queued = scheduler.add(forever, NEVER, name="queued", overlap="queue", max_queued=5)
    async with scheduler:
        runs = [stubborn.trigger_now(), *(queued.trigger_now() for _ in range(4))]
        await settle()
        assert (scheduler.running, scheduler.queued) == (2, 3)
    assert sorted(told.numbers("cancelled")) == sorted(run.number for run in runs)
    assert (scheduler.running, scheduler.queued) == (0, 0)


async def test_a_run_that_pays_no_heed_to_its_cancellation_is_what_it_became(
    scheduler: Scheduler, told: Told
) -> None:
    async def stubborn() -> str:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
        return "done"

    job = scheduler.add(stubborn, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(11)
        job.remove(cancel=True)
        await asyncio.sleep(2)
    (outcome,) = told.outcomes
    assert (outcome.status, outcome.value) == ("succeeded", "done")


async def test_an_error_on_the_way_out_of_a_cancellation_is_a_failure(
    scheduler: Scheduler, told: Told
) -> None:
    async def clumsy() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            raise ValueError("dropped it")

    job = scheduler.add(clumsy, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(11)
        job.remove(cancel=True)
        await settle()
    (outcome,) = told.outcomes
    assert (outcome.status, str(outcome.error)) == ("failed", "dropped it")


async def test_whoever_waits_for_a_run_gets_the_outcome_that_is_told(
    scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        outcome = await job.run_now()
    assert told.outcomes == [outcome]


async def test_a_caller_that_gives_up_leaves_the_run_going_on(
    scheduler: Scheduler, told: Told
) -> None:
    work = Work()
    job = scheduler.add(work, NEVER)
    async with scheduler:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await job.run_now()
        assert told.outcomes == []
        work.end()
        await settle()
        assert told.statuses() == ["succeeded"]


async def test_a_stop_answers_whoever_waits_for_a_run(scheduler: Scheduler) -> None:
    job = scheduler.add(forever, NEVER)
    async with scheduler:
        waiting = asyncio.create_task(job.run_now())
        await settle()
        await scheduler.stop(timeout=1)
        assert (await waiting).status == "cancelled"


@pytest.mark.parametrize("kind", ["async", "sync in the loop", "in a gate", "leaving a gate"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_passes_through(
    kind: str, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    left: list[str] = []
    outcomes: list[Outcome] = []

    async def main(clock: testing.VirtualClock) -> None:
        def work() -> None:
            if kind.startswith(("async", "sync")):
                raise error("enough")

        async def async_work() -> None:
            work()

        @asynccontextmanager
        async def outer(run: Run) -> AsyncIterator[None]:
            yield
            left.append("outer")

        @asynccontextmanager
        async def inner(run: Run) -> AsyncIterator[None]:
            if kind == "in a gate":
                raise error("enough")
            yield
            if kind == "leaving a gate":
                raise error("enough")

        scheduler = Scheduler(clock=clock, listeners=[(Outcome, outcomes.append)])
        job = scheduler.add(
            async_work if kind == "async" else work,
            Every(seconds=1),
            name="job",
            executor="async",
            gates=[outer, inner],
        )
        async with scheduler:
            job.trigger_now()
            await asyncio.sleep(0.5)

    with pytest.raises(error):
        testing.run(main)
    expected = "succeeded" if kind == "leaving a gate" else "failed"
    assert [str(each.status) for each in outcomes] == [expected]
    assert left == ["outer"]
    gc.collect()
    assert "never retrieved" not in caplog.text


class Abort(BaseException):
    """No `Exception`, and nothing that ends a process either."""


@pytest.mark.parametrize("gates", [(), (open_gate,)])
async def test_any_other_base_exception_is_a_failure_that_stays_in_its_run(
    gates: tuple, scheduler: Scheduler, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    async def abort() -> None:
        raise Abort("no exception")

    scheduler.add(abort, Every(seconds=10), gates=gates)
    async with scheduler:
        await asyncio.sleep(25)
        assert scheduler.health().ok
    assert told.statuses() == ["failed", "failed"]
    assert isinstance(told.outcomes[0].error, Abort)
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_a_run_may_keep_its_slot_for_work_that_goes_on(
    scheduler: Scheduler, told: Told
) -> None:
    async def start_something(run: Run) -> str:
        for seconds in (5, 10):
            run.hold_until(asyncio.ensure_future(asyncio.sleep(seconds)))
        return "begun"

    job = scheduler.add(start_something, NEVER)
    async with scheduler:
        outcome = await job.run_now()
        assert (outcome.status, outcome.value) == ("succeeded", "begun")
        assert job.running == (outcome.run,)
        await asyncio.sleep(11)
        assert job.running == ()
    assert told.statuses() == ["succeeded"]


# -- neighbours ----------------------------------------------------------------------------------


async def test_a_failing_job_harms_no_other_nor_the_scheduler(
    scheduler: Scheduler, told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        raise RuntimeError("again")

    caplog.set_level(logging.CRITICAL)
    bad = scheduler.add(fail, Cron("*/5 * * * * *"), name="bad")
    good = scheduler.add(nothing, Cron("*/5 * * * * *"), name="good")
    async with scheduler:
        await asyncio.sleep(31)
        assert scheduler.health().ok
    assert told.statuses(bad) == ["failed"] * 6
    assert told.statuses(good) == ["succeeded"] * 6


async def test_a_thousand_runs_of_all_kinds_have_one_outcome_each(
    make: Callable[..., Scheduler], caplog: pytest.LogCaptureFixture
) -> None:
    async def of_its_own(run: Run) -> None:
        await asyncio.sleep(run.number % 7)
        if run.number % 5 == 0:
            raise ValueError(run.number)

    caplog.set_level(logging.CRITICAL)
    scheduler = make(max_running=6)
    told = Told(scheduler)
    runs: set[tuple[Job, int]] = set()
    jobs = [
        scheduler.add(of_its_own, Every(seconds=1), name=str(number), **options)
        for number, options in enumerate(
            [
                {},
                {"overlap": "queue", "max_queued": 3},
                {"overlap": "replace"},
                {"max_instances": 3, "timeout": 4},
                {"retry": Retry(attempts=2, delay=1)},
                {"gates": [open_gate], "overlap": "replace", "max_instances": 2},
                {"coalesce": "all", "misfire_grace": 5},
                {"from_completion": True},
            ]
        )
    ]
    async with scheduler:
        for turn in range(60):
            await asyncio.sleep(2)
            if turn % 10 == 0:
                block(7)
            runs.update((job, job.trigger_now().number) for job in jobs[:3])
    ended = [(each.job, each.run.number) for each in told.outcomes]
    assert len(ended) == len(set(ended)) > 1_000
    assert runs <= set(ended)
    for job in jobs:
        numbers = sorted(number for each, number in ended if each is job)
        assert numbers == list(range(1, numbers[-1] + 1))
    assert {str(each.status) for each in told.outcomes} == {
        "succeeded",
        "failed",
        "timed_out",
        "cancelled",
        "refused",
        "missed",
    }
