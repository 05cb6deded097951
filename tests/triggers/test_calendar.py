from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice

import pytest

from aiosched.errors import InvalidTrigger
from aiosched.moments import from_us, to_us
from aiosched.triggers import BaseTrigger, Daily, Monthly, Weekly

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)  # a Thursday


def following(trigger: BaseTrigger, begin: datetime = NEW_YEAR, count: int = 3) -> list[str]:
    found = islice(trigger.upcoming(to_us(begin)), count)
    return [from_us(us).strftime("%Y-%m-%d %H:%M:%S") for us in found]


def days(trigger: BaseTrigger, begin: datetime = NEW_YEAR, count: int = 3) -> list[str]:
    return [each[5:10] for each in following(trigger, begin, count)]


def test_a_day_begins_at_midnight_unless_told_otherwise():
    assert following(Daily(), count=2) == ["2026-01-02 00:00:00", "2026-01-03 00:00:00"]


def test_several_times_of_a_day_come_in_order_and_once():
    trigger = Daily(at=["18:30", time(6), "18:30", "06:00:15"])
    assert following(trigger) == [
        "2026-01-01 06:00:00",
        "2026-01-01 06:00:15",
        "2026-01-01 18:30:00",
    ]


def test_a_time_may_have_microseconds():
    found = Daily(at=time(6, 0, 0, 250)).next_after(NEW_YEAR)
    assert found == NEW_YEAR + timedelta(hours=6, microseconds=250)


def test_every_other_day_counts_from_the_epoch():
    assert days(Daily(every=2)) == ["01-03", "01-05", "01-07"]  # New Year is 20,454 days after


def test_an_anchor_moves_the_days_that_count():
    assert days(Daily(every=3, anchor=date(2026, 1, 3))) == ["01-03", "01-06", "01-09"]


def test_days_count_before_the_anchor_too():
    assert days(Daily(every=3, anchor=date(2030, 1, 1))) == ["01-04", "01-07", "01-10"]


def test_weekdays_may_be_named_or_numbered():
    expected = ["01-02", "01-05", "01-09"]
    for on in [("MON", "FRI"), ["monday", "Friday"], {0, 4}, (0, "fri")]:
        assert days(Weekly(on=on)) == expected


def test_a_single_weekday_needs_no_list():
    assert days(Weekly(on="SUN")) == days(Weekly(on=6)) == ["01-04", "01-11", "01-18"]


def test_every_other_week_contains_the_anchor():
    trigger = Weekly(on="MON", every=2, anchor=date(2026, 1, 6))
    begin = datetime(2026, 1, 13, tzinfo=UTC)
    assert trigger.next_after(begin) == datetime(2026, 1, 19, tzinfo=UTC)


def test_every_third_week_counts_either_way_from_the_anchor():
    for anchor in [date(2026, 1, 20), date(2025, 12, 30), date(2026, 3, 23)]:
        assert days(Weekly(on="MON", every=3, anchor=anchor)) == ["01-19", "02-09", "03-02"]


def test_every_other_week_counts_from_that_of_1970_01_05():
    monday = date(2026, 1, 5)
    first = monday if (monday - date(1970, 1, 5)).days // 7 % 2 == 0 else monday + timedelta(7)
    assert days(Weekly(on="MON", every=2), count=1) == [first.strftime("%m-%d")]


def test_the_start_of_the_week_decides_which_sunday_belongs_to_it():
    anchor = date(2026, 1, 7)  # a Wednesday
    from_monday = Weekly(on=["SUN", "MON"], every=2, anchor=anchor)
    from_sunday = Weekly(on=["SUN", "MON"], every=2, anchor=anchor, week_start="SUN")
    assert days(from_monday) == ["01-05", "01-11", "01-19"]
    assert days(from_sunday) == ["01-04", "01-05", "01-18"]


def test_a_weekday_passed_waits_for_the_next_week_that_counts():
    trigger = Weekly(on=["TUE", "THU"], at="12:00", anchor=date(2026, 1, 1), every=3)
    begin = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert following(trigger, begin, 2) == ["2026-01-20 12:00:00", "2026-01-22 12:00:00"]


def test_a_month_without_the_day_is_passed_over():
    assert days(Monthly(on=31), count=4) == ["01-31", "03-31", "05-31", "07-31"]


def test_a_month_without_the_day_may_take_its_last():
    assert days(Monthly(on=[30, 31], missing="clamp"), count=5) == [
        "01-30",
        "01-31",
        "02-28",
        "03-30",
        "03-31",
    ]


def test_days_may_count_from_the_end():
    assert days(Monthly(on=-1)) == ["01-31", "02-28", "03-31"]
    assert days(Monthly(on=-31)) == ["03-01", "05-01", "07-01"]


