"""Async listeners: one event after the other, no part of a run, and off means off."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass, field

import pytest

from aiosched import (
    Event,
    Every,
    JobChanged,
    Outcome,
    Planned,
    Scheduler,
    SchedulerChanged,
    Started,
    current_run,
)
from tests.engine.support import NEVER, Make, nothing, settle


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
