"""The electors of a scheduler: opened when it starts or a job brings one, listened to, closed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from aiosched._engine.bus import Bus
from aiosched._engine.openings import Openings
from aiosched._engine.timepiece import Timepiece
from aiosched.events import LeadershipChanged
from aiosched.gates.leader import LeaderGate
from aiosched.moments import from_us
from aiosched.protocols import CandidateElector, ClockedLocker


class Electors:
    """Opens and closes electors, makes their gates, and tells of their changes.

    Args:
        time: Of the events.
        bus: Where they go.
        on_elected: Called with an elector by which this replica has come to lead since it began.
    """

    def __init__(self, time: Timepiece, bus: Bus, on_elected: Callable[[Any], object]) -> None:
        self._time = time
        self._bus = bus
        self._on_elected = on_elected
        self._gates: dict[int, tuple[Any, LeaderGate]] = {}
        self._openings = Openings("elector")
        self._observed: dict[int, Callable[[], object]] = {}
        self._has_begun = False
        self._is_introduced = True

    def gate_for(self, elector: Any) -> LeaderGate:
        """Return the gate of *elector*, the same for all jobs that have it."""
        found = self._gates.get(id(elector))
        if found is None:
            if isinstance(elector, ClockedLocker):
                elector.use_clock(self._time.clock)
            cancels = getattr(elector, "on_leadership_lost", None) == "cancel"
            gate = LeaderGate(elector, self.ready, cancels=cancels)
            found = self._gates[id(elector)] = (elector, gate)
        return found[1]

    def may_lead(self, elector: Any) -> bool:
        """Say whether runs may get past *elector* now; True where only asking it would tell."""
        return not isinstance(elector, CandidateElector) or elector.term is not None

    async def open(self, electors: list[Any]) -> None:
        """Open *electors*; with each it is then known whether this replica leads.

        Raises:
            Exception: Whatever the first one raised.
        """
        for elector in electors:
            await self._openings.ready(elector)

    def begin(self) -> None:
        """Tell of changes from now on, and who leads already."""
        self._has_begun = True
        for elector in self._openings:
            self._observe(elector)

    async def ready(self, elector: Any) -> None:
        """Wait until *elector* is open."""
        await self._openings.ready(elector)
        if self._has_begun and id(elector) not in self._observed:
            self._observe(elector)

    async def close(self) -> None:
        """Resign, and close what was opened."""
        try:
            await self._openings.close()
        finally:
            self._has_begun = False
            observed, self._observed = self._observed, {}
            for forget in observed.values():
                forget()

    def problems(self) -> list[str]:
        """Return a sentence for each elector that could not stand the last time."""
        return [
            f"{type(elector).__name__} cannot stand for election: {elector.last_error!r}"
            for elector in self._openings
            if getattr(elector, "last_error", None) is not None
        ]

    def tell_clock(self) -> None:
        """Let the electors that live by the scheduler's clock know that it is another."""
        for elector, _ in self._gates.values():
            if isinstance(elector, ClockedLocker):
                elector.use_clock(self._time.clock)

    def _observe(self, elector: Any) -> None:
        if not isinstance(elector, CandidateElector):
            self._observed[id(elector)] = lambda: None
            return
        self._is_introduced = False
        try:
            changed = partial(self._changed, elector)
            self._observed[id(elector)] = elector.observe(changed)
        finally:
            self._is_introduced = True

    def _changed(self, elector: CandidateElector, is_leader: bool, term: int) -> None:  # noqa: FBT001 - as events have it
        if not is_leader:
            self.gate_for(elector).lost()
        at = from_us(self._time.now())
        self._bus.publish(LeadershipChanged(at=at, is_leader=is_leader, term=term, key=elector.key))
        if is_leader and self._is_introduced:
            self._on_elected(elector)
