"""The clock of a scheduler, in one place, so that a simulation can put another in its stead."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiosched.protocols import Clock


class Timepiece:
    """Reads whichever clock is in use; its readings cost what the clock's own cost."""

    __slots__ = ("clock", "monotonic", "now")

    now: Callable[[], int]
    monotonic: Callable[[], int]

    def __init__(self, clock: Clock) -> None:
        self.use(clock)

    def use(self, clock: Clock) -> None:
        """Read *clock* from now on."""
        self.clock = clock
        self.now = clock.now
        self.monotonic = clock.monotonic
