"""`run`: asyncio.run in virtual time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, TypeVar

from aiosched.testing.clock import START, VirtualClock
from aiosched.testing.loop import VirtualLoop
from aiosched.testing.wall import moving_wall

T = TypeVar("T")

Main = (
    Coroutine[Any, Any, T]
    | Callable[[], Coroutine[Any, Any, T]]
    | Callable[[VirtualClock], Coroutine[Any, Any, T]]
)
"""A coroutine, or an async function of no argument or of the clock."""


def run(main: Main[T], *, start: datetime = START) -> T:
    """Run *main* on a fresh `VirtualLoop` from *start* on, and return its result.

    As with `asyncio.run`, tasks that are left are cancelled and async generators closed at the end.
    With time-machine installed, `datetime.now()` shows the virtual time meanwhile.

    Raises:
        LoopDeadlock: *main* waits for something that cannot come.
        RuntimeError: A loop is running already.
    """
    clock = VirtualClock(start)
    with moving_wall(clock), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        clock.follow(runner.get_loop())
        return runner.run(_begin(main, clock))


def _begin(main: Main[T], clock: VirtualClock) -> Coroutine[Any, Any, T]:
    if isinstance(main, Coroutine):
        return main
    function: Callable[..., Coroutine[Any, Any, T]] = main
    return function(clock) if inspect.signature(function).parameters else function()
