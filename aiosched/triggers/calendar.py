"""Wall times on every nth day, week or month."""

from __future__ import annotations

from bisect import bisect_left
from datetime import date
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from aiosched.durations import DAY
from aiosched.errors import InvalidTrigger
from aiosched.triggers.base import Arguments, put
from aiosched.triggers.checks import (
    WallTime,
    choice,
    plain_date,
    refuse,
    several,
    time_argument,
    time_us,
    wall_times,
    whole,
)
from aiosched.triggers.civil import (
    CYCLE_MONTHS,
    LAST_DAY,
    day_of,
    month_length,
    month_of,
    month_start,
)
from aiosched.triggers.wall import WallTrigger
from aiosched.triggers.walltime import Dst

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import time, tzinfo

Weekday = str | int
"""``"MON"``, ``"monday"``, or 0 to 6 with 0 = Monday."""

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NUMBERS = {name[:size]: index for index, name in enumerate(_WEEKDAYS) for size in (3, None)}
_A_MONDAY = day_of(date(1970, 1, 5))
_LAST_MONTH = month_of(LAST_DAY)
_LONGEST = 31


class _CalendarTrigger(WallTrigger):
    """Wall times on days that a subclass counts.

    Attributes:
        at: The times of day.
        every: Of how many periods one counts.
        anchor: A day of a period that counts; None: the default.
    """

    __slots__ = ("anchor", "at", "every")

    at: tuple[time, ...]
    every: int
    anchor: date | None

    def _take(self, at: WallTime | Iterable[WallTime], every: int, anchor: date | None) -> None:
        put(self, "at", wall_times(at))
        put(self, "every", whole(every, "every"))
        put(self, "anchor", plain_date(anchor, "anchor"))

    def _on_days(
        self, next_day: Callable[[int], int | None], tz: str | tzinfo | None, dst: Dst
    ) -> None:
        times = tuple(map(time_us, self.at))
        self._follow(partial(_first, next_day, times), tz, dst)

    def _calendar_arguments(self) -> dict[str, Any]:
        keywords: dict[str, Any] = {"at": time_argument(self.at)}
        if self.every != 1:
            keywords["every"] = self.every
        if self.anchor is not None:
            keywords["anchor"] = self.anchor
        return keywords | self._wall_arguments()


class Daily(_CalendarTrigger):
    """Wall times on every *every*-th day.

    Args:
        at: ``"10:30"``, ``"10:30:15"``, a `datetime.time`, or several.
        every: Which days count: those that lie a multiple of this from *anchor*, before it too.
        tz, dst: As of `Cron`.
        anchor: A day that counts; default 1970-01-01.

    Raises:
        InvalidTrigger: An argument is wrong.
    """

    __slots__ = ()

    def __init__(
        self,
        at: WallTime | Iterable[WallTime] = "00:00",
        every: int = 1,
        *,
        tz: str | tzinfo | None = None,
        dst: Dst = "vixie",
        anchor: date | None = None,
    ) -> None:
        self._take(at, every, anchor)
        phase = day_of(self.anchor or date(1970, 1, 1))
        self._on_days(partial(_next_of_days, self.every, phase), tz, dst)

    def arguments(self) -> Arguments:
        """Return the arguments that are not the default, and ``at``."""
        return (), self._calendar_arguments()


class Weekly(_CalendarTrigger):
    """Wall times on given weekdays of every *every*-th week.

    Args:
        on: ``"MON"``, ``"monday"``, or 0 to 6 with 0 = Monday; or several.
        at: As of `Daily`.
        every: Which weeks count: those that lie a multiple of this from the week of *anchor*.
        week_start: The weekday that a week starts with.
        tz, dst: As of `Cron`.
        anchor: A day of a week that counts; default 1970-01-05.

    Raises:
        InvalidTrigger: An argument is wrong.
    """

    __slots__ = ("on", "week_start")

    on: tuple[int, ...]
    week_start: int

    def __init__(  # noqa: PLR0913 - the calendar's words
        self,
        on: Weekday | Iterable[Weekday],
        at: WallTime | Iterable[WallTime] = "00:00",
        every: int = 1,
        *,
        week_start: Weekday = "MON",
        tz: str | tzinfo | None = None,
        dst: Dst = "vixie",
        anchor: date | None = None,
    ) -> None:
        self._take(at, every, anchor)
        put(self, "on", _weekdays(on))
        put(self, "week_start", _weekday(week_start, "week_start"))
        start = _A_MONDAY + self.week_start
        phase = ((day_of(self.anchor) if self.anchor else _A_MONDAY) - start) // 7
        days = tuple(sorted((day - self.week_start) % 7 for day in self.on))
        self._on_days(partial(_next_of_weeks, self.every, phase, start, days), tz, dst)

    def arguments(self) -> Arguments:
        """Return the arguments that are not the default, ``on`` and ``at``."""
        names = tuple(_WEEKDAYS[day][:3].upper() for day in self.on)
        keywords = {"on": names[0] if len(names) == 1 else names} | self._calendar_arguments()
        if self.week_start:
            keywords["week_start"] = _WEEKDAYS[self.week_start][:3].upper()
        return (), keywords


