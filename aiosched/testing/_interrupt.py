"""Cancelling a coroutine at a chosen suspension, at the moments in which cancelling goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from enum import Enum
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Moment(Enum):
    """When, after a coroutine began to wait, its task is cancelled."""

    AT_ONCE = 0  # before anything else happens
    SOON = 1  # a turn of the loop later
    LATER = 2  # two turns later: what was asked is on its way
    ANSWERED = -1  # what it waits for is there, and it has not run on yet


class Interrupted(Generic[T]):
    """Awaits a coroutine, and cancels the awaiting task at one of its suspensions.

    Attributes:
        reached: Whether there was that suspension.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], at: int, moment: Moment) -> None:
        self.reached = False
        self._coroutine = coroutine
        self._at = at
        self._moment = moment

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._coroutine.__await__()
        error: BaseException | None = None
        count = 0
        while True:
            try:
                waited = steps.throw(error) if error is not None else next(steps)
            except StopIteration as end:
                result: T = end.value
                return result
            if count == self._at:
                self.reached = True
                self._arrange(waited)
            count += 1
            error = None
            try:
                yield waited
            except BaseException as thrown:  # noqa: BLE001 - the coroutine's, not ours
                error = thrown

    def _arrange(self, waited: asyncio.Future[Any] | None) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - it is awaited in one
        if self._moment is Moment.ANSWERED and waited is not None:
            # Before the task's own callback, which comes with the yield: it wakes to find itself
            # cancelled, and the answer in the future.
            waited.add_done_callback(lambda _: task.cancel())
        else:
            _after(max(self._moment.value, 0), task)


def _after(turns: int, task: asyncio.Task[Any]) -> None:
    loop = asyncio.get_running_loop()
    if turns:
        loop.call_soon(_after, turns - 1, task)
    else:
        loop.call_soon(task.cancel)


async def interrupt(
    coroutine: Coroutine[Any, Any, T], at: int, moment: Moment
) -> tuple[bool, T | None]:
    """Run *coroutine* and cancel it at suspension *at*, from 0.

    Returns:
        Whether it had so many, and its result; None if it was cancelled.
    """
    interrupted = Interrupted(coroutine, at, moment)

    async def run() -> T:
        return await interrupted

    task = asyncio.create_task(run())
    await asyncio.wait([task])
    return interrupted.reached, None if task.cancelled() else task.result()
