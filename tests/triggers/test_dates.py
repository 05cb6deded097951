from __future__ import annotations

import pickle
import sys
from datetime import UTC, date, datetime, timedelta
from itertools import islice

import pytest

from aiosched.errors import InvalidTrigger
from aiosched.moments import from_us, to_us
from aiosched.triggers import Cron, Daily, Dates, DaySet, Holidays
from aiosched.triggers.dates import _holidays

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
CHRISTMAS = Dates("2026-12-25", "2026-12-26")


def days(trigger, begin: datetime = NEW_YEAR, count: int = 4) -> list[str]:
    found = islice(trigger.upcoming(to_us(begin)), count)
    return [from_us(us, trigger.zone).strftime("%m-%d") for us in found]


def test_dates_are_given_as_dates_or_text():
    assert Dates("2026-12-25", date(2026, 12, 26), "2026-12-25") == CHRISTMAS
    assert repr(CHRISTMAS) == "Dates('2026-12-25', '2026-12-26')"


def test_dates_taken_from_a_trigger_take_whole_days():
    found = Cron("0 0,12,23 * * *") - CHRISTMAS
    assert days(found, datetime(2026, 12, 24, 13, tzinfo=UTC), 2) == ["12-24", "12-27"]


def test_dates_as_a_trigger_name_their_beginnings():
    assert days(CHRISTMAS) == ["12-25", "12-26"]
    found = Dates("2026-03-29", tz="Asia/Beirut").next_after(NEW_YEAR)
    assert found.isoformat() == "2026-03-29T01:00:00+03:00"  # that day has no midnight


def test_dates_as_a_trigger_follow_the_schedulers_zone():
    from aiosched.triggers.walltime import zone

    bound = CHRISTMAS.bind(name="job", tz=zone("Asia/Tokyo"))
    assert bound == Dates("2026-12-25", "2026-12-26", tz="Asia/Tokyo")


def test_dates_can_be_looked_up():
    assert date(2026, 12, 25) in CHRISTMAS
    assert date(2026, 12, 24) not in CHRISTMAS


def test_sets_of_days_are_united_and_subtracted_as_days():
    eve = Dates("2026-12-24", "2026-12-31")
    assert days(CHRISTMAS | eve) == ["12-24", "12-25", "12-26", "12-31"]
    assert days((CHRISTMAS | eve) - Dates("2026-12-24")) == ["12-25", "12-26", "12-31"]
    assert isinstance(CHRISTMAS | eve, DaySet)
    assert days(
        Cron("0 12 * * *") - (CHRISTMAS | eve), datetime(2026, 12, 23, 13, tzinfo=UTC), 2
    ) == ["12-27", "12-28"]


def test_sets_of_days_and_triggers_make_triggers():
    assert days(CHRISTMAS | Daily(at="05:00"), count=1) == ["01-01"]
    assert days(CHRISTMAS - Daily(at="00:00", every=2, anchor=date(2026, 12, 25))) == ["12-26"]


def test_sets_of_days_made_of_sets_are_values():
    both = CHRISTMAS | (Dates("2026-12-24") - Dates("2026-12-31"))
    assert repr(both) == f"{CHRISTMAS!r} | (Dates('2026-12-24') - Dates('2026-12-31'))"
    assert pickle.loads(pickle.dumps(both)) == both
    assert both != CHRISTMAS - Dates("2026-12-24")


def test_sets_of_days_made_of_sets_are_bound_together():
    from aiosched.triggers.walltime import zone

    tokyo = zone("Asia/Tokyo")
    both = CHRISTMAS | Dates("2026-12-31")
    assert both.bind(name="job", tz=UTC) is both
    assert both.bind(name="job", tz=tokyo).next_after(NEW_YEAR).tzinfo is tokyo
    own = CHRISTMAS | Dates("2026-12-31", tz="Europe/Berlin")
    assert own.bind(name="job", tz=tokyo) is own


def test_sets_of_days_of_two_zones_do_not_mix():
    with pytest.raises(InvalidTrigger, match="tz must be the same for both"):
        Dates("2026-12-24", tz="Asia/Tokyo") | Dates("2026-12-24", tz="Europe/Berlin")


def test_a_set_of_which_all_days_are_taken_comes_to_an_end():
    class EveryDay(DaySet):
        __slots__ = ()

        def __init__(self):
            self._hold(lambda day: day, None)

        def arguments(self):
            return (), {}

    assert (EveryDay() - EveryDay()).next_after(NEW_YEAR) is None


