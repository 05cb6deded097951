"""How moments and distances are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from aiosched.cli._show import distance, moment


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
