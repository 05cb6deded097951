"""The worker's side of `FileLocker`: one batch is one transaction, on the host's clock."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from aiosched.durations import MINUTE
from aiosched.errors import LockerUnavailable, UnfitStore
from aiosched.lockers import _forks, _record, _sqlite
from aiosched.lockers._mounts import networked_file_system
from aiosched.lockers._owner import OwnerFile, inode_at, is_alive, sweep
from aiosched.lockers._record import Grant, Question
from aiosched.lockers._requests import Ask, Evict, Look, Release, Request, Survey
from aiosched.lockers._sqlite import Row, SqlSet
from aiosched.model import LockRecord

_log = logging.getLogger("aiosched.lockers")

_FILE = "locks.sqlite3"
_PURGE_EVERY = MINUTE
_MOST_PURGED = 500
_UNKNOWN = Row(None, _record.BLANK)


def host_now() -> int:
    """Return the host's clock, microseconds since the epoch."""
    return time.time_ns() // 1000


class FileStore:
    """A directory with one database, and the file that says that we live.

    Args:
        directory: Absolute; made when it is first used.
        timeout: Seconds to wait for others who use it.
        on_lost: Called in the worker, with the reason, when all that we held is lost.
    """

    def __init__(self, directory: Path, timeout: float, on_lost: Callable[[str], object]) -> None:
        self._directory = directory
        self._file = directory / _FILE
        self._write_log = directory / f"{_FILE}-wal"
        self._timeout = timeout
        self._on_lost = on_lost
        self._at_work = threading.Lock()  # held while the connection is used
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None  # of the file that we know
        self._log_inode: tuple[int, int] | None = None  # of its log, while we are connected
        self._owner: OwnerFile | None = None
        self._purge_at = 0
        self._is_closed = False
        _forks.register(self)

    def perform(self, batch: Sequence[Request]) -> list[object]:
        """Answer all of *batch*, or none of it.

        Raises:
            LockerUnavailable: The file could not be used; nothing of the batch was written.
        """
        with self._at_work:
            if self._is_closed:
                raise LockerUnavailable(f"{self._directory} was closed")
            try:
                connection, owner = self._ready()
                return self._transact(connection, owner, batch)
            except sqlite3.Error as error:
                raise self._explained(error) from error
            except OSError as error:
                self._disconnect()
                is_denied = isinstance(error, PermissionError)
                kind = UnfitStore if is_denied else LockerUnavailable
                raise kind(f"{self._directory} cannot be used: {error}") from error

    def close(self) -> None:
        """Let everything go; whatever was held is free."""
        with self._at_work:
            self._is_closed = True
            self._disconnect()
            if self._owner is not None:
                with suppress(OSError):
                    self._owner.close()
                self._owner = None

    # ── forks ─────────────────────────────────────────────────────────────────────────────────

    def before_fork(self) -> None:
        """Have nothing open that a child must not inherit."""
        self._at_work.acquire()
        self._disconnect()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._at_work.release()

    def after_fork_in_child(self) -> None:
        """Be closed. What is held is the parent's, and lives on with it."""
        self._is_closed = True
        if self._owner is not None:
            self._owner.drop()
        self._at_work.release()

    # ── being ready ───────────────────────────────────────────────────────────────────────────

    def _ready(self) -> tuple[sqlite3.Connection, OwnerFile]:
        if self._owner is not None and not self._is_in_place(self._owner):
            self._lose(self._owner)
        if self._owner is None:
            self._make_directory()
            sweep(self._directory)
            self._owner = OwnerFile(self._directory)
        if self._connection is None:
            self._connection = _sqlite.open_file(self._file, self._timeout)
            self._inode, self._log_inode = inode_at(self._file), inode_at(self._write_log)
        return self._connection, self._owner

    def _is_in_place(self, owner: OwnerFile) -> bool:
        # Written into a file that was unlinked, claims would be seen by nobody; and whose owner
        # file is gone counts as dead. Both happen where something tidies up.
        if not owner.stands() or self._inode not in (None, inode_at(self._file)):
            return False
        return self._connection is None or self._log_inode == inode_at(self._write_log)

    def _lose(self, owner: OwnerFile) -> None:
        why = f"{self._directory} or our file in it was removed"
        self._disconnect()
        self._owner = self._inode = None
        with suppress(OSError):
            owner.close()
        self._on_lost(why)
        _log.error("%s; all locks held through it are lost", why)
        raise LockerUnavailable(why)

    def _make_directory(self) -> None:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UnfitStore(f"{self._directory} cannot be made a directory: {error}") from error
        kind = networked_file_system(self._directory.resolve())
        if kind is not None:
            raise UnfitStore(
                f"{self._directory} is on a network file system ({kind}), "
                "where locks do not hold; give a local directory"
            )

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _explained(self, error: sqlite3.Error) -> LockerUnavailable:
        if _sqlite.is_busy(error):
            waited = f"others kept it busy for {self._timeout:g} s"
            return LockerUnavailable(f"{self._file} cannot be used: {waited}")
        self._disconnect()  # whatever it was, begin anew when asked again
        if _sqlite.is_damage(error):
            return UnfitStore(f"{self._file} is damaged or no database of ours: {error}")
        return LockerUnavailable(f"{self._file} cannot be used: {error}")

    # ── one transaction ───────────────────────────────────────────────────────────────────────

    def _transact(
        self, connection: sqlite3.Connection, owner: OwnerFile, batch: Sequence[Request]
    ) -> list[object]:
        _sqlite.begin(connection, self._timeout)
        try:
            # Read now: it was a while ago that the batch was made, if others were writing.
            work = _Transaction(connection, self._directory, owner.home, host_now())
            answers = work.answer(batch)
            if work.now >= self._purge_at and work.purge(_MOST_PURGED) < _MOST_PURGED:
                self._purge_at = work.now + _PURGE_EVERY
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            if connection.in_transaction:
                self._disconnect()  # which rolls back
            raise
        return answers


