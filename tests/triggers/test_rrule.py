from __future__ import annotations

import pickle
import time
from datetime import UTC, date, datetime, timedelta, timezone
from itertools import islice, takewhile

import pytest
from dateutil.rrule import rrulestr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from aiosched.errors import InvalidTrigger
from aiosched.moments import from_us, to_us
from aiosched.triggers import RRule
from tests.effort import examples
from tests.triggers import oracle

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
NEW_YORK = "America/New_York"


def following(trigger: RRule, begin: datetime = NEW_YEAR, count: int = 3) -> list[str]:
    found = islice(trigger.upcoming(to_us(begin)), count)
    return [from_us(us, trigger.zone).strftime("%Y-%m-%d %H:%M") for us in found]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("FREQ=MONTHLY;BYDAY=-1FR", ["2026-01-30 00:00", "2026-02-27 00:00", "2026-03-27 00:00"]),
        ("RRULE:FREQ=DAILY;BYHOUR=9", ["2026-01-01 09:00", "2026-01-02 09:00", "2026-01-03 09:00"]),
        ("freq=weekly;byday=mo,fr;", ["2026-01-02 00:00", "2026-01-05 00:00", "2026-01-09 00:00"]),
        ("FREQ=YEARLY;BYEASTER=0", ["2026-04-05 00:00", "2027-03-28 00:00", "2028-04-16 00:00"]),
        (
            "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
            ["2026-05-11 00:00", "2027-05-17 00:00", "2028-05-15 00:00"],
        ),
        ("FREQ=HOURLY;INTERVAL=7", ["2026-01-01 07:00", "2026-01-01 14:00", "2026-01-01 21:00"]),
        (
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
            ["2026-01-30 00:00", "2026-02-27 00:00", "2026-03-31 00:00"],
        ),
        (
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
            ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"],
        ),
    ],
)
def test_a_rule_names_its_times(rule, expected):
    assert following(RRule(rule)) == expected


def test_the_start_gives_what_the_rule_leaves_open():
    rule = RRule("FREQ=MONTHLY", start=datetime.fromisoformat("2025-11-17T08:30"))
    assert following(rule, count=2) == ["2026-01-17 08:30", "2026-02-17 08:30"]


def test_nothing_recurs_before_the_start():
    rule = RRule("FREQ=DAILY", start=date(2026, 2, 1))
    assert following(rule, count=1) == ["2026-02-01 00:00"]


def test_the_start_is_a_wall_time_of_the_zone():
    rule = RRule("FREQ=DAILY", start=datetime.fromisoformat("2026-01-01T09:00"), tz="Asia/Tokyo")
    assert rule.next_after(NEW_YEAR - timedelta(1)) == NEW_YEAR


def test_an_aware_start_brings_its_zone():
    tokyo = timezone(timedelta(hours=9))
    rule = RRule("FREQ=DAILY", start=datetime(2026, 1, 1, 9, tzinfo=tokyo))
    assert rule.zone == tokyo
    assert following(rule, count=1) == ["2026-01-02 09:00"]


def test_an_aware_start_is_read_on_the_wall_of_a_zone_that_is_given():
    rule = RRule("FREQ=DAILY", start=datetime(2026, 1, 1, 9, tzinfo=UTC), tz="Asia/Tokyo")
    assert rule.start == datetime.fromisoformat("2026-01-01T18:00")


def test_a_count_counts_from_the_start():
    rule = RRule("FREQ=DAILY;COUNT=3", start=date(2025, 12, 31))
    assert following(rule) == ["2026-01-02 00:00"]
    assert following(rule, NEW_YEAR - timedelta(days=90), 5)[0] == "2025-12-31 00:00"


def test_an_end_is_included():
    assert following(RRule("FREQ=DAILY;UNTIL=20260103")) == ["2026-01-02 00:00", "2026-01-03 00:00"]
    later = RRule(
        "FREQ=DAILY;UNTIL=20260103T090000", start=datetime.fromisoformat("2026-01-01T09:00")
    )
    assert following(later, count=5)[-1] == "2026-01-03 09:00"


def test_an_end_in_utc_is_an_instant():
    rule = RRule("FREQ=DAILY;UNTIL=20260102T150000Z", tz="Asia/Tokyo")
    assert following(rule) == ["2026-01-02 00:00", "2026-01-03 00:00"]
    assert following(RRule("FREQ=DAILY;UNTIL=20260102T145959Z", tz="Asia/Tokyo")) == [
        "2026-01-02 00:00"
    ]