def test_two_names_of_one_day_fire_once():
    trigger = Monthly(on=[29, -1])
    assert days(trigger, datetime(2024, 2, 1, tzinfo=UTC)) == ["02-29", "03-29", "03-31"]


def test_every_third_month_contains_the_anchor():
    assert days(Monthly(on=1, every=3, anchor=date(2026, 2, 17))) == ["02-01", "05-01", "08-01"]
    assert days(Monthly(on=1, every=3)) == ["04-01", "07-01", "10-01"]


def test_a_leap_day_every_four_years_is_found():
    trigger = Monthly(on=29, every=12, anchor=date(2026, 2, 1))
    assert following(trigger, count=2) == ["2028-02-29 00:00:00", "2032-02-29 00:00:00"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"on": 31, "every": 12, "anchor": date(2026, 4, 1)},
        {"on": [30, 31], "every": 12, "anchor": date(2026, 2, 1)},
        {"on": 29, "every": 48, "anchor": date(2026, 2, 1)},
        {"on": -31, "every": 12, "anchor": date(2026, 11, 1)},
        {"on": 31, "every": 10**9, "anchor": date(2026, 4, 1)},
    ],
)
def test_what_no_month_has_is_refused(arguments):
    with pytest.raises(InvalidTrigger, match="on must name a day of some month that counts"):
        Monthly(**arguments)


def test_a_period_longer_than_the_calendar_ends():
    assert Monthly(on=1, every=10**6, anchor=date(2026, 2, 1)).next_after(NEW_YEAR) is not None
    assert Monthly(on=1, every=10**6, anchor=date(2025, 2, 1)).next_after(NEW_YEAR) is None
    assert Daily(every=10**9).next_after(NEW_YEAR) is None


def test_it_ends_with_the_year_9999():
    last = datetime(9999, 12, 31, tzinfo=UTC)
    for trigger in [Daily(), Weekly(on="MON"), Monthly(on=1)]:
        assert trigger.next_after(last) is None


def test_a_zone_gives_its_wall_times():
    found = Daily(at="09:00", tz="Asia/Tokyo").next_after(NEW_YEAR)
    assert found.isoformat() == "2026-01-02T09:00:00+09:00"


def test_a_date_is_that_of_the_zone():
    found = Monthly(on=1, at="00:30", tz="Asia/Tokyo").next_after(datetime(2026, 1, 31, tzinfo=UTC))
    assert found.astimezone(UTC) == datetime(2026, 1, 31, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "at",
    ["25:00", "10", "10:3", "10:60", "1030", "", [], "10:30:61", 10, 10.5, None, [None], "noon"],
)
def test_a_wrong_time_is_named(at):
    with pytest.raises(InvalidTrigger, match="at must "):
        Daily(at=at)


def test_a_time_with_a_zone_of_its_own_is_refused():
    with pytest.raises(InvalidTrigger, match="at must have no zone of its own"):
        Daily(at=time(10, tzinfo=UTC))


@pytest.mark.parametrize("every", [0, -1, 1.5, "2", True, None])
def test_a_wrong_period_is_named(every):
    for make in [
        Daily,
        lambda **given: Weekly(on=0, **given),
        lambda **given: Monthly(on=1, **given),
    ]:
        with pytest.raises(InvalidTrigger, match="every must be an int of at least 1, got "):
            make(every=every)


@pytest.mark.parametrize("anchor", [NEW_YEAR, "2026-01-01", 5])
def test_an_anchor_is_a_date_without_a_time(anchor):
    with pytest.raises(InvalidTrigger, match="anchor must be a date without a time, got "):
        Daily(anchor=anchor)


@pytest.mark.parametrize("on", ["", "MO", "funday", 7, -1, True, 1.5, None, [], ["MON", 9], b"MON"])
def test_a_wrong_weekday_is_named(on):
    with pytest.raises(InvalidTrigger, match="on must "):
        Weekly(on=on)
    if on != []:
        with pytest.raises(InvalidTrigger, match="week_start must "):
            Weekly(on="MON", week_start=on)


@pytest.mark.parametrize("on", [0, 32, -32, "1", True, 1.5, None, [], [1, 0]])
def test_a_wrong_day_of_a_month_is_named(on):
    with pytest.raises(InvalidTrigger, match="on must "):
        Monthly(on=on)


def test_a_wrong_way_with_missing_days_is_named():
    with pytest.raises(InvalidTrigger, match="missing must be 'skip' or 'clamp', got 'last'"):
        Monthly(on=31, missing="last")


def test_what_is_needed_is_asked_for():
    with pytest.raises(TypeError):
        Weekly()
    with pytest.raises(TypeError):
        Monthly()
    with pytest.raises(TypeError):
        Daily(hour=3)
