"""Triggers made of triggers: either of two, one without the other, one within bounds."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Literal

from aiosched.durations import DAY
from aiosched.errors import InvalidTrigger
from aiosched.moments import aware_us, from_us, to_us
from aiosched.protocols import BindableTrigger
from aiosched.triggers.base import Arguments, BaseTrigger, put
from aiosched.triggers.checks import moment_us, refuse
from aiosched.triggers.civil import CYCLE_DAYS
from aiosched.triggers.dates import DaySet
from aiosched.triggers.interval import After

if TYPE_CHECKING:
    from aiosched.protocols import Trigger

_VAIN = CYCLE_DAYS * DAY  # all was removed for so long, in which every date occurs: nothing is left
_MOST = 500_000  # occurrences that are removed one by one, before the search is given up: 2 s
_MOST_TRIED = 200_000  # of them when a difference is made
_TRIED_FROM = to_us(datetime(2026, 1, 1, tzinfo=UTC))


class _Combined(BaseTrigger):
    """A trigger made of others, in the zone of the first.

    An `Every` without anchor among them counts from the Unix epoch.
    """

    __slots__ = ("_given", "zone")

    zone: tzinfo
    _given: tuple[BaseTrigger, ...]

    def _take(self, *parts: BaseTrigger) -> None:
        put(self, "_given", parts)
        put(self, "zone", parts[0].zone)

    def zone_at(self, us: int) -> tzinfo:
        """Return the zone of the part that names the occurrence at *us*."""
        return self._given[0].zone_at(us)

    def bind(self, *, name: str, tz: tzinfo) -> BaseTrigger:
        """Return it with all its parts bound: itself where that changes none."""
        return self._of(tuple(part.bind(name=name, tz=tz) for part in self._given))

    def anchored(self, at_us: int) -> BaseTrigger:
        """Return it with the phase of its intervals fixed: itself where that changes none."""
        return self._of(tuple(part.anchored(at_us) for part in self._given))

    def _of(self, parts: tuple[BaseTrigger, ...]) -> BaseTrigger:
        """Return the same combination of other parts."""
        changed = any(new is not old for new, old in zip(parts, self._given, strict=True))
        return self._remade(parts) if changed else self

    def _remade(self, parts: tuple[BaseTrigger, ...]) -> BaseTrigger:
        return type(self)(*parts)

    def arguments(self) -> Arguments:
        """Return the parts."""
        return tuple(map(_user, self._given)), {}


class Union(_Combined):
    """Every occurrence of any of its parts; one that several name is one occurrence."""

    __slots__ = ("_parts",)

    _parts: tuple[BaseTrigger, ...]

    def __init__(self, *triggers: Trigger) -> None:
        if not triggers:
            raise InvalidTrigger("triggers must name at least one, got none")
        parts: list[BaseTrigger] = []
        for trigger in triggers:
            parts.extend(trigger.parts if isinstance(trigger, Union) else [_own(trigger)])
        self._take(*parts)
        put(self, "_parts", tuple(part.anchored(0) for part in parts))

    @property
    def parts(self) -> tuple[BaseTrigger, ...]:
        """What it unites, no unions among them."""
        return self._given

    def next_us(self, us: int, /) -> int | None:
        """Return the earliest of its parts' next occurrences."""
        found = [each for part in self._parts if (each := part.next_us(us)) is not None]
        return min(found, default=None)

    def covers(self, other: BaseTrigger) -> bool:
        """Say whether some part is known to name every moment that *other* names."""
        return any(part.covers(other) for part in self._parts)

    def within(self, trigger: BaseTrigger) -> bool:
        """Say whether *trigger* is known to name whatever the parts name."""
        return all(part.within(trigger) for part in self._parts)

    def zone_at(self, us: int) -> tzinfo:
        """Return the zone of the first part that names *us*."""
        naming = (part for part in self._parts if part.next_us(us - 1) == us)
        return next(naming, self._parts[0]).zone_at(us)

    def __repr__(self) -> str:
        return " | ".join(map(_operand, self._given))


