"""What jobs are made of: checked once for all jobs of a function that have the same options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final, cast

from aiosched._engine.build import NO_ARGS, NO_KWARGS, Shop, call_for, given
from aiosched._engine.invoke import Call
from aiosched._engine.specs import SpecBook, key_of

if TYPE_CHECKING:
    from aiosched.options import JobSpec
    from aiosched.protocols import Gate

_REMEMBERED: Final = 1_024


@dataclass(slots=True, eq=False)
class Recipe:
    """All there is to a job but its name and its trigger; never changed.

    Attributes:
        engine: Whose job it is.
        call: What the runner awaits.
        gates: The asynchronous ones; None: there are none.
        key: What it is found by while there are jobs of it; None: it is not shared.
        jobs: How many there are.
    """

    engine: Any
    spec: JobSpec
    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    call: Call
    gates: tuple[Gate, ...] | None
    key: Any
    jobs: int = 0


class RecipeBook:
    """The recipes of one scheduler, by what they were made of.

    Args:
        engine: Whose they are.
        shop: What every job is built with.
        base: The options that jobs inherit.
        gates_for: Gives the gates for a spec.
    """

    def __init__(
        self,
        engine: Any,
        shop: Shop,
        base: JobSpec,
        gates_for: Callable[[JobSpec], tuple[Gate, ...] | None],
    ) -> None:
        self._engine = engine
        self._shop = shop
        self._base = base
        self._gates_for = gates_for
        self._specs = SpecBook()
        self._found: dict[Any, Recipe] = {}

    @property
    def base(self) -> JobSpec:
        """The options that jobs inherit."""
        return self._base

    @base.setter
    def base(self, spec: JobSpec) -> None:
        self._base = spec
        self._found.clear()

    def find(
        self,
        func: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None,
        options: Mapping[str, Any],
    ) -> Recipe:
        """Return what a job of *func* is made of, with *options* on top of the base.

        Raises:
            TypeError, ValueError: Something does not fit.
        """
        if args is not NO_ARGS or kwargs is not None or not _is_told_apart(func):
            return self._make(func, *given(args, kwargs), options, None)
        key: Any = func  # with a name and nothing else, as most jobs of a crowd are
        if len(options) != 1 or options.get("name") is None:
            told_apart = key_of(options)
            key = None if told_apart is None else (func, told_apart)
        return self._found.get(key) or self._make(func, NO_ARGS, NO_KWARGS, options, key)

    def changed(self, recipe: Recipe, options: Mapping[str, Any]) -> Recipe:
        """Return *recipe* with *options* on top of its own.

        Raises:
            TypeError, ValueError: Something does not fit.
        """
        spec = self._specs.resolve(recipe.spec, options)
        key = None if recipe.key is None else (recipe.func, id(spec))
        return self._found.get(key) or self._with_spec(recipe, spec, key)

    def inheriting(self, recipe: Recipe, spec: JobSpec) -> Recipe:
        """Return *recipe* with another spec, for one job.

        Raises:
            TypeError: The executor does not fit the function.
        """
        return self._with_spec(recipe, spec, None)

    def join(self, recipe: Recipe) -> None:
        """Count a job of *recipe*, which others find from now on."""
        recipe.jobs += 1
        if recipe.jobs == 1 and recipe.key is not None:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[recipe.key] = recipe  # it keeps alive whatever the key is made of

    def leave(self, recipe: Recipe) -> None:
        """One job less is of *recipe*; with the last one it is forgotten, and so its function."""
        recipe.jobs -= 1
        if not recipe.jobs and self._found.get(recipe.key) is recipe:
            del self._found[recipe.key]

    def _make(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: Mapping[str, Any],
        key: Any,
    ) -> Recipe:
        spec = self._specs.resolve(self._base, options)
        call = call_for(func, args, kwargs, spec, self._shop)
        return Recipe(self._engine, spec, func, args, kwargs, call, self._gates_for(spec), key)

    def _with_spec(self, recipe: Recipe, spec: JobSpec, key: Any) -> Recipe:
        """Make anew what depends on the spec, and keep the rest."""
        func, args, kwargs = recipe.func, recipe.args, recipe.kwargs
        call, gates = recipe.call, recipe.gates
        if _calling(spec) != _calling(recipe.spec):
            call = call_for(func, args, kwargs, spec, self._shop)
        if _gating(spec) != _gating(recipe.spec):
            gates = self._gates_for(spec)
        return Recipe(self._engine, spec, func, args, kwargs, call, gates, key)


def _is_told_apart(func: object) -> bool:
    """Say whether *func* stands for what equals it: callable objects may be equal, yet two."""
    kind = type(func)
    return kind is FunctionType or (
        kind is MethodType and type(cast("MethodType", func).__func__) is FunctionType
    )


# What of a spec a part of the recipe is made of; whatever may be equal, yet another, by identity.


def _calling(spec: JobSpec) -> tuple[Any, ...]:
    return (id(spec.executor), spec.timeout, id(spec.retry))


def _gating(spec: JobSpec) -> tuple[Any, ...]:
    return (id(spec.locker), id(spec.elector), *map(id, spec.gates))
