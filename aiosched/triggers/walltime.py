"""Wall time and instants: the only file that knows what a zone does to a clock.

A zone's timeline is cut into segments of one offset each. Within a segment wall time is an
addition; what a gap or a fold does to a trigger happens only where one segment meets the next.
"""

from __future__ import annotations

import difflib
from bisect import bisect_right
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from importlib import resources
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from aiosched.durations import DAY, HOUR
from aiosched.errors import InvalidTrigger
from aiosched.moments import EPOCH, to_us

Dst = Literal["vixie", "skip", "both"]
"""What becomes of a fixed wall time that does not exist, or exists twice."""

First = Callable[[int], int | None]
"""A pattern: its first wall time at or after one, in µs since 1970-01-01T00:00 on the wall."""

Segment = tuple[int, int, int, int]
"""``start, end, offset, reached``: instants in [start, end) read *offset* later on the wall, which
had shown all times before *reached* by *start*: above start + offset after a fold, below it after
a gap. Microseconds all, and a bare tuple because every occurrence unpacks one."""

FIRST_US = to_us(datetime(1, 1, 3, tzinfo=UTC))
"""Where offsets are first asked for: far enough from the year 1 for any offset."""
END_US = to_us(datetime.max.replace(tzinfo=UTC)) + 1
"""The end of time: no occurrence at or after it."""
LAST_WALL = END_US - 1
"""The last wall time a datetime can show."""

_CLOCK_RESET = 3 * HOUR  # Debian cron takes a longer jump for a clock that was set
_FAR = 2 * DAY  # offsets lie within a day of UTC, so no two differ by more
_ROUNDS = 1500  # 400 years of vain candidates, after which zones' rules repeat: it is over


class Rule(NamedTuple):
    """How a trigger behaves where segments meet.

    Attributes:
        once: Only the first pass of a repeated time counts.
        late: A time within a gap fires at the first instant after it.
    """

    once: bool
    late: bool


ELAPSED = Rule(once=False, late=False)
"""A wildcard follows elapsed time: nothing in a gap, both passes of a repeated hour."""

FIXED: dict[str, Rule] = {
    "vixie": Rule(once=True, late=True),
    "skip": Rule(once=True, late=False),
    "both": Rule(once=False, late=True),
}
"""Fixed times, by the trigger's ``dst``."""


class Timeline:
    """One zone's offsets as segments, found by asking the zone and kept in chunks of time.

    Nothing is assumed of the zone but that it answers `datetime.astimezone`. A change of offset
    that is taken back within the probing step goes unseen: 3 days for a `ZoneInfo` (the shortest
    period of the tz database lasts a week), 72 minutes for any other zone.
    """

    __slots__ = ("_bits", "_chunks", "_step", "current", "tz")

    def __init__(self, tz: tzinfo) -> None:
        self.tz: tzinfo = tz
        self._chunks: dict[int, list[Segment]] = {}
        self._bits, self._step = (45, 1 << 38) if isinstance(tz, ZoneInfo) else (40, 1 << 32)
        self.current: Segment = (
            0,
            0,
            0,
            0,
        )  # the segment last used; replaced whole, so threads agree
        if isinstance(tz, timezone):
            offset = self._offset(0)
            self.current = (-(1 << 62), END_US, offset, -(1 << 62))
        else:
            self.segment(0)

    def segment(self, us: int) -> Segment:
        """Return the segment that holds *us*, which lies before `END_US`."""
        current = self.current
        if current[0] <= us < current[1]:
            return current
        chunk = us >> self._bits
        segments = self._chunks.get(chunk) or self._discover(chunk)
        self.current = found = segments[bisect_right(segments, (us + 1,)) - 1]
        return found

    def next_us(self, us: int, first: First, rule: Rule) -> int | None:
        """Return the first occurrence of a wall-time pattern strictly later than *us*.

        Ends for every zone and pattern; None when nothing is found through `_ROUNDS` transitions.
        """
        if us >= LAST_WALL:
            return None
        segment = self.segment(us)
        lower = us + segment[2] + 1
        settled = us + _FAR  # a fold that begins later cannot show again what lies before us
        for _ in range(_ROUNDS):
            _, end, offset, reached = segment
            found = first(max(lower, reached) if rule.once else lower)
            if found is not None and found < end + offset:
                return found - offset
            if end >= END_US or (found is None and end > settled):
                return None
            if found is not None and end > settled and found - _FAR >= end:
                segment, lower = self.segment(found - _FAR), found
                continue
            segment = self.segment(end)
            if rule.late and _fires_late(segment, first):
                return end
            lower = end + segment[2]
        return None

    def _offset(self, us: int) -> int:
        moment = EPOCH + timedelta(microseconds=min(max(us, FIRST_US), END_US - _FAR))
        local = moment.astimezone(self.tz)
        # By what the wall shows, not utcoffset(): they differ in a fold for zones without `fold`.
        return to_us(local.replace(tzinfo=UTC)) - to_us(moment)

    def _discover(self, chunk: int) -> list[Segment]:
        start, end = chunk << self._bits, min((chunk + 1) << self._bits, END_US)
        segments: list[Segment] = []
        begin = start - _FAR
        offset = self._offset(begin)
        reached = begin + offset
        for change, after in (*self._changes(begin, end - 1, offset), (end, 0)):
            if change > start:
                shown = reached if begin >= start else max(reached, start + offset)
                segments.append((max(begin, start), change, offset, shown))
            reached = max(reached, change + offset)
            begin, offset = change, after
        if len(self._chunks) > 4096:  # noqa: PLR2004 - about a megabyte; it only ever costs time
            self._chunks.clear()
        self._chunks[chunk] = segments
        return segments

    def _changes(self, low: int, high: int, offset: int) -> list[tuple[int, int]]:
        """Return each instant in (low, high] where the offset changes, with the new offset."""
        changes: list[tuple[int, int]] = []
        while low < high:
            probe = min(low + self._step, high)
            while self._offset(probe) != offset:
                low = self._change(low, probe, offset)
                offset = self._offset(low)
                changes.append((low, offset))
            low = probe
        return changes

    def _change(self, low: int, high: int, offset: int) -> int:
        while high - low > 1:
            middle = (low + high) >> 1
            if self._offset(middle) == offset:
                low = middle
            else:
                high = middle
        return high


