"""Streams of events: bounded, counted, and gone with their readers."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from aiosched import Event, Every, Outcome, Run, Scheduler, SchedulerChanged, Started
from tests.engine.support import NEVER, nothing, settle


def names(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


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
    async def read() -> list[Event]:
        return [event async for event in stream]

    stream = scheduler.events()
    reader = asyncio.create_task(read())
    await settle()
    assert not reader.done()
    stream.close()
    stream.close()
    assert await reader == []


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
