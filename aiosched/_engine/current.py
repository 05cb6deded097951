"""Which run the running code belongs to."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiosched.model import Run

_current: ContextVar[Run | None] = ContextVar("aiosched_run", default=None)

set_current = _current.set


def find_current() -> Run | None:
    """Return the run that the caller is part of, while it goes on; None: there is none."""
    run = _current.get()
    return run if run is not None and run._task is not None else None


def current_run() -> Run:
    """Return the run that the caller is part of; works in tasks and worker threads it started, too.

    Raises:
        LookupError: The caller is not part of a run.
    """
    run = _current.get()
    if run is None:
        raise LookupError("no run here: current_run() works inside a job only")
    return run
