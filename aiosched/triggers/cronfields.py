"""What a cron expression says, as bit masks: croniter reads and checks it, we only count bits.

Days are matched by blocks of 512, one mask each, computed when first asked for and kept.
Expressions are interned: equal texts share one `CronFields` and its blocks.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from croniter import croniter

from aiosched.durations import DAY, MINUTE, SECOND
from aiosched.errors import InvalidTrigger
from aiosched.triggers.civil import CYCLE_DAYS, LAST_DAY, month_of, month_start

if TYPE_CHECKING:
    from collections.abc import Callable

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_BLOCK_BITS = 9
_BLOCK = 1 << _BLOCK_BITS
_AHEAD = CYCLE_DAYS // _BLOCK + 2  # blocks in which every possible day occurs
_KEPT = 1024  # blocks kept of one expression
_DAY_MINUTES = 1440
_DAY_SECONDS = 86_400
_PLAIN = 5  # fields of a crontab; with more, seconds come first
_LAST = "l"
_RANGES = ((0, 59), (0, 59), (0, 23), (1, 28), (1, 12), (0, 6), (1970, 2099))
"""From what H is drawn, seconds first: days that every month has."""

_TOKEN = re.compile(r"\S+", re.ASCII)  # as croniter splits: a no-break space separates nothing
_NEAREST = re.compile(r"(\d+)w|w(\d+)", re.ASCII | re.IGNORECASE)
_HASHED = re.compile(r"h(\(\d+-\d+\))?(/\d+)?", re.ASCII | re.IGNORECASE)
_DRAWN = re.compile(r"r(\(\d+-\d+\))?(/\d+)?", re.ASCII | re.IGNORECASE)

_Values = list[int | str]


class CronFields:
    """One expression's fields, and the wall times that match them.

    Attributes:
        by_seconds: Whether there is a field for seconds.
        wildcard: Whether the minute or hour field starts with ``*``.
        years: The years it is limited to; None: all.
    """

    __slots__ = (
        "_blocks",
        "_both",
        "_days",
        "_first_minute",
        "_first_second",
        "_last",
        "_minutes",
        "_months",
        "_nearest",
        "_nth",
        "_seconds",
        "_weeks",
        "by_seconds",
        "wildcard",
        "years",
    )

    def __init__(self, expr: str) -> None:
        tokens = tokens_of(expr)
        fields, nth = _expand(expr)
        minutes, hours, days, months, weekdays = fields[:_PLAIN]
        self.by_seconds: bool = len(fields) > _PLAIN
        has_years = len(fields) > _PLAIN + 1
        self.years: frozenset[int] | None = _years(tokens[-1], fields[-1]) if has_years else None
        minute, hour, day, _, weekday = tokens[1:6] if self.by_seconds else tokens
        self.wildcard: bool = minute.startswith("*") or hour.startswith("*")
        self._both = day.startswith(("*", "?")) or weekday.startswith(("*", "?"))
        self._seconds = _mask(fields[_PLAIN], 60) if self.by_seconds else 1
        self._minutes = _minutes_of_day(_mask(hours, 24), _mask(minutes, 60))
        self._first_minute = _lowest(self._minutes)
        self._first_second = _lowest(self._seconds)
        self._days = _mask(days, 32) >> 1
        self._last = _LAST in days
        nearest = _NEAREST.fullmatch(day)
        self._nearest = int(nearest[1] or nearest[2]) if nearest else 0
        self._months = _mask(months, 13) >> 1
        self._weeks = _weeks(_mask(weekdays, 7))
        self._nth = [(int(on), which) for on, each in nth.items() for which in each]
        self._blocks: dict[int, int] = {}
        if self._next_day(month_start(12 * min(self.years or [1970]))) is None:
            raise InvalidTrigger(f"expr must fire some day, got {expr!r}: no such date exists")

    def includes(self, other: CronFields) -> bool:
        """Say whether these match, in their years, whatever *other* matches; False: not known."""
        if other._minutes & ~self._minutes or other._seconds & ~self._seconds:
            return False
        return self._is_daily() or all(
            getattr(self, name) == getattr(other, name)
            for name in ("_both", "_days", "_last", "_nearest", "_months", "_weeks", "_nth")
        )

    def is_always(self) -> bool:
        """Say whether every second matches."""
        is_daily = self._is_daily() and self.years is None
        return is_daily and self._seconds == (1 << 60) - 1 and self._minutes == _EVERY_MINUTE

    def _is_daily(self) -> bool:
        anywhen = self._months == (1 << 12) - 1 and not self._nth and not self._nearest
        return anywhen and self._days == (1 << 31) - 1 and self._weeks == _EVERY_WEEKDAY

    def first_minute(self, wall: int) -> int | None:
        """Return the first match at or after *wall*, for an expression without seconds."""
        day, minute = divmod(-(-wall // MINUTE), _DAY_MINUTES)
        left = self._minutes >> minute
        if left and self._block(day >> _BLOCK_BITS) >> (day & _BLOCK - 1) & 1:
            return (day * _DAY_MINUTES + minute + (left & -left).bit_length() - 1) * MINUTE
        found = self._next_day(day + 1)
        return None if found is None else (found * _DAY_MINUTES + self._first_minute) * MINUTE

    def first_second(self, wall: int) -> int | None:
        """Return the first match at or after *wall*, for an expression with seconds."""
        day, second = divmod(-(-wall // SECOND), _DAY_SECONDS)
        if self._block(day >> _BLOCK_BITS) >> (day & _BLOCK - 1) & 1:
            found = self._second_of_day(*divmod(second, 60))
            if found is not None:
                return day * DAY + found * SECOND
        next_day = self._next_day(day + 1)
        if next_day is None:
            return None
        return next_day * DAY + self._first_minute * MINUTE + self._first_second * SECOND

    def _second_of_day(self, minute: int, second: int) -> int | None:
        left = self._minutes >> minute
        if left & 1 and (seconds := self._seconds >> second):
            return minute * 60 + second + _lowest(seconds)
        left >>= 1
        if not left:
            return None
        return (minute + 1 + _lowest(left)) * 60 + self._first_second

    def _next_day(self, day: int) -> int | None:
        """Return the first matching day at or after *day*; None: not before the year 10000."""
        block = day >> _BLOCK_BITS
        left = self._block(block) >> (day & _BLOCK - 1)
        if left:
            return _existing(day + _lowest(left))
        for later in range(block + 1, min(block + _AHEAD, LAST_DAY >> _BLOCK_BITS) + 1):
            if left := self._block(later):
                return _existing((later << _BLOCK_BITS) + _lowest(left))
        return None

    def _block(self, block: int) -> int:
        found = self._blocks.get(block)
        return self._match(block) if found is None else found

    def _match(self, block: int) -> int:
        low = block << _BLOCK_BITS
        mask, month = 0, month_of(low)
        while (start := month_start(month)) < low + _BLOCK:
            bits = self._month(month, start)
            mask |= bits << start - low if start >= low else bits >> low - start
            month += 1
        if len(self._blocks) > _KEPT:
            self._blocks.clear()
        self._blocks[block] = mask = mask & (1 << _BLOCK) - 1
        return mask

    def _month(self, month: int, start: int) -> int:
        """Return the month's matching days, its first as bit 0."""
        year, index = divmod(month, 12)
        if not self._months >> index & 1 or (self.years and year not in self.years):
            return 0
        first, length = (start + 4) % 7, month_start(month + 1) - start
        by_day, by_week = self._by_day(first, length), self._by_week(first, length)
        return (by_day & by_week if self._both else by_day | by_week) & (1 << length) - 1

    def _by_day(self, first: int, length: int) -> int:
        if self._nearest:
            return 1 << _nearest_weekday(min(self._nearest, length), first, length) - 1
        return self._days | (1 << length - 1 if self._last else 0)

    def _by_week(self, first: int, length: int) -> int:
        if not self._nth:
            return self._weeks[first]
        bits = 0
        for weekday, which in self._nth:
            earliest = (weekday - first) % 7
            weeks = (length - 1 - earliest) // 7 if which == _LAST else int(which) - 1
            bits |= 1 << earliest + 7 * weeks
        return bits


