"""Occurrences that are late, or overdue together: which of them run, and an outcome for each."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiosched import Cron, Every, Once, RandomEvery, Run, Scheduler, testing
from aiosched.testing import VirtualClock
from tests.effort import examples
from tests.engine.support import START, Told, Work, block, nothing, settle

TRIGGERS = [Every(seconds=10), Cron("*/10 * * * * *")]


def ran(told: Told) -> list[float]:
    return [second(each.run) for each in told.outcomes if each.status == "succeeded"]


def missed(told: Told) -> dict[float, str]:
    return {
        second(each.run): f"{each.refusal.gate}: {each.refusal.reason}"
        for each in told.outcomes
        if each.status == "missed"
    }


def second(run: Run) -> float:
    return round((run.due_at - START).total_seconds(), 3)


@pytest.fixture(params=TRIGGERS, ids=["elapsed", "wall"])
def trigger(request: pytest.FixtureRequest) -> Any:
    return request.param


async def after_a_block(scheduler: Scheduler) -> None:
    """Block from second 15 to second 57, while five occurrences come due; then go on."""
    async with scheduler:
        await asyncio.sleep(15)
        block(42)
        await asyncio.sleep(8)


# -- coalesce ------------------------------------------------------------------------------------


async def test_the_latest_of_several_overdue_runs(
    trigger: Any, scheduler: Scheduler, told: Told
) -> None:
    scheduler.add(nothing, trigger)
    await after_a_block(scheduler)
    assert ran(told) == [10, 50, 60]
    assert missed(told) == dict.fromkeys([20, 30, 40], "coalesce: superseded")


async def test_the_earliest_of_several_overdue_runs(
    trigger: Any, scheduler: Scheduler, told: Told
) -> None:
    scheduler.add(nothing, trigger, coalesce="earliest")
    await after_a_block(scheduler)
    assert ran(told) == [10, 20, 60]
    assert missed(told) == dict.fromkeys([30, 40, 50], "coalesce: superseded")


async def test_all_of_several_overdue_run_one_after_the_other(
    trigger: Any, scheduler: Scheduler, told: Told
) -> None:
    scheduler.add(nothing, trigger, coalesce="all")
    await after_a_block(scheduler)
    assert ran(told) == [10, 20, 30, 40, 50, 60]
    assert missed(told) == {}


@pytest.mark.parametrize("overlap", ["skip", "queue", "replace"])
async def test_a_backlog_waits_whatever_the_overlap_says(
    overlap: Any, scheduler: Scheduler, told: Told
) -> None:
    work = Work()
    job = scheduler.add(work, Every(seconds=10), coalesce="all", overlap=overlap)
    async with scheduler:
        await asyncio.sleep(5)
        block(49)
        await settle()
        assert (work.running, scheduler.queued) == (1, 4)
        for _ in range(5):
            work.end()
            await settle()
        job.pause()
    assert told.statuses() == ["succeeded"] * 5
    assert work.most == 1


async def test_a_newer_run_replaces_none_that_waits_in_a_backlog(
    scheduler: Scheduler, told: Told
) -> None:
    work = Work()
    job = scheduler.add(work, Every(seconds=10), coalesce="all", overlap="replace")
    async with scheduler:
        await asyncio.sleep(5)
        block(30)
        await settle()
        job.pause()
        job.trigger_now()
        for _ in range(4):
            await settle()
            work.end()
    assert told.numbers("cancelled") == [1]
    assert told.numbers("succeeded") == [2, 3, 4]


async def test_a_backlog_does_not_fill_the_queue_of_regular_runs(
    scheduler: Scheduler, told: Told
) -> None:
    work = Work()
    job = scheduler.add(work, Every(seconds=10), coalesce="all", overlap="queue", max_queued=1)
    async with scheduler:
        await asyncio.sleep(5)
        block(30)
        await settle()
        assert scheduler.queued == 2
        job.trigger_now()
        job.trigger_now()
        await settle()
        assert scheduler.queued == 3
        assert told.reasons() == [("job_limit", "queue_full")]
        job.pause()
        for _ in range(4):
            work.end()
            await settle()
    assert told.statuses()[1:] == ["succeeded"] * 4


async def test_one_overdue_occurrence_is_not_several(
    trigger: Any, scheduler: Scheduler, told: Told
) -> None:
    for name, coalesce in {"l": "latest", "e": "earliest", "a": "all"}.items():
        scheduler.add(nothing, trigger, name=name, coalesce=coalesce)
    async with scheduler:
        await asyncio.sleep(5)
        block(9)
        await asyncio.sleep(10)
    assert ran(told) == [10, 10, 10, 20, 20, 20]


async def test_the_earliest_runs_again_after_the_next_block(
    scheduler: Scheduler, told: Told
) -> None:
    scheduler.add(nothing, Every(seconds=10), coalesce="earliest")
    async with scheduler:
        for _ in range(2):
            await asyncio.sleep(5)
            block(25)
            await settle()
    assert ran(told) == [10, 40]


async def test_an_occurrence_behind_the_end_supersedes_nothing(
    trigger: Any, scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, trigger, stop_at=START + timedelta(seconds=35))
    async with scheduler:
        await asyncio.sleep(5)
        block(60)
        await settle()
        assert job.state == "finished"
    assert ran(told) == [30]
    assert missed(told) == dict.fromkeys([10, 20], "coalesce: superseded")


async def test_several_overdue_moments_are_several(scheduler: Scheduler, told: Told) -> None:
    moments = [START + timedelta(seconds=each) for each in (10, 20, 30)]
    job = scheduler.add(nothing, Once(*moments))
    async with scheduler:
        await asyncio.sleep(5)
        block(60)
        await settle()
        assert job.state == "finished"
    assert ran(told) == [30]
    assert missed(told) == dict.fromkeys([10, 20], "coalesce: superseded")


async def test_the_last_runs_of_a_backlog_respect_max_runs(
    scheduler: Scheduler, told: Told
) -> None:
    job = scheduler.add(nothing, Every(seconds=10), coalesce="all", max_runs=2)
    async with scheduler:
        await asyncio.sleep(5)
        block(40)
        await settle()
        assert job.state == "finished"
    assert ran(told) == [10, 20]
    assert told.reasons()[2:] == [("job_limit", "max_runs")] * 2


async def test_a_paused_scheduler_is_not_overdue(
    trigger: Any, scheduler: Scheduler, told: Told
) -> None:
    scheduler.add(nothing, trigger, coalesce="all")
    async with scheduler:
        await asyncio.sleep(15)
        scheduler.pause()
        block(40)
        scheduler.resume()
        await asyncio.sleep(10)
    assert ran(told) == [10, 60]
    assert missed(told) == {}


# -- misfire -------------------------------------------------------------------------------------


async def test_without_a_grace_any_lateness_will_do(
    trigger: Any, scheduler: Scheduler, told: Told
) -> None:
    scheduler.add(nothing, trigger)
    async with scheduler:
        await asyncio.sleep(5)
        block(14.5)
        await settle()
        assert ran(told) == [10]
    assert told.outcomes[0].lateness == pytest.approx(9.5)


@pytest.mark.parametrize(("late", "runs"), [(1.999, [10]), (2.0, [10]), (2.001, [])])
async def test_an_occurrence_may_be_as_late_as_its_grace(
    late: float, runs: list[float], trigger: Any, scheduler: Scheduler, told: Told
) -> None:
    scheduler.add(nothing, trigger, misfire_grace=2)
    async with scheduler:
        await asyncio.sleep(5)
        block(5 + late)
        await settle()
    assert ran(told) == runs
    assert missed(told) == ({} if runs else {10: "misfire: too_late"})


@pytest.mark.parametrize(
    ("coalesce", "runs", "superseded"),
    [("latest", [50], [40]), ("earliest", [40], [50]), ("all", [40, 50], [])],
)
async def test_only_those_within_the_grace_are_coalesced(
    *,
    coalesce: Any,
    runs: list[float],
    superseded: list[float],
    trigger: Any,
    scheduler: Scheduler,
    told: Told,
) -> None:
    scheduler.add(nothing, trigger, coalesce=coalesce, misfire_grace=20)
    async with scheduler:
        await asyncio.sleep(5)
        block(50)
        await settle()
    assert ran(told) == runs
    assert missed(told) == {
        **dict.fromkeys([10, 20, 30], "misfire: too_late"),
        **dict.fromkeys(superseded, "coalesce: superseded"),
    }


async def test_jitter_is_no_lateness(scheduler: Scheduler, told: Told) -> None:
    scheduler.add(nothing, Cron("*/10 * * * * *"), jitter=9, misfire_grace=0.5)
    async with scheduler:
        await asyncio.sleep(100)
    assert missed(told) == {}
    assert len(ran(told)) >= 9


async def test_jitter_does_not_make_an_occurrence_overdue(scheduler: Scheduler, told: Told) -> None:
    scheduler.add(nothing, Cron("* * * * * *"), jitter=0.9, coalesce="latest")
    async with scheduler:
        await asyncio.sleep(60)
    assert missed(told) == {}


# -- steps of the wall clock ---------------------------------------------------------------------


async def test_a_step_forwards_makes_wall_clock_jobs_overdue_and_no_interval(
    scheduler: Scheduler, told: Told, virtual_time: VirtualClock
) -> None:
    wall = scheduler.add(nothing, Cron("0 * * * * *"), name="wall")
    elapsed = scheduler.add(nothing, Every(seconds=60), name="elapsed")
    async with scheduler:
        await asyncio.sleep(90)
        virtual_time.step(300)
        await asyncio.sleep(20)
    assert told.statuses(wall) == ["succeeded", *["missed"] * 4, "succeeded"]
    assert told.statuses(elapsed) == ["succeeded"]


async def test_a_step_backwards_repeats_nothing(
    scheduler: Scheduler, told: Told, virtual_time: VirtualClock
) -> None:
    scheduler.add(nothing, Cron("0 * * * * *"))
    async with scheduler:
        await asyncio.sleep(150)
        virtual_time.step(-100)
        await asyncio.sleep(150)
    assert ran(told) == [60, 120, 180]


# -- the law -------------------------------------------------------------------------------------


@settings(max_examples=examples(60), deadline=None)
@given(
    trigger=st.sampled_from(
        [*TRIGGERS, RandomEvery(3, 15), Every(seconds=10, anchor=START + timedelta(seconds=4))]
    ),
    coalesce=st.sampled_from(["latest", "earliest", "all"]),
    grace=st.sampled_from([None, 0.5, 15]),
    jitter=st.sampled_from([0, 3]),
    pauses=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 60)), min_size=1, max_size=5),
)
def test_each_occurrence_has_one_outcome_however_the_loop_is_blocked(
    trigger: Any,
    coalesce: Any,
    grace: float | None,
    jitter: float,
    pauses: list[tuple[int, int]],
) -> None:
    async def main(clock: VirtualClock) -> None:
        scheduler = Scheduler(clock=clock)
        told = Told(scheduler)
        job = scheduler.add(
            nothing, trigger, name="job", coalesce=coalesce, misfire_grace=grace, jitter=jitter
        )
        expected = job.next_runs(300)
        async with scheduler:
            for free, blocked in pauses:
                await asyncio.sleep(free)
                block(blocked)
            await asyncio.sleep(40)
        due = [each.run.due_at for each in told.outcomes]
        assert sorted(due) == sorted(set(due))
        assert sorted(due) == expected[: len(due)]
        assert len(due) >= sum(map(sum, pauses)) // 15
        for outcome in told.outcomes:
            if outcome.refusal is not None and outcome.refusal.gate == "misfire":
                assert grace is not None
                assert outcome.lateness > grace

    testing.run(main)
