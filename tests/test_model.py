"""The nouns: `Retry`, `Claim`, `Run` and the words for what happens to them."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiosched import Cause, Claim, JobState, Refusal, Retry, Run, Status
from aiosched.durations import DAY, SECOND
from aiosched.moments import to_us

DUE = datetime(2026, 3, 8, 7, tzinfo=UTC)


def a_run(**job: object) -> Run:
    named = SimpleNamespace(**{"name": "report", "draining": False, **job})
    return Run(named, to_us(DUE), to_us(DUE), 1, Cause.TRIGGER)


# -- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (Status, "succeeded failed timed_out cancelled refused missed"),
        (JobState, "scheduled paused finished removed"),
        (Cause, "trigger manual start catch_up redelivery"),
    ],
)
def test_the_words_are_those_of_the_contract(words: type, expected: str) -> None:
    assert [str(word) for word in words] == expected.split()


def test_a_word_equals_its_text() -> None:
    assert Status.TIMED_OUT == "timed_out"
    assert f"{Cause.MANUAL}" == "manual"


# -- Retry ----------------------------------------------------------------------------------------


def test_delays_grow_by_the_backoff() -> None:
    retry = Retry(attempts=5, delay=1, backoff=3)
    assert [retry.delay_before(attempt, 0.0) for attempt in (2, 3, 4)] == [1.0, 3.0, 9.0]


def test_a_delay_has_an_upper_bound() -> None:
    retry = Retry(attempts=9, delay="1s", max_delay="5s")
    assert [retry.delay_before(attempt, 0.0) for attempt in (2, 3, 4, 5, 6)] == [1, 2, 4, 5, 5]


def test_jitter_adds_its_share() -> None:
    assert Retry(delay=1, backoff=1, jitter=4).delay_before(2, 0.25) == 2.0


@given(st.integers(2, 10**9), st.floats(1, 1e9), st.floats(0, 1, exclude_max=True))
def test_a_bounded_delay_stays_within_its_bounds(
    attempt: int, backoff: float, share: float
) -> None:
    retry = Retry(attempts=3, delay=0.5, backoff=backoff, max_delay=7, jitter=2)
    assert 0.5 <= retry.delay_before(attempt, share) <= 9


def test_one_exception_type_may_stand_alone() -> None:
    assert Retry(on=OSError).on == (OSError,)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"attempts": 0}, ValueError, "attempts must be at least 1, got 0"),
        ({"attempts": True}, TypeError, "attempts must be an int, got True"),
        ({"attempts": 2.0}, TypeError, "attempts must be an int, got 2.0"),
        ({"backoff": 0.5}, ValueError, "backoff must be at least 1 and finite, got 0.5"),
        ({"backoff": float("nan")}, ValueError, "backoff must be at least 1 and finite, got nan"),
        ({"backoff": float("inf")}, ValueError, "backoff must be at least 1 and finite, got inf"),
        ({"backoff": "2"}, TypeError, "backoff must be a number, got '2'"),
        ({"delay": -1}, ValueError, "delay must be at least 0 s, got -1"),
        (
            {"max_delay": "soon"},
            ValueError,
            "max_delay must look like '90s'",
        ),
        ({"jitter": None}, TypeError, "jitter must be seconds, a timedelta or text like '90s'"),
        ({"on": "ValueError"}, TypeError, "on must be exception types, got 'ValueError'"),
        ({"on": (BaseException,)}, TypeError, "on must be exception types"),
    ],
)
def test_a_retrys_mistake_is_named(arguments: dict, error: type, message: str) -> None:
    with pytest.raises(error) as caught:
        Retry(**arguments)
    assert message in str(caught.value)


# -- Claim ----------------------------------------------------------------------------------------


def test_a_claim_is_remembered_for_seven_days_and_may_be_as_late() -> None:
    claim = Claim("key", DUE)
    assert (claim.due_us, claim.keep_us, claim.late_us) == (to_us(DUE), 7 * DAY, 7 * DAY)


def test_a_claims_durations_are_its_own() -> None:
    claim = Claim("key", DUE, late="90s", keep="1h")
    assert (claim.late_us, claim.keep_us) == (90 * SECOND, 3_600 * SECOND)


def test_a_claim_of_no_occurrence_is_mutual_exclusion_only() -> None:
    assert Claim("key").due_us is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"key": b"key"}, TypeError, "key must be text, got b'key'"),
        ({"due_at": DUE.replace(tzinfo=None)}, ValueError, "due_at must be aware"),
        ({"keep": 0}, ValueError, "keep must be positive"),
        ({"late": -1}, ValueError, "late must be at least 0 s"),
        (
            {"redeliver": True, "exclusive": False},
            ValueError,
            "redeliver=True needs exclusive=True",
        ),
    ],
)
def test_a_claims_mistake_is_named(arguments: dict, error: type, message: str) -> None:
    with pytest.raises(error) as caught:
        Claim(**{"key": "key", **arguments})
    assert message in str(caught.value)


# -- Run ------------------------------------------------------------------------------------------


def test_a_runs_id_is_its_jobs_name_and_its_occurrence_in_utc() -> None:
    assert a_run().id == "report@2026-03-08T07:00:00.000000Z"
    assert a_run().due_at == DUE


def test_a_run_of_a_draining_scheduler_is_stopping_from_the_first_look() -> None:
    assert a_run(draining=True).stopping.is_set()
    assert not a_run().stopping.is_set()


def test_stopping_is_one_event() -> None:
    run = a_run()
    assert run.stopping is run.stopping


def test_a_run_is_shown_with_its_id_and_cause() -> None:
    assert repr(a_run()) == "<Run report@2026-03-08T07:00:00.000000Z trigger>"


def test_a_refusal_is_a_value() -> None:
    assert Refusal("lock", "held") == Refusal("lock", "held", None)
    assert hash(Refusal("lock", "held")) == hash(Refusal("lock", "held"))
