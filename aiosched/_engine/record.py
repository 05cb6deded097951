"""What the engine keeps of a job. The public `Job` is this record with a handle's methods."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from aiosched._engine.wheel import IDLE
from aiosched.model import JobState, Run

if TYPE_CHECKING:
    from aiosched._engine.build import Work
    from aiosched._engine.outcome import Remembered
    from aiosched._engine.wheel import Instants, Ladder
    from aiosched.options import JobSpec
    from aiosched.protocols import Gate

Call = Callable[[Run], Awaitable[Any]]


class JobRecord:
    """One job. It is itself the entry of the wheel, so that a job costs no container more.

    Attributes:
        _at: The moment in the wheel, `IDLE` when it is in none.
        _due: The occurrence that is planned (`_at` less jitter and the store's offset).
        _prev: The last occurrence that was due, or the job's start; never repeated.
        _wheel: Where it is planned: which also says on which clock its moments are.
    """

    __slots__ = (
        "__weakref__",
        "_at",
        "_call",
        "_due",
        "_engine",
        "_fired",
        "_gates",
        "_last",
        "_lock_key",
        "_nth",
        "_overdue",
        "_pause_until",
        "_prev",
        "_queue",
        "_runs",
        "_spec",
        "_started",
        "_state",
        "_trigger",
        "_wheel",
        "_work",
        "name",
    )

    def __init__(  # noqa: PLR0913, PLR0917 - made in one place, by the registry
        self,
        engine: Any,
        name: str,
        work: Work,
        trigger: Any,
        spec: JobSpec,
        call: Call,
        gates: tuple[Gate, ...] | None,
        lock_key: str,
    ) -> None:
        self.name: str = name
        self._engine = engine
        self._work = work
        self._trigger = trigger
        self._spec = spec
        self._call = call
        self._gates = gates
        self._lock_key = lock_key
        self._state = JobState.SCHEDULED
        self._wheel: Instants[JobRecord] | Ladder[JobRecord] | None = None
        self._at: int = IDLE
        self._due: int | None = None
        self._prev: int | None = None
        self._overdue = False  # "earliest" has taken its run out of the overdue ones
        self._pause_until: int | None = None
        self._nth = 0  # occurrences of the trigger
        self._fired = 0  # runs, whatever their cause
        self._started = 0
        self._runs: dict[Run, None] | None = None  # those with a slot, oldest first
        self._queue: deque[Run] | None = None
        self._last: Remembered | None = None

    @property
    def _is_spent(self) -> bool:
        """Whether it has had all its runs."""
        limit = self._spec.max_runs
        return limit is not None and self._started >= limit

    @property
    def tags(self) -> tuple[str, ...]:
        """Its tags."""
        return self._spec.tags

    @property
    def draining(self) -> bool:
        """Whether the scheduler is coming to its end."""
        return bool(self._engine.draining)
