"""Cron expressions, by Debian's rules."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, NoReturn, Self, cast

from aiosched.durations import DAY
from aiosched.errors import InvalidTrigger
from aiosched.triggers.base import Arguments, BaseTrigger, put
from aiosched.triggers.checks import choice, duration_us, refuse
from aiosched.triggers.civil import month_of, month_start
from aiosched.triggers.cronfields import check_hashed, cron_fields, hashed, is_hashed
from aiosched.triggers.interval import Every
from aiosched.triggers.wall import WallTrigger
from aiosched.triggers.walltime import ELAPSED, FIXED, Dst, First
from aiosched.triggers.walltime import zone as zone_of

if TYPE_CHECKING:
    from datetime import tzinfo

_ZONED = re.compile(r"\s*(?:(?:CRON_)?TZ=(\S*)\s+)?(\S.*)", re.DOTALL)
_EVERY = re.compile(r"@every\s+(.*)", re.DOTALL | re.IGNORECASE)


class Cron(WallTrigger):
    """A cron expression of 5 fields; 6: seconds first; 7: the year last.

    Day of month and day of week: either may match if neither starts with ``*`` (or is ``?``), else
    both must, as Debian's cron has it. ``H`` is a value drawn from the job's name: `bind` gives a
    trigger with the values written out. ``@every 90s`` makes an `Every`.

    Args:
        expr: The expression; a ``TZ=`` or ``CRON_TZ=`` prefix wins over *tz*.
        tz: The zone of its wall times; None: the scheduler's.
        dst: What becomes of fixed times that do not exist or exist twice: ``"vixie"`` (once, after
            the gap; the first time), ``"skip"`` (not in a gap) or ``"both"`` (both times).

    Raises:
        InvalidTrigger: The expression cannot be read or would never fire, or the zone is unknown.
    """

    __slots__ = ("_needs_name", "expr")

    expr: str
    _needs_name: bool

    def __new__(cls, expr: str, tz: str | tzinfo | None = None, dst: Dst = "vixie") -> Self:
        """Make a `Cron`; of ``@every …`` an `Every`, whose ways the job then has."""
        text, tz = _split(expr, tz)
        every = _EVERY.fullmatch(text)
        if every is None:
            return super().__new__(cls)
        choice(dst, "dst", tuple(FIXED))
        if tz is not None:
            zone_of(tz)
        interval = timedelta(microseconds=duration_us(every[1], "expr"))
        return cast("Self", Every(interval))

    def __init__(self, expr: str, tz: str | tzinfo | None = None, dst: Dst = "vixie") -> None:
        text, tz = _split(expr, tz)
        put(self, "expr", text)
        put(self, "_needs_name", is_hashed(text))
        if self._needs_name:
            check_hashed(text)
            self._follow(partial(_needs_name, text), tz, dst)
            return
        fields = cron_fields(text)
        first: First = fields.first_second if fields.by_seconds else fields.first_minute
        self._follow(first, tz, dst, ELAPSED if fields.wildcard else None)
        if fields.years and self.tz is not None:
            self._check_years(fields.years)

    def bind(self, *, name: str, tz: tzinfo) -> Self:
        """Return the trigger with every ``H`` drawn from *name*, in *tz* unless it has a zone.

        Raises:
            InvalidTrigger: What was drawn never fires, such as 30 February.
        """
        if not self._needs_name:
            return super().bind(name=name, tz=tz)
        drawn = type(self)(hashed(self.expr, name), self.tz, self.dst)
        return drawn.bind(name=name, tz=tz)

    def covers(self, other: BaseTrigger) -> bool:
        """Say whether every moment of *other* is known to be one of these."""
        if self == other:
            return True
        if self._needs_name:
            return False
        fields = cron_fields(self.expr)
        if isinstance(other, WallTrigger) and fields.is_always():
            return True
        if not self._includes(other):
            return False
        theirs = cron_fields(other.expr).years if isinstance(other, Cron) else None
        return fields.years is None or (theirs is not None and theirs <= fields.years)

    def covers_until(self, other: BaseTrigger, us: int) -> int:
        """Return until when every moment of *other* is known to be one of these, from *us* on."""
        if self._needs_name or not (years := cron_fields(self.expr).years):
            return super().covers_until(other, us)
        if not self._includes(other):
            return us
        year = month_of((us + self._line.segment(us)[2]) // DAY) // 12
        while year in years:
            year += 1
        return max(us, (month_start(12 * year) - 2) * DAY)  # safely before the year that is not

    def _includes(self, other: BaseTrigger) -> bool:
        """Say whether *other* is as these, if not for the years, but with less."""
        if not isinstance(other, Cron) or other._needs_name:  # noqa: SLF001 - of this class
            return False
        if self.zone != other.zone or self._rule != other._rule:  # noqa: SLF001 - of this class
            return False
        return cron_fields(self.expr).includes(cron_fields(other.expr))

    def arguments(self) -> Arguments:
        """Return the expression without its prefix; the zone and ``dst``."""
        return (self.expr,), self._wall_arguments()

    def _check_years(self, years: frozenset[int]) -> None:
        before = month_start(12 * min(years)) * DAY - 2 * DAY
        if self.next_us(before) is None:
            raise InvalidTrigger(f"expr must fire some day in {self.zone}, got {self.expr!r}")


def _split(expr: str, tz: str | tzinfo | None) -> tuple[str, str | tzinfo | None]:
    """Return the expression without its prefix, and the zone that counts."""
    match = _ZONED.fullmatch(expr) if isinstance(expr, str) else None
    if match is None:
        refuse("expr", "be a cron expression", expr)
    if match[2].strip().lower() == "@reboot":
        refuse("expr", "name times (run_on_start=True runs a job at the start)", expr)
    return match[2].strip(), tz if match[1] is None else match[1]


def _needs_name(expr: str, _: int) -> NoReturn:
    raise InvalidTrigger(
        f"expr {expr!r} has an H: it names times only once bound to a job's name, "
        "as in bind(name=..., tz=UTC)"
    )
