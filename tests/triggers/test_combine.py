from __future__ import annotations

import pickle
import time
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiosched import triggers
from aiosched.errors import InvalidTrigger
from aiosched.moments import from_us, to_us
from aiosched.triggers import (
    After,
    BaseTrigger,
    Between,
    Cron,
    Daily,
    Dates,
    Difference,
    Every,
    Once,
    RandomEvery,
    RRule,
    Union,
)
from tests.effort import examples

BERLIN = "Europe/Berlin"
NOON = datetime(2026, 5, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TOKYO = timezone(timedelta(hours=9))


def following(trigger: BaseTrigger, begin: datetime = NOON, count: int = 4) -> list[str]:
    found = islice(trigger.upcoming(to_us(begin)), count)
    return [from_us(us).strftime("%d %H:%M") for us in found]


class Hourly:
    """A user's trigger: the least there can be."""

    def next_after(self, moment):
        return moment.astimezone(TOKYO).replace(minute=0, second=0, microsecond=0) + HOUR

    def __eq__(self, other):
        return isinstance(other, Hourly)

    def __hash__(self):
        return 1

    def __repr__(self):
        return "Hourly()"


class Named(Hourly):
    """A user's trigger that wants to know its job's name."""

    name = None

    def bind(self, *, name, tz):
        bound = Named()
        bound.name = name
        return bound

    def next_after(self, moment):
        if self.name is None:
            raise LookupError("not bound")
        return super().next_after(moment)


def test_a_union_has_the_occurrences_of_all():
    union = Daily(at="13:00") | Daily(at="14:00") | Once(NOON + HOUR / 2)
    assert following(union) == ["05 12:30", "05 13:00", "05 14:00", "06 13:00"]


def test_a_moment_that_two_name_is_one_occurrence():
    union = Daily(at=["13:00", "14:00"]) | Cron("0 13 * * *")
    assert following(union, count=3) == ["05 13:00", "05 14:00", "06 13:00"]


def test_a_union_of_nothing_is_refused():
    with pytest.raises(InvalidTrigger, match="triggers must name at least one"):
        Union()


def test_a_union_ends_with_its_last():
    union = Once(NOON + HOUR) | Once(NOON + 2 * HOUR)
    assert following(union) == ["05 13:00", "05 14:00"]


def test_unions_of_unions_are_flat():
    one, two, three = Daily(), Cron("0 5 * * *"), Once(NOON)
    assert (one | two) | three == one | (two | three) == Union(one, two, three)


def test_a_union_shows_its_moments_in_the_first_zone():
    union = Daily(tz="Asia/Tokyo") | Daily(tz="Europe/Berlin")
    assert union.next_after(NOON).isoformat() == "2026-05-06T00:00:00+09:00"


def test_a_difference_leaves_out_the_occurrences_of_the_other():
    difference = Cron("0 * * * *") - Cron("0 13,15 * * *")
    assert following(difference) == ["05 14:00", "05 16:00", "05 17:00", "05 18:00"]


def test_a_difference_compares_moments_not_wall_times():
    difference = Daily(at=["12:00", "21:00"]) - Daily(at="21:00", tz="Asia/Tokyo")
    assert following(difference, NOON - HOUR, 2) == ["05 21:00", "06 21:00"]


def test_a_difference_can_take_a_union_away():
    difference = Cron("0 * * * *") - (Daily(at="13:00") | Dates("2026-05-06") | Daily(at="14:00"))
    assert following(difference, count=2) == ["05 15:00", "05 16:00"]
    assert following(difference, NOON + 11 * HOUR, 1) == ["07 00:00"]


def test_days_taken_away_are_those_of_the_triggers_zone():
    difference = Cron("0 */6 * * *", tz="Asia/Tokyo") - Dates("2026-05-06")
    assert following(difference, NOON, 2) == ["06 15:00", "06 21:00"]  # midnight of the 7th there


def test_days_with_a_zone_are_those_of_that_zone():
    difference = Cron("0 */6 * * *") - Dates("2026-05-06", tz="Asia/Tokyo")
    assert following(difference, NOON - HOUR, 3) == ["05 12:00", "06 18:00", "07 00:00"]


def test_days_are_those_of_the_scheduler_once_a_trigger_without_zone_is_bound():
    difference = (Cron("0 */6 * * *") - Dates("2026-05-06")).bind(name="job", tz=TOKYO)
    assert following(difference, NOON, 2) == ["06 15:00", "06 21:00"]


def test_days_stay_those_of_the_triggers_own_zone_when_bound():
    difference = Cron("0 */6 * * *", tz=TOKYO) - (Dates("2026-05-06") | Dates("2026-05-07"))
    bound = difference.bind(name="job", tz=timezone(timedelta(hours=-10)))
    assert following(bound, NOON, 2) == following(difference, NOON, 2) == ["07 15:00", "07 21:00"]


def test_days_of_a_union_are_those_of_the_part_that_names_the_moment():
    union = Daily(at="23:00", tz="Asia/Tokyo") | Daily(at="23:00", tz="UTC")
    assert following(union - Dates("2026-05-06"), NOON, 3) == ["05 14:00", "05 23:00", "07 14:00"]


def test_days_taken_from_what_is_left_are_those_of_its_zone():
    difference = Cron("0 */6 * * *", tz="Asia/Tokyo") - Daily(at="21:00") - Dates("2026-05-06")
    assert following(difference.between(), NOON, 1) == ["06 15:00"]


def test_days_with_a_change_are_left_out_whole():
    difference = Cron("*/30 * * * *", tz="Europe/Berlin") - Dates("2026-03-29", "2026-10-25")
    for day, begin in [
        (29, datetime(2026, 3, 28, 20, tzinfo=UTC)),
        (25, datetime(2026, 10, 24, 20, tzinfo=UTC)),
    ]:
        found = [
            each.astimezone(difference.zone)
            for each in map(from_us, islice(difference.upcoming(to_us(begin)), 20))
        ]
        assert {each.day for each in found} == {day - 1, day + 1}


def test_between_includes_both_bounds():
    between = Cron("0 * * * *").between(NOON + HOUR, NOON + 3 * HOUR)
    assert following(between, NOON - HOUR) == ["05 13:00", "05 14:00", "05 15:00"]


def test_between_may_be_open_on_either_side():
    assert following(Cron("0 * * * *").between(NOON + HOUR), count=1) == ["05 13:00"]
    assert following(Cron("0 * * * *").between(end=NOON + HOUR)) == ["05 13:00"]
    assert following(Cron("0 * * * *").between(), count=2) == ["05 13:00", "05 14:00"]


def test_an_interval_counts_from_the_start_of_its_bounds():
    between = Every(minutes=50).between(NOON + timedelta(minutes=7), NOON + 2 * HOUR)
    assert following(between) == ["05 12:07", "05 12:57", "05 13:47"]
    assert between.anchored(0) is between


def test_an_interval_among_others_counts_from_the_epoch_unless_it_is_anchored():
    union = Every(hours=5) | Once(NOON)
    assert not union.elapsed
    assert following(union, count=2) == ["05 13:00", "05 18:00"]
    anchored = union.anchored(to_us(NOON))
    assert following(anchored, count=2) == ["05 17:00", "05 22:00"]
    assert anchored == Every(hours=5, anchor=NOON) | Once(NOON)


def test_anchoring_reaches_every_part():
    nested = (Every(hours=5).between(end=NOON + 20 * HOUR) - Every(hours=15)).anchored(to_us(NOON))
    assert following(nested) == ["05 17:00", "05 22:00", "06 08:00"]


def test_anchoring_what_has_no_interval_changes_nothing():
    for combined in [Daily() | Once(NOON), Daily() - Once(NOON), Daily().between(end=NOON)]:
        assert combined.anchored(0) is combined


def test_binding_reaches_every_part():
    nested = (Cron("H 5 * * *") | RandomEvery("1h", "2h")) - Cron("H 6 * * *").between(end=NOON)
    with pytest.raises(InvalidTrigger):
        nested.next_after(NOON)
    bound = nested.bind(name="job", tz=TOKYO)
    assert bound.next_after(NOON).tzinfo is TOKYO
    assert pickle.loads(pickle.dumps(bound)) == bound


def test_binding_changes_nothing_where_it_changes_no_part():
    for combined in [
        Daily() | Once(NOON),
        Daily() - Dates("2026-01-01"),
        Daily().between(end=NOON),
    ]:
        assert combined.bind(name="job", tz=UTC) is combined


def test_a_delay_stands_alone():
    for combine in [
        lambda: Daily() | After(90),
        lambda: After(90) - Daily(),
        lambda: After(90).between(NOON),
    ]:
        with pytest.raises(InvalidTrigger, match=r"After\('90s'\) must stand alone"):
            combine()


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (Cron("0 * * * *"), Cron("0 * * * *")),
        (Cron("0 * * * *"), Cron("* * * * *")),
        (Daily(), Every(minutes=1)),
        (Daily(), Daily() | Once(NOON)),
        (Every(days=1), Daily()),
        (Once(NOON), Once(NOON)),
        (Hourly(), Hourly() | Daily()),
    ],
)
def test_a_difference_that_leaves_nothing_is_refused_in_time(left, right):
    begin = time.perf_counter()
    with pytest.raises(InvalidTrigger, match="must leave something"):
        left - right
    assert time.perf_counter() - begin < 20


