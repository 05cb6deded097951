"""What a gap and a fold do, case by case; the laws beside this file hold the rest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import takewhile

import pytest

from aiosched.moments import from_us, to_us
from aiosched.triggers import BaseTrigger, Cron, Daily, Monthly, Weekly

SPRING, AUTUMN = datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
NEW_YORK = "America/New_York"


def fired(trigger: BaseTrigger, begin: datetime, days: float = 1) -> list[str]:
    """Return the day and the wall times of *days* from *begin*."""
    last = to_us(begin + timedelta(days=days))
    found = takewhile(lambda us: us <= last, trigger.upcoming(to_us(begin) - 1))
    shown = [from_us(us, trigger.zone) for us in found]
    return [
        each.strftime("%d %H:%M:%S").removesuffix(":00") + each.strftime("%z")[:5] for each in shown
    ]


def test_a_fixed_time_in_a_gap_fires_once_at_its_end():
    found = Daily(at="02:30", tz=NEW_YORK).next_after(SPRING)
    assert found.isoformat() == "2026-03-08T03:00:00-04:00"


def test_several_fixed_times_in_one_gap_are_one_occurrence():
    assert fired(Daily(at=["02:00", "02:10", "02:50"], tz=NEW_YORK), SPRING) == ["08 03:00-0400"]
    assert fired(Cron("*/10 2 * * *", tz=NEW_YORK), SPRING) == []  # a wildcard
    assert fired(Cron("0-59/10 2 * * *", tz=NEW_YORK), SPRING) == ["08 03:00-0400"]


def test_a_regular_time_at_the_end_of_the_gap_is_the_same_occurrence():
    assert fired(Daily(at=["02:30", "03:00"], tz=NEW_YORK), SPRING) == ["08 03:00-0400"]


def test_asking_at_the_end_of_the_gap_gives_the_next_day():
    found = Daily(at="02:30", tz=NEW_YORK).next_after(datetime(2026, 3, 8, 7, tzinfo=UTC))
    assert found.isoformat() == "2026-03-09T02:30:00-04:00"


def test_a_fixed_time_in_a_gap_may_be_skipped():
    found = Daily(at="02:30", tz=NEW_YORK, dst="skip").next_after(SPRING)
    assert found.isoformat() == "2026-03-09T02:30:00-04:00"


def test_a_repeated_fixed_time_fires_the_first_time():
    cron = Cron("30 1 * * *", tz=NEW_YORK)
    assert fired(cron, AUTUMN) == ["01 01:30-0400"]


@pytest.mark.parametrize(
    ("dst", "times"), [("skip", ["01 01:30-0400"]), ("both", ["01 01:30-0400", "01 01:30-0500"])]
)
def test_a_repeated_fixed_time_by_the_other_rules(dst, times):
    assert fired(Cron("30 1 * * *", tz=NEW_YORK, dst=dst), AUTUMN) == times
    assert fired(Daily(at="01:30", tz=NEW_YORK, dst=dst), AUTUMN) == times


def test_a_rare_repeated_time_is_not_skipped_for_the_next_year():
    once_a_year = Monthly(on=1, at="01:30", every=12, anchor=AUTUMN.date(), tz=NEW_YORK, dst="both")
    assert fired(once_a_year, AUTUMN) == ["01 01:30-0400", "01 01:30-0500"]
    assert fired(Cron("*/30 1 1 11 *", tz=NEW_YORK), AUTUMN) == [
        "01 01:00-0400",
        "01 01:30-0400",
        "01 01:00-0500",
        "01 01:30-0500",
    ]


def test_both_still_fires_after_a_gap():
    assert fired(Cron("30 2 * * *", tz=NEW_YORK, dst="both"), SPRING) == ["08 03:00-0400"]


def test_a_wildcard_fires_in_both_passes_of_a_repeated_hour():
    found = fired(Cron("0 * * * *", tz=NEW_YORK), AUTUMN, days=0.3)
    assert found[-4:] == ["01 00:00-0400", "01 01:00-0400", "01 01:00-0500", "01 02:00-0500"]


def test_a_wildcard_does_not_fire_for_a_gap():
    found = fired(Cron("30 * * * *", tz=NEW_YORK), SPRING + timedelta(hours=5), days=0.125)
    assert found == ["08 00:30-0500", "08 01:30-0500", "08 03:30-0400"]


def test_a_whole_range_of_hours_is_fixed():
    cron = Cron("30 0-23 * * *", tz=NEW_YORK)
    assert fired(cron, AUTUMN + timedelta(hours=4), days=0.125) == [
        "01 00:30-0400",
        "01 01:30-0400",
    ]
    assert fired(cron, SPRING + timedelta(hours=5), days=0.125) == [
        "08 00:30-0500",
        "08 01:30-0500",
        "08 03:00-0400",
        "08 03:30-0400",
    ]


def test_a_second_pass_asked_from_within_gives_the_day_after():
    during = datetime(2026, 11, 1, 6, 10, tzinfo=UTC)  # 01:10 for the second time
    found = Cron("30 1 * * *", tz=NEW_YORK).next_after(during)
    assert found.isoformat() == "2026-11-02T01:30:00-05:00"


def test_a_gap_at_midnight_fires_on_its_own_date():
    begin = datetime(2026, 3, 28, 12, tzinfo=UTC)  # Beirut goes from 00:00 to 01:00 on the 29th
    assert fired(Daily(at="00:30", tz="Asia/Beirut"), begin) == ["29 01:00+0300"]
    assert fired(Weekly(on="SUN", at="00:15", tz="Asia/Beirut"), begin) == ["29 01:00+0300"]
    assert fired(Weekly(on="SAT", at="00:15", tz="Asia/Beirut"), begin) == []
    assert fired(Monthly(on=29, at="00:00", tz="Asia/Beirut"), begin) == ["29 01:00+0300"]


def test_a_gap_across_midnight_counts_by_the_date_missed():
    begin = datetime(1919, 3, 31, tzinfo=UTC)  # Toronto went from 23:30 on the 30th to 00:30
    assert fired(Monthly(on=30, at="23:45", tz="America/Toronto"), begin) == ["31 00:30-0400"]
    assert fired(Monthly(on=31, at="00:15", tz="America/Toronto"), begin) == ["31 00:30-0400"]
    assert fired(Monthly(on=31, at="23:45", tz="America/Toronto"), begin, days=1) == []


def test_half_an_hour_of_lord_howe():
    begin = datetime(2026, 10, 3, tzinfo=UTC)
    assert fired(Daily(at="02:15", tz="Australia/Lord_Howe"), begin) == ["04 02:30+1100"]
    begin = datetime(2026, 4, 4, tzinfo=UTC)
    assert fired(Daily(at="01:45", tz="Australia/Lord_Howe"), begin) == ["05 01:45+1100"]
    assert fired(Daily(at="01:45", tz="Australia/Lord_Howe", dst="both"), begin) == [
        "05 01:45+1100",
        "05 01:45+1030",
    ]


def test_two_hours_of_troll():
    begin = datetime(2026, 3, 29, tzinfo=UTC)
    assert fired(Daily(at=["01:30", "02:30"], tz="Antarctica/Troll"), begin, days=0.5) == [
        "29 03:00+0200"
    ]


def test_the_day_that_samoa_lost_is_a_clock_reset():
    begin = datetime(2011, 12, 29, 12, tzinfo=UTC)  # 02:00 on the 29th
    found = fired(Daily(at="12:00", tz="Pacific/Apia"), begin, days=2)
    assert found == ["29 12:00-1000", "31 12:00+1400"]


def test_a_gap_of_three_hours_is_a_clock_reset():
    begin = datetime(2020, 10, 3, tzinfo=UTC)  # Casey went from 00:01 to 03:01 on the 4th
    assert fired(Daily(at="01:00", tz="Antarctica/Casey"), begin) == []


def test_a_day_shown_twice_fires_the_first_time():
    begin = datetime(1969, 9, 30, tzinfo=UTC)  # Kwajalein went back by 23 hours
    found = fired(Daily(at="12:00", tz="Pacific/Kwajalein"), begin, days=2.5)
    assert found == ["30 12:00+1100", "01 12:00-1200"]
    twice = fired(Daily(at="12:00", tz="Pacific/Kwajalein", dst="both"), begin, days=2.5)
    assert twice == ["30 12:00+1100", "30 12:00-1200", "01 12:00-1200"]


def test_an_end_at_an_odd_second_is_the_first_instant_after_the_gap():
    begin = datetime(1920, 1, 1, tzinfo=UTC)
    found = Daily(at="00:00", tz="Asia/Kathmandu").next_after(begin - timedelta(hours=6))
    assert found == datetime(1919, 12, 31, 18, 30, tzinfo=UTC)


def test_negative_summer_time_is_a_gap_like_any_other():
    begin = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert fired(Daily(at="01:30", tz="Europe/Dublin"), begin) == ["29 02:00+0100"]


def test_a_yearly_time_that_always_falls_into_a_gap_ends_the_search():
    cron = Cron("0 30 2 ? 3 SUN#2", tz=NEW_YORK, dst="skip")
    assert cron.next_after(SPRING) is None


def test_a_datetime_in_the_second_pass_has_its_fold():
    found = Cron("15 * * * *", tz=NEW_YORK).next_after(datetime(2026, 11, 1, 6, tzinfo=UTC))
    assert (found.hour, found.minute, found.fold) == (1, 15, 1)
