"""What the engine keeps of a job. The public `Job` is this record with a handle's methods."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from aiosched._engine.wheel import IDLE
from aiosched.model import JobState, Run

if TYPE_CHECKING:
    from aiosched._engine.invoke import Call
    from aiosched._engine.outcome import Remembered
    from aiosched._engine.recipes import Recipe
    from aiosched._engine.wheel import Instants, Ladder
    from aiosched.options import JobSpec


class History(NamedTuple):
    """What has become of a job so far."""

    state: JobState = JobState.SCHEDULED
    prev: int | None = None
    overdue: bool = False
    nth: int = 0
    fired: int = 0
    started: int = 0
    last: Remembered | None = None


class JobRecord:
    """One job. It is itself the entry of the wheel, so that a job costs no container more.

    Attributes:
        _spec, _call: The recipe's, at hand for every run.
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
        "_fired",
        "_last",
        "_lock_key",
        "_nth",
        "_overdue",
        "_pause_until",
        "_prev",
        "_queue",
        "_recipe",
        "_runs",
        "_spec",
        "_started",
        "_state",
        "_trigger",
        "_wheel",
        "name",
    )

    def __init__(self, name: str, trigger: Any, recipe: Recipe, lock_key: str) -> None:
        self.name: str = name
        self._trigger = trigger
        self._recipe = recipe
        self._spec: JobSpec = recipe.spec
        self._call: Call = recipe.call
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
    def _history(self) -> History:
        return History(
            self._state,
            self._prev,
            self._overdue,
            self._nth,
            self._fired,
            self._started,
            self._last,
        )

    @_history.setter
    def _history(self, history: History) -> None:
        if self._state is not JobState.REMOVED:
            self._state = history.state
        self._prev, self._overdue, self._nth = history.prev, history.overdue, history.nth
        self._fired, self._started, self._last = history.fired, history.started, history.last

    @property
    def _engine(self) -> Any:
        return self._recipe.engine

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
        return bool(self._recipe.engine.draining)
