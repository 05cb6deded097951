"""Whether a run that waits for another one would wait for ever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from aiosched._engine.current import find_current
from aiosched.errors import RunDeadlock

if TYPE_CHECKING:
    from aiosched._engine.dispatcher import Dispatcher
    from aiosched._engine.record import JobRecord
    from aiosched.model import Run


def check(job: JobRecord, dispatcher: Dispatcher) -> None:
    """Let the caller wait for a new run of *job*, unless that had to wait for the caller.

    Raises:
        RunDeadlock: It had to: for a slot of its job, or for one of the scheduler.
    """
    waiting = set(_callers(find_current()))
    if any(run.job is job for run in waiting):
        raise RunDeadlock(f"job {job.name!r} cannot wait for a run of itself")
    admission = dispatcher.admission
    if not waiting or not admission.would_queue(job):
        return
    for queued in admission.waiting:
        waiting.update(_callers(queued))
    if dispatcher.tasks.keys() - dispatcher.postponed.away <= waiting:
        raise RunDeadlock(
            f"a run of job {job.name!r} would wait for ever: max_running={admission.max_running}, "
            "and all that go on wait for runs themselves"
        )


def _callers(run: Run | None) -> Iterator[Run]:
    """Yield *run*, the run that waits for it, and so on."""
    while run is not None:
        yield run
        waits = run._waiter is not None and not run._waiter.done()
        run = run._origin if waits else None
