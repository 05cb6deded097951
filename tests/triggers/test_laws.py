"""Triggers against the oracle, around the changes of the zones that trouble schedulers most."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiosched.errors import InvalidTrigger
from aiosched.moments import from_us, to_us
from aiosched.triggers import BaseTrigger, Cron, Daily, Monthly, Weekly
from tests.effort import examples
from tests.triggers import oracle
from tests.triggers.oracle import SECOND, CronLine, Field, Tick

pytestmark = pytest.mark.unmeasured

ZONES = [
    "America/New_York",
    "America/St_Johns",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Dublin",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Antarctica/Troll",
    "Antarctica/Casey",
    "America/Santiago",
    "America/Havana",
    "America/Asuncion",
    "Atlantic/Azores",
    "Asia/Beirut",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "UTC",
]
DST = st.sampled_from(["vixie", "skip", "both"])
AROUND = timedelta(hours=30)
QUIET = datetime(2026, 5, 5, tzinfo=UTC)


@st.composite
def places(draw) -> tuple[str, datetime]:
    """A zone and one of its changes since 1970, when offsets had become whole minutes."""
    key = draw(st.sampled_from(ZONES))
    known = [each for each in oracle.changes(key) if each.year > 1970] or [QUIET]
    return key, draw(st.sampled_from(known))


@dataclass(frozen=True)
class Spelling:
    """A way to write a field; its numbers count from what the wall shows at a change."""

    kind: str
    ahead: tuple[int, ...]
    step: int

    def field(self, low: int, high: int, near: int) -> Field:
        size = high - low + 1
        values = sorted({(near + ahead - low) % size + low for ahead in self.ahead})
        match self.kind:
            case "star":
                return Field("*", frozenset(range(low, high + 1)))
            case "steps":
                return Field(f"*/{self.step}", frozenset(range(low, high + 1, self.step)))
            # croniter reads 5-5 as the whole field, which nobody else writes
            case "range" if values[0] < values[-1]:
                numbers = frozenset(range(values[0], values[-1] + 1, self.step))
                return Field(f"{values[0]}-{values[-1]}/{self.step}", numbers)
            case _:
                return Field(",".join(map(str, values)), frozenset(values))


SPELLINGS = st.builds(
    Spelling,
    kind=st.sampled_from(["list", "range", "list", "steps", "star"]),
    ahead=st.lists(st.integers(-4, 4) | st.integers(0, 59), min_size=1, max_size=4).map(tuple),
    step=st.sampled_from([1, 2, 3, 5, 15, 30]),
)
ANY_DAY = st.just(Spelling("star", (0,), 1))
DAYS = ANY_DAY | ANY_DAY | SPELLINGS


@dataclass(frozen=True)
class Line:
    """A crontab line to be written around what the wall shows."""

    minute: Spelling
    hour: Spelling
    day: Spelling
    month: Spelling
    weekday: Spelling
    second: Spelling

    def at(self, shown: datetime, *, seconds: bool = False) -> CronLine:
        return CronLine(
            minute=self.minute.field(0, 59, shown.minute),
            hour=self.hour.field(0, 23, shown.hour),
            day=self.day.field(1, 31, shown.day),
            month=self.month.field(1, 12, shown.month),
            weekday=self.weekday.field(0, 6, shown.isoweekday() % 7),
            second=self.second.field(0, 59, shown.second) if seconds else None,
        )


LINES = st.builds(
    Line,
    minute=SPELLINGS,
    hour=SPELLINGS,
    day=DAYS,
    month=DAYS,
    weekday=DAYS,
    second=SPELLINGS,
)


def walked(trigger: BaseTrigger, begin: datetime, end: datetime) -> list[datetime]:
    """Return the trigger's occurrences in (begin, end]."""
    last = to_us(end)
    return [from_us(us) for us in takewhile(lambda us: us <= last, trigger.upcoming(to_us(begin)))]


def disagreement(line: CronLine, key: str, dst: str, watched: list[Tick]) -> str | None:
    """Return what the trigger and the oracle say where it is not the same."""
    begin, end = watched[0].instant - SECOND, watched[-1].instant
    expected = oracle.occurrences(watched, line.matches, wildcard=line.wildcard, dst=dst)
    try:
        found = walked(Cron(line.text, tz=key, dst=dst), begin, end)
    except InvalidTrigger:
        found = []  # such as 31 February
    return None if found == expected else f"{line.text} in {key}: {found} instead of {expected}"


