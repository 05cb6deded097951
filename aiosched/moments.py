"""Moments: whole microseconds since the Unix epoch inside, aware datetimes at the border."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400_000_000


def to_us(moment: datetime) -> int:
    """Return the aware *moment* as microseconds since the epoch, exactly."""
    since = moment - EPOCH
    return since.days * _DAY + since.seconds * 1_000_000 + since.microseconds


def from_us(us: int, tz: tzinfo = UTC) -> datetime:
    """Return microseconds since the epoch as an aware datetime in *tz*.

    Raises:
        OverflowError: The moment lies outside the years 1 to 9999.
    """
    moment = EPOCH + timedelta(0, 0, us)  # by position: a third faster than by keyword
    return moment if tz is UTC else moment.astimezone(tz)


def aware_us(moment: datetime, argument: str) -> int:
    """Return the aware *moment* as microseconds, or complain of *argument*.

    Raises:
        TypeError: It is no datetime.
        ValueError: It is naive.
    """
    if not isinstance(moment, datetime):
        raise TypeError(f"{argument} must be an aware datetime, got {moment!r}")
    if moment.utcoffset() is None:
        raise ValueError(f"{argument} must be aware (have a tzinfo), got {moment!r}")
    return to_us(moment)
