"""The host's clock: one wall reading and one monotonic reading, both in microseconds."""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop
from contextlib import AbstractContextManager, nullcontext
from math import isfinite


def real_work(loop: AbstractEventLoop) -> AbstractContextManager[object]:
    """Return a context in which a loop of virtual time waits for a thread or a process.

    Without it such a loop would jump to its next timer while the work goes on elsewhere. On every
    other loop it does nothing. Enter and leave it in the loop's thread, around the waiting.
    """
    seam = getattr(loop, "real_work", None)
    return nullcontext() if seam is None else seam()


class SystemClock:
    """The host's clocks.

    Args:
        skew: Seconds added to the wall clock, for drills with replicas whose clocks differ.
    """

    __slots__ = ("_skew_ns", "skew")

    def __init__(self, skew: float = 0.0) -> None:
        if not isfinite(skew):
            raise ValueError(f"skew must be finite, got {skew!r}")
        self.skew: float = skew
        self._skew_ns = round(skew * 1e9)

    def now(self) -> int:
        """Return the wall clock: microseconds since the Unix epoch, plus the skew."""
        return (time.time_ns() + self._skew_ns) // 1000

    def monotonic(self) -> int:
        """Return microseconds on the clock that asyncio's timers run by; it never steps."""
        return time.monotonic_ns() // 1000

    def __repr__(self) -> str:
        return f"SystemClock(skew={self.skew!r})" if self.skew else "SystemClock()"
