"""The short way of a usual run: what `Dispatcher` does for any run, in one piece for most of them.

A job is usual if it has none of the options that have to be looked at in each run (`is_usual`).
Its runs go the short way while nobody listens, nobody queues and nothing is late; what is not so
takes the long way, with the same result. Nothing is gained but a quarter of what a run costs.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, current_task
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from aiosched._engine.current import set_current
from aiosched._engine.outcome import SUCCEEDED, TRIGGER
from aiosched._engine.wheel import IDLE
from aiosched.model import Run

if TYPE_CHECKING:
    from contextvars import Context

    from aiosched._engine.dispatcher import Dispatcher
    from aiosched._engine.eager import Start
    from aiosched._engine.record import JobRecord

Fire = Callable[["JobRecord", int], bool]
Conduct = Callable[[Run, "JobRecord"], Coroutine[Any, Any, None]]

# What each run needs is bound once, in these functions around the ones that do it: to look it up
# each time would cost a fifth more.


def way(dispatcher: Dispatcher, loop: AbstractEventLoop, start: Start, default: Context) -> Fire:
    """Return what plans on and begins the run of a usual job that is due; False: the long way."""
    planner, admission, bus = dispatcher.planner, dispatcher.admission, dispatcher.bus
    ladder = planner.ladder
    limited = admission.max_running is not None
    conduct = _conduct(dispatcher, loop)

    def fire(job: JobRecord, now: int) -> bool:
        due = job._due
        if job._runs is not None or due is None or job._overdue:
            return False
        if limited or dispatcher.prioritised or bus.wants_planned:
            return False
        wheel: Any = job._wheel
        elapsed = wheel is ladder
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
        admission.running += 1
        context = job._spec.context
        dispatcher.at_once = False
        start(conduct(run, job), job.name, (default if context is None else context).copy())
        dispatcher.at_once = True
        return True

    return fire


def _conduct(dispatcher: Dispatcher, loop: AbstractEventLoop) -> Conduct:
    """Return what `Runner.conduct` is for a usual run that begins at once."""
    runner, tasks, bus = dispatcher.runner, dispatcher.tasks, dispatcher.bus
    monotonic = dispatcher.time.monotonic
    settle = _settle(dispatcher)

    async def conduct(run: Run, job: JobRecord) -> None:
        task: Any = current_task(loop)
        run._task = tasks[run] = task
        run._entered = True
        set_current(run)
        try:
            if bus.wants_started:
                runner._started(run)  # which has no runs to count for a usual job
            else:
                job._started += 1
            run._began = monotonic()
            try:
                run._value = await job._call(run)
            except BaseException as error:
                if await runner.end(run, error):
                    raise
            else:
                run._status = SUCCEEDED
                run._ended = monotonic()
                if run._holds is not None:
                    await runner.keep_slots(run)
        finally:
            if run._status is not SUCCEEDED or not settle(run, job):
                dispatcher.settle(run)

    return conduct


def _settle(dispatcher: Dispatcher) -> Callable[[Run, JobRecord], bool]:
    """Return what settles a usual run that has succeeded; False: the long way."""
    planner, admission, bus = dispatcher.planner, dispatcher.admission, dispatcher.bus
    tasks = dispatcher.tasks

    def settle(run: Run, job: JobRecord) -> bool:
        if bus.wants_outcome or run._told or run._task is None or job._at == IDLE:
            return False
        if job._queue is not None or admission.has_waiting or not job._spec.is_usual:
            return False
        runs = job._runs
        if runs is None or len(runs) != 1:
            return False
        del tasks[run]
        run._task = None
        run._told = True
        run._offset = offset = planner.offset
        admission.running -= 1
        job._runs = None
        # As `remember` has it.
        job._last = (
            run.due_us, run._wake_us, run.number, run._began, run._ended, offset, run._value
        )  # fmt: skip
        return True

    return settle