def test_a_difference_that_cannot_be_asked_yet_is_not_refused():
    assert isinstance(Cron("H * * * *") - Daily(), Difference)
    bound = (Cron("H * * * *") - Cron("H H * * *")).bind(name="job", tz=UTC)
    assert bound.next_after(NOON) is not None


def test_a_difference_that_leaves_nothing_once_bound_is_refused_then():
    difference = Cron("H 5 * * *") - Cron("0-59 5 * * *")
    with pytest.raises(InvalidTrigger, match="must leave something"):
        difference.bind(name="job", tz=UTC)


class Secondly:
    """A user's trigger of every whole second, of which nothing is known beforehand."""

    def next_after(self, moment: datetime) -> datetime:
        return moment.replace(microsecond=0) + timedelta(seconds=1)


def test_a_difference_of_very_many_is_given_up_aloud(monkeypatch):
    monkeypatch.setattr("aiosched.triggers.combine._MOST", 1_000)
    monkeypatch.setattr("aiosched.triggers.combine._MOST_TRIED", 100)
    difference = Every(seconds=1) - Secondly()
    with pytest.raises(InvalidTrigger, match="was given up: 1,000 moments in a row are taken away"):
        difference.next_after(NOON)


def until(year: int, month: int = 1, day: int = 1, **time_of_day: int) -> datetime:
    return datetime(year, month, day, tzinfo=UTC) + timedelta(**time_of_day)


