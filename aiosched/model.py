"""The nouns: `Run`, `Refusal`, `Claim`, `Retry`, `LockRecord`, and words for what happens."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from aiosched.durations import DAY, SECOND, Duration, microseconds
from aiosched.moments import aware_us, from_us

if TYPE_CHECKING:
    from aiosched.protocols import Lock

_LARGEST_FACTOR = 1e15


class Cause(StrEnum):
    """Why a run was fired."""

    TRIGGER = "trigger"
    MANUAL = "manual"
    START = "start"
    CATCH_UP = "catch_up"
    REDELIVERY = "redelivery"


class Status(StrEnum):
    """How a fired run ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    MISSED = "missed"


class JobState(StrEnum):
    """Where a job is in its life."""

    SCHEDULED = "scheduled"
    PAUSED = "paused"
    FINISHED = "finished"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a run did not start.

    Attributes:
        gate: ``job_limit``, ``scheduler_limit``, ``leader``, ``lock`` or a user gate's name;
            ``misfire`` and ``coalesce`` for occurrences that were missed.
        reason: One word; of ``lock``: ``held, already_ran, superseded, too_late, unavailable``.
        error: What was raised, where something was.
    """

    gate: str
    reason: str
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """Further attempts within one run.

    Args:
        attempts: Tries in all, the first included; at least 1.
        delay: Before the second try.
        backoff: Each further delay is this many times the one before; at least 1.
        max_delay: Upper bound of a delay; None: none.
        jitter: Each delay grows by a share of this, seeded by the run.
        on: Exceptions that are worth another try. A timeout is a `TimeoutError`.
    """

    attempts: int = 3
    delay: Duration = 1.0
    backoff: float = 2.0
    max_delay: Duration | None = None
    jitter: Duration = 0.0
    on: tuple[type[BaseException], ...] = (Exception,)

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int):
            raise TypeError(f"attempts must be an int, got {self.attempts!r}")
        if self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, got {self.attempts!r}")
        if isinstance(self.backoff, bool) or not isinstance(self.backoff, (int, float)):
            raise TypeError(f"backoff must be a number, got {self.backoff!r}")
        if not 1 <= self.backoff < math.inf:
            raise ValueError(f"backoff must be at least 1 and finite, got {self.backoff!r}")
        on = self.on if isinstance(self.on, tuple) else (self.on,)
        if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in on):
            raise TypeError(f"on must be exception types, got {self.on!r}")
        object.__setattr__(self, "on", on)
        for name in ("delay", "jitter"):
            microseconds(getattr(self, name), name)
        if self.max_delay is not None:
            microseconds(self.max_delay, "max_delay")

    def delay_before(self, attempt: int, share: float) -> float:
        """Return the seconds before *attempt* (2, 3, …), with *share* in [0, 1) of the jitter."""
        wait = microseconds(self.delay, "delay") * _power(self.backoff, attempt - 2)
        if self.max_delay is not None:
            wait = min(wait, microseconds(self.max_delay, "max_delay"))
        return (wait + microseconds(self.jitter, "jitter") * share) / SECOND


def _power(backoff: float, exponent: int) -> float:
    """Return *backoff* to the *exponent*, up to a factor that makes a century of a microsecond."""
    grown = math.log(backoff) * exponent
    return backoff**exponent if grown < math.log(_LARGEST_FACTOR) else _LARGEST_FACTOR


DEFAULT_KEEP = 7 * DAY
"""How long a claim is remembered at least, in microseconds."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One question to a locker: may I run this occurrence of this key?

    Args:
        key: Any text.
        due_at: The occurrence, aware; None claims no occurrence, only the mutual exclusion.
        late: How late the occurrence may be by the store's clock; None: as long as *keep*.
        keep: How long the record is remembered; default 7 days.
        exclusive: Also hold the key, so that no two runs of it overlap.
        exact: Remember each occurrence instead of the newest only.
        redeliver: Be given an uncompleted occurrence of a dead holder first.
    """

    key: str
    due_at: datetime | None = None
    late: Duration | None = None
    keep: Duration | None = None
    exclusive: bool = True
    exact: bool = False
    redeliver: bool = False
    due_us: int | None = field(init=False, repr=False, compare=False)
    late_us: int = field(init=False, repr=False, compare=False)
    keep_us: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.key, str):
            raise TypeError(f"key must be text, got {self.key!r}")
        if self.redeliver and not self.exclusive:
            raise ValueError("redeliver=True needs exclusive=True, got exclusive=False")
        put = object.__setattr__
        put(self, "due_us", None if self.due_at is None else aware_us(self.due_at, "due_at"))
        keep = DEFAULT_KEEP if self.keep is None else microseconds(self.keep, "keep", minimum=1)
        put(self, "keep_us", keep)
        put(self, "late_us", keep if self.late is None else microseconds(self.late, "late"))


@dataclass(frozen=True, slots=True)
class LockRecord:
    """One key as a store shows it to people.

    Attributes:
        key: The key.
        held: Whether somebody who lives holds it.
        fence: The highest that was granted.
        last_claimed: The newest occurrence that was claimed, in UTC.
        uncompleted: The occurrence whose run was not completed, as far as is known.
        attempt: How often that one was granted.
        forget_at: When the record ceases to count, in UTC; a held one counts on.
        holder: Who holds it, in the store's words; None: nobody, or the store does not tell.
        held_until: When it is free unless it is renewed, by the store's clock; None: it is not
            held, or for as long as its holder lives.
    """

    key: str
    held: bool
    fence: int
    last_claimed: datetime | None
    uncompleted: datetime | None
    attempt: int
    forget_at: datetime
    holder: str | None = field(default=None, compare=False)
    held_until: datetime | None = field(default=None, compare=False)


class JobLike(Protocol):
    """What a run knows of its job."""

    @property
    def name(self) -> str: ...
    @property
    def tags(self) -> tuple[str, ...]: ...
    @property
    def draining(self) -> bool: ...


class _Rare:
    """What most runs never change: read from the class, and kept in a dict that few runs have."""

    __slots__ = ()

    attempt: int = 1
    delivery_attempt: int = 1
    fence: int | None = None
    lock: Lock | None = None

    _error: BaseException | None = None
    _refusal: Refusal | None = None
    _stopping: asyncio.Event | None = None
    _origin: Run | None = None  # the run that waits for this one
    _granted: Any = None  # a lock that came with the run (a redelivery)
    _lock_lost: bool = False
    _replaced: bool = False  # was told to make way for a newer one
    _was_courteous: bool = False  # it has waited before its first claim
    _backlog: bool = False  # one of several made up for in a row: queues without a bound


class Run(_Rare):
    """One execution of a job, from the moment it is due to its outcome.

    Attributes:
        job: The job.
        number: Runs of this job fired in this process, from 1.
        attempt: Tries within this run, from 1 (see `Retry`).
        delivery_attempt: Times that this occurrence was granted, from 1.
        cause: Why it was fired.
        fence: Grows with every grant of the lock's key; None without a lock that claims.
        lock: The lock that is held; None without one.
    """

    # One is made for every occurrence: slots for what each run sets, and no more.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_began",
        "_ended",
        "_entered",
        "_holds",
        "_offset",
        "_status",
        "_task",
        "_told",
        "_value",
        "_waiter",
        "_wake_us",
        "cause",
        "due_us",
        "job",
        "number",
    )

    def __init__(self, job: Any, due_us: int, wake_us: int, number: int, cause: Cause) -> None:
        self.job: Any = job
        self.due_us: int = due_us
        self.number: int = number
        self.cause: Cause = cause
        # The rest is the engine's.
        self._wake_us = wake_us  # due plus jitter: lateness counts from here
        self._status: Status | None = None
        self._value: Any = None
        self._task: asyncio.Task[None] | None = None
        self._entered = False  # its task has had its first step
        self._told = False  # its outcome has been published
        self._began: int | None = None  # monotonic; plus `_offset` the wall clock, as `_ended`
        self._ended = 0
        self._offset = 0
        self._waiter: asyncio.Future[Any] | None = None
        self._holds: list[asyncio.Future[Any]] | None = None  # what ends before gates are left

    @property
    def due_at(self) -> datetime:
        """When it was due, in UTC. Jitter does not change it."""
        return from_us(self.due_us)

    @property
    def id(self) -> str:
        """``name@2026-03-08T07:00:00.000000Z``: the same for this occurrence on every replica."""
        due = from_us(self.due_us).replace(tzinfo=None)
        return f"{self.job.name}@{due.isoformat(timespec='microseconds')}Z"

    @property
    def stopping(self) -> asyncio.Event:
        """Set when the run should end: the scheduler drains, or its thread has timed out."""
        if self._stopping is None:
            self._stopping = asyncio.Event()
            if self.job.draining:
                self._stopping.set()
        return self._stopping

    def hold_until(self, work: asyncio.Future[Any]) -> None:
        """Keep the run's slot and lock until *work* is done; its outcome may be given before."""
        if self._holds is None:
            self._holds = []
        self._holds.append(work)

    def __repr__(self) -> str:
        return f"<Run {self.id} {self._status or self.cause}>"
