"""An occurrence that comes due while an older one is made up for waits for its turn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aiosched.errors import LockHeld
from aiosched.lockers._record import BLANK, Grant, Question, Record, decide, release
from aiosched.model import Claim
from aiosched.moments import to_us

DUE = datetime(2026, 3, 8, 12, tzinfo=UTC)
NEXT = DUE + timedelta(seconds=1)
NOW = to_us(NEXT) + 1


def ask(record: Record, claim: Claim, attempt: str, *, busy: bool) -> Grant | LockHeld:
    answer = decide(record, Question(claim, attempt, NOW, busy))
    assert isinstance(answer, Grant | LockHeld)
    return answer


def granted(record: Record, claim: Claim, attempt: str, *, busy: bool = False) -> Record:
    answer = ask(record, claim, attempt, busy=busy)
    assert isinstance(answer, Grant)
    return answer.record


def redelivering() -> Record:
    """DUE is being run for the second time, after its first holder died."""
    first = granted(BLANK, Claim("k", DUE, redeliver=True), "first")
    return granted(first, Claim("k", DUE, redeliver=True), "second")


def test_the_next_occurrence_may_ask_again_soon() -> None:
    held = ask(redelivering(), Claim("k", NEXT, redeliver=True), "third", busy=True)
    assert isinstance(held, LockHeld)
    assert held.behind_redelivery
    assert not held.same_occurrence
    assert held.remaining is not None
    assert held.remaining < 0.5


def test_it_is_granted_once_the_older_one_is_completed() -> None:
    freed = release(redelivering(), "second", to_us(DUE), done=True)
    assert freed is not None
    answer = ask(freed, Claim("k", NEXT, redeliver=True), "third", busy=False)
    assert isinstance(answer, Grant)
    assert (answer.due, answer.attempt) == (to_us(NEXT), 1)


def test_behind_a_first_delivery_it_is_refused_for_good() -> None:
    record = granted(BLANK, Claim("k", DUE, redeliver=True), "first")
    held = ask(record, Claim("k", NEXT, redeliver=True), "second", busy=True)
    assert isinstance(held, LockHeld)
    assert not held.behind_redelivery


def test_a_manual_run_does_not_wait_for_it() -> None:
    held = ask(redelivering(), Claim("k", redeliver=True), "third", busy=True)
    assert isinstance(held, LockHeld)
    assert not held.behind_redelivery


def test_who_does_not_redeliver_does_not_wait_for_it() -> None:
    held = ask(redelivering(), Claim("k", NEXT), "third", busy=True)
    assert isinstance(held, LockHeld)
    assert not held.behind_redelivery
