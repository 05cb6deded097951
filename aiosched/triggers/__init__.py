"""WHEN: pure values that name moments."""

from aiosched.triggers.base import BaseTrigger
from aiosched.triggers.calendar import Daily, Monthly, Weekly
from aiosched.triggers.cron import Cron
from aiosched.triggers.interval import After, Every
from aiosched.triggers.once import Once
from aiosched.triggers.random import RandomEvery

__all__ = [
    "After",
    "BaseTrigger",
    "Cron",
    "Daily",
    "Every",
    "Monthly",
    "Once",
    "RandomEvery",
    "Weekly",
]
