"""A scheduler's life: entered and left in any task and loop, and drained to the end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from aiosched import (
    DrainReport,
    Every,
    JobChanged,
    JobState,
    LockerUnavailable,
    MemoryLocker,
    Outcome,
    Run,
    RunDeadlock,
    Scheduler,
    SchedulerChanged,
    SchedulerClosed,
    SchedulerState,
    Status,
    ThreadExecutor,
)
from aiosched.lockers import FileLocker
from aiosched.testing import VirtualClock, VirtualLoop
from aiosched.testing import run as run_virtually
from tests.engine.support import settle


async def nothing():
    """Be a job."""


def outcomes_of(scheduler):
    """Return the list into which every outcome goes."""
    outcomes: list[Outcome] = []
    scheduler.on(Outcome, outcomes.append)
    return outcomes


# -- in and out ---------------------------------------------------------------------------------


async def test_making_a_scheduler_and_a_job_starts_nothing(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    job = scheduler.add(nothing, Every(seconds=1))
    await asyncio.sleep(10)
    assert scheduler.state is SchedulerState.NEW
    assert job.last is None


async def test_jobs_run_for_as_long_as_the_scheduler_is_entered(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    outcomes = outcomes_of(scheduler)
    scheduler.add(nothing, Every(seconds=1))
    async with scheduler:
        await asyncio.sleep(3.5)
    await asyncio.sleep(10)
    assert [each.run.number for each in outcomes] == [1, 2, 3]


async def test_each_state_is_told_once_and_in_order(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    changes: list[SchedulerChanged] = []
    scheduler.on(SchedulerChanged, changes.append)
    async with scheduler:
        scheduler.pause()
        scheduler.pause()
        scheduler.resume()
        scheduler.resume()
    assert [str(each.state) for each in changes] == [
        "running",
        "paused",
        "running",
        "draining",
        "stopped",
    ]


async def test_entering_and_leaving_may_happen_in_different_tasks(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    outcomes = outcomes_of(scheduler)
    scheduler.add(nothing, Every(seconds=1))
    await asyncio.create_task(scheduler.__aenter__())
    await asyncio.sleep(2.5)
    await asyncio.create_task(scheduler.__aexit__(None, None, None))
    assert len(outcomes) == 2
    assert scheduler.state is SchedulerState.STOPPED


async def test_no_task_is_left_after_the_end(virtual_time):
    before = asyncio.all_tasks()
    scheduler = Scheduler(clock=virtual_time, locker=MemoryLocker(), max_running=1)

    async def slow():
        await asyncio.sleep(5)

    async def listener(_event):
        await asyncio.sleep(0.1)

    scheduler.on(Outcome, listener)
    for name in "abc":
        scheduler.add(slow, Every(seconds=1), name=name)
    async with scheduler:
        await asyncio.sleep(2.5)
    assert asyncio.all_tasks() == before


async def test_a_running_scheduler_is_not_started_twice(virtual_time):
    async with Scheduler(clock=virtual_time) as scheduler:
        with pytest.raises(SchedulerClosed, match="it is running"):
            await scheduler.start()
        assert scheduler.state is SchedulerState.RUNNING


async def test_stopping_what_does_not_run_does_nothing(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    assert await scheduler.stop() == DrainReport()
    assert scheduler.state is SchedulerState.NEW


async def test_what_needs_a_running_scheduler_says_so(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    job = scheduler.add(nothing, Every(seconds=1))
    for call in (job.trigger_now, scheduler.pause, scheduler.resume):
        with pytest.raises(SchedulerClosed, match="needs a running scheduler; this one is new"):
            call()
    with pytest.raises(SchedulerClosed, match="needs a running scheduler; this one is new"):
        await job.run_now()


async def test_the_lifespan_gives_the_scheduler_to_requests(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    async with scheduler.lifespan(object()) as state:
        assert state == {"scheduler": scheduler}
        assert scheduler.state is SchedulerState.RUNNING
    assert scheduler.state is SchedulerState.STOPPED


async def test_a_stop_from_inside_a_run_is_refused_instead_of_waiting_for_itself(virtual_time):
    scheduler = Scheduler(clock=virtual_time)

    async def suicidal():
        await scheduler.stop()

    job = scheduler.add(suicidal, Every(seconds=1))
    async with scheduler:
        await asyncio.sleep(1.5)
        assert isinstance(job.last.error, RunDeadlock)
        assert scheduler.state is SchedulerState.RUNNING


async def test_a_listener_may_stop_the_scheduler_whose_run_it_was_told_of(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    stopped: list[DrainReport] = []

    @scheduler.on(Outcome)
    async def listener(_outcome):
        stopped.append(await scheduler.stop())

    scheduler.add(nothing, Every(seconds=1))
    await scheduler.start()
    await asyncio.sleep(20)
    assert scheduler.state is SchedulerState.STOPPED


async def test_an_async_listener_hears_of_what_came_before_the_start(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    heard: list[str] = []

    @scheduler.on(JobChanged)
    async def listener(event):
        heard.append(f"{event.job.name} {event.change}")

    scheduler.add(nothing, Every(seconds=1), name="early")
    assert heard == []
    async with scheduler:
        scheduler.add(nothing, Every(seconds=1), name="late")
    assert heard == ["early added", "late added"]


async def test_a_listener_that_does_not_end_is_cancelled_by_the_stop(virtual_time, caplog):
    scheduler = Scheduler(clock=virtual_time)
    cancelled: list[str] = []

    @scheduler.on(Outcome)
    async def listener(_event):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("cancelled")
            raise

    scheduler.add(nothing, Every(seconds=1))
    await scheduler.start()
    await asyncio.sleep(3.5)
    began = virtual_time.monotonic()
    await scheduler.stop()
    assert virtual_time.monotonic() - began == pytest.approx(5e6, abs=10)
    assert cancelled == ["cancelled"]
    assert "1 listeners were cancelled" in caplog.text


# -- again --------------------------------------------------------------------------------------


async def test_a_stopped_scheduler_starts_again_with_its_jobs_and_their_history(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    job = scheduler.add(nothing, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(10.5)
    first = job.last
    async with scheduler:
        assert job.last == first
        await asyncio.sleep(10.5)
        assert job.last.run.number == 2


async def test_an_unanchored_interval_begins_anew_with_each_start(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    job = scheduler.add(nothing, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(7)
    await asyncio.sleep(1)
    async with scheduler:
        await asyncio.sleep(9.5)
        assert job.last is None
        await asyncio.sleep(1)
        assert job.last is not None


async def test_an_occurrence_that_ran_is_not_repeated_by_a_start_at_the_same_moment(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    outcomes = outcomes_of(scheduler)
    scheduler.cron("* * * * *", name="tick")(nothing)
    async with scheduler:
        await asyncio.sleep(60.5)
    virtual_time.step(-1)  # just before the minute again
    async with scheduler:
        await asyncio.sleep(2)
    assert len(outcomes) == 1


async def test_more_jobs_than_one_turn_can_plan_go_on_after_a_pause(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    for number in range(2_500):
        scheduler.add(nothing, Every(seconds=10), name=str(number))
    removed = scheduler["2400"]
    async with scheduler:
        await asyncio.sleep(5)
        scheduler.pause()
        await asyncio.sleep(60)
        scheduler.resume()
        removed.remove()
        scheduler.pause()
        scheduler.resume()
        await asyncio.sleep(5.5)
        ran = [job for job in scheduler if job.last is not None]
        assert len(ran) == len(scheduler) == 2_499
    assert removed.last is None


def test_one_scheduler_serves_loop_after_loop():
    clock = VirtualClock()
    scheduler = Scheduler(clock=clock, locker=MemoryLocker())
    outcomes = outcomes_of(scheduler)
    scheduler.add(nothing, Every(seconds=10), name="tick")

    async def life():
        async with scheduler:
            await asyncio.sleep(10.5)

    for _ in range(3):
        with asyncio.Runner() as runner:  # the clock follows any loop; this one is real
            runner.run(asyncio.sleep(0))
        run_virtually(life)
    assert len(outcomes) == 3
    assert {each.status for each in outcomes} == {Status.SUCCEEDED}


def test_a_loop_that_was_closed_without_a_stop_does_not_keep_the_scheduler_from_starting():
    scheduler = Scheduler(clock=VirtualClock(), max_running=1)
    outcomes = outcomes_of(scheduler)
    blocked = asyncio.Event()

    async def once():
        if not outcomes:
            await blocked.wait()

    scheduler.add(once, Every(seconds=1), name="first")
    scheduler.add(nothing, Every(seconds=1), name="second")

    loop = VirtualLoop()
    loop.run_until_complete(scheduler.start())
    loop.run_until_complete(asyncio.sleep(1.5))
    assert (scheduler.running, scheduler.queued) == (1, 1)
    loop.close()

    async def life():
        async with scheduler:
            await asyncio.sleep(1.5)

    run_virtually(life)
    names = sorted(f"{each.job.name} {each.status}" for each in outcomes)
    assert names == ["first cancelled", "first succeeded", "second cancelled", "second succeeded"]
    gc.collect()  # the pending task goes, and has nothing more to say
    assert len(outcomes) == 4
    assert scheduler.state is SchedulerState.STOPPED


def test_a_loop_whose_tasks_were_cancelled_without_a_stop_does_neither():
    scheduler = Scheduler(clock=VirtualClock())
    outcomes = outcomes_of(scheduler)
    job = scheduler.add(lambda: asyncio.Event().wait(), Every(seconds=1), executor="async")

    async def forgets_to_stop():
        await scheduler.start()
        await asyncio.sleep(1.5)

    async def life():
        async with scheduler:
            await asyncio.sleep(1.5)
            assert len(job.running) == 1

    run_virtually(forgets_to_stop)
    run_virtually(life)
    assert len(outcomes) == 2


def test_a_scheduler_is_not_stopped_from_another_loop():
    scheduler = Scheduler()
    started, over = threading.Event(), threading.Event()

    async def life():
        async with scheduler:
            started.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=asyncio.run, args=(life(),))
    thread.start()
    try:
        started.wait()
        with pytest.raises(SchedulerClosed, match="another event loop"):
            asyncio.run(scheduler.stop())
    finally:
        over.set()
        thread.join()
    assert scheduler.state is SchedulerState.STOPPED


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_module_level_scheduler_serves_many_test_clients(kind, tmp_path):
    testclient = pytest.importorskip("starlette.testclient")
    applications = pytest.importorskip("starlette.applications")
    responses = pytest.importorskip("starlette.responses")
    routing = pytest.importorskip("starlette.routing")
    locker = MemoryLocker() if kind == "memory" else FileLocker(tmp_path)
    scheduler = Scheduler(locker=locker)
    scheduler.add(nothing, Every(hours=1), name="tick")

    async def run_it(request):
        outcome = await request.state.scheduler["tick"].run_now()
        return responses.PlainTextResponse(str(outcome.status))

    app = applications.Starlette(lifespan=scheduler.lifespan, routes=[routing.Route("/", run_it)])
    for _ in range(5):
        with testclient.TestClient(app) as client:
            assert client.get("/").text == "succeeded"
    assert scheduler.state is SchedulerState.STOPPED
    assert scheduler["tick"].last.run.number == 5


# -- draining -----------------------------------------------------------------------------------


async def test_a_drain_waits_for_runs_and_fires_no_more(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    outcomes = outcomes_of(scheduler)

    async def slow():
        await asyncio.sleep(5)

    scheduler.add(slow, Every(seconds=1), max_instances=None)
    await scheduler.start()
    await asyncio.sleep(2.5)
    report = await scheduler.stop()
    assert report == DrainReport(finished=2)
    assert report.clean
    assert [each.status for each in outcomes] == [Status.SUCCEEDED] * 2


async def test_a_drain_tells_runs_that_they_should_come_to_their_end(virtual_time):
    scheduler = Scheduler(clock=virtual_time)

    async def heedful(run: Run):
        await run.stopping.wait()
        return "heard"

    async def looks_late(run: Run):
        await asyncio.sleep(2)
        await run.stopping.wait()  # nobody asked for the event before the drain
        return "heard"

    for func in (heedful, looks_late):
        scheduler.add(func, Every(seconds=1), name=func.__name__)
    await scheduler.start()
    await asyncio.sleep(1.5)
    assert (await scheduler.stop()).finished == 2
    assert [job.last.value for job in scheduler] == ["heard", "heard"]


async def test_runs_that_outlast_the_drain_are_cancelled(virtual_time):
    scheduler = Scheduler(clock=virtual_time, shutdown_timeout=3)
    job = scheduler.add(asyncio.Event().wait, Every(seconds=1), name="endless")
    await scheduler.start()
    await asyncio.sleep(1.5)
    began = virtual_time.monotonic()
    report = await scheduler.stop()
    assert (virtual_time.monotonic() - began) == pytest.approx(3e6, abs=10)
    assert report == DrainReport(cancelled=(job.last.run.id,))
    assert job.last.status is Status.CANCELLED


async def test_a_stop_without_a_drain_cancels_at_once(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    job = scheduler.add(asyncio.Event().wait, Every(seconds=1), name="endless")
    await scheduler.start()
    await asyncio.sleep(1.5)
    began = virtual_time.monotonic()
    report = await scheduler.stop(drain=False)
    assert virtual_time.monotonic() == began
    assert report.cancelled == (job.last.run.id,)


async def test_the_timeout_of_one_stop_beats_the_schedulers(virtual_time):
    scheduler = Scheduler(clock=virtual_time, shutdown_timeout=1)

    async def slow():
        await asyncio.sleep(5)

    scheduler.add(slow, Every(seconds=1))
    await scheduler.start()
    await asyncio.sleep(1.5)
    assert (await scheduler.stop(timeout="10s")).finished == 1


async def test_queued_runs_are_cancelled_when_the_drain_begins(virtual_time):
    scheduler = Scheduler(clock=virtual_time, max_running=1)
    outcomes = outcomes_of(scheduler)

    async def slow():
        await asyncio.sleep(5)

    for name in "abc":
        scheduler.add(slow, Every(seconds=1), name=name, overlap="queue", max_queued=None)
    await scheduler.start()
    await asyncio.sleep(2.5)
    assert scheduler.queued == 5
    report = await scheduler.stop()
    assert report.finished == 1
    assert len(report.cancelled) == 5
    assert sorted(str(each.status) for each in outcomes) == ["cancelled"] * 5 + ["succeeded"]
    assert scheduler.queued == scheduler.running == 0


async def test_a_burst_that_is_not_over_is_cancelled_by_a_stop(virtual_time, monkeypatch):
    monkeypatch.setattr("aiosched._engine.dispatcher._SLICE", 0)  # one run in each turn
    scheduler = Scheduler(clock=virtual_time)
    outcomes = outcomes_of(scheduler)
    for number in range(20):
        scheduler.add(nothing, Every(seconds=1), name=str(number), priority=1)
    first = asyncio.Event()
    scheduler.on(Outcome, lambda _: first.set())
    await scheduler.start()
    await first.wait()
    report = await scheduler.stop()
    statuses = Counter(str(each.status) for each in outcomes)
    assert statuses["cancelled"] == len(report.cancelled) > 10
    assert statuses["succeeded"] == 20 - len(report.cancelled)


async def test_whoever_stops_a_second_time_waits_for_the_first(virtual_time):
    scheduler = Scheduler(clock=virtual_time)

    async def slow():
        await asyncio.sleep(5)

    scheduler.add(slow, Every(seconds=1))
    await scheduler.start()
    await asyncio.sleep(1.5)
    reports = await asyncio.gather(scheduler.stop(), scheduler.stop())
    assert reports[0] is reports[1]
    assert reports[0].finished == 1


async def test_a_second_stop_without_a_drain_ends_the_drain_of_the_first(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    scheduler.add(asyncio.Event().wait, Every(seconds=1), name="endless")
    await scheduler.start()
    await asyncio.sleep(1.5)
    first = asyncio.create_task(scheduler.stop())
    await asyncio.sleep(1)
    began = virtual_time.monotonic()
    await scheduler.stop(drain=False)
    assert virtual_time.monotonic() == began
    assert len((await first).cancelled) == 1


async def test_a_cancelled_stop_goes_on_without_its_caller(virtual_time):
    locker = MemoryLocker()
    scheduler = Scheduler(clock=virtual_time, locker=locker)

    async def slow():
        await asyncio.sleep(5)

    job = scheduler.add(slow, Every(seconds=1), name="slow")
    await scheduler.start()
    await asyncio.sleep(1.5)
    stopping = asyncio.create_task(scheduler.stop())
    await asyncio.sleep(1)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert scheduler.state is SchedulerState.DRAINING
    await asyncio.sleep(5)
    assert scheduler.state is SchedulerState.STOPPED
    assert job.last.status is Status.SUCCEEDED
    await (await locker.lock("slow")).unlock()


def test_when_all_tasks_are_cancelled_the_stop_still_gives_everything_back():
    locker = MemoryLocker()
    scheduler = Scheduler(clock=VirtualClock(), locker=locker)
    outcomes = outcomes_of(scheduler)
    scheduler.add(asyncio.Event().wait, Every(seconds=1), name="endless")

    async def interrupted():
        async with scheduler:
            await asyncio.sleep(1.5)
            asyncio.get_running_loop().call_later(1, interrupt)

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_virtually(interrupted)
    assert [each.status for each in outcomes] == [Status.CANCELLED]
    assert scheduler.state is SchedulerState.STOPPED
    asyncio.run(locker.lock("endless"))


async def test_a_thread_that_does_not_end_is_named_in_the_report(virtual_time, caplog):
    scheduler = Scheduler(clock=virtual_time, shutdown_timeout=0.05)
    outcomes = outcomes_of(scheduler)
    over = threading.Event()

    def deaf():
        over.wait(10)

    job = scheduler.add(deaf, Every(seconds=1))
    await scheduler.start()
    await asyncio.sleep(1.01)
    report = await scheduler.stop()
    over.set()
    assert report == DrainReport(abandoned=(job.last.run.id,))
    assert not report.clean
    assert f"gave up waiting for {job.last.run.id}" in caplog.text
    assert [each.status for each in outcomes] == [Status.CANCELLED]
    assert job.running == ()


async def test_a_run_that_suppresses_its_cancellation_has_its_outcome_all_the_same(
    virtual_time, caplog
):
    scheduler = Scheduler(clock=virtual_time, shutdown_timeout=1)
    outcomes = outcomes_of(scheduler)
    over = asyncio.Event()

    async def stubborn():
        while not over.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await over.wait()

    job = scheduler.add(stubborn, Every(seconds=1))
    await scheduler.start()
    await asyncio.sleep(1.5)
    report = await scheduler.stop()
    assert report == DrainReport(abandoned=(job.last.run.id,))
    over.set()
    await asyncio.sleep(1)
    assert [each.status for each in outcomes] == [Status.CANCELLED]
    assert job.running == ()


async def test_an_abandoned_run_keeps_its_slot_if_the_scheduler_starts_again_in_its_loop(
    virtual_time,
):
    scheduler = Scheduler(clock=virtual_time, shutdown_timeout=0)
    outcomes = outcomes_of(scheduler)
    over = asyncio.Event()

    async def stubborn():
        while not over.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await over.wait()

    job = scheduler.add(stubborn, Every(seconds=1), name="stubborn")
    await scheduler.start()
    await asyncio.sleep(1.5)
    await scheduler.stop()
    async with scheduler:
        await asyncio.sleep(1.5)
        assert outcomes[-1].refusal.gate == "job_limit"
        over.set()
        await asyncio.sleep(1)
        assert outcomes[-1].status is Status.SUCCEEDED
        assert job.running == ()
    assert len(outcomes) == 3


def test_an_abandoned_run_does_not_block_its_job_in_another_loop():
    scheduler = Scheduler(clock=VirtualClock(), shutdown_timeout=0)
    outcomes = outcomes_of(scheduler)

    is_stubborn = True

    async def stubborn():
        while is_stubborn:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    job = scheduler.add(stubborn, Every(seconds=1), name="stubborn")
    loop = VirtualLoop()
    loop.run_until_complete(scheduler.start())
    loop.run_until_complete(asyncio.sleep(1.5))
    report = loop.run_until_complete(scheduler.stop())
    (abandoned,) = job.running
    (left,) = asyncio.all_tasks(loop)
    assert report.abandoned == (abandoned.id,)

    async def another_life():
        nonlocal is_stubborn
        async with scheduler:
            await asyncio.sleep(1.5)
            assert [run.number for run in job.running] == [2]
            is_stubborn = False

    run_virtually(another_life)
    assert [str(each.status) for each in outcomes] == ["cancelled", "succeeded"]
    left.cancel()
    loop.run_until_complete(left)
    loop.close()
    assert len(outcomes) == 2


async def test_a_drain_waits_for_a_thread_that_heeds_the_stop(virtual_time):
    scheduler = Scheduler(clock=virtual_time)

    def heedful(run: Run):
        while not run.stopping.is_set():
            time.sleep(0.001)
        return "heard"

    job = scheduler.add(heedful, Every(seconds=1))
    await scheduler.start()
    await asyncio.sleep(1.01)
    report = await scheduler.stop()
    assert report == DrainReport(finished=1)
    assert job.last.value == "heard"


async def test_the_slot_of_a_cancelled_run_is_kept_until_its_thread_ends(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    outcomes = outcomes_of(scheduler)
    began, over = threading.Event(), threading.Event()

    def deaf():
        began.set()
        over.wait(10)

    job = scheduler.add(deaf, Every(hours=1))
    async with scheduler:
        run = job.trigger_now()
        while not began.is_set():
            await asyncio.sleep(0)
        run._task.cancel()
        await settle()
        assert [each.status for each in outcomes] == [Status.CANCELLED]
        assert job.running == (run,)
        refused = await job.run_now()
        assert refused.refusal.gate == "job_limit"
        over.set()
        while job.running:
            await asyncio.sleep(0)
        assert len(outcomes) == 2


# -- starting goes wrong ------------------------------------------------------------------------


class Shop(MemoryLocker):
    """A locker whose opening can be held up, or fail; it notes what is done to it."""

    def __init__(self, error=None, gate=None):
        super().__init__()
        self.error, self.gate, self.log = error, gate, []

    async def open(self):
        self.log.append("open")
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        await super().open()

    async def aclose(self):
        self.log.append("close")
        await super().aclose()


async def test_a_start_fails_with_the_locker_and_leaves_nothing_open(virtual_time):
    good, bad = Shop(), Shop(PermissionError("wrong password"))
    scheduler = Scheduler(clock=virtual_time, locker=good)
    outcomes = outcomes_of(scheduler)
    scheduler.add(nothing, Every(seconds=1), name="a")
    scheduler.add(nothing, Every(seconds=1), name="b", locker=bad)
    with pytest.raises(PermissionError, match="wrong password"):
        await scheduler.start()
    await asyncio.sleep(5)
    assert good.log == ["open", "close"]
    assert outcomes == []
    assert scheduler.state is SchedulerState.NEW
    bad.error = None
    async with scheduler:
        await asyncio.sleep(1.5)
    assert len(outcomes) == 2


async def test_a_cancelled_start_leaves_nothing_open(virtual_time):
    open_, hangs = Shop(), Shop(gate=asyncio.Event())
    scheduler = Scheduler(clock=virtual_time, locker=open_)
    scheduler.add(nothing, Every(seconds=1), name="a")
    scheduler.add(nothing, Every(seconds=1), name="b", locker=hangs)
    before = asyncio.all_tasks()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3):
            await scheduler.start()
    assert open_.log == ["open", "close"]
    assert hangs.log == ["open"]
    assert asyncio.all_tasks() == before
    hangs.gate.set()
    async with scheduler:
        assert scheduler.state is SchedulerState.RUNNING


async def test_a_stop_ends_a_start_that_is_under_way(virtual_time):
    hangs = Shop(gate=asyncio.Event())
    scheduler = Scheduler(clock=virtual_time, locker=hangs)
    scheduler.add(nothing, Every(seconds=1), name="a")
    starting = asyncio.create_task(scheduler.start())
    await asyncio.sleep(1)
    await scheduler.stop()
    with pytest.raises(SchedulerClosed, match="stopped while it was starting"):
        await starting
    assert scheduler.state is SchedulerState.NEW


async def test_a_stop_ends_a_start_that_plans_many_jobs(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    outcomes = outcomes_of(scheduler)
    for number in range(2_500):
        scheduler.add(nothing, Every(seconds=1), name=str(number), run_on_start=True)
    starting = asyncio.create_task(scheduler.start())
    await settle(4)
    await scheduler.stop()
    with pytest.raises(SchedulerClosed, match="stopped while it was starting"):
        await starting
    await asyncio.sleep(5)
    assert 0 < len(outcomes) < 2_500
    assert scheduler.state is SchedulerState.STOPPED


async def test_a_locker_that_cannot_be_closed_keeps_no_other_from_being_closed(
    virtual_time, caplog
):
    class Broken(Shop):
        async def aclose(self):
            raise OSError("disk on fire")

    last = Shop()
    scheduler = Scheduler(clock=virtual_time, locker=Broken())
    scheduler.add(nothing, Every(seconds=1), name="a")
    scheduler.add(nothing, Every(seconds=1), name="b", locker=last)
    async with scheduler:
        pass
    assert last.log == ["open", "close"]
    assert "disk on fire" in caplog.text


async def test_a_locker_that_a_job_brings_later_is_opened_and_closed_once(virtual_time):
    shop = Shop()
    scheduler = Scheduler(clock=virtual_time)
    async with scheduler:
        for name in "ab":
            scheduler.add(nothing, Every(seconds=1), name=name, locker=shop)
        await asyncio.sleep(3.5)
        assert scheduler["a"].last.status is scheduler["b"].last.status is Status.SUCCEEDED
    assert shop.log == ["open", "close"]


async def test_a_later_locker_that_cannot_be_opened_refuses_runs_and_is_asked_again(
    virtual_time, caplog
):
    shop = Shop(PermissionError("wrong password"))
    scheduler = Scheduler(clock=virtual_time)
    async with scheduler:
        job = scheduler.add(nothing, Every(seconds=10), name="a", locker=shop)
        refused = await job.run_now()
        assert (refused.refusal.gate, refused.refusal.reason) == ("lock", "unavailable")
        assert isinstance(refused.error, PermissionError)
        shop.error = None
        assert (await job.run_now()).status is Status.SUCCEEDED
    assert "wrong password" in caplog.text


async def test_a_locker_that_opens_unavailable_is_retried(virtual_time):
    shop = Shop(LockerUnavailable("not yet"))
    scheduler = Scheduler(clock=virtual_time)
    async with scheduler:
        job = scheduler.add(nothing, Every(seconds=10), name="a", locker=shop)
        await asyncio.sleep(12)
        assert job.last is None
        shop.error = None
        await asyncio.sleep(3)
        assert job.last.status is Status.SUCCEEDED


async def test_the_locker_is_not_set_while_running(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    scheduler.use_locker(MemoryLocker())
    async with scheduler:
        with pytest.raises(SchedulerClosed, match="only while the scheduler does not run"):
            scheduler.use_locker(None)
    scheduler.use_locker(None)
    assert scheduler.locker is None


# -- on a start ---------------------------------------------------------------------------------


async def test_a_start_fires_the_extra_run_of_scheduled_jobs_only(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    outcomes = outcomes_of(scheduler)
    scheduler.add(nothing, Every(hours=1), name="runs", run_on_start=True)
    scheduler.add(nothing, Every(hours=1), name="paused", run_on_start=True).pause()
    spent = scheduler.add(nothing, Every(hours=1), name="spent", run_on_start=True, max_runs=1)
    async with scheduler:
        await asyncio.sleep(1)
        assert spent.state is JobState.FINISHED
    async with scheduler:
        await asyncio.sleep(1)
    assert [f"{each.job.name} {each.run.cause}" for each in outcomes] == [
        "runs start",
        "spent start",
        "runs start",
    ]


async def test_a_job_removed_while_a_start_goes_on_is_not_planned(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    for number in range(1_001):
        scheduler.add(nothing, Every(hours=1), name=str(number), run_on_start=number == 1_000)
    removed = scheduler["1000"]
    starting = asyncio.create_task(scheduler.start())
    await asyncio.sleep(0)
    removed.remove()
    await starting
    await asyncio.sleep(1)
    assert removed.last is None
    assert removed.state is JobState.REMOVED
    await scheduler.stop()


# -- serving ------------------------------------------------------------------------------------


async def test_serve_ends_when_it_is_asked_to(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    serving = asyncio.create_task(scheduler.serve())
    await asyncio.sleep(5)
    assert scheduler.state is SchedulerState.RUNNING
    scheduler.request_stop()
    await serving
    assert scheduler.state is SchedulerState.STOPPED


async def test_asking_twice_cancels_what_the_drain_waits_for(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    job = scheduler.add(asyncio.Event().wait, Every(seconds=1), name="endless")
    serving = asyncio.create_task(scheduler.serve())
    await asyncio.sleep(1.5)
    scheduler.request_stop()
    await asyncio.sleep(3)
    assert scheduler.state is SchedulerState.DRAINING
    began = virtual_time.monotonic()
    scheduler.request_stop()
    await serving
    assert virtual_time.monotonic() == began
    assert job.last.status is Status.CANCELLED


async def test_asking_twice_does_not_wait_for_threads(virtual_time, caplog):
    scheduler = Scheduler(clock=virtual_time, defaults={"executor": ThreadExecutor(2)})
    over = threading.Event()

    def deaf():
        over.wait(10)

    job = scheduler.add(deaf, Every(seconds=1))
    serving = asyncio.create_task(scheduler.serve())
    await asyncio.sleep(1.01)
    scheduler.request_stop()
    await asyncio.sleep(0.01)
    began = time.monotonic()
    scheduler.request_stop()
    await serving
    over.set()
    assert time.monotonic() - began < 2
    assert job.last.status is Status.CANCELLED
    assert "it still goes on" in caplog.text


async def test_asking_to_stop_ends_a_start_that_waits_for_its_locker(virtual_time):
    hangs = Shop(gate=asyncio.Event())
    scheduler = Scheduler(clock=virtual_time, locker=hangs)
    scheduler.add(nothing, Every(seconds=1), name="a")
    serving = asyncio.create_task(scheduler.serve())
    await asyncio.sleep(1)
    scheduler.request_stop()
    await serving
    assert scheduler.state is SchedulerState.NEW
    assert hangs.log == ["open"]


async def test_asking_to_stop_from_inside_a_run_is_fine(virtual_time):
    scheduler = Scheduler(clock=virtual_time)

    async def last_job():
        scheduler.request_stop()
        await asyncio.sleep(1)
        return "done"

    job = scheduler.add(last_job, Every(seconds=1))
    await scheduler.serve()
    assert job.last.value == "done"


async def test_asking_to_stop_from_a_thread_wakes_the_loop():
    scheduler = Scheduler()

    def last_job():
        scheduler.request_stop()

    scheduler.add(last_job, Every(milliseconds=10), max_runs=1)
    async with asyncio.timeout(5):
        await scheduler.serve()
    assert scheduler.state is SchedulerState.STOPPED


async def test_nobody_can_be_asked_who_does_not_serve(virtual_time):
    async with Scheduler(clock=virtual_time) as scheduler:
        with pytest.raises(SchedulerClosed, match="nobody serves"):
            scheduler.request_stop()


async def test_a_scheduler_is_served_once_at_a_time(virtual_time):
    scheduler = Scheduler(clock=virtual_time)
    serving = asyncio.create_task(scheduler.serve())
    await asyncio.sleep(1)
    with pytest.raises(SchedulerClosed):
        await scheduler.serve()
    scheduler.request_stop()  # the first one still hears
    await serving


def test_run_blocks_until_it_is_asked_to_stop():
    scheduler = Scheduler()
    loops: list[object] = []

    async def last_job():
        loops.append(asyncio.get_running_loop())
        scheduler.request_stop()

    scheduler.add(last_job, Every(milliseconds=10), max_runs=1)
    scheduler.run()
    assert len(loops) == 1
    assert scheduler.state is SchedulerState.STOPPED


def test_serving_in_another_thread_does_without_signals():
    scheduler = Scheduler()
    scheduler.add(scheduler.request_stop, Every(milliseconds=10), name="stop", max_runs=1)
    thread = threading.Thread(target=scheduler.run)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()


SERVES = """
import asyncio
from aiosched import Outcome, Scheduler

