"""Recurrence by the day or by less: arithmetic, where dateutil would look at every second."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from itertools import islice, product
from math import gcd

from aiosched.durations import DAY, HOUR, MINUTE, SECOND
from aiosched.triggers.civil import CYCLE_DAYS, EPOCH_DAY, LAST_DAY, month_length
from aiosched.triggers.rrulewalk import wall_us

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")

_A_DAY, _AN_HOUR, _A_MINUTE = 1, 24, 1440  # periods in a day: a rule's frequency
_PER_DAY = {"DAILY": _A_DAY, "HOURLY": _AN_HOUR, "MINUTELY": _A_MINUTE, "SECONDLY": 86_400}


class Steps:
    """The times of a rule whose periods are days, hours, minutes or seconds, without an end.

    Every *interval*-th period counts, from that of the start, if its day and its own hour, minute
    and second are among those that the rule names; it has the times of day that the rule names, or
    the start's.
    """

    __slots__ = (
        "_dates",
        "_hours",
        "_interval",
        "_length",
        "_minutes",
        "_months",
        "_per_day",
        "_phase",
        "_seconds",
        "_times",
        "_weekdays",
        "_year_days",
    )

    def __init__(self, parts: dict[str, str], start: datetime) -> None:
        self._per_day = _PER_DAY[parts["FREQ"]]
        self._length = DAY // self._per_day
        self._interval = int(parts.get("INTERVAL", 1))
        self._phase = wall_us(start) // self._length
        self._months = _numbers(parts, "BYMONTH")
        self._dates = _numbers(parts, "BYMONTHDAY")
        self._year_days = _numbers(parts, "BYYEARDAY")
        named = parts.get("BYDAY")
        self._weekdays = {WEEKDAYS.index(each) for each in named.split(",")} if named else None
        self._hours = _numbers(parts, "BYHOUR")
        self._minutes = _numbers(parts, "BYMINUTE")
        self._seconds = _numbers(parts, "BYSECOND")
        self._times: tuple[int, ...] = (
            _chosen(parts, self._times_of_a_period(start)) if self._some_count() else ()
        )

    def first(self, wall: int) -> int | None:
        """Return the first time at or after *wall*; None: there is none within 400 years."""
        today, time = divmod(wall, DAY)
        for day in self._days_from(today) if self._times else ():
            found = self._first_of_day(day, time if day == today else 0)
            if found is not None:
                return day * DAY + found
        return None

    def _days_from(self, day: int) -> Iterator[int]:
        stride = self._interval if self._per_day == _A_DAY else 1
        begin = day + (self._phase - day) % stride
        return filter(self._has_day, islice(range(begin, LAST_DAY + 1, stride), CYCLE_DAYS))

    def _has_day(self, day: int) -> bool:
        if self._weekdays is not None and (day + 3) % 7 not in self._weekdays:
            return False
        if not (self._months or self._dates or self._year_days):
            return True
        shown = date.fromordinal(day + EPOCH_DAY)
        if self._months is not None and shown.month not in self._months:
            return False
        length = month_length(12 * shown.year + shown.month - 1)
        if self._dates is not None and self._dates.isdisjoint({shown.day, shown.day - length - 1}):
            return False
        if self._year_days is None:
            return True
        from_end = day + EPOCH_DAY - date(shown.year, 12, 31).toordinal() - 1
        return not self._year_days.isdisjoint({shown.timetuple().tm_yday, from_end})

    def _first_of_day(self, day: int, time: int) -> int | None:
        """Return the first time of a day at or after *time*, from its midnight."""
        period = (self._phase - day * self._per_day) % self._interval
        period = self._counted(period, -((self._times[-1] - time) // self._length))
        while period < self._per_day:
            possible = self._possible(period)
            if possible == period:
                begin = period * self._length
                for each in self._times:
                    if begin + each >= time:
                        return begin + each
            period = self._counted(period, max(possible, period + 1))
        return None

    def _counted(self, period: int, least: int) -> int:
        """Return the first period that counts from *period*, which does, not before *least*."""
        return period + max(-(-(least - period) // self._interval), 0) * self._interval

    def _possible(self, period: int) -> int:
        """Return the first period of the day from *period* whose hour and so on may be named."""
        per_hour, per_minute = self._per_day // _AN_HOUR, self._per_day // _A_MINUTE
        if per_hour and self._hours is not None and period // per_hour not in self._hours:
            return (period // per_hour + 1) * per_hour
        if not per_minute:
            return period
        if self._minutes is not None and period // per_minute % 60 not in self._minutes:
            return (period // per_minute + 1) * per_minute
        if self._seconds is None or per_minute == 1 or period % 60 in self._seconds:
            return period
        return period + 1

    def _some_count(self) -> bool:
        """Whether periods that count ever fall on hours, minutes and seconds that are named."""
        common = gcd(self._interval, self._per_day)
        periods = range(self._phase % common, self._per_day, common)
        return any(self._possible(period) == period for period in periods)

    def _times_of_a_period(self, start: datetime) -> list[int]:
        """Return the times within a period, from its begin."""
        hours = (self._hours or {start.hour}) if self._per_day < _AN_HOUR else {0}
        minutes = (self._minutes or {start.minute}) if self._per_day < _A_MINUTE else {0}
        seconds = (self._seconds or {start.second}) if self._length > SECOND else {0}
        clocks = product(hours, minutes, seconds)
        return sorted(
            hour * HOUR + minute * MINUTE + second * SECOND for hour, minute, second in clocks
        )


def _chosen(parts: dict[str, str], times: list[int]) -> tuple[int, ...]:
    """Return the times whose positions the rule names, if it names any."""
    positions = _numbers(parts, "BYSETPOS")
    if positions is None:
        return tuple(times)
    size = len(times)
    places = {each - 1 if each > 0 else size + each for each in positions}
    return tuple(times[place] for place in sorted(places) if 0 <= place < size)


def _numbers(parts: dict[str, str], name: str) -> set[int] | None:
    """Return the numbers of a part; None: the rule leaves it out."""
    return {int(each) for each in parts[name].split(",")} if name in parts else None
