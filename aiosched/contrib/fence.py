"""Fences for PostgreSQL: a writer that was frozen, and has come back too late, writes nothing.

A lock alone cannot do that: its holder may stop between looking at it and writing. So the table
that is written to has to remember the highest `run.fence` it has seen. The idea is Martin
Kleppmann's, "How to do distributed locking" (2016).
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from aiosched.errors import StaleFence

_LOCK = 0x61534C6B66656E63  # "aSLkfenc"
_CREATE = f"""
    SELECT pg_advisory_xact_lock({_LOCK});
    CREATE TABLE IF NOT EXISTS aiosched_fence_v1
        (resource text PRIMARY KEY, fence bigint NOT NULL) WITH (fillfactor = 70);
"""
_RAISE = """
    INSERT INTO aiosched_fence_v1 AS known (resource, fence) VALUES ($1, $2)
    ON CONFLICT (resource) DO UPDATE SET fence = excluded.fence
    WHERE known.fence <= excluded.fence RETURNING 1
"""


class Connection(Protocol):
    """Of `asyncpg`, or what a pool of it lends."""

    def is_in_transaction(self) -> bool: ...
    def transaction(self) -> AbstractAsyncContextManager[Any]: ...
    async def execute(self, query: str, /) -> Any: ...
    async def fetchval(self, query: str, /, *args: Any) -> Any: ...


async def guard_table(connection: Connection, /) -> None:
    """Make `aiosched_fence_v1`, where `guard` keeps the fences; several may do so at once."""
    async with connection.transaction():
        await connection.execute(_CREATE)


async def guard(connection: Connection, resource: str, fence: int | None) -> None:
    """Let only the newest grant write to *resource*: the first statement of its transaction.

    Until the transaction ends, nobody else gets past the guard of this *resource*. The transaction
    must be READ COMMITTED, as it is by default; others fail where they meet a newer writer.

    Args:
        connection: In a transaction, in which the writing is done, too.
        resource: Any name; fences are compared within it, so that one job's key goes with it.
        fence: `run.fence`.

    Raises:
        StaleFence: A newer grant has written. Let it go up, so that the transaction is undone.
        TypeError: There is no fence: the run has no lock, or one of a locker that gives none. Or
            *connection* is none (but a pool, say), or *resource* is no text.
        RuntimeError: There is no transaction, whose end the guard could wait for.
    """
    if not callable(getattr(connection, "is_in_transaction", None)):
        raise TypeError(f"connection must be a connection in a transaction, got {connection!r}")
    if not isinstance(resource, str):
        raise TypeError(f"resource must be text, got {resource!r}")
    if isinstance(fence, bool) or not isinstance(fence, int):
        raise TypeError(f"fence must be the run's, and so a locker's number, got {fence!r}")
    if not connection.is_in_transaction():
        raise RuntimeError(f"guard of {resource!r} must be called within a transaction")
    if await connection.fetchval(_RAISE, resource, fence) is None:
        raise StaleFence(f"{resource!r} was written under a newer fence than {fence}")
