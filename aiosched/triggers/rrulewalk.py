"""Recurrence by the year, month or week: dateutil walks the wall's times, a window of them at once.

dateutil begins at a rule's start and looks at every period up to the year 9999, so a walk begins a
few periods before the time that is asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from calendar import isleap
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Protocol

from dateutil.rrule import rrulestr

from aiosched.durations import DAY, WEEK
from aiosched.moments import to_us

_LOOKED_UP = 64  # times at once
_YEAR = 366 * DAY


class Times(Protocol):
    """The wall times of a rule, in µs since 1970-01-01T00:00 on the wall."""

    def first(self, wall: int) -> int | None:
        """Return the first time at or after *wall*; None: not before the year 10000."""
        ...


class Walk:
    """The times of a rule that has no end."""

    __slots__ = ("_by_week", "_interval", "_known", "_rule", "_start")

    def __init__(self, parts: dict[str, str], start: datetime) -> None:
        rule = ";".join(f"{name}={value}" for name, value in parts.items())
        self._rule: Any = rrulestr(rule, dtstart=start)
        self._start = start
        self._interval = int(parts.get("INTERVAL", 1))
        self._by_week = parts["FREQ"] == "WEEKLY"
        self._known: tuple[int, tuple[int, ...]] = (0, ())  # every time between two

    def first(self, wall: int) -> int | None:
        """Return the first time at or after *wall*; None: not before the year 10000."""
        low, times = self._known
        if not times or not low <= wall <= times[-1]:
            begin = self._shortly_before(wall)
            walked = map(wall_us, self._rule.replace(dtstart=begin))
            times = tuple(islice((each for each in walked if each >= wall), _LOOKED_UP))
            self._known = wall, times
        index = bisect_left(times, wall)
        return times[index] if times else None

    def _shortly_before(self, wall: int) -> datetime:
        """Return a time two periods or more before *wall* from which the rule goes on the same."""
        since = wall - wall_us(self._start)
        if self._by_week:
            periods = max(since // (WEEK * self._interval) - 2, 0)
            return self._start + timedelta(weeks=periods * self._interval)
        periods = max(since // (_YEAR * self._interval) - 2, 0)
        year = self._start.year + periods * self._interval
        if (self._start.month, self._start.day) == (2, 29):
            while not isleap(year):
                year -= self._interval
        return self._start.replace(year=year)


class Counted:
    """The first so many of some times, found as they are asked for."""

    __slots__ = ("_count", "_found", "_times")

    def __init__(self, times: Times, start: datetime, count: int) -> None:
        self._times = times
        self._count = count
        self._found: tuple[int, ...] = (wall_us(start) - 1,)  # and, before them, their start

    def first(self, wall: int) -> int | None:
        """Return the first of them at or after *wall*."""
        found = list(self._found)
        while (found[-1] < wall or len(found) == 1) and len(found) <= self._count:
            following = self._times.first(found[-1] + 1)
            if following is None:
                break
            found.append(following)
        self._found = tuple(found)
        index = max(bisect_left(found, wall), 1)
        return found[index] if index < len(found) else None


class Limited:
    """The times from a start, and to an end if there is one."""

    __slots__ = ("_last", "_start", "_times")

    def __init__(self, times: Times, start: datetime, last: datetime | None) -> None:
        self._times = times
        self._start = wall_us(start)
        self._last = None if last is None else wall_us(last)

    def first(self, wall: int) -> int | None:
        """Return the first of them at or after *wall*."""
        found = self._times.first(max(wall, self._start))
        return None if found is None or (self._last is not None and found > self._last) else found


def wall_us(shown: datetime) -> int:
    """Return a naive datetime in microseconds on the wall."""
    return to_us(shown.replace(tzinfo=UTC))
