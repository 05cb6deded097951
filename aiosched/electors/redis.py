"""`RedisElector`: a leader among all who share a Redis or Valkey."""

from __future__ import annotations

from typing import Any

from aiosched.durations import Duration
from aiosched.electors.lease import LeaseElector, OnLeadershipLost
from aiosched.lockers._redis_store import OnAmnesia
from aiosched.lockers.redis import RedisLocker


class RedisElector(LeaseElector):
    """A `LeaseElector` with a `RedisLocker` of its own.

    A leader that dies or is cut off is replaced after *ttl*. One that resigns is replaced at once,
    as it publishes that: for this each candidate has a second connection.

    Args:
        url_or_client, ttl, prefix, on_amnesia, timeout: As for `RedisLocker`.
        key, on_leadership_lost: As for `LeaseElector`.

    Raises:
        TypeError, ValueError: As theirs.
    """

    def __init__(  # noqa: PLR0913 - options, by name
        self,
        url_or_client: str | Any,
        /,
        key: str = "leader",
        *,
        ttl: Duration = 30,
        prefix: str = "aiosched",
        on_amnesia: OnAmnesia | None = None,
        timeout: Duration | None = None,
        on_leadership_lost: OnLeadershipLost = "finish",
    ) -> None:
        locker = RedisLocker(url_or_client, ttl, prefix, on_amnesia=on_amnesia, timeout=timeout)
        super().__init__(locker, key, on_leadership_lost=on_leadership_lost)