class Monthly(_CalendarTrigger):
    """Wall times on given days of every *every*-th month.

    Args:
        on: 1 to 31, or -1 to -31 counted from the end (-1 = the last day); or several.
        at: As of `Daily`.
        every: Which months count: those that lie a multiple of this from the month of *anchor*.
        missing: A month that lacks the day is passed over (``"skip"``), or takes its last day
            instead (``"clamp"``).
        tz, dst: As of `Cron`.
        anchor: A day of a month that counts; default January 1970.

    Raises:
        InvalidTrigger: An argument is wrong, or no month that counts has such a day.
    """

    __slots__ = ("missing", "on")

    on: tuple[int, ...]
    missing: str

    def __init__(  # noqa: PLR0913 - the calendar's words
        self,
        on: int | Iterable[int],
        at: WallTime | Iterable[WallTime] = "00:00",
        every: int = 1,
        *,
        missing: Literal["skip", "clamp"] = "skip",
        tz: str | tzinfo | None = None,
        dst: Dst = "vixie",
        anchor: date | None = None,
    ) -> None:
        self._take(at, every, anchor)
        put(self, "on", _month_days(on))
        put(self, "missing", choice(missing, "missing", ("skip", "clamp")))
        phase = month_of(day_of(self.anchor or date(1970, 1, 1)))
        days = partial(_days_of, self.on, missing == "clamp")
        if not any(map(days, _months_that_count(self.every, phase))):
            raise InvalidTrigger(
                f"on must name a day of some month that counts, got {on!r} with every={every!r}, "
                f"anchor={anchor!r}"
            )
        self._on_days(partial(_next_of_months, self.every, phase, days), tz, dst)

    def arguments(self) -> Arguments:
        """Return the arguments that are not the default, ``on`` and ``at``."""
        keywords: dict[str, Any] = {"on": self.on[0] if len(self.on) == 1 else self.on}
        keywords |= self._calendar_arguments()
        if self.missing != "skip":
            keywords["missing"] = self.missing
        return (), keywords


def _first(next_day: Callable[[int], int | None], times: tuple[int, ...], wall: int) -> int | None:
    """Return the first of *times* on a day of *next_day*, at or after *wall*."""
    today, time_of_day = divmod(wall, DAY)
    day = next_day(today)
    if day == today:
        index = bisect_left(times, time_of_day)
        if index < len(times):
            return today * DAY + times[index]
        day = next_day(today + 1)
    return None if day is None or day > LAST_DAY else day * DAY + times[0]


def _next_of_days(every: int, phase: int, day: int) -> int:
    return day + (phase - day) % every


def _next_of_weeks(every: int, phase: int, start: int, days: tuple[int, ...], day: int) -> int:
    week, weekday = divmod(day - start, 7)
    ahead = (phase - week) % every
    if not ahead:
        for each in days:
            if each >= weekday:
                return start + 7 * week + each
        ahead = every
    return start + 7 * (week + ahead) + days[0]


def _next_of_months(
    every: int, phase: int, days: Callable[[int], list[int]], day: int
) -> int | None:
    month = month_of(day)
    for counted in range(month + (phase - month) % every, _LAST_MONTH + 1, every):
        start = month_start(counted)
        for each in days(counted):
            if start + each - 1 >= day:
                return start + each - 1
    return None


def _days_of(on: tuple[int, ...], clamp: bool, month: int) -> list[int]:  # noqa: FBT001 - bound by partial
    """Return the days of *month* that *on* names, in order."""
    length = month_length(month)
    days = {each if each > 0 else length + 1 + each for each in on}
    here = {day for day in days if 1 <= day <= length}
    if clamp and here != days:
        here.add(length)
    return sorted(here)


def _months_that_count(every: int, phase: int) -> Iterable[int]:
    """Return months enough to see whether any has a day: a whole cycle, or all of them."""
    first = 12 + (phase - 12) % every
    return islice(range(first, _LAST_MONTH + 1, every), CYCLE_MONTHS)


def _weekdays(on: Weekday | Iterable[Weekday]) -> tuple[int, ...]:
    return tuple(sorted({_weekday(each, "on") for each in several(on, "on", str)}))


def _weekday(value: Weekday, argument: str) -> int:
    number = _NUMBERS.get(value.lower()) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(_WEEKDAYS):
        refuse(argument, "be a weekday such as 'MON', or 0 (Monday) to 6", value)
    return number


def _month_days(on: int | Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted({_month_day(each) for each in several(on, "on", (int, str))}))


def _month_day(value: int) -> int:
    is_int = isinstance(value, int) and not isinstance(value, bool)
    if not is_int or not 1 <= abs(value) <= _LONGEST:
        refuse("on", "be a day from 1 to 31, or -1 to -31", value)
    return value
