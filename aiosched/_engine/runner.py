"""One run, from its gates to its end."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from aiosched._engine.attempts import TimedOut, held_work
from aiosched._engine.bus import Bus
from aiosched._engine.current import set_current
from aiosched._engine.outcome import SUCCEEDED
from aiosched._engine.timepiece import Timepiece
from aiosched.errors import LockLost
from aiosched.gates.lock import Postponed
from aiosched.gates.veto import name_of
from aiosched.model import Refusal, Run, Status

log = logging.getLogger("aiosched")


class Host(Protocol):
    """What the runner needs of the dispatcher."""

    time: Timepiece
    bus: Bus
    tasks: dict[Run, asyncio.Task[None]]

    def started(self, run: Run) -> Refusal | None:
        """Count and publish the start, unless the job has had all its runs."""
        ...

    def tell(self, run: Run) -> None:
        """Publish the outcome of a run, which need not have left its gates."""
        ...

    def settle(self, run: Run) -> None:
        """Free the slots of a run that has left its gates, and publish its outcome."""
        ...

    async def postpone(self, run: Run, until: Postponed) -> Refusal | None:
        """Leave the slots, wait, and come back with slots again; or be refused them."""
        ...


class Runner:
    """Carries out runs, each in a task of its own, which settles its run before it ends."""

    __slots__ = ("_bus", "_host", "_settle", "_started", "_time")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._bus = host.bus
        self._started = host.started
        self._settle = host.settle
        self._time = host.time

    async def conduct(self, run: Run, *, gated: bool = False) -> None:
        """Start the run and call its function: all there is to it unless it is *gated*."""
        run._entered = True
        set_current(run)
        job = run.job
        if run._task is None and (task := asyncio.current_task()) is not None:
            run._task = self._host.tasks[run] = task  # it was begun at once
        try:
            if job._spec.max_runs is None and not self._bus.wants_started:
                job._started += 1
            elif (refusal := self._started(run)) is not None:
                return self._refuse(run, refusal)
            run._began = self._time.monotonic()
            try:
                run._value = await job._call(run)
            except BaseException as error:
                if await self.end(run, error):
                    raise
            else:
                run._status = SUCCEEDED
                run._ended = self._time.monotonic()
                if run._holds is not None:
                    await self.keep_slots(run)
        finally:
            if not gated:  # the job's gates may have changed meanwhile
                self._settle(run)
        return None

    async def perform(self, run: Run) -> None:
        """Carry out a run: through its gates, as often as a store postpones it."""
        run._entered = True
        set_current(run)
        try:
            while (postponed := await self._pass(run)) is not None:
                refusal = await self._host.postpone(run, postponed)
                if refusal is not None:
                    return self._refuse(run, refusal)
        finally:
            try:
                await _give_back(run)
            finally:
                self._settle(run)
        return None

    async def give_back(self, run: Run) -> None:
        """Give back the lock that came with a run which never began."""
        try:
            await _give_back(run)
        finally:
            self._settle(run)

    async def _pass(self, run: Run) -> Postponed | None:
        entered: list[Any] = []
        try:
            for gate in run.job._recipe.gates or ():
                refusal = await self._enter(gate, run, entered)
                if isinstance(refusal, Postponed):
                    return refusal
                if refusal is not None:
                    self._refuse(run, refusal)
                    return None
            await self.conduct(run, gated=True)
            if run._lock_lost and run._status is SUCCEEDED:
                _end_lost(run, None)  # it paid no heed to its cancellation
        finally:
            await _leave(entered, run)
        return None

    async def _enter(self, gate: Any, run: Run, entered: list[Any]) -> Refusal | None:
        try:
            passage = gate(run)
            refusal: Any = await passage.__aenter__()
        except Exception as error:  # a gate that raises refuses
            log.exception("gate %s raised for %s", name_of(gate), run.id)
            return Refusal(name_of(gate), "error", error)
        entered.append(passage)
        if refusal is None:
            return None
        if isinstance(refusal, Refusal):
            return refusal
        problem = TypeError(f"a gate must yield None or a Refusal, got {refusal!r}")
        return Refusal(name_of(gate), "error", problem)

    def _end_by(self, run: Run, error: BaseException) -> bool:
        """Note how the run ended by *error*. Does that go on upwards: a cancellation, an exit?"""
        run._ended = self._time.monotonic()
        run._error = error
        run._status = Status.FAILED
        if isinstance(error, asyncio.CancelledError):
            if not run._lock_lost:
                run._status = Status.CANCELLED
                return True
            _end_lost(run, error)
        elif isinstance(error, TimedOut):
            run._status = Status.TIMED_OUT
            run._error = TimeoutError(*error.args)
            run._error.__cause__ = error.__cause__
        elif run._lock_lost and isinstance(error, Exception):
            _end_lost(run, error)
        return not isinstance(error, (Exception, asyncio.CancelledError))

    def _refuse(self, run: Run, refusal: Refusal) -> None:
        run._ended = self._time.monotonic()
        run._status = Status.REFUSED
        run._refusal = refusal
        run._error = refusal.error

    async def end(self, run: Run, error: BaseException) -> bool:
        """End *run* by *error*. Does that go on upwards: a cancellation, an exit?"""
        goes_on = self._end_by(run, error)
        if run._holds is not None:
            await self.keep_slots(run)
        return goes_on

    async def keep_slots(self, run: Run) -> None:
        """Give the outcome now, but stay within the gates until the run's threads have ended."""
        self._host.tell(run)
        await held_work(run)


def _end_lost(run: Run, error: BaseException | None) -> None:
    """The run has lost its lock and was cancelled for it, whatever it made of that."""
    run._status = Status.FAILED
    run._error = LockLost(f"the lock of {run.id} was lost while it ran")
    run._error.__cause__ = error


async def _leave(entered: list[Any], run: Run) -> None:
    """Leave every gate, the last one first, whatever any of them does."""
    goes_on: BaseException | None = None
    while entered:
        passage = entered.pop()
        try:
            await passage.__aexit__(None, None, None)
        except Exception:  # the run is over: a gate cannot change how it ended
            log.exception("leaving a gate of %s raised", run.id)
        except BaseException as error:  # noqa: BLE001 - a cancellation, an exit: after the others
            goes_on = error
    if goes_on is not None:
        raise goes_on


async def _give_back(run: Run) -> None:
    """Give back a lock that came with the run, if an earlier gate kept the run from taking it."""
    lock, run._granted = run._granted, None
    if lock is not None:
        await lock.unlock(done=False)
