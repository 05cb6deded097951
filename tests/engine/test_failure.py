"""Machinery that fails is loud; a job, a trigger or a listener that fails is its own affair."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aiosched import (
    Every,
    JobChange,
    JobChanged,
    JobState,
    Outcome,
    Planned,
    Scheduler,
    SchedulerChanged,
    SchedulerClosed,
    SchedulerFailed,
    SchedulerState,
    Started,
    Status,
)
from aiosched.testing import LoopDeadlock, VirtualClock
from aiosched.testing import run as run_virtually


async def nothing():
    """Be a job."""


def breaks(scheduler):
    """Let the scheduler's machinery raise when its first job is due."""

    def occur(*_):
        raise ZeroDivisionError("our own mistake")

    scheduler._engine.dispatcher._occur = occur
    scheduler.on(Planned, lambda _: None)  # so that the long way is taken
    scheduler.add(nothing, Every(seconds=1), name="tick")
    return scheduler


# -- the machinery ------------------------------------------------------------------------------


async def test_failed_machinery_raises_at_the_exit(virtual_time):
    scheduler = breaks(Scheduler(clock=virtual_time))
    with pytest.raises(SchedulerFailed, match="our own mistake") as caught:
        async with scheduler:
            await asyncio.sleep(5)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert scheduler.state is SchedulerState.FAILED


async def test_failed_machinery_does_not_hide_what_the_body_raised(virtual_time):
    async def life():
        async with breaks(Scheduler(clock=virtual_time)):
            await asyncio.sleep(5)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await life()


async def test_failed_machinery_raises_at_the_end_of_a_lifespan(virtual_time):
    scheduler = breaks(Scheduler(clock=virtual_time))
    with pytest.raises(SchedulerFailed):
        async with scheduler.lifespan(object()):
            await asyncio.sleep(5)


async def test_failed_machinery_lets_serve_raise_at_once(virtual_time):
    scheduler = breaks(Scheduler(clock=virtual_time))
    with pytest.raises(SchedulerFailed, match="our own mistake"):
        await scheduler.serve()
    assert virtual_time.monotonic() < 1_100_000


async def test_failed_machinery_is_bad_health_until_the_next_start(virtual_time):
    scheduler = breaks(Scheduler(clock=virtual_time))
    await scheduler.start()
    await asyncio.sleep(5)
    health = scheduler.health()
    assert not health.ok
    assert health.state is SchedulerState.FAILED
    assert health.problems == (
        "the scheduler's machinery failed: ZeroDivisionError('our own mistake')",
    )
    await scheduler.stop()
    assert not scheduler.health().ok
    del scheduler._engine.dispatcher._occur
    async with scheduler:
        await asyncio.sleep(1.5)
        assert scheduler.health().ok
        assert scheduler["tick"].last.status is Status.SUCCEEDED


async def test_failed_machinery_logs_a_critical_line_once(virtual_time, caplog):
    scheduler = breaks(Scheduler(clock=virtual_time))
    await scheduler.start()
    await asyncio.sleep(5)
    await scheduler.stop()
    (line,) = [each for each in caplog.records if each.levelno == logging.CRITICAL]
    assert "machinery failed" in line.getMessage()
    assert line.exc_info[0] is ZeroDivisionError


async def test_failed_machinery_is_told_once_and_last(virtual_time):
    scheduler = breaks(Scheduler(clock=virtual_time))
    changes: list[SchedulerChanged] = []
    scheduler.on(SchedulerChanged, changes.append)
    await scheduler.start()
    await asyncio.sleep(5)
    scheduler._engine.fail(ValueError("one more"))
    await scheduler.stop()
    assert [str(each.state) for each in changes] == ["running", "failed"]
    assert isinstance(changes[-1].error, ZeroDivisionError)


