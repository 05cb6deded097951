"""Which occurrences of a job are to come: the planner's rules, without planning anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any

from aiosched._engine.planner import begin_after, first_elapsed
from aiosched._engine.timing import by_elapsed
from aiosched.model import JobState
from aiosched.moments import from_us

if TYPE_CHECKING:
    from aiosched._engine.planner import Planner
    from aiosched._engine.record import JobRecord


def upcoming(job: JobRecord, planner: Planner, now: int, n: int) -> list[datetime]:
    """Return up to *n* coming occurrences of *job*, in its trigger's zone."""
    if job._state is not JobState.SCHEDULED:
        return []
    spec = job._spec
    if spec.max_runs is not None:
        n = min(n, spec.max_runs - job._started)
    found: list[datetime] = []
    for due in _occurrences(job, planner, now):
        if len(found) >= n or (spec.stop_at is not None and due > spec.stop_at):
            break
        found.append(from_us(due, _zone_of(job._trigger, due)))
    return found


def _zone_of(trigger: Any, due: int) -> tzinfo:
    zone_at: Callable[[int], tzinfo] | None = getattr(trigger, "zone_at", None)
    return UTC if zone_at is None else zone_at(due)


def _occurrences(job: JobRecord, planner: Planner, now: int) -> Iterator[int]:
    if by_elapsed(job._trigger, job._spec):
        yield from _by_elapsed(job, planner, now)
        return
    due = job._due if planner.active else job._trigger.next_us(begin_after(job, now))
    while due is not None:
        yield due
        due = job._trigger.next_us(due)


def _by_elapsed(job: JobRecord, planner: Planner, now: int) -> Iterator[int]:
    offset = planner.offset
    index = job._nth
    due = job._due if planner.active else first_elapsed(job, now - offset, offset)
    due = None if due is None else due + offset
    while due is not None:
        yield due
        index += 1
        gap = job._trigger.gap(index)
        due = None if gap is None else due + int(gap)
