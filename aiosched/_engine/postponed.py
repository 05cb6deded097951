"""Runs that a store has sent away: they wait without a slot, or until an older one has run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from aiosched.errors import LockHeld, TooEarly
from aiosched.events import Outcome
from aiosched.model import Cause, Refusal, Run, Status
from aiosched.moments import to_us

if TYPE_CHECKING:
    from aiosched._engine.admission import Admission
    from aiosched._engine.planner import Planner
    from aiosched._engine.record import JobRecord
    from aiosched.gates.lock import Postponed

_BREATH: Final = 1.0  # seconds before an occurrence that was not completed is delivered again


class Postponements:
    """Sees to runs until they may knock at their gates again.

    Args:
        admission: The limits, whose slots they leave and take again.
        planner: Told how far the clock of a store is behind.
        begin: Called with an older run that goes first.
    """

    def __init__(
        self, admission: Admission, planner: Planner, begin: Callable[[Run], None]
    ) -> None:
        self.away: set[Run] = set()
        self._admission = admission
        self._planner = planner
        self._begin = begin
        self._turns: dict[Run, asyncio.Future[Refusal | None]] = {}

    async def postpone(self, run: Run, until: Postponed) -> Refusal | None:
        """Leave the slots, wait, and come back with slots again; or be refused them."""
        if run.job.draining and run._task is not None:
            run._task.cancel("the scheduler stops")
            await asyncio.sleep(0)
        if run._granted is not None:
            return await self._make_way(run)
        if isinstance(until.error, TooEarly):
            self._planner.note_early(run, until.wait)
        elif isinstance(until.error, LockHeld):
            run._backlog = True  # whoever watches a holder must not be refused when it is its turn
        self._admission.leave(run)
        await self._wait(run, until.wait)
        refusal = await self._return(run)
        if refusal is not None and until.is_last:
            return Refusal(until.gate, until.reason, until.error)
        return refusal

    def refuse(self, run: Run, refusal: Refusal) -> bool:
        """Tell a run that is about to return that it may not. Is it one?"""
        turn = self._turns.get(run)
        if turn is not None and not turn.done():
            turn.set_result(refusal)
        return turn is not None

    async def _make_way(self, run: Run) -> Refusal | None:
        """Let the older occurrence that came with the lock run first, in the slots of *run*."""
        lock, run._granted = run._granted, None
        older = self._redeliver(run, lock)
        assert older._waiter is not None  # noqa: S101 - made with it
        self.away.add(run)
        try:
            outcome: Outcome = await older._waiter
        finally:
            self.away.discard(run)
        if outcome.status is Status.REFUSED:
            return outcome.refusal  # nothing of the key may overtake it, and it cannot run here
        if outcome.status is Status.CANCELLED or older._lock_lost:
            await self._wait(run, _BREATH)  # it will be granted again
        return await self._return(run)

    def _redeliver(self, run: Run, lock: Any) -> Run:
        job: JobRecord = run.job
        due = to_us(lock.due_at)
        job._fired += 1
        older = Run(job, due, due, job._fired, Cause.REDELIVERY)
        older._granted = lock
        older._waiter = asyncio.get_running_loop().create_future()
        self._admission.hand_over(run, older)
        self._begin(older)
        return older

    async def _wait(self, run: Run, seconds: float) -> None:
        self.away.add(run)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.away.discard(run)

    async def _return(self, run: Run) -> Refusal | None:
        turn = self._turns[run] = asyncio.get_running_loop().create_future()
        try:
            refusal = self._admission.enter(run, self._take_turn)
            return refusal if refusal is not None else await turn
        except asyncio.CancelledError:
            self._admission.withdraw(run)
            raise
        finally:
            del self._turns[run]

    def _take_turn(self, run: Run) -> None:
        turn = self._turns[run]
        if not turn.done():
            turn.set_result(None)
