"""aiosched: an asyncio-native job scheduler, in-process, and safe in a fleet."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aiosched._engine.bus import EventStream
from aiosched._engine.current import current_run
from aiosched._engine.drain import DrainReport
from aiosched._engine.health import Health
from aiosched.clock import SystemClock
from aiosched.errors import (
    AioschedError,
    AlreadyRan,
    DuplicateJob,
    InvalidTrigger,
    LockError,
    LockerUnavailable,
    LockHeld,
    LockLost,
    RunDeadlock,
    SchedulerClosed,
    SchedulerFailed,
    StaleFence,
    Superseded,
    TooEarly,
    TooLate,
    UnknownJob,
)
from aiosched.events import (
    ClockStepped,
    Event,
    JobChange,
    JobChanged,
    LeadershipChanged,
    Outcome,
    Planned,
    SchedulerChanged,
    SchedulerState,
    Started,
)
from aiosched.executors import ProcessExecutor, ThreadExecutor
from aiosched.gates import veto
from aiosched.job import Job
from aiosched.model import Cause, Claim, JobState, Refusal, Retry, Run, Status
from aiosched.options import JobOptions, JobSpec
from aiosched.protocols import (
    ClaimedLock,
    ClaimingLocker,
    Clock,
    Elector,
    Executor,
    Gate,
    Lock,
    Locker,
    Trigger,
)
from aiosched.registrar import JobGroup
from aiosched.scheduler import Scheduler
from aiosched.triggers import (
    Cron,
    Daily,
    Dates,
    Every,
    Holidays,
    Monthly,
    Once,
    RandomEvery,
    RRule,
    Weekly,
)

if TYPE_CHECKING:
    from aiosched.electors import FileElector, LeaseElector, PostgresElector, RedisElector
    from aiosched.lockers import (
        FileLocker,
        MemoryLocker,
        Monitored,
        PostgresLocker,
        Prefixed,
        RedisLocker,
        RedlockLocker,
    )

__version__ = "0.1.0"

__all__ = [
    "AioschedError",
    "AlreadyRan",
    "Cause",
    "Claim",
    "ClaimedLock",
    "ClaimingLocker",
    "Clock",
    "ClockStepped",
    "Cron",
    "Daily",
    "Dates",
    "DrainReport",
    "DuplicateJob",
    "Elector",
    "Event",
    "EventStream",
    "Every",
    "Executor",
    "FileElector",
    "FileLocker",
    "Gate",
    "Health",
    "Holidays",
    "InvalidTrigger",
    "Job",
    "JobChange",
    "JobChanged",
    "JobGroup",
    "JobOptions",
    "JobSpec",
    "JobState",
    "LeadershipChanged",
    "LeaseElector",
    "Lock",
    "LockError",
    "LockHeld",
    "LockLost",
    "Locker",
    "LockerUnavailable",
    "MemoryLocker",
    "Monitored",
    "Monthly",
    "Once",
    "Outcome",
    "Planned",
    "PostgresElector",
    "PostgresLocker",
    "Prefixed",
    "ProcessExecutor",
    "RRule",
    "RandomEvery",
    "RedisElector",
    "RedisLocker",
    "RedlockLocker",
    "Refusal",
    "Retry",
    "Run",
    "RunDeadlock",
    "Scheduler",
    "SchedulerChanged",
    "SchedulerClosed",
    "SchedulerFailed",
    "SchedulerState",
    "StaleFence",
    "Started",
    "Status",
    "Superseded",
    "SystemClock",
    "ThreadExecutor",
    "TooEarly",
    "TooLate",
    "Trigger",
    "UnknownJob",
    "Weekly",
    "current_run",
    "veto",
]

# Lockers and electors bring drivers along, so each is imported when it is asked for.
_LAZY = {
    "FileElector": "aiosched.electors",
    "LeaseElector": "aiosched.electors",
    "PostgresElector": "aiosched.electors",
    "RedisElector": "aiosched.electors",
    "FileLocker": "aiosched.lockers",
    "MemoryLocker": "aiosched.lockers",
    "Monitored": "aiosched.lockers",
    "PostgresLocker": "aiosched.lockers",
    "Prefixed": "aiosched.lockers",
    "RedisLocker": "aiosched.lockers",
    "RedlockLocker": "aiosched.lockers",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
