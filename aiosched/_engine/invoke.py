"""From a user's function to something the runner can await: checked once, when the job is added."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import BuiltinFunctionType, FunctionType, MethodType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from aiosched.model import Run
from aiosched.protocols import Executor

Call = Callable[[Run], Awaitable[Any]]

_RUN: Final = object()  # stands where the run goes
_WORDS: Final = re.compile(r"[\w.]+|\[")
_AROUND_A_RUN: Final = frozenset({"Annotated", "Optional", "Union"})

SAME_IF_EQUAL: Final = (FunctionType, MethodType, BuiltinFunctionType, type)
"""Callables that can stand for what equals them; callable objects may be equal, yet two."""


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
    return _remembered(func) if isinstance(func, SAME_IF_EQUAL) else Function(func)


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
    return is_importable(name) and not name.startswith("__main__:")


def is_importable(name: str) -> bool:
    """Say whether a function of that default name can be found in its module."""
    return "<" not in name.partition(":")[2]


def _async_call(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    if takes_a_run(args, kwargs):
        if len(args) == 1 and not kwargs:
            return func
        return lambda run: func(*_fill(args, run), **_fill_named(kwargs, run))
    if not args and not kwargs:
        return lambda _: func()
    return lambda _: func(*args, **kwargs)


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


def _is(test: Callable[[Any], bool], func: Any) -> bool:
    return test(func) or (
        not inspect.isroutine(func)
        and not isinstance(func, type)
        and test(getattr(func, "__call__", None))  # noqa: B004
    )


def _signature(func: Callable[..., Any]) -> inspect.Signature:
    try:
        signature = inspect.signature(func)
    except ValueError:
        return _ANYTHING
    names = _names_around(func)
    parameters = [_evaluated(each, names) for each in signature.parameters.values()]
    return signature.replace(parameters=parameters)


def _names_around(func: Any) -> dict[str, Any]:
    while isinstance(func, functools.partial):
        func = func.func
    func = inspect.unwrap(func)
    if not hasattr(func, "__globals__"):
        func = getattr(func, "__call__", None)  # noqa: B004
    names: dict[str, Any] = getattr(func, "__globals__", {})
    return names


def _evaluated(parameter: inspect.Parameter, names: dict[str, Any]) -> inspect.Parameter:
    """Read an annotation that is text: as `inspect` does, which reads all of them or none."""
    note = parameter.annotation
    for _ in range(2):  # the text itself may have been written in quotes
        if not isinstance(note, str):
            break
        try:
            note = eval(note, names)  # noqa: S307 - the user's own code
        except Exception:  # noqa: BLE001 - of what only a type checker imports: left as text
            break
    return parameter.replace(annotation=note)


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
        return _speaks_of_a_run(note)
    if get_origin(note) in (Union, UnionType):
        return Run in get_args(note)
    return note is Run or (get_origin(note) is Annotated and get_args(note)[0] is Run)


def _speaks_of_a_run(note: str) -> bool:
    """Say whether a text that cannot be evaluated means a run, or a run or something else."""
    words = [word.rpartition(".")[2] for word in _WORDS.findall(note)]
    return "Run" in words and ("[" not in words or words[0] in _AROUND_A_RUN)