async def test_failed_machinery_fires_no_more_but_lets_runs_come_to_their_end(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    outcomes: list[Outcome] = []
    scheduler.on(Outcome, outcomes.append)

    async def slow():
        await asyncio.sleep(3)

    scheduler.add(slow, Every(seconds=10), name="slow", run_on_start=True)
    breaks(scheduler)
    await scheduler.start()
    await asyncio.sleep(1.5)
    with pytest.raises(SchedulerClosed, match="this one is failed"):
        scheduler["slow"].trigger_now()
    report = await scheduler.stop()
    assert report.finished == 1
    assert [each.status for each in outcomes] == [Status.SUCCEEDED]


async def test_a_clock_that_fails_is_as_loud_as_the_rest(virtual_time):
    class Clock:
        is_broken = False

        def now(self):
            if self.is_broken:
                raise OSError("no time")
            return virtual_time.now()

        def monotonic(self):
            return virtual_time.monotonic()

    scheduler = Scheduler(clock=Clock())
    scheduler.cron("* * * * *", name="tick")(nothing)

    async def life():
        async with scheduler:
            Clock.is_broken = True
            await asyncio.sleep(120)

    with pytest.raises(SchedulerFailed, match="no time"):
        await life()
    assert scheduler.state is SchedulerState.FAILED


async def test_a_failure_in_the_next_slice_of_a_burst_is_loud(virtual_time, monkeypatch):
    monkeypatch.setattr("aiosched._engine.dispatcher._SLICE", 0)
    scheduler = Scheduler(clock=virtual_time)
    for number in range(20):
        scheduler.add(nothing, Every(seconds=1), name=str(number))
    real = scheduler._engine.dispatcher._occur
    calls: list[object] = []

    def occur(*args):
        calls.append(args)
        if len(calls) > 10:
            raise RuntimeError("no launch")
        real(*args)

    scheduler._engine.dispatcher._occur = occur
    scheduler.on(Planned, lambda _: None)  # so that the long way is taken
    with pytest.raises(SchedulerFailed, match="no launch"):
        async with scheduler:
            await asyncio.sleep(5)


async def test_a_failure_at_the_end_of_a_run_is_loud(virtual_time, monkeypatch):
    scheduler = Scheduler(clock=virtual_time)
    scheduler.on(Outcome, print)
    scheduler.add(nothing, Every(seconds=1), name="tick")

    def leave(*_):
        raise RuntimeError("no exit")

    monkeypatch.setattr("aiosched._engine.admission.Admission.leave", leave)
    with pytest.raises(SchedulerFailed, match="no exit"):
        async with scheduler:
            await asyncio.sleep(5)


async def test_a_failure_at_the_start_of_a_run_is_loud_and_ends_the_run(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    outcomes: list[Outcome] = []
    scheduler.on(Outcome, outcomes.append)
    scheduler.on(Started, print)
    scheduler.add(nothing, Every(seconds=1), name="tick")

    def started(_run):
        raise RuntimeError("no entry")

    scheduler._engine.dispatcher.runner._started = started
    with pytest.raises(SchedulerFailed, match="no entry"):
        async with scheduler:
            await asyncio.sleep(5)
    assert [each.status for each in outcomes] == [Status.FAILED]
    assert isinstance(outcomes[0].error, RuntimeError)


async def test_a_failure_of_a_helping_task_is_loud(virtual_time):
    scheduler = Scheduler(clock=virtual_time)

    async def helper():
        raise RuntimeError("no help")

    await scheduler.start()
    scheduler._engine.spawn(helper(), "helper")
    await asyncio.sleep(1)
    with pytest.raises(SchedulerFailed, match="no help"):
        await scheduler.__aexit__(None, None, None)


EXITS = """
import asyncio
from aiosched import Every, Outcome, Planned, Scheduler

scheduler = Scheduler(on_failure="exit")

async def nothing(): ...

def occur(*_):
    raise ZeroDivisionError

scheduler._engine.dispatcher._occur = occur
scheduler.on(Planned, lambda _: None)  # so that the long way is taken
scheduler.add(nothing, Every(milliseconds=10))

async def service():
    async with scheduler:
        await asyncio.Event().wait()

{main}
"""


def exits(main):
    """Return how a process ended that had its machinery fail."""
    return subprocess.run(
        [sys.executable, "-c", EXITS.format(main=main)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=10,
    )


def test_failed_machinery_can_end_the_process():
    ended = exits("asyncio.run(service())")
    assert ended.returncode == -signal.SIGTERM
    assert "the scheduler's machinery failed: ZeroDivisionError()" in ended.stderr


def test_failed_machinery_ends_a_served_process_in_good_order():
    ended = exits("scheduler.run()")
    assert ended.returncode == 1
    assert "SchedulerFailed: the scheduler's machinery failed: ZeroDivisionError()" in ended.stderr


# -- others' mistakes ---------------------------------------------------------------------------


class Breaks:
    """A trigger that gives some occurrences and then raises."""

    def __init__(self, good=2, error=None):
        self.good, self.error = good, error or RuntimeError("no idea when")
        self.every = Every(seconds=10, anchor=None)

    def next_after(self, moment):
        if self.good == 0:
            raise self.error
        self.good -= 1
        return self.every.next_after(moment)


async def test_a_trigger_that_raises_ends_its_job_and_no_other(virtual_time, caplog):
    scheduler = Scheduler(clock=virtual_time)
    changes: list[JobChanged] = []
    scheduler.on(JobChanged, changes.append)
    bad = scheduler.add(nothing, Breaks(), name="bad")
    good = scheduler.add(nothing, Every(seconds=10), name="good")
    async with scheduler:
        await asyncio.sleep(60.5)
        assert bad.last.run.number == 2
        assert good.last.run.number == 6
        assert bad.next_run is None
        assert not scheduler.health().ok
    (broken,) = [each for each in changes if each.change is JobChange.BROKEN]
    assert broken.job is bad
    assert str(broken.error) == "no idea when"
    assert "the trigger of job bad raised" in caplog.text
    assert scheduler.state is SchedulerState.STOPPED


async def test_a_trigger_that_raises_from_the_beginning_does_not_keep_others_from_starting(
    virtual_time,
):
    scheduler = Scheduler(clock=virtual_time)
    scheduler.add(nothing, Breaks(good=0), name="bad")
    good = scheduler.add(nothing, Every(seconds=10), name="good")
    async with scheduler:
        await asyncio.sleep(10.5)
        assert good.last.status is Status.SUCCEEDED
        assert scheduler.health().problems == (
            "the trigger of job 'bad' raised RuntimeError('no idea when')",
        )


async def test_a_broken_job_runs_again_with_another_trigger(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    job = scheduler.add(nothing, Breaks(good=0), name="bad")
    async with scheduler:
        await asyncio.sleep(1)
        job.update(trigger=Every(seconds=1))
        await asyncio.sleep(1.5)
        assert job.state is JobState.SCHEDULED
        assert job.last.status is Status.SUCCEEDED
        assert scheduler.health().ok


async def test_a_trigger_that_goes_backwards_is_broken(virtual_time):
    class Backwards:
        def next_after(self, moment):
            return moment

    scheduler = Scheduler(clock=virtual_time)
    scheduler.add(nothing, Backwards(), name="bad")
    async with scheduler:
        (problem,) = scheduler.health().problems
        assert "must give a later moment than" in problem


async def test_a_trigger_that_gives_naive_moments_is_broken(virtual_time):
    class Naive:
        def next_after(self, moment):
            return moment.replace(tzinfo=None)

    scheduler = Scheduler(clock=virtual_time)
    scheduler.add(nothing, Naive(), name="bad")
    async with scheduler:
        (problem,) = scheduler.health().problems
        assert "must be aware" in problem


async def test_a_failing_job_harms_no_other_and_not_the_scheduler(virtual_time):
    scheduler = Scheduler(clock=virtual_time)

    async def fails():
        raise ZeroDivisionError

    scheduler.add(fails, Every(seconds=1), name="bad")
    good = scheduler.add(nothing, Every(seconds=1), name="good")
    async with scheduler:
        await asyncio.sleep(10.5)
        assert good.last.run.number == 10
        assert scheduler["bad"].last.run.number == 10
        assert scheduler.health().ok


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_passes_through(kind):
    scheduler = Scheduler(clock=VirtualClock())
    outcomes: list[Outcome] = []
    scheduler.on(Outcome, outcomes.append)

    async def exits():
        raise kind("enough")

    scheduler.add(exits, Every(seconds=1), name="exits")

    async def main():
        async with scheduler:
            await asyncio.sleep(60)

    with pytest.raises(kind, match="enough"):
        run_virtually(main)
    assert [each.status for each in outcomes] == [Status.FAILED]
    assert scheduler.state is SchedulerState.STOPPED


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_passes_through_from_a_thread(kind):
    scheduler = Scheduler()
    outcomes: list[Outcome] = []
    scheduler.on(Outcome, outcomes.append)

    def exits():
        raise kind("enough")

    scheduler.add(exits, Every(milliseconds=10), name="exits", max_runs=1)

    async def main():
        async with scheduler:
            await asyncio.sleep(5)

    with pytest.raises(kind, match="enough"):
        asyncio.run(main())
    assert len(outcomes) == 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_passes_through_gates(kind):
    scheduler = Scheduler(clock=VirtualClock())
    outcomes: list[Outcome] = []
    scheduler.on(Outcome, outcomes.append)
    left: list[str] = []

    class Gate:
        def __call__(self, _run):
            return self

        async def __aenter__(self):
            return None

        async def __aexit__(self, *_):
            left.append("left")

    async def exits():
        raise kind("enough")

    scheduler.add(exits, Every(seconds=1), name="exits", gates=[Gate()])

    async def main():
        async with scheduler:
            await asyncio.sleep(60)

    with pytest.raises(kind, match="enough"):
        run_virtually(main)
    assert left == ["left"]
    assert [each.status for each in outcomes] == [Status.FAILED]


def test_virtual_time_tells_of_a_machinery_that_waits_for_nothing():
    async def main():
        async with Scheduler(clock=VirtualClock()):
            await asyncio.Event().wait()

    with pytest.raises(LoopDeadlock):
        run_virtually(main)
