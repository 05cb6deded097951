"""A clock that shows the time of its event loop, and whose wall time a test may step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import copy
from datetime import UTC, datetime
from math import isfinite
from typing import Final

from aiosched.durations import SECOND
from aiosched.moments import aware_us
from aiosched.testing.loop import VirtualLoop

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""When virtual time begins unless a test says otherwise."""

Listener = Callable[[], object]


class VirtualClock:
    """Wall time is *start* plus what has passed on the event loop, plus steps and skew.

    It shows *start* until a loop runs. On a `VirtualLoop` it counts from the loop's beginning, on
    any other from the first look at it. It goes on where it was when another loop takes over.

    Args:
        start: The wall time at first, aware.
        skew: Seconds by which this host's wall clock is wrong.
    """

    def __init__(self, start: datetime = START, *, skew: float = 0.0) -> None:
        self._flow = _Flow(aware_us(start, "start"))
        self._skew_us = _steps(skew, "skew")

    def now(self) -> int:
        """Return the wall clock: microseconds since the Unix epoch, skew included."""
        flow = self._flow
        return flow.wall_us + flow.elapsed() + self._skew_us

    def monotonic(self) -> int:
        """Return the loop's own time in microseconds; 0 before there is a loop."""
        loop = self._flow.current()
        return 0 if loop is None else _time_of(loop)

    def step(self, seconds: float) -> None:
        """Set the wall clocks of all views forwards, or backwards; `monotonic` takes no notice."""
        self._flow.wall_us += _steps(seconds, "seconds")
        self._flow.tell()

    @property
    def skew(self) -> float:
        """Seconds by which this view is wrong. To set it is a step of this view alone."""
        return self._skew_us / SECOND

    @skew.setter
    def skew(self, seconds: float) -> None:
        self._skew_us = _steps(seconds, "skew")
        self._flow.tell()

    def skewed(self, seconds: float) -> VirtualClock:
        """Return a view of the same time that is *seconds* off: another host's clock."""
        view = copy(self)
        view._skew_us = _steps(seconds, "seconds")  # noqa: SLF001 - of this class
        return view

    def follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """Count on *loop*, which begins just now. Without this, the first look from a loop does."""
        self._flow.follow(loop)

    def on_step(self, listener: Listener) -> Callable[[], None]:
        """Call *listener* after each step and change of skew of any view; return how to stop it."""
        self._flow.listeners.append(listener)
        return lambda: self._flow.listeners.remove(listener)

    def __repr__(self) -> str:
        shown = datetime.fromtimestamp(self.now() // SECOND, UTC)
        return f"<VirtualClock {shown:%Y-%m-%dT%H:%M:%SZ} skew={self.skew:g}>"


class _Flow:
    """How much time has passed, on one event loop after the other."""

    def __init__(self, wall_us: int) -> None:
        self.wall_us = wall_us  # start and steps
        self.listeners: list[Listener] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before = 0  # on loops before this one
        self._origin = 0  # this loop's time when it took over

    def elapsed(self) -> int:
        loop = self.current()
        return self._before if loop is None else self._before + _time_of(loop) - self._origin

    def current(self) -> asyncio.AbstractEventLoop | None:
        """Return the loop that counts, which may be seen from a thread, or after it has ended."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return self._loop
        known = self._loop
        if running is known or (known is not None and known.is_running()):
            return known
        whole = known is None and isinstance(running, VirtualLoop)
        self.follow(running)
        if whole:
            self._origin = 0
        return running

    def follow(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None:
            self._before += _time_of(self._loop) - self._origin
        self._loop = loop
        self._origin = _time_of(loop)

    def tell(self) -> None:
        for listener in tuple(self.listeners):
            listener()


def _time_of(loop: asyncio.AbstractEventLoop) -> int:
    return loop.elapsed_us if isinstance(loop, VirtualLoop) else round(loop.time() * SECOND)


def _steps(seconds: float, argument: str) -> int:
    if not isfinite(seconds):
        raise ValueError(f"{argument} must be finite, got {seconds!r}")
    return round(seconds * SECOND)
