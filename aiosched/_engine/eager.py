"""Tasks that take their first step at once, in the caller's turn of the loop, not in the next."""

from __future__ import annotations

import sys
from asyncio import AbstractEventLoop, Handle, Task
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

Work = Coroutine[Any, Any, None]
Start = Callable[[Work, str, Context], None]
"""Begins a task of that name in that context, from a callback of the loop: not from a task.

An exit that the first step raises goes on to the caller, as it otherwise does to the loop.
"""


def starter(loop: AbstractEventLoop) -> Start | None:
    """Return what begins tasks at once on *loop*; None: this loop does not allow it."""
    if sys.version_info >= (3, 12):

        def start(work: Work, name: str, context: Context) -> None:
            Task(work, loop=loop, name=name, context=context, eager_start=True)

        return start
    else:  # noqa: RET505 - a type checker sees one of the two only
        return _by_hand(loop)


def _by_hand(loop: AbstractEventLoop) -> Start | None:
    """Do for Python 3.11 what later ones do themselves.

    A new task hands its first step to the loop's `call_soon`. For as long as it takes to make one,
    that is covered by a function which keeps the step instead, to be taken here.
    """
    queue = loop.call_soon
    if type(loop).call_soon.__get__(loop) != queue:  # somebody else has covered it
        return None
    try:
        loop.call_soon = queue  # type: ignore[method-assign]
        del loop.call_soon
    except AttributeError:
        return None
    made: Work | None = None
    steps: list[Callable[[], None]] = []

    def keep(callback: Any, *args: Any, context: Context | None = None) -> Handle | None:
        try:
            if callback.__self__.get_coro() is made:
                steps.append(callback)
                return None
        except AttributeError:
            pass
        return queue(callback, *args, context=context)  # of a finalizer that ran in between

    def start(work: Work, name: str, context: Context) -> None:
        nonlocal made
        made = work
        loop.call_soon = keep  # type: ignore[method-assign,assignment]
        try:
            Task(work, loop=loop, name=name, context=context)
        finally:
            del loop.call_soon
            made = None
        context.run(steps.pop())

    return start
