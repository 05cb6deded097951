"""True time: what happens to hosts, network and stores, in one order."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Protocol

from aiosched.durations import SECOND

NEVER = 2**62


class Player(Protocol):
    """What has a life of its own between the events."""

    def next_at(self) -> int:
        """Return the true moment at which it has something to do; `NEVER`: nothing."""
        ...

    def play(self) -> None:
        """Do what is to be done by now."""
        ...


class Conductor:
    """Lets events and players have their turn in the order of true time.

    Attributes:
        now: Microseconds of true time since the beginning.
        players: In the order in which they go at one instant.
    """

    def __init__(self) -> None:
        self.now = 0
        self.players: list[Player] = []
        self._events: list[tuple[int, int, Callable[[], object]]] = []
        self._count = 0

    @property
    def seconds(self) -> float:
        """True time in seconds."""
        return self.now / SECOND

    def at(self, moment: int, call: Callable[[], object]) -> None:
        """Call *call* at a true moment, or now if that is over; after what was asked before."""
        self._count += 1
        heapq.heappush(self._events, (max(moment, self.now), self._count, call))

    def after(self, seconds: float, call: Callable[[], object]) -> None:
        """Call *call* so many seconds from now."""
        self.at(self.now + round(seconds * SECOND), call)

    def run(self, until: int) -> None:
        """Let everything happen up to the true moment *until*."""
        events = self._events
        while True:
            moment, first = NEVER, None
            for player in self.players:
                when = player.next_at()
                if when < moment:
                    moment, first = when, player
            if events and events[0][0] <= moment:
                moment, first = events[0][0], None
            if moment > until:
                self.now = max(self.now, until)
                return
            self.now = max(self.now, moment)
            if first is None:
                heapq.heappop(events)[2]()
            else:
                first.play()
