"""Fixed intervals: `Every`, and `After` for a single delay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from math import inf
from typing import Any, Self, final

from aiosched.durations import (
    DAY,
    HOUR,
    MICROSECOND,
    MILLISECOND,
    MINUTE,
    SECOND,
    WEEK,
    Duration,
)
from aiosched.errors import InvalidTrigger
from aiosched.moments import from_us
from aiosched.triggers.base import LAST_US, Arguments, BaseTrigger, ZonedTrigger, put
from aiosched.triggers.checks import duration_text, duration_us, moment_us, refuse
from aiosched.triggers.once import Once

_UNITS = {
    "weeks": WEEK,
    "days": DAY,
    "hours": HOUR,
    "minutes": MINUTE,
    "seconds": SECOND,
    "milliseconds": MILLISECOND,
}
_LONGEST = timedelta.max // timedelta(microseconds=1) // len(_UNITS)


@final
class Every(ZonedTrigger):
    """A fixed interval.

    Without *anchor* it counts elapsed time from the job's start, the first occurrence one interval
    after it. With one, occurrences are *anchor* + k * interval for all integers k.

    Args:
        interval: The whole interval as a timedelta, seconds or text like ``"90s"``.
        weeks, days, hours, minutes, seconds, milliseconds: Or its parts, added up.
        anchor: An aware moment.

    Raises:
        InvalidTrigger: The interval is not positive, or the anchor is naive.

    Attributes:
        elapsed: Whether it has no anchor, and so counts from the job's start.
    """

    __slots__ = ("_anchor", "_interval", "elapsed")

    _anchor: int | None
    _interval: int

    def __new__(  # noqa: PLR0913 - the parts of a timedelta
        cls,
        interval: Duration | None = None,
        /,
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        milliseconds: float = 0,
        anchor: datetime | None = None,
    ) -> Self:
        """Make an interval, or return the equal one that was made before."""
        if interval is None:
            try:
                plain: Self = _of_parts(weeks, days, hours, minutes, seconds, milliseconds)
            except TypeError:  # something that cannot be hashed, which cannot be a number either
                plain = _of_parts.__wrapped__(weeks, days, hours, minutes, seconds, milliseconds)
        else:
            _no_parts(interval, weeks, days, hours, minutes, seconds, milliseconds)
            plain = _shared(duration_us(interval, "interval"), None, UTC)
        if anchor is None:
            return plain
        made: Self = _every(plain.interval_us, moment_us(anchor, "anchor"), UTC)
        return made

    def __init_subclass__(cls) -> None:
        raise TypeError(
            f"Every is one object for each interval and cannot be the base of {cls.__name__}: "
            "write a function that returns an Every, or a trigger of your own with next_after"
        )

    @property
    def interval_us(self) -> int:
        """The interval in microseconds."""
        return self._interval

    @property
    def anchor(self) -> datetime | None:
        """The moment that fixes its phase, in UTC; None: the job's start does."""
        return None if self._anchor is None else from_us(self._anchor)

    def gap(self, index: int, /) -> int:  # noqa: ARG002 - every gap is the same
        """Return the interval in microseconds."""
        return self._interval

    def next_us(self, us: int, /) -> int | None:
        """Return the first occurrence strictly later than *us*; without anchor *us* + interval."""
        interval, anchor = self._interval, self._anchor
        found = us + interval if anchor is None else us + interval - (us - anchor) % interval
        return found if found <= LAST_US else None

    def anchored(self, at_us: int) -> Self:
        """Return the same interval anchored at a moment: itself if it has an anchor."""
        return self if self._anchor is not None else self._with(at_us, self.zone)

    def arguments(self) -> Arguments:
        """Return the interval in the largest unit that divides it, and the anchor in UTC."""
        keywords: dict[str, Any] = {} if self._anchor is None else {"anchor": from_us(self._anchor)}
        for name, unit in _UNITS.items():
            if self._interval % unit == 0:
                return (), {name: self._interval // unit, **keywords}
        return (duration_text(self._interval),), keywords

    def shown_in(self, tz: tzinfo) -> Self:
        """Return the trigger that gives its datetimes in *tz*."""
        return self._with(self._anchor, tz)

    def _with(self, anchor: int | None, tz: tzinfo) -> Self:
        made: Self | None
        try:
            made = _shared(self._interval, anchor, tz)
        except TypeError:  # some zones (dateutil's) cannot be hashed
            made = None
        # Zones of a fixed offset are equal, whatever they are called.
        if made is None or made.zone is not tz:
            made = _every(self._interval, anchor, tz)
        return made

    def covers(self, other: BaseTrigger) -> bool:
        """Say whether every moment of *other*, an interval with an anchor, is one of these."""
        if not isinstance(other, Every) or self.elapsed or other.elapsed:
            return self == other
        mine, theirs = (each.next_us(0) or 0 for each in (self, other))
        return (theirs - mine) % self._interval == 0 == other.interval_us % self._interval

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Every):
            return NotImplemented
        return self._interval == other._interval and self._anchor == other._anchor

    def __hash__(self) -> int:
        return hash((self._interval, self._anchor))


