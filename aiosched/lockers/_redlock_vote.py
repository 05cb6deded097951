"""Counting what several stores answered to one claim: the decision of Redlock, pure.

A grant is one when most stores gave it. Between two majorities there is always one store that
belongs to both, so that whatever was granted before is known to somebody who votes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiosched.errors import LockError, LockerUnavailable, LockHeld, TooEarly
from aiosched.lockers import _redis_script as script
from aiosched.lockers._redis_script import Granted
from aiosched.model import Claim

_BY_CLOCK = frozenset({script.EARLY, script.LATE, script.LOST})
_BY_RIVAL = (script.RAN, script.SUPERSEDED, script.HELD)
_STRONGEST_FIRST = (*_BY_RIVAL, script.LATE, script.LOST, script.EARLY)


class Vote(NamedTuple):
    """What one store answered, and its clock."""

    raw: Any
    now: int

    @property
    def kind(self) -> int:
        kind: int = self.raw[0]
        return kind

    @property
    def rival(self) -> bytes | None:
        """The attempt that had been granted last, where that is why the answer is no."""
        return self.raw[-1] if self.kind in _BY_RIVAL else None


class Refused(NamedTuple):
    """No.

    Attributes:
        error: Why.
        has_grants: Some of the stores have granted it.
        is_settled: It will be the same in a moment. Otherwise several may have asked at once, each
            of them getting too few, and it can be asked again.
        rival: The first, by name, of those who have the votes that are missing.
    """

    error: LockError
    has_grants: bool
    is_settled: bool
    rival: bytes | None = None

    def leads(self, attempt: str) -> bool:
        """Whether *attempt* has votes and comes before all whom it met, so that they give way."""
        return self.has_grants and (self.rival is None or attempt.encode() < self.rival)


class Divided(NamedTuple):
    """Yes, but some give an older occurrence for delivery again, of which the others are silent.

    Attributes:
        again: What is granted unless one of the stores knows that it is over.
        otherwise: What is granted then.
    """

    again: Granted
    otherwise: Granted


Counted = Granted | Divided | Refused | None


def count(claim: Claim, votes: Sequence[Vote], stores: int) -> Counted:
    """Return what the *votes* of so many *stores* come to; None: too few have one."""
    quorum = stores // 2 + 1
    able = [vote for vote in votes if vote.kind not in (script.RECOVERING, script.BROKEN)]
    yes = [vote.raw for vote in able if vote.kind == script.GRANTED]
    if len(yes) >= quorum:
        return _granted(yes, quorum)
    no = [vote for vote in able if vote.kind != script.GRANTED]
    if len(able) < quorum:
        return None
    if len(no) <= stores - quorum:
        # Enough of them answer, and share themselves out among those who asked at once.
        error = LockerUnavailable("the servers that answer are divided")
        return Refused(error, bool(yes), is_settled=False, rival=_first_rival(no))
    reason = _error(claim, no, quorum - len(yes))
    return Refused(reason, bool(yes), _is_settled(no, stores, quorum), _first_rival(no))


def _granted(yes: Sequence[Any], quorum: int) -> Granted | Divided:
    """Choose the occurrence, of which there may be two: a redelivery that not all know of."""
    dues = Counter(due for _, due, _, _ in yes)
    due, votes = dues.most_common(1)[0]
    if votes >= quorum:
        return _grant_of(due, yes)
    # Those who know of it may be what is left of a majority, and then it has to be run again; or
    # they have not heard that it is over.
    _, again = max((number, due) for _, due, _, number in yes)
    newest = max(due for due in dues if due != again)
    return Divided(_grant_of(again, yes), _grant_of(newest, yes))


def _grant_of(due: int | None, yes: Sequence[Any]) -> Granted:
    number = max(number for _, granted, _, number in yes if granted == due)
    return Granted(due, max(fence for _, _, fence, _ in yes), number)


def _first_rival(no: Sequence[Vote]) -> bytes | None:
    return min((vote.rival for vote in no if vote.rival), default=None)


def _is_settled(no: Sequence[Vote], stores: int, quorum: int) -> bool:
    if sum(vote.kind in _BY_CLOCK for vote in no) > stores - quorum:
        return True
    rivals = Counter(vote.rival for vote in no if vote.rival)
    return bool(rivals) and rivals.most_common(1)[0][1] >= quorum


def _error(claim: Claim, no: Sequence[Vote], needed: int) -> LockError:
    """Return what most say, as soon as *needed* of them would say yes."""
    kinds = Counter(vote.kind for vote in no)
    kind = max(kinds, key=lambda each: (kinds[each], -_STRONGEST_FIRST.index(each)))
    errors = [script.refusal(claim, vote.raw, vote.now) for vote in no if vote.kind == kind]
    errors.sort(key=_seconds)
    return errors[min(needed, len(errors)) - 1]


def _seconds(error: LockError) -> float:
    if isinstance(error, TooEarly):
        return error.wait
    return (error.remaining or 0.0) if isinstance(error, LockHeld) else 0.0
