"""The options of a job: their names, their defaults, and the check that makes them a `JobSpec`."""

from __future__ import annotations

import contextvars
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final, Literal, TypedDict, get_args

from aiosched.durations import SECOND, Duration, microseconds
from aiosched.model import Retry
from aiosched.moments import aware_us, from_us
from aiosched.protocols import Elector, Executor, Gate, Locker

Overlap = Literal["skip", "queue", "replace"]
Coalesce = Literal["latest", "earliest", "all"]
Delivery = Literal["at_most_once", "at_least_once"]
CatchUp = Literal["none", "latest", "all"]
OnLockLost = Literal["cancel", "notify"]
ExecutorName = Literal["async", "thread", "process"]


class JobOptions(TypedDict, total=False):
    """Keyword options of a job: absent means the scheduler's default, None means off."""

    name: str
    tags: Iterable[str]
    start_at: datetime | None
    stop_at: datetime | None
    run_on_start: bool
    max_runs: int | None
    from_completion: bool
    max_instances: int | None
    overlap: Overlap
    max_queued: int | None
    misfire_grace: Duration | None
    coalesce: Coalesce
    jitter: Duration | None
    timeout: Duration | None
    retry: Retry | None
    priority: int
    executor: ExecutorName | Executor | None
    context: contextvars.Context | None
    locker: Locker | None
    lock_key: str | None
    exclusive: bool
    elector: Elector | None
    delivery: Delivery
    catch_up: CatchUp
    catch_up_window: Duration | None
    on_lock_lost: OnLockLost
    gates: Iterable[Gate]
    expect_within: Duration | None


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A job's options, checked; durations in microseconds. Shared by jobs with the same options."""

    tags: tuple[str, ...] = ()
    start_at: int | None = None
    stop_at: int | None = None
    run_on_start: bool = False
    max_runs: int | None = None
    from_completion: bool = False
    max_instances: int | None = 1
    overlap: Overlap = "skip"
    max_queued: int | None = 1
    misfire_grace: int | None = None
    coalesce: Coalesce = "latest"
    jitter: int = 0
    timeout: float | None = None
    retry: Retry | None = None
    priority: int = 0
    executor: ExecutorName | Executor | None = None
    context: contextvars.Context | None = None
    locker: Locker | None = None
    lock_key: str | None = None
    exclusive: bool = True
    elector: Elector | None = None
    delivery: Delivery = "at_most_once"
    catch_up: CatchUp = "none"
    catch_up_window: int | None = None
    on_lock_lost: OnLockLost = "cancel"
    gates: tuple[Gate, ...] = ()
    expect_within: int | None = None
    given: frozenset[str] = frozenset()  # what the job was given itself, and does not inherit
    is_usual: bool = field(init=False)  # none of the options that have to be looked at in each run

    def __post_init__(self) -> None:
        bounds = (self.stop_at, self.misfire_grace, self.expect_within, self.max_runs)
        parts = (self.elector, self.locker, self.retry)  # of users' own, which may be falsy
        extras = self.gates or self.jitter or self.from_completion
        usual = not extras and all(each is None for each in (*bounds, *parts))
        object.__setattr__(self, "is_usual", usual)

    @property
    def exact(self) -> bool:
        """Whether claims must remember each occurrence."""
        return self.coalesce == "all" or self.catch_up == "all"


NAMES: Final = frozenset(JobOptions.__annotations__)
_EXECUTORS: Final = {name: name for name in get_args(ExecutorName)}  # one text for each


def defaults(base: JobSpec, options: Mapping[str, Any]) -> JobSpec:
    """Return *base* with *options* on top, each checked by itself.

    Raises:
        TypeError: An option is unknown or of the wrong type.
        ValueError: An option's value is out of its bounds.
    """
    return replace(base, **_checked(options))


def resolve(base: JobSpec, options: Mapping[str, Any], *, named: bool = False) -> JobSpec:
    """As `defaults`, for one job: the combination is checked, too, and what was given is noted.

    Raises:
        ValueError: Also when two options exclude each other.
    """
    given = base.given.union(options, ("name",) if named else ())
    spec = replace(base, given=given, **_checked(options))
    check_combination(spec)
    return spec


def check_names(options: Iterable[str], besides: Iterable[str] = ()) -> None:
    """Refuse names that are no options; *besides* are what else could be meant by a wrong one.

    Raises:
        TypeError: There is one.
    """
    for name in options:
        if name not in NAMES:
            close = get_close_matches(name, [*besides, *NAMES], n=1)
            meant = f", did you mean {close[0]!r}?" if close else ""
            known = ", ".join(sorted(NAMES))
            raise TypeError(f"unknown option {name!r}{meant}; known are {known}")


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    if not options.keys() <= _CHECKS.keys():
        check_names([name for name in options if name not in _CHECKS])
    return {name: _CHECKS[name](value, name) for name, value in options.items()}


