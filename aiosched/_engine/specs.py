"""Options that were checked before are not checked again: jobs with the same ones share a spec."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import NoneType
from typing import Any

from aiosched.model import Retry
from aiosched.options import JobSpec, resolve

_REMEMBERED = 1_024
_BY_VALUE = frozenset({str, int, float, bool, NoneType, timedelta, Retry})
_ORDERED = (tuple, list)
_BY_IDENTITY = frozenset({"locker", "elector", "executor"})  # what lives as long as the service


class SpecBook:
    """The specs of one scheduler, by what they were made of."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[Any, tuple[JobSpec, JobSpec]] = {}

    def resolve(self, base: JobSpec, options: Mapping[str, Any]) -> JobSpec:
        """Return *base* with *options* on top, checked.

        Raises:
            TypeError, ValueError: As `aiosched.options.resolve`.
        """
        named = options.get("name") is not None
        told_apart = named if len(options) == named else key_of(options)
        if told_apart is None or base.gates or base.context is not None:
            return _resolve(base, options, named=named)
        key = (id(base), told_apart)  # kept alive by the entry
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            found = self._found[key] = (base, _resolve(base, options, named=named))
        return found[1]


def _resolve(base: JobSpec, options: Mapping[str, Any], *, named: bool) -> JobSpec:
    given = {name: value for name, value in options.items() if name != "name"}
    return resolve(base, given, named=named)


def key_of(options: Mapping[str, Any]) -> frozenset[Any] | None:
    """Return what tells options apart; None where only they themselves could.

    It is good for as long as their values live, of which some are told apart by identity.
    """
    parts: list[Any] = []
    for name, value in options.items():
        if name == "name":
            parts.append((name, value is None))
        elif type(value) in _BY_VALUE:
            parts.append((name, type(value), value))  # True is no 1
        elif name in _BY_IDENTITY:
            parts.append((name, id(value)))  # kept alive by the spec
        elif name == "tags" and type(value) in _ORDERED and all(type(tag) is str for tag in value):
            parts.append((name, tuple(value)))
        else:
            return None
    return frozenset(parts)