def test_a_time_in_a_gap_fires_once_after_it():
    rule = RRule("FREQ=DAILY;BYHOUR=2;BYMINUTE=10,50", tz=NEW_YORK)
    found = rule.next_after(datetime(2026, 3, 8, 6, tzinfo=UTC))
    assert found.isoformat() == "2026-03-08T03:00:00-04:00"
    assert rule.next_after(found).isoformat() == "2026-03-09T02:10:00-04:00"


def test_a_repeated_time_fires_once_unless_told():
    begin = datetime(2026, 11, 1, 4, tzinfo=UTC)
    assert (
        len(following(RRule("FREQ=DAILY;BYHOUR=1;UNTIL=20261101T235959", tz=NEW_YORK), begin)) == 1
    )
    both = RRule("FREQ=DAILY;BYHOUR=1;UNTIL=20261101T235959", tz=NEW_YORK, dst="both")
    assert len(following(both, begin)) == 2


@pytest.mark.parametrize(
    "rule", ["FREQ=HOURLY", "FREQ=MINUTELY;BYMINUTE=0", "FREQ=MINUTELY;INTERVAL=60"]
)
def test_a_rule_that_leaves_the_hour_open_follows_elapsed_time(rule):
    found = islice(
        RRule(rule, tz=NEW_YORK).upcoming(to_us(datetime(2026, 11, 1, 4, tzinfo=UTC))), 3
    )
    assert [from_us(us).hour for us in found] == [5, 6, 7]


def test_a_rule_that_names_hours_is_fixed():
    rule = RRule("FREQ=HOURLY;BYHOUR=0,1,2", tz=NEW_YORK)
    found = islice(rule.upcoming(to_us(datetime(2026, 11, 1, 4, tzinfo=UTC))), 2)
    assert [from_us(us).hour for us in found] == [5, 7]


def test_a_rule_of_minutes_that_leaves_them_open_is_no_fixed_time():
    found = RRule("FREQ=MINUTELY;BYHOUR=2", tz=NEW_YORK).next_after(
        datetime(2026, 3, 8, 6, tzinfo=UTC)
    )
    assert found.isoformat() == "2026-03-09T02:00:00-04:00"


def test_a_rule_from_a_leap_day_stays_on_leap_days():
    rule = RRule("FREQ=YEARLY", start=date(2020, 2, 29))
    assert following(rule, datetime(2022, 6, 1, tzinfo=UTC), 1) == ["2024-02-29 00:00"]
    odd = RRule("FREQ=YEARLY;INTERVAL=3", start=date(2020, 2, 29))
    assert following(odd, datetime(2060, 1, 1, tzinfo=UTC), 1) == ["2068-02-29 00:00"]
    assert following(rule, datetime(2093, 1, 1, tzinfo=UTC), 1) == ["2096-02-29 00:00"]
    assert following(rule, datetime(2095, 1, 1, tzinfo=UTC), 2) == [
        "2096-02-29 00:00",
        "2104-02-29 00:00",
    ]


def test_binding_gives_the_schedulers_zone():
    zone = oracle.zone_of("Asia/Tokyo")
    assert RRule("FREQ=DAILY").bind(name="job", tz=zone).next_after(NEW_YEAR).hour == 0


