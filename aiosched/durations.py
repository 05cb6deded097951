"""Durations as users write them, as whole microseconds."""

from __future__ import annotations

import math
import re
from datetime import timedelta

Duration = float | timedelta | str
"""Seconds, a timedelta, or text such as ``"90s"``, ``"1h30m"`` or ``"250ms"``."""

MICROSECOND = 1
MILLISECOND = 1_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY

_UNITS = {
    "us": MICROSECOND,
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
    "d": DAY,
    "w": WEEK,
}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|d|w)")
_WHOLE = re.compile(rf"\s*(?:{_PART.pattern}\s*)+")
_LONGEST = timedelta.max // timedelta(microseconds=1)


def microseconds(value: Duration, argument: str, *, minimum: int = 0) -> int:
    """Return *value* in whole microseconds.

    Args:
        value: Seconds, a timedelta, or text of numbers with the units
            ``us, ms, s, m, h, d, w``, added up.
        argument: The name to blame in an error.
        minimum: The smallest duration allowed, in microseconds.

    Raises:
        TypeError: *value* is of another type.
        ValueError: *value* cannot be read, is not finite, or is too short or too long.
    """
    micros = _read(value, argument)
    if micros < minimum:
        least = "positive" if minimum == 1 else f"at least {minimum / SECOND:g} s"
        raise ValueError(f"{argument} must be {least}, got {value!r}")
    if micros > _LONGEST:
        raise ValueError(f"{argument} is too long, got {value!r}")
    return micros


def _read(value: Duration, argument: str) -> int:
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if isinstance(value, str):
        return _parse(value, argument)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f"{argument} must be seconds, a timedelta or text like '90s', got {value!r}"
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{argument} must be finite, got {value!r}")
    return _rounded(value * SECOND)


def _parse(text: str, argument: str) -> int:
    found = _PART.findall(text)
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{argument} must look like '90s' or '1h30m', got {text!r}")
    # Whole numbers stay whole: a float is exact for 285 years of microseconds only.
    parts = ((float if "." in number else int)(number) * _UNITS[unit] for number, unit in found)
    return _rounded(sum(parts))


def _rounded(micros: float) -> int:
    return round(max(-1, min(micros, _LONGEST + 1)))  # both ends are refused by whoever asked
