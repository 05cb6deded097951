"""`RedlockLocker`: several independent Redis servers, of which most must agree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiosched.durations import Duration
from aiosched.lockers._redis_script import OneServer
from aiosched.lockers._redis_store import OnAmnesia, RedisStore
from aiosched.lockers._redis_wire import Wire, address_of, pool_of
from aiosched.lockers._redlock_node import Node
from aiosched.lockers._redlock_store import RedlockStore
from aiosched.lockers._remote import RemoteLocker
from aiosched.lockers._renewal import Lease
from aiosched.lockers.redis import checked_on_amnesia, checked_prefix, timeout_of
from aiosched.model import LockRecord

_FEWEST = 3
_LONGEST_TIMEOUT = 2.0


class RedlockLocker(RemoteLocker):
    """Locks and claims that hold while most of several Redis servers hold them.

    It goes on while a minority is down, slow or empty. A server that restarts empty may not vote
    for one *ttl*, if it knows that it can forget (see *on_amnesia*); restart one only after that
    time otherwise. One Redis with an append-only file promises as much and costs a fraction;
    this is for those who have independent servers and no replicas.

    Args:
        urls_or_clients: Three or more servers that know nothing of each other; see `RedisLocker`.
        ttl: After this time the locks of a holder that died are free. The same on all replicas.
        prefix: Keys begin with it. Replicas that share locks have the same.
        on_amnesia: As for `RedisLocker`, for each server.
        timeout: For each exchange with a server; by default a twentieth of *ttl*, at most 2 s.

    Raises:
        TypeError: There is something else than URLs and clients.
        ValueError: They are too few or not different, or another argument cannot be right.
    """

    def __init__(
        self,
        urls_or_clients: Iterable[str | Any],
        /,
        ttl: Duration = 30,
        prefix: str = "aiosched",
        *,
        on_amnesia: OnAmnesia | None = None,
        timeout: Duration | None = None,
    ) -> None:
        lease = Lease(ttl)
        super().__init__(lease, name="aiosched-redlock-locker")
        self._names = OneServer(checked_prefix(prefix))
        self._on_amnesia = checked_on_amnesia(on_amnesia)
        self._timeout = timeout_of(timeout, min(lease.ttl / 20, _LONGEST_TIMEOUT))
        self._clients = _several(urls_or_clients)
        self._pools = [pool_of(each) for each in self._clients]
        places = {address_of(pool) for pool in self._pools}
        if len(places) < len(self._pools):
            raise ValueError(f"urls_or_clients must be different servers, got {sorted(places)}")

    def _connect(self) -> RedlockStore:
        nodes = [Node(self._store(pool)) for pool in self._pools]
        return RedlockStore(nodes, patience=self._timeout / 3)

    def _store(self, pool: Any) -> RedisStore:
        wire = Wire(pool, self._timeout)
        return RedisStore(wire, self._names, self._lease.ttl_us, self._on_amnesia)

    async def records(self) -> list[LockRecord]:
        """Return what is remembered, by key: the newest of it, and held where most hold it.

        Raises:
            LockerUnavailable: Too few servers could be asked.
        """
        store = self._connect()
        try:
            return await store.records()
        finally:
            await store.close()

    async def release(self, key: str, /) -> bool:
        """Take *key* away from whoever holds it at most servers. Did somebody?

        What was claimed stays claimed. The holder hears of it with his next renewal. A server
        that cannot be asked holds it until the lease ends, which is no majority.

        Raises:
            LockerUnavailable: Too few servers could be asked.
        """
        store = self._connect()
        try:
            return await store.evict(key)
        finally:
            await store.close()


def _several(urls_or_clients: Iterable[str | Any]) -> list[str | Any]:
    if isinstance(urls_or_clients, str) or not isinstance(urls_or_clients, Iterable):
        raise TypeError(f"urls_or_clients must be several, got {urls_or_clients!r}")
    several = list(urls_or_clients)
    if len(several) < _FEWEST:
        raise ValueError(f"urls_or_clients must be at least {_FEWEST}, got {len(several)}")
    return several
