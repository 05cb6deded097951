"""What jobs are made of: checked once for all jobs of a function that have the same options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiosched._engine.build import Shop, Work, call_for, work_of
from aiosched._engine.invoke import SAME_IF_EQUAL, Call
from aiosched._engine.specs import SpecBook, key_of

if TYPE_CHECKING:
    from aiosched.options import JobSpec
    from aiosched.protocols import Gate

_REMEMBERED: Final = 1_024

NO_ARGS: Final[tuple[()]] = ()
"""The arguments of a job that was given none. There is one empty tuple in Python."""


@dataclass(slots=True, eq=False)
class Recipe:
    """All there is to a job but its name and its trigger; never changed.

    Attributes:
        engine: Whose job it is.
        call: What the runner awaits.
        arguments: Those of the function, by parameter.
        gates: The asynchronous ones; None: there are none.
    """

    engine: Any
    spec: JobSpec
    work: Work
    call: Call
    arguments: Mapping[str, Any]
    gates: tuple[Gate, ...] | None


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
        if args is not NO_ARGS or kwargs is not None or not isinstance(func, SAME_IF_EQUAL):
            return self._make(work_of(func, args, kwargs), options)
        key: Any = func  # with a name and nothing else, as most jobs of a crowd are
        if len(options) != 1 or options.get("name") is None:
            told_apart = key_of(options)
            if told_apart is None:
                return self._make(Work(func), options)
            key = (func, told_apart)
        found = self._found.get(key)
        if found is None:
            found = self._remember(key, self._make(Work(func), options))
        return found

    def changed(self, recipe: Recipe, options: Mapping[str, Any]) -> Recipe:
        """Return *recipe* with *options* on top of its own.

        Raises:
            TypeError, ValueError: Something does not fit.
        """
        key: Any = (recipe, key_of(options))
        found = None if key[1] is None else self._found.get(key)
        if found is None:
            found = self.with_spec(recipe, self._specs.resolve(recipe.spec, options))
            if key[1] is not None and not recipe.work.has_arguments:
                self._remember(key, found)
        return found

    def with_spec(self, recipe: Recipe, spec: JobSpec) -> Recipe:
        """Return *recipe* with another spec; of the rest only what depends on it is made anew.

        Raises:
            TypeError: The executor does not fit the function.
        """
        call, arguments, gates = recipe.call, recipe.arguments, recipe.gates
        if _calling(spec) != _calling(recipe.spec):
            call, arguments = call_for(recipe.work, spec, self._shop)
        if _gating(spec) != _gating(recipe.spec):
            gates = self._gates_for(spec)
        return Recipe(self._engine, spec, recipe.work, call, arguments, gates)

    def _remember(self, key: Any, recipe: Recipe) -> Recipe:
        if len(self._found) >= _REMEMBERED:
            self._found.clear()
        self._found[key] = recipe  # which keeps alive what the key tells apart by identity
        return recipe

    def _make(self, work: Work, options: Mapping[str, Any]) -> Recipe:
        spec = self._specs.resolve(self._base, options)
        call, arguments = call_for(work, spec, self._shop)
        return Recipe(self._engine, spec, work, call, arguments, self._gates_for(spec))


# What of a spec a part of the recipe is made of; whatever may be equal, yet another, by identity.


def _calling(spec: JobSpec) -> tuple[Any, ...]:
    return (id(spec.executor), spec.timeout, id(spec.retry))


def _gating(spec: JobSpec) -> tuple[Any, ...]:
    return (id(spec.locker), id(spec.elector), *map(id, spec.gates))