def test_a_set_without_days_comes_to_an_end():
    assert (CHRISTMAS - CHRISTMAS).next_after(NEW_YEAR) is None


@pytest.mark.parametrize(
    ("dates", "complaint"),
    [
        ((), "dates must name at least one day"),
        (("2026-02-30",), "dates must look like '2026-12-24', got '2026-02-30'"),
        (("Christmas",), "dates must look like"),
        ((NEW_YEAR,), "dates must be dates without a time"),
        ((5,), "dates must be dates without a time, got 5"),
    ],
)
def test_a_wrong_date_is_named(dates, complaint):
    with pytest.raises(InvalidTrigger, match=complaint):
        Dates(*dates)


class TestHolidays:
    """With the package, which is an extra."""

    @pytest.fixture(autouse=True)
    def package(self):
        pytest.importorskip("holidays")

    def test_public_holidays_are_those_of_the_country(self):
        assert days(Holidays("DE")) == ["04-03", "04-06", "05-01", "05-14"]
        assert days(Holidays("DE", "BY"), count=1) == ["01-06"]

    def test_an_exchange_has_holidays_too(self):
        assert days(Holidays("NYSE"), count=2) == ["01-19", "02-16"]

    def test_holidays_taken_from_a_trigger_take_whole_days(self):
        found = Daily(at="09:00", tz="Europe/Berlin") - Holidays("DE")
        assert days(found, datetime(2026, 4, 2, tzinfo=UTC), 4) == [
            "04-02",
            "04-04",
            "04-05",
            "04-07",
        ]

    def test_a_holiday_observed_in_another_year_counts(self):
        assert date(2021, 12, 31) in Holidays("US")  # for New Year 2022, a Saturday

    def test_holidays_begin_some_time_and_end(self):
        assert Holidays("DE").next_after(datetime(1, 1, 1, tzinfo=UTC)) is not None
        assert Holidays("DE").next_after(datetime(9998, 12, 30, tzinfo=UTC)) is None

    def test_a_yearly_job_on_a_holiday_waits_for_the_end_of_the_calendar(self):
        christmas = Cron("0 9 25 12 *") - Holidays("DE")
        assert christmas.next_after(NEW_YEAR).year > 2090

    @pytest.mark.parametrize("given", [("XX",), ("DE", "ZZ"), ("NYSE", "NY")])
    def test_an_unknown_country_or_part_is_named(self, given):
        with pytest.raises(InvalidTrigger, match=f"code must be known .*{given[-1]}"):
            Holidays(*given)

    def test_they_are_values(self):
        bavaria = Holidays("DE", "BY", tz="Europe/Berlin")
        assert repr(bavaria) == "Holidays('DE', subdiv='BY', tz='Europe/Berlin')"
        assert pickle.loads(pickle.dumps(bavaria)) == bavaria
        assert Holidays("DE") != bavaria


@pytest.mark.parametrize("given", [(5,), ("DE", 5), (None,)])
def test_a_code_is_text(given):
    with pytest.raises(InvalidTrigger, match="must be text"):
        Holidays(*given)


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "holidays", None)
    _holidays.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'aiosched-py\[holidays\]'"):
        Holidays("DE")


def test_a_calendar_of_ones_own_can_stand_in(monkeypatch):
    """What the package is asked, for those who run these tests without it."""

    class Package:
        @staticmethod
        def list_supported_financial():
            return {"XCHG": []}

        @staticmethod
        def country_holidays(code, *, subdiv, years, expand):
            if code != "UT":
                raise NotImplementedError
            return [date(year, 5, 5) for year in years]

        @staticmethod
        def financial_holidays(code, *, subdiv, years, expand):
            return [date(year, 6, 6) for year in years if year < 2030]

    monkeypatch.setitem(sys.modules, "holidays", Package)
    _holidays.cache_clear()
    assert days(Holidays("UT"), count=2) == ["05-05", "05-05"]
    assert days(Holidays("XCHG"), NEW_YEAR + timedelta(days=3 * 365)) == ["06-06"]
    with pytest.raises(InvalidTrigger, match="got 'ZZ' with subdiv='Q'"):
        Holidays("ZZ", "Q")
    _holidays.cache_clear()
