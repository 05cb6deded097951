"""Worker threads, for functions that block."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import anyio
import anyio.to_thread

from aiosched.clock import real_work

if TYPE_CHECKING:
    from aiosched.model import Run


class ThreadExecutor:
    """Calls functions in worker threads, at most *limit* at once in a loop.

    A thread cannot be cancelled: when the run is, `run.stopping` is set, and the run keeps its slot
    and its lock until the thread has ended.
    """

    def __init__(self, limit: int = 40) -> None:
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
            raise ValueError(f"limit must be an int of at least 1, got {limit!r}")
        self.limit = limit
        self._limiters: WeakKeyDictionary[asyncio.AbstractEventLoop, anyio.CapacityLimiter] = (
            WeakKeyDictionary()
        )

    async def submit(
        self,
        run: Run,
        func: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        /,
    ) -> object:
        """Return what *func* returns in a worker thread, which has a copy of the run's context."""
        loop = asyncio.get_running_loop()
        stopping = run.stopping  # made here, since the thread may look at it at any time
        ticket = threading.Lock()  # who takes it first says whether the function is called

        def call() -> object:
            return func(*args, **kwargs) if ticket.acquire(blocking=False) else None

        work = loop.create_task(self._work(loop, call), name=f"{run.job.name} (thread)")
        try:
            # The shield keeps the thread's end observable; the except clause takes charge of it.
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            if work.cancelled():
                raise
            if ticket.acquire(blocking=False):
                work.cancel()
            elif not work.done():
                stopping.set()
                run.hold_until(work)
            raise

    async def _work(self, loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> object:
        limiter = self._limiters.get(loop)
        if limiter is None:
            limiter = self._limiters[loop] = anyio.CapacityLimiter(self.limit)
        async with limiter:
            with real_work(loop):
                return await anyio.to_thread.run_sync(
                    functools.partial(call), limiter=_unlimited(loop)
                )


_UNLIMITED: WeakKeyDictionary[asyncio.AbstractEventLoop, anyio.CapacityLimiter] = (
    WeakKeyDictionary()
)


def _unlimited(loop: asyncio.AbstractEventLoop) -> anyio.CapacityLimiter:
    # Ours has been passed already, outside of what counts as real work.
    found = _UNLIMITED.get(loop)
    if found is None:
        found = _UNLIMITED[loop] = anyio.CapacityLimiter(float("inf"))
    return found
