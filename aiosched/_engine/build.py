"""From what a user gives `add` to a record: everything is checked before anything is registered."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiosched._engine import timing
from aiosched._engine.attempts import with_attempts
from aiosched._engine.invoke import Call, by_executor, in_loop, takes_a_run
from aiosched._engine.signature import Function, function_of, is_importable, is_stable
from aiosched.triggers.base import BaseTrigger

if TYPE_CHECKING:
    from datetime import tzinfo

    from aiosched._engine.recipes import Recipe
    from aiosched.executors import ProcessExecutor, ThreadExecutor
    from aiosched.options import JobSpec


NO_ARGS: Final[tuple[()]] = ()
"""The arguments of a job that was given none: the one empty tuple that there is."""

NO_KWARGS: Final[dict[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Shop:
    """What every job of a scheduler is built with."""

    timezone: tzinfo
    threads: ThreadExecutor
    processes: ProcessExecutor


Given = tuple[tuple[Any, ...], dict[str, Any]]
"""The arguments that a user gave, positional and by name."""


def given(args: Any, kwargs: Any) -> Given:
    """Return arguments as a job keeps them.

    Raises:
        TypeError: They are no sequence, or the named ones no mapping.
    """
    if type(args) is not tuple:
        if isinstance(args, (str, bytes)) or not isinstance(args, Iterable):
            raise TypeError(f"args must be a sequence of arguments, got {args!r}")
        args = tuple(args)
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise TypeError(f"kwargs must be a mapping of arguments, got {kwargs!r}")
    return args, dict(kwargs) if kwargs else NO_KWARGS


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


def call_for(
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    spec: JobSpec,
    shop: Shop,
) -> Call:
    """Return what the runner awaits.

    Raises:
        TypeError: The arguments do not fit the function, or the executor does not.
    """
    function = function_of(func)
    call = _plain_call(func, function, *function.bind(args, kwargs), spec, shop)
    if spec.timeout is None and spec.retry is None:
        return call
    return with_attempts(call, spec.timeout, spec.retry)


def lock_key_for(name: str, recipe: Recipe) -> str:
    """Return the lock key: the job's name, or its template, filled from the arguments.

    Raises:
        ValueError: The template cannot be read, or it names what is no argument.
    """
    template = recipe.spec.lock_key
    if template is None:
        return name
    if "{" not in template and "}" not in template:
        return template
    arguments = function_of(recipe.func).named(recipe.args, recipe.kwargs)
    try:
        return string.Formatter().vformat(template, (), arguments)
    except (KeyError, IndexError, AttributeError, ValueError) as error:
        raise ValueError(
            f"lock_key {template!r} does not fit the arguments {sorted(arguments)}: {error!r}"
        ) from None


def _plain_call(  # noqa: PLR0913, PLR0917 - what a call is made of
    func: Callable[..., Any],
    function: Function,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    spec: JobSpec,
    shop: Shop,
) -> Call:
    executor: Any = spec.executor
    if executor is None:
        executor = "async" if function.is_async else "thread"
    if executor == "async":
        return in_loop(func, args, kwargs, is_async=function.is_async)
    if isinstance(executor, str) and function.is_async:
        raise TypeError(
            f"executor={executor!r} needs a plain function, got the async {function.name}"
        )
    if executor == "thread":
        executor = shop.threads
    elif executor == "process":
        if takes_a_run(args, kwargs):
            raise TypeError(f"executor='process' cannot hand the Run to {function.name}")
        if not is_importable(function.name):
            raise TypeError(
                f"executor='process' needs a function that can be imported, got {function.name}"
            )
        executor = shop.processes
    return by_executor(executor, func, args, kwargs)
