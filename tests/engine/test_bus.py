"""Who listens hears every event it asked for, in order, and cannot disturb anything."""

from __future__ import annotations

import asyncio
import functools
import gc
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from aiosched import (
    ClockStepped,
    Event,
    Every,
    JobChanged,
    Outcome,
    Planned,
    Run,
    Scheduler,
    SchedulerChanged,
    Started,
    current_run,
)
from aiosched.testing import VirtualClock
from tests.engine.support import settle

Make = Callable[..., Scheduler]
NEVER = Every(days=1)


async def nothing() -> None: ...


def names(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


# -- listeners -----------------------------------------------------------------------------------


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


# -- async listeners -----------------------------------------------------------------------------


async def test_an_async_listener_hears_one_event_after_the_other(scheduler: Scheduler) -> None:
    heard: list[str] = []

    async def slow(event: Event) -> None:
        heard.append(f"begin {type(event).__name__}")
        await asyncio.sleep(1)
        heard.append(f"end {type(event).__name__}")

    scheduler.on(Started, slow)
    scheduler.on(Outcome, slow)
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        outcome = await job.run_now()
        assert outcome.elapsed == 0
        await asyncio.sleep(5)
        assert heard == ["begin Started", "end Started", "begin Outcome", "end Outcome"]


async def test_async_listeners_are_let_finish_at_the_end(scheduler: Scheduler) -> None:
    heard: list[Event] = []

    async def slow(event: Event) -> None:
        await asyncio.sleep(1)
        heard.append(event)

    scheduler.on(SchedulerChanged, slow)
    async with scheduler:
        pass
    assert [event.state for event in heard] == ["running", "draining", "stopped"]


async def test_an_async_listener_that_never_ends_does_not_keep_a_stop(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    async def stuck(event: SchedulerChanged) -> None:
        heard.append(event.state)
        await asyncio.Event().wait()

    scheduler.on(SchedulerChanged, stuck)
    before = asyncio.get_running_loop().time()
    async with scheduler:
        pass
    assert asyncio.get_running_loop().time() - before < 10
    assert heard == ["running"]
    assert "1 listeners were cancelled" in caplog.text
    async with scheduler:
        await settle()
        assert heard == ["running", "running"]


async def test_an_async_listener_hears_what_happened_before_the_start(make: Make) -> None:
    heard: list[JobChanged] = []

    async def listener(event: JobChanged) -> None:
        heard.append(event)

    scheduler = make()
    scheduler.on(JobChanged, listener)
    await asyncio.to_thread(scheduler.add, nothing, NEVER)  # where there is no loop
    job = scheduler.add(nothing, NEVER, name="job")
    async with scheduler:
        job.pause()
        await settle()
        assert [event.change for event in heard] == ["added", "added", "paused"]


async def test_a_listener_is_no_part_of_the_run_it_hears_of(scheduler: Scheduler) -> None:
    found: list[object] = []

    async def listener(event: Event) -> None:
        try:
            found.append(current_run())
        except LookupError:
            found.append(None)

    scheduler.on(Started, listener)
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        await job.run_now()
        await settle()
    assert found == [None]


async def test_an_async_listener_that_is_off_hears_nothing_more(scheduler: Scheduler) -> None:
    heard: list[int] = []

    async def slow(outcome: Outcome) -> None:
        heard.append(outcome.run.number)
        await asyncio.sleep(10)

    scheduler.on(Outcome, slow)
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        for _ in range(3):
            await job.run_now()
        await settle()
        scheduler.off(slow)
        await asyncio.sleep(60)
    assert heard == [1]


async def test_objects_partials_and_lambdas_may_be_async_listeners(scheduler: Scheduler) -> None:
    heard: list[str] = []

    @dataclass
    class Listener:
        """Equal to others of its kind, and without a hash."""

        word: str = field(default="object", compare=False)

        async def __call__(self, event: Event) -> None:
            heard.append(self.word)

    async def listener(word: str, event: Event) -> None:
        heard.append(word)

    async def broken(event: Event) -> None:
        raise ValueError("on purpose")

    scheduler.on(Outcome, Listener())
    scheduler.on(Outcome, functools.partial(listener, "partial"))
    scheduler.on(Outcome, lambda event: listener("lambda", event))
    scheduler.on(Outcome, lambda event: broken(event))  # noqa: PLW0108 - seen to be async later
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        await job.run_now()
        assert scheduler.health().ok
    assert sorted(heard) == ["lambda", "object", "partial"]


async def test_a_coroutine_that_nobody_can_await_yet_is_dropped_aloud(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler.on(JobChanged, lambda event: asyncio.sleep(0, event))
    scheduler.add(nothing, NEVER)
    assert "gave a coroutine while no loop ran: dropped" in caplog.text


async def test_a_listener_that_cannot_keep_up_loses_events_and_is_told_of(
    scheduler: Scheduler, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Event] = []
    stuck = asyncio.Event()

    async def listener(event: Planned) -> None:
        await stuck.wait()
        heard.append(event)

    scheduler.on(Planned, listener)
    job = scheduler.add(nothing, Every(seconds=10))
    async with scheduler:
        await settle()
        for number in range(10_500):
            job.update(trigger=Every(seconds=10 + number % 2))
        stuck.set()
        await settle()
    assert len(heard) == 10_001  # one was being handled
    assert caplog.text.count("10000 events behind; dropping") == 1


# -- streams -------------------------------------------------------------------------------------


async def test_a_stream_gives_events_until_the_scheduler_has_stopped(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, NEVER)
    stream = scheduler.events(Started, Outcome, SchedulerChanged)
    async with scheduler:
        await job.run_now()
    heard = [event async for event in stream]
    assert names(heard) == [
        "SchedulerChanged",
        "Started",
        "Outcome",
        "SchedulerChanged",
        "SchedulerChanged",
    ]
    assert stream.dropped == 0


async def test_a_reader_waits_for_what_is_to_come(scheduler: Scheduler) -> None:
    scheduler.add(nothing, Every(seconds=10))
    async with scheduler:
        async for event in scheduler.events(Outcome):
            assert event.run.number == 1
            break
        assert asyncio.get_running_loop().time() == pytest.approx(10, abs=1e-3)


async def test_a_stream_is_bounded_and_counts_what_it_drops(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, NEVER)
    stream = scheduler.events(Outcome, size=3)
    async with scheduler:
        for _ in range(5):
            await job.run_now()
        stream.close()
        await job.run_now()
        assert [event.run.number async for event in stream] == [3, 4, 5]
    assert stream.dropped == 2


async def test_a_stream_can_be_left(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        async with scheduler.events() as stream:
            await job.run_now()
        await job.run_now()
        heard = [event async for event in stream]
    assert names(heard) == ["Started", "Outcome"]


async def test_closing_a_stream_wakes_its_reader(scheduler: Scheduler) -> None:
    stream = scheduler.events()
    stream.close()
    stream.close()
    assert [event async for event in stream] == []


async def test_a_stream_that_nobody_reads_any_more_is_forgotten(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, NEVER)
    async with scheduler:
        stream, other = scheduler.events(), scheduler.events(Outcome)
        await job.run_now()
        async for _ in stream:
            break
        gone = weakref.ref(stream)
        del stream
        gc.collect()
        assert gone() is None
        await job.run_now()
    assert [event.run.number async for event in other] == [1, 2]


async def test_streams_are_independent(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, NEVER)
    first, second = scheduler.events(Outcome), scheduler.events(Outcome)
    async with scheduler:
        await job.run_now()
        assert (await anext(first)) is (await anext(second))


@pytest.mark.parametrize(
    ("types", "size", "message"),
    [
        ((), 0, "size must be at least 1, got 0"),
        ((int,), 10, "types must be event types, got <class 'int'>"),
        (("Outcome",), 10, "types must be event types, got 'Outcome'"),
    ],
)
def test_a_mistaken_stream_is_named(types: tuple, size: int, message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        Scheduler().events(*types, size=size)
    assert message in str(caught.value)


async def test_a_run_can_be_followed_from_its_events(scheduler: Scheduler) -> None:
    job = scheduler.add(nothing, NEVER)
    runs: list[Run] = []
    scheduler.on(Started, lambda event: runs.append(event.run))
    scheduler.on(Outcome, lambda event: runs.append(event.run))
    async with scheduler:
        outcome = await job.run_now()
    assert runs == [outcome.run, outcome.run]
    assert outcome.job is job