class After(ZonedTrigger):
    """One occurrence, so long after the job's start.

    Asked as a pure trigger, which knows of no start, it names the moment plus the delay.
    """

    __slots__ = ("_delay",)

    elapsed = True  # always: it counts from the job's start

    _delay: int

    def __init__(self, delay: Duration, /) -> None:
        put(self, "_delay", duration_us(delay, "after", minimum=0))
        put(self, "zone", UTC)

    def gap(self, index: int, /) -> int | None:
        """Return the delay before the first occurrence (index 0), None for any other."""
        return self._delay if index == 0 else None

    def next_us(self, us: int, /) -> int | None:
        """Return *us* plus the delay, strictly later."""
        found = us + max(self._delay, MICROSECOND)
        return found if found <= LAST_US else None

    def anchored(self, at_us: int) -> Once:
        """Return the one moment that it means for a job that starts at *at_us*."""
        return Once(from_us(at_us + self._delay)).bind(name="", tz=self.zone)

    def arguments(self) -> Arguments:
        """Return the delay as text."""
        return (duration_text(self._delay),), {}


def _every(interval: int, anchor: int | None, tz: tzinfo) -> Any:
    made = object.__new__(Every)
    put(made, "_interval", interval)
    put(made, "_anchor", anchor)
    put(made, "zone", tz)
    put(made, "elapsed", anchor is None)
    return made


_shared: Any = lru_cache(maxsize=1_024)(_every)  # jobs with equal intervals have one of them


@lru_cache(maxsize=256, typed=True)
def _of_parts(*parts: float) -> Any:
    return _shared(_total(*parts), None, UTC)


def _total(*parts: float) -> int:
    """Return the parts' sum in microseconds."""
    total = sum(map(_part, parts, _UNITS.items()))
    if total < MICROSECOND:
        raise InvalidTrigger(f"interval must be positive, got {_shown(parts)}")
    return duration_us(timedelta(microseconds=total), "interval")


def _part(part: float, unit: tuple[str, int]) -> int:
    name, size = unit
    if isinstance(part, bool) or not isinstance(part, (int, float)) or not 0 <= part < inf:
        refuse(name, "be a number, finite and not negative", part)
    if part * size > _LONGEST:
        refuse(name, "be less than a billion days", part)
    return round(part * size)


def _no_parts(interval: Duration, *parts: float) -> None:
    if parts != (0,) * len(_UNITS):
        raise InvalidTrigger(f"interval must be given once, got {interval!r} and {_shown(parts)}")


def _shown(parts: tuple[float, ...]) -> str:
    given = {name: part for name, part in zip(_UNITS, parts, strict=True) if part != 0}
    return ", ".join(f"{name}={part!r}" for name, part in given.items()) or "nothing but 0"