@lru_cache(maxsize=2048)
def cron_fields(expr: str) -> CronFields:
    """Return the fields of an expression, shared by all who use the same text.

    Raises:
        InvalidTrigger: It is no cron expression, or could never fire.
    """
    return CronFields(expr)


def tokens_of(expr: str) -> list[str]:
    """Return an expression's fields as text, an alias resolved."""
    return _TOKEN.findall(ALIASES.get(expr.lower(), expr))


def is_hashed(expr: str) -> bool:
    """Whether some field is an ``H``, which needs a job's name."""
    return any(map(_HASHED.fullmatch, tokens_of(expr)))


def hashed(expr: str, name: str) -> str:
    """Return the expression with every ``H`` replaced by the values that *name* gives it."""

    def drawn(index: int, _: re.Match[str], low: int, high: int) -> str:
        fields = _expand(expr, f"{index} {name}")[0]  # each by itself, or they would go together
        if len(fields) > _PLAIN:  # croniter moves the seconds behind the weekdays
            fields.insert(0, fields.pop(_PLAIN))
        values = fields[index]
        return ",".join(map(str, range(low, high + 1) if "*" in values else values))

    return _without_h(expr, drawn)


def check_hashed(expr: str) -> None:
    """Raise unless an expression with ``H`` can be read, and fires for some name."""
    _expand(expr, "")
    year = tokens_of(expr)[_PLAIN + 1 :]
    if year and (match := _HASHED.fullmatch(year[0])) and match[1] is None:
        raise InvalidTrigger(f"expr must bound the years of an H, as in H(2030-2040), got {expr!r}")

    def whole(_: int, match: re.Match[str], low: int, high: int) -> str:
        return match[1].strip("()") if match[1] else f"{low}-{high}"

    cron_fields(_without_h(expr, whole))


