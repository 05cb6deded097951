"""PostgreSQL as a store of locks: what is given back goes first, then claims, then renewals.

A batch of claims takes one round trip: where nobody holds the key and only its newest occurrence
counts, the statement grants by itself, and what it read of the other keys is mostly a refusal. What
else is to be granted (redeliveries, exact sets, a holder who died) is decided here, by
`_record.decide`, and written in a second round trip over the versions that were read. Nothing is
locked in between, so that a replica that stops there stops nobody. What somebody else has written
meanwhile is asked again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from aiosched.durations import MINUTE, SECOND
from aiosched.errors import LockerUnavailable
from aiosched.lockers import _postgres_look
from aiosched.lockers._postgres_bell import RING, Listen
from aiosched.lockers._postgres_draft import Draft, PlainGrant, Tenure, drafted
from aiosched.lockers._postgres_session import Borrowed, Session
from aiosched.lockers._postgres_sql import Statements, spelled
from aiosched.lockers._renewal import Lease, Renew
from aiosched.lockers._requests import Ask, Look, Release, Request, Ring
from aiosched.model import LockRecord

_ROUNDS = 50
"""How often a claim is decided anew because others were quicker. Each time one of them was."""
_PURGE_EVERY = 10 * MINUTE / SECOND


class PostgresStore:
    """Asks one PostgreSQL.

    Args:
        line: The connection, or the pool.
        statements: Of the tables.
        lease: Of the locks.

    Attributes:
        on_lost: Called, with the reason, when all that was held is lost.
    """

    def __init__(self, line: Session | Borrowed, statements: Statements, lease: Lease) -> None:
        self.clock_offset: float | None = None
        self.on_lost: Callable[[str], object] = str
        self._line = line
        self._statements = statements
        self._lease = lease
        self._held: set[str] = set()  # attempts that this session holds
        self._purge_at = time.monotonic() + _PURGE_EVERY
        if isinstance(line, Session):
            line.on_lost = self._lost

    async def perform(self, batch: Sequence[Request]) -> list[object]:
        """Answer each request (see `aiosched.lockers._actor.Perform`)."""
        await self._line.ready()
        home = self._line.home
        answers = await self._answers(batch)
        if self._line.home != home:  # what it was granted ended with it, before it is told
            raise LockerUnavailable("the session has ended while it was asked")
        return [answers.get(request, True) for request in batch]

    async def _answers(self, batch: Sequence[Request]) -> dict[Request, object]:
        """Return those that say more than yes."""
        releases = [each for each in batch if isinstance(each, Release)]
        asked = [each for each in batch if isinstance(each, (Ask, Look))]
        answers: dict[Request, object] = {}
        if releases:
            await self._release(releases, answers)
        for request in batch:
            if isinstance(request, Ring):
                await self._line.fetch(RING, request.channel)
            elif isinstance(request, Listen):
                answers[request] = await self._line.listen(request.ear)
        if asked:
            await self._decide(asked, answers)
        for request in batch:
            if isinstance(request, Renew):
                answers[request] = await self._renew(request)
        if not asked:
            await self._purge()
        if not answers:
            await self._line.fetch("SELECT 1")
        return answers

    async def close(self) -> None:
        """Let go of the connection."""
        await self._line.close()

    async def records(self) -> list[LockRecord]:
        """Return what is remembered, by key.

        Raises:
            LockerUnavailable: The store could not be asked.
        """
        return await _postgres_look.records(self._line, self._statements)

    async def evict(self, key: str) -> bool:
        """Free *key*, whoever holds it. Did somebody?

        Raises:
            LockerUnavailable: The store could not be asked.
        """
        return await _postgres_look.evict(self._line, self._statements, key)

    def _lost(self, why: str) -> None:
        had_home, self._line.home = self._line.home, 0
        self._held.clear()
        if had_home:
            self.on_lost(why)

    # ── giving back ───────────────────────────────────────────────────────────────────────────

    async def _release(self, releases: list[Release], answers: dict[Request, object]) -> None:
        self._held.difference_update(each.attempt for each in releases)
        (row,) = await self._line.fetch(
            self._statements.release,
            [spelled(each.key)[0] for each in releases],
            [each.attempt for each in releases],
            [each.due for each in releases],
            [each.done for each in releases],
            self._line.home,
            None if self._held else self._idle("0"),
        )
        held = set(row[0] or ())
        for place, release in enumerate(releases, 1):
            answers[release] = place in held

    # ── claims ────────────────────────────────────────────────────────────────────────────────

    async def _decide(self, asked: list[Ask | Look], answers: dict[Request, object]) -> None:
        for _ in range(_ROUNDS):
            drafts = await self._ask(asked, answers)
            written = await self._write([each for each in drafts if each.is_changed])
            asked = []
            for draft in drafts:
                if draft.is_changed and draft.filed not in written:
                    asked += [request for request, _answer in draft.answers]
                else:
                    answers.update(draft.answers)
                    self._held.update(draft.taken)
            if not asked:
                return
        for request in asked:
            answers[request] = LockerUnavailable(
                f"{request.key!r} is changed by others all the time"
            )

    async def _ask(
        self, asked: Sequence[Ask | Look], answers: dict[Request, object]
    ) -> list[Draft]:
        """Answer what the store grants at once; return the rest, as it was read."""
        together: dict[str, list[Ask | Look]] = {}
        for request in asked:
            together.setdefault(request.key, []).append(request)
        columns = [_columns(each, alone=len(together[each.key]) == 1) for each in asked]
        home, idle = self._line.home, self._idle_while_held()
        began = time.time()
        rows = await self._line.fetch(
            self._statements.ask, *zip(*columns, strict=True), home, self._lease.ttl_us, idle
        )
        self.clock_offset = rows[0]["now"] / SECOND - (began + time.time()) / 2
        fences = dict(zip(rows[0]["keys"] or (), rows[0]["fences"] or (), strict=True))
        rest: dict[str, list[Any]] = {}
        for request, (filed, *_), row in zip(asked, columns, rows, strict=True):
            if filed in fences and isinstance(request, Ask):
                answers[request] = PlainGrant(request.claim.due_us, fences[filed])
                if request.claim.exclusive:
                    self._held.add(request.attempt)
            else:
                rest.setdefault(request.key, []).append(row)
        tenure = Tenure(home or None, self._lease.ttl_us)
        return [drafted(key, together[key], rows, tenure) for key, rows in rest.items()]

    async def _write(self, drafts: list[Draft]) -> set[bytes]:
        if not drafts:
            return set()
        columns: list[Any] = list(zip(*(each.row() for each in drafts), strict=True))
        dropped = [cut for each in drafts if (cut := each.dropped()) is not None]
        added = [member for each in drafts for member in each.added()]
        (row,) = await self._line.fetch(
            self._statements.write,
            *columns,
            [filed for filed, _until in dropped],
            [until for _filed, until in dropped],
            [filed for filed, _due in added],
            [due for _filed, due in added],
            self._idle_while_held() if any(each.taken for each in drafts) else None,
        )
        return set(row[0] or ())

    # ── holding ───────────────────────────────────────────────────────────────────────────────

    async def _renew(self, request: Renew) -> list[object]:
        keys = [spelled(lock.key)[0] for lock in request.locks]
        attempts = [lock.id for lock in request.locks]
        if self._line.home:
            values: tuple[str, int] = (self._statements.confirm, self._line.home)
        else:
            values = (self._statements.prolong, self._lease.ttl_us)
        statement, last = values
        (row,) = await self._line.fetch(statement, keys, attempts, last)
        held = set(row[0] or ())
        return [attempt in held for attempt in attempts]

    def _idle_while_held(self) -> str | None:
        return self._idle(str(max(round(self._lease.ttl * 1000), 1)))

    def _idle(self, milliseconds: str) -> str | None:
        """Return how long the session may be idle, None where it is no matter."""
        return milliseconds if self._line.home else None

    async def _purge(self) -> None:
        if time.monotonic() < self._purge_at:
            return
        self._purge_at = time.monotonic() + _PURGE_EVERY
        await self._line.fetch(self._statements.purge, self._line.home)


def _columns(request: Ask | Look, *, alone: bool) -> tuple[object, ...]:
    """Return what `Statements.ask` takes for one question; *alone* it is about its key."""
    filed, name = spelled(request.key)
    if not isinstance(request, Ask):
        return filed, name, None, 0, 0, False, False, False, None
    claim = request.claim
    return (
        filed,
        name,
        claim.due_us,
        claim.late_us,
        max(claim.keep_us, claim.late_us),
        alone and not claim.exact,
        claim.exclusive,
        claim.redeliver,
        request.attempt,
    )
