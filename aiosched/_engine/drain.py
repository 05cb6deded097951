"""The end of a scheduler's runs: told to stop, waited for, cancelled, and waited for again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiosched._engine.dispatcher import Dispatcher
    from aiosched.model import Run

log = logging.getLogger("aiosched")

_AFTER_CANCEL: Final = 5.0  # seconds for what was cancelled to clean up


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


async def drain(dispatcher: Dispatcher, timeout: float) -> DrainReport:
    """Bring every run to its end within *timeout* seconds, and a few more for the cancelled."""
    cancelled = _dismiss_waiting(dispatcher)
    going_on = [run for run in dispatcher.tasks if run not in cancelled]
    for run in going_on:
        if run._stopping is not None:
            run._stopping.set()
    await _until(dispatcher, _nothing, timeout)
    late = [run for run in dispatcher.tasks if not run._told]
    _cancel(dispatcher.tasks)
    await _until(dispatcher, _only_threads, _AFTER_CANCEL)
    abandoned = list(dispatcher.tasks)
    _give_up(abandoned)
    if abandoned:
        await _until(dispatcher, _nothing, 0.1)
    cancelled += [run for run in late if run not in abandoned]
    return DrainReport(
        finished=sum(run._task is None and run not in late for run in going_on),
        cancelled=tuple(run.id for run in cancelled),
        abandoned=tuple(run.id for run in abandoned),
    )


def _dismiss_waiting(dispatcher: Dispatcher) -> list[Run]:
    """Cancel the runs that have not begun: queued for a limit, or waiting for a store."""
    queued = list(dispatcher.queued)
    returning = [run for run in queued if not dispatcher.withdraw(run)]
    _cancel([*returning, *dispatcher.postponed])
    return [*queued, *dispatcher.postponed]


def _cancel(runs: Iterable[Run]) -> None:
    for run in runs:
        if run._task is not None:
            run._task.cancel("the scheduler stops")


def _nothing(dispatcher: Dispatcher) -> bool:
    return not dispatcher.tasks


def _only_threads(dispatcher: Dispatcher) -> bool:
    return all(run._holds for run in dispatcher.tasks)


async def _until(
    dispatcher: Dispatcher, over: Callable[[Dispatcher], bool], timeout: float
) -> None:
    """Wait until it is *over*, for *timeout* seconds; runs may be let in meanwhile."""
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout
    await asyncio.sleep(0)  # what was cancelled has its turn
    while not over(dispatcher) and (left := until - loop.time()) > 0:
        await asyncio.wait(
            tuple(dispatcher.tasks.values()), timeout=left, return_when=asyncio.FIRST_COMPLETED
        )


def _give_up(runs: list[Run]) -> None:
    for run in runs:
        log.error("gave up waiting for %s: it still goes on", run.id)
        run._holds = None
        if run._task is not None:
            run._task.cancel("the drain gave up")