@pytest.mark.parametrize(
    ("difference", "asked", "expected"),
    [
        (
            lambda: Cron("0 * * * *") - Cron("0 0 * * * * 2027-2040"),
            until(2026, 12, 31, hours=23),
            until(2041),
        ),
        (
            lambda: Cron("0 * * * *", tz=BERLIN) - Cron("0 0 * * * * 2027-2040", tz=BERLIN),
            until(2026, 12, 31, hours=22),
            until(2040, 12, 31, hours=23),
        ),
        (
            lambda: Cron("0 5 * * *") - Cron("0 */5 5 * * * 2020-2090"),
            until(2025),
            None,
        ),
        (
            lambda: Every(minutes=1) - Every(minutes=1).between(until(2027), until(2029)),
            until(2026, 12, 31, hours=23, minutes=59),
            until(2029, minutes=1),
        ),
        (
            lambda: Every(seconds=10) - Every(seconds=1).between(until(2026, 3), until(2027, 5)),
            until(2026, 2, 28, hours=23, minutes=59, seconds=50),
            until(2027, 5, seconds=10),
        ),
        (
            lambda: Every(hours=1) - Every(hours=1).between(until(2020), until(2032)),
            until(2026),
            until(2032, hours=1),
        ),
        (
            lambda: Cron("* * * * *") - Cron("0 * * * * * 2026-2030"),
            until(2026),
            until(2031),
        ),
        (
            lambda: (Cron("0 * * * *") | Cron("30 * * * *")) - Cron("0 0,30 * * * * 2026-2090"),
            until(2090, 12, 31),
            until(2091),
        ),
    ],
)
def test_what_is_left_behind_a_long_time_is_found_at_once(difference, asked, expected):
    begin = time.perf_counter()
    found = difference().next_after(asked)
    if expected is None:
        expected = until(2091, hours=5)
    assert found == expected
    assert time.perf_counter() - begin < 5


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (Cron("* * * * * *"), Cron("* * * * * * *")),
        (Cron("* * * * * *"), Cron("* * * * * *", tz="Asia/Tokyo")),
        (Every(seconds=1), Every(milliseconds=500)),
        (Every(milliseconds=2), Every(milliseconds=1)),
        (Every(timedelta(microseconds=1), anchor=NOON), Every(timedelta(microseconds=1))),
        (Cron("* * * * *"), Cron("0 * * * * *")),
        (Cron("5 * * * *") | Cron("10 * * * *"), Cron("*/5 * * * *")),
        (Cron("5 * * * *").between(NOON), Cron("*/5 * * * *")),
        (Cron("*/5 * * * *") - Daily(), Cron("*/5 * * * *")),
        (Daily(at="10:30"), Cron("* * * * * *")),
    ],
)
def test_what_is_known_to_leave_nothing_is_refused_at_once(left, right):
    begin = time.perf_counter()
    with pytest.raises(InvalidTrigger, match="must leave something"):
        left - right
    assert time.perf_counter() - begin < 5


