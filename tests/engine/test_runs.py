"""When runs start, and what a run and its job know: cadence, bounds, numbers, contexts."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from aiosched import (
    Cron,
    Daily,
    Every,
    JobChanged,
    Once,
    Planned,
    RandomEvery,
    Run,
    Scheduler,
    SchedulerChanged,
    SchedulerClosed,
    Started,
)
from aiosched.testing import VirtualClock
from tests.engine.support import Told, Work, settle

START = datetime(2026, 1, 1, tzinfo=UTC)
Make = Callable[..., Scheduler]


def seconds(*moments: datetime | None) -> list[float]:
    """Return the seconds since the start, without the microseconds that a wake-up takes."""
    return [round((moment - START).total_seconds(), 3) for moment in moments if moment is not None]


async def nothing() -> None: ...


# -- cadence -------------------------------------------------------------------------------------


async def test_an_interval_begins_one_interval_after_the_start(
    scheduler: Scheduler, told: Told
) -> None:
    scheduler.add(nothing, Every(seconds=10))
    await asyncio.sleep(3)
    async with scheduler:
        await asyncio.sleep(35)
    assert seconds(*(each.run.due_at for each in told.outcomes)) == [13, 23, 33]


async def test_a_run_never_moves_the_next_occurrence(scheduler: Scheduler, told: Told) -> None:
    async def slow() -> None:
        await asyncio.sleep(7)

    scheduler.add(slow, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(48)
    assert seconds(*(each.started_at for each in told.outcomes)) == [10, 20, 30, 40]


async def test_from_completion_counts_from_the_end_of_the_run(
    scheduler: Scheduler, told: Told
) -> None:
    async def slow() -> None:
        await asyncio.sleep(7)

    scheduler.add(slow, Every(seconds=10), from_completion=True)
    async with scheduler:
        await asyncio.sleep(50)
    assert seconds(*(each.run.due_at for each in told.outcomes)) == [10, 27, 44]


async def test_from_completion_goes_on_after_a_refusal(scheduler: Scheduler, told: Told) -> None:
    work = Work()
    job = scheduler.add(work, Every(seconds=10), from_completion=True)
    async with scheduler:
        job.trigger_now()
        await asyncio.sleep(15)
        work.end()
        await asyncio.sleep(12)
        work.end()
        await asyncio.sleep(1)
    assert told.statuses() == ["refused", "succeeded", "succeeded"]
    assert seconds(*(each.run.due_at for each in told.outcomes)) == [10, 0, 25]


async def test_from_completion_ends_after_its_last_run(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(nothing, Every(seconds=10), from_completion=True, max_runs=2)
    async with scheduler:
        await asyncio.sleep(60)
        assert job.state == "finished"
    assert told.statuses() == ["succeeded", "succeeded"]


async def test_from_completion_with_a_random_interval_stays_within_its_bounds(
    scheduler: Scheduler, told: Told
) -> None:
    scheduler.add(nothing, RandomEvery(5, 10), from_completion=True)
    async with scheduler:
        await asyncio.sleep(200)
    due = [0.0, *seconds(*(each.run.due_at for each in told.outcomes))]
    gaps = [after - before for before, after in pairwise(due)]
    assert all(5 <= gap < 10 for gap in gaps)
    assert len(set(gaps)) > 10


@pytest.mark.parametrize("change", ["update", "pause", "pause the scheduler"])
async def test_from_completion_counts_from_the_end_whatever_happens_meanwhile(
    change: str, scheduler: Scheduler, told: Told
) -> None:
    work = Work()
    job = scheduler.add(work, Every(seconds=10), from_completion=True)
    async with scheduler:
        await asyncio.sleep(12)
        if change == "update":
            job.update(priority=1)
        else:
            paused: Any = job if change == "pause" else scheduler
            paused.pause()
            paused.resume()
        await asyncio.sleep(3)
        work.end()
        await asyncio.sleep(9.5)
        assert work.began == [1]
        await asyncio.sleep(1)
        assert work.began == [1, 2]
        work.end()


async def test_moments_come_once_each_and_then_the_job_is_finished(
    scheduler: Scheduler, told: Told
) -> None:
    moments = [START + timedelta(seconds=each) for each in (30, 10)]
    job = scheduler.add(nothing, Once(*moments))
    changes: list[str] = []
    scheduler.on(JobChanged, lambda event: changes.append(event.change))
    async with scheduler:
        await asyncio.sleep(40)
        assert job.state == "finished"
        assert job.next_run is None
    assert seconds(*(each.started_at for each in told.outcomes)) == [10, 30]
    assert changes == ["finished"]


async def test_a_moment_that_is_past_at_the_start_is_not_made_up_for(
    scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, Once(START))
    await asyncio.sleep(1)
    async with scheduler:
        assert job.state == "finished"
    assert told.outcomes == []


async def test_a_delay_of_nothing_is_due_at_once(scheduler: Scheduler, told: Told) -> None:
    scheduler.once(after=0)(nothing)
    async with scheduler:
        await asyncio.sleep(0.1)
    assert told.statuses() == ["succeeded"]


async def test_a_delay_that_is_over_is_not_repeated_by_an_update(
    scheduler: Scheduler, told: Told
) -> None:
    scheduler.once(after=5, name="job")(nothing)
    async with scheduler:
        await asyncio.sleep(10)
        scheduler["job"].update(tags=["new"])
        await asyncio.sleep(10)
        assert scheduler["job"].state == "finished"
    assert seconds(*(each.run.due_at for each in told.outcomes)) == [5]


async def test_a_custom_trigger_is_followed_to_its_end(scheduler: Scheduler, told: Told) -> None:
    class Doubling:
        def next_after(self, moment: datetime) -> datetime | None:
            due = START
            for exponent in range(4):
                due = START + timedelta(seconds=2**exponent)
                if due > moment:
                    return due
            return None

    job = scheduler.add(nothing, Doubling())
    async with scheduler:
        await asyncio.sleep(20)
        assert job.state == "finished"
    assert seconds(*(each.started_at for each in told.outcomes)) == [1, 2, 4, 8]


async def test_wall_clock_jobs_follow_the_schedulers_zone(make: Make) -> None:
    scheduler = make(timezone="Europe/Berlin")
    job = scheduler.add(nothing, Daily(at="09:00"))
    assert str(job.next_run) == "2026-01-01 09:00:00+01:00"
    other = scheduler.add(nothing, Daily(at="09:00", tz="Asia/Tokyo"), name="other")
    assert str(other.next_run) == "2026-01-02 09:00:00+09:00"


async def test_what_is_due_together_starts_in_the_order_of_adding(scheduler: Scheduler) -> None:
    started: list[str] = []
    scheduler.on(Started, lambda event: started.append(event.job.name))
    for name in "cab":
        scheduler.add(nothing, Cron("* * * * * *"), name=name)
    async with scheduler:
        await asyncio.sleep(1.5)
    assert started == ["c", "a", "b"]


async def test_a_higher_priority_starts_first(scheduler: Scheduler) -> None:
    started: list[str] = []
    scheduler.on(Started, lambda event: started.append(event.job.name))
    for name, priority in {"low": -1, "usual": 0, "high": 5, "usual too": 0}.items():
        scheduler.add(nothing, Cron("* * * * * *"), name=name, priority=priority)
    async with scheduler:
        await asyncio.sleep(1.5)
    assert started == ["high", "usual", "usual too", "low"]


# -- bounds --------------------------------------------------------------------------------------


async def test_both_bounds_are_inclusive(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(
        nothing,
        Cron("*/10 * * * * *"),
        start_at=START + timedelta(seconds=20),
        stop_at=START + timedelta(seconds=40),
    )
    async with scheduler:
        await asyncio.sleep(60)
        assert job.state == "finished"
    assert seconds(*(each.run.due_at for each in told.outcomes)) == [20, 30, 40]


async def test_start_at_anchors_an_interval(scheduler: Scheduler, told: Told) -> None:
    scheduler.add(nothing, Every(seconds=10), start_at=START + timedelta(seconds=3))
    async with scheduler:
        await asyncio.sleep(30)
    assert seconds(*(each.run.due_at for each in told.outcomes)) == [3, 13, 23]


async def test_start_at_is_the_first_run_from_completion(scheduler: Scheduler, told: Told) -> None:
    start = START + timedelta(seconds=25)
    job = scheduler.add(nothing, Every(seconds=10), from_completion=True, start_at=start)
    assert seconds(*job.next_runs(2)) == [25, 35]
    async with scheduler:
        assert seconds(*job.next_runs(2)) == [25, 35]
        await asyncio.sleep(50)
    assert seconds(*(each.run.due_at for each in told.outcomes)) == [25, 35, 45]


async def test_stop_at_ends_what_counts_from_completion(scheduler: Scheduler, told: Told) -> None:
    stop = START + timedelta(seconds=25)
    job = scheduler.add(nothing, Every(seconds=10), from_completion=True, stop_at=stop)
    async with scheduler:
        await asyncio.sleep(60)
        assert job.state == "finished"
    assert seconds(*(each.run.due_at for each in told.outcomes)) == [10, 20]


async def test_stop_at_ends_an_interval_too(scheduler: Scheduler, told: Told) -> None:
    stop = START + timedelta(seconds=20)
    job = scheduler.add(nothing, Every(seconds=10), stop_at=stop)
    assert seconds(*job.next_runs(5)) == [10, 20]
    async with scheduler:
        await asyncio.sleep(60)
        assert job.state == "finished"
    assert seconds(*(each.run.due_at for each in told.outcomes)) == [10, 20]


async def test_a_job_whose_time_is_over_is_finished_at_once(scheduler: Scheduler) -> None:
    await asyncio.sleep(10)
    async with scheduler:
        job = scheduler.add(nothing, Every(seconds=1), stop_at=START + timedelta(seconds=5))
        assert job.state == "finished"


async def test_a_job_ends_after_so_many_started_runs(scheduler: Scheduler, told: Told) -> None:
    work = Work()
    job = scheduler.add(work, Every(seconds=10), max_runs=2)
    async with scheduler:
        await asyncio.sleep(25)
        work.end()
        await asyncio.sleep(10)
        assert (job.state, job.next_run) == ("scheduled", None)  # its last run goes on
        work.end()
        await asyncio.sleep(30)
        assert job.state == "finished"
    assert told.statuses() == ["refused", "succeeded", "succeeded"]


async def test_a_manual_run_counts_and_one_too_many_is_refused(
    scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, Every(seconds=10), max_runs=2)
    async with scheduler:
        await job.run_now()
        await asyncio.sleep(30)
        outcome = await job.run_now()
    assert told.statuses() == ["succeeded", "succeeded", "refused"]
    assert (outcome.refusal.gate, outcome.refusal.reason) == ("job_limit", "max_runs")
    assert outcome.started_at is None


async def test_runs_that_are_queued_when_the_last_has_started_are_refused(
    scheduler: Scheduler, told: Told
) -> None:
    work = Work()
    job = scheduler.add(work, Every(seconds=10), max_runs=1, overlap="queue", max_queued=None)
    async with scheduler:
        for _ in range(3):
            job.trigger_now()
        await asyncio.sleep(1)
        work.end()
        await asyncio.sleep(1)
        assert job.state == "finished"
    assert told.statuses() == ["succeeded", "refused", "refused"]


async def test_a_finished_job_goes_on_with_a_higher_limit(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(nothing, Every(seconds=10), max_runs=1)
    async with scheduler:
        await asyncio.sleep(15)
        assert job.state == "finished"
        job.update(max_runs=2)
        assert job.state == "scheduled"
        await asyncio.sleep(20)
        assert job.state == "finished"
    assert seconds(*(each.run.due_at for each in told.outcomes)) == [10, 20]


# -- on start ------------------------------------------------------------------------------------


async def test_run_on_start_is_one_extra_run(scheduler: Scheduler, told: Told) -> None:
    scheduler.add(nothing, Every(seconds=10), run_on_start=True)
    async with scheduler:
        await asyncio.sleep(15)
    assert [each.run.cause for each in told.outcomes] == ["start", "trigger"]
    assert seconds(*(each.run.due_at for each in told.outcomes)) == [0, 10]


async def test_a_paused_job_does_not_run_on_start(scheduler: Scheduler, told: Told) -> None:
    for name in "abc":
        scheduler.add(nothing, Every(seconds=10), run_on_start=True, name=name)
    scheduler["a"].pause()
    scheduler["b"].pause(until=START + timedelta(seconds=5))
    async with scheduler:
        await asyncio.sleep(1)
    assert [each.job.name for each in told.outcomes] == ["c"]


async def test_a_finished_job_does_not_run_on_start(scheduler: Scheduler, told: Told) -> None:
    job = scheduler.add(nothing, Every(seconds=10), run_on_start=True, max_runs=1)
    for _ in range(2):
        async with scheduler:
            await asyncio.sleep(1)
            assert job.state == "finished"
    assert told.statuses() == ["succeeded"]


async def test_from_completion_counts_from_the_run_on_start(
    scheduler: Scheduler, told: Told
) -> None:
    async def slow() -> None:
        await asyncio.sleep(4)

    scheduler.add(slow, Every(seconds=10), run_on_start=True, from_completion=True)
    async with scheduler:
        await asyncio.sleep(20)
    assert seconds(*(each.run.due_at for each in told.outcomes)) == [0, 14]


# -- what a run knows ----------------------------------------------------------------------------


async def test_a_run_knows_its_job_number_and_cause(scheduler: Scheduler) -> None:
    runs: list[Run] = []

    async def note(run: Run) -> None:
        runs.append(run)

    job = scheduler.add(note, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(25)
        await job.run_now()
    assert [run.number for run in runs] == [1, 2, 3]
    assert [run.cause for run in runs] == ["trigger", "trigger", "manual"]
    assert all(run.job is job for run in runs)
    assert (runs[0].attempt, runs[0].delivery_attempt, runs[0].fence, runs[0].lock) == (
        1,
        1,
        None,
        None,
    )


async def test_a_run_starts_from_a_copy_of_the_context_of_the_start(scheduler: Scheduler) -> None:
    colour = contextvars.ContextVar("colour", default="none")
    seen: list[str] = []

    async def paint(run: Run) -> None:
        seen.append(colour.get())
        colour.set(f"by {run.number}")

    scheduler.add(paint, Every(seconds=10))
    colour.set("at the start")
    async with scheduler:
        colour.set("later")
        await asyncio.sleep(25)
    assert seen == ["at the start", "at the start"]


@pytest.mark.parametrize("prepared", [True, False])
async def test_a_job_may_have_a_context_of_its_own(prepared: bool, scheduler: Scheduler) -> None:
    colour = contextvars.ContextVar("colour", default="none")
    context = contextvars.Context()
    if prepared:
        context.run(colour.set, "its own")

    async def look() -> str:
        return colour.get()

    job = scheduler.add(look, Every(seconds=10), context=context)
    colour.set("at the start")
    async with scheduler:
        outcome = await job.run_now()
    assert outcome.value == ("its own" if prepared else "none")


async def test_planned_tells_each_next_occurrence(scheduler: Scheduler) -> None:
    planned: list[Planned] = []
    scheduler.on(Planned, planned.append)
    scheduler.add(nothing, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(25)
    assert seconds(*(each.due_at for each in planned)) == [10, 20, 30]
    assert seconds(*(each.at for each in planned)) == [0, 10, 20]


async def test_jitter_delays_a_run_and_never_its_occurrence(
    scheduler: Scheduler, told: Told
) -> None:
    scheduler.add(nothing, Cron("*/10 * * * * *"), jitter=5)
    async with scheduler:
        await asyncio.sleep(299)
    delays = [each.started_at - each.run.due_at for each in told.outcomes]
    assert all(timedelta(0) <= delay < timedelta(seconds=5) for delay in delays)
    assert len(set(delays)) > 20
    assert seconds(*(each.run.due_at for each in told.outcomes)) == list(range(10, 300, 10))
    assert all(each.lateness < 0.001 for each in told.outcomes)


async def test_jitter_is_the_same_on_every_host(make: Make) -> None:
    first, second = make(), make()
    told = [Told(first), Told(second)]
    for scheduler in (first, second):
        scheduler.add(nothing, Cron("* * * * * *"), jitter=0.5)
    async with first, second:
        await asyncio.sleep(20)
    starts = [seconds(*(each.started_at for each in one.outcomes)) for one in told]
    assert [round(each, 3) for each in starts[0]] == [round(each, 3) for each in starts[1]]


# -- triggers that break -------------------------------------------------------------------------


class Breaking:
    """A trigger that raises once it is asked for what comes after *last*."""

    def __init__(self, last: datetime, answer: Any = None) -> None:
        self.last = last
        self.answer = answer

    def next_after(self, moment: datetime) -> datetime | None:
        if moment < self.last:
            return moment.replace(microsecond=0) + timedelta(seconds=1)
        if self.answer is not None:
            return self.answer
        raise ZeroDivisionError("no more")


async def test_an_interval_of_ones_own_that_breaks_stops_its_job_too(
    scheduler: Scheduler, told: Told
) -> None:
    class Breaking:
        """Counts elapsed time, until it breaks."""

        elapsed = True

        def next_after(self, moment: datetime) -> datetime:
            return moment + timedelta(seconds=10)

        def gap(self, index: int) -> int:
            if index == 2:
                raise ZeroDivisionError("no more")
            return 10_000_000

    for name, from_completion in (("a", False), ("b", True)):
        scheduler.add(nothing, Breaking(), name=name, from_completion=from_completion)
    async with scheduler:
        await asyncio.sleep(60)
        assert len(scheduler.health().problems) == 2
        assert {job.state for job in scheduler} == {"scheduled"}
    assert len(told.outcomes) == 4


@pytest.mark.parametrize("answer", [None, START, START.replace(tzinfo=None), "soon"])
@pytest.mark.parametrize("seconds_until", [0, 3])
async def test_a_trigger_that_breaks_stops_its_job_loudly_and_no_other(
    answer: Any,
    seconds_until: int,
    scheduler: Scheduler,
    told: Told,
    caplog: pytest.LogCaptureFixture,
) -> None:
    changes: list[JobChanged] = []
    scheduler.on(JobChanged, changes.append)
    broken = scheduler.add(
        nothing, Breaking(START + timedelta(seconds=seconds_until), answer), name="broken"
    )
    well = scheduler.add(nothing, Every(seconds=1), name="well")
    async with scheduler:
        await asyncio.sleep(10.5)
        health = scheduler.health()
        assert (broken.state, broken.next_run) == ("scheduled", None)
    assert (len(told.of(broken)), len(told.of(well))) == (seconds_until, 10)
    assert [(each.job, each.change) for each in changes[2:]] == [(broken, "broken")]
    assert changes[2].error is not None
    assert "the trigger of job broken raised" in caplog.text
    assert not health.ok
    assert "the trigger of job 'broken' raised" in health.problems[0]


async def test_a_broken_job_is_well_again_with_another_trigger(
    scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, Breaking(START))
    async with scheduler:
        assert not scheduler.health().ok
        job.update(trigger=Every(seconds=1))
        assert scheduler.health().ok
        await asyncio.sleep(2.5)
    assert told.statuses() == ["succeeded"] * 2


async def test_a_removed_job_ails_nobody(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, Breaking(START))
    async with scheduler:
        job.remove()
        assert scheduler.health().ok


# -- the machinery -------------------------------------------------------------------------------


async def test_intervals_alone_wake_the_loop_only_when_something_is_due(
    make: Make, virtual_time: VirtualClock
) -> None:
    class Counting:
        readings = 0

        def now(self) -> int:
            self.readings += 1
            return virtual_time.now()

        def monotonic(self) -> int:
            return virtual_time.monotonic()

    scheduler = make(clock=(clock := Counting()))
    scheduler.add(nothing, Every(hours=1))
    async with scheduler:
        await asyncio.sleep(1)
        before = clock.readings
        await asyncio.sleep(3_000)
        assert clock.readings == before


async def test_a_burst_leaves_the_loop_its_turns(make: Make, virtual_time: VirtualClock) -> None:
    class Slow:
        """A clock on which everything takes its time: 50 µs for each look at it."""

        passed = 0

        def now(self) -> int:
            return virtual_time.now() + self.passed

        def monotonic(self) -> int:
            self.passed += 50
            return virtual_time.monotonic() + self.passed

    turns = 0

    def count_turns() -> None:
        nonlocal turns
        turns += 1
        if len(told.outcomes) < 500:
            asyncio.get_running_loop().call_soon(count_turns)

    scheduler = make(clock=Slow())
    told = Told(scheduler)
    for number in range(500):
        scheduler.add(
            nothing, Once(START + timedelta(seconds=1)), name=str(number), priority=number % 2
        )
    scheduler.on(Started, lambda _: turns or count_turns())
    async with scheduler:
        await asyncio.sleep(2)
    assert turns > 10
    assert [each.run.job.spec.priority for each in told.outcomes] == [1] * 250 + [0] * 250


async def test_a_job_that_runs_before_it_is_planned_is_not_finished(make: Make) -> None:
    scheduler = make()
    for number in range(2_500):
        scheduler.add(nothing, Every(seconds=10), name=str(number))
    last = scheduler["2499"]
    scheduler.on(SchedulerChanged, lambda event: event.state != "running" or last.trigger_now())
    async with scheduler:  # more jobs than are planned in one turn of the loop
        assert last.state == "scheduled"
        scheduler.pause()
        scheduler.resume()
        await settle()
        assert last.state == "scheduled"
        told = Told(scheduler)
        await asyncio.sleep(12)
        assert len(told.outcomes) == 2_500


async def test_a_spent_job_that_ends_in_a_pause_is_finished_after_it(
    scheduler: Scheduler, work: Work
) -> None:
    job = scheduler.add(work, Every(seconds=10), max_runs=1)
    async with scheduler:
        await asyncio.sleep(15)
        scheduler.pause()
        scheduler.resume()
        assert job.state == "scheduled"
        scheduler.pause()
        work.end()
        await settle()
        assert job.state == "scheduled"
        scheduler.resume()
        assert job.state == "finished"


async def test_an_interval_begins_anew_also_after_a_pause(scheduler: Scheduler, told: Told) -> None:
    scheduler.add(nothing, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(15)
        scheduler.pause()
    await asyncio.sleep(2)
    async with scheduler:
        await asyncio.sleep(12)
    assert seconds(*(each.run.due_at for each in told.outcomes)) == [10, 27]


async def test_a_run_that_waits_for_its_turn_in_a_burst_can_be_taken_out(
    make: Make, virtual_time: VirtualClock
) -> None:
    class Slow:
        """A clock on which each look takes half a millisecond: two runs a turn."""

        passed = 0

        def now(self) -> int:
            return virtual_time.now() + self.passed

        def monotonic(self) -> int:
            self.passed += 500
            return virtual_time.monotonic() + self.passed

    scheduler = make(clock=Slow())
    told = Told(scheduler)
    for number in range(20):
        scheduler.add(
            nothing, Once(START + timedelta(seconds=1)), name=str(number), priority=-number
        )
    queued: list[int] = []
    started: list[str] = []

    def remove_the_last(event: Started) -> None:
        queued.append(scheduler.queued)
        started.append(event.job.name)
        if "19" in scheduler.jobs:
            scheduler.remove("19")

    scheduler.on(Started, remove_the_last)
    async with scheduler:
        await asyncio.sleep(2)
    assert queued[0] > 10
    assert [(each.job.name, each.status) for each in told.outcomes][:1] == [("19", "cancelled")]
    assert [each.job.name for each in told.outcomes[1:]] == [str(number) for number in range(19)]
    assert "19" not in started


async def test_calls_that_need_a_running_scheduler_say_so(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, Every(seconds=1))
    for state in ("new", "stopped"):
        with pytest.raises(
            SchedulerClosed, match=f"needs a running scheduler; this one is {state}"
        ):
            await job.run_now()
        with pytest.raises(SchedulerClosed):
            job.trigger_now()
        with pytest.raises(SchedulerClosed):
            scheduler.pause()
        async with scheduler:
            pass


async def test_what_is_expected_of_a_job_counts_from_when_it_is_expected(
    scheduler: Scheduler,
) -> None:
    async with scheduler:
        await asyncio.sleep(3_600)
        job = scheduler.add(nothing, Every(days=1), expect_within="90s")
        assert scheduler.health().ok
        await asyncio.sleep(100)
        assert not scheduler.health().ok
        job.update(expect_within="200s")
        assert scheduler.health().ok
        job.update(expect_within=None)
        await asyncio.sleep(1_000)
        assert scheduler.health().ok


async def test_expect_within_turns_health_bad_until_the_next_success(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    async def flaky(run: Run) -> None:
        if run.number % 2:
            raise OSError("down")

    caplog.set_level(logging.CRITICAL)
    job = scheduler.add(flaky, Every(hours=1), expect_within="90s")
    async with scheduler:
        await asyncio.sleep(80)
        assert scheduler.health().ok
        await asyncio.sleep(20)
        assert scheduler.health().problems == (
            f"job '{job.name}' has not succeeded for 100 s, expected within 90 s",
        )
        await job.run_now()
        assert not scheduler.health().ok
        await job.run_now()
        assert scheduler.health().ok