def test_it_is_a_value():
    rule = RRule("RRULE:FREQ=DAILY;COUNT=3", start=date(2026, 1, 1), tz="Asia/Tokyo", dst="skip")
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert repr(RRule("FREQ=DAILY")) == "RRule('FREQ=DAILY')"
    assert rule != RRule("FREQ=DAILY;COUNT=3")


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        (None, "look like"),
        ("", "look like"),
        ("daily", "look like"),
        ("DTSTART:20260101\nRRULE:FREQ=DAILY", "look like .*DTSTART is start="),
        ("INTERVAL=2", "have a FREQ from SECONDLY to YEARLY"),
        ("FREQ=OFTEN", "have a FREQ"),
        ("FREQ=DAILY;FREQ=DAILY", "have no part twice"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20260101", "have .* not both COUNT and UNTIL"),
        ("FREQ=DAILY;UNTIL=2026", "have an UNTIL such as"),
        ("FREQ=DAILY;UNTIL=20261301", "have an UNTIL that exists"),
        ("FREQ=DAILY;DTSTART=20260101", "have no DTSTART"),
        ("FREQ=DAILY;INTERVAL=0", "have INTERVAL between 1"),
        ("FREQ=DAILY;INTERVAL=x", "have INTERVAL between 1"),
        ("FREQ=DAILY;COUNT=0", "have COUNT between 1 and 100000"),
        ("FREQ=DAILY;BYMONTH=13", "have BYMONTH between 1 and 12"),
        ("FREQ=DAILY;BYMONTHDAY=0", "have BYMONTHDAY between -31 and 31"),
        ("FREQ=DAILY;BYHOUR=24", "have BYHOUR between 0 and 23"),
        ("FREQ=DAILY;BYDAY=XX", "have weekdays such as MO or -1FR"),
        ("FREQ=MONTHLY;BYDAY=0MO", "have weekdays such as"),
        ("FREQ=MONTHLY;BYDAY=6MO", "have weekdays such as"),
        ("FREQ=WEEKLY;BYDAY=1MO", "not count weekdays with FREQ=WEEKLY"),
        ("FREQ=WEEKLY;WKST=1", "have a weekday for WKST"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "have no BYMONTHDAY with FREQ=WEEKLY"),
        ("FREQ=DAILY;BYYEARDAY=1", "have no BYYEARDAY with FREQ=DAILY"),
        ("FREQ=MONTHLY;BYWEEKNO=1", "have no BYWEEKNO with FREQ=MONTHLY"),
        ("FREQ=DAILY;BYMONTH=2,4;BYMONTHDAY=31", "name a date that exists"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=-30", "name a date that exists"),
        ("FREQ=MINUTELY;BYSETPOS=2", "have a BYSETPOS within the 1 times"),
        ("FREQ=DAILY;BYHOUR=1,2;BYSETPOS=3,-3", "have a BYSETPOS within the 2 times"),
        ("FREQ=WEEKLY;BYDAY=MO,TU;BYSETPOS=3", "have a BYSETPOS within the 2 times"),
        ("FREQ=MONTHLY;BYDAY=MO,1TU", "not have weekdays with and without a number in one BYDAY"),
        ("FREQ=YEARLY;BYDAY=20MO,MO", "not have weekdays with and without a number in one BYDAY"),
        ("FREQ=MONTHLY;BYMONTHDAY=1;BYSETPOS=2", "have a BYSETPOS within the 1 times"),
        ("FREQ=HOURLY;INTERVAL=24;BYHOUR=3", "name a time"),
        ("FREQ=SECONDLY;INTERVAL=86400;BYHOUR=3", "name a time"),
        ("FREQ=DAILY;UNTIL=19690101", "name a time"),
        ("FREQ=YEARLY;INTERVAL=4;BYMONTH=2;BYMONTHDAY=29", "name a time"),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=TU", "name a time"),
        ("FREQ=HOURLY;INTERVAL=7;BYHOUR=3;BYMONTH=1;BYMONTHDAY=1;BYDAY=MO", "name a time"),
    ],
)
def test_a_wrong_rule_is_refused_in_time(rule, complaint):
    begin = time.perf_counter()
    with pytest.raises(InvalidTrigger, match=f"(?s)rule must {complaint}"):
        RRule(rule)
    assert time.perf_counter() - begin < 20


@pytest.mark.parametrize(
    ("start", "complaint"),
    [
        ("2026-01-01", "be a datetime or a date"),
        (NEW_YEAR.replace(microsecond=1), "be a whole second"),
    ],
)
def test_a_wrong_start_is_named(start, complaint):
    with pytest.raises(InvalidTrigger, match=f"start must {complaint}"):
        RRule("FREQ=DAILY", start=start)


def test_what_dateutil_finds_out_late_is_refused():
    with pytest.raises(InvalidTrigger, match="rule must"):
        RRule("FREQ=YEARLY;BYMONTH=1;BYYEARDAY=40")


def test_a_rule_whose_next_time_is_thousands_of_years_ahead_is_found():
    found = RRule("FREQ=DAILY;INTERVAL=1000;BYMONTH=2;BYMONTHDAY=29").next_after(NEW_YEAR)
    assert (found.year, found.month, found.day) == (4820, 2, 29)


