"""What there is to know of a user's function: found out once, and forgotten with it."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, MethodType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin
from weakref import WeakKeyDictionary

from aiosched.model import Run

RUN: Final = object()
"""Stands among arguments where the run goes."""

_WORDS: Final = re.compile(r"[\w.]+|\[")
_AROUND_A_RUN: Final = frozenset({"Annotated", "Optional", "Union"})
_SHAPES: Final = 32  # remembered of one function

Places = tuple[tuple[Any, ...], dict[str, Any]]
"""Places by position and by name, each with the number or name of the argument that goes there."""


class Function:
    """What is known of a function, which it does not keep alive.

    Attributes:
        name: ``module:qualname``.
        is_async: Whether calling it gives a coroutine.
    """

    __slots__ = ("_plain", "_run_parameters", "_shapes", "_signature", "is_async", "name")

    def __init__(self, func: Callable[..., Any]) -> None:
        if not callable(func):
            raise TypeError(f"func must be callable, got {func!r}")
        if _is(inspect.isasyncgenfunction, func) or _is(inspect.isgeneratorfunction, func):
            raise TypeError(
                f"func must be a plain or an async function, got the generator {func!r}"
            )
        self.is_async = _is(inspect.iscoroutinefunction, func)
        self.name = name_of(func)
        self._signature = _signature(func)
        self._run_parameters = tuple(
            each.name for each in self._signature.parameters.values() if _takes_a_run(each)
        )
        self._plain = self._without_run(())
        self._shapes: dict[tuple[Any, ...], Places | None] = {}

    def bind(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Check the arguments; return what to call with, where `RUN` stands for the run.

        Raises:
            TypeError: They do not fit the signature.
        """
        # Whether they fit, and where they go, depends on how many there are and on their names.
        shape = (len(args), *kwargs)
        try:
            places = self._shapes[shape]
        except KeyError:
            places = self._fit(shape)
        if places is None:
            return args, kwargs
        given: dict[Any, Any] = {**dict(enumerate(args)), **kwargs, RUN: RUN}
        positional, named = places
        return tuple(given[at] for at in positional), {
            name: given[at] for name, at in named.items()
        }

    def named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments by parameter, with the defaults, without the run."""
        bound = self._around(kwargs).bind(*args, **kwargs)
        bound.apply_defaults()
        found = dict(bound.arguments)
        for name, parameter in bound.signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                found |= found.pop(name)
        return found

    def _fit(self, shape: tuple[Any, ...]) -> Places | None:
        """Return where arguments of that shape go; None: where they are, and the run nowhere."""
        count, *names = shape
        try:
            bound = self._around(names).bind(*range(count), **{name: name for name in names})
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}") from None
        injected = [name for name in self._run_parameters if name not in names]
        places: Places | None = None
        if injected:
            whole = {**bound.arguments, **dict.fromkeys(injected, RUN)}
            ordered = {name: whole[name] for name in self._signature.parameters if name in whole}
            full = inspect.BoundArguments(self._signature, ordered)
            places = full.args, full.kwargs
        if len(self._shapes) >= _SHAPES:
            self._shapes.clear()
        self._shapes[shape] = places
        return places

    def _around(self, names: Sequence[str] | Mapping[str, Any]) -> inspect.Signature:
        """Return the signature of what is left for a caller who gives *names*."""
        given = [name for name in self._run_parameters if name in names]
        return self._without_run(given) if given else self._plain

    def _without_run(self, given: Sequence[str]) -> inspect.Signature:
        left = [
            each
            for each in self._signature.parameters.values()
            if each.name not in self._run_parameters or each.name in given
        ]
        return self._signature.replace(parameters=left)


_functions: WeakKeyDictionary[Any, Function] = WeakKeyDictionary()
_methods: WeakKeyDictionary[Any, Function] = WeakKeyDictionary()  # by their function, without self


def function_of(func: Callable[..., Any]) -> Function:
    """Return what is known of *func*."""
    key: Any = func
    known = _functions
    if isinstance(func, MethodType):
        key, known = func.__func__, _methods
    if not isinstance(key, FunctionType):
        return Function(func)
    found = known.get(key)
    if found is None:
        found = known[key] = Function(func)
    return found


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
