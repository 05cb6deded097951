"""A hook before each run that may say no, as a gate."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import update_wrapper

from aiosched.model import Refusal, Run

Verdict = str | bool | None
Hook = Callable[[Run], Verdict | Awaitable[Verdict]]


def veto(hook: Hook) -> Callable[[Run], AbstractAsyncContextManager[Refusal | None]]:
    """Return a gate of a sync or async *hook* of the run.

    The run is refused when the hook raises, or returns False or a text, which is then the reason.
    """

    @asynccontextmanager
    async def gate(run: Run) -> AsyncIterator[Refusal | None]:
        verdict = hook(run)
        if inspect.isawaitable(verdict):
            verdict = await verdict
        if verdict is None or verdict is True:
            yield None
        else:
            yield Refusal(name_of(hook), verdict if isinstance(verdict, str) else "vetoed")

    return update_wrapper(
        gate, hook, assigned=("__module__", "__name__", "__qualname__", "__doc__")
    )


def name_of(gate: object) -> str:
    """Return what refusals call *gate*: its `name`, or that of its function or class."""
    named = getattr(gate, "name", None)
    if isinstance(named, str):
        return named
    return str(getattr(gate, "__name__", None) or type(gate).__name__)
