"""One daemon thread that makes blocking calls in order, for any number of event loops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from aiosched.clock import real_work

T = TypeVar("T")


class Worker:
    """A thread that is made at the first call and ends by `stop`.

    It is a daemon and no executor's, so that it never keeps the interpreter from leaving.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, function: Callable[[], T]) -> T:
        """Return what *function* returns, or raise what it raises.

        The call cannot be taken back, so a first cancellation does not end the waiting. A second
        one does.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
        with real_work(loop):
            self.submit(partial(_call, function, loop, future))
            result, error = await _seen_through(future)
        if error is not None:
            raise error
        value: T = result
        return value

    def submit(self, call: Callable[[], object]) -> None:
        """Have *call* made; it must not raise."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        self._calls.put(call)

    @property
    def is_started(self) -> bool:
        """Whether there is a thread."""
        return self._thread is not None

    async def finish(self, last: Callable[[], object], within: float) -> None:
        """Have *last* called and the thread ended; wait up to *within* seconds for it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self.submit(partial(_call, last, loop, future))
        self._calls.put(None)
        with real_work(loop):
            await asyncio.wait([future], timeout=within)
        if future.done():
            self._join(within)  # it has nothing left to do

    def stop(self, timeout: float) -> None:
        """End the thread after what was submitted, and wait for it, blocking."""
        self._calls.put(None)
        self._join(timeout)

    def _join(self, timeout: float) -> None:
        # The garbage collector may have us called from the thread itself.
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call  # idle, the thread must keep nothing alive


def _call(function: Callable[[], object], loop: asyncio.AbstractEventLoop, future: Any) -> None:
    result: object = None
    error: BaseException | None = None
    try:
        result = function()
    except BaseException as raised:  # noqa: BLE001 - raised again where it is awaited
        error = raised
    with suppress(RuntimeError):  # the loop is closed, so that nobody waits
        # Nobody cancels it: `asyncio.wait` leaves what it waited for alone.
        loop.call_soon_threadsafe(future.set_result, (result, error))


async def _seen_through(future: asyncio.Future[T]) -> T:
    try:
        await asyncio.wait([future])
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling() > 1:
            raise
        await asyncio.wait([future])
    return future.result()