@given(
    left=st.sampled_from(
        [
            Cron("*/10 * * * *"),
            Cron("0 3 * * *", tz=BERLIN),
            Cron("30 2 * * *", tz=BERLIN),
            Cron("0 0 * * MON"),
            Cron("0 0 1 * *"),
            Every(minutes=10),
            Every(hours=1, anchor=NOON),
            Daily(at=["02:30", "03:00"], tz=BERLIN),
        ]
    ),
    right=st.sampled_from(
        [
            Cron("* * * * *"),
            Cron("*/5 * * * *"),
            Cron("0,30 2-3 * * *", tz=BERLIN),
            Cron("0 0 * * *"),
            Cron("* * * * * *"),
            Every(minutes=5),
            Every(minutes=10, anchor=NOON),
            Daily(at="03:00", tz=BERLIN),
        ]
    ),
    us=st.integers(to_us(until(2026, 3, 25)), to_us(until(2026, 11))),
)
@settings(max_examples=examples(300))
def test_what_is_said_to_be_covered_is(left, right, us):
    if left.within(right):
        left, right = left.anchored(0), right.anchored(0)
        for _ in range(200):
            us = left.next_us(us)
            assert right.next_us(us - 1) == us


def test_a_search_in_vain_ends_with_none():
    difference = Cron("* * * * *").between(end=NOON) | Daily()
    only_before = difference - Every(minutes=1, anchor=NOON).between(NOON)
    assert only_before.next_after(NOON - HOUR) == NOON - HOUR + timedelta(minutes=1)
    assert only_before.next_after(NOON) is None


def test_a_weekend_of_seconds_is_left_out():
    difference = Cron("* * * * * *") - Cron("* * * * * SAT,SUN")
    friday = datetime(2026, 5, 8, 23, 59, 59, tzinfo=UTC)
    assert difference.next_after(friday) == datetime(2026, 5, 11, tzinfo=UTC)


def test_an_end_is_an_end_and_no_search_in_vain():
    difference = Once(NOON, NOON + HOUR) - Once(NOON + HOUR)
    assert following(difference, NOON - HOUR) == ["05 12:00"]


def test_a_users_trigger_can_be_combined_from_either_side():
    assert following(Hourly() | Daily(at="12:30"), count=2) == ["05 12:30", "05 13:00"]
    assert following(Daily(at="12:30") | Hourly(), count=2) == ["05 12:30", "05 13:00"]
    assert following(Hourly() - Daily(at="13:00"), count=2) == ["05 14:00", "05 15:00"]
    assert following(Daily(at=["12:30", "13:00"]) - Hourly(), count=2) == ["05 12:30", "06 12:30"]
    assert following(Between(Hourly(), end=NOON + HOUR)) == ["05 13:00"]


