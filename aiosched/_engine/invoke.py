"""From a user's function to something the runner can await: made once, when the job is added."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from aiosched._engine.signature import RUN
from aiosched.model import Run
from aiosched.protocols import Executor

Call = Callable[[Run], Awaitable[Any]]


def in_loop(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, is_async: bool
) -> Call:
    """Return a call in the loop's own thread."""
    return (_async_call if is_async else _blocking_call)(func, args, kwargs)


def by_executor(
    executor: Executor, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Call:
    """Return a call that *executor* makes."""

    async def call(run: Run) -> Any:
        result = await executor.submit(run, func, _fill(args, run), _fill_named(kwargs, run))
        # A lambda around a coroutine function is not seen to be async before it was called.
        return await result if inspect.isawaitable(result) else result

    return call


def takes_a_run(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Say whether bound arguments have a place for the run."""
    return any(each is RUN for each in (*args, *kwargs.values()))


def _async_call(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    if takes_a_run(args, kwargs):
        if len(args) == 1 and not kwargs:
            return func
        return lambda run: func(*_fill(args, run), **_fill_named(kwargs, run))
    if not args and not kwargs:
        return lambda _: func()
    # Defaults instead of cells: of a job's own call the garbage collector has less to trace.
    if not kwargs:
        return lambda _, func=func, args=args: func(*args)  # type: ignore[misc]
    return lambda _, func=func, args=args, kwargs=kwargs: func(*args, **kwargs)  # type: ignore[misc]


def _blocking_call(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    async def call(run: Run) -> Any:
        result = func(*_fill(args, run), **_fill_named(kwargs, run))
        return await result if inspect.isawaitable(result) else result

    return call


def _fill(args: tuple[Any, ...], run: Run) -> tuple[Any, ...]:
    return tuple(run if each is RUN else each for each in args)


def _fill_named(kwargs: dict[str, Any], run: Run) -> dict[str, Any]:
    return {name: run if each is RUN else each for name, each in kwargs.items()}
