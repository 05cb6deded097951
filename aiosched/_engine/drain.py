"""The end of a scheduler's runs: told to stop, waited for, cancelled, and waited for again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiosched.model import Status

if TYPE_CHECKING:
    from aiosched._engine.dispatcher import Dispatcher
    from aiosched.model import Run

log = logging.getLogger("aiosched")

_AFTER_CANCEL: Final = 5.0  # seconds for what was cancelled to clean up
_LOOK: Final = 0.1


@dataclass(frozen=True, slots=True)
class DrainReport:
    """How the runs of a stopping scheduler ended.

    Attributes:
        finished: Runs that came to their own end.
        cancelled: Runs that were cancelled: queued, postponed, or still going on at the timeout.
        abandoned: Runs that still go on: their thread does not end, or they suppress cancellation.
    """

    finished: int = 0
    cancelled: tuple[str, ...] = ()
    abandoned: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing still goes on."""
        return not self.abandoned


async def drain(dispatcher: Dispatcher, timeout: float, hurried: asyncio.Event) -> DrainReport:
    """Bring every run to its end within *timeout* seconds, and a few more for the cancelled.

    Args:
        dispatcher: Whose runs.
        timeout: How long to wait before they are cancelled.
        hurried: Set when nobody wants to wait that long.
    """
    waiting = _dismiss_waiting(dispatcher)
    going_on = dict.fromkeys(run for run in dispatcher.tasks if run not in waiting)
    for run in going_on:
        if run._stopping is not None:
            run._stopping.set()
    await _patiently(dispatcher, timeout, hurried)
    going_on.update(dict.fromkeys(dispatcher.tasks))  # with what was let in meanwhile
    _cancel(dispatcher, dispatcher.tasks)
    await _until_threads_are_left(dispatcher)
    abandoned = await _give_up(dispatcher)
    left = set(abandoned)
    ended = [run for run in {**waiting, **going_on} if run not in left]
    cancelled = [run.id for run in ended if run._status is Status.CANCELLED]
    return DrainReport(
        finished=len(ended) - len(cancelled),
        cancelled=tuple(cancelled),
        abandoned=tuple(run.id for run in abandoned),
    )


def _dismiss_waiting(dispatcher: Dispatcher) -> dict[Run, None]:
    """Cancel the runs that have not begun: queued for a limit, or waiting for a store."""
    waiting = dict.fromkeys((*dispatcher.dismiss(), *dispatcher.postponed.away))
    _cancel(dispatcher, waiting)
    return waiting


def _cancel(dispatcher: Dispatcher, runs: Iterable[Run]) -> None:
    for run in tuple(runs):
        task = dispatcher.tasks.get(run)
        if task is not None:
            task.cancel("the scheduler stops")


async def _patiently(dispatcher: Dispatcher, timeout: float, hurried: asyncio.Event) -> None:
    """Wait until nothing goes on any more, or somebody is in a hurry."""
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout
    await asyncio.sleep(0)  # what was cancelled has its turn
    hurry = loop.create_task(hurried.wait(), name="aiosched hurry")
    try:
        # Runs may be let in meanwhile: an older occurrence that came with a lock.
        while dispatcher.tasks and not hurried.is_set() and (left := until - loop.time()) > 0:
            all_done = loop.create_task(asyncio.wait(tuple(dispatcher.tasks.values())))
            await asyncio.wait({all_done, hurry}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            all_done.cancel()
    finally:
        hurry.cancel()


async def _until_threads_are_left(dispatcher: Dispatcher) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + _AFTER_CANCEL
    await asyncio.sleep(0)  # what was cancelled has its turn
    while (left := until - loop.time()) > 0:
        loose = [task for run, task in dispatcher.tasks.items() if not run._holds]
        if not loose:
            return
        # Not to the end in one go: one of them may find that it must wait for its thread.
        await asyncio.wait(loose, timeout=min(left, _LOOK))


async def _give_up(dispatcher: Dispatcher) -> list[Run]:
    """Wait no longer; return the runs that go on. Each has its outcome all the same."""
    left = dict(dispatcher.tasks)
    threads = {run for run in left if run._holds}
    for run, task in left.items():
        run._holds = None
        task.cancel("the drain gave up")
    if left:
        await asyncio.wait(left.values(), timeout=_LOOK)
    abandoned = [run for run in left if run in threads or run in dispatcher.tasks]
    for run in abandoned:
        log.error("gave up waiting for %s: it still goes on", run.id)
        if not run._told:
            dispatcher.tell(run)
    return abandoned
