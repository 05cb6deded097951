"""A time that does not count: other clocks, jobs without a past, and nothing of it remains."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from aiosched._engine.record import History
from aiosched.model import JobState
from aiosched.protocols import Clock, RehearsedLocker

if TYPE_CHECKING:
    from aiosched._engine.engine import Engine

_FRESH: Final = History()


@contextmanager
def rehearsing(engine: Engine, clock: Clock) -> Iterator[None]:
    """Let *engine* live by *clock* as if nothing had been before, and forget it afterwards."""
    jobs, watch = engine.registry.by_name, engine.watch
    real_clock, broken = engine.time.clock, watch.broken
    state, error = engine.state, engine.error
    kept = {job: job._history for job in jobs.values()}
    with ExitStack() as stack:
        for locker in engine.used("locker"):
            if isinstance(locker, RehearsedLocker):
                stack.enter_context(locker.rehearsal())
        for job, history in kept.items():
            job._history = _without_a_past(history.state)
        watch.broken = {}
        engine.use_clock(clock)
        try:
            yield
        finally:
            engine.use_clock(real_clock)
            watch.broken = broken
            if not engine.is_running:  # else it was left running, by an error
                engine.state, engine.error = state, error
            for job in jobs.values():
                job._history = kept.get(job) or _without_a_past(job._state)


def _without_a_past(state: JobState) -> History:
    """Return the history of a job that is new, and paused if it was."""
    return _FRESH._replace(state=state) if state is JobState.PAUSED else _FRESH
