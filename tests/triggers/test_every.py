from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiosched.errors import InvalidTrigger
from aiosched.moments import from_us, to_us
from aiosched.triggers import After, Every, Once

NOON = datetime(2026, 5, 5, 12, tzinfo=UTC)
TOKYO = timezone(timedelta(hours=9))


def test_an_interval_without_anchor_counts_from_the_moment_asked():
    assert Every(minutes=5).next_after(NOON) == NOON + timedelta(minutes=5)


def test_an_anchor_fixes_the_phase():
    every = Every(minutes=10, anchor=NOON + timedelta(minutes=3))
    assert every.next_after(NOON) == NOON + timedelta(minutes=3)


def test_an_anchored_interval_has_occurrences_before_its_anchor():
    every = Every(hours=1, anchor=datetime(2030, 1, 1, 0, 7, tzinfo=UTC))
    assert every.next_after(NOON) == NOON + timedelta(minutes=7)


def test_an_occurrence_itself_is_followed_by_the_next():
    every = Every(hours=1, anchor=NOON)
    assert every.next_after(NOON) == NOON + timedelta(hours=1)


@pytest.mark.parametrize(
    ("every", "seconds"),
    [
        (Every(90), 90),
        (Every(0.25), 0.25),
        (Every("1h30m"), 5400),
        (Every(timedelta(days=2)), 172_800),
        (Every(weeks=1), 604_800),
        (Every(days=1, hours=2, minutes=3, seconds=4, milliseconds=5), 93_784.005),
        (Every(hours=0.5), 1800),
    ],
)
def test_an_interval_may_be_written_in_many_ways(every, seconds):
    assert every.gap(0) == every.gap(7) == every.interval_us == round(seconds * 1_000_000)


def test_only_an_interval_without_anchor_is_elapsed():
    assert Every(seconds=1).elapsed
    assert not Every(seconds=1, anchor=NOON).elapsed


def test_anchoring_gives_the_same_interval_with_that_phase():
    assert Every(minutes=7).anchored(to_us(NOON)) == Every(minutes=7, anchor=NOON)


def test_an_anchor_can_be_read():
    assert Every(minutes=7, anchor=NOON.astimezone(TOKYO)).anchor == NOON
    assert Every(minutes=7).anchor is None


def test_anchoring_leaves_an_anchor_alone():
    every = Every(minutes=7, anchor=NOON)
    assert every.anchored(0) is every


def test_the_same_interval_is_equal_however_it_was_written():
    assert Every("90s") == Every(minutes=1.5)
    assert hash(Every("90s")) == hash(Every(minutes=1.5))
    assert Every(seconds=90) != Every(seconds=90, anchor=NOON)
    assert Every(seconds=90) != "90s"


def test_equal_intervals_share_their_integer():
    assert Every(seconds=61).interval_us is Every(seconds=61).interval_us


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (Every(90), "Every(seconds=90)"),
        (Every("2h"), "Every(hours=2)"),
        (Every(milliseconds=1.5), "Every('1500us')"),
    ],
)
def test_it_is_shown_in_the_largest_unit(made, shown):
    assert repr(made) == shown


def test_there_is_nothing_after_the_year_9999():
    last = datetime.max.replace(tzinfo=UTC)
    assert Every(seconds=1).next_after(last) is None
    assert Every(days=1, anchor=NOON).next_after(last) is None


def test_its_datetimes_are_in_the_schedulers_zone_once_bound():
    bound = Every(hours=1).bind(name="job", tz=TOKYO)
    assert bound.next_after(NOON).tzinfo is TOKYO
    assert bound.anchored(0).next_after(NOON).tzinfo is TOKYO


def test_binding_to_utc_changes_nothing():
    every = Every(hours=1)
    bound = every.bind(name="job", tz=UTC)
    assert (bound, bound.zone) == (every, every.zone)


def test_equal_intervals_are_one_when_bound():
    zone = ZoneInfo("Asia/Kathmandu")
    first, second = (Every(hours=1).bind(name=name, tz=zone) for name in "ab")
    assert first is second
    assert Every(minutes=1).bind(name="c", tz=zone) is not first
    assert Every(hours=1, anchor=NOON).bind(name="c", tz=zone) is not first


def test_equal_intervals_are_one():
    assert Every(seconds=90) is Every(minutes=1.5)
    assert Every("90s") is Every(seconds=90)
    assert Every(seconds=90) is not Every(seconds=91)
    assert Every(seconds=90, anchor=NOON) is not Every(seconds=90)


def test_an_interval_that_was_pickled_is_that_one_again():
    for zone in (UTC, ZoneInfo("Asia/Kathmandu")):
        bound = Every(seconds=90).bind(name="job", tz=zone)
        again = pickle.loads(pickle.dumps(bound))
        assert (again, again.zone) == (bound, zone)
    assert Every(seconds=90).zone is UTC


def test_it_cannot_be_subclassed():
    with pytest.raises(TypeError, match=r"Every .* cannot be the base of Own: write a function"):

        class Own(Every):
            pass


