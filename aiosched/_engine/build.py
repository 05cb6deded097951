"""From what a user gives `add` to a record: everything is checked before anything is registered."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiosched._engine import timing
from aiosched._engine.attempts import with_attempts
from aiosched._engine.invoke import (
    SAME_IF_EQUAL,
    Call,
    Function,
    by_executor,
    function_of,
    in_loop,
    is_importable,
    is_stable,
    takes_a_run,
)
from aiosched.triggers.base import BaseTrigger

if TYPE_CHECKING:
    from datetime import tzinfo

    from aiosched._engine.recipes import Recipe
    from aiosched.executors import ProcessExecutor, ThreadExecutor
    from aiosched.options import JobSpec

_REMEMBERED: Final = 512  # calls of functions without arguments, shared by their jobs


@dataclass(frozen=True, slots=True)
class Shop:
    """What every job of a scheduler is built with."""

    timezone: tzinfo
    threads: ThreadExecutor
    processes: ProcessExecutor
    calls: dict[Any, tuple[Call, Mapping[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """What a job calls, and with what: kept so that the job can be built again by an update."""

    func: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] | None = None

    @property
    def has_arguments(self) -> bool:
        """Whether it is called with something of the job's own."""
        return bool(self.args or self.kwargs)


def work_of(func: Callable[..., Any], args: Any, kwargs: Any) -> Work:
    """Return what a job calls, given as a user gives it.

    Raises:
        TypeError: The arguments are no sequence, or the named ones no mapping.
    """
    if isinstance(args, (str, bytes)) or not isinstance(args, Iterable):
        raise TypeError(f"args must be a sequence of arguments, got {args!r}")
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise TypeError(f"kwargs must be a mapping of arguments, got {kwargs!r}")
    return Work(func, tuple(args), dict(kwargs or {}))


def name_for(func: Callable[..., Any], given: str | None, spec: JobSpec) -> str:
    """Return the job's name: *given*, or the function's.

    Raises:
        TypeError: The name is no text, or *func* is not callable.
        ValueError: It is empty, or it would not be the same in every process and there is a locker.
    """
    if given is not None:
        if not isinstance(given, str):
            raise TypeError(f"name must be text, got {given!r}")
        if not given:
            raise ValueError("name must not be empty, got ''")
        return given
    name = function_of(func).name
    if spec.locker is not None and not is_stable(name):
        raise ValueError(
            f"name must be given with a locker for {name!r}: lambdas, local functions and __main__ "
            "are called otherwise in other processes"
        )
    return name


def trigger_for(trigger: Any, name: str, spec: JobSpec, zone: tzinfo) -> Any:
    """Return *trigger* as the planner wants it.

    Raises:
        TypeError: It is no trigger.
        ValueError: It does not go with the options.
    """
    if isinstance(trigger, BaseTrigger):
        bound: Any = trigger.bind(name=name, tz=zone)
    else:
        bound = timing.adapted(trigger, name=name, tz=zone)
    if spec.from_completion:
        if not callable(getattr(bound, "gap", None)):
            raise ValueError(f"from_completion needs an Every or a RandomEvery, got {trigger!r}")
        return bound
    if spec.locker is not None:
        return timing.anchored(bound, spec.start_at or 0, "a locker")
    if spec.start_at is not None and hasattr(bound, "anchored"):
        return bound.anchored(spec.start_at)
    return bound


def call_for(work: Work, spec: JobSpec, shop: Shop) -> tuple[Call, Mapping[str, Any]]:
    """Return what the runner awaits, and the arguments by parameter.

    Raises:
        TypeError: The arguments do not fit the function, or the executor does not.
    """
    if work.has_arguments or not isinstance(work.func, SAME_IF_EQUAL):
        return _make_call(work, spec, shop)
    # Executors may be equal, yet two; the call that is found keeps its own alive.
    key = (work.func, id(spec.executor), spec.timeout, spec.retry)
    found = shop.calls.get(key)
    if found is None:
        if len(shop.calls) >= _REMEMBERED:
            shop.calls.clear()
        found = shop.calls[key] = _make_call(work, spec, shop)
    return found


def _make_call(work: Work, spec: JobSpec, shop: Shop) -> tuple[Call, Mapping[str, Any]]:
    function = function_of(work.func)
    args, kwargs, arguments = function.bind(work.args, work.kwargs or {})
    call = _plain_call(function, args, kwargs, spec, shop)
    if spec.timeout is None and spec.retry is None:
        return call, arguments
    return with_attempts(call, spec.timeout, spec.retry), arguments


def lock_key_for(name: str, recipe: Recipe) -> str:
    """Return the lock key: the job's name, or its template, filled from the arguments.

    Raises:
        ValueError: The template cannot be read, or it names what is no argument.
    """
    template, arguments = recipe.spec.lock_key, recipe.arguments
    if template is None:
        return name
    if "{" not in template and "}" not in template:
        return template
    try:
        return string.Formatter().vformat(template, (), arguments)
    except (KeyError, IndexError, AttributeError, ValueError) as error:
        raise ValueError(
            f"lock_key {template!r} does not fit the arguments {sorted(arguments)}: {error!r}"
        ) from None


def _plain_call(
    function: Function, args: Sequence[Any], kwargs: dict[str, Any], spec: JobSpec, shop: Shop
) -> Call:
    executor: Any = spec.executor
    if executor is None:
        executor = "async" if function.is_async else "thread"
    if executor == "async":
        return in_loop(function, tuple(args), kwargs)
    if isinstance(executor, str) and function.is_async:
        raise TypeError(
            f"executor={executor!r} needs a plain function, got the async {function.name}"
        )
    if executor == "thread":
        executor = shop.threads
    elif executor == "process":
        if takes_a_run(tuple(args), kwargs):
            raise TypeError(f"executor='process' cannot hand the Run to {function.name}")
        if not is_importable(function.name):
            raise TypeError(
                f"executor='process' needs a function that can be imported, got {function.name}"
            )
        executor = shop.processes
    return by_executor(executor, function, tuple(args), kwargs)