def test_days_taken_from_a_users_trigger_are_those_of_its_datetimes():
    difference = Hourly() - Dates("2026-05-05")
    assert following(difference, NOON, 1) == ["05 15:00"]  # midnight in Tokyo


def test_a_users_trigger_is_bound_if_it_wants_to_be():
    union = Named() | Daily()
    with pytest.raises(LookupError):
        union.next_after(NOON)
    assert union.bind(name="job", tz=UTC).next_after(NOON) == NOON + HOUR
    plain = Hourly() | Daily()
    assert plain.bind(name="job", tz=UTC) is plain


def test_a_users_trigger_that_does_not_advance_is_named():
    class Stuck(Hourly):
        def next_after(self, moment):
            return moment

    with pytest.raises(ValueError, match=r"Hourly\(\) must give a later moment than 2026-05-05 12"):
        (Stuck() | Daily()).next_after(NOON)


@pytest.mark.parametrize("other", [None, 5, "0 * * * *", Once, {NOON}])
def test_what_is_no_trigger_cannot_be_combined(other):
    with pytest.raises(TypeError):
        Daily() | other
    with pytest.raises(TypeError):
        other | Daily()
    with pytest.raises(TypeError):
        Daily() - other
    with pytest.raises(TypeError):
        other - Daily()


@pytest.mark.parametrize(
    ("bounds", "complaint"),
    [
        ((NOON.replace(tzinfo=None),), "start must be aware"),
        ((None, "soon"), "end must be an aware datetime, got 'soon'"),
        ((NOON, NOON - HOUR), "end must not lie before start="),
    ],
)
def test_a_wrong_bound_is_named(bounds, complaint):
    with pytest.raises(InvalidTrigger, match=complaint):
        Daily().between(*bounds)


COMBINED = [
    Daily() | Cron("0 5 * * *") | Once(NOON),
    Daily() - Cron("0 0 1 * *"),
    (Daily() | Every(hours=7)) - (Once(NOON) | Dates("2026-01-01")) - Once(NOON + HOUR),
    Daily().between(NOON, NOON + HOUR),
    (Daily() - Once(NOON)).between(end=NOON),
    Daily() | (Cron("0 5 * * *") - Once(NOON)),
    RRule("FREQ=DAILY;BYHOUR=5") | Daily(),
]


@pytest.mark.parametrize("value", COMBINED, ids=repr)
def test_its_repr_makes_an_equal_value(value):
    import datetime as dt

    assert eval(repr(value), vars(triggers) | {"datetime": dt}) == value


@pytest.mark.parametrize("value", COMBINED, ids=repr)
def test_it_is_a_value(value):
    again = pickle.loads(pickle.dumps(value))
    assert again == value
    assert hash(again) == hash(value)
    assert value != Daily()


def test_a_users_trigger_is_shown_as_it_shows_itself():
    assert repr(Hourly() | Daily()) == "Hourly() | Daily(at='00:00')"
    assert (Hourly() | Daily()) == (Hourly() | Daily())


PARTS = st.sampled_from(
    [
        Cron("*/7 * * * *"),
        Cron("5 */3 * * *", tz="Europe/Berlin"),
        Daily(at=["03:00", "11:08"]),
        Every(minutes=25),
        Once(NOON, NOON + timedelta(minutes=14)),
        RandomEvery("5m", "40m", seed=1),
    ]
)


@given(left=PARTS, right=PARTS, asked=st.integers(-400, 400))
def test_combinations_are_those_of_sets(left, right, asked):
    begin, end = to_us(NOON) + asked * 60_000_000, to_us(NOON) + (asked + 600) * 60_000_000

    def moments(trigger: BaseTrigger) -> set[int]:
        found = islice(trigger.anchored(0).upcoming(begin), 700)
        return {us for us in found if us <= end}

    assert moments(left | right) == moments(left) | moments(right)
    if left != right:
        assert moments(left - right) == moments(left) - moments(right)
    middle = (begin + end) // 2
    bounded = left.anchored(0).between(from_us(begin), from_us(middle))
    assert moments(bounded) == {us for us in moments(left) if us <= middle}
