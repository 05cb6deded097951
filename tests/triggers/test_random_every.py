from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiosched.errors import InvalidTrigger
from aiosched.moments import to_us
from aiosched.triggers import RandomEvery

NOON = datetime(2026, 5, 5, 12, tzinfo=UTC)


@given(
    low=st.integers(1, 10**12),
    extra=st.integers(1, 10**12),
    seed=st.integers() | st.text() | st.binary(),
    asked=st.integers(-(10**16), 10**16),
)
def test_gaps_lie_between_the_bounds(low, extra, seed, asked):
    every = RandomEvery(timedelta(microseconds=low), timedelta(microseconds=low + extra), seed=seed)
    found = list(islice(every.upcoming(asked), 6))
    assert found[0] > asked
    assert all(low <= later - earlier <= low + extra for earlier, later in pairwise(found))


@given(asked=st.integers(0, 10**16), wait=st.integers(0, 10**8))
def test_asking_later_skips_nothing(asked, wait):
    every = RandomEvery(5, 60, seed="x")
    found = every.next_us(asked)
    if asked + wait < found:
        assert every.next_us(asked + wait) == found


def test_occurrences_follow_the_formula():
    every = RandomEvery(10, 20, seed="x")
    found = list(islice(every.upcoming(to_us(NOON)), 50))
    mean, half = Fraction(15_000_000), Fraction(5_000_000)
    for us in found:
        index = us // 15_000_000
        assert 0 <= us - index * mean < half


def test_it_is_the_same_on_every_host():
    moments = islice(RandomEvery("30s", "90s", seed="report").upcoming(0), 3)
    assert list(moments) == [7_008_955, 74_874_204, 124_881_822]


def test_gaps_are_spread_over_the_range():
    every = RandomEvery(10, 20, seed="x")
    drawn = [every.gap(index) for index in range(1000)]
    assert all(10_000_000 <= each < 20_000_000 for each in drawn)
    assert 14_500_000 < sum(drawn) / len(drawn) < 15_500_000
    assert min(drawn) < 10_100_000
    assert max(drawn) > 19_900_000


def test_the_jobs_name_is_the_seed_unless_one_is_given():
    bound = RandomEvery(5, 10).bind(name="report", tz=UTC)
    assert bound == RandomEvery(5, 10, seed="report")
    assert bound.bind(name="other", tz=UTC) is bound


def test_names_spread_jobs():
    bound = {RandomEvery(60, 120).bind(name=f"job {n}", tz=UTC).next_us(0) for n in range(50)}
    assert len(bound) == 50


def test_without_a_seed_it_cannot_say():
    with pytest.raises(InvalidTrigger, match="seed must be given"):
        RandomEvery(5, 10).next_after(NOON)
    with pytest.raises(InvalidTrigger, match="seed must be given"):
        RandomEvery(5, 10).gap(0)


def test_it_is_no_elapsed_trigger():
    assert not RandomEvery(5, 10).elapsed


def test_its_datetimes_are_in_the_schedulers_zone_once_bound():
    zone = timezone(timedelta(hours=2))
    assert RandomEvery(5, 10).bind(name="x", tz=zone).next_after(NOON).tzinfo is zone


def test_it_ends_with_the_year_9999():
    assert RandomEvery(5, 10, seed=1).next_after(datetime.max.replace(tzinfo=UTC)) is None


def test_it_is_shown_with_its_bounds():
    assert repr(RandomEvery(5, 10)) == "RandomEvery('5s', '10s')"
    assert repr(RandomEvery("1m", 90.5, seed=7)) == "RandomEvery('1m', '90500ms', seed=7)"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((0, 5), "min must be positive, got 0"),
        ((5, "soon"), "max must look like"),
        ((5, 5), "max must be more than min, got min=5, max=5"),
        ((6, 5), "max must be more than min"),
        ((5, 6, True), "seed must be text, an int, bytes or None, got True"),
        ((5, 6, 1.5), "seed must be"),
    ],
)
def test_a_wrong_argument_is_named(arguments, complaint):
    with pytest.raises(InvalidTrigger, match=complaint):
        RandomEvery(*arguments)
