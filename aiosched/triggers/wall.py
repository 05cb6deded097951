"""Triggers that name wall times: a pattern, a zone, and a rule for where the two disagree."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Any, Self

from aiosched.triggers.base import BaseTrigger, put
from aiosched.triggers.checks import choice
from aiosched.triggers.walltime import (
    FIXED,
    UTC_LINE,
    Dst,
    First,
    Rule,
    Timeline,
    timeline,
    zone_argument,
)
from aiosched.triggers.walltime import zone as zone_of


class WallTrigger(BaseTrigger):
    """A trigger whose occurrences are wall times of a zone.

    Attributes:
        tz: Its zone; None: the scheduler's, and UTC until it is bound.
        dst: ``"vixie"``, ``"skip"`` or ``"both"``.
        zone: As *tz*, and UTC where that is None.
    """

    __slots__ = ("_first", "_line", "_rule", "dst", "tz", "zone")

    tz: tzinfo | None
    dst: Dst
    zone: tzinfo
    _first: First
    _line: Timeline
    _rule: Rule

    def _follow(
        self, first: First, tz: str | tzinfo | None, dst: Dst, rule: Rule | None = None
    ) -> None:
        """Take the pattern *first* in *tz*; *rule* is what *dst* means unless given."""
        put(self, "dst", choice(dst, "dst", tuple(FIXED)))
        put(self, "tz", None if tz is None else zone_of(tz))
        put(self, "_line", UTC_LINE if self.tz is None else timeline(self.tz))
        put(self, "zone", self.tz or UTC)
        put(self, "_first", first)
        put(self, "_rule", rule or FIXED[dst])

    def next_us(self, us: int, /) -> int | None:
        """Return the first occurrence strictly later than *us*; None: never again."""
        start, end, offset, reached = self._line.current
        wall = us + offset + 1
        if start <= us < end and wall >= reached:
            found = self._first(wall)
            if found is not None and found < end + offset:
                return found - offset
        return self._line.next_us(us, self._first, self._rule)

    def bind(self, *, name: str, tz: tzinfo) -> Self:  # noqa: ARG002 - Cron uses the name
        """Return the trigger in *tz*: itself where it has a zone already, or *tz* is UTC."""
        if self.tz is not None or tz is UTC:
            return self
        positional, keywords = self.arguments()
        return type(self)(*positional, **(keywords | {"tz": tz}))

    def _wall_arguments(self) -> dict[str, Any]:
        """Return ``tz`` and ``dst`` as keywords, where they are not the default."""
        keywords: dict[str, Any] = {}
        if self.tz is not None:
            keywords["tz"] = zone_argument(self.tz)
        if self.dst != "vixie":
            keywords["dst"] = self.dst
        return keywords