NUMBERS = {
    "BYHOUR": st.integers(0, 23),
    "BYMINUTE": st.integers(0, 59),
    "BYSECOND": st.integers(0, 59),
    "BYMONTH": st.integers(1, 12),
    "BYMONTHDAY": st.integers(1, 31) | st.integers(-31, -1),
    "BYYEARDAY": st.integers(1, 366) | st.integers(-366, -1),
    "BYSETPOS": st.integers(1, 3) | st.integers(-3, -1),
}
WEEKDAYS = st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"])
ALLOWED = {
    "SECONDLY": ("BYHOUR", "BYMINUTE", "BYSECOND", "BYMONTH", "BYMONTHDAY", "BYYEARDAY"),
    "MINUTELY": ("BYHOUR", "BYMINUTE", "BYSECOND", "BYMONTH", "BYMONTHDAY", "BYYEARDAY"),
    "HOURLY": ("BYHOUR", "BYMINUTE", "BYSECOND", "BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYSETPOS"),
    "DAILY": ("BYHOUR", "BYMINUTE", "BYMONTH", "BYMONTHDAY", "BYSETPOS"),
    "WEEKLY": ("BYHOUR", "BYMONTH", "BYSETPOS"),
    "MONTHLY": ("BYHOUR", "BYMONTH", "BYMONTHDAY", "BYSETPOS"),
    "YEARLY": ("BYHOUR", "BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYSETPOS"),
}


@st.composite
def rules(draw) -> str:
    freq = draw(st.sampled_from(list(ALLOWED)))
    parts = [f"FREQ={freq}", f"INTERVAL={draw(st.integers(1, 9))}"]
    for name in draw(st.sets(st.sampled_from(ALLOWED[freq]), max_size=3)):
        values = draw(st.sets(NUMBERS[name], min_size=1, max_size=6))
        parts.append(f"{name}={','.join(map(str, sorted(values)))}")
    if draw(st.booleans()):
        parts.append(f"BYDAY={','.join(draw(st.sets(WEEKDAYS, min_size=1, max_size=5)))}")
    if draw(st.booleans()):
        parts.append(f"WKST={draw(WEEKDAYS)}")
    return ";".join(parts)


WALLS = st.integers(315_000_000, 1_890_000_000).map(
    lambda second: from_us(second * 1_000_000).replace(tzinfo=None)
)


@settings(max_examples=examples(200), deadline=None)
@given(rule=rules(), start=WALLS, ahead=st.integers(0, 40_000), count=st.none() | st.integers(1, 9))
def test_it_agrees_with_dateutil_on_the_wall(rule, start, ahead, count):
    """As far as dateutil gets within a few thousand periods of its own."""
    text = rule if count is None else f"{rule};COUNT={count}"
    try:
        trigger = RRule(text, start=start)
    except InvalidTrigger:
        assume(False)
    begin = (
        start
        if count
        else start + timedelta(hours=ahead) * ("MINUTELY" not in rule) * ("SECONDLY" not in rule)
    )
    first = trigger.next_us(to_us(begin.replace(tzinfo=UTC)) - 1)
    assume(first is not None or count)
    assume(first is None or from_us(first).year < start.year + 12)  # dateutil would take minutes
    theirs = rrulestr(text, dtstart=start)
    later = (each for each in theirs if each >= begin)
    expected = [
        to_us(each.replace(tzinfo=UTC)) for each in islice(later, 2 if count is None else 9)
    ]
    found = list(islice(trigger.upcoming(to_us(begin.replace(tzinfo=UTC)) - 1), len(expected)))
    assert found == expected


@settings(max_examples=examples(60), deadline=None)
@given(
    key=st.sampled_from(["America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "Pacific/Apia"]),
    hours=st.sets(st.integers(0, 23), min_size=1, max_size=4),
    minutes=st.sets(st.integers(0, 59), min_size=1, max_size=3),
    dst=st.sampled_from(["vixie", "skip", "both"]),
    data=st.data(),
)
def test_it_meets_changes_as_cron_does(key, hours, minutes, dst, data):
    change = data.draw(st.sampled_from([each for each in oracle.changes(key) if each.year > 1975]))
    around = timedelta(hours=15)
    lists = [",".join(map(str, sorted(each))) for each in (hours, minutes)]
    trigger = RRule(f"FREQ=DAILY;BYHOUR={lists[0]};BYMINUTE={lists[1]}", tz=key, dst=dst)
    watched = oracle.ticks(key, change - around, change + around)
    expected = oracle.occurrences(
        watched,
        lambda shown: shown.hour in hours and shown.minute in minutes,
        wildcard=False,
        dst=dst,
    )
    last = to_us(change + around)
    found = takewhile(lambda us: us <= last, trigger.upcoming(to_us(change - around)))
    assert [from_us(us) for us in found] == expected
