"""WHEN: pure values that name moments."""

from aiosched.triggers.base import BaseTrigger
from aiosched.triggers.calendar import Daily, Monthly, Weekly
from aiosched.triggers.combine import Between, Difference, Union
from aiosched.triggers.cron import Cron
from aiosched.triggers.dates import Dates, DaySet, Holidays
from aiosched.triggers.interval import After, Every
from aiosched.triggers.once import Once
from aiosched.triggers.random import RandomEvery
from aiosched.triggers.rrule import RRule

__all__ = [
    "After",
    "BaseTrigger",
    "Between",
    "Cron",
    "Daily",
    "Dates",
    "DaySet",
    "Difference",
    "Every",
    "Holidays",
    "Monthly",
    "Once",
    "RRule",
    "RandomEvery",
    "Union",
    "Weekly",
]
