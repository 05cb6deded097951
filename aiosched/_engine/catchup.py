"""After a start: occurrences that came due while no replica ran, and those whose holder died."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from aiosched._engine.claims import window_of
from aiosched.durations import SECOND
from aiosched.errors import LockerUnavailable
from aiosched.model import Cause, JobState
from aiosched.moments import to_us
from aiosched.protocols import ClaimingLocker

if TYPE_CHECKING:
    from aiosched._engine.dispatcher import Dispatcher
    from aiosched._engine.lockers import Lockers
    from aiosched._engine.record import JobRecord

log = logging.getLogger("aiosched")
_LONGEST_WAIT = 5.0
_STOPPED = frozenset({JobState.PAUSED, JobState.REMOVED})


def wants_it(job: JobRecord) -> bool:
    """Say whether the store has to be asked, at a start, what became of *job*."""
    spec = job._spec
    if spec.catch_up == "none" and spec.delivery == "at_most_once":
        return False
    return isinstance(spec.locker, ClaimingLocker)


async def make_up(
    job: JobRecord, started_at: int, dispatcher: Dispatcher, lockers: Lockers
) -> None:
    """Ask the store for the last claimed occurrence, and run what is missing since, one by one.

    Args:
        job: The job.
        started_at: The wall moment of the start; what was due later is planned as usual.
        dispatcher: Who fires the runs.
        lockers: Who opens the job's store.
    """
    spec = job._spec
    last = await _last_claimed(job, lockers)
    if last is None:
        return
    if spec.delivery == "at_least_once":
        # Refused as already ran if it was completed; run again if its holder died.
        await _run(job, last, Cause.REDELIVERY, dispatcher)
    if spec.catch_up != "none":
        for due in _missed(job, last, started_at):
            await _run(job, due, Cause.CATCH_UP, dispatcher)


def _missed(job: JobRecord, last: int, started_at: int) -> Iterator[int]:
    """Yield the occurrences after *last* that are to be made up for."""
    spec = job._spec
    after = max(last, started_at - window_of(job) - 1)
    if spec.start_at is not None:
        after = max(after, spec.start_at - 1)
    until = started_at if spec.stop_at is None else min(started_at, spec.stop_at)
    if spec.catch_up == "all":
        yield from _between(job, after, until)
    elif (newest := _newest(job, after, until)) is not None:
        yield newest


def _between(job: JobRecord, after: int, until: int) -> Iterator[int]:
    due = job._trigger.next_us(after)
    while due is not None and due <= until:
        yield due
        due = job._trigger.next_us(due)


def _newest(job: JobRecord, after: int, until: int) -> int | None:
    """Return the last occurrence, looking back twice as far each time: there may be millions."""
    span = SECOND
    while True:
        since = max(after, until - span)
        newest = None
        for newest in _between(job, since, until):  # noqa: B007 - the last one is what counts
            pass
        if newest is not None or since == after:
            return newest
        span *= 2


async def _run(job: JobRecord, due: int, cause: Cause, dispatcher: Dispatcher) -> None:
    if job._state in _STOPPED or job._is_spent:
        return  # a finished job may have had its last occurrences while nobody ran them
    ended: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    dispatcher.fire(job, due, cause, backlog=True, waiter=ended)
    await ended


async def _last_claimed(job: JobRecord, lockers: Lockers) -> int | None:
    locker: Any = job._spec.locker
    wait = 0.1
    while True:
        try:
            await lockers.ready(locker)
            last = await locker.last_claimed(job._lock_key)
        except LockerUnavailable:
            await asyncio.sleep(wait)
            wait = min(_LONGEST_WAIT, 2 * wait)
        else:
            return None if last is None else to_us(last)
