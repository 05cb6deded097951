"""The file of `FileLocker`: its format, how it is opened, and rows in and out in few statements.

Every statement lets go of the interpreter and has to get it back from a busy loop, which may take
5 ms each time. So a batch is read as one JSON text and written in rows by the hundred.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from aiosched.errors import UnfitStore
from aiosched.lockers._record import Grant, Record
from aiosched.lockers._requests import Release

OLDEST = (3, 33)
"""The first SQLite with `UPDATE … FROM`."""

APPLICATION = 0x61534C6B  # "aSLk"
FORMAT = 1

_COLUMNS = ("key", "home", *Record._fields)
_SCHEMA = (
    """CREATE TABLE record (
        key TEXT PRIMARY KEY, home TEXT, fence INTEGER NOT NULL, watermark INTEGER, floor INTEGER,
        open_due INTEGER, attempt INTEGER NOT NULL, owner TEXT, last TEXT, last_due INTEGER,
        forget_at INTEGER NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE occurrence (
        key TEXT NOT NULL, due INTEGER NOT NULL, PRIMARY KEY (key, due)
    ) WITHOUT ROWID""",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {FORMAT}",
)
_LARGEST_CHUNK = 256
_SELECT = f"SELECT json_group_array(json_array({', '.join(_COLUMNS)})) FROM record"  # noqa: S608 - names of ours
_GIVE_BACK = """
    UPDATE record SET owner = NULL, home = NULL, open_due =
        CASE WHEN given.column4 AND open_due = given.column3 THEN NULL ELSE open_due END
    FROM (VALUES {places}) AS given
    WHERE record.key = given.column1 AND record.owner = given.column2
"""
_ROW = f"({', '.join('?' * len(_COLUMNS))})"
_FIRST_PAUSE = 0.0002
_LONGEST_PAUSE = 0.005
_DAMAGE = (
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_ERROR,  # a table or a column that is not there
)
_ESCAPED = re.compile(r"\\(?:(\\)|(0)|u([0-9a-f]{4}))")


class Row(NamedTuple):
    """A record and the owner file of who holds it."""

    home: str | None
    record: Record


class SqlSet:
    """The exact set of one key, in the file."""

    __slots__ = ("_connection", "_key")

    def __init__(self, connection: sqlite3.Connection, key: str) -> None:
        self._connection = connection
        self._key = spelled(key)

    def __contains__(self, due: object, /) -> bool:
        query = "SELECT 1 FROM occurrence WHERE key = ? AND due = ?"
        return self._connection.execute(query, (self._key, due)).fetchone() is not None

    def newest_until(self, moment: int, /) -> int | None:
        query = "SELECT max(due) FROM occurrence WHERE key = ? AND due <= ?"
        newest: int | None = self._connection.execute(query, (self._key, moment)).fetchone()[0]
        return newest

    def apply(self, grant: Grant) -> None:
        """Change as *grant* says."""
        execute, key = self._connection.execute, self._key
        if grant.forgets:
            execute("DELETE FROM occurrence WHERE key = ?", (key,))
        if grant.drop_until is not None:
            execute("DELETE FROM occurrence WHERE key = ? AND due <= ?", (key, grant.drop_until))
        if grant.remember is not None:
            execute("INSERT OR IGNORE INTO occurrence VALUES (?, ?)", (key, grant.remember))


def open_file(path: Path, timeout: float) -> sqlite3.Connection:
    """Open the file at *path*, and make it if there is none. A foreign file is left as it is.

    Args:
        path: Its folder exists.
        timeout: Seconds to wait for others who use it.

    Raises:
        UnfitStore: There is a file, and it is not ours or of another format.
        sqlite3.Error: It cannot be opened now.
    """
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        _patiently(lambda: _prepare(connection, path), timeout)
    except BaseException:
        connection.close()
        raise
    return connection


def begin(connection: sqlite3.Connection, timeout: float) -> None:
    """Begin a transaction that may write, once nobody else's goes on."""
    # SQLite's own waiting sleeps up to 100 ms at a time; transactions here take less than one.
    _patiently(lambda: connection.execute("BEGIN IMMEDIATE"), timeout)


def read(connection: sqlite3.Connection, keys: Iterable[str]) -> dict[str, Row]:
    """Return the rows of those *keys* that have one."""
    names = {spelled(key): key for key in keys}
    rows: dict[str, Row] = {}
    for chunk in _chunks(list(names)):
        marks = ", ".join("?" * len(chunk))
        for name, home, *values in _fetch(connection, f"{_SELECT} WHERE key IN ({marks})", chunk):
            rows[names[name]] = Row(home, Record(*values))
    return rows


def read_all(connection: sqlite3.Connection) -> dict[str, Row]:
    """Return all rows."""
    rows = _fetch(connection, _SELECT, ())
    return {unspelled(name): Row(home, Record(*values)) for name, home, *values in rows}


def write(connection: sqlite3.Connection, rows: dict[str, Row]) -> None:
    """Put *rows* in the place of what is there."""
    flat = [(spelled(key), row.home, *row.record) for key, row in rows.items()]
    for chunk in _chunks(flat):
        places = ", ".join([_ROW] * len(chunk))
        statement = f"INSERT OR REPLACE INTO record VALUES {places}"  # noqa: S608 - only marks
        connection.execute(statement, list(chain.from_iterable(chunk)))


def give_back(connection: sqlite3.Connection, releases: Sequence[Release]) -> bool:
    """Write all *releases* at once, without reading; False, and nothing is written, if one fails.

    It is `_record.release` in SQL: an attempt owns a record, or its release does nothing.
    """
    connection.execute("SAVEPOINT give_back")
    flat = [(spelled(each.key), each.attempt, each.due, each.done) for each in releases]
    count = 0
    for chunk in _chunks(flat):
        statement = _GIVE_BACK.format(places=", ".join(["(?, ?, ?, ?)"] * len(chunk)))
        count += connection.execute(statement, list(chain.from_iterable(chunk))).rowcount
    if count < len(flat):
        connection.execute("ROLLBACK TO give_back")
    connection.execute("RELEASE give_back")
    return count == len(flat)


def read_expired(connection: sqlite3.Connection, now: int, most: int) -> dict[str, Row]:
    """Return up to *most* rows whose retention is over, held or not."""
    expired = "SELECT key FROM record WHERE forget_at < ? LIMIT ?"
    query = f"{_SELECT} WHERE key IN ({expired})"
    rows = _fetch(connection, query, (now, most))
    return {unspelled(name): Row(home, Record(*values)) for name, home, *values in rows}


def delete(connection: sqlite3.Connection, keys: Iterable[str]) -> None:
    """Forget *keys* and their exact sets."""
    names = [(spelled(key),) for key in keys]
    connection.executemany("DELETE FROM record WHERE key = ?", names)
    connection.executemany("DELETE FROM occurrence WHERE key = ?", names)


def spelled(key: str) -> str:
    """Return *key* as text that SQLite keeps: without NUL and without lone surrogates."""
    if "\\" not in key and "\0" not in key and (key.isascii() or _has_no_surrogate(key)):
        return key
    escaped = key.replace("\\", "\\\\").replace("\0", "\\0")
    return escaped.encode("utf-8", "backslashreplace").decode()


def _has_no_surrogate(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def unspelled(name: str) -> str:
    """Return the key that is spelled *name*."""
    return _ESCAPED.sub(_unescape, name) if "\\" in name else name


def _unescape(found: re.Match[str]) -> str:
    backslash, nul, surrogate = found.groups()
    return backslash or ("\0" if nul else chr(int(surrogate, 16)))


def _chunks(items: list[Any]) -> Iterable[list[Any]]:
    """Cut *items* into lengths that are powers of two, so that few statements serve all."""
    place = 0
    while left := len(items) - place:
        size = min(_LARGEST_CHUNK, 1 << (left.bit_length() - 1))
        yield items[place : place + size]
        place += size


def _fetch(connection: sqlite3.Connection, query: str, values: Sequence[object]) -> Any:
    return json.loads(connection.execute(query, values).fetchone()[0])


def _patiently(step: Any, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        try:
            step()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= deadline:
                raise
        else:
            return
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether others keep the file so busy that it could not be used."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether the file is no database, a damaged one, or one that must not be written."""
    return _code(error) in _DAMAGE


def _code(error: sqlite3.Error) -> int:
    # Text that is no UTF-8 is an error without a code.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # Reads before it writes, so that a file that is not ours stays as it is. What is read is of one
    # moment: half of it from before another process made the file would look like a foreign one.
    with _transaction(connection, "DEFERRED"):
        is_new = _is_new(connection, path)
    if is_new:
        connection.execute("PRAGMA journal_mode = WAL")
        with _transaction(connection, "IMMEDIATE"):
            if _is_new(connection, path):  # nobody else was quicker
                for statement in _SCHEMA:
                    connection.execute(statement)
    # Safe against a killed process; what a power failure may take is the last moments' claims.
    connection.execute("PRAGMA synchronous = NORMAL")


@contextmanager
def _transaction(connection: sqlite3.Connection, kind: str) -> Iterator[None]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _is_new(connection: sqlite3.Connection, path: Path) -> bool:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if (application, version, tables) == (0, 0, 0):
        return True
    if application != APPLICATION:
        raise UnfitStore(f"{path} is another program's database, not aiosched's")
    if version != FORMAT:
        raise UnfitStore(f"{path} has format v{version}; this aiosched knows v{FORMAT}")
    return False