class Difference(_Combined):
    """The occurrences of one trigger that another does not name, or that lie on none of its days.

    Raises:
        InvalidTrigger: Nothing is left.
    """

    __slots__ = ("_left", "_taken")

    _left: BaseTrigger
    _taken: tuple[BaseTrigger, ...]

    def __init__(self, left: Trigger, right: Trigger) -> None:
        self._take(_own(left), _own(right))
        put(self, "_left", self._given[0].anchored(0))
        put(self, "_taken", tuple(part.anchored(0) for part in _alternatives(self._given[1])))
        if self._is_vain():
            raise InvalidTrigger(f"{self!r} must leave something, but names no moment")

    def next_us(self, us: int, /) -> int | None:
        """Return the first occurrence that is left.

        Raises:
            InvalidTrigger: So many in a row are taken away that the search was given up.
        """
        found, why_not = self._search(us, _MOST)
        if why_not != "too many":
            return found
        raise InvalidTrigger(
            f"{self!r} was given up: {_MOST:,} moments in a row are taken away after {from_us(us)}"
        )

    def within(self, trigger: BaseTrigger) -> bool:
        """Say whether *trigger* is known to name whatever may be left."""
        return super().within(trigger) or self._left.within(trigger)

    def bind(self, *, name: str, tz: tzinfo) -> BaseTrigger:
        """Return it bound; days that are taken away stay those of the left trigger's zone."""
        left, right = self._given
        parts = _alternatives(right)
        bound = tuple(
            part if isinstance(part, DaySet) else part.bind(name=name, tz=tz) for part in parts
        )
        changed = any(new is not old for new, old in zip(bound, parts, strict=True))
        return self._of((left.bind(name=name, tz=tz), Union(*bound) if changed else right))

    def _search(
        self, us: int, most: int
    ) -> tuple[int | None, Literal["in vain", "too many"] | None]:
        """Return the next occurrence, and why there is none unless the left trigger has ended."""
        first: int | None = None
        for _ in range(most):
            found = self._left.next_us(us)
            removed = None if found is None else self._removed(found)
            if found is None or removed is None:
                return found, None
            first, us = found if first is None else first, removed
            if us - first > _VAIN:
                return None, "in vain"
        return None, "too many"

    def _removed(self, us: int) -> int | None:
        """Return until when, *us* included, everything is removed; None: *us* is not."""
        ends = (self._removed_by(part, us) for part in self._taken)
        return max((end for end in ends if end is not None), default=None)

    def _removed_by(self, part: BaseTrigger, us: int) -> int | None:
        if isinstance(part, DaySet):
            return part.covered(us, self._left.zone_at(us))
        return part.covers_until(self._left, us) if part.next_us(us - 1) == us else None

    def _is_vain(self) -> bool:
        """Say whether it is known that nothing is left, though something was there."""
        if any(self._left.within(part) for part in self._taken):
            return True
        try:
            return self._search(_TRIED_FROM, _MOST_TRIED)[1] == "in vain"
        except Exception:  # noqa: BLE001 - a part may have to be bound before it can be asked
            return False

    def __repr__(self) -> str:
        return " - ".join(map(_operand, self._given))


