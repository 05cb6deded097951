"""The lockers of a scheduler: opened when it starts or a job brings one, closed once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from aiosched._engine.claims import Claims
from aiosched._engine.electors import Electors
from aiosched._engine.openings import Openings
from aiosched._engine.spread import Spread
from aiosched._engine.timepiece import Timepiece
from aiosched.gates.lock import LockGate
from aiosched.protocols import ClaimingLocker, ClockedLocker

if TYPE_CHECKING:
    from aiosched.options import JobSpec
    from aiosched.protocols import Gate

log = logging.getLogger("aiosched")


class Lockers:
    """Opens and closes lockers, and makes the gates of a job."""

    def __init__(self, time: Timepiece, spread: Spread, electors: Electors) -> None:
        self._time = time
        self._electors = electors
        self._claims = Claims(time, spread)
        self._gates: dict[int, tuple[Any, LockGate]] = {}
        self._openings = Openings("locker")
        self.ready = self._openings.ready
        self.close = self._openings.close

    def gates_for(self, spec: JobSpec) -> tuple[Gate, ...] | None:
        """Return the asynchronous gates of a job: its own, then leadership, then the lock."""
        if spec.locker is None and spec.elector is None and not spec.gates:
            return None
        gates: list[Any] = list(spec.gates)
        if spec.elector is not None:
            gates.append(self._electors.gate_for(spec.elector))
        if spec.locker is not None:
            gates.append(self._lock_gate(spec.locker))
        return tuple(gates)

    async def open(self, lockers: list[Any]) -> None:
        """Open *lockers*; if one cannot be, none stays open.

        Raises:
            Exception: Whatever the first one raised.
        """
        for _, gate in self._gates.values():
            gate.trouble = None
        try:
            for locker in lockers:
                await self.ready(locker)
        except BaseException:
            await self.close()
            raise

    def problems(self) -> list[str]:
        """Return a sentence for each locker that could not be asked the last time."""
        return [
            f"{type(locker).__name__} is unavailable: {gate.trouble}"
            for locker, gate in self._gates.values()
            if gate.trouble is not None
        ]

    def tell_clock(self) -> None:
        """Let the lockers that live by the scheduler's clock know that it is another."""
        for locker, _ in self._gates.values():
            if isinstance(locker, ClockedLocker):
                locker.use_clock(self._time.clock)

    def _lock_gate(self, locker: Any) -> LockGate:
        found = self._gates.get(id(locker))
        if found is None:
            claims = isinstance(locker, ClaimingLocker)
            if not claims:
                log.warning(
                    "locker %r only excludes and remembers no occurrence: one may run twice "
                    "when clocks differ",
                    locker,
                )
            if isinstance(locker, ClockedLocker):
                locker.use_clock(self._time.clock)
            gate = LockGate(locker, claims=claims, policy=self._claims, ready=self.ready)
            found = self._gates[id(locker)] = (locker, gate)
        return found[1]
