"""One machine with one process: its clocks, its event loop, and what can happen to both."""

from __future__ import annotations

import asyncio
import heapq
import threading
from asyncio import events
from collections.abc import Callable, Coroutine
from math import ceil
from random import Random
from typing import Any

from aiosched.durations import SECOND
from aiosched.testing.clock import START
from tests.fleet.cluster.conductor import NEVER, Conductor

MILLION = 1_000_000
WALL_START = round(START.timestamp()) * SECOND


class HostLoop(asyncio.BaseEventLoop):
    """asyncio's own loop, stepped from outside; there is nothing to select from."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self._host = host
        self._clock_resolution = 0.5 / SECOND

    def time(self) -> float:
        return self._host.monotonic() / SECOND

    def next_due(self) -> int | None:
        """Return the monotonic microsecond of the earliest timer."""
        timers = self._scheduled
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False
        return _due(timers[0]) if timers else None

    @property
    def is_ready(self) -> bool:
        return bool(self._ready)

    def turn(self, goes_on: Callable[[], bool]) -> None:
        """Run what is ready, as one turn of asyncio's loop does, or as much as *goes_on* lets."""
        now = self._host.monotonic()
        while (due := self.next_due()) is not None and due <= now:
            timer = heapq.heappop(self._scheduled)
            timer._scheduled = False
            self._ready.append(timer)
        self._thread_id = threading.get_ident()
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            for _ in range(len(self._ready)):
                handle = self._ready.popleft()
                if not handle._cancelled:
                    handle._run()
                    if not goes_on():
                        break
        finally:
            self._thread_id = None
            events._set_running_loop(before)

    def _timer_handle_cancelled(self, handle) -> None:
        """Those that come to the top are dropped there."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""

    def _process_events(self, event_list) -> None:
        """There are none."""


def _due(timer) -> int:
    return ceil(timer._when * SECOND - 0.5)


class Host:
    """What a replica lives on.

    Args:
        conductor: Of true time.
        random: Of the time that each turn takes.
        name: Of what lives on it.
        offset: Microseconds by which its wall clock is wrong at first.
        drift: Millionths by which its clocks go fast.

    Attributes:
        loop: Its event loop.
        is_dead: It has vanished; nothing of it runs any more.
    """

    def __init__(
        self,
        conductor: Conductor,
        random: Random,
        *,
        name: str = "host",
        offset: int = 0,
        drift: int = 0,
    ) -> None:
        self.name = name
        self.is_dead = False
        self._conductor = conductor
        self._random = random
        self._offset = offset
        self._rate = MILLION + drift
        self._stopped = False
        self._suspended_at: int | None = None
        self._suspended = 0  # microseconds of its own clock
        self._free_at = 0
        self._is_blocked = False
        self._fuse: int | None = None
        self._on_death: Callable[[], object] = lambda: None
        self.loop = HostLoop(self)
        conductor.players.append(self)

    # ── clocks: a `Clock`, and the one of leases ──────────────────────────────────────────────

    def now(self) -> int:
        """Return the wall clock."""
        return WALL_START + self._ticks() + self._offset

    def monotonic(self) -> int:
        """Return the clock that asyncio goes by; it rests while the host is suspended."""
        return self._ticks() - self._suspended

    def boot_time(self) -> float:
        """Return the seconds of the clock that leases go by."""
        return self._ticks() / SECOND

    def true_at(self, boot_seconds: float) -> float:
        """Return the true second at which `boot_time` shows *boot_seconds*."""
        return boot_seconds * MILLION / self._rate

    def step(self, seconds: float) -> None:
        """Set the wall clock."""
        self._offset += round(seconds * SECOND)

    def _ticks(self) -> int:
        return self._conductor.now * self._rate // MILLION

    # ── a player ──────────────────────────────────────────────────────────────────────────────

    def next_at(self) -> int:
        if self.is_dead or self._stopped:
            return NEVER
        if self.loop.is_ready:
            return max(self._free_at, self._conductor.now)
        due = self.loop.next_due()
        if due is None:
            return NEVER
        return max(-(-(due + self._suspended) * MILLION // self._rate), self._free_at)

    def play(self) -> None:
        self._free_at = self._conductor.now + self._random.randrange(5, 150)
        self._is_blocked = False
        self.loop.turn(self._goes_on)

    def _goes_on(self) -> bool:
        if self._fuse is not None and not self.is_dead:
            self._fuse -= 1
            if self._fuse <= 0:
                self.vanish()
        return not (self.is_dead or self._stopped or self._is_blocked)

    # ── what happens to it ────────────────────────────────────────────────────────────────────

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Have *work* done on it."""
        return self.loop.create_task(work, name=name)

    def deliver(self, call: Callable[[], object]) -> None:
        """Have *call* called in its loop, as soon as that runs."""
        if not self.is_dead:
            self.loop.call_soon(call)

    def block(self, seconds: float) -> None:
        """Have the callback that runs take so long; it must await before it looks at a clock."""
        self._free_at = self._conductor.now + round(seconds * SECOND)
        self._is_blocked = True

    def stop(self, *, suspended: bool = False) -> None:
        """Run nothing until `go_on`; suspended, its monotonic clock rests as well."""
        self._stopped = True
        if suspended:
            self._suspended_at = self._ticks()

    def go_on(self) -> None:
        """Run again."""
        self._stopped = False
        if self._suspended_at is not None:
            self._suspended += self._ticks() - self._suspended_at
            self._suspended_at = None

    def vanish_within(self, handles: int, on_death: Callable[[], object]) -> None:
        """Vanish after so many more callbacks: in the middle of a turn."""
        self._fuse, self._on_death = handles, on_death

    def vanish(self) -> None:
        """Be gone at once."""
        self.is_dead = True
        self._conductor.players.remove(self)
        self._on_death()

    def clear_away(self) -> None:
        """End what a dead host has left behind, unheard: no coroutine may be left half way."""
        self._free_at, self._stopped, self._fuse = 0, False, None
        self.loop.set_exception_handler(lambda _loop, _context: None)
        for _ in range(1_000):
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            if not self.loop.is_ready:
                break
            for _ in range(3):  # what is cancelled before its first step may only begin anew
                self.loop.turn(lambda: True)
        self.loop.close()
