"""How a figure is taken: by processor time, as a median, each scenario in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

Figures = dict[str, float]
Mode = Literal["tiny", "quick", "full"]
T = TypeVar("T")

MICRO = 1e6
ROOT = Path(__file__).parents[1]
_BATCH = 1_000
_PATIENCE = 300


@dataclass(frozen=True)
class Scenario:
    """Something to measure.

    Attributes:
        name: Figures are known as ``name:figure``.
        run: Measures once, given the arguments of the mode.
        full, quick, tiny: Those arguments. Without *quick* it is left out of a quick run; *tiny* is
            for the tests, which look at no figure.
        fixed: Arguments of every mode.
        needs: Packages besides our own.
    """

    name: str
    run: Callable[..., Figures]
    full: Mapping[str, Any]
    quick: Mapping[str, Any] | None
    tiny: Mapping[str, Any]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    repeats: int = 3
    needs: tuple[str, ...] = ()

    def measure(self, mode: Mode) -> Figures:
        """Measure here and now."""
        arguments: Mapping[str, Any] | None = getattr(self, mode)
        if arguments is None:
            raise ValueError(f"scenario {self.name} is not part of a {mode} run")
        return self.run(**self.fixed, **arguments)


@dataclass(frozen=True)
class Line:
    """A line of the table: a figure, and what it ought to be.

    Attributes:
        what: In words.
        of: The figure, ``scenario:figure``.
        over: It is divided by this figure, if given.
        first: Must be reached; None: only reported.
        aim: Is wanted.
        more: Whether more is better.
    """

    what: str
    of: str
    unit: str
    over: str | None = None
    first: float | None = None
    aim: float | None = None
    more: bool = False


@dataclass(frozen=True)
class Topic:
    """Scenarios, and the lines that come of them."""

    scenarios: tuple[Scenario, ...]
    lines: tuple[Line, ...] = field(default=())


def measure_all(scenarios: Iterable[Scenario], mode: Literal["quick", "full"]) -> Figures:
    """Measure each scenario in a process of its own; return the medians, by ``scenario:figure``.

    Repetitions go round in turns, so that a slow minute of the machine meets all of them.
    """
    chosen = [each for each in scenarios if getattr(each, mode) is not None]
    taken: dict[str, list[float]] = {}
    for turn in range(max(each.repeats for each in chosen) if mode == "full" else 1):
        for scenario in chosen:
            if turn < scenario.repeats:
                for name, value in _measure_apart(scenario, mode).items():
                    taken.setdefault(f"{scenario.name}:{name}", []).append(value)
    return {name: statistics.median(values) for name, values in taken.items()}


def _measure_apart(scenario: Scenario, mode: Mode) -> Figures:
    began = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks", "--scenario", scenario.name]
    if mode == "quick":
        command.append("--quick")
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=_PATIENCE
    )
    print(f"{time.perf_counter() - began:6.1f} s  {scenario.name}", file=sys.stderr)
    figures: Figures = json.loads(done.stdout)
    return figures


# -- tools of the scenarios ---------------------------------------------------------------------


class Ticks:
    """The no-op coroutine function that all contestants run, and how often it ran.

    Attributes:
        tick: The function.
        count: Gives how often.
    """

    def __init__(self) -> None:
        runs = 0

        async def tick() -> None:
            nonlocal runs
            runs += 1

        self.tick = tick
        self.count = lambda: runs


def run_in(work: Coroutine[Any, Any, T], *, uvloop: bool = False) -> T:
    """Run *work* in a fresh loop."""
    with asyncio.Runner(loop_factory=_new_uvloop if uvloop else None) as runner:
        return runner.run(work)


def _new_uvloop() -> asyncio.AbstractEventLoop:
    import uvloop as module  # noqa: PLC0415 - a rival, only there for benchmarks

    loop: asyncio.AbstractEventLoop = module.new_event_loop()
    return loop


@contextmanager
def frozen() -> Iterator[None]:
    """Take what there is out of the collector's sight, as `aiosched run` does."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def bare_task(batch: int = _BATCH, batches: int = 25) -> float:
    """Return F: microseconds of a bare task of the no-op coroutine, *batch* made at once."""
    loop = asyncio.get_running_loop()
    tick = Ticks().tick
    taken = []
    for _ in range(batches):
        began = time.process_time()
        for _ in range(batch):
            loop.create_task(tick())  # noqa: RUF006 - bare
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        taken.append((time.process_time() - began) / batch * MICRO)
    return statistics.median(taken)


def next_instant(period: float, after: float = 0.1) -> float:
    """Return the loop's time of the next multiple of *period* since the epoch, so much from now."""
    wall = time.time()
    instant = -(-(wall + after) // period) * period
    return asyncio.get_running_loop().time() + instant - wall


async def sleep_until(at: float) -> None:
    """Sleep until that time of the loop."""
    await asyncio.sleep(at - asyncio.get_running_loop().time())


async def cpu_per_run(count: Callable[[], int], first: float, period: float, windows: int) -> float:
    """Return microseconds of processor time a run: the median of *windows* of a period each.

    A window begins a little before an instant; the first one warms up and does not count.
    """
    taken = []
    await sleep_until(first - period / 5)
    for window in range(1, windows + 2):
        began, before = time.process_time(), count()
        await sleep_until(first + (window - 0.2) * period)
        taken.append((time.process_time() - began) / max(count() - before, 1) * MICRO)
    return statistics.median(taken[1:])


def each_us(calls: Iterable[Callable[[], object]]) -> float:
    """Return microseconds of processor time that one of *calls* takes."""
    prepared = list(calls)
    began = time.process_time()
    for call in prepared:
        call()
    return (time.process_time() - began) / len(prepared) * MICRO
