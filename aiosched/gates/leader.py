"""Only the leader runs: the gate before an elector."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from aiosched.model import Refusal, Run

if TYPE_CHECKING:
    from aiosched.protocols import Elector


class LeaderGate:
    """Lets runs in while this replica leads; it holds nothing, so it is its own context manager."""

    __slots__ = ("_elector",)

    name = "leader"

    def __init__(self, elector: Elector) -> None:
        self._elector = elector

    def __call__(self, _run: Run) -> LeaderGate:
        return self

    async def __aenter__(self) -> Refusal | None:
        return None if await self._elector.is_leader() else Refusal("leader", "not_leader")

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Hold nothing, give nothing back."""
