"""`PostgresElector`: a leader among all who share a PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiosched.durations import Duration
from aiosched.electors.lease import LeaseElector, OnLeadershipLost
from aiosched.lockers.postgres import Mode, PostgresLocker


class PostgresElector(LeaseElector):
    """A `LeaseElector` with a `PostgresLocker` of its own.

    With ``mode="advisory"`` a leader that dies is replaced within about a second, and one that is
    stopped or cut off after *ttl*; with ``mode="lease"`` both after *ttl*. One that resigns is
    replaced at once, as it notifies the others; through a pooler, within half a second.

    Args:
        dsn, ttl, mode, prefix, schema, connect, pool, timeout: As for `PostgresLocker`.
        key, on_leadership_lost: As for `LeaseElector`.

    Raises:
        TypeError, ValueError: As theirs.
    """

    def __init__(  # noqa: PLR0913 - options, by name
        self,
        dsn: str | None = None,
        /,
        key: str = "leader",
        *,
        ttl: Duration = 30,
        mode: Mode = "advisory",
        prefix: str = "aiosched",
        schema: str | None = None,
        connect: Callable[[], Awaitable[Any]] | None = None,
        pool: Any | None = None,
        timeout: Duration | None = None,
        on_leadership_lost: OnLeadershipLost = "finish",
    ) -> None:
        locker = PostgresLocker(
            dsn,
            ttl,
            mode,
            prefix=prefix,
            schema=schema,
            connect=connect,
            pool=pool,
            timeout=timeout,
        )
        super().__init__(locker, key, on_leadership_lost=on_leadership_lost)
