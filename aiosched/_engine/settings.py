"""The arguments of a scheduler, checked where they are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from aiosched.clock import SystemClock
from aiosched.options import JobSpec, defaults
from aiosched.protocols import Clock, Elector, Locker

if TYPE_CHECKING:
    from aiosched.options import JobOptions


def base_spec(
    locker: Locker | None, elector: Elector | None, options: JobOptions | None
) -> JobSpec:
    """Return the options that jobs inherit.

    Raises:
        TypeError, ValueError: One is wrong, or is a name.
    """
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"defaults must be a mapping of options, got {options!r}")
    if options is not None and "name" in options:
        raise TypeError(f"defaults must not have a name, got {options['name']!r}")
    given = dict(options or {})
    if locker is not None:
        given["locker"] = locker
    if elector is not None:
        given["elector"] = elector
    return defaults(JobSpec(), given)


def several(name: str, values: Any) -> Iterable[Any]:
    """Return *values* if they are several.

    Raises:
        TypeError: They are not.
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be several, got {values!r}")
    return values


def check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raise `ValueError` unless *value* is one of the *allowed* ones."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


def check_limit(max_running: object) -> None:
    """Raise `TypeError` or `ValueError` unless it is None or a whole number from 1 on."""
    if max_running is None:
        return
    if isinstance(max_running, bool) or not isinstance(max_running, int):
        raise TypeError(f"max_running must be None or an int, got {max_running!r}")
    if max_running < 1:
        raise ValueError(f"max_running must be at least 1, got {max_running!r}")


def clock_or_host(clock: Clock | None) -> Clock:
    """Return *clock*, or the host's.

    Raises:
        TypeError: It is no clock.
    """
    if clock is None:
        return SystemClock()
    if not isinstance(clock, Clock):
        raise TypeError(f"clock must have now() and monotonic(), got {clock!r}")
    return clock
