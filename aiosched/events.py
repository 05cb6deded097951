"""What a scheduler tells: one frozen dataclass an event; `at` is an aware UTC moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from aiosched.model import Refusal, Run, Status

if TYPE_CHECKING:
    from aiosched.model import JobLike


class SchedulerState(StrEnum):
    """Where a scheduler is in its life."""

    NEW = "new"
    RUNNING = "running"
    PAUSED = "paused"
    DRAINING = "draining"
    STOPPED = "stopped"
    FAILED = "failed"


class JobChange(StrEnum):
    """What happened to a job."""

    ADDED = "added"
    UPDATED = "updated"
    PAUSED = "paused"
    RESUMED = "resumed"
    FINISHED = "finished"
    REMOVED = "removed"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerChanged(Event):
    """The scheduler's life went on; *error* is what made it fail."""

    state: SchedulerState
    error: BaseException | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobChanged(Event):
    """Something happened to a job; *error* is what its trigger raised if that broke it."""

    job: JobLike
    change: JobChange
    error: BaseException | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned(Event):
    """The job's next occurrence is known."""

    job: JobLike
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """The run has passed its gates and its function is about to be called."""

    run: Run

    @property
    def job(self) -> JobLike:
        """The run's job."""
        job: JobLike = self.run.job
        return job


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Event):
    """How a fired run ended: exactly one for each.

    Attributes:
        run: The run.
        status: How it ended.
        started_at: When its function was called; None if it never was.
        error: What it raised; for a refusal what the gate raised, if anything.
        refusal: Which gate refused and why; None unless it was refused or missed.
        value: What the function returned.
        elapsed: Seconds from start to end on the monotonic clock; 0 if it never started.
        lateness: Seconds from when it was to start (due plus jitter) to its start, or to *at*.
    """

    run: Run
    status: Status
    started_at: datetime | None = None
    error: BaseException | None = None
    refusal: Refusal | None = None
    value: Any = field(default=None)
    elapsed: float = 0.0
    lateness: float = 0.0

    @property
    def job(self) -> JobLike:
        """The run's job."""
        job: JobLike = self.run.job
        return job


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStepped(Event):
    """The wall clock moved against the monotonic clock by *seconds* (positive: forwards)."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadershipChanged(Event):
    """This replica became, or ceased to be, the leader.

    Attributes:
        is_leader: Which of them.
        term: The fence of the leadership that has begun or ended.
        key: What is led.
    """

    is_leader: bool
    term: int | None = None
    key: str | None = None
