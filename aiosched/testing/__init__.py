"""Schedulers under test: virtual time, and the suites that parts of one's own must pass."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiosched.testing.clock import VirtualClock
    from aiosched.testing.lockers import LockerConformance
    from aiosched.testing.loop import LoopDeadlock, VirtualLoop
    from aiosched.testing.running import run
    from aiosched.testing.simulation import Simulation, simulate
    from aiosched.testing.triggers import TriggerConformance

__all__ = [
    "LockerConformance",
    "LoopDeadlock",
    "Simulation",
    "TriggerConformance",
    "VirtualClock",
    "VirtualLoop",
    "run",
    "simulate",
]

# The suites need pytest and virtual time does not, so each is imported when it is asked for.
_HOMES = {
    "LockerConformance": "aiosched.testing.lockers",
    "LoopDeadlock": "aiosched.testing.loop",
    "Simulation": "aiosched.testing.simulation",
    "TriggerConformance": "aiosched.testing.triggers",
    "VirtualClock": "aiosched.testing.clock",
    "VirtualLoop": "aiosched.testing.loop",
    "run": "aiosched.testing.running",
    "simulate": "aiosched.testing.simulation",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