def _fires_late(segment: Segment, first: First) -> bool:
    start, _, offset, reached = segment
    opens = start + offset
    if not 0 < opens - reached < _CLOCK_RESET:
        return False
    missed = first(reached)
    return missed is not None and missed < opens


class _WheelZone(ZoneInfo):
    """A `ZoneInfo` read from the tzdata wheel; pickled by its key."""

    def __repr__(self) -> str:
        return f"zoneinfo.ZoneInfo(key={self.key!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return zone, (self.key,)


def zone(tz: str | tzinfo, argument: str = "tz") -> tzinfo:
    """Return a zone: a name is read from the tzdata wheel, a tzinfo is used as given.

    Raises:
        InvalidTrigger: There is no such zone, or it is neither a name nor a tzinfo.
    """
    if isinstance(tz, str):
        return _named(tz, argument)
    if not isinstance(tz, tzinfo):
        raise InvalidTrigger(f"{argument} must be a zone's name or a tzinfo, got {tz!r}")
    return tz


def timeline(tz: tzinfo, argument: str = "tz") -> Timeline:
    """Return the timeline of a zone, shared by all who ask for the same zone.

    Raises:
        InvalidTrigger: The zone cannot tell its offset.
    """
    try:
        return _shared(tz) if type(tz).__hash__ is not None else Timeline(tz)
    except Exception as error:  # a foreign tzinfo may raise anything
        raise InvalidTrigger(f"{argument} must give an offset, got {tz!r}: {error}") from error


def zone_argument(tz: tzinfo) -> str | tzinfo:
    """Return how to name *tz* in an argument: wheel zones by their key, others as they are."""
    return tz.key if isinstance(tz, _WheelZone) else tz


@lru_cache(maxsize=1024)
def _shared(tz: tzinfo) -> Timeline:
    return Timeline(tz)


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset((resources.files("tzdata") / "zones").read_text("utf-8").split())


@lru_cache(maxsize=1024)
def _named(name: str, argument: str) -> tzinfo:
    if name == "UTC":
        return UTC
    if name not in _names():
        near = difflib.get_close_matches(name, _names(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InvalidTrigger(f"{argument} must be a zone of the tz database, got {name!r}{hint}")
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return _WheelZone.from_file(file, key=name)


UTC_LINE = Timeline(UTC)
"""The timeline of a trigger that is not bound to a zone."""
