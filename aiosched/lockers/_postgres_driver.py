"""The driver of PostgreSQL: how it connects, and what its errors mean to who wants a lock."""

from __future__ import annotations

from typing import Any

try:
    import asyncpg
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "PostgreSQL needs its driver: pip install 'aiosched-py[postgres]'", name=error.name
    ) from error

from aiosched.errors import LockerUnavailable, UnfitStore

_UNFIT = ("28", "3D", "3F", "42")
"""Classes of SQLSTATE: not let in, no such database or schema, not allowed or not ours."""
_PASSING = (
    asyncpg.UndefinedTableError,  # removed; it will be made again
    asyncpg.InvalidCachedStatementError,
)

ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What the driver raises when PostgreSQL could not be asked."""


async def connect_to(dsn: str | None) -> Any:
    """Return a connection, as poolers go along with it: without the driver's statements."""
    return await asyncpg.connect(
        dsn, statement_cache_size=0, server_settings={"application_name": "aiosched"}
    )


def explained(error: BaseException, where: str) -> LockerUnavailable:
    """Return what to tell; waiting does not help where it is an `UnfitStore`."""
    message = f"PostgreSQL at {where}: {str(error) or type(error).__name__}"
    state = getattr(error, "sqlstate", None) or ""
    is_unfit = state.startswith(_UNFIT) and not isinstance(error, _PASSING)
    if is_unfit or isinstance(error, ValueError):  # what the driver says of wrong parameters
        return UnfitStore(message)
    return LockerUnavailable(message)
