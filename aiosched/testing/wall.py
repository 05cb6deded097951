"""Moves `datetime.now()` and `time.time()` of the code under test along with a virtual clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiosched.testing.clock import VirtualClock


@contextmanager
def moving_wall(clock: VirtualClock) -> Iterator[bool]:
    """Let all wall clocks of the process show the time of *clock*; give whether they do.

    It takes time-machine, and does nothing where that is not installed. Monotonic clocks go on.
    """
    try:
        time_machine = import_module("time_machine")
    except ImportError:
        yield False
        return
    with time_machine.travel(0.0, tick=False) as traveller:
        # Asked at every reading, instead of being moved at every jump and step of the clock.
        vars(traveller)["time_ns"] = lambda: clock.now() * 1000
        yield True
