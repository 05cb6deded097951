from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from aiosched.errors import InvalidTrigger
from aiosched.triggers import Once

FIRST = datetime(2026, 5, 5, 12, tzinfo=UTC)
SECOND = FIRST + timedelta(days=1)
THIRD = FIRST + timedelta(days=2)
PARIS_SUMMER = timezone(timedelta(hours=2))


def test_moments_come_in_order_and_then_no_more():
    once = Once(THIRD, FIRST, SECOND)
    assert once.next_after(FIRST - timedelta(microseconds=1)) == FIRST
    assert once.next_after(FIRST) == SECOND
    assert once.next_after(SECOND) == THIRD
    assert once.next_after(THIRD) is None


def test_the_same_moment_counts_once():
    once = Once(FIRST, FIRST.astimezone(PARIS_SUMMER), SECOND)
    assert once == Once(SECOND, FIRST)
    assert once.next_after(FIRST) == SECOND


def test_its_datetimes_are_in_the_schedulers_zone_once_bound():
    bound = Once(FIRST).bind(name="job", tz=PARIS_SUMMER)
    assert bound.next_after(FIRST - timedelta(1)).tzinfo is PARIS_SUMMER


@pytest.mark.parametrize(
    ("moments", "complaint"),
    [
        ((), "moments must name at least one"),
        ((FIRST.replace(tzinfo=None),), "moments must be aware"),
        ((FIRST, "tomorrow"), "moments must be an aware datetime, got 'tomorrow'"),
    ],
)
def test_a_wrong_moment_is_named(moments, complaint):
    with pytest.raises(InvalidTrigger, match=complaint):
        Once(*moments)
