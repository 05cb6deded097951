"""Every trigger passes the suite that a user's trigger has to pass; a wrong one does not."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from aiosched.testing import TriggerConformance
from aiosched.triggers import (
    After,
    Cron,
    Daily,
    Dates,
    Every,
    Holidays,
    Monthly,
    Once,
    RandomEvery,
    RRule,
    Weekly,
)
from tests.triggers.oracle import zone_of

NOON = datetime(2026, 5, 5, 12, tzinfo=UTC)


class TestEvery(TriggerConformance):
    def make(self):
        return Every(minutes=7)


class TestEveryWithAnAnchor(TriggerConformance):
    def make(self):
        return Every(hours=5, anchor=NOON)


class TestAfter(TriggerConformance):
    def make(self):
        return After("90s")


class TestRandomEvery(TriggerConformance):
    def make(self):
        return RandomEvery("10s", "5m")


class TestCron(TriggerConformance):
    zone = zone_of("America/New_York")

    def make(self):
        return Cron("30 1,2 * * *")


class TestCronWithSeconds(TriggerConformance):
    def make(self):
        return Cron("*/20 5-50/5 * * * MON-FRI", tz="Europe/Berlin", dst="both")


class TestCronByTheName(TriggerConformance):
    def make(self):
        return Cron("H H(0-3) * * *")


class TestDaily(TriggerConformance):
    zone = zone_of("America/New_York")

    def make(self):
        return Daily(at=["02:30", "01:30"])


class TestWeekly(TriggerConformance):
    def make(self):
        return Weekly(on=["SUN", "MON"], every=2, tz="Europe/Berlin", dst="skip")


class TestMonthly(TriggerConformance):
    def make(self):
        return Monthly(on=[31, -1], missing="clamp", anchor=date(2026, 1, 1), every=3)


class TestOnce(TriggerConformance):
    def make(self):
        return Once(NOON, NOON + timedelta(days=1))


class TestRRule(TriggerConformance):
    def make(self):
        return RRule("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=2;BYMINUTE=30", tz="America/New_York")


class TestRRuleByTheHour(TriggerConformance):
    def make(self):
        return RRule("FREQ=HOURLY;INTERVAL=5;COUNT=200", start=date(2026, 3, 1), tz="Europe/Berlin")


class TestUnion(TriggerConformance):
    def make(self):
        return Cron("30 2 * * *", tz="America/New_York") | Every(hours=7) | Once(NOON)


class TestDifference(TriggerConformance):
    def make(self):
        return Cron("0 * * * *") - Cron("0 0-12/3 * * *", tz="Asia/Tokyo")


class TestDifferenceOfDays(TriggerConformance):
    def make(self):
        return Cron("*/30 * * * *", tz="Europe/Berlin") - Dates("2026-03-29", "2026-10-25")


class TestBetween(TriggerConformance):
    def make(self):
        return Every(minutes=50).between(NOON - timedelta(days=60), NOON)


class TestNested(TriggerConformance):
    def make(self):
        cron = Cron("H * * * *") | RandomEvery("1h", "2h")
        return (cron - (Dates("2026-03-08") | Cron("* 3 * * *"))).between(None, NOON)


class TestDates(TriggerConformance):
    def make(self):
        return Dates("2026-12-24", date(2027, 1, 1))


class TestHolidays(TriggerConformance):
    def make(self):
        pytest.importorskip("holidays")
        return Holidays("DE", "BY")


class TestWithoutHolidays(TriggerConformance):
    def make(self):
        pytest.importorskip("holidays")
        return Daily(at="09:00", tz="Europe/Berlin") - Holidays("DE")


class Mine:
    """The least that a trigger can be."""

    def next_after(self, moment):
        day = moment.astimezone(UTC).replace(hour=5, minute=0, second=0, microsecond=0)
        return day if day > moment else day + timedelta(days=1)


class TestMine(TriggerConformance):
    def make(self):
        return Mine()


class TestMineCombined(TriggerConformance):
    def make(self):
        return (Mine() | Daily(at="07:00")) - Dates("2026-03-09")


class Late(Mine):
    """Gives the moment itself."""

    def next_after(self, moment):
        return moment


class Naive(Mine):
    def next_after(self, moment):
        return super().next_after(moment).replace(tzinfo=None)


class Forgetful(Mine):
    """Skips an occurrence whenever it was asked before."""

    asked = 0

    def next_after(self, moment):
        self.asked += 1
        return super().next_after(moment + timedelta(days=self.asked))


class Leaping(Mine):
    """Skips what lies within the hour."""

    def next_after(self, moment):
        return super().next_after(moment + timedelta(hours=1))


class Local(Mine):
    """Depends on the zone it is asked in."""

    def next_after(self, moment):
        return (moment + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.mark.parametrize(
    ("wrong", "fails"),
    [
        (Late(), "test_every_occurrence_is_strictly_later"),
        (Naive(), "test_every_occurrence_is_aware"),
        (Forgetful(), "test_the_same_question_has_the_same_answer"),
        (Leaping(), "test_nothing_lies_between_a_moment_and_its_next"),
        (Local(), "test_the_zone_of_the_moment_does_not_matter"),
        (Once, "test_it_is_a_trigger"),
        (Once(NOON.replace(year=1960)), "test_it_names_some_moment"),
    ],
)
def test_the_suite_finds_what_is_wrong(wrong, fails):
    class Suite(TriggerConformance):
        def make(self):
            return wrong

    with pytest.raises((AssertionError, TypeError)):
        getattr(Suite(), fails)()


def test_the_suite_asks_for_a_trigger():
    with pytest.raises(NotImplementedError, match="says how to make it"):
        TriggerConformance().make()
