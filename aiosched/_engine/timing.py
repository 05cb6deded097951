"""Bringing every trigger to one shape: whole microseconds, on the wall clock or by elapsed time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiosched.errors import InvalidTrigger
from aiosched.protocols import Trigger
from aiosched.triggers.combine import Foreign
from aiosched.triggers.interval import After

if TYPE_CHECKING:
    from datetime import tzinfo

    from aiosched.options import JobSpec


def adapted(trigger: Any, *, name: str, tz: tzinfo) -> Any:
    """Return a trigger of the user's own as the planner wants it, bound if it can be.

    Raises:
        TypeError: It is no trigger.
    """
    if isinstance(trigger, type) or not callable(getattr(trigger, "next_after", None)):
        raise TypeError(f"trigger must have next_after(moment), got {trigger!r}")
    bound = trigger.bind(name=name, tz=tz) if hasattr(trigger, "bind") else trigger
    by_gaps = counts_elapsed(bound) and callable(getattr(bound, "gap", None))
    return bound if by_gaps or callable(getattr(bound, "next_us", None)) else Foreign(bound)


def by_elapsed(trigger: Any, spec: JobSpec) -> bool:
    """Say whether a job follows the monotonic clock, by its trigger or from its runs' ends."""
    return spec.from_completion or bool(getattr(trigger, "elapsed", False))


def counts_elapsed(trigger: Any) -> bool:
    """Say whether the trigger's occurrences are spaced by elapsed time from the job's start."""
    return bool(getattr(trigger, "elapsed", False))


def anchored(trigger: Any, at_us: int, why: str) -> Any:
    """Return an interval with its phase fixed by the wall clock; other triggers as they are.

    Raises:
        InvalidTrigger: It is a delay from the job's start, on which replicas cannot agree.
    """
    if not counts_elapsed(trigger):
        return trigger
    if isinstance(trigger, After) or not hasattr(trigger, "anchored"):
        raise InvalidTrigger(
            f"{trigger!r} counts from each replica's own start, which is refused with {why}: "
            "give a moment, locker=None or an elector"
        )
    return trigger.anchored(at_us)


def public(trigger: Any) -> Trigger:
    """Return the trigger that the user knows."""
    shown: Trigger = trigger.trigger if isinstance(trigger, Foreign) else trigger
    return shown
