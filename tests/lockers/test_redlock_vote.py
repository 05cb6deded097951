"""Counting votes: what so many answers come to."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aiosched.durations import SECOND
from aiosched.errors import AlreadyRan, LockerUnavailable, LockHeld, Superseded, TooEarly, TooLate
from aiosched.lockers import _redis_script as script
from aiosched.lockers._redis_script import Granted
from aiosched.lockers._redlock_vote import Divided, Refused, Vote, count
from aiosched.model import Claim
from aiosched.moments import EPOCH

NOW = 1_000 * SECOND
DUE = 990 * SECOND
CLAIM = Claim("key", EPOCH + timedelta(seconds=990), late=100, redeliver=True)


def yes(fence=1, due=DUE, number=1):
    return Vote([script.GRANTED, due, fence, number], NOW)


def ran(rival=b"a"):
    return Vote([script.RAN, rival], NOW)


def held(rival=b"a", seconds=5):
    return Vote([script.HELD, seconds * SECOND, 0, rival], NOW)


def early(seconds):
    return Vote([script.EARLY], DUE - seconds * SECOND)


LATE = Vote([script.LATE], NOW + 1_000 * SECOND)
RECOVERING = Vote([script.RECOVERING, SECOND], NOW)
BROKEN = Vote([script.BROKEN, b"WRONGTYPE"], NOW)
LOST = Vote([script.LOST, NOW], NOW)


@pytest.mark.parametrize("stores", [3, 4, 5, 7])
def test_most_must_grant(stores):
    quorum = stores // 2 + 1
    assert count(CLAIM, [yes()] * quorum, stores) == Granted(DUE, 1, 1)
    assert count(CLAIM, [yes()] * (quorum - 1), stores) is None


def test_the_highest_fence_is_told():
    assert count(CLAIM, [yes(3), yes(9), yes(4)], 3) == Granted(DUE, 9, 1)
    assert count(CLAIM, [yes(3), ran(), yes(4)], 3) == Granted(DUE, 4, 1)


def test_rivals_between_whom_those_that_answer_are_divided_ask_again():
    divided = count(CLAIM, [yes(), ran()], 3)
    assert isinstance(divided.error, LockerUnavailable)
    assert (divided.has_grants, divided.is_settled) == (True, False)


def test_stores_that_recover_or_are_broken_have_no_vote():
    assert count(CLAIM, [yes(), RECOVERING, BROKEN], 3) is None
    assert count(CLAIM, [yes(), yes(), BROKEN], 3) == Granted(DUE, 1, 1)


@pytest.mark.parametrize(
    ("votes", "error"),
    [
        ([ran(), ran(), ran(), yes(), yes()], AlreadyRan),
        ([held(), held(), held(), ran(), yes()], LockHeld),
        ([ran(), ran(), held(), held(), yes()], AlreadyRan),
        ([Vote([script.SUPERSEDED, NOW, b"a"], NOW)] * 3, Superseded),
        ([LOST] * 3, Superseded),
        ([LATE, LATE, LATE, ran(), ran()], TooLate),
        ([early(1)] * 3, TooEarly),
    ],
)
def test_a_refusal_is_what_most_say(votes, error):
    outcome = count(CLAIM, votes, 5)
    assert isinstance(outcome, Refused)
    assert type(outcome.error) is error


def test_a_refusal_says_whether_anybody_granted():
    assert count(CLAIM, [ran()] * 3, 3).has_grants is False
    assert count(CLAIM, [ran(), ran(), yes()], 3).has_grants is True


def test_it_is_settled_when_most_know_of_the_same_rival():
    assert count(CLAIM, [ran(b"a"), ran(b"a"), held(b"a"), yes(), yes()], 5).is_settled
    assert not count(CLAIM, [ran(b"a"), ran(b"a"), held(b"b"), yes(), yes()], 5).is_settled
    assert not count(CLAIM, [ran(b"a"), ran(b"a"), ran(b""), yes(), yes()], 5).is_settled


def test_it_is_settled_when_the_clocks_of_too_many_say_no():
    assert count(CLAIM, [early(1), LATE, LOST, yes(), yes()], 5).is_settled
    assert not count(CLAIM, [early(1), LATE, ran(b"a"), yes(), yes()], 5).is_settled


def test_the_wait_is_until_enough_would_grant():
    waits = [early(seconds) for seconds in (1, 2, 3, 4, 5)]
    assert count(CLAIM, waits, 5).error.wait == 3
    assert count(CLAIM, [yes(), *waits[:4]], 5).error.wait == 2
    assert count(CLAIM, [held(seconds=4), held(seconds=1), yes()], 3).error.remaining == 1


def test_an_occurrence_that_most_grant_wins_over_a_redelivery_that_few_know_of():
    votes = [yes(), yes(), yes(), yes(due=DUE - SECOND, number=2)]
    assert count(CLAIM, votes, 5) == Granted(DUE, 1, 1)


def test_a_redelivery_that_few_know_of_goes_first_unless_it_is_over_where_nothing_has_most():
    votes = [yes(), yes(), yes(due=DUE - SECOND, number=2)]
    outcome = count(CLAIM, votes, 5)
    assert outcome == Divided(Granted(DUE - SECOND, 1, 2), Granted(DUE, 1, 1))


def test_the_highest_number_of_deliveries_is_told():
    votes = [yes(number=2), yes(number=3), yes(number=2)]
    assert count(CLAIM, votes, 3) == Granted(DUE, 1, 3)


def test_a_lock_without_an_occurrence_is_counted_as_well():
    assert count(Claim("key"), [yes(due=None)] * 2, 3) == Granted(None, 1, 1)
