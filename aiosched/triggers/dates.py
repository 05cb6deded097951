"""Days as such: given dates, and public holidays."""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Self

from aiosched.durations import DAY
from aiosched.errors import InvalidTrigger
from aiosched.triggers.base import Arguments, BaseTrigger, put
from aiosched.triggers.checks import refuse
from aiosched.triggers.civil import EPOCH_DAY, LAST_DAY, day_of, month_of
from aiosched.triggers.wall import WallTrigger
from aiosched.triggers.walltime import timeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiosched.protocols import Trigger

    NextDay = Callable[[int], int | None]

_YEARS_WITHOUT = 10  # a calendar without a holiday for so long has come to its end …
_LISTED_BY = 2200  # … unless it has yet to begin
_VAIN_DAYS = 20_000  # days taken away in a row before a set is taken to be over


class DaySet(WallTrigger):
    """Days. Taken from a trigger they take whole days; as a trigger they name their beginnings.

    Days are those of their own zone, else those of the trigger they are taken from. ``|`` and ``-``
    of two sets of days are sets of days.
    """

    __slots__ = ("next_day",)

    next_day: NextDay

    def _hold(self, next_day: NextDay, tz: str | tzinfo | None) -> None:
        put(self, "next_day", next_day)
        self._follow(partial(_midnight, next_day), tz, "vixie")

    def __contains__(self, day: date) -> bool:
        return self.next_day(day_of(day)) == day_of(day)

    def covered(self, us: int, zone: tzinfo) -> int | None:
        """Return the end of the day that *us* lies on in *zone*; None: it is none of these.

        The end is the last moment before the wall shows the next day, or changes its offset.
        """
        _, end, offset, _ = timeline(self.tz or zone).segment(us)
        day = (us + offset) // DAY
        if self.next_day(day) != day:
            return None
        return min((day + 1) * DAY - offset, end) - 1

    def __or__(self, other: Trigger) -> BaseTrigger:
        return DaysOfEither(self, other) if isinstance(other, DaySet) else super().__or__(other)

    def __sub__(self, other: Trigger) -> BaseTrigger:
        return DaysWithout(self, other) if isinstance(other, DaySet) else super().__sub__(other)


class Dates(DaySet):
    """Given dates.

    Args:
        dates: Dates, or text such as ``"2026-12-24"``.
        tz: The zone whose days they are; None: that of the trigger they are taken from.

    Raises:
        InvalidTrigger: There is no date, or one cannot be read.
    """

    __slots__ = ("_days",)

    _days: tuple[int, ...]

    def __init__(self, *dates: date | str, tz: str | tzinfo | None = None) -> None:
        if not dates:
            raise InvalidTrigger("dates must name at least one day, got none")
        put(self, "_days", tuple(sorted({_day(each) for each in dates})))
        self._hold(partial(_next_in, self._days), tz)

    def arguments(self) -> Arguments:
        """Return the dates as text, and the zone."""
        days = (date.fromordinal(day + EPOCH_DAY).isoformat() for day in self._days)
        return tuple(days), self._wall_arguments()


class Holidays(DaySet):
    """The public holidays of a country, or of an exchange, by the ``holidays`` package.

    Args:
        code: ISO 3166 of the country, ``"DE"``, or the exchange's, ``"NYSE"``.
        subdiv: A part of the country, ``"BY"``; None: what holds in all of it.
        tz: The zone whose days they are; None: that of the trigger they are taken from.

    Raises:
        ModuleNotFoundError: The package is not installed.
        InvalidTrigger: It does not know the country, or the part of it.
    """

    __slots__ = ("code", "subdiv")

    code: str
    subdiv: str | None

    def __init__(
        self, code: str, subdiv: str | None = None, *, tz: str | tzinfo | None = None
    ) -> None:
        if not isinstance(code, str):
            refuse("code", "be text", code)
        if subdiv is not None and not (isinstance(subdiv, str) and subdiv):
            refuse("subdiv", "be text, or None", subdiv)
        put(self, "code", code)
        put(self, "subdiv", subdiv)
        _holidays(code, subdiv, 2000)
        self._hold(partial(_next_holiday, code, subdiv), tz)

    def arguments(self) -> Arguments:
        """Return the codes and the zone."""
        keywords = {} if self.subdiv is None else {"subdiv": self.subdiv}
        return (self.code,), keywords | self._wall_arguments()


