"""From a user's function to something the runner can await: checked once, when the job is added."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, get_args

from aiosched.model import Run
from aiosched.protocols import Executor

Call = Callable[[Run], Awaitable[Any]]

_RUN: Final = object()  # stands where the run goes
_RUN_TEXT: Final = re.compile(r"(?:^|\.)Run$")


class Function:
    """A user's function, looked at once.

    Attributes:
        name: ``module:qualname``.
        is_async: Whether calling it gives a coroutine.
    """

    __slots__ = ("_plain", "_run_parameters", "_signature", "func", "is_async", "name")

    def __init__(self, func: Callable[..., Any]) -> None:
        if not callable(func):
            raise TypeError(f"func must be callable, got {func!r}")
        if _is(inspect.isasyncgenfunction, func) or _is(inspect.isgeneratorfunction, func):
            raise TypeError(
                f"func must be a plain or an async function, got the generator {func!r}"
            )
        self.func = func
        self.is_async = _is(inspect.iscoroutinefunction, func)
        self.name = name_of(func)
        self._signature = _signature(func)
        self._run_parameters = tuple(
            each.name for each in self._signature.parameters.values() if _takes_a_run(each)
        )
        self._plain = self._without_run(())

    def bind(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any], dict[str, Any]]:
        """Check the arguments; return what to call with, and all of them by name.

        Raises:
            TypeError: They do not fit the signature.
        """
        given = [name for name in self._run_parameters if name in kwargs]
        plain = self._without_run(given) if given else self._plain
        try:
            bound = plain.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}") from None
        injected = [name for name in self._run_parameters if name not in given]
        if not injected:
            return bound.args, bound.kwargs, _by_name(bound)
        whole = {**bound.arguments, **dict.fromkeys(injected, _RUN)}
        ordered = {name: whole[name] for name in self._signature.parameters if name in whole}
        full = inspect.BoundArguments(self._signature, ordered)
        return full.args, full.kwargs, _by_name(bound)

    def _without_run(self, given: Sequence[str]) -> inspect.Signature:
        left = [
            each
            for each in self._signature.parameters.values()
            if each.name not in self._run_parameters or each.name in given
        ]
        return self._signature.replace(parameters=left)


def _by_name(bound: inspect.BoundArguments) -> dict[str, Any]:
    bound.apply_defaults()
    found = dict(bound.arguments)
    for name, parameter in bound.signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            found |= found.pop(name)
    return found


def function_of(func: Callable[..., Any]) -> Function:
    """Return what is known of *func*; the newest few hundred are remembered."""
    try:
        return _remembered(func)
    except TypeError:
        if _is_hashable(func):
            raise
        return Function(func)


def in_loop(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """Return a call in the loop's own thread."""
    if function.is_async:
        return _async_call(function.func, args, kwargs)
    return _blocking_call(function.func, args, kwargs)


def by_executor(
    executor: Executor, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Call:
    """Return a call that *executor* makes."""
    func = function.func

    async def call(run: Run) -> Any:
        result = await executor.submit(run, func, _fill(args, run), _fill_named(kwargs, run))
        # A lambda around a coroutine function is not seen to be async before it was called.
        return await result if inspect.isawaitable(result) else result

    return call


def takes_a_run(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Say whether bound arguments have a place for the run."""
    return any(each is _RUN for each in (*args, *kwargs.values()))


def name_of(func: Callable[..., Any]) -> str:
    """Return ``module:qualname`` of a function, a partial's function, or a callable's class."""
    while isinstance(func, functools.partial):
        func = func.func
    named = func if hasattr(func, "__qualname__") else type(func)
    return f"{getattr(named, '__module__', None) or '?'}:{named.__qualname__}"


def is_stable(name: str) -> bool:
    """Say whether a default name means the same function in every process."""
    module, _, qualname = name.partition(":")
    return module != "__main__" and "<" not in qualname


def _async_call(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    if takes_a_run(args, kwargs):
        if args == (_RUN,) and not kwargs:
            return func
        return lambda run: func(*_fill(args, run), **_fill_named(kwargs, run))
    if not args and not kwargs:
        return _ignoring_run(func)
    return lambda _: func(*args, **kwargs)


@functools.lru_cache(maxsize=256)
def _ignoring_run(func: Callable[..., Any]) -> Call:
    return lambda _: func()  # one closure for all the jobs of a function


def _blocking_call(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    async def call(run: Run) -> Any:
        result = func(*_fill(args, run), **_fill_named(kwargs, run))
        return await result if inspect.isawaitable(result) else result

    return call


def _fill(args: tuple[Any, ...], run: Run) -> tuple[Any, ...]:
    return tuple(run if each is _RUN else each for each in args)


def _fill_named(kwargs: dict[str, Any], run: Run) -> dict[str, Any]:
    return {name: run if each is _RUN else each for name, each in kwargs.items()}


@functools.lru_cache(maxsize=512)
def _remembered(func: Callable[..., Any]) -> Function:
    return Function(func)


def _is_hashable(func: object) -> bool:
    try:
        hash(func)
    except TypeError:
        return False
    return True


def _is(test: Callable[[Any], bool], func: Any) -> bool:
    return test(func) or (
        not inspect.isroutine(func)
        and not isinstance(func, type)
        and test(getattr(func, "__call__", None))  # noqa: B004
    )


def _signature(func: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(func, eval_str=True)
    except (NameError, AttributeError, SyntaxError, TypeError):
        pass  # an annotation names what only a type checker imports: leave them as text
    except ValueError:
        return _ANYTHING
    return inspect.signature(func)


_ANYTHING: Final = inspect.Signature(
    [
        inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
    ]
)


def _takes_a_run(parameter: inspect.Parameter) -> bool:
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        return False
    note = parameter.annotation
    if isinstance(note, str):
        return any(_RUN_TEXT.search(part.strip("'\" ")) for part in note.split("|"))
    return note is Run or Run in get_args(note)
