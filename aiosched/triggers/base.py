"""The trunk of every built-in trigger: a value, integers inside, datetimes at the border."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, NoReturn, Self

from aiosched.moments import aware_us, from_us, to_us

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiosched.protocols import Trigger

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments that make an equal value again."""

put: Callable[[object, str, Any], None] = object.__setattr__
"""Sets an attribute of a value while it is being made."""

LAST_US = to_us(datetime.max.replace(tzinfo=UTC))
"""The last moment a datetime can name; no occurrence lies after it."""


_SECOND_DAY = to_us(datetime(1, 1, 2, tzinfo=UTC)) + 1


class Value:
    """Immutable, compared, hashed, shown and pickled by the arguments that made it."""

    __slots__ = ()

    def arguments(self) -> Arguments:
        """Return the arguments that make an equal value; keywords at their default are left out."""
        raise NotImplementedError

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is immutable: {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Value) or type(self) is not type(other):
            return NotImplemented
        return self.arguments() == other.arguments()

    def __hash__(self) -> int:
        # Keywords stay out: some zones (dateutil's) cannot be hashed.
        return hash((type(self), self.arguments()[0]))

    def __repr__(self) -> str:
        positional, keywords = self.arguments()
        parts = [repr(part) for part in positional]
        parts += [f"{name}={part!r}" for name, part in keywords.items()]
        return f"{type(self).__name__}({', '.join(parts)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _remake, (type(self), *self.arguments())


class BaseTrigger(Value):
    """A pure trigger: subclasses give `next_us`, everything else follows from it.

    Attributes:
        zone: That of the datetimes that `next_after` returns.
        elapsed: Whether occurrences are spaced from the job's start instead of being wall moments.
    """

    __slots__ = ()

    zone: tzinfo = UTC
    elapsed: bool = False

    def next_us(self, us: int, /) -> int | None:
        """Return the first occurrence strictly later than *us*; None: never again.

        Both are microseconds since the Unix epoch.
        """
        raise NotImplementedError

    def next_after(self, moment: datetime, /) -> datetime | None:
        """Return the first occurrence strictly later than the aware *moment*, in `zone`.

        None means never again, or not before the year 10000.

        Raises:
            ValueError: *moment* is naive.
        """
        try:
            us = to_us(moment)
        except TypeError:
            us = aware_us(moment, "moment")  # says what is wrong with it
        found = self.next_us(us)
        try:
            return None if found is None else from_us(found, self.zone)
        except OverflowError:  # in its zone the year is not 1 yet, or 9999 no more
            found = self.next_us(_SECOND_DAY) if us < _SECOND_DAY else None
            return None if found is None else from_us(found, self.zone)

    def upcoming(self, us: int) -> Iterator[int]:
        """Yield the occurrences strictly later than *us*, in microseconds."""
        while (found := self.next_us(us)) is not None:
            yield found
            us = found

    def bind(self, *, name: str, tz: tzinfo) -> BaseTrigger:  # noqa: ARG002 - subclasses use them
        """Return the trigger that knows the job's name and the scheduler's zone."""
        return self

    def zone_at(self, us: int) -> tzinfo:  # noqa: ARG002 - combinations use it
        """Return the zone whose days the occurrence at *us* counts by."""
        return self.zone

    def anchored(self, at_us: int) -> BaseTrigger:  # noqa: ARG002 - subclasses use it
        """Return the trigger with its phase fixed at a moment, if it had none: else itself."""
        return self

    def covers(self, other: BaseTrigger) -> bool:
        """Say whether these are known to name every moment that *other* names, itself no mixture.

        For a difference, which then need not look at each of them. False: it is not known.
        """
        return self == other

    def within(self, trigger: BaseTrigger) -> bool:
        """Say whether *trigger* is known to name every moment that this one names."""
        return trigger.covers(self)

    def covers_until(self, other: BaseTrigger, us: int) -> int:
        """Return until when every moment of *other* is known to be one of these, from *us* on.

        Both name *us*; the end is included.
        """
        return LAST_US if other.within(self) else us

    def between(self, start: datetime | None = None, end: datetime | None = None) -> BaseTrigger:
        """Return the occurrences from *start* to *end*, both included; None leaves a side open.

        An `Every` without anchor counts from *start*.

        Raises:
            InvalidTrigger: A bound is no aware datetime, or *end* lies before *start*.
        """
        bounded: BaseTrigger = _combine().Between(self, start, end)
        return bounded

    def __or__(self, other: Trigger) -> BaseTrigger:
        combine = _combine()
        return combine.Union(self, other) if combine.is_trigger(other) else NotImplemented

    def __ror__(self, other: Trigger) -> BaseTrigger:
        combine = _combine()
        return combine.Union(other, self) if combine.is_trigger(other) else NotImplemented

    def __sub__(self, other: Trigger) -> BaseTrigger:
        combine = _combine()
        return combine.Difference(self, other) if combine.is_trigger(other) else NotImplemented

    def __rsub__(self, other: Trigger) -> BaseTrigger:
        combine = _combine()
        return combine.Difference(other, self) if combine.is_trigger(other) else NotImplemented


class ZonedTrigger(BaseTrigger):
    """A trigger that names instants: a zone only shows them.

    Attributes:
        zone: UTC, or the scheduler's zone once bound.
    """

    __slots__ = ("zone",)

    zone: tzinfo

    def bind(self, *, name: str, tz: tzinfo) -> Self:  # noqa: ARG002 - a subclass uses the name
        """Return the trigger that gives its datetimes in *tz*."""
        return self if tz is self.zone else self.shown_in(tz)

    def shown_in(self, tz: tzinfo) -> Self:
        """Return the trigger that gives its datetimes in *tz*."""
        positional, keywords = self.arguments()
        copy = type(self)(*positional, **keywords)
        put(copy, "zone", tz)
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        return _remake_in, (type(self), *self.arguments(), self.zone)


def _combine() -> Any:
    from aiosched.triggers import combine  # noqa: PLC0415 - it builds on this module

    return combine


def _remake(kind: type[Value], positional: tuple[Any, ...], keywords: dict[str, Any]) -> Value:
    return kind(*positional, **keywords)


def _remake_in(
    kind: type[ZonedTrigger], positional: tuple[Any, ...], keywords: dict[str, Any], zone: tzinfo
) -> ZonedTrigger:
    return kind(*positional, **keywords).shown_in(zone)
