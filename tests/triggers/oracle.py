"""What cron would do, found by watching a clock on the wall; it shares no code with the triggers.

Debian's cron wakes every minute and compares the wall with a virtual clock that never goes back.
Where the wall jumped ahead by less than three hours it runs the fixed jobs of the minutes it
missed, at once; where the wall went back it holds the fixed jobs until the virtual clock is reached
again; wildcard jobs always follow the wall. Here every tick of a zone's own timeline is walked like
that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
CLOCK_WAS_SET = timedelta(hours=3)

Matches = Callable[[datetime], bool]


@cache
def zone_of(key: str) -> ZoneInfo:
    """Return a zone of the tzdata wheel."""
    with files("tzdata").joinpath("zoneinfo", *key.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=key)


@cache
def zone_keys() -> list[str]:
    return files("tzdata").joinpath("zones").read_text("utf-8").split()


def wall(key: str, instant: datetime) -> datetime:
    """Return what a clock on the wall shows."""
    return instant.astimezone(zone_of(key)).replace(tzinfo=None)


@cache
def changes(key: str, first: int = 1880, last: int = 2040) -> list[datetime]:
    """Return the instants at which the zone's offset changes, found by looking at every day."""
    days = [datetime(first, 1, 1, tzinfo=UTC)]
    while days[-1].year < last:
        days.append(days[-1] + timedelta(days=1))
    return [
        _narrow(key, before, after)
        for before, after in pairwise(days)
        if _offset(key, before) != _offset(key, after)
    ]


def _offset(key: str, instant: datetime) -> timedelta:
    return wall(key, instant) - instant.replace(tzinfo=None)


def _narrow(key: str, before: datetime, after: datetime) -> datetime:
    old = _offset(key, before)
    while after - before > SECOND:
        middle = before + (after - before) // 2
        middle = middle.replace(microsecond=0)
        if _offset(key, middle) == old:
            before = middle
        else:
            after = middle
    return after


@dataclass(frozen=True, slots=True)
class Tick:
    """One look at the wall.

    `missed` are the times that the wall jumped over since the tick before; `again` says that the
    wall had shown this time, or a later one, already.
    """

    instant: datetime
    shows: datetime
    missed: tuple[datetime, ...] = ()
    again: bool = False


@lru_cache(maxsize=256)
def ticks(key: str, begin: datetime, end: datetime, step: timedelta = MINUTE) -> list[Tick]:
    """Return the ticks in (begin, end]; *begin* must not lie within a repeated hour.

    Ticks are aligned to the wall, so that a time that shows no seconds is not passed over.
    """
    return list(watch(lambda instant: wall(key, instant), begin, end, step))


def watch(
    wall_at: Callable[[datetime], datetime], begin: datetime, end: datetime, step: timedelta
) -> Iterator[Tick]:
    """Yield the ticks in (begin, end] of any clock on a wall."""
    virtual = wall_at(begin)
    instant = begin + step
    while instant <= end:
        shows = wall_at(instant)
        jump = shows - virtual
        if jump <= timedelta(0):
            yield Tick(instant, shows, again=True)
        else:
            missed = [virtual + step * n for n in range(1, jump // step)]
            if len(missed) * step >= CLOCK_WAS_SET:
                missed = []
            yield Tick(instant, shows, tuple(missed))
            virtual = shows
        instant += step


def occurrences(
    watched: Iterable[Tick], matches: Matches, *, wildcard: bool, dst: str
) -> list[datetime]:
    """Return the ticks at which a job runs."""
    return [tick.instant for tick in watched if _runs(tick, matches, wildcard, dst)]


def _runs(tick: Tick, matches: Matches, wildcard: bool, dst: str) -> bool:
    if wildcard:
        return matches(tick.shows)
    if tick.again:
        return dst == "both" and matches(tick.shows)
    late = dst != "skip" and any(map(matches, tick.missed))
    return late or matches(tick.shows)


@dataclass(frozen=True)
class Field:
    """One field of a crontab line: how it is written, and which values it names."""

    text: str
    values: frozenset[int]

    @property
    def star(self) -> bool:
        return self.text.startswith("*")


@dataclass(frozen=True)
class CronLine:
    """A crontab line, matched by Debian's rules. Sunday is 0."""

    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field
    second: Field | None = None

    @property
    def text(self) -> str:
        fields = [self.minute, self.hour, self.day, self.month, self.weekday]
        return " ".join(field.text for field in ([self.second] if self.second else []) + fields)

    @property
    def wildcard(self) -> bool:
        return self.minute.star or self.hour.star

    def matches(self, shown: datetime) -> bool:
        if shown.minute not in self.minute.values or shown.hour not in self.hour.values:
            return False
        if shown.second not in (self.second.values if self.second else (0,)):
            return False
        return shown.month in self.month.values and self._on_day(shown)

    def _on_day(self, shown: datetime) -> bool:
        by_day = shown.day in self.day.values
        by_week = shown.isoweekday() % 7 in self.weekday.values
        if self.day.star or self.weekday.star:
            return by_day and by_week
        return by_day or by_week


def days_until(anchor: date, shown: datetime) -> int:
    return (shown.date() - anchor).days


def weeks_between(anchor: date, shown: date, week_start: int) -> int:
    """Return how many weeks lie between those of two dates; weekdays count from Monday = 0."""

    def first(day: date) -> date:
        while day.weekday() != week_start:
            day -= timedelta(days=1)
        return day

    return (first(shown) - first(anchor)).days // 7


def months_between(anchor: date, shown: date) -> int:
    return (shown.year - anchor.year) * 12 + shown.month - anchor.month


def days_of_month(shown: date, on: tuple[int, ...], missing: str) -> set[int]:
    """Return the days of the month of *shown* that *on* names."""
    length = (date(shown.year + shown.month // 12, shown.month % 12 + 1, 1) - timedelta(days=1)).day
    found = set()
    for each in on:
        day = each if each > 0 else length + each + 1
        if 1 <= day <= length:
            found.add(day)
        elif missing == "clamp":
            found.add(length)
    return found
