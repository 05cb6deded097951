"""Jobs and schedulers under change: before a start, while running, from a job, from a thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import anyio.from_thread
import pytest

from aiosched import (
    Cron,
    DuplicateJob,
    Every,
    Job,
    JobChanged,
    JobGroup,
    JobState,
    Once,
    Outcome,
    Refusal,
    Run,
    RunDeadlock,
    Scheduler,
    SchedulerClosed,
    TooEarly,
    UnknownJob,
)
from tests.engine.support import Told, Work, settle

START = datetime(2026, 1, 1, tzinfo=UTC)
NEVER = Every(days=1)
Make = Callable[..., Scheduler]


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def seconds(*moments: datetime | None) -> list[float | None]:
    """Return the seconds since the start, without the microseconds that a wake-up takes."""
    return [moment and round((moment - START).total_seconds(), 3) for moment in moments]


def due(told: Told, job: Job | None = None) -> list[float | None]:
    return seconds(*(each.run.due_at for each in told.of(job)))


async def nothing() -> None: ...


@pytest.fixture
def changes(scheduler: Scheduler) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    scheduler.on(JobChanged, lambda event: found.append((event.job.name, str(event.change))))
    return found


# -- run_now, trigger_now ------------------------------------------------------------------------


async def test_run_now_returns_how_the_run_ended(scheduler: Scheduler) -> None:
    async def add(a: int, b: int) -> int:
        await asyncio.sleep(3)
        return a + b

    job = scheduler.add(add, NEVER, args=(1,), kwargs={"b": 2})
    async with scheduler:
        outcome = await job.run_now()
    assert (outcome.status, outcome.value, outcome.run.cause) == ("succeeded", 3, "manual")


async def test_a_refused_run_now_is_an_outcome_with_a_reason(scheduler: Scheduler) -> None:
    work = Work()
    job = scheduler.add(work, NEVER)
    async with scheduler:
        job.trigger_now()
        outcome = await job.run_now()
        work.end()
    assert (outcome.status, outcome.refusal) == ("refused", Refusal("job_limit", "running"))


async def test_trigger_now_does_not_wait(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        run = job.trigger_now()
        assert told.outcomes == []
        await settle()
        assert [each.run for each in told.outcomes] == [run]


async def test_a_manual_run_leaves_the_schedule_alone(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(nothing, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(7)
        await job.run_now()
        await asyncio.sleep(15)
    assert due(told) == [7, 10, 20]


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.FINISHED])
async def test_a_job_that_is_not_scheduled_can_be_run_by_hand(
    state: JobState, scheduler: Scheduler
) -> None:
    job = scheduler.add(nothing, Once(START) if state == "finished" else NEVER)
    await asyncio.sleep(1)
    async with scheduler:
        if state == "paused":
            job.pause()
        assert job.state == state
        assert (await job.run_now()).status == "succeeded"
        assert job.state == state


async def test_a_removed_job_cannot_be_run(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        job.remove()
        with pytest.raises(UnknownJob, match="was removed"):
            await job.run_now()
        with pytest.raises(UnknownJob, match="was removed"):
            job.trigger_now()


async def test_runs_can_be_fired_while_the_scheduler_is_paused(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        scheduler.pause()
        assert (await job.run_now()).status == "succeeded"


async def test_run_now_belongs_on_the_schedulers_loop(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        with pytest.raises(SchedulerClosed, match="runs on another event loop"):
            await asyncio.to_thread(asyncio.run, job.run_now())


# -- deadlocks -----------------------------------------------------------------------------------


async def test_a_job_that_waits_for_itself_gets_an_error(scheduler: Scheduler, told: Told) -> None:
    async def selfish(run: Run) -> None:
        await run.job.run_now()

    job = scheduler.add(selfish, NEVER, name="selfish", overlap="queue")
    async with scheduler:
        outcome = await job.run_now()
    assert isinstance(outcome.error, RunDeadlock)
    assert str(outcome.error) == "job 'selfish' cannot wait for a run of itself"
    assert len(told.outcomes) == 1


async def test_so_does_a_circle_of_jobs(scheduler: Scheduler, told: Told) -> None:
    async def call(name: str) -> Any:
        outcome = await scheduler[name].run_now()
        if outcome.error:
            raise outcome.error

    for name, following in ("ab", "bc", "ca"):
        scheduler.add(call, NEVER, name=name, args=(following,))
    async with scheduler:
        outcome = await scheduler["a"].run_now()
    assert isinstance(outcome.error, RunDeadlock)
    assert [each.job.name for each in told.outcomes] == ["c", "b", "a"]


async def test_a_job_may_wait_for_another(scheduler: Scheduler, told: Told) -> None:
    other = scheduler.add(nothing, NEVER, name="other")

    async def call() -> str:
        return (await other.run_now()).status

    job = scheduler.add(call, NEVER)
    async with scheduler:
        outcome = await job.run_now()
    assert outcome.value == "succeeded"
    assert [each.job for each in told.outcomes] == [other, job]


async def test_whoever_has_given_up_waits_no_more(scheduler: Scheduler) -> None:
    async def impatient() -> str:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await scheduler["patient"].run_now()
        return "gave up"

    async def patient() -> str:
        await asyncio.sleep(5)
        return (await scheduler["impatient"].run_now()).refusal.reason

    scheduler.add(impatient, NEVER, name="impatient", max_runs=1)
    scheduler.add(patient, NEVER, name="patient")
    async with scheduler:
        scheduler["impatient"].trigger_now()
        await asyncio.sleep(6)
        assert scheduler["patient"].last.value == "max_runs"


async def test_what_a_run_has_left_behind_is_no_part_of_it(scheduler: Scheduler) -> None:
    left: list[asyncio.Task[Outcome]] = []

    async def later(job: Job) -> Outcome:
        await asyncio.sleep(5)
        return await job.run_now()

    async def work(run: Run) -> None:
        if run.number == 1:
            left.append(asyncio.create_task(later(run.job)))

    job = scheduler.add(work, NEVER)
    async with scheduler:
        await job.run_now()
        assert (await left[0]).status == "succeeded"


async def test_a_listener_may_ask_for_the_next_run(scheduler: Scheduler, told: Told) -> None:
    asked: list[asyncio.Task[Outcome]] = []

    def again(outcome: Outcome) -> None:
        if outcome.run.number == 1:
            asked.append(asyncio.ensure_future(outcome.job.run_now()))

    job = scheduler.add(nothing, NEVER)
    scheduler.on(Outcome, again)
    async with scheduler:
        await job.run_now()
        assert (await asked[0]).status == "succeeded"


async def test_waiting_for_a_slot_that_one_holds_is_an_error(make: Make) -> None:
    scheduler = make(max_running=1)
    other = scheduler.add(nothing, NEVER, name="other")

    async def call() -> None:
        await other.run_now()

    job = scheduler.add(call, NEVER)
    async with scheduler:
        outcome = await job.run_now()
    assert isinstance(outcome.error, RunDeadlock)
    assert "would wait for ever: max_running=1" in str(outcome.error)


async def test_the_last_slot_is_not_given_away_by_several_who_wait(make: Make) -> None:
    scheduler = make(max_running=2)
    other = scheduler.add(nothing, NEVER, name="other", max_instances=None)

    async def call() -> str:
        await asyncio.sleep(1)
        return (await other.run_now()).status

    jobs = [scheduler.add(call, NEVER, name=name) for name in "ab"]
    async with scheduler:
        first, second = await asyncio.gather(*(job.run_now() for job in jobs))
    assert first.value == "succeeded"  # the slot of the second
    assert isinstance(second.error, RunDeadlock)


async def test_waiting_for_a_slot_that_somebody_else_holds_is_none(make: Make) -> None:
    scheduler = make(max_running=2)
    other = scheduler.add(nothing, NEVER, name="other")
    work = Work()
    holder = scheduler.add(work, NEVER, name="holder")

    async def call() -> str:
        return (await other.run_now()).status

    job = scheduler.add(call, NEVER)
    async with scheduler:
        holder.trigger_now()
        waiting = asyncio.create_task(job.run_now())
        await settle()
        assert scheduler.queued == 1
        work.end()
        assert (await waiting).value == "succeeded"


async def test_a_run_cannot_wait_for_the_schedulers_stop(scheduler: Scheduler) -> None:
    async def stop() -> None:
        await scheduler.stop()

    job = scheduler.add(stop, NEVER)
    async with scheduler:
        outcome = await job.run_now()
    assert isinstance(outcome.error, RunDeadlock)


# -- pause, resume -------------------------------------------------------------------------------


async def test_a_paused_job_is_not_due_and_nothing_is_made_up_for(
    scheduler: Scheduler, told: Told, changes: list
) -> None:
    job = scheduler.add(nothing, Every(seconds=10), name="job")
    async with scheduler:
        await asyncio.sleep(15)
        job.pause()
        assert (job.state, job.next_run, job.next_runs(3)) == ("paused", None, [])
        await asyncio.sleep(20)
        job.resume()
        assert job.state == "scheduled"
        assert seconds(job.next_run) == [40]  # its phase is kept
        await asyncio.sleep(20)
    assert due(told) == [10, 40, 50]
    assert changes == [("job", "added"), ("job", "paused"), ("job", "resumed")]


@pytest.mark.parametrize("trigger", [Every(seconds=10), Cron("*/10 * * * * *")])
async def test_a_pause_until_a_moment_ends_with_it(
    trigger: Any, scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, trigger)
    async with scheduler:
        await asyncio.sleep(5)
        job.pause(until=at(30))
        assert (job.state, *seconds(job.next_run)) == ("paused", 30)
        await asyncio.sleep(30)
        assert job.state == "scheduled"
        await asyncio.sleep(10)
    assert due(told) == [30, 40]


async def test_a_pause_until_a_moment_can_be_ended_before(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(nothing, Every(seconds=10))
    async with scheduler:
        job.pause(until=at(1_000))
        await asyncio.sleep(15)
        job.resume()
        assert job.state == "scheduled"
        await asyncio.sleep(10)
    assert due(told) == [20]


async def test_a_pause_until_a_moment_becomes_one_for_good_and_back(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, Every(seconds=10))
    async with scheduler:
        job.pause(until=at(30))
        job.pause()
        assert (job.state, job.next_run) == ("paused", None)
        job.pause(until=at(30))
        assert (job.state, *seconds(job.next_run)) == ("paused", 30)


async def test_a_pause_beyond_the_last_moment_can_be_taken_back(
    scheduler: Scheduler, told: Told, changes: list
) -> None:
    job = scheduler.add(nothing, Once(at(10)), name="job")
    async with scheduler:
        job.pause(until=at(60))
        assert job.next_run is None
        await asyncio.sleep(5)
        job.resume()
        assert seconds(job.next_run) == [10]
        await asyncio.sleep(10)
    assert due(told) == [10]


async def test_a_delay_that_passes_in_a_pause_has_passed(scheduler: Scheduler, told: Told) -> None:
    scheduler.once(after=10, name="job")(nothing)
    job = scheduler["job"]
    async with scheduler:
        job.pause(until=at(15))
        await asyncio.sleep(60)
        assert job.state == "finished"
    assert told.outcomes == []


async def test_a_job_may_be_paused_before_the_start(scheduler: Scheduler, told: Told) -> None:
    for_good = scheduler.add(nothing, Every(seconds=10), name="for good")
    for_now = scheduler.add(nothing, Every(seconds=10), name="for now")
    for_good.pause()
    for_now.pause(until=at(25))
    assert (for_good.state, for_now.state) == ("paused", "paused")
    assert (for_good.next_run, *seconds(for_now.next_run)) == (None, 30)
    async with scheduler:
        await asyncio.sleep(35)
        assert for_good.state == "paused"
    assert due(told) == [30]


async def test_pausing_and_resuming_twice_changes_nothing(
    scheduler: Scheduler, told: Told, changes: list
) -> None:
    job = scheduler.add(nothing, Every(seconds=10), name="job")
    async with scheduler:
        job.resume()
        job.pause()
        job.pause()
        job.resume()
        job.resume()
        await asyncio.sleep(15)
    assert changes[1:] == [("job", "paused"), ("job", "paused"), ("job", "resumed")]
    assert due(told) == [10]


async def test_a_finished_job_stays_finished(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, Once(START))
    await asyncio.sleep(1)
    async with scheduler:
        job.pause()
        job.resume()
        assert job.state == "finished"


@pytest.mark.parametrize(
    ("until", "error"), [(START.replace(tzinfo=None), ValueError), ("soon", TypeError)]
)
def test_a_pause_ends_at_an_aware_moment(until: Any, error: type, scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, NEVER)
    with pytest.raises(error, match="until must be"):
        job.pause(until=until)
    assert job.state == "scheduled"


async def test_a_pause_leaves_runs_alone(scheduler: Scheduler, told: Told) -> None:
    work = Work()
    job = scheduler.add(work, Every(seconds=10), overlap="queue")
    async with scheduler:
        await asyncio.sleep(25)
        job.pause()
        work.end()
        await settle()
        assert work.began == [1, 2]
        work.end()
        await settle()
    assert told.statuses() == ["succeeded", "succeeded"]


async def test_a_paused_scheduler_fires_nothing_and_makes_nothing_up(
    scheduler: Scheduler, told: Told
) -> None:
    every = scheduler.add(nothing, Every(seconds=10), name="every")
    cron = scheduler.add(nothing, Cron("*/10 * * * * *"), name="cron")
    async with scheduler:
        await asyncio.sleep(15)
        scheduler.pause()
        scheduler.pause()
        assert scheduler.state == "paused"
        assert (every.state, *seconds(every.next_run)) == ("scheduled", 20)
        added = scheduler.add(nothing, Every(seconds=10), name="added")
        await asyncio.sleep(20)
        scheduler.resume()
        scheduler.resume()
        assert scheduler.state == "running"
        await asyncio.sleep(12)
    assert due(told, every) == due(told, cron) == [10, 40]
    assert due(told, added) == [45]


# -- update --------------------------------------------------------------------------------------


async def test_an_update_of_options_keeps_phase_and_history(
    scheduler: Scheduler, told: Told, changes: list
) -> None:
    job = scheduler.add(nothing, Every(seconds=10), name="job")
    async with scheduler:
        await asyncio.sleep(15)
        job.update(timeout=5, tags=["new"], start_at=None)
        assert job.last is not None
        assert seconds(job.next_run) == [20]
        await asyncio.sleep(10)
    assert due(told) == [10, 20]
    assert [each.run.number for each in told.outcomes] == [1, 2]
    assert changes[1:] == [("job", "updated")]


async def test_an_update_of_the_trigger_counts_from_the_last_occurrence(
    scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(12)
        job.update(trigger=Every(seconds=4))
        assert seconds(job.next_run) == [14]
        await asyncio.sleep(7)
        job.update(trigger=Cron("*/10 * * * * *"))
        assert seconds(job.next_run) == [20]
        await asyncio.sleep(12)
        job.update(trigger=Every(seconds=10))
        assert seconds(job.next_run) == [41]
        await asyncio.sleep(11)
    assert due(told) == [10, 14, 18, 20, 30, 41]


async def test_the_same_occurrence_is_not_repeated_by_an_update(
    scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, Cron("*/10 * * * * *"))
    scheduler.on(Outcome, lambda _: job.update(trigger=Cron("*/5 * * * * *")))
    async with scheduler:
        await asyncio.sleep(17)
    assert due(told) == [10, 15]


@pytest.mark.parametrize("trigger", [Every(seconds=10, anchor=START), Cron("*/10 * * * * *")])
async def test_an_update_may_change_the_clock_that_a_job_follows(
    trigger: Any, scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, trigger)
    async with scheduler:
        await asyncio.sleep(15)
        job.update(trigger=Every(seconds=10), from_completion=True)
        await asyncio.sleep(11)
        job.update(trigger=trigger, from_completion=False)
        await asyncio.sleep(10)
    assert due(told) == [10, 25, 30]


async def test_bounds_can_be_moved(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(nothing, Cron("*/10 * * * * *"), stop_at=at(15))
    async with scheduler:
        await asyncio.sleep(25)
        assert job.state == "finished"
        job.update(stop_at=at(40))
        assert job.state == "scheduled"
        await asyncio.sleep(30)
        assert job.state == "finished"
    assert due(told) == [10, 30, 40]


async def test_a_moved_bound_holds_for_what_is_planned(scheduler: Scheduler, told: Told) -> None:
    earlier = scheduler.add(nothing, Cron("*/10 * * * * *"), name="earlier")
    later = scheduler.add(nothing, Cron("*/10 * * * * *"), name="later")
    late = scheduler.add(nothing, Cron("*/10 * * * * *"), name="late")
    async with scheduler:
        await asyncio.sleep(15)
        earlier.update(stop_at=at(18))
        assert earlier.state == "finished"
        later.update(start_at=at(35))
        late.update(jitter=9)
        await asyncio.sleep(30)
    assert due(told, earlier) == [10]
    assert due(told, later) == [10, 40]
    assert told.of(late)[1].started_at > at(20.5)


async def test_a_running_job_goes_on_with_what_it_began_with(scheduler: Scheduler) -> None:
    work = Work()
    job = scheduler.add(work, NEVER)
    async with scheduler:
        job.trigger_now()
        await settle()
        job.update(timeout=1)
        await asyncio.sleep(5)
        assert len(job.running) == 1
        work.end()


async def test_a_higher_limit_lets_queued_runs_in(scheduler: Scheduler) -> None:
    work = Work()
    job = scheduler.add(work, NEVER, overlap="queue", max_queued=None)
    async with scheduler:
        for _ in range(5):
            job.trigger_now()
        await settle()
        job.update(max_instances=3)
        await settle()
        assert (work.running, scheduler.queued) == (3, 2)
        job.update(max_instances=None)
        await settle()
        assert (work.running, scheduler.queued) == (5, 0)
        work.end()


async def test_a_paused_job_can_be_updated(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(nothing, Every(seconds=10))
    async with scheduler:
        job.pause()
        job.update(trigger=Every(seconds=3))
        await asyncio.sleep(20)
        assert job.state == "paused"
        job.resume()
        await asyncio.sleep(2)
    assert due(told) == [21]


async def test_a_job_can_be_updated_before_the_start(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(nothing, Every(seconds=10))
    job.update(trigger=Every(seconds=4), max_runs=2)
    assert seconds(*job.next_runs(5)) == [4, 8]
    async with scheduler:
        await asyncio.sleep(20)
    assert due(told) == [4, 8]


# -- remove --------------------------------------------------------------------------------------


async def test_a_removed_job_is_forgotten_and_its_run_goes_on(
    scheduler: Scheduler, told: Told, changes: list
) -> None:
    work = Work()
    job = scheduler.add(work, Every(seconds=10), name="job", overlap="queue")
    async with scheduler:
        await asyncio.sleep(25)
        job.remove()
        assert (job.state, job.next_run, dict(scheduler.jobs)) == ("removed", None, {})
        assert told.statuses() == ["cancelled"]  # the queued one
        await asyncio.sleep(30)
        work.end()
        await settle()
    assert told.statuses() == ["cancelled", "succeeded"]
    assert changes == [("job", "added"), ("job", "removed")]


async def test_a_removed_job_may_be_cancelled_as_well(scheduler: Scheduler, told: Told) -> None:
    work = Work()
    scheduler.add(work, NEVER, name="job", max_instances=2, overlap="queue")
    async with scheduler:
        for _ in range(3):
            scheduler["job"].trigger_now()
        await settle()
        scheduler.remove("job", cancel=True)
        await settle()
        assert told.statuses() == ["cancelled"] * 3
        assert work.running == 0


@pytest.mark.parametrize("change", ["pause", "resume", "update"])
async def test_a_removed_job_cannot_be_changed(change: str, scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, NEVER)
    job.remove()
    with pytest.raises(UnknownJob, match="was removed"):
        getattr(job, change)()


async def test_a_run_that_waits_for_a_store_is_cancelled_with_its_job(
    scheduler: Scheduler, told: Told
) -> None:
    class Fast:
        """A locker by whose clock everything is too early."""

        async def lock(self, key: str) -> Any:
            raise TooEarly(wait=60)

    job = scheduler.add(nothing, Every(seconds=10), name="job", locker=Fast())
    async with scheduler:
        await asyncio.sleep(15)
        assert told.outcomes == []
        job.remove()
        await settle()
        assert told.statuses() == ["cancelled"]


# -- from inside a job ---------------------------------------------------------------------------


async def test_a_job_may_change_jobs_from_inside(scheduler: Scheduler, told: Told) -> None:
    async def manage(run: Run) -> None:
        if run.number == 1:
            scheduler.add(nothing, Every(seconds=3), name="added")
            scheduler["paused"].pause()
            scheduler["updated"].update(trigger=Every(seconds=100))
            scheduler.remove("removed")
        else:
            scheduler["paused"].resume()
            run.job.remove()

    for name in ("paused", "updated", "removed"):
        scheduler.add(nothing, Every(seconds=7), name=name)
    job = scheduler.add(manage, Every(seconds=5), name="manager")
    async with scheduler:
        await asyncio.sleep(15)
        assert sorted(scheduler.jobs) == ["added", "paused", "updated"]
        assert job.state == "removed"
    assert due(told, job) == [5, 10]
    assert [
        (each.job.name, *seconds(each.run.due_at)) for each in told.of() if each.job is not job
    ] == [
        ("added", 8),
        ("added", 11),
        ("paused", 14),
        ("added", 14),
    ]


async def test_a_job_may_end_itself(scheduler: Scheduler, told: Told) -> None:
    async def once(run: Run) -> str:
        run.job.remove(cancel=True)
        await asyncio.sleep(1)
        return "not reached"

    scheduler.add(once, Every(seconds=5))
    async with scheduler:
        await asyncio.sleep(20)
    assert told.statuses() == ["cancelled"]


async def test_a_sync_job_may_change_jobs_from_its_thread(scheduler: Scheduler, told: Told) -> None:
    other = scheduler.add(nothing, Every(seconds=7), name="other")
    seen: list[Any] = []

    def manage() -> None:
        scheduler.add(nothing, Every(seconds=3), name="added")
        other.pause()
        seen.extend([other.state, len(scheduler)])
        other.resume()
        other.update(trigger=Every(seconds=100))
        seen.append(scheduler["added"].trigger_now().number)
        scheduler.remove("added")
        group = JobGroup()
        group.every(seconds=1, name="grouped")(nothing)
        scheduler.include(group)
        seen.append(sorted(scheduler.jobs))
        scheduler.pause()
        scheduler.resume()

    job = scheduler.add(manage, NEVER, name="manager")
    async with scheduler:
        outcome = await job.run_now()
        assert outcome.error is None
    assert seen == ["paused", 3, 1, ["grouped", "manager", "other"]]


async def test_an_error_comes_back_to_the_thread(scheduler: Scheduler) -> None:
    def manage() -> None:
        scheduler.add(nothing, NEVER, name="manager")

    job = scheduler.add(manage, NEVER, name="manager")
    async with scheduler:
        outcome = await job.run_now()
    assert isinstance(outcome.error, DuplicateJob)


async def test_a_sync_job_may_wait_for_a_run_but_not_for_its_own(scheduler: Scheduler) -> None:
    other = scheduler.add(nothing, NEVER, name="other")

    def call(run: Run) -> str:
        status = anyio.from_thread.run(other.run_now).status
        with pytest.raises(RunDeadlock):
            anyio.from_thread.run(run.job.run_now)
        return status

    job = scheduler.add(call, NEVER)
    async with scheduler:
        assert (await job.run_now()).value == "succeeded"


# -- what comes next -----------------------------------------------------------------------------


async def test_next_runs_honour_bounds_and_max_runs(scheduler: Scheduler) -> None:
    job = scheduler.add(
        nothing, Cron("*/10 * * * * *"), start_at=at(20), stop_at=at(90), max_runs=4
    )
    assert seconds(*job.next_runs(10)) == [20, 30, 40, 50]
    async with scheduler:
        await asyncio.sleep(35)
        assert seconds(*job.next_runs(10)) == [40, 50]
        job.update(max_runs=None)
        assert seconds(*job.next_runs(10)) == [40, 50, 60, 70, 80, 90]
        assert seconds(*job.next_runs(2)) == [40, 50]
        assert job.next_runs(0) == []
    with pytest.raises(ValueError, match="n must not be negative, got -1"):
        job.next_runs(-1)


async def test_next_runs_of_an_interval_are_those_that_come(
    scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, Every(seconds=10))
    assert seconds(*job.next_runs(3)) == [10, 20, 30]
    async with scheduler:
        await asyncio.sleep(12)
        foreseen = job.next_runs(3)
        await asyncio.sleep(30)
    assert due(told)[1:] == seconds(*foreseen)
    assert seconds(job.next_run) == [52]  # if it started now


async def test_next_runs_of_a_single_delay_are_one(scheduler: Scheduler) -> None:
    scheduler.once(after="90s", name="job")(nothing)
    assert seconds(*scheduler["job"].next_runs(3)) == [90]
    async with scheduler:
        assert seconds(*scheduler["job"].next_runs(3)) == [90]


async def test_nothing_is_foreseen_while_an_interval_waits_for_the_end_of_a_run(
    scheduler: Scheduler,
) -> None:
    work = Work()
    job = scheduler.add(work, Every(seconds=10), from_completion=True)
    async with scheduler:
        assert seconds(*job.next_runs(2)) == [10, 20]
        await asyncio.sleep(12)
        assert job.next_run is None
        work.end()
        await settle()
        assert seconds(*job.next_runs(2)) == [22, 32]


async def test_next_runs_are_in_the_triggers_zone(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, Cron("0 9 * * *", tz="Europe/Berlin"))
    assert [str(each) for each in job.next_runs(1)] == ["2026-01-01 09:00:00+01:00"]


async def test_next_runs_of_a_custom_trigger_are_in_its_zone_too(scheduler: Scheduler) -> None:
    class Noon:
        """Noon in Tokyo."""

        zone_of_it = timezone(timedelta(hours=9))

        def next_after(self, moment: datetime) -> datetime:
            noon = moment.astimezone(self.zone_of_it).replace(hour=12, minute=0, second=0)
            return noon if noon > moment else noon + timedelta(days=1)

    job = scheduler.add(nothing, Noon())
    expected = ["2026-01-01 12:00:00+09:00", "2026-01-02 12:00:00+09:00"]
    assert [str(each) for each in job.next_runs(2)] == expected
    async with scheduler:
        assert [str(each) for each in job.next_runs(2)] == expected


async def test_next_runs_of_a_union_are_each_in_the_zone_that_named_it(
    scheduler: Scheduler,
) -> None:
    trigger = Cron("0 9 * * *", tz="Europe/Berlin") | Cron("0 20 * * *", tz="Asia/Tokyo")
    job = scheduler.add(nothing, trigger)
    assert [str(each) for each in job.next_runs(2)] == [
        "2026-01-01 09:00:00+01:00",
        "2026-01-01 20:00:00+09:00",
    ]


# -- a running job -------------------------------------------------------------------------------


async def test_running_are_the_runs_that_hold_a_slot(scheduler: Scheduler) -> None:
    work = Work()
    job = scheduler.add(work, NEVER, max_instances=2, overlap="queue")
    async with scheduler:
        runs = [job.trigger_now() for _ in range(3)]
        assert job.running == tuple(runs[:2])
        await settle()
        work.end(1)
        await settle()
        assert job.running == (runs[1], runs[2])
        work.end()
    assert job.running == ()


async def test_a_group_can_be_included_while_running(
    scheduler: Scheduler, told: Told, changes: list
) -> None:
    group = JobGroup()
    group.every(seconds=5, name="a")(nothing)
    group.every(seconds=5, name="b")(nothing)
    twice = JobGroup()
    twice.every(seconds=5, name="c")(nothing)
    twice.every(seconds=5, name="c")(nothing)
    async with scheduler:
        scheduler.include(group)
        with pytest.raises(DuplicateJob, match="two jobs of a group are named 'c'"):
            scheduler.include(twice)
        await asyncio.sleep(7)
    assert [each.job.name for each in told.outcomes] == ["a", "b"]
    assert changes == [("a", "added"), ("b", "added")]


async def test_a_gate_may_look_at_its_job(scheduler: Scheduler) -> None:
    seen: list[Any] = []

    @asynccontextmanager
    async def gate(run: Run) -> AsyncIterator[None]:
        seen.extend([run.job.running, scheduler.running])
        yield

    job = scheduler.add(nothing, NEVER, gates=[gate])
    async with scheduler:
        outcome = await job.run_now()
    assert seen == [(outcome.run,), 1]
