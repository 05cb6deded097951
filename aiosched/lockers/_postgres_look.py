"""Looking into the tables of PostgreSQL, a page at a time, and freeing a key by hand."""

from __future__ import annotations

from typing import Any

from aiosched.lockers._postgres_draft import record_of
from aiosched.lockers._postgres_session import Borrowed, Session
from aiosched.lockers._postgres_sql import PAGE, Statements, spelled, unspelled
from aiosched.lockers._record import describe, is_forgotten
from aiosched.model import LockRecord


async def records(line: Session | Borrowed, statements: Statements) -> list[LockRecord]:
    """Return what the tables remember, by key.

    Raises:
        LockerUnavailable: The server could not be asked.
    """
    await line.ready()
    if not await _is_there(line, statements):
        return []
    found: list[LockRecord] = []
    last: bytes | None = None
    while True:
        rows = await line.fetch(statements.page, line.home, last)
        found += [record for row in rows if (record := _shown(row)) is not None]
        if len(rows) < PAGE:
            return sorted(found, key=lambda record: record.key)
        last = rows[-1]["key"]


async def evict(line: Session | Borrowed, statements: Statements, key: str) -> bool:
    """Free *key*, whoever holds it. Did somebody?

    Raises:
        LockerUnavailable: The server could not be asked.
    """
    await line.ready()
    if not await _is_there(line, statements):
        return False
    (row,) = await line.fetch(statements.evict, line.home, spelled(key)[0])
    return bool(row[0])


async def _is_there(line: Session | Borrowed, statements: Statements) -> bool:
    (row,) = await line.fetch(statements.exists, *statements.tables)
    return bool(row[0])


def _shown(row: Any) -> LockRecord | None:
    record, busy = record_of(row), row["busy"]
    if is_forgotten(record, row["now"], busy=busy):
        return None
    return describe(unspelled(row["key"], row["name"]), record, busy=busy, till=row["till"])
