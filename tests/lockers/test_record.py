"""The decision itself: which answer, in which order, and what a grant leaves behind."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiosched.durations import SECOND
from aiosched.errors import AlreadyRan, LockError, LockHeld, Superseded, TooEarly, TooLate
from aiosched.lockers._record import (
    BLANK,
    FOREVER,
    NOTHING,
    ExactSet,
    Grant,
    Question,
    Record,
    decide,
    describe,
    is_forgotten,
    last_claimed,
    release,
)
from aiosched.model import Claim
from aiosched.moments import from_us

NOW = 1_800_000_000 * SECOND
KEPT = Record(forget_at=NOW + 3600 * SECOND)


def due(seconds):
    """A moment so many seconds before NOW."""
    return from_us(NOW - round(seconds * SECOND))


def us(seconds):
    return NOW - round(seconds * SECOND)


def ask(record, claim, attempt="new", *, busy=False, claimed=(), now=NOW):
    return decide(record, Question(claim, attempt, now, busy, ExactSet(claimed)))


def grant(record, claim, **more):
    answer = ask(record, claim, **more)
    assert isinstance(answer, Grant), answer
    return answer


def test_a_first_claim_is_granted_with_the_stores_clock_as_its_fence():
    answer = grant(BLANK, Claim("key", due(5)))
    assert answer == Grant(
        Record(
            fence=NOW,
            watermark=us(5),
            floor=None,
            open_due=us(5),
            attempt=1,
            owner="new",
            last="new",
            last_due=us(5),
            forget_at=NOW + 7 * 86_400 * SECOND,
        ),
        us(5),
        NOW,
        1,
    )


def test_a_fence_grows_although_the_clock_stepped_back():
    answer = grant(KEPT._replace(fence=NOW + 10), Claim("key"))
    assert answer.fence == NOW + 11


def test_the_same_attempt_gets_the_same_grant():
    claim = Claim("key", due(5))
    first = grant(BLANK, claim)
    again = grant(first.record, claim, busy=True)
    assert again == first


def test_the_same_attempt_gets_its_grant_although_its_lease_ran_out():
    claim = Claim("key", due(5), keep=10)
    first = grant(BLANK, claim)
    assert grant(first.record, claim, now=NOW + 100 * SECOND) == first


def test_the_same_attempt_of_a_redelivery_gets_the_redelivered_occurrence():
    record = KEPT._replace(watermark=us(9), open_due=us(9), attempt=1)
    first = grant(record, Claim("key", due(5), redeliver=True))
    again = grant(first.record, Claim("key", due(5), redeliver=True), busy=True)
    assert (again.due, again.attempt) == (first.due, first.attempt) == (us(9), 2)


def test_the_same_attempt_without_mutex_gets_the_same_grant():
    claim = Claim("key", due(5), exclusive=False)
    first = grant(KEPT._replace(owner="other"), claim, busy=True)
    again = grant(first.record, claim, busy=True)
    assert (again.due, again.fence, again.attempt) == (first.due, first.fence, 1)


def test_an_attempt_that_was_released_is_not_granted_again():
    claim = Claim("key", due(5))
    record = release(grant(BLANK, claim).record, "new", us(5), done=False)
    assert isinstance(ask(record, claim), AlreadyRan)


@pytest.mark.parametrize(
    ("claim", "record", "busy", "error"),
    [
        (Claim("key", due(-1)), KEPT._replace(watermark=us(-1), owner="x"), True, TooEarly),
        (Claim("key", due(9), late=8), KEPT._replace(watermark=us(9), owner="x"), True, TooLate),
        (Claim("key", due(9)), KEPT._replace(watermark=us(9), owner="x"), True, AlreadyRan),
        (Claim("key", due(9)), KEPT._replace(watermark=us(8), owner="x"), True, Superseded),
        (Claim("key", due(9)), KEPT._replace(watermark=us(10), owner="x"), True, LockHeld),
        (Claim("key"), KEPT._replace(owner="x"), True, LockHeld),
    ],
)
def test_reasons_are_named_in_order(claim, record, busy, error):
    assert type(ask(record, claim, busy=busy)) is error


def test_lateness_is_inclusive():
    assert isinstance(ask(BLANK, Claim("key", due(8), late=8)), Grant)
    late = Claim("key", from_us(us(8) - 1), late=8)
    assert isinstance(ask(BLANK, late), TooLate)


def test_due_now_is_not_early():
    assert isinstance(ask(BLANK, Claim("key", due(0))), Grant)
    early = ask(BLANK, Claim("key", from_us(NOW + 1)))
    assert isinstance(early, TooEarly)
    assert early.wait == 1e-6


def test_a_dead_owner_is_replaced():
    answer = grant(KEPT._replace(owner="dead"), Claim("key"))
    assert answer.record.owner == "new"


def test_a_claim_without_mutex_leaves_the_owner_and_its_open_occurrence():
    record = KEPT._replace(watermark=us(9), open_due=us(9), attempt=3, owner="x")
    answer = grant(record, Claim("key", due(5), exclusive=False), busy=True)
    assert answer.record[:6] == (NOW, us(5), None, us(9), 3, "x")
    assert answer.attempt == 1


def test_a_manual_lock_leaves_what_was_claimed():
    record = KEPT._replace(watermark=us(9), open_due=us(9), attempt=3)
    answer = grant(record, Claim("key", redeliver=True))
    assert answer.record[1:5] == record[1:5]
    assert release(answer.record, "new", None, done=True).open_due == us(9)


def test_a_newer_grant_takes_the_place_of_an_uncompleted_one():
    record = KEPT._replace(watermark=us(9), open_due=us(9), attempt=3)
    answer = grant(record, Claim("key", due(5)))
    assert (answer.due, answer.record.open_due, answer.record.attempt) == (us(5), us(5), 1)


def test_an_uncompleted_occurrence_goes_first_and_counts():
    record = KEPT._replace(watermark=us(9), open_due=us(9), attempt=3, owner="dead")
    answer = grant(record, Claim("key", due(5), redeliver=True))
    assert (answer.due, answer.attempt, answer.record.attempt) == (us(9), 4, 4)
    assert answer.record.watermark == us(9)


def test_an_uncompleted_occurrence_that_is_too_old_is_dropped():
    record = KEPT._replace(watermark=us(9), open_due=us(9), attempt=3)
    answer = grant(record, Claim("key", due(5), late=8, redeliver=True))
    assert (answer.due, answer.attempt) == (us(5), 1)


def test_an_open_occurrence_of_the_living_is_held():
    record = KEPT._replace(watermark=us(9), open_due=us(9), attempt=1, owner="x")
    same = ask(record, Claim("key", due(9), redeliver=True), busy=True)
    assert isinstance(same, LockHeld)
    assert (same.remaining, same.same_occurrence) == (1.0, True)
    newer = ask(record, Claim("key", due(5), redeliver=True), busy=True)
    assert isinstance(newer, LockHeld)
    assert (newer.remaining, newer.same_occurrence) == (1.0, False)


def test_an_exact_set_begins_above_what_was_claimed():
    first = grant(BLANK, Claim("key", due(5), exact=True))
    assert (first.record.floor, first.remember) == (NOTHING, us(5))
    second = grant(KEPT._replace(watermark=us(9)), Claim("key", due(5), exact=True))
    assert (second.record.floor, second.remember) == (us(9), us(5))


def test_a_redelivered_occurrence_is_in_the_set_already():
    record = KEPT._replace(watermark=us(9), open_due=us(9), attempt=1)
    answer = grant(record, Claim("key", due(5), exact=True, redeliver=True))
    assert (answer.due, answer.remember, answer.record.floor) == (us(9), None, us(9))


def test_a_watermark_replica_writes_into_the_set_if_there_is_one():
    assert grant(KEPT._replace(floor=us(9)), Claim("key", due(5))).remember == us(5)
    assert grant(KEPT, Claim("key", due(5))).remember is None


def test_a_manual_lock_touches_no_set():
    answer = grant(KEPT._replace(floor=us(99)), Claim("key", exact=True), claimed=[us(90)])
    assert (answer.record.floor, answer.remember, answer.drop_until) == (us(99), None, None)
    assert grant(KEPT, Claim("key", exact=True)).record.floor is None


def test_the_set_sheds_what_is_past_all_lateness_and_the_floor_follows():
    record = KEPT._replace(watermark=us(20), floor=us(99))
    claim = Claim("key", due(5), exact=True, keep=30, late=10)
    answer = grant(record, claim, claimed=[us(50), us(31), us(20)])
    assert (answer.drop_until, answer.record.floor) == (us(31), us(31))
    claimed = ExactSet([us(50), us(31), us(20)])
    claimed.apply(answer)
    assert [each for each in (us(50), us(31), us(20), us(5)) if each in claimed] == [us(20), us(5)]


def test_a_forgotten_record_leaves_only_its_fence():
    old = Record(NOW + 5, us(20), us(99), us(20), 2, "dead", "dead", us(20), forget_at=NOW - 1)
    answer = grant(old, Claim("key", due(30), exact=True), claimed=[us(30)])
    assert (answer.fence, answer.record.floor, answer.forgets) == (NOW + 6, NOTHING, True)
    claimed = ExactSet([us(30), us(20)])
    claimed.apply(answer)
    assert us(20) not in claimed
    assert us(30) in claimed


def test_a_refusal_of_a_forgotten_record_is_a_refusal():
    old = Record(watermark=us(20), forget_at=NOW - 1)
    assert isinstance(ask(old, Claim("key", due(-1))), TooEarly)


def test_a_record_is_forgotten_strictly_after_its_retention_and_never_while_held():
    assert not is_forgotten(Record(forget_at=NOW), NOW, busy=False)
    assert is_forgotten(Record(forget_at=NOW), NOW + 1, busy=False)
    assert not is_forgotten(Record(forget_at=NOW), NOW + 1, busy=True)
    assert last_claimed(Record(watermark=us(5), forget_at=NOW), NOW, busy=False) == due(5)
    assert last_claimed(Record(watermark=us(5), forget_at=NOW), NOW + 1, busy=False) is None
    assert last_claimed(BLANK, NOW, busy=False) is None


def test_retention_is_the_longest_that_was_asked_for_and_has_an_end():
    assert grant(KEPT, Claim("key", keep=1)).record.forget_at == KEPT.forget_at
    assert grant(BLANK, Claim("key", keep=1, late=9)).record.forget_at == NOW + 9 * SECOND
    assert grant(BLANK, Claim("key", keep="100000w")).record.forget_at == FOREVER


def test_only_the_owner_gives_back():
    held = grant(BLANK, Claim("key", due(5))).record
    assert release(held, "other", us(5), done=True) is None
    assert release(BLANK, "new", us(5), done=True) is None
    freed = release(held, "new", us(5), done=True)
    assert (freed.owner, freed.open_due) == (None, None)
    given_back = release(held, "new", us(5), done=False)
    assert (given_back.owner, given_back.open_due) == (None, us(5))


def test_completing_another_occurrence_leaves_the_open_one():
    held = grant(BLANK, Claim("key", due(5))).record
    assert release(held, "new", us(6), done=True).open_due == us(5)


def test_a_record_is_described_for_people():
    shown = describe("key", grant(BLANK, Claim("key", due(5))).record, busy=True)
    assert (shown.key, shown.held, shown.fence) == ("key", True, NOW)
    assert (shown.last_claimed, shown.uncompleted, shown.attempt) == (due(5), due(5), 1)
    nothing = describe("key", BLANK, busy=False)
    assert (nothing.last_claimed, nothing.uncompleted) == (None, None)


def test_a_refusal_names_the_key_and_the_occurrence_and_shortens_a_long_key():
    answer = ask(KEPT._replace(watermark=us(9)), Claim("k" * 500, due(9)))
    assert str(answer) == f"'{'k' * 60}…' of {due(9).isoformat()} was claimed before"


MOMENTS = st.integers(-20, 20).map(lambda seconds: NOW + seconds * SECOND)
CLAIMS = st.builds(
    lambda due_us, late, keep, kind: Claim(
        "key", None if due_us is None else from_us(due_us), late=late, keep=keep, **kind
    ),
    st.none() | MOMENTS,
    st.sampled_from([0, 3, 10]),
    st.sampled_from([10, 60]),
    st.sampled_from(
        [
            {},
            {"exclusive": False},
            {"exact": True},
            {"redeliver": True},
            {"exact": True, "redeliver": True},
            {"exact": True, "exclusive": False},
        ]
    ),
)
STEPS = st.lists(st.tuples(CLAIMS, st.sampled_from(["hold", "done", "undone", "die"])), max_size=30)


@given(STEPS)
def test_whatever_is_asked_no_occurrence_is_granted_afresh_twice(steps):
    record, claimed, busy, seen, fence = BLANK, ExactSet(), False, set(), 0
    for number, (claim, end) in enumerate(steps):
        now = NOW + number * SECOND // 4
        answer = decide(record, Question(claim, f"a{number}", now, busy, claimed))
        if isinstance(answer, LockError):
            continue
        assert answer.fence > fence
        assert not (busy and claim.exclusive)
        assert answer.due is None or now - claim.late_us <= answer.due <= now
        if answer.due is not None and answer.attempt == 1:
            assert answer.due not in seen
            seen.add(answer.due)
        claimed.apply(answer)
        record, fence = answer.record, answer.fence
        if claim.exclusive and end in ("done", "undone"):
            record = release(record, f"a{number}", answer.due, done=end == "done")
        busy = record.owner is not None and (end == "hold" if claim.exclusive else busy)


def test_moments_are_aware():
    assert due(0) == datetime.fromtimestamp(NOW / SECOND, UTC)
