"""Arguments of triggers, checked where they are given: a mistake is named with its value."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime, time
from typing import Any, NoReturn

from aiosched.durations import (
    DAY,
    HOUR,
    MICROSECOND,
    MILLISECOND,
    MINUTE,
    SECOND,
    Duration,
    microseconds,
)
from aiosched.errors import InvalidTrigger
from aiosched.moments import aware_us

WallTime = str | time
"""A time of day: ``"10:30"``, ``"10:30:15"`` or a `datetime.time`."""

_UNITS = {"d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND, "ms": MILLISECOND}
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", re.ASCII)


def refuse(argument: str, must: str, value: object) -> NoReturn:
    """Raise `InvalidTrigger`: *argument* must …, got *value*."""
    raise InvalidTrigger(f"{argument} must {must}, got {value!r}")


def duration_us(value: Duration, argument: str, *, minimum: int = MICROSECOND) -> int:
    """Return a duration of at least *minimum* in microseconds."""
    try:
        return microseconds(value, argument, minimum=minimum)
    except (TypeError, ValueError) as error:
        raise InvalidTrigger(str(error)) from None


def duration_text(us: int) -> str:
    """Return the shortest text that `duration_us` reads as *us*."""
    for name, unit in _UNITS.items():
        if us % unit == 0:
            return f"{us // unit}{name}"
    return f"{us}us"


def moment_us(value: datetime, argument: str) -> int:
    """Return an aware moment in microseconds since the epoch."""
    try:
        return aware_us(value, argument)
    except (TypeError, ValueError) as error:
        raise InvalidTrigger(str(error)) from None


def whole(value: int, argument: str, *, least: int = 1) -> int:
    """Return an int that is at least *least*."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        refuse(argument, f"be an int of at least {least}", value)
    return value


def choice(value: str, argument: str, allowed: tuple[str, ...]) -> str:
    """Return one of the *allowed* words."""
    if value not in allowed:
        refuse(argument, "be " + " or ".join(f"'{word}'" for word in allowed), value)
    return value


def plain_date(value: date | None, argument: str) -> date | None:
    """Return a date that is no datetime, or None."""
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    return refuse(argument, "be a date without a time", value)


def several(value: Any, argument: str, single: type | tuple[type, ...]) -> tuple[Any, ...]:
    """Return one value or an iterable of them as a tuple that is not empty."""
    if isinstance(value, single):
        return (value,)
    if not isinstance(value, Iterable):
        return (value,)  # left to the check of the single value
    values = tuple(value)
    if not values:
        refuse(argument, "not be empty", value)
    return values


def wall_times(value: WallTime | Iterable[WallTime], argument: str = "at") -> tuple[time, ...]:
    """Return times of day, sorted, each once."""
    times = {_wall_time(each, argument) for each in several(value, argument, (str, time))}
    return tuple(sorted(times))


def time_us(value: time) -> int:
    """Return microseconds since midnight."""
    minutes = value.hour * HOUR + value.minute * MINUTE
    return minutes + value.second * SECOND + value.microsecond


def time_argument(times: tuple[time, ...]) -> Any:
    """Return what `wall_times` reads as *times*: text where it can say it, one alone for one."""
    shown = tuple(each if each.microsecond else _time_text(each) for each in times)
    return shown[0] if len(shown) == 1 else shown


def _time_text(value: time) -> str:
    return value.isoformat("seconds" if value.second else "minutes")


def _wall_time(value: WallTime, argument: str) -> time:
    if isinstance(value, time):
        if value.tzinfo is not None:
            refuse(argument, "have no zone of its own (tz= gives the zone)", value)
        return value.replace(fold=0)
    if not isinstance(value, str):
        refuse(argument, "be a wall time such as '10:30' or a datetime.time", value)
    match = _CLOCK.fullmatch(value.strip())
    if match is None:
        refuse(argument, "look like '10:30' or '10:30:15'", value)
    try:
        hour, minute, second = map(int, match.groups("0"))
        return time(hour, minute, second)
    except ValueError:
        refuse(argument, "be a time of day that exists", value)
