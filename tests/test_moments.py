"""Moments: integers inside, aware datetimes at the border."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiosched.moments import EPOCH, aware_us, from_us, to_us

# A day within what a datetime can hold, for the zones.
FIRST = EPOCH - timedelta(days=719_161)
LAST = EPOCH + timedelta(days=2_932_895)
ANY = st.integers(to_us(FIRST), to_us(LAST)).map(lambda us: EPOCH + timedelta(microseconds=us))


def test_the_epoch_is_zero() -> None:
    assert to_us(EPOCH) == 0
    assert from_us(0) == EPOCH


@given(ANY)
def test_a_moment_survives_the_way_through_an_integer(moment: datetime) -> None:
    assert from_us(to_us(moment)) == moment


@given(ANY, st.integers(-23, 23))
def test_a_moment_is_the_same_in_every_zone(moment: datetime, hours: int) -> None:
    assert to_us(moment.astimezone(timezone(timedelta(hours=hours)))) == to_us(moment)


def test_a_moment_is_shown_in_the_zone_that_is_asked_for() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    shown = from_us(to_us(datetime(2026, 7, 1, 10, tzinfo=UTC)), berlin)
    assert shown.tzinfo is berlin
    assert shown.hour == 12


def test_a_moment_outside_of_the_calendar_overflows() -> None:
    with pytest.raises(OverflowError):
        from_us(10**18)


def test_a_naive_moment_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"start_at must be aware .*1970, 1, 1"):
        aware_us(EPOCH.replace(tzinfo=None), "start_at")


@pytest.mark.parametrize("value", ["2026-01-01", 0, None])
def test_what_is_no_datetime_is_refused_by_name(value: object) -> None:
    with pytest.raises(TypeError, match="until must be an aware datetime"):
        aware_us(value, "until")
