"""What the claims of one batch make of one key: the answers, and the row to write over the old."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiosched.durations import SECOND
from aiosched.lockers import _record
from aiosched.lockers._postgres_sql import spelled
from aiosched.lockers._record import ASK_AGAIN, BLANK, FOREVER, ExactSet, Grant, Question, Record
from aiosched.lockers._requests import Ask, Look


class Tenure(NamedTuple):
    """How whoever is granted a key holds it.

    Attributes:
        home: The lock of the session that lives while the owner does; None: it is a lease.
        ttl_us: The lease, where it is one.
    """

    home: int | None
    ttl_us: int

    def till(self, now: int) -> int:
        """Return when it ends by itself."""
        return now + self.ttl_us if self.home is None else 0


class PlainGrant(NamedTuple):
    """Yes, by the statement that asked."""

    due: int | None
    fence: int
    attempt: int = 1


class Draft:
    """One key, read at one moment.

    What is decided is decided by `_record.decide`; it counts once the row was written over the
    very version that was read.

    Args:
        rows: One for each question about the key, as `Statements.ask` gives them.
        tenure: Of who is granted it.
    """

    __slots__ = (
        "_claimed",
        "_drop_until",
        "_home",
        "_is_busy",
        "_name",
        "_now",
        "_record",
        "_remembered",
        "_tenure",
        "_till",
        "_version",
        "answers",
        "filed",
        "is_changed",
        "key",
        "taken",
    )

    def __init__(self, key: str, rows: Sequence[Any], tenure: Tenure) -> None:
        first = rows[0]
        self.key = key
        self.filed, self._name = spelled(key)
        self.answers: list[tuple[Ask | Look, object]] = []
        self.taken: list[str] = []  # attempts that hold it
        self.is_changed = False
        self._now: int = first["now"]
        self._tenure = tenure
        self._version: int | None = first["version"]
        self._record = record_of(first) if self._version is not None else BLANK
        self._home: int | None = first["home"]
        self._till: int = first["till"] or 0
        self._is_busy = bool(first["lives"]) or self._till > self._now
        self._claimed = ExactSet()
        if self._record.floor is not None:
            # Few members stand for the whole set: those that `decide` will ask for.
            members = (due for row in rows for due in (row["ran"], row["newest"]))
            self._claimed = ExactSet(due for due in members if due is not None)
        self._drop_until: int | None = None
        self._remembered: list[int] = []

    def ask(self, request: Ask) -> None:
        """Decide."""
        claim, attempt = request.claim, request.attempt
        left = (self._till - self._now) / SECOND if self._till > self._now else ASK_AGAIN
        question = Question(claim, attempt, self._now, self._is_busy, self._claimed, left)
        answer = _record.decide(self._record, question)
        self.answers.append((request, answer))
        if isinstance(answer, Grant):
            self._apply(answer)
            if claim.exclusive:
                self.taken.append(attempt)
                self._home, self._till = self._tenure.home, self._tenure.till(self._now)
                self._is_busy = True

    def look(self, request: Look) -> None:
        """Answer from what is there."""
        newest = _record.last_claimed(self._record, self._now, busy=self._is_busy)
        self.answers.append((request, newest))

    def row(self) -> tuple[object, ...]:
        """Return the columns, as `Statements.write` takes them."""
        # The first version is nobody else's: two who make the row at once are never one behind
        # the other, nor is a row that was forgotten and made again what it was.
        version = secrets.randbits(62) if self._version is None else self._version + 1
        return (self.filed, self._name, version, *self._record, self._home, self._till)

    def dropped(self) -> tuple[bytes, int] | None:
        """Return until when the exact set is cut."""
        return None if self._drop_until is None else (self.filed, self._drop_until)

    def added(self) -> list[tuple[bytes, int]]:
        """Return what goes into the exact set."""
        return [(self.filed, due) for due in self._remembered if due in self._claimed]

    def _apply(self, grant: Grant) -> None:
        self.is_changed = True
        self._record = grant.record
        self._claimed.apply(grant)
        if grant.forgets:
            self._drop_until = FOREVER
        elif grant.drop_until is not None:
            self._drop_until = max(grant.drop_until, self._drop_until or grant.drop_until)
        if grant.remember is not None:
            self._remembered.append(grant.remember)


def drafted(key: str, asked: Sequence[Ask | Look], rows: Sequence[Any], tenure: Tenure) -> Draft:
    """Return what all questions about *key* make of it, in their order."""
    draft = Draft(key, rows, tenure)
    for request in asked:
        if isinstance(request, Ask):
            draft.ask(request)
        else:
            draft.look(request)
    return draft


def record_of(row: Any) -> Record:
    """Return what a row of `Statements.ask` or `Statements.page` remembers."""
    # By place and not by name: a thousand at a time.
    return Record(*row[3 : 3 + len(Record._fields)])
