"""Bringing every trigger to one shape: whole microseconds, on the wall clock or by elapsed time."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Any, Final

from aiosched.errors import InvalidTrigger
from aiosched.moments import aware_us, from_us
from aiosched.protocols import Trigger
from aiosched.triggers.interval import After

if TYPE_CHECKING:
    from aiosched.options import JobSpec


class Adapted:
    """A user's trigger that only has `next_after`, for a planner that counts in microseconds."""

    __slots__ = ("_zone", "trigger")

    elapsed: Final = False

    def __init__(self, trigger: Trigger) -> None:
        self.trigger = trigger
        self._zone: tzinfo = UTC

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Adapted) and self.trigger == other.trigger

    def __hash__(self) -> int:
        return hash(self.trigger)

    def zone_at(self, _us: int) -> tzinfo:
        """Return the zone of the moment that the trigger named last."""
        return self._zone

    def next_us(self, us: int) -> int | None:
        """Return the trigger's next occurrence.

        Raises:
            ValueError: It gave a naive moment, or one that is not later than what it was asked.
        """
        moment = self.trigger.next_after(from_us(us))
        if moment is None:
            return None
        found = aware_us(moment, f"next_after of {self.trigger!r}")
        if found <= us:
            raise ValueError(
                f"{self.trigger!r} gave {moment!r}, which is not after {from_us(us)!r}"
            )
        self._zone = moment.tzinfo or UTC
        return found


def adapted(trigger: Any, *, name: str, tz: tzinfo) -> Any:
    """Return a trigger of the user's own as the planner wants it, bound if it can be.

    Raises:
        TypeError: It is no trigger.
    """
    if isinstance(trigger, type) or not callable(getattr(trigger, "next_after", None)):
        raise TypeError(f"trigger must have next_after(moment), got {trigger!r}")
    bound = trigger.bind(name=name, tz=tz) if hasattr(trigger, "bind") else trigger
    by_gaps = counts_elapsed(bound) and callable(getattr(bound, "gap", None))
    return bound if by_gaps or callable(getattr(bound, "next_us", None)) else Adapted(bound)


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
    shown: Trigger = trigger.trigger if isinstance(trigger, Adapted) else trigger
    return shown
