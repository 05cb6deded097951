"""How often the loop is woken: never while nothing is due, once an instant, whatever the loop."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from aiosched import Every, Run, Scheduler
from benchmarks.harness import Figures, Line, Scenario, Topic


class CountingSelector(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    """Counts how often the loop slept, and so was woken."""

    sleeps = 0

    def select(self, timeout: float | None = None) -> Any:
        self.sleeps += timeout is None or timeout > 0
        return super().select(timeout)


def measure_idle(jobs: int, seconds: float) -> Figures:
    """Count the turns of a loop in which nothing is due for hours."""
    selector = CountingSelector()
    new_loop = lambda: asyncio.SelectorEventLoop(selector)  # noqa: E731
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_idle(selector, jobs, seconds))


async def _idle(selector: CountingSelector, jobs: int, seconds: float) -> Figures:
    scheduler = Scheduler()
    for number in range(jobs):
        scheduler.add(_nothing, Every(hours=1 + number % 24), name=f"job{number}")
    async with scheduler:
        await asyncio.sleep(0.01)  # the start is over
        before = selector.sleeps
        await asyncio.sleep(seconds)
        return {"wakes": selector.sleeps - before - 1}  # our own sleep


async def _nothing() -> None:
    """Never called."""


def measure_instants(jobs: int, instants: int, milliseconds: int, *, uvloop: bool) -> Figures:
    """Count the timers that fire for some instants at which *jobs* are due."""
    fired = [0]
    with asyncio.Runner(loop_factory=_counting_loop(fired, uvloop=uvloop)) as runner:
        return runner.run(_instants(fired, jobs, instants, milliseconds))


async def _instants(fired: list[int], jobs: int, instants: int, milliseconds: int) -> Figures:
    left = jobs * instants
    early = 0
    done = asyncio.Event()

    async def tick(run: Run) -> None:
        nonlocal left, early
        early += time.time_ns() // 1_000 < run.due_us
        left -= 1
        if left == 0:
            done.set()

    scheduler = Scheduler()
    for number in range(jobs):
        trigger = Every(milliseconds=milliseconds, anchor=datetime(2000, 1, 1, tzinfo=UTC))
        scheduler.add(tick, trigger, name=f"job{number}")
    async with scheduler:
        await done.wait()
        return {"early": early, "wakes": fired[0] / instants}


def _counting_loop(fired: list[int], *, uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes a loop that counts in *fired* the timers that fire."""

    def noted(callback: Callable[..., object]) -> Callable[..., object]:
        def note(*args: object) -> None:
            fired[0] += 1
            callback(*args)

        return note

    # Each loop makes one of the two out of the other.
    if not uvloop:

        class Counting(asyncio.SelectorEventLoop):
            def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
                return super().call_at(when, noted(callback), *args, context=context)

        return Counting

    import uvloop as module  # noqa: PLC0415 - a rival, only there for benchmarks

    class CountingUvloop(module.Loop):  # type: ignore[misc]
        __module__ = "uvloop"  # what it is, to those who ask

        def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
            return super().call_later(delay, noted(callback), *args, context=context)

    return CountingUvloop


_INSTANTS = {
    "full": {"jobs": 10, "instants": 200, "milliseconds": 10},
    "quick": {"jobs": 10, "instants": 100, "milliseconds": 10},
    "tiny": {"jobs": 2, "instants": 2, "milliseconds": 10},
}

TOPIC = Topic(
    scenarios=(
        Scenario(
            "idle",
            measure_idle,
            full={"jobs": 1_000, "seconds": 2},
            quick={"jobs": 1_000, "seconds": 1},
            tiny={"jobs": 2, "seconds": 0.01},
            repeats=1,
        ),
        Scenario("instants", measure_instants, **_INSTANTS, fixed={"uvloop": False}, repeats=1),
        Scenario(
            "instants-uvloop",
            measure_instants,
            **_INSTANTS,
            fixed={"uvloop": True},
            repeats=1,
            needs=("uvloop",),
        ),
    ),
    lines=(
        Line("1,000 intervals, nothing due: idle wake-ups", "idle:wakes", "", first=0),
        Line("wake-ups for each due instant", "instants:wakes", "", first=2),
        Line("· runs that came early", "instants:early", "", first=0),
        Line("uvloop: wake-ups for each due instant", "instants-uvloop:wakes", "", first=2),
        Line("· runs that came early", "instants-uvloop:early", "", first=0),
    ),
)
