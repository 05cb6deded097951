"""Registering jobs: the decorators that a `Scheduler` and a `JobGroup` share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, Unpack

from aiosched.options import JobSpec, check_names, defaults
from aiosched.triggers import After, Cron, Daily, Every, Monthly, Once, RandomEvery, Weekly

if TYPE_CHECKING:
    from aiosched.durations import Duration
    from aiosched.options import JobOptions
    from aiosched.protocols import Trigger
    from aiosched.triggers.calendar import Weekday
    from aiosched.triggers.checks import WallTime
    from aiosched.triggers.walltime import Dst

F = TypeVar("F", bound=Callable[..., Any])


_PARTS = ("weeks", "days", "hours", "minutes", "seconds", "milliseconds", "anchor")
_CALL = frozenset({"args", "kwargs"})


class Registrar(ABC):
    """What jobs can be registered with.

    Every decorator takes its trigger's arguments and the options of a job, and returns the function
    unchanged.
    """

    @abstractmethod
    def add(
        self,
        func: Callable[..., Any],
        trigger: Trigger,
        /,
        *,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[JobOptions],
    ) -> Any:
        """Register *func*, called with *args* and *kwargs* whenever *trigger* says."""

    def job(self, trigger: Trigger, /, **options: Unpack[JobOptions]) -> Callable[[F], F]:
        """Register the function for any trigger."""

        def register(func: F) -> F:
            self.add(func, trigger, **options)
            return func

        return register

    def every(  # noqa: PLR0913 - the trigger's own
        self,
        interval: Duration | None = None,
        /,
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        milliseconds: float = 0,
        anchor: datetime | None = None,
        **options: Unpack[JobOptions],
    ) -> Callable[[F], F]:
        """Register the function for a fixed interval; see `Every`."""
        check_names(options.keys() - _CALL, _PARTS)
        trigger = Every(
            interval,
            weeks=weeks,
            days=days,
            hours=hours,
            minutes=minutes,
            seconds=seconds,
            milliseconds=milliseconds,
            anchor=anchor,
        )
        return self.job(trigger, **options)

    def random_every(
        self,
        min: Duration,  # noqa: A002 - the trigger's own
        max: Duration,  # noqa: A002 - the trigger's own
        seed: str | int | None = None,
        **options: Unpack[JobOptions],
    ) -> Callable[[F], F]:
        """Register the function for random intervals; see `RandomEvery`."""
        return self.job(RandomEvery(min, max, seed=seed), **options)

    def cron(
        self,
        expr: str,
        tz: str | tzinfo | None = None,
        dst: Dst = "vixie",
        **options: Unpack[JobOptions],
    ) -> Callable[[F], F]:
        """Register the function for a cron expression; see `Cron`."""
        return self.job(Cron(expr, tz=tz, dst=dst), **options)

    def daily(
        self,
        at: WallTime | Iterable[WallTime] = "00:00",
        every: int = 1,
        *,
        tz: str | tzinfo | None = None,
        dst: Dst = "vixie",
        anchor: date | None = None,
        **options: Unpack[JobOptions],
    ) -> Callable[[F], F]:
        """Register the function for wall times of every day, or every *every*-th; see `Daily`."""
        return self.job(Daily(at, every=every, tz=tz, dst=dst, anchor=anchor), **options)

    def weekly(  # noqa: PLR0913 - the trigger's own
        self,
        on: Weekday | Iterable[Weekday],
        at: WallTime | Iterable[WallTime] = "00:00",
        every: int = 1,
        *,
        week_start: Weekday = "MON",
        tz: str | tzinfo | None = None,
        dst: Dst = "vixie",
        anchor: date | None = None,
        **options: Unpack[JobOptions],
    ) -> Callable[[F], F]:
        """Register the function for days of the week; see `Weekly`."""
        trigger = Weekly(on, at, every=every, week_start=week_start, tz=tz, dst=dst, anchor=anchor)
        return self.job(trigger, **options)

    def monthly(  # noqa: PLR0913 - the trigger's own
        self,
        on: int | Iterable[int],
        at: WallTime | Iterable[WallTime] = "00:00",
        every: int = 1,
        *,
        missing: Literal["skip", "clamp"] = "skip",
        tz: str | tzinfo | None = None,
        dst: Dst = "vixie",
        anchor: date | None = None,
        **options: Unpack[JobOptions],
    ) -> Callable[[F], F]:
        """Register the function for days of the month; see `Monthly`."""
        trigger = Monthly(on, at, every=every, missing=missing, tz=tz, dst=dst, anchor=anchor)
        return self.job(trigger, **options)

    def once(
        self, *moments: datetime, after: Duration | None = None, **options: Unpack[JobOptions]
    ) -> Callable[[F], F]:
        """Register the function for moments, or for one moment *after* the job's start.

        Raises:
            TypeError: Both are given, or neither.
        """
        if (after is None) == (not moments):
            raise TypeError(f"once takes moments or after, got {moments!r} and after={after!r}")
        trigger: Trigger = Once(*moments) if after is None else After(after)
        return self.job(trigger, **options)


class _Entry(NamedTuple):
    func: Callable[..., Any]
    trigger: Trigger
    args: Sequence[Any]
    kwargs: Mapping[str, Any] | None
    options: Mapping[str, Any]


class JobGroup(Registrar):
    """Jobs of a module, collected without a scheduler; `Scheduler.include` adds them.

    Args:
        options: Defaults of the group's jobs; what a job says itself comes first, and tags add up.
    """

    def __init__(self, **options: Unpack[JobOptions]) -> None:
        if "name" in options:
            raise TypeError(
                f"name must be given to a job, not to its group, got {options['name']!r}"
            )
        self._options = _checked(options)
        self._entries: list[_Entry] = []

    def add(
        self,
        func: Callable[..., Any],
        trigger: Trigger,
        /,
        *,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[JobOptions],
    ) -> None:
        """Collect a job; it is checked whole when the group is included."""
        own = _checked(options)
        merged = {**self._options, **own}
        tags = (*(self._options.get("tags") or ()), *(own.get("tags") or ()))
        if tags:
            merged["tags"] = tags
        self._entries.append(_Entry(func, trigger, args, kwargs, merged))

    def __iter__(self) -> Iterator[_Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return *options*, each checked by itself: a mistake is told where it is made."""
    spec = defaults(JobSpec(), {name: options[name] for name in options if name != "name"})
    kept = dict(options)
    for name in ("tags", "gates"):  # which may be iterators
        if kept.get(name) is not None:
            kept[name] = getattr(spec, name)
    return kept
