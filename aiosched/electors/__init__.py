"""WHO leads: one replica of the fleet, as a locker has it. Each is imported when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiosched.electors.file import FileElector
    from aiosched.electors.lease import LeaseElector
    from aiosched.electors.postgres import PostgresElector
    from aiosched.electors.redis import RedisElector

__all__ = ["FileElector", "LeaseElector", "PostgresElector", "RedisElector"]

_HOMES = {
    "FileElector": "file",
    "LeaseElector": "lease",
    "PostgresElector": "postgres",
    "RedisElector": "redis",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
