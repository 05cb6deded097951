"""The lockers of a scheduler: opened when it starts or a job brings one, closed once."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from aiosched._engine.claims import Claims
from aiosched._engine.spread import Spread
from aiosched._engine.timepiece import Timepiece
from aiosched.gates.leader import LeaderGate
from aiosched.gates.lock import LockGate
from aiosched.protocols import ClaimingLocker, ClockedLocker

if TYPE_CHECKING:
    from aiosched.options import JobSpec
    from aiosched.protocols import Gate

log = logging.getLogger("aiosched")


class Lockers:
    """Opens and closes lockers, and makes the gates of a job."""

    def __init__(self, time: Timepiece, spread: Spread) -> None:
        self._time = time
        self._claims = Claims(time, spread)
        self._gates: dict[int, tuple[Any, LockGate]] = {}
        self._open: dict[int, tuple[Any, asyncio.Task[None]]] = {}

    def gates_for(self, spec: JobSpec) -> tuple[Gate, ...] | None:
        """Return the asynchronous gates of a job: its own, then leadership, then the lock."""
        gates: list[Any] = list(spec.gates)
        if spec.elector is not None:
            gates.append(LeaderGate(spec.elector))
        if spec.locker is not None:
            gates.append(self._lock_gate(spec.locker))
        return tuple(gates) or None

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

    async def ready(self, locker: Any) -> None:
        """Wait until *locker* is open; the first caller opens it."""
        found = self._open.get(id(locker))
        if found is None:
            task = asyncio.get_running_loop().create_task(
                _open(locker), name="aiosched open locker"
            )
            found = self._open[id(locker)] = (locker, task)
        elif found[1].done() and found[1].exception() is None:
            return
        try:
            # Shielded: it serves everybody who waits, not the one who is cancelled.
            await asyncio.shield(found[1])
        except Exception:
            self._open.pop(id(locker), None)
            raise

    async def close(self) -> None:
        """Close what was opened; a locker that cannot be closed is logged."""
        opened, self._open = self._open, {}
        for locker, task in opened.values():
            task.cancel()  # nothing, for one that is open
            if not task.done():
                await asyncio.wait({task})
            if not task.cancelled() and task.exception() is None:
                await _close(locker)

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


async def _open(locker: Any) -> None:
    if hasattr(locker, "open"):
        await locker.open()


async def _close(locker: Any) -> None:
    if not hasattr(locker, "aclose"):
        return
    try:
        await locker.aclose()
    except Exception:
        log.exception("closing locker %r raised", locker)