def _without_h(expr: str, replace: Callable[[int, re.Match[str], int, int], str]) -> str:
    tokens = tokens_of(expr)
    ranges = _ranges(tokens)
    for index, token in enumerate(tokens):
        if match := _HASHED.fullmatch(token):
            tokens[index] = replace(index, match, *ranges[index])
    return " ".join(tokens)


def _expand(expr: str, name: str | None = None) -> tuple[list[_Values], dict[int, set[int | str]]]:
    tokens = tokens_of(expr)
    if any(map(_DRAWN.fullmatch, tokens)):
        raise InvalidTrigger(
            f"expr must not use R, whose values differ by host (H does not), got {expr!r}"
        )
    hash_id = None
    if name is not None:
        tokens = _with_bounds(tokens)
        hash_id = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    try:
        return croniter.expand(" ".join(tokens), hash_id=hash_id, second_at_beginning=True)  # type: ignore[return-value]
    except Exception as error:  # odd texts make croniter raise more than its own errors
        raise InvalidTrigger(f"expr must be a cron expression, got {expr!r}: {error}") from error


def _with_bounds(tokens: list[str]) -> list[str]:
    """Return *tokens*, in which each H says from what it is drawn."""
    bounded = list(tokens)
    for index, (token, (low, high)) in enumerate(zip(tokens, _ranges(tokens), strict=False)):
        match = _HASHED.fullmatch(token)
        if match is not None and match[1] is None:
            bounded[index] = f"h({low}-{high}){match[2] or ''}"
    return bounded


def _ranges(tokens: list[str]) -> tuple[tuple[int, int], ...]:
    return _RANGES if len(tokens) > _PLAIN else _RANGES[1:]


def _years(token: str, values: _Values) -> frozenset[int] | None:
    if token.startswith("*") and "*" in values:
        return None
    return frozenset(range(1970, 2100) if "*" in values else (int(each) for each in values))


def _mask(values: _Values, size: int) -> int:
    if "*" in values:
        return (1 << size) - 1
    mask = 0
    for value in values:
        if value != _LAST:
            mask |= 1 << int(value)
    return mask


def _minutes_of_day(hours: int, minutes: int) -> int:
    return sum(minutes << 60 * hour for hour in range(24) if hours >> hour & 1)


def _weeks(weekdays: int) -> list[int]:
    """Return the days of a month that fall on *weekdays*, for each weekday its first can be."""
    every_week = sum(weekdays << 7 * week for week in range(6))
    return [every_week >> first for first in range(7)]


def _nearest_weekday(day: int, first: int, length: int) -> int:
    """Return the working day nearest to *day* in the same month, as Quartz defines ``W``."""
    weekday = (first + day - 1) % 7
    if weekday == 6:  # noqa: PLR2004 - Saturday
        return day - 1 if day > 1 else day + 2
    if weekday == 0:
        return day + 1 if day < length else day - 2
    return day


_EVERY_MINUTE = (1 << _DAY_MINUTES) - 1
_EVERY_WEEKDAY = _weeks((1 << 7) - 1)


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _existing(day: int) -> int | None:
    return day if day <= LAST_DAY else None