scheduler = Scheduler()

@scheduler.once(after=0.01, name="slow")
async def slow():
    print("began", flush=True)
    try:
        await asyncio.sleep({seconds})
        print("ended", flush=True)
    finally:
        print("left", flush=True)

scheduler.on(Outcome, lambda outcome: print(outcome.status, flush=True))
{main}
print(scheduler.state, flush=True)
"""
BY_RUN = "scheduler.run()"
BY_ASYNC_WITH = """
async def main():
    async with scheduler:
        await asyncio.Event().wait()
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def serving(seconds, main=BY_RUN):
    """Start a process that serves a job of so many seconds; return it with its job running."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVES.format(seconds=seconds, main=main)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout.readline() == "began\n"
    return process


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(which):
    process = serving(seconds=0.2)
    process.send_signal(which)
    output, errors = process.communicate(timeout=10)
    assert output.split() == ["ended", "left", "succeeded", "stopped"], errors
    assert process.returncode == 0


def test_a_second_signal_cancels_at_once():
    process = serving(seconds=60)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.05)  # two of a kind that arrive together are one
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=10)
    assert output.split() == ["left", "cancelled", "stopped"], errors
    assert process.returncode == 0


def test_a_second_interrupt_cancels_at_once_without_serve_as_well():
    process = serving(seconds=60, main=BY_ASYNC_WITH)
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=10)
    assert output.split() == ["left", "cancelled", "interrupted", "stopped"], errors
