"""Who listens hears every event it asked for, in order, and cannot disturb anything."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiosched import (
    ClockStepped,
    Event,
    Every,
    JobChanged,
    Outcome,
    Planned,
    Scheduler,
    SchedulerChanged,
    Started,
)
from aiosched.testing import VirtualClock
from tests.engine.support import NEVER, Make, nothing


def names(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


async def test_a_listener_hears_the_whole_life_of_a_scheduler(scheduler: Scheduler) -> None:
    heard: list[Event] = []
    scheduler.on(Event, heard.append)
    job = scheduler.add(nothing, Every(seconds=10), name="job")
    async with scheduler:
        await asyncio.sleep(15)
        job.remove()
    assert [
        getattr(event, "state", getattr(event, "change", type(event).__name__)) for event in heard
    ] == [
        "added",
        "running",
        "Planned",
        "Planned",
        "Started",
        "Outcome",
        "removed",
        "draining",
        "stopped",
    ]
    assert [event.at for event in heard] == sorted(event.at for event in heard)
    assert all(event.at.utcoffset().total_seconds() == 0 for event in heard)


@pytest.mark.parametrize("kind", [Planned, Started, Outcome, JobChanged, SchedulerChanged])
async def test_a_listener_hears_only_what_it_asked_for(
    kind: type[Event], scheduler: Scheduler
) -> None:
    heard: list[Event] = []
    scheduler.on(kind, heard.append)
    scheduler.add(nothing, Every(seconds=10))
    async with scheduler:
        await asyncio.sleep(15)
    assert {type(event) for event in heard} == {kind}


async def test_on_is_a_decorator_too(scheduler: Scheduler) -> None:
    heard: list[Outcome] = []

    @scheduler.on(Outcome)
    def listener(outcome: Outcome) -> None:
        heard.append(outcome)

    assert callable(listener)
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        await job.run_now()
    assert len(heard) == 1


async def test_listeners_are_called_in_the_order_in_which_they_came(scheduler: Scheduler) -> None:
    heard: list[str] = []
    for name in "cab":
        scheduler.on(Outcome, lambda _, name=name: heard.append(name))
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        await job.run_now()
    assert heard == ["c", "a", "b"]


@pytest.mark.parametrize("how", ["name", "function", "job"])
async def test_a_listener_may_want_the_events_of_one_job(how: str, scheduler: Scheduler) -> None:
    async def other() -> None: ...

    job = scheduler.add(nothing, NEVER, name="job")
    another = scheduler.add(other, NEVER, name="other")
    heard: list[Event] = []
    scheduler.on(Event, heard.append, job={"name": "job", "function": nothing, "job": job}[how])
    async with scheduler:
        await another.run_now()
        await job.run_now()
        another.pause()
        job.pause()
    assert names(heard) == ["Planned", "Started", "Outcome", "JobChanged"]


async def test_a_listener_may_wait_for_a_job_that_is_not_there_yet(scheduler: Scheduler) -> None:
    heard: list[Event] = []
    scheduler.on(JobChanged, heard.append, job="later")
    scheduler.add(nothing, NEVER, name="other")
    scheduler.add(nothing, NEVER, name="later")
    assert len(heard) == 1


async def test_a_listener_that_raises_is_logged_and_changes_nothing(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Event] = []

    def bad(event: Event) -> None:
        raise ValueError("on purpose")

    async def bad_too(event: Event) -> None:
        raise ValueError("on purpose, later")

    scheduler.on(Event, bad)
    scheduler.on(Event, bad_too)
    scheduler.on(Outcome, heard.append)
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        assert (await job.run_now()).status == "succeeded"
        assert scheduler.health().ok
    assert len(heard) == 1
    assert caplog.text.count("ValueError: on purpose, later") >= 4
    assert "test_a_listener_that_raises" in caplog.records[0].getMessage()


async def test_a_job_that_cannot_be_compared_harms_nobody(scheduler: Scheduler) -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise ValueError("incomparable")

        __hash__ = None

        async def __call__(self) -> None: ...

    heard: list[Event] = []
    scheduler.on(Outcome, heard.append, job=Odd())
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        await job.run_now()
        assert scheduler.health().ok
    assert heard == []


async def test_off_ends_it(scheduler: Scheduler) -> None:
    heard: list[Event] = []
    scheduler.on(Outcome, heard.append)
    scheduler.on(Started, heard.append)
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        await job.run_now()
        assert scheduler.off(heard.append)
        assert not scheduler.off(heard.append)
        await job.run_now()
    assert names(heard) == ["Started", "Outcome"]


async def test_a_listener_may_take_itself_off(scheduler: Scheduler) -> None:
    heard: list[Event] = []

    def once(event: Event) -> None:
        heard.append(event)
        scheduler.off(once)

    scheduler.on(Outcome, once)
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        await job.run_now()
        await job.run_now()
    assert len(heard) == 1


async def test_listeners_can_be_given_to_the_scheduler(make: Make) -> None:
    everything: list[Event] = []
    outcomes: list[Event] = []
    scheduler = make(listeners=[everything.append, (Outcome, outcomes.append)])
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        await job.run_now()
    assert names(outcomes) == ["Outcome"]
    assert len(everything) > 5


@pytest.mark.parametrize(
    ("event", "listener", "message"),
    [
        (int, print, "event must be an event type, got <class 'int'>"),
        ("Outcome", print, "event must be an event type, got 'Outcome'"),
        (Outcome, "listen", "listener must be callable, got 'listen'"),
    ],
)
def test_a_mistaken_subscription_is_named(event: Any, listener: Any, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        Scheduler().on(event, listener)
    assert message in str(caught.value)


async def test_a_step_of_the_clock_is_an_event(
    scheduler: Scheduler, virtual_time: VirtualClock
) -> None:
    steps: list[ClockStepped] = []
    scheduler.on(ClockStepped, steps.append)
    scheduler.on(ClockStepped, lambda _: pytest.fail("it is of no job"), job="job")
    scheduler.add(nothing, Every(seconds=10), name="job")
    async with scheduler:
        await asyncio.sleep(15)
        virtual_time.step(3_600)
        await asyncio.sleep(10)
    assert [step.seconds for step in steps] == [pytest.approx(3_600, abs=0.01)]


async def test_what_a_listener_causes_is_heard_after_what_it_heard(make: Make) -> None:
    scheduler = make()
    heard: list[str] = []

    @scheduler.on(JobChanged)
    def forget(event: JobChanged) -> None:
        if event.change == "added":
            scheduler.remove(event.job.name)

    scheduler.on(JobChanged, lambda event: heard.append(str(event.change)))
    async with scheduler, scheduler.events(JobChanged) as stream:
        scheduler.add(nothing, NEVER, name="a")
        assert heard == ["added", "removed"]
        assert [str((await anext(stream)).change) for _ in range(2)] == heard


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda scheduler: scheduler.on(nothing), "event must be an event type, got <function"),
        (lambda scheduler: scheduler.on("Outcome"), "event must be an event type, got 'Outcome'"),
        (lambda scheduler: scheduler.on(Outcome, job=5), "job must be a name, a function or a job"),
    ],
)
def test_a_listener_that_could_hear_nothing_is_refused(call: Any, complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        call(Scheduler())


async def test_run_says_what_to_do_in_a_loop() -> None:
    with pytest.raises(RuntimeError, match=r"await serve\(\) instead"):
        Scheduler().run()


async def test_listeners_that_cause_events_without_an_end_are_stopped(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = make()
    job = scheduler.add(nothing, NEVER, name="a")
    heard = 0

    @scheduler.on(JobChanged)
    def again(event: JobChanged) -> None:
        nonlocal heard
        heard += 1
        job.update(priority=heard)

    async with scheduler:
        job.update(timeout=5)
        assert heard == 10_000
        assert caplog.text.count("listeners cause events without an end") == 1
        scheduler.off(again)
        assert (await job.run_now()).status == "succeeded"
