"""Making the `Outcome` of a run: only where somebody wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiosched.durations import SECOND
from aiosched.events import Outcome
from aiosched.model import Cause, Run, Status
from aiosched.moments import from_us

if TYPE_CHECKING:
    from aiosched._engine.record import JobRecord

Remembered = Run | tuple[Any, ...]


# On Python 3.11 every look at an enumeration's member costs 0.1 µs: once a run is too often.
SUCCEEDED: Final = Status.SUCCEEDED
TRIGGER: Final = Cause.TRIGGER


def outcome_of(run: Run) -> Outcome:
    """Return the outcome of a run that has ended."""
    status = run._status
    assert status is not None, "asked before the end"  # noqa: S101 - an invariant of the engine
    began = run._began
    counted_to = run._ended if began is None else began
    return Outcome(
        run=run,
        status=status,
        started_at=None if began is None else from_us(began + run._offset),
        at=from_us(run._ended + run._offset),
        error=run._error,
        refusal=run._refusal,
        value=run._value,
        elapsed=0.0 if began is None else (run._ended - began) / SECOND,
        lateness=max(0, counted_to + run._offset - run._wake_us) / SECOND,
    )


def remember(job: JobRecord, run: Run) -> Remembered:
    """Return what to keep of the last run of a job.

    The usual run that nobody was told of is kept as a tuple of numbers, which the garbage collector
    does not trace: with 100,000 jobs the runs themselves would cost pauses of 50 ms.
    """
    usual = run._status is SUCCEEDED and run.cause is TRIGGER and job._recipe.gates is None
    if not usual or job._spec.retry is not None:
        return run
    return (
        run.due_us,
        run._wake_us,
        run.number,
        run._began,
        run._ended,
        run._offset,
        run._value,
    )


def recall(job: JobRecord) -> Run | None:
    """Return the last run of a job: the one that was kept, or one like it from then on."""
    kept = job._last
    if kept is None or isinstance(kept, Run):
        return kept
    run = Run(job, kept[0], kept[1], kept[2], TRIGGER)
    run._status = SUCCEEDED
    run._entered = run._told = True
    run._began, run._ended, run._offset, run._value = kept[3:]
    job._last = run
    return run
