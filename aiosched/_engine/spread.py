"""A fair share for every replica: who has won much of late waits longer before it claims."""

from __future__ import annotations

from typing import Final

from aiosched._engine.jitter import share
from aiosched.durations import SECOND
from aiosched.model import Cause, Run

_MEMORY: Final = 0.1  # weight of the newest claim in the share that was won
_BY_SUCCESS: Final = 1.5  # of the longest wait, for each whole of the claims won
_BY_CHANCE: Final = 0.25  # of the longest wait


class Spread:
    """How long one replica waits before each claim.

    A clock that is ahead wins every race, so the wait grows with the share of the claims that this
    replica won lately; a small part is drawn by the replica's name and the occurrence.

    Args:
        longest: The longest wait in microseconds; 0: none.
        instance: The replica's name.
    """

    __slots__ = ("_instance", "_longest", "_won")

    def __init__(self, longest: int, instance: str) -> None:
        self._longest = longest
        self._instance = instance
        self._won = 0.0

    def wait(self, run: Run) -> float:
        """Return the seconds to wait before claiming for *run*; half its grace at the most."""
        if not self._longest or run.cause is not Cause.TRIGGER:
            return 0.0
        chance = share(f"{self._instance}\0{run.job.name}", run.due_us)
        wait = self._longest * min(1.0, _BY_SUCCESS * self._won + _BY_CHANCE * chance)
        grace = run.job._spec.misfire_grace
        return (wait if grace is None else min(wait, grace / 2)) / SECOND

    def note(self, *, won: bool) -> None:
        """Remember whether a claim was won."""
        self._won += _MEMORY * (won - self._won)
