"""Making the `Outcome` of a run: only where somebody wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiosched.durations import SECOND
from aiosched.events import Outcome
from aiosched.moments import from_us

if TYPE_CHECKING:
    from aiosched.model import Run


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
