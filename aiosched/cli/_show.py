"""How moments, distances and foreign text look on a screen."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from aiosched.protocols import Trigger
from aiosched.triggers.base import Value

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_SHOWN = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 60


def moment(at: datetime) -> str:
    """Return *at* in its own zone: weekday, date, time, offset and the zone's abbreviation."""
    text = at.isoformat(sep=" ", timespec="milliseconds" if at.microsecond else "seconds")
    clock, offset = text[: -len(_offset(at))], _offset(at)
    name = at.tzname() or ""
    return f"{at:%a} {clock} {offset}" + (f" {name}" if name.isalpha() else "")


def _offset(at: datetime) -> str:
    return at.isoformat(timespec="seconds")[len("2026-03-08T07:00:00") :]


def distance(ahead: timedelta) -> str:
    """Return *ahead* in its two largest units: ``in 3 h 12 min``, ``now``, ``2 d 1 h ago``."""
    rest = round(abs(ahead.total_seconds()))
    parts: list[str] = []
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    shown = " ".join(part for part in parts[:_SHOWN] if part)
    if not shown:
        return "now"
    return f"in {shown}" if ahead > timedelta(0) else f"{shown} ago"


def printable(text: str) -> str:
    """Return *text* on one line, with what a terminal would not show, or obey, written out."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def schedule(trigger: Trigger) -> str:
    """Return *trigger* as its repr, with datetimes in ISO format and no anchor at the Unix epoch.

    One that shows itself in a way of its own is shown so.
    """
    kind = type(trigger)
    own = (kind.__repr__, kind.__str__) != (Value.__repr__, Value.__str__)
    if own or not isinstance(trigger, Value):
        return str(trigger)
    positional, keywords = trigger.arguments()
    parts = [_argument(each) for each in positional]
    for name, each in keywords.items():
        if (name, each) != ("anchor", _EPOCH):
            parts.append(f"{name}={_argument(each)}")
    return f"{kind.__name__}({', '.join(parts)})"


def _argument(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else repr(value)


def complaint(error: Exception) -> str:
    """Return the kind of *error* and what it says, on one line of at most 60 characters."""
    text = printable(" ".join(f"{type(error).__name__}: {error}".split())).removesuffix(":")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