class Between(_Combined):
    """The occurrences from *start* to *end*, both included."""

    __slots__ = ("_end", "_start", "_trigger")

    _end: int | None
    _start: int | None
    _trigger: BaseTrigger

    def __init__(
        self, trigger: Trigger, start: datetime | None = None, end: datetime | None = None
    ) -> None:
        self._take(_own(trigger))
        put(self, "_start", None if start is None else moment_us(start, "start"))
        put(self, "_end", None if end is None else moment_us(end, "end"))
        if self._start is not None and self._end is not None and self._start > self._end:
            refuse("end", f"not lie before start={start!r}", end)
        put(self, "_trigger", self._given[0].anchored(self._start or 0))

    def next_us(self, us: int, /) -> int | None:
        """Return the next occurrence within the bounds."""
        if self._start is not None and us < self._start:
            us = self._start - 1
        found = self._trigger.next_us(us)
        within = found is not None and (self._end is None or found <= self._end)
        return found if within else None

    def covers(self, other: BaseTrigger) -> bool:
        """Say whether *other* is known to be within, which a trigger with an end never is."""
        is_open = self._start is None and self._end is None
        return self == other or (is_open and other.within(self._trigger))

    def covers_until(self, other: BaseTrigger, us: int) -> int:
        """Return until when every moment of *other* is known to be one of these, from *us* on."""
        until = self._trigger.covers_until(other, us)
        return until if self._end is None else min(until, self._end)

    def within(self, trigger: BaseTrigger) -> bool:
        """Say whether *trigger* is known to name whatever lies within the bounds, or beyond."""
        return super().within(trigger) or self._trigger.within(trigger)

    def anchored(self, at_us: int) -> BaseTrigger:
        """Return it with the phase of its intervals fixed, unless *start* has fixed it."""
        return self if self._start is not None else super().anchored(at_us)

    def _remade(self, parts: tuple[BaseTrigger, ...]) -> BaseTrigger:
        return Between(parts[0], **self._bounds())

    def _bounds(self) -> dict[str, Any]:
        bounds = {"start": self._start, "end": self._end}
        return {name: from_us(us) for name, us in bounds.items() if us is not None}

    def arguments(self) -> Arguments:
        """Return the trigger, and the bounds in UTC."""
        return super().arguments()[0], self._bounds()

    def __repr__(self) -> str:
        bounds = ", ".join(f"{name}={moment!r}" for name, moment in self._bounds().items())
        return f"{_operand(self._given[0])}.between({bounds})"


class Foreign(BaseTrigger):
    """A user's trigger that has only `next_after`."""

    __slots__ = ("_trigger",)

    _trigger: Trigger

    def __init__(self, trigger: Trigger) -> None:
        put(self, "_trigger", trigger)

    @property
    def trigger(self) -> Trigger:
        """The user's trigger."""
        return self._trigger

    def next_us(self, us: int, /) -> int | None:
        """Return what `next_after` gives.

        Raises:
            TypeError: That is no datetime.
            ValueError: It is naive, or not strictly later.
        """
        moment = self._trigger.next_after(from_us(us))
        if moment is None:
            return None
        found = aware_us(moment, f"next_after of {self!r}")
        if found <= us:
            raise ValueError(
                f"{self!r} must give a later moment than {from_us(us)}, got {moment!r}"
            )
        return found

    def zone_at(self, us: int) -> tzinfo:
        """Return the zone of the datetime that it gives."""
        found = self._trigger.next_after(from_us(us - 1))
        return (found and found.tzinfo) or UTC

    def bind(self, *, name: str, tz: tzinfo) -> BaseTrigger:
        """Return the user's trigger bound, if it wants to be."""
        if not isinstance(self._trigger, BindableTrigger):
            return self
        bound = self._trigger.bind(name=name, tz=tz)
        return self if bound is self._trigger else Foreign(bound)

    def arguments(self) -> Arguments:
        """Return the user's trigger."""
        return (self._trigger,), {}

    def __repr__(self) -> str:
        return repr(self._trigger)


def is_trigger(value: object) -> bool:
    """Whether *value* can be combined with triggers."""
    return not isinstance(value, type) and callable(getattr(value, "next_after", None))


def _alternatives(trigger: BaseTrigger) -> tuple[BaseTrigger, ...]:
    return trigger.parts if isinstance(trigger, Union) else (trigger,)


def _own(trigger: Trigger) -> BaseTrigger:
    if isinstance(trigger, After):
        raise InvalidTrigger(f"{trigger!r} must stand alone: it counts from the job's start")
    return trigger if isinstance(trigger, BaseTrigger) else Foreign(trigger)


def _user(trigger: BaseTrigger) -> Trigger:
    return trigger.trigger if isinstance(trigger, Foreign) else trigger


def _operand(trigger: BaseTrigger) -> str:
    inner = isinstance(trigger, (Union, Difference))
    return f"({trigger!r})" if inner else repr(trigger)