class _Transaction:
    """What one transaction has read and will write."""

    def __init__(
        self, connection: sqlite3.Connection, directory: Path, home: str, now: int
    ) -> None:
        self.now = now
        self._connection = connection
        self._directory = directory
        self._home = home
        self._living: dict[str, bool] = {home: True}
        self._rows: dict[str, Row] = {}
        self._changed: dict[str, Row] = {}
        self._are_given_back = False

    def answer(self, batch: Sequence[Request]) -> list[object]:
        """Return the answers, one request after the other."""
        # What is given back goes first: so nobody of one turn meets a lock that was just unlocked.
        releases = [each for each in batch if isinstance(each, Release)]
        self._are_given_back = bool(releases) and _sqlite.give_back(self._connection, releases)
        to_read = (Ask, Evict, Look) if self._are_given_back else (Ask, Evict, Look, Release)
        keys = dict.fromkeys(each.key for each in batch if isinstance(each, to_read))
        self._rows = _sqlite.read(self._connection, keys)
        answers = [self._answer_one(request) for request in batch]
        _sqlite.write(self._connection, self._changed)
        return answers

    def purge(self, most: int) -> int:
        """Forget up to *most* records whose retention is over; return how many it were."""
        rows = _sqlite.read_expired(self._connection, self.now, most)
        keys = [key for key, row in rows.items() if not self._is_busy(row)]
        _sqlite.delete(self._connection, keys)
        return len(keys)

    def _answer_one(self, request: Request) -> object:
        match request:
            case Ask():
                return self._claim(request)
            case Release():
                return self._are_given_back or self._release(request)
            case Look():
                row = self._rows.get(request.key, _UNKNOWN)
                return _record.last_claimed(row.record, self.now, busy=self._is_busy(row))
            case Evict():
                return self._evict(request.key)
            case Survey():
                return self._survey()
            case _:
                return True  # to be asked was all

    def _claim(self, ask: Ask) -> object:
        claim, row = ask.claim, self._rows.get(ask.claim.key, _UNKNOWN)
        claimed = _record.NONE_CLAIMED
        exact = SqlSet(self._connection, claim.key) if row.record.floor is not None else claimed
        question = Question(claim, ask.attempt, self.now, self._is_busy(row), exact)
        answer = _record.decide(row.record, question)
        if isinstance(answer, Grant):
            if answer.record.floor is not None or answer.forgets:
                SqlSet(self._connection, claim.key).apply(answer)
            home = self._home if answer.record.owner == ask.attempt else row.home
            self._put(claim.key, Row(home, answer.record))
        return answer

    def _release(self, release: Release) -> bool:
        row = self._rows.get(release.key, _UNKNOWN)
        record = _record.release(row.record, release.attempt, release.due, done=release.done)
        if record is None:
            return False
        self._put(release.key, Row(None, record))
        return True

    def _evict(self, key: str) -> bool:
        row = self._rows.get(key, _UNKNOWN)
        if not self._is_busy(row):
            return False
        self._put(key, Row(None, row.record._replace(owner=None)))
        return True

    def _survey(self) -> list[LockRecord]:
        rows = {**_sqlite.read_all(self._connection), **self._changed}
        return [
            _record.describe(key, row.record, busy=self._is_busy(row))
            for key, row in sorted(rows.items())
            if not _record.is_forgotten(row.record, self.now, busy=self._is_busy(row))
        ]

    def _put(self, key: str, row: Row) -> None:
        self._rows[key] = self._changed[key] = row

    def _is_busy(self, row: Row) -> bool:
        if row.record.owner is None or row.home is None:
            return False
        living = self._living.get(row.home)
        if living is None:
            living = self._living[row.home] = is_alive(self._directory, row.home)
        return living
