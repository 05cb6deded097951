"""A job, as its user holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Unpack

from aiosched._engine import deadlock
from aiosched._engine.outcome import outcome_of, recall
from aiosched._engine.record import JobRecord
from aiosched._engine.timing import public
from aiosched.errors import UnknownJob
from aiosched.events import Outcome
from aiosched.model import Cause, JobState, Run
from aiosched.moments import aware_us

if TYPE_CHECKING:
    from aiosched._engine.engine import Engine
    from aiosched.options import JobOptions, JobSpec
    from aiosched.protocols import Trigger


class Job(JobRecord):
    """A registered job. Made by `Scheduler.add` and the decorators; all of it works at any time.

    Attributes:
        name: Unique in the scheduler, and the lock key unless `lock_key` says otherwise.
    """

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def _engine(self) -> Engine: ...

    @property
    def func(self) -> Callable[..., Any]:
        """The function."""
        return self._recipe.func

    @property
    def trigger(self) -> Trigger:
        """When it runs; with a locker, an interval's phase is fixed by the Unix epoch."""
        return public(self._trigger)

    @property
    def spec(self) -> JobSpec:
        """Its options, checked and complete; durations in microseconds."""
        return self._spec

    @property
    def lock_key(self) -> str:
        """The key of its lock."""
        return self._lock_key

    @property
    def state(self) -> JobState:
        """``scheduled``, ``paused``, ``finished`` or ``removed``."""
        until = self._pause_until
        if self._state is JobState.SCHEDULED and until is not None:
            return JobState.PAUSED if self._engine.time.now() < until else JobState.SCHEDULED
        return self._state

    @property
    def next_run(self) -> datetime | None:
        """The next occurrence, in the trigger's zone; None when none is planned (paused, finished).

        Before the scheduler starts: the one that would be next if it started now.
        """
        upcoming = self.next_runs(1)
        return upcoming[0] if upcoming else None

    @property
    def last(self) -> Outcome | None:
        """The outcome of the run that ended last; None before any has."""
        run = recall(self)
        return None if run is None else outcome_of(run)

    @property
    def running(self) -> tuple[Run, ...]:
        """The runs that hold a slot of this job in this process, the oldest first."""
        return tuple(self._runs or ())

    def next_runs(self, n: int) -> list[datetime]:
        """Return up to *n* coming occurrences, within the job's bounds and `max_runs`.

        Raises:
            TypeError: *n* is no int.
            ValueError: *n* is negative.
        """
        if isinstance(n, bool) or not isinstance(n, int):
            raise TypeError(f"n must be an int, got {n!r}")
        if n < 0:
            raise ValueError(f"n must not be negative, got {n!r}")
        return self._engine.forecast(self, n)

    async def run_now(self) -> Outcome:
        """Run once, through the same gates as always, and return how it ended.

        A run that is refused is an outcome, too. Cancelling the caller leaves the run going on.

        Raises:
            SchedulerClosed: The scheduler does not run, or runs on another event loop.
            RunDeadlock: The caller is a run that this one would have to wait for.
        """
        engine = self._engine
        engine.check_running()
        engine.check_loop()
        self._check_registered()
        deadlock.check(self, engine.dispatcher)
        ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        now = engine.time.now()
        engine.dispatcher.fire(self, now, Cause.MANUAL, waiter=ended)
        return await ended

    def trigger_now(self) -> Run:
        """Fire one run and return it at once; its outcome is published like any other.

        Raises:
            SchedulerClosed: The scheduler does not run.
        """
        engine = self._engine
        engine.check_running()
        self._check_registered()
        return engine.in_loop(engine.dispatcher.fire)(self, engine.time.now(), Cause.MANUAL)

    def pause(self, until: datetime | None = None) -> None:
        """Let nothing be due until `resume`, or until an aware moment, which itself may be due."""
        until_us = None if until is None else aware_us(until, "until")
        engine = self._recipe.engine
        engine.in_loop(engine.registry.pause)(self, until_us)

    def resume(self) -> None:
        """Go on; what would have been due meanwhile is not made up for."""
        engine = self._recipe.engine
        engine.in_loop(engine.registry.resume)(self)

    def update(self, *, trigger: Trigger | None = None, **options: Unpack[JobOptions]) -> None:
        """Change the trigger or options, checked before anything changes; phase and history stay.

        Raises:
            TypeError, ValueError: As `Scheduler.add`.
        """
        engine = self._recipe.engine
        engine.in_loop(engine.registry.update)(self, trigger, options)

    def remove(self, *, cancel: bool = False) -> None:
        """Forget the job. Queued runs are cancelled; those that go on only with *cancel*.

        Raises:
            UnknownJob: It was removed already.
        """
        engine = self._recipe.engine
        engine.in_loop(engine.registry.remove)(self, cancel=cancel)

    def _check_registered(self) -> None:
        if self._state is JobState.REMOVED:
            raise UnknownJob(f"job {self.name!r} was removed")

    def __repr__(self) -> str:
        return f"<Job {self.name!r} {self.state} {self.trigger!r}>"
