"""How moments, distances, triggers and errors are written."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from aiosched.cli._show import complaint, distance, moment, schedule
from aiosched.protocols import Trigger
from aiosched.triggers import BaseTrigger, Cron, Every, Once, RRule, Weekly
from aiosched.triggers.base import Arguments

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MORNING = datetime(2026, 3, 8, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2026, 3, 8, 7, tzinfo=UTC), "Sun 2026-03-08 07:00:00 +00:00 UTC"),
        (
            datetime(2026, 7, 1, 9, 30, tzinfo=ZoneInfo("Europe/Berlin")),
            "Wed 2026-07-01 09:30:00 +02:00 CEST",
        ),
        (
            datetime(2026, 7, 1, 9, 30, 0, 250_000, ZoneInfo("America/New_York")),
            "Wed 2026-07-01 09:30:00.250 -04:00 EDT",
        ),
        (  # a zone whose abbreviation only repeats the offset
            datetime(2026, 7, 1, tzinfo=ZoneInfo("America/Sao_Paulo")),
            "Wed 2026-07-01 00:00:00 -03:00",
        ),
        (  # local mean time: the offset has seconds
            datetime(1850, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
            "Tue 1850-01-01 00:00:00 +00:53:28 LMT",
        ),
        (
            datetime(2026, 7, 1, tzinfo=timezone(timedelta(hours=1))),
            "Wed 2026-07-01 00:00:00 +01:00",
        ),
    ],
)
def test_a_moment_shows_its_own_wall_clock_with_the_offset(at: datetime, text: str) -> None:
    assert moment(at) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "now"),
        (0.4, "now"),
        (-0.4, "now"),
        (1, "in 1 s"),
        (59.6, "in 1 min"),
        (90, "in 1 min 30 s"),
        (3600, "in 1 h"),
        (3 * 3600 + 12 * 60 + 5, "in 3 h 12 min"),
        (86_400 + 59, "in 1 d"),
        (400 * 86_400 + 3600, "in 400 d 1 h"),
        (-61, "1 min 1 s ago"),
    ],
)
def test_a_distance_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert distance(timedelta(seconds=seconds)) == text


class Named(BaseTrigger):
    """A trigger with a text of its own."""

    def __str__(self) -> str:
        return "named"


class Moments(BaseTrigger):
    """A trigger with an argument that is called anchor, and one that could be one."""

    def arguments(self) -> Arguments:
        return (EPOCH, "x"), {"anchor": 0, "start": EPOCH}


@pytest.mark.parametrize(
    ("trigger", "text"),
    [
        (Every(seconds=1), "Every(seconds=1)"),
        (Every(seconds=1, anchor=EPOCH), "Every(seconds=1)"),
        (Every(seconds=1, anchor=MORNING), "Every(seconds=1, anchor=2026-03-08T07:00:00+00:00)"),
        (Once(MORNING), "Once(2026-03-08T07:00:00+00:00)"),
        (Cron("0 9 * * *", tz="Europe/Berlin"), "Cron('0 9 * * *', tz='Europe/Berlin')"),
        (
            RRule("FREQ=DAILY", start=datetime(2026, 3, 8, 7)),  # noqa: DTZ001 - a wall time
            "RRule('FREQ=DAILY', start=2026-03-08T07:00:00)",
        ),
        (
            Weekly(on="MON", at="09:00", every=2, anchor=date(2026, 3, 9)),
            "Weekly(on='MON', at='09:00', every=2, anchor=2026-03-09)",
        ),
        (
            Moments(),
            "Moments(1970-01-01T00:00:00+00:00, 'x', anchor=0, start=1970-01-01T00:00:00+00:00)",
        ),
    ],
)
def test_a_trigger_is_written_with_iso_moments_and_without_the_epoch(
    trigger: Trigger, text: str
) -> None:
    assert schedule(trigger) == text


@pytest.mark.parametrize(
    "trigger", [Every(hours=1) | Once(MORNING), Every(hours=1).between(MORNING), Named()]
)
def test_a_trigger_with_a_way_of_its_own_is_written_so(trigger: Trigger) -> None:
    assert schedule(trigger) == str(trigger)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("port"), "KeyError: 'port'"),
        (NotImplementedError(), "NotImplementedError"),
        (ValueError("a\n\tb\x1b[31m"), r"ValueError: a b\x1b[31m"),
        (ValueError("x" * 48), "ValueError: " + "x" * 48),
        (ValueError("x" * 49), "ValueError: " + "x" * 45 + "..."),
    ],
)
def test_an_error_is_one_short_line(error: Exception, text: str) -> None:
    assert complaint(error) == text
