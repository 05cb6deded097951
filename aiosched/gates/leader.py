"""Only the leader runs: the gate before an elector."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING

from aiosched.errors import LockError
from aiosched.model import Refusal, Run

if TYPE_CHECKING:
    from aiosched.protocols import Elector


class LeaderGate:
    """Lets runs in while this replica leads; most hold nothing, so it is their context manager.

    Args:
        elector: Who knows.
        ready: Awaited before it is asked.
        cancels: Whether runs that are within are cancelled by `lost`.
    """

    __slots__ = ("_elector", "_ready", "_within")

    name = "leader"

    def __init__(
        self, elector: Elector, ready: Callable[[Elector], Awaitable[None]], *, cancels: bool
    ) -> None:
        self._elector = elector
        self._ready = ready
        self._within: set[Run] | None = set() if cancels else None

    def __call__(self, run: Run) -> LeaderGate | _Passage:
        return self if self._within is None else _Passage(self, self._within, run)

    def lost(self) -> None:
        """The leadership has ended: cancel who is within, if that is wanted."""
        for run in tuple(self._within or ()):
            if run._status is None and run._task is not None:
                run._lock_lost = True
                run._task.cancel("the leadership was lost")

    async def __aenter__(self) -> Refusal | None:
        try:
            await self._ready(self._elector)
        except LockError as error:
            return Refusal("leader", "not_leader", error)
        return None if await self._elector.is_leader() else Refusal("leader", "not_leader")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Hold nothing, give nothing back."""


class _Passage:
    """One run's way through a gate that cancels."""

    __slots__ = ("_gate", "_run", "_within")

    def __init__(self, gate: LeaderGate, within: set[Run], run: Run) -> None:
        self._gate = gate
        self._within = within
        self._run = run

    async def __aenter__(self) -> Refusal | None:
        refusal = await self._gate.__aenter__()
        # No await since it was asked: a loss from here on finds the run.
        if refusal is None:
            self._within.add(self._run)
        return refusal

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._within.discard(self._run)
