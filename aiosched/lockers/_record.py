"""The decision itself, pure: what a store remembers of a key, and what it answers to a claim.

Memory and file ask these functions; the scripts of other stores must answer as they do. All
moments are microseconds since the Unix epoch by the store's clock.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple, Protocol

from aiosched.errors import LockError, LockHeld
from aiosched.lockers import _refusals
from aiosched.lockers._holder import holder_of
from aiosched.model import Claim, LockRecord
from aiosched.moments import from_us

NOTHING = -(2**62)
"""The floor of an exact set that was made before anything was claimed."""

FOREVER = 2**53 - 1
"""The latest moment that a record is kept for; doubles, as in Lua, still count it exactly."""

ASK_AGAIN = 1.0
"""Seconds after which to ask again, in stores where a holder's death shows at once."""


class Record(NamedTuple):
    """What is remembered of one key.

    Attributes:
        fence: The highest that was granted.
        watermark: The newest occurrence that was ever claimed.
        floor: Nothing at or below it is granted by the exact set; None: there is no set.
        open_due: The occurrence of the last exclusive grant, until it is completed.
        attempt: How often `open_due` was granted.
        owner: The attempt id that holds the mutex; None: nobody.
        last: The attempt id of the newest grant, exclusive or not.
        last_due: The occurrence of that grant.
        forget_at: After this moment the record counts no more, unless its mutex is held.
    """

    fence: int = 0
    watermark: int | None = None
    floor: int | None = None
    open_due: int | None = None
    attempt: int = 0
    owner: str | None = None
    last: str | None = None
    last_due: int | None = None
    forget_at: int = 0


BLANK = Record()


class Claimed(Protocol):
    """The exact set of one key: each occurrence that was claimed above the floor."""

    def __contains__(self, due: object, /) -> bool: ...
    def newest_until(self, moment: int, /) -> int | None:
        """Return the newest member that is not later than *moment*."""
        ...


class ExactSet:
    """A `Claimed` in memory."""

    __slots__ = ("_dues",)

    def __init__(self, dues: Iterable[int] = ()) -> None:
        self._dues = sorted(set(dues))

    def __contains__(self, due: object, /) -> bool:
        return isinstance(due, int) and self.newest_until(due) == due

    def newest_until(self, moment: int, /) -> int | None:
        place = bisect_right(self._dues, moment)
        return self._dues[place - 1] if place else None

    def apply(self, grant: Grant) -> None:
        """Change as *grant* says."""
        if grant.forgets:
            self._dues.clear()
        if grant.drop_until is not None:
            del self._dues[: bisect_right(self._dues, grant.drop_until)]
        if grant.remember is not None:
            insort(self._dues, grant.remember)


NONE_CLAIMED = ExactSet()


class Question(NamedTuple):
    """All that an answer depends on besides the record.

    Attributes:
        claim: What is asked for.
        attempt: The id of the asking; asked again under the same id, the answer is the same.
        now: The store's clock.
        busy: Whether the record's owner still lives (or its lease lasts).
        claimed: The exact set, where the record has one.
        remaining: Seconds that a refusal for a busy mutex names.
    """

    claim: Claim
    attempt: str
    now: int
    busy: bool
    claimed: Claimed = NONE_CLAIMED
    remaining: float = ASK_AGAIN


class Grant(NamedTuple):
    """Yes, and what is to be written before it is told.

    Attributes:
        record: Takes the place of the old one.
        due: The occurrence that is granted; not the one asked for when it is a redelivery.
        fence: Of this grant.
        attempt: Grants of this occurrence, from 1.
        remember: Goes into the exact set.
        drop_until: Members of the exact set that are not later leave it, before that.
        forgets: The record was past its retention, and its exact set is to be emptied first.
    """

    record: Record
    due: int | None
    fence: int
    attempt: int
    remember: int | None = None
    drop_until: int | None = None
    forgets: bool = False


def decide(record: Record, asked: Question) -> Grant | LockError:
    """Answer what is *asked* of a key with this *record*; a refusal changes nothing."""
    if record.last == asked.attempt and (
        record.owner == asked.attempt or not asked.claim.exclusive
    ):
        return _same_again(record)
    if not is_forgotten(record, asked.now, busy=asked.busy):
        return _judge(record, asked)
    blank = BLANK._replace(fence=record.fence)
    answer = _judge(blank, asked._replace(claimed=NONE_CLAIMED))
    if record.floor is None or isinstance(answer, LockError):
        return answer
    return answer._replace(forgets=True)