def check_combination(spec: JobSpec) -> None:
    """Refuse options that exclude each other.

    Raises:
        ValueError: They do.
    """
    if spec.start_at is not None and spec.stop_at is not None and spec.stop_at < spec.start_at:
        start, stop = from_us(spec.start_at).isoformat(), from_us(spec.stop_at).isoformat()
        raise ValueError(
            f"stop_at must not be before start_at, got start_at={start}, stop_at={stop}"
        )
    if spec.delivery == "at_least_once" and not spec.exclusive:
        raise ValueError("delivery='at_least_once' needs exclusive=True, got exclusive=False")
    if spec.locker is not None and spec.exclusive and spec.max_instances != 1:
        raise ValueError(
            f"max_instances={spec.max_instances!r} with a locker needs exclusive=False"
        )
    if spec.locker is not None and spec.from_completion:
        raise ValueError(
            "from_completion=True is refused with a locker, since replicas cannot agree on when "
            "a run ended: use locker=None or an elector"
        )
    if spec.catch_up_window is not None and spec.catch_up == "none":
        raise ValueError("catch_up_window needs catch_up='latest' or 'all', got catch_up='none'")


def _flag(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return value


def _whole(minimum: int | None) -> Callable[[Any, str], int]:
    def check(value: Any, name: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an int, got {value!r}")
        if minimum is not None and value < minimum:
            raise ValueError(f"{name} must be at least {minimum}, got {value!r}")
        return value

    return check


def _one_of(words: Any) -> Callable[[Any, str], str]:
    allowed = get_args(words)

    def check(value: Any, name: str) -> str:
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
        return str(value)

    return check


def _duration(minimum: int) -> Callable[[Any, str], int]:
    return lambda value, name: microseconds(value, name, minimum=minimum)


def _seconds(value: Any, name: str) -> float:
    return microseconds(value, name, minimum=1) / SECOND


def _or_none(check: Callable[[Any, str], Any], off: Any = None) -> Callable[[Any, str], Any]:
    return lambda value, name: off if value is None else check(value, name)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text, got {value!r}")
    return value


def _tags(value: Any, name: str) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError(f"{name} must be several texts, got the one text {value!r}")
    if not isinstance(value, Iterable):
        raise TypeError(f"{name} must be several texts, got {value!r}")
    return tuple(_text(tag, "a tag") for tag in value)


def _gates(value: Any, name: str) -> tuple[Gate, ...]:
    if not isinstance(value, Iterable):
        raise TypeError(f"{name} must be several callables of a run, got {value!r}")
    gates = tuple(value)
    for gate in gates:
        if not callable(gate):
            raise TypeError(f"{name} must be callables of a run, got {gate!r}")
    return gates


def _retry(value: Any, name: str) -> Retry:
    if not isinstance(value, Retry):
        raise TypeError(f"{name} must be a Retry or None, got {value!r}")
    return value


def _executor(value: Any, name: str) -> Any:
    if isinstance(value, str) and value in _EXECUTORS:
        return _EXECUTORS[value]
    if isinstance(value, Executor):
        return value
    raise TypeError(f"{name} must be 'async', 'thread', 'process' or an Executor, got {value!r}")


def _context(value: Any, name: str) -> contextvars.Context:
    if not isinstance(value, contextvars.Context):
        raise TypeError(f"{name} must be a contextvars.Context or None, got {value!r}")
    return value


def check_locker(value: Any, name: str = "locker") -> Locker:
    """Return *value* if it is a locker.

    Raises:
        TypeError: It has no async ``lock``; the clients of stores have one that is not.
    """
    if isinstance(value, type) or not inspect.iscoroutinefunction(getattr(value, "lock", None)):
        raise TypeError(f"{name} must have an async lock(key), got {value!r}")
    locker: Locker = value
    return locker


def check_elector(value: Any, name: str = "elector") -> Elector:
    """Return *value* if it is an elector.

    Raises:
        TypeError: It has no async ``is_leader``.
    """
    asks = getattr(value, "is_leader", None)
    if isinstance(value, type) or not inspect.iscoroutinefunction(asks):
        raise TypeError(f"{name} must have an async is_leader(), got {value!r}")
    elector: Elector = value
    return elector


_CHECKS: Final[Mapping[str, Callable[[Any, str], Any]]] = {
    "tags": _or_none(_tags, ()),
    "start_at": _or_none(aware_us),
    "stop_at": _or_none(aware_us),
    "run_on_start": _or_none(_flag, off=False),
    "max_runs": _or_none(_whole(1)),
    "from_completion": _or_none(_flag, off=False),
    "max_instances": _or_none(_whole(1)),
    "overlap": _one_of(Overlap),
    "max_queued": _or_none(_whole(0)),
    "misfire_grace": _or_none(_duration(1)),
    "coalesce": _one_of(Coalesce),
    "jitter": _or_none(_duration(0), 0),
    "timeout": _or_none(_seconds),
    "retry": _or_none(_retry),
    "priority": _or_none(_whole(None), 0),
    "executor": _or_none(_executor),
    "context": _or_none(_context),
    "locker": _or_none(check_locker),
    "lock_key": _or_none(_text),
    "exclusive": _flag,
    "elector": _or_none(check_elector),
    "delivery": _one_of(Delivery),
    "catch_up": _or_none(_one_of(CatchUp), "none"),
    "catch_up_window": _or_none(_duration(1)),
    "on_lock_lost": _one_of(OnLockLost),
    "gates": _or_none(_gates, ()),
    "expect_within": _or_none(_duration(1)),
}
