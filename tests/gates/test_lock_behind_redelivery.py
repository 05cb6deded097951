"""The lock's gate, where the store says that an older occurrence is being made up for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from aiosched.errors import LockHeld
from aiosched.gates.lock import LockGate, Postponed
from aiosched.model import Cause, Claim, Refusal, Run


@dataclass
class Policy:
    """Claims at least once, and goes on asking for so many seconds until the next occurrence."""

    left: float

    def claim_for(self, run: Any) -> Claim:
        return Claim("k", datetime(2026, 3, 8, tzinfo=UTC), redeliver=True)

    def patience(self, run: Any) -> float:
        return self.left

    def vigil(self, run: Any) -> float:
        raise AssertionError("only for the very same occurrence")

    def backoff(self, run: Any) -> float:
        raise AssertionError("only for a store that is unavailable")

    def courtesy(self, run: Any) -> float:
        return 0.0

    def note(self, *, won: bool) -> None:
        assert not won


class Busy:
    async def claim(self, claim: Claim) -> Any:
        raise LockHeld(remaining=0.1, behind_redelivery=True)


async def ready(locker: object) -> None:
    pass


@pytest.mark.parametrize(("left", "postponed"), [(0.5, True), (0.0, False), (-1.0, False)])
async def test_it_asks_again_until_the_next_occurrence(left: float, postponed: bool) -> None:
    gate = LockGate(Busy(), claims=True, policy=Policy(left), ready=ready)
    answer = await gate.ask(Run(None, 0, 0, 1, Cause.TRIGGER))
    assert isinstance(answer, Refusal)
    assert answer.reason == "held"
    assert isinstance(answer, Postponed) is postponed
    if isinstance(answer, Postponed):
        assert answer.wait == 0.1
