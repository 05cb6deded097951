"""The short way of a usual run: what `Dispatcher` does for any run, in one piece for most of them.

A job is usual if it has none of the options that have to be looked at in each run (`is_usual`).
Its runs go the short way while nobody listens, nobody queues and nothing is late; what is not so
takes the long way, with the same result. Nothing is gained but an eighth of what a run costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiosched._engine.outcome import TRIGGER
from aiosched._engine.wheel import IDLE
from aiosched.model import Run

if TYPE_CHECKING:
    from aiosched._engine.dispatcher import Dispatcher
    from aiosched._engine.record import JobRecord


def is_clear(dispatcher: Dispatcher) -> bool:
    """Say whether runs may be fired the short way, for as long as the caller fires."""
    return (
        dispatcher.admission.max_running is None
        and not dispatcher.prioritised
        and not dispatcher.bus.wants_planned
    )


def fire(dispatcher: Dispatcher, job: JobRecord, now: int) -> bool:
    """Plan what follows and begin the run of a usual job's occurrence; False: the long way."""
    due = job._due
    if job._runs is not None or job._overdue or due is None:
        return False
    wheel: Any = job._wheel
    planner = dispatcher.planner
    elapsed = wheel is planner.ladder
    try:
        step = job._trigger.gap(job._nth + 1) if elapsed else job._trigger.next_us(due)
    except Exception:  # noqa: BLE001 - a trigger of the user's own; the long way will tell
        return False
    following = due + step if elapsed and step is not None else step
    if following is None or following <= now:
        return False
    job._prev = due
    job._nth += 1
    job._fired = number = job._fired + 1
    job._due = following
    wheel.add(job, following)
    moment = due + planner.offset if elapsed else due
    run = Run(job, moment, moment, number, TRIGGER)
    job._runs = {run: None}
    dispatcher.admission.running += 1
    dispatcher.begin(run)
    return True


def settle(dispatcher: Dispatcher, run: Run, job: JobRecord) -> bool:
    """Settle a usual run that has succeeded; False: the long way."""
    admission = dispatcher.admission
    if (
        dispatcher.bus.wants_outcome
        or run._told
        or run._waiter is not None
        or run.cause is not TRIGGER
        or run._task is None
        or job._queue is not None
        or admission.has_waiting
        or len(job._runs or ()) != 1
    ):
        return False
    del dispatcher.tasks[run]
    run._task = None
    run._told = True
    run._offset = offset = dispatcher.planner.offset
    admission.running -= 1
    job._runs = None
    # As `remember` has it.
    job._last = (
        run.due_us, run._wake_us, run.number, run._began, run._ended, offset, run._value
    )  # fmt: skip
    if job._at == IDLE:
        dispatcher.rest(job)
    return True