@pytest.mark.parametrize("key", ZONES)
def test_cron_does_what_debian_does_around_every_change(key):
    around = timedelta(hours=9)
    changes = [each for each in oracle.changes(key) if each.year > 1970] or [QUIET]
    seen = [(each, oracle.ticks(key, each - around, each + around)) for each in changes]

    @settings(max_examples=min(900 // len(changes), 100), deadline=None)
    @given(line=LINES, dst=DST)
    def agree(line, dst):
        for change, watched in seen:
            assert not disagreement(line.at(oracle.wall(key, change)), key, dst, watched)

    agree()


@settings(max_examples=examples(200), deadline=None)
@given(place=places(), line=LINES, dst=DST)
def test_cron_with_seconds_does_so_to_the_second(place, line, dst):
    key, change = place
    around = timedelta(minutes=40)
    watched = oracle.ticks(key, change - around, change + around, SECOND)
    by_second = line.at(oracle.wall(key, change), seconds=True)
    assert not disagreement(by_second, key, dst, watched)


@settings(max_examples=examples(100), deadline=None)
@given(data=st.data(), key=st.sampled_from(ZONES[:-1]), line=LINES, dst=DST)
def test_cron_agrees_where_offsets_had_odd_seconds(data, key, line, dst):
    change = data.draw(st.sampled_from(oracle.changes(key)[:3]))  # the ends of local mean times
    around = timedelta(minutes=40)
    watched = oracle.ticks(key, change - around, change + around, SECOND)
    assert not disagreement(line.at(oracle.wall(key, change)), key, dst, watched)


@st.composite
def times_near(draw, shown: datetime) -> list[time]:
    minutes = st.integers(-200, 200).map(lambda ahead: shown + timedelta(minutes=ahead))
    near = minutes.map(lambda moment: moment.time().replace(second=0))
    anywhere = st.builds(time, st.integers(0, 23), st.integers(0, 59))
    return draw(st.lists(near | anywhere, min_size=1, max_size=4))


@settings(max_examples=examples(150), deadline=None)
@given(data=st.data(), place=places(), dst=DST, every=st.integers(1, 4))
def test_daily_agrees_with_the_oracle(data, place, dst, every):
    key, change = place
    shown = oracle.wall(key, change)
    at = data.draw(times_near(shown))
    anchor = shown.date() + timedelta(days=data.draw(st.integers(-40, 40)))
    trigger = Daily(at=at, every=every, tz=key, dst=dst, anchor=anchor)

    def matches(moment: datetime) -> bool:
        return moment.time() in at and oracle.days_until(anchor, moment) % every == 0

    watched = oracle.ticks(key, change - AROUND, change + AROUND)
    expected = oracle.occurrences(watched, matches, wildcard=False, dst=dst)
    assert walked(trigger, change - AROUND, change + AROUND) == expected


@settings(max_examples=examples(150), deadline=None)
@given(
    data=st.data(),
    place=places(),
    dst=DST,
    every=st.integers(1, 3),
    on=st.sets(st.integers(0, 6), min_size=1),
)
def test_weekly_agrees_with_the_oracle(data, place, dst, every, on):
    week_start = data.draw(st.integers(0, 6))
    key, change = place
    shown = oracle.wall(key, change)
    at = data.draw(times_near(shown))
    anchor = shown.date() + timedelta(days=data.draw(st.integers(-40, 40)))
    trigger = Weekly(
        on=on, at=at, every=every, week_start=week_start, tz=key, dst=dst, anchor=anchor
    )

    def matches(moment: datetime) -> bool:
        if moment.time() not in at or moment.weekday() not in on:
            return False
        return oracle.weeks_between(anchor, moment.date(), week_start) % every == 0

    watched = oracle.ticks(key, change - AROUND, change + AROUND)
    expected = oracle.occurrences(watched, matches, wildcard=False, dst=dst)
    assert walked(trigger, change - AROUND, change + AROUND) == expected


DAYS_OF_MONTH = st.integers(1, 31) | st.integers(-31, -1)


@settings(max_examples=examples(150), deadline=None)
@given(
    data=st.data(),
    place=places(),
    dst=DST,
    every=st.integers(1, 3),
    missing=st.sampled_from(["skip", "clamp"]),
)
def test_monthly_agrees_with_the_oracle(data, place, dst, every, missing):
    key, change = place
    shown = oracle.wall(key, change)
    at = data.draw(times_near(shown))
    on = (shown.day, *data.draw(st.lists(DAYS_OF_MONTH, max_size=4)))
    anchor = date(shown.year, data.draw(st.integers(1, 12)), 1)
    trigger = Monthly(on=on, at=at, every=every, missing=missing, tz=key, dst=dst, anchor=anchor)

    def matches(moment: datetime) -> bool:
        if moment.time() not in at or oracle.months_between(anchor, moment.date()) % every:
            return False
        return moment.day in oracle.days_of_month(moment.date(), on, missing)

    watched = oracle.ticks(key, change - AROUND, change + AROUND)
    expected = oracle.occurrences(watched, matches, wildcard=False, dst=dst)
    assert walked(trigger, change - AROUND, change + AROUND) == expected


@pytest.mark.parametrize("missing", ["skip", "clamp"])
@settings(max_examples=examples(100), deadline=None)
@given(
    on=st.lists(DAYS_OF_MONTH, min_size=1, max_size=4),
    every=st.integers(1, 30),
    anchor=st.dates(date(1900, 1, 1), date(2100, 1, 1)),
    year=st.integers(1890, 2110),
)
def test_monthly_names_the_days_of_ten_years(on, every, anchor, year, missing):
    begin, end = date(year, 1, 1), date(year + 10, 1, 1)
    try:
        trigger = Monthly(on=on, every=every, anchor=anchor, missing=missing)
    except InvalidTrigger:
        trigger = None
    days = [begin + timedelta(days=n) for n in range((end - begin).days)]
    expected = [
        day
        for day in days
        if oracle.months_between(anchor, day) % every == 0
        and day.day in oracle.days_of_month(day, tuple(on), missing)
    ]
    moments = [
        datetime(year, 1, 1, tzinfo=UTC) - SECOND,
        datetime(year + 10, 1, 1, tzinfo=UTC) - SECOND,
    ]
    assert ([each.date() for each in walked(trigger, *moments)] if trigger else []) == expected


@settings(max_examples=examples(300), deadline=None)
@given(data=st.data(), place=places(), line=LINES, dst=DST)
def test_asking_between_two_occurrences_gives_the_later_one(data, place, line, dst):
    key, change = place
    try:
        trigger = Cron(line.at(oracle.wall(key, change)).text, tz=key, dst=dst)
    except InvalidTrigger:
        return  # such as 31 February
    asked = to_us(change + data.draw(st.timedeltas(-AROUND, AROUND)))
    found = trigger.next_us(asked)
    assert found is not None
    assert found > asked
    assert trigger.next_us(data.draw(st.integers(asked, found - 1))) == found
