"""`RedisLocker`: one Redis or Valkey, shared by a fleet."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from aiosched.durations import SECOND, Duration, microseconds
from aiosched.lockers._redis_bell import channel_of, hear
from aiosched.lockers._redis_cluster import ClusterWire, GroupedNames
from aiosched.lockers._redis_driver import RedisCluster
from aiosched.lockers._redis_script import Names, OneServer
from aiosched.lockers._redis_store import OnAmnesia, RedisStore
from aiosched.lockers._redis_wire import AnyWire, Wire, pool_of
from aiosched.lockers._remote import RemoteLocker
from aiosched.lockers._renewal import Lease
from aiosched.lockers._requests import Ring
from aiosched.model import LockRecord

_LONGEST_TIMEOUT = 5.0


class RedisLocker(RemoteLocker):
    """Locks and claims in one Redis (7 or newer) or Valkey.

    What was claimed is claimed for good as long as the server keeps what it acknowledged. One that
    can forget (without an append-only file, or with a policy that evicts) is put in quarantine
    when it has: for one *ttl* it grants nothing, and never anything that was due before.

    Args:
        url_or_client: ``redis://``, ``rediss://`` or ``unix://``, with the driver's parameters; or
            a client of `redis.asyncio`, also of a Sentinel or a Cluster, which is used as it is.
        ttl: After this time the locks of a holder that died are free. The same on all replicas.
        prefix: Keys begin with it. Replicas that share locks have the same.
        on_amnesia: ``"run"`` trusts the server never to forget, ``"quarantine"`` never does; None
            looks whether it can.
        timeout: For each exchange with the server; by default a sixth of *ttl*, at most 5 s.

    Raises:
        TypeError: *url_or_client* is neither, or a client that blocks.
        ValueError: The URL or another argument cannot be right.
    """

    def __init__(
        self,
        url_or_client: str | Any,
        /,
        ttl: Duration = 30,
        prefix: str = "aiosched",
        *,
        on_amnesia: OnAmnesia | None = None,
        timeout: Duration | None = None,
    ) -> None:
        lease = Lease(ttl)
        super().__init__(lease, name="aiosched-redis-locker")
        self._prefix = checked_prefix(prefix)
        self._on_amnesia = checked_on_amnesia(on_amnesia)
        self._timeout = timeout_of(timeout, min(lease.ttl / 6, _LONGEST_TIMEOUT))
        self._client = url_or_client  # a Sentinel's connections know it weakly
        self._make_wire, self._names = _way_to(url_or_client, prefix)

    def _connect(self) -> RedisStore:
        wire = self._make_wire(self._timeout)
        return RedisStore(wire, self._names, self._lease.ttl_us, self._on_amnesia)

    def ring(self, key: str, /) -> None:
        """Tell all who listen for *key* that it may be free."""
        self._opened().actor.send(Ring(channel_of(self._prefix, key)))

    async def listen(self, key: str, call: Callable[[], object], /) -> None:
        """Call *call* as soon as rings are heard, on a connection of its own, and with each.

        Raises:
            LockerUnavailable: They are heard no longer; in a Cluster they never are.
        """
        await hear(self._client, channel_of(self._prefix, key), call, limit=self._timeout)

    async def records(self) -> list[LockRecord]:
        """Return what is remembered, by key.

        Raises:
            LockerUnavailable: The server could not be asked.
        """
        store = self._connect()
        try:
            return await store.records()
        finally:
            await store.close()

    async def release(self, key: str, /) -> bool:
        """Take *key* away from whoever holds it. Did somebody? What was claimed stays claimed.

        The holder hears of it with his next renewal.

        Raises:
            LockerUnavailable: The server could not be asked.
        """
        store = self._connect()
        try:
            return await store.evict(key)
        finally:
            await store.close()


def _way_to(client: str | Any, prefix: str) -> tuple[Callable[[float], AnyWire], Names]:
    if isinstance(client, RedisCluster):
        return partial(ClusterWire, client), GroupedNames(prefix)
    return partial(Wire, pool_of(client)), OneServer(prefix)


def checked_prefix(prefix: str) -> str:
    """Return *prefix* if it is possible.

    Raises:
        TypeError: It is not text.
    """
    if not isinstance(prefix, str):
        raise TypeError(f"prefix must be text, got {prefix!r}")
    return prefix


def checked_on_amnesia(value: OnAmnesia | None) -> OnAmnesia | None:
    """Return *value* if it is possible.

    Raises:
        ValueError: It is not.
    """
    if value not in (None, "quarantine", "run"):
        raise ValueError(f"on_amnesia must be 'quarantine', 'run' or None, got {value!r}")
    return value


def timeout_of(timeout: Duration | None, default: float) -> float:
    """Return seconds."""
    return default if timeout is None else microseconds(timeout, "timeout", minimum=1) / SECOND