class _CombinedDays(DaySet):
    """Days made of two sets of days, which must not be of different zones."""

    __slots__ = ("_left", "_right")

    _left: DaySet
    _right: DaySet
    _sign = ""

    def _combine(
        self, left: DaySet, right: DaySet, combined: Callable[[NextDay, NextDay, int], int | None]
    ) -> None:
        if left.tz and right.tz and left.tz != right.tz:
            raise InvalidTrigger(f"tz must be the same for both, got {left.tz!r} and {right.tz!r}")
        put(self, "_left", left)
        put(self, "_right", right)
        self._hold(partial(combined, left.next_day, right.next_day), left.tz or right.tz)

    def bind(self, *, name: str, tz: tzinfo) -> Self:
        """Return them as the days of *tz*, unless they have a zone."""
        if self.tz is not None or tz is UTC:
            return self
        left, right = (part.bind(name=name, tz=tz) for part in (self._left, self._right))
        return type(self)(left, right)  # type: ignore[call-arg]

    def arguments(self) -> Arguments:
        """Return the two sets."""
        return (self._left, self._right), {}

    def __repr__(self) -> str:
        nested = isinstance(self._right, _CombinedDays)
        right = f"({self._right!r})" if nested else repr(self._right)
        return f"{self._left!r} {self._sign} {right}"


class DaysOfEither(_CombinedDays):
    """The days of one set or the other."""

    __slots__ = ()
    _sign = "|"

    def __init__(self, left: DaySet, right: DaySet) -> None:
        self._combine(left, right, _earlier)


class DaysWithout(_CombinedDays):
    """The days of one set that are not of the other."""

    __slots__ = ()
    _sign = "-"

    def __init__(self, left: DaySet, right: DaySet) -> None:
        self._combine(left, right, _other)


def _earlier(left: NextDay, right: NextDay, day: int) -> int | None:
    found = [each for each in (left(day), right(day)) if each is not None]
    return min(found, default=None)


def _other(left: NextDay, right: NextDay, day: int) -> int | None:
    for _ in range(_VAIN_DAYS):
        found = left(day)
        if found is None or right(found) != found:
            return found
        day = found + 1
    return None


def _midnight(next_day: NextDay, wall: int) -> int | None:
    day = next_day(-(-wall // DAY))
    return None if day is None or day > LAST_DAY else day * DAY


def _next_in(days: tuple[int, ...], day: int) -> int | None:
    index = bisect_left(days, day)
    return days[index] if index < len(days) else None


def _next_holiday(code: str, subdiv: str | None, day: int) -> int | None:
    year = max(month_of(day) // 12, 1)
    for each in range(year, min(max(year + _YEARS_WITHOUT, _LISTED_BY), 9999)):
        found = _next_in(_holidays(code, subdiv, each), day)
        if found is not None:
            return found
    return None


def _day(value: date | str) -> int:
    if isinstance(value, str):
        try:
            return day_of(date.fromisoformat(value))
        except ValueError:
            refuse("dates", "look like '2026-12-24'", value)
    if isinstance(value, datetime) or not isinstance(value, date):
        refuse("dates", "be dates without a time", value)
    return day_of(value)


@lru_cache(maxsize=4096)
def _holidays(code: str, subdiv: str | None, year: int) -> tuple[int, ...]:
    """Return the days off in a year, those included that are observed for another year's."""
    try:
        holidays = import_module("holidays")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Holidays needs the holidays package: pip install 'aiosched-py[holidays]'"
        ) from error
    make = holidays.country_holidays
    if code in holidays.list_supported_financial():
        make = holidays.financial_holidays
    try:
        listed = make(code, subdiv=subdiv, years=range(year - 1, year + 2), expand=False)
    except NotImplementedError as error:
        shown = repr(code) if subdiv is None else f"{code!r} with subdiv={subdiv!r}"
        raise InvalidTrigger(f"code must be known to the holidays package, got {shown}") from error
    return tuple(sorted(day_of(each) for each in listed if each.year == year))