def release(record: Record, attempt: str, due: int | None, *, done: bool) -> Record | None:
    """Return the record after *attempt* gave back its grant of *due*; None: it does not hold it."""
    if record.owner != attempt:
        return None
    # In one piece, as a grant is: `_replace` takes three times as long.
    fence, watermark, floor, open_due, number, _, last, last_due, forget_at = record
    if done and due is not None and open_due == due:
        open_due = None
    return Record(fence, watermark, floor, open_due, number, None, last, last_due, forget_at)


def is_forgotten(record: Record, now: int, *, busy: bool) -> bool:
    """Tell whether the record's retention is over."""
    return record.forget_at < now and not busy


def last_claimed(record: Record, now: int, *, busy: bool) -> datetime | None:
    """Return the newest occurrence that was claimed, as far as it is still remembered."""
    if record.watermark is None or is_forgotten(record, now, busy=busy):
        return None
    return from_us(record.watermark)


def describe(
    key: str,
    record: Record,
    *,
    busy: bool,
    till: int | None = None,
) -> LockRecord:
    """Return what to show of *record*; *till* is when its lease ends, if it is one."""
    return LockRecord(
        key=key,
        held=busy,
        fence=record.fence,
        last_claimed=None if record.watermark is None else from_us(record.watermark),
        uncompleted=None if record.open_due is None else from_us(record.open_due),
        attempt=record.attempt,
        forget_at=from_us(record.forget_at),
        holder=holder_of(record.owner) if busy and record.owner else None,
        held_until=from_us(till) if busy and till else None,
    )


def _same_again(record: Record) -> Grant:
    is_open = record.last_due is not None and record.last_due == record.open_due
    return Grant(record, record.last_due, record.fence, record.attempt if is_open else 1)


def _judge(record: Record, asked: Question) -> Grant | LockError:
    claim, open_due = asked.claim, record.open_due
    if claim.redeliver and claim.due_us is not None and open_due is not None and not asked.busy:
        if open_due >= asked.now - claim.late_us:
            # Nobody lives who could complete it: it goes before whatever was asked for.
            return _grant(record, asked, open_due, record.attempt + 1)
        record = record._replace(open_due=None)  # too old to be delivered again
    refusal = _refuse_occurrence(record, asked)
    if refusal is not None:
        return refusal
    if asked.busy and claim.exclusive:
        return _held_by_another(record, asked)
    return _grant(record, asked, claim.due_us, 1)


def _held_by_another(record: Record, asked: Question) -> LockHeld:
    """Refuse a busy mutex; not for good where a death alone has made this occurrence meet it."""
    claim = asked.claim
    planned = claim.redeliver and claim.due_us is not None
    behind = planned and record.open_due is not None and record.attempt > 1
    return _refusals.held(claim, asked.remaining, behind_redelivery=behind)


def _refuse_occurrence(record: Record, asked: Question) -> LockError | None:
    claim, now, due = asked.claim, asked.now, asked.claim.due_us
    if due is None:
        return None
    if due > now:
        return _refusals.too_early(claim, due, now)
    if due < now - claim.late_us:
        return _refusals.too_late(claim, due, now)
    if asked.busy and claim.redeliver and due == record.open_due:
        return _refusals.uncompleted(claim, asked.remaining)
    return _refuse_claimed(record, asked, due)


def _refuse_claimed(record: Record, asked: Question, due: int) -> LockError | None:
    claim, floor = asked.claim, record.floor
    if record.watermark is None or due > record.watermark:
        return None
    if due in (record.watermark, floor) or (floor is not None and due in asked.claimed):
        return _refusals.already_ran(claim)
    if claim.exact and floor is not None and due > floor:
        return None
    return _refusals.superseded(claim, record.watermark)


def _grant(record: Record, asked: Question, due: int | None, number: int) -> Grant:
    claim, now = asked.claim, asked.now
    keep = max(claim.keep_us, claim.late_us)
    fence = max(record.fence + 1, now)
    watermark, floor, open_due, opened = record[1:5]
    drop_until = None
    if due is not None:
        if claim.exact and floor is None:
            floor = NOTHING if watermark is None else watermark
        if floor is not None and (drop_until := asked.claimed.newest_until(now - keep)) is not None:
            floor = max(floor, drop_until)
        if watermark is None or due > watermark:
            watermark = due
        if claim.exclusive:
            open_due, opened = due, number
    owner = asked.attempt if claim.exclusive else record.owner
    forget_at = min(max(record.forget_at, now + keep), FOREVER)
    # Built at once: each `_replace` costs as much as all the rest.
    new = Record(fence, watermark, floor, open_due, opened, owner, asked.attempt, due, forget_at)
    is_new_member = due is not None and floor is not None and due > floor and number == 1
    return Grant(new, due, fence, number, due if is_new_member else None, drop_until)
