"""Whether a scheduler is well, and what ails it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiosched._engine.timepiece import Timepiece
from aiosched.durations import SECOND
from aiosched.events import SchedulerState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiosched._engine.record import JobRecord


@dataclass(frozen=True, slots=True)
class Health:
    """A scheduler's condition.

    Attributes:
        ok: Nothing ails it, and it runs (or is paused).
        state: Where it is in its life.
        problems: One sentence each.
        jobs, running, queued: How many there are.
    """

    ok: bool
    state: SchedulerState
    problems: tuple[str, ...]
    jobs: int
    running: int
    queued: int


class Watch:
    """Remembers when jobs last succeeded, where somebody expects them to, and which have broken."""

    def __init__(self, time: Timepiece) -> None:
        self._time = time
        self._since = 0
        self._succeeded: dict[str, int] = {}
        self.broken: dict[str, Exception] = {}

    def begin(self) -> None:
        """The scheduler has started: what is expected counts from now."""
        self._since = self._time.monotonic()
        self._succeeded.clear()

    def expect(self, job: JobRecord) -> None:
        """Expect the next success of *job* from now on."""
        self._succeeded[job.name] = self._time.monotonic()

    succeeded = expect

    def forget(self, job: JobRecord) -> None:
        """Nothing is expected of *job* any more."""
        self._succeeded.pop(job.name, None)
        self.broken.pop(job.name, None)

    def problems(self, jobs: Iterable[JobRecord]) -> list[str]:
        """Return a sentence for each job that ails."""
        now = self._time.monotonic()
        found = [
            f"the trigger of job {name!r} raised {error!r}" for name, error in self.broken.items()
        ]
        for job in jobs:
            expected = job._spec.expect_within
            if expected is None:
                continue
            age = now - self._succeeded.get(job.name, self._since)
            if age > expected:
                found.append(
                    f"job {job.name!r} has not succeeded for {age / SECOND:.0f} s, "
                    f"expected within {expected / SECOND:g} s"
                )
        return found
