"""One server of several that are one store: how it is, and what it still has to be told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiosched.errors import LockerUnavailable
from aiosched.lockers._redis_script import Operation
from aiosched.lockers._redis_store import RedisStore

_MOST_OWED = 2_000
_FIRST_REST = 0.1
_LONGEST_REST = 2.0
_FADES = 0.9


class Node:
    """One of the servers, and what it still has to be told.

    One that did not answer rests for a while, as every request would wait for it in vain.

    Attributes:
        error: Why it did not answer the last time that it did not.
        took: Seconds until it answers; who was slow counts as that for a while.
    """

    def __init__(self, store: RedisStore) -> None:
        self.store = store
        self.error: LockerUnavailable | None = None
        self.took = 0.0
        self._owed: list[Operation] = []
        self._rest = 0.0
        self._rests_until = -1.0

    @property
    def rests(self) -> bool:
        return asyncio.get_running_loop().time() < self._rests_until

    def owe(self, operations: Sequence[Operation]) -> None:
        """Tell it these before anything else, when it answers again."""
        self._owed = [*self._owed, *operations][-_MOST_OWED:]

    async def run(
        self, operations: Sequence[Operation], owed: Sequence[Operation]
    ) -> list[object] | None:
        """Return the answers; None: there are none, and *owed* is owed."""
        before, self._owed = self._owed, []
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            answers = await self.store.run([*before, *operations])
        except BaseException as error:
            self._owed = before
            self.owe(owed)
            if not isinstance(error, LockerUnavailable):
                raise
            self._fail(error)
            return None
        self._rest = 0.0
        self.took = max(clock() - began, _FADES * self.took)
        return answers[len(before) :]

    def _fail(self, error: LockerUnavailable) -> None:
        self.error = error
        self._rest = min(max(2 * self._rest, _FIRST_REST), _LONGEST_REST)
        self._rests_until = asyncio.get_running_loop().time() + self._rest
