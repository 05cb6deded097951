"""An event loop whose time jumps to the next timer instead of passing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import Context
from selectors import DefaultSelector, SelectorKey
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

from aiosched.durations import SECOND
from aiosched.errors import AioschedError

T = TypeVar("T")
Args = TypeVarTuple("Args")

_FINEST: Final = 1 / SECOND  # seconds: the least by which time goes on
_GRACE: Final = 2.0  # real seconds for a thread of which nobody told us


class LoopDeadlock(AioschedError, RuntimeError):
    """Everything in a loop of virtual time waits, and nothing is left that could end it."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """A real asyncio loop that does not sleep: with nothing ready, its next timer is due now.

    Sockets, pipes, signals and callbacks from threads work as ever and come first: time only jumps
    when none of them is ready. What it cannot see is work that goes on elsewhere, in a thread, a
    child or on a server: while a `real_work` context is entered it waits for that, as any loop
    would, and only jumps once the next timer is really overdue. `run_in_executor`, and with it the
    resolving of names, does so by itself.

    Time begins at 0 and is counted in whole microseconds, so that it is the same in each replay.

    Raises:
        LoopDeadlock: From `run_until_complete` or `run_forever`: it would wait for ever.
    """

    def __init__(self) -> None:
        self._elapsed_us = 0
        self._working = 0
        super().__init__(_JumpingSelector(self._wait_for, self._jump))
        # Half of the finest step. With a nanosecond a timer's float is lost past 97 days, and the
        # loop would turn for ever; with a microsecond the next timer might come a step early.
        self._clock_resolution = 0.5 / SECOND

    @property
    def elapsed_us(self) -> int:
        """Virtual microseconds since the loop was made, exactly: `time` as an integer."""
        return self._elapsed_us

    def time(self) -> float:
        return self._elapsed_us / SECOND

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Args]], object],
        *args: *Args,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        # What is left until a deadline may be less than the finest step. Were it no time at all,
        # whoever waits in a loop for what is left would wait for ever.
        if 0 < delay < _FINEST:
            delay = _FINEST
        return super().call_later(delay, callback, *args, context=context)

    @contextmanager
    def real_work(self) -> Iterator[None]:
        """Wait for what goes on elsewhere instead of jumping, until this is left."""
        self._working += 1
        try:
            yield
        finally:
            self._working -= 1

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Args]], T], *args: *Args
    ) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self._working += 1
        future.add_done_callback(self._work_done)
        return future

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        with self.real_work():  # it waits for a thread that waits for all the others
            await super().shutdown_default_executor(*args, **kwargs)

    def _work_done(self, _: asyncio.Future[Any]) -> None:
        self._working -= 1

    def _wait_for(self, timeout: float | None, descriptors: int) -> float | None:
        """Return how many real seconds to wait when nothing is ready; None: as long as it takes."""
        if self._working:
            return timeout
        if timeout is not None:
            return 0
        if descriptors > 1 or getattr(self, "_signal_handlers", None):  # 1: the loop's own pipe
            return None
        return _GRACE if threading.active_count() > 1 else 0

    def _jump(self, timeout: float | None) -> None:
        """Make it *timeout* seconds later."""
        if timeout is None:
            raise LoopDeadlock(self._explain())
        later = round((self.time() + timeout) * SECOND)
        self._elapsed_us = max(later, self._elapsed_us + 1)

    def _explain(self) -> str:
        names = sorted(task.get_name() for task in asyncio.all_tasks(self))
        waiting = f"tasks waiting: {', '.join(names)}" if names else "there is no task"
        return (
            f"this loop would wait for ever at virtual second {self.time():g}: no timer is set, no "
            "file is watched and no thread is known to work (see VirtualLoop.real_work); "
            f"{waiting}"
        )


class _JumpingSelector(DefaultSelector):
    """A selector that, when nothing is ready, asks how long to wait and tells when that is over."""

    def __init__(
        self,
        wait_for: Callable[[float | None, int], float | None],
        jump: Callable[[float | None], None],
    ) -> None:
        super().__init__()
        self._wait_for = wait_for
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        wait = self._wait_for(timeout, len(self.get_map()))
        if wait != 0:
            ready = super().select(wait)
        if not ready and wait is not None:
            self._jump(timeout)
        return ready