def test_a_zone_that_equals_another_keeps_its_name():
    gmt = timezone(timedelta(0), "GMT")
    bound = Every(hours=1).bind(name="job", tz=gmt)
    assert bound.next_after(NOON).tzname() == "GMT"
    assert copy.deepcopy(bound).next_after(NOON).tzname() == "GMT"
    assert Every(hours=1).next_after(NOON).tzname() == "UTC"


def test_parts_beside_an_interval_are_refused_whatever_they_are():
    for parts in ({"seconds": 5}, {"seconds": None}, {"days": False, "hours": ""}):
        with pytest.raises(InvalidTrigger, match="interval must be given once, got '5s' and "):
            Every("5s", **parts)


@pytest.mark.parametrize(
    "interval", [timedelta(days=200_000, microseconds=1), timedelta.max, timedelta(microseconds=1)]
)
def test_a_long_interval_is_itself_again(interval):
    every = Every(interval)
    assert every.interval_us == interval // timedelta(microseconds=1)
    for again in (pickle.loads(pickle.dumps(every)), eval(repr(every), {"Every": Every})):
        assert again.interval_us == every.interval_us


@pytest.mark.parametrize("hours", [-14, -5, 0, 14])
def test_on_the_first_day_that_there_is_the_next_one_is_found(hours):
    zone = timezone(timedelta(hours=hours))
    bound = Every(hours=1, anchor=NOON).bind(name="job", tz=zone)
    first = bound.next_after(datetime.min.replace(tzinfo=timezone(timedelta(hours=14))))
    assert first.year == 1
    assert bound.next_after(datetime.max.replace(tzinfo=timezone(timedelta(hours=-14)))) is None


def test_a_number_that_equals_a_bool_does_not_let_the_bool_in():
    Every(seconds=1)
    with pytest.raises(InvalidTrigger, match=r"seconds must be .*, got True"):
        Every(seconds=True)


def test_it_is_bound_to_zones_that_cannot_be_hashed():
    class Unhashable(tzinfo):
        __hash__ = None

    zone = Unhashable()
    assert Every(hours=1).bind(name="job", tz=zone).zone is zone


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({}, "interval must be positive, got nothing but 0"),
        ({"seconds": 0}, "interval must be positive"),
        ({"seconds": -1}, "seconds must be a number, finite and not negative, got -1"),
        ({"minutes": float("nan")}, "minutes must be .*, got nan"),
        ({"hours": float("inf")}, "hours must be .*, got inf"),
        ({"seconds": True}, "seconds must be .*, got True"),
        ({"seconds": "5"}, "seconds must be .*, got '5'"),
        ({"days": [1]}, r"days must be .*, got \[1\]"),
        ({"weeks": 10**12}, "weeks must be less than a billion days, got 1000000000000"),
        ({"milliseconds": 1e-5}, "interval must be positive, got milliseconds=1e-05"),
        ({"seconds": 1, "anchor": NOON.replace(tzinfo=None)}, "anchor must be aware"),
        ({"seconds": 1, "anchor": "now"}, "anchor must be an aware datetime, got 'now'"),
    ],
)
def test_a_wrong_argument_is_named(arguments, complaint):
    with pytest.raises(InvalidTrigger, match=complaint):
        Every(**arguments)


@pytest.mark.parametrize("interval", [0, -1, "0s", "soon", timedelta(0), True, [1], b"1s"])
def test_a_wrong_interval_is_named(interval):
    with pytest.raises(InvalidTrigger, match="interval must"):
        Every(interval)


def test_an_interval_is_given_once():
    with pytest.raises(InvalidTrigger, match="given once, got 5 and seconds=1"):
        Every(5, seconds=1)


def test_an_unknown_keyword_is_a_type_error():
    with pytest.raises(TypeError):
        Every(fortnights=1)


@given(
    interval=st.integers(1, 10**15),
    anchor=st.integers(-(10**16), 10**16),
    asked=st.integers(-(10**16), 10**16),
)
def test_an_anchored_interval_keeps_to_its_grid(interval, anchor, asked):
    every = Every(timedelta(microseconds=interval), anchor=from_us(anchor))
    found = every.next_us(asked)
    assert found > asked
    assert (found - anchor) % interval == 0
    assert found - asked <= interval


def test_a_delay_has_one_occurrence():
    after = After("90s")
    assert after.elapsed
    assert [after.gap(index) for index in range(3)] == [90_000_000, None, None]


def test_a_delay_asked_as_a_pure_trigger_counts_from_the_moment():
    assert After(90).next_after(NOON) == NOON + timedelta(seconds=90)
    assert After(0).next_us(5) == 6
    assert After(90).next_after(datetime.max.replace(tzinfo=UTC)) is None


def test_a_delay_becomes_a_moment_once_the_start_is_known():
    assert After(90).anchored(to_us(NOON)) == Once(NOON + timedelta(seconds=90))


def test_a_delay_is_not_negative():
    with pytest.raises(InvalidTrigger, match="after must be at least 0 s, got -1"):
        After(-1)


def test_a_delay_is_shown_as_text():
    assert repr(After(90)) == "After('90s')"
    assert repr(After(0)) == "After('0d')"
