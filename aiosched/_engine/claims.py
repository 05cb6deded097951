"""What a run claims of the store, for how long, and how long it may go on asking."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from aiosched._engine.spread import Spread
from aiosched._engine.timepiece import Timepiece
from aiosched.durations import SECOND
from aiosched.model import DEFAULT_KEEP, Cause, Claim, Run
from aiosched.moments import from_us

if TYPE_CHECKING:
    from aiosched._engine.record import JobRecord

_UNPLANNED = frozenset({Cause.MANUAL, Cause.START})


class Claims:
    """The claim policy of a scheduler (see `aiosched.gates.lock.ClaimPolicy`)."""

    __slots__ = ("_spread", "_time")

    def __init__(self, time: Timepiece, spread: Spread) -> None:
        self._time = time
        self._spread = spread

    def courtesy(self, run: Run) -> float:
        """By how much this replica has won of late."""
        return self._spread.wait(run)

    def note(self, *, won: bool) -> None:
        """Remember whether a claim was won."""
        self._spread.note(won=won)

    def claim_for(self, run: Run) -> Claim | None:
        """Return what *run* claims; None where it needs no lock.

        A manual or on-start run is no occurrence: it takes the mutual exclusion only.
        """
        job: JobRecord = run.job
        spec = job._spec
        if run.cause in _UNPLANNED:
            return Claim(job._lock_key) if spec.exclusive else None
        keep = _keep(job, run.due_us)
        return Claim(
            job._lock_key,
            from_us(run.due_us),
            # Jitter does not make a run late; the store knows only when it was due.
            late=timedelta(0, 0, _late(run, keep) + spec.jitter),
            keep=timedelta(0, 0, keep),
            exclusive=spec.exclusive,
            exact=spec.exact,
            redeliver=spec.delivery == "at_least_once",
        )

    def patience(self, run: Run) -> float:
        """Until the next occurrence or the end of the grace, whichever comes first.

        None for a manual run: somebody waits for it.
        """
        if run.cause in _UNPLANNED:
            return 0.0
        left = self.vigil(run)
        following: int | None = run.job._trigger.next_us(run.due_us)
        if following is None or run.cause is not Cause.TRIGGER:
            return left
        return min(left, (following - self._time.now()) / SECOND)

    def vigil(self, run: Run) -> float:
        """Until the misfire grace is over."""
        late = _late(run, _keep(run.job, run.due_us))
        return (run._wake_us + late - self._time.now()) / SECOND

    def backoff(self, run: Run) -> float:
        """A quarter of the time that has been waited already: exponential without a state."""
        waited = (self._time.now() - run._wake_us) / SECOND
        return min(5.0, max(0.1, waited / 4))


def window_of(job: JobRecord) -> int:
    """Return the catch-up window of *job* in microseconds."""
    window = job._spec.catch_up_window
    return DEFAULT_KEEP if window is None else window


def _late(run: Run, keep: int) -> int:
    """Return how late *run*, which is remembered for *keep*, may be from when it was to start."""
    job: JobRecord = run.job
    grace = job._spec.misfire_grace
    late = keep if grace is None else grace
    return max(late, window_of(job)) if run.cause is Cause.CATCH_UP else late


def _keep(job: JobRecord, due_us: int) -> int:
    spec = job._spec
    following = job._trigger.next_us(due_us)
    gap = 0 if following is None else following - due_us
    return max(DEFAULT_KEEP, 2 * gap, spec.misfire_grace or 0, spec.catch_up_window or 0)
