"""What a store says when it says no: the same words, whichever store it is."""

from __future__ import annotations

from aiosched.durations import SECOND
from aiosched.errors import AlreadyRan, LockHeld, Superseded, TooEarly, TooLate
from aiosched.model import Claim
from aiosched.moments import from_us

_LONGEST_KEY = 60
_ASK_SOON = 0.1
"""Seconds after which to ask again for what comes after a redelivery that is going on."""


def already_ran(claim: Claim) -> AlreadyRan:
    """Its occurrence was claimed before."""
    return AlreadyRan(f"{_shown(claim)} was claimed before")


def superseded(claim: Claim, newest_us: int) -> Superseded:
    """A newer one was claimed, and it is not known that this one was."""
    newest = from_us(newest_us).isoformat()
    return Superseded(f"{_shown(claim)} is older than {newest}, which was claimed")


def too_early(claim: Claim, due_us: int, now: int) -> TooEarly:
    """It is to come."""
    wait = (due_us - now) / SECOND
    return TooEarly(f"{_shown(claim)} is due in {wait:.6f} s by the store's clock", wait=wait)


def too_late(claim: Claim, due_us: int, now: int) -> TooLate:
    """It is older than it may be."""
    age = (now - due_us) / SECOND
    return TooLate(f"{_shown(claim)} was due {age:.3f} s ago, later than allowed")


def uncompleted(claim: Claim, remaining: float) -> LockHeld:
    """It was granted, is not completed, and whoever holds its key may complete it."""
    message = f"{_shown(claim)} is not completed, and its key is held"
    return LockHeld(message, remaining=remaining, same_occurrence=True)


def held(claim: Claim, remaining: float, *, behind_redelivery: bool) -> LockHeld:
    """Its key is busy."""
    return LockHeld(
        f"{_shown(claim)} is held by another",
        remaining=min(_ASK_SOON, remaining) if behind_redelivery else remaining,
        behind_redelivery=behind_redelivery,
    )


def _shown(claim: Claim) -> str:
    key = claim.key if len(claim.key) <= _LONGEST_KEY else f"{claim.key[:_LONGEST_KEY]}…"
    return f"{key!r}" if claim.due_at is None else f"{key!r} of {claim.due_at.isoformat()}"
