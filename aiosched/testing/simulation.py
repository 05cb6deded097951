"""What schedulers do between two moments: a year passes in seconds."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from aiosched.errors import UnknownJob
from aiosched.events import Event, Outcome
from aiosched.model import Status
from aiosched.moments import aware_us
from aiosched.scheduler import Scheduler
from aiosched.testing.clock import VirtualClock
from aiosched.testing.running import run

StatusName = Literal["succeeded", "failed", "timed_out", "cancelled", "refused", "missed"]


@dataclass(frozen=True, slots=True, repr=False)
class Simulation:
    """What happened in a simulation.

    Attributes:
        outcomes: Of every run that was fired, in the order in which they ended.
        events: Everything else that was published; empty unless it was asked for.
        jobs: The names of the jobs that there were.
    """

    outcomes: tuple[Outcome, ...]
    events: tuple[Event, ...] = ()
    jobs: frozenset[str] = frozenset()

    def of(self, job: str, *statuses: Status | StatusName) -> list[Outcome]:
        """Return the outcomes of the job of that name, with any of *statuses* (none: all).

        Raises:
            UnknownJob: There was no job of that name.
            ValueError: A status is none.
        """
        if job not in self.jobs:
            known = ", ".join(sorted(self.jobs)) or "none"
            raise UnknownJob(f"no such job in the simulation: {job!r}; there were: {known}")
        wanted = frozenset(map(Status, statuses or Status))
        return [each for each in self.outcomes if each.job.name == job and each.status in wanted]

    def trace(self) -> Iterable[str]:
        """Yield one line for each outcome: equal traces are equal histories."""
        for each in self.outcomes:
            began = "-" if each.started_at is None else each.started_at.isoformat()
            why = "" if each.refusal is None else f" {each.refusal.gate}/{each.refusal.reason}"
            yield f"{each.run.id} {each.run.cause} {each.status}{why} {began} {each.at.isoformat()}"

    def digest(self) -> str:
        """Return a hash of the trace."""
        return hashlib.sha256("\n".join(self.trace()).encode()).hexdigest()

    def __repr__(self) -> str:
        return f"<Simulation: {len(self.outcomes)} outcomes of {len(self.jobs)} jobs>"


def simulate(
    schedulers: Scheduler | Iterable[Scheduler],
    start: datetime,
    end: datetime,
    *,
    skews: Iterable[float] = (),
    events: bool = False,
) -> Simulation:
    """Run one scheduler, or a fleet, in virtual time, as if nothing had been before.

    The jobs' functions are called. They wait in virtual time, too, so that an hour's sleep takes
    none; with time-machine installed, `datetime.now()` follows.

    Args:
        schedulers: They must not be running. Afterwards they are as they were, and so is a
            `MemoryLocker`; other lockers are asked as always, by their own clocks.
        start: An aware moment.
        end: A later one. Occurrences after *start* and up to *end* are due; runs that go on at
            *end* are given `shutdown_timeout`.
        skews: Seconds by which the clocks of the schedulers are wrong, in their order; those that
            are left out are right.
        events: Whether to keep what is published besides outcomes.

    Raises:
        TypeError: What is to be simulated is no scheduler, or a skew is no number.
        ValueError: *end* is not after *start*, a moment is naive, or there are too many skews.
        SchedulerClosed: A scheduler runs.
    """
    if aware_us(end, "end") <= aware_us(start, "start"):
        raise ValueError(f"end must be after start, got {end!r} and {start!r}")
    fleet = _fleet_of(schedulers)
    offsets = _offsets_of(skews, len(fleet))
    jobs: set[str] = set()
    outcomes: list[Outcome] = []
    others: list[Event] = []

    def note(event: Event) -> None:
        if isinstance(event, Outcome):
            outcomes.append(event)
        elif events:
            others.append(event)

    async def live(clock: VirtualClock) -> None:
        async with AsyncExitStack() as stack:
            for scheduler, skew in zip(fleet, offsets, strict=True):
                stack.enter_context(scheduler.rehearsal(clock.skewed(skew)))
            for scheduler in fleet:
                scheduler.on(Event if events else Outcome, note)
                stack.callback(scheduler.off, note)
                await stack.enter_async_context(scheduler)
            jobs.update(*(scheduler.jobs for scheduler in fleet))
            await asyncio.sleep((end - start).total_seconds())

    run(live, start=start)
    jobs.update(*(scheduler.jobs for scheduler in fleet), (each.job.name for each in outcomes))
    return Simulation(tuple(outcomes), tuple(others), frozenset(jobs))


def _fleet_of(schedulers: Any) -> tuple[Scheduler, ...]:
    one = isinstance(schedulers, Scheduler) or not isinstance(schedulers, Iterable)
    fleet = (schedulers,) if one else tuple(schedulers)
    for each in fleet:
        if not isinstance(each, Scheduler):
            raise TypeError(f"schedulers must be a Scheduler or several, got {each!r}")
    return fleet


def _offsets_of(skews: Any, count: int) -> list[float]:
    if isinstance(skews, str) or not isinstance(skews, Iterable):
        raise TypeError(f"skews must be several numbers of seconds, got {skews!r}")
    given = list(skews)
    for each in given:
        if isinstance(each, bool) or not isinstance(each, (int, float)):
            raise TypeError(f"skews must be numbers of seconds, got {each!r}")
    if len(given) > count:
        raise ValueError(f"skews must be at most one for each of {count} schedulers, got {given!r}")
    return given + [0.0] * (count - len(given))
