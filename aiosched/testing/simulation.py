"""What schedulers do between two moments: a year passes in seconds."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime

from aiosched.events import Event, Outcome
from aiosched.model import Status
from aiosched.moments import aware_us
from aiosched.scheduler import Scheduler
from aiosched.testing.clock import VirtualClock
from aiosched.testing.running import run


@dataclass(frozen=True, slots=True)
class Simulation:
    """What happened in a simulation.

    Attributes:
        outcomes: Of every run that was fired, in the order in which they ended.
        events: Everything else that was published; empty unless it was asked for.
    """

    outcomes: tuple[Outcome, ...]
    events: tuple[Event, ...] = field(default=(), repr=False)

    def of(self, job: str, *statuses: Status) -> list[Outcome]:
        """Return the outcomes of the job of that name, with any of *statuses* (none: all)."""
        return [
            each
            for each in self.outcomes
            if each.job.name == job and (not statuses or each.status in statuses)
        ]

    def trace(self) -> Iterable[str]:
        """Yield one line for each outcome: equal traces are equal histories."""
        for each in self.outcomes:
            began = "-" if each.started_at is None else each.started_at.isoformat()
            why = "" if each.refusal is None else f" {each.refusal.gate}/{each.refusal.reason}"
            yield f"{each.run.id} {each.run.cause} {each.status}{why} {began} {each.at.isoformat()}"

    def digest(self) -> str:
        """Return a hash of the trace."""
        return hashlib.sha256("\n".join(self.trace()).encode()).hexdigest()


def simulate(
    schedulers: Scheduler | Iterable[Scheduler],
    start: datetime,
    end: datetime,
    *,
    skews: Iterable[float] = (),
    events: bool = False,
) -> Simulation:
    """Run one scheduler, or a fleet, in virtual time.

    The jobs' functions are called. They wait in virtual time, too, so that an hour's sleep takes
    none; with time-machine installed, `datetime.now()` follows.

    Args:
        schedulers: They must not be running; afterwards they keep a virtual clock.
        start: An aware moment.
        end: A later one. Occurrences after *start* and up to *end* are due; runs that go on at
            *end* are given `shutdown_timeout`.
        skews: Seconds by which the clocks of the schedulers are wrong, in their order; default 0.
        events: Whether to keep what is published besides outcomes.

    Raises:
        ValueError: *end* is not after *start*, or a moment is naive.
    """
    if aware_us(end, "end") <= aware_us(start, "start"):
        raise ValueError(f"end must be after start, got {end!r} and {start!r}")
    fleet = (schedulers,) if isinstance(schedulers, Scheduler) else tuple(schedulers)
    offsets = [*skews, *(0.0 for _ in fleet)]
    outcomes: list[Outcome] = []
    others: list[Event] = []

    def note(event: Event) -> None:
        if isinstance(event, Outcome):
            outcomes.append(event)
        elif events:
            others.append(event)

    async def live(clock: VirtualClock) -> None:
        async with AsyncExitStack() as stack:
            for scheduler, skew in zip(fleet, offsets, strict=False):
                scheduler.use_clock(clock.skewed(skew))
                scheduler.on(Event if events else Outcome, note)
                stack.callback(scheduler.off, note)
                await stack.enter_async_context(scheduler)
            await asyncio.sleep((end - start).total_seconds())

    run(live, start=start)
    return Simulation(tuple(outcomes), tuple(others))
