"""WHERE locks live: one file for each kind of store, imported when it is first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from aiosched.model import LockRecord

if TYPE_CHECKING:
    from aiosched.lockers._lease import HeldLock, LostEvent
    from aiosched.lockers.file import FileLocker
    from aiosched.lockers.memory import MemoryLocker
    from aiosched.lockers.monitored import Monitored
    from aiosched.lockers.postgres import PostgresLocker
    from aiosched.lockers.prefixed import Prefixed
    from aiosched.lockers.redis import RedisLocker
    from aiosched.lockers.redlock import RedlockLocker
    from aiosched.lockers.urls import locker_from_url

__all__ = [
    "FileLocker",
    "HeldLock",
    "LockRecord",
    "LostEvent",
    "MemoryLocker",
    "Monitored",
    "PostgresLocker",
    "Prefixed",
    "RedisLocker",
    "RedlockLocker",
    "locker_from_url",
]

_HOMES = {
    "FileLocker": "file",
    "HeldLock": "_lease",
    "LostEvent": "_lease",
    "MemoryLocker": "memory",
    "Monitored": "monitored",
    "PostgresLocker": "postgres",
    "Prefixed": "prefixed",
    "RedisLocker": "redis",
    "RedlockLocker": "redlock",
    "locker_from_url": "urls",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
