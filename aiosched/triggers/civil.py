"""Days, months and weekdays as integers: the proleptic Gregorian calendar without bounds.

A *day* counts from 1970-01-01, a *month* from January of the year 0. Any integers will do.
"""

from __future__ import annotations

from datetime import date

EPOCH_DAY = date(1970, 1, 1).toordinal()
LAST_DAY = date.max.toordinal() - EPOCH_DAY
"""The last day a date can name."""
CYCLE_DAYS = 146_097
"""Days of 400 years, after which the calendar repeats: whole weeks, too."""
CYCLE_MONTHS = 4_800
MONDAY_OF_EPOCH = -3  # 1970-01-01 was a Thursday

_BEFORE = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)


def month_start(month: int) -> int:
    """Return the first day of a month."""
    year, index = divmod(month, 12)
    leap = 1 if index > 1 and year % 4 == 0 and (year % 100 or year % 400 == 0) else 0
    past = year - 1
    days = past * 365 + past // 4 - past // 100 + past // 400
    return days + _BEFORE[index] + leap + 1 - EPOCH_DAY


def month_of(day: int) -> int:
    """Return the month that holds a day."""
    cycle, rest = divmod(day + EPOCH_DAY - 1, CYCLE_DAYS)
    within = date.fromordinal(rest + 1)
    return (cycle * 400 + within.year) * 12 + within.month - 1


def month_length(month: int) -> int:
    """Return a month's number of days."""
    return month_start(month + 1) - month_start(month)


def day_of(value: date) -> int:
    """Return the day that a date names."""
    return value.toordinal() - EPOCH_DAY
