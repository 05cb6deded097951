"""WHERE locks live: one file for each kind of store, imported when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiosched.lockers._lease import HeldLock, LostEvent
    from aiosched.lockers._record import LockRecord
    from aiosched.lockers.file import FileLocker
    from aiosched.lockers.memory import MemoryLocker
    from aiosched.lockers.postgres import PostgresLocker
    from aiosched.lockers.redis import RedisLocker
    from aiosched.lockers.redlock import RedlockLocker
    from aiosched.lockers.urls import locker_from_url

__all__ = [
    "FileLocker",
    "HeldLock",
    "LockRecord",
    "LostEvent",
    "MemoryLocker",
    "PostgresLocker",
    "RedisLocker",
    "RedlockLocker",
    "locker_from_url",
]

_HOMES = {
    "FileLocker": "file",
    "HeldLock": "_lease",
    "LockRecord": "_record",
    "LostEvent": "_lease",
    "MemoryLocker": "memory",
    "PostgresLocker": "postgres",
    "RedisLocker": "redis",
    "RedlockLocker": "redlock",
    "locker_from_url": "urls",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
