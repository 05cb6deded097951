"""Worker processes, for functions that compute."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import anyio
import anyio.to_process

from aiosched.clock import real_work

if TYPE_CHECKING:
    from aiosched.model import Run


class ProcessExecutor:
    """Calls functions in worker processes, at most *limit* at once (None: one a processor).

    The function, its arguments and its result travel as pickles, so a function that takes the `Run`
    is refused. When the run is cancelled its worker process is killed.
    """

    def __init__(self, limit: int | None = None) -> None:
        if limit is not None and (
            isinstance(limit, bool) or not isinstance(limit, int) or limit < 1
        ):
            raise ValueError(f"limit must be None or an int of at least 1, got {limit!r}")
        self.limit: int = limit or os.cpu_count() or 1
        self._limiters: WeakKeyDictionary[asyncio.AbstractEventLoop, anyio.CapacityLimiter] = (
            WeakKeyDictionary()
        )

    async def submit(
        self,
        run: Run,  # noqa: ARG002 - the protocol's
        func: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        /,
    ) -> object:
        """Return what *func* returns in a worker process."""
        loop = asyncio.get_running_loop()
        limiter = self._limiters.get(loop)
        if limiter is None:
            limiter = self._limiters[loop] = anyio.CapacityLimiter(self.limit)
        with real_work(loop):
            return await anyio.to_process.run_sync(
                functools.partial(func, *args, **kwargs), cancellable=True, limiter=limiter
            )
