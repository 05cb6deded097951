"""Recurrence rules of RFC 5545, in wall time."""

from __future__ import annotations

from datetime import date, datetime, time, tzinfo

from aiosched.durations import DAY
from aiosched.errors import InvalidTrigger
from aiosched.triggers.base import Arguments, put
from aiosched.triggers.checks import refuse
from aiosched.triggers.rruleparts import is_wildcard, read, times_of, until, written
from aiosched.triggers.rrulewalk import wall_us
from aiosched.triggers.wall import WallTrigger
from aiosched.triggers.walltime import ELAPSED, Dst
from aiosched.triggers.walltime import zone as zone_of

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall time


class RRule(WallTrigger):
    """A recurrence rule, its times being wall times of a zone.

    A rule by the hour, minute or second that does not say ``BYHOUR`` (or, by the minute or second,
    not ``BYMINUTE``) is a wildcard: it follows elapsed time, as ``*`` in a cron expression does.

    Args:
        rule: What comes after ``RRULE:``, such as ``"FREQ=MONTHLY;BYDAY=-1FR"``.
        start: The first time that may recur, which gives what the rule leaves open: a wall time of
            the zone, a date, or an aware datetime, whose zone counts if *tz* is not given. Default
            1970-01-01T00:00.
        tz, dst: As of `Cron`.

    Raises:
        InvalidTrigger: The rule cannot be read, or never names a time.
    """

    __slots__ = ("_end", "rule", "start")

    rule: str
    start: datetime
    _end: int | None  # an instant

    def __init__(
        self,
        rule: str,
        *,
        start: date | None = None,
        tz: str | tzinfo | None = None,
        dst: Dst = "vixie",
    ) -> None:
        parts = read(rule)
        begin, tz = _begin(start, tz)
        last, is_utc = until(parts)
        put(self, "rule", written(parts))
        put(self, "start", begin)
        put(self, "_end", wall_us(last) if last and is_utc else None)
        times = times_of(self.rule, begin)
        self._follow(times.first, tz, dst, ELAPSED if is_wildcard(parts) else None)
        if self.next_us(wall_us(begin) - 2 * DAY) is None:
            raise InvalidTrigger(f"rule must name a time, got {rule!r} with start={begin}")

    def next_us(self, us: int, /) -> int | None:
        """Return the first occurrence strictly later than *us*; None: never again."""
        found = super().next_us(us)
        return None if found is None or (self._end is not None and found > self._end) else found

    def arguments(self) -> Arguments:
        """Return the rule, where it starts if not at the epoch, and the zone."""
        start = {} if self.start == _EPOCH else {"start": self.start}
        return (self.rule,), start | self._wall_arguments()


def _begin(start: date | None, tz: str | tzinfo | None) -> tuple[datetime, str | tzinfo | None]:
    """Return the start as a wall time, and the zone whose wall it is."""
    if start is None:
        return _EPOCH, tz
    if not isinstance(start, date):
        refuse("start", "be a datetime or a date", start)
    if not isinstance(start, datetime):
        return datetime.combine(start, time()), tz
    if start.microsecond:
        refuse("start", "be a whole second", start)
    if start.tzinfo is None:
        return start.replace(fold=0), tz
    tz = start.tzinfo if tz is None else tz
    zone = zone_of(tz)
    try:
        return start.astimezone(zone).replace(tzinfo=None, fold=0), tz
    except OverflowError:
        refuse("start", f"lie in the years 1 to 9999 in {zone}", start)
