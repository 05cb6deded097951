"""Given moments, in order."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime

from aiosched.errors import InvalidTrigger
from aiosched.moments import from_us
from aiosched.triggers.base import Arguments, ZonedTrigger, put
from aiosched.triggers.checks import moment_us


class Once(ZonedTrigger):
    """Aware moments, each once, in order.

    Raises:
        InvalidTrigger: There is no moment, or one is naive.
    """

    __slots__ = ("_moments",)

    _moments: tuple[int, ...]

    def __init__(self, *moments: datetime) -> None:
        if not moments:
            raise InvalidTrigger("moments must name at least one aware datetime, got none")
        put(self, "_moments", tuple(sorted({moment_us(each, "moments") for each in moments})))
        put(self, "zone", UTC)

    def next_us(self, us: int, /) -> int | None:
        """Return the first moment strictly later than *us*; None after the last."""
        index = bisect_right(self._moments, us)
        return self._moments[index] if index < len(self._moments) else None

    def arguments(self) -> Arguments:
        """Return the moments in UTC."""
        return tuple(from_us(us) for us in self._moments), {}
