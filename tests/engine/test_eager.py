"""Runs that the trigger fires begin in the timer's own turn, each in a task like any other."""

from __future__ import annotations

import asyncio
import contextvars
from datetime import timedelta

import pytest

from aiosched import Every, Once, Outcome, Run, Scheduler, current_run
from aiosched._engine.eager import starter
from aiosched.testing import VirtualClock
from aiosched.testing import run as run_virtually
from tests.engine.support import START, Make, Told, Work, nothing, settle

SOON = Once(START + timedelta(seconds=1))


@pytest.mark.parametrize("listen", [False, True])
async def test_a_run_has_its_own_task_and_context_before_it_first_waits(
    scheduler: Scheduler, *, listen: bool
) -> None:
    local: contextvars.ContextVar[str] = contextvars.ContextVar("local", default="")
    seen: list[tuple[str, str, bool]] = []
    tasks: list[asyncio.Task[object] | None] = []

    async def look(run: Run) -> None:
        task = asyncio.current_task()
        assert task is not None
        async with asyncio.timeout(1):
            seen.append((task.get_name(), local.get(), current_run() is run))
            tasks.append(task)
        local.set(run.job.name)
        await asyncio.sleep(0)
        assert (asyncio.current_task(), local.get()) == (task, run.job.name)

    if listen:
        scheduler.on(Outcome, lambda _: None)
    for name in "abc":
        scheduler.add(look, SOON, name=name)
    async with scheduler:
        await asyncio.sleep(2)
    assert seen == [(name, "", True) for name in "abc"]
    assert len(set(tasks)) == 3


async def test_what_follows_is_known_and_the_run_counted_when_it_begins(
    scheduler: Scheduler,
) -> None:
    seen: list[object] = []

    async def look(run: Run) -> None:
        job = scheduler["job"]
        seen.extend([job.running == (run,), scheduler.running, job.next_run])

    scheduler.add(look, Every(seconds=1), name="job")
    async with scheduler:
        await asyncio.sleep(1.5)
        assert seen == [True, 1, START + timedelta(seconds=2)]
        assert scheduler.running == 0


async def test_a_run_can_cancel_itself_before_it_first_waits(
    scheduler: Scheduler, told: Told
) -> None:
    async def give_up() -> None:
        scheduler.remove("job", cancel=True)
        await asyncio.sleep(10)

    scheduler.add(give_up, SOON, name="job")
    scheduler.add(nothing, SOON, name="other")
    async with scheduler:
        await asyncio.sleep(2)
    assert sorted(told.statuses()) == ["cancelled", "succeeded"]


async def test_runs_that_wait_for_a_limit_begin_one_after_the_other(make: Make) -> None:
    scheduler = make(max_running=1)
    told = Told(scheduler)
    work = Work()
    first = scheduler.add(work, SOON, name="first", priority=1)
    for number in range(3_000):  # deeper than calls may be nested
        scheduler.add(nothing, SOON, name=str(number))
    async with scheduler:
        await asyncio.sleep(1.5)
        assert scheduler.queued == 3_000
        work.end()
        await settle(10_000)
        assert told.statuses() == ["succeeded"] * 3_001
        assert told.outcomes[0].job is first


async def test_a_run_that_fires_another_does_not_contain_it(
    scheduler: Scheduler, told: Told
) -> None:
    order: list[str] = []

    async def outer() -> None:
        scheduler["inner"].trigger_now()
        order.append("outer")

    async def inner() -> None:
        order.append("inner")

    scheduler.add(outer, SOON, name="outer")
    scheduler.add(inner, Every(days=1), name="inner")
    async with scheduler:
        await asyncio.sleep(2)
    assert order == ["outer", "inner"]
    assert told.statuses() == ["succeeded"] * 2


async def test_a_run_may_pause_the_scheduler_in_the_middle_of_a_burst(
    scheduler: Scheduler, told: Told
) -> None:
    async def pause() -> None:
        scheduler.pause()

    scheduler.add(pause, SOON, name="pause")
    for number in range(20):
        scheduler.add(nothing, SOON, name=str(number))
    async with scheduler:
        await asyncio.sleep(2)
        assert [each.job.name for each in told.outcomes] == ["pause"]


def test_an_exit_in_a_run_goes_to_the_loop_and_the_others_run_on() -> None:
    ran: list[str] = []

    async def leave() -> None:
        raise SystemExit(3)

    async def work(run: Run) -> None:
        ran.append(run.job.name)

    async def main(clock: VirtualClock) -> None:
        scheduler = Scheduler(clock=clock)
        scheduler.add(leave, SOON, name="leave")
        for name in "abc":
            scheduler.add(work, SOON, name=name)
        async with scheduler:
            try:
                await asyncio.sleep(2)
            finally:
                await asyncio.sleep(1)

    with pytest.raises(SystemExit):
        run_virtually(main, start=START)
    assert ran == ["a", "b", "c"]


async def test_a_callback_from_a_finalizer_is_queued_like_any_other() -> None:
    loop = asyncio.get_running_loop()
    order: list[str] = []

    class Name(str):
        """Asked for while the task is being made."""

        __slots__ = ()

        def __str__(self) -> str:
            loop.call_soon(order.append, "callback")
            loop.create_task(nothing())  # noqa: RUF006 - its step must not be taken for ours
            return "name"

    async def work() -> None:
        order.append("work")

    start = starter(loop)
    assert start is not None
    done = loop.create_future()

    def begin() -> None:
        start(work(), Name(), contextvars.copy_context())
        order.append("begun")
        loop.call_soon(done.set_result, None)

    loop.call_soon(begin)
    await done
    assert [each for each in order if each != "callback"] == ["work", "begun"]
    assert loop.call_soon.__func__ is type(loop).call_soon  # type: ignore[attr-defined]


async def test_a_loop_whose_call_soon_is_covered_already_is_left_alone(
    scheduler: Scheduler, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    calls: list[object] = []

    def covered(callback, *args, context=None):
        calls.append(callback)
        return type(loop).call_soon(loop, callback, *args, context=context)

    monkeypatch.setattr(loop, "call_soon", covered)
    scheduler.add(nothing, SOON)
    async with scheduler:
        await asyncio.sleep(2)
    assert told.statuses() == ["succeeded"]
    assert calls
