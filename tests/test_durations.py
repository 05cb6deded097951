"""Durations: what users may write, and what is refused by name."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiosched.durations import DAY, HOUR, MILLISECOND, MINUTE, SECOND, WEEK, microseconds


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (0, 0),
        (90, 90 * SECOND),
        (0.25, 250 * MILLISECOND),
        (timedelta(minutes=2, microseconds=1), 2 * MINUTE + 1),
        ("90s", 90 * SECOND),
        ("1h30m", HOUR + 30 * MINUTE),
        (" 1 h 30 m ", HOUR + 30 * MINUTE),
        ("1.5h", 90 * MINUTE),
        ("250ms", 250 * MILLISECOND),
        ("7us", 7),
        ("2d", 2 * DAY),
        ("1w", WEEK),
    ],
)
def test_a_duration_is_read_as_whole_microseconds(written: object, expected: int) -> None:
    assert microseconds(written, "timeout") == expected


@given(st.timedeltas(min_value=timedelta(0)))
def test_every_timedelta_is_read_exactly(span: timedelta) -> None:
    assert timedelta(microseconds=microseconds(span, "delay")) == span


@pytest.mark.parametrize("written", ["", "90", "s", "1x", "-5s", "1h 30", "1e3s", "one hour"])
def test_text_that_is_no_duration_is_refused_with_an_example(written: str) -> None:
    with pytest.raises(ValueError, match="timeout must look like '90s'") as caught:
        microseconds(written, "timeout")
    assert repr(written) in str(caught.value)


@pytest.mark.parametrize("written", [None, True, b"90s", [1], object])
def test_other_types_are_refused_by_name(written: object) -> None:
    with pytest.raises(TypeError, match="grace must be seconds, a timedelta or text"):
        microseconds(written, "grace")


@pytest.mark.parametrize("written", [float("nan"), float("inf"), float("-inf")])
def test_a_duration_is_finite(written: float) -> None:
    with pytest.raises(ValueError, match="timeout must be finite"):
        microseconds(written, "timeout")


@pytest.mark.parametrize("written", [1e15, 10**400, 1e305, "9" * 400 + "s", "1000000000d"])
def test_a_duration_that_no_timedelta_can_hold_is_too_long(written: object) -> None:
    with pytest.raises(ValueError, match="timeout is too long"):
        microseconds(written, "timeout")


def test_a_negative_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="delay must be at least 0 s, got -1"):
        microseconds(-1, "delay")


def test_a_positive_duration_may_be_a_microsecond_but_not_less() -> None:
    assert microseconds("1us", "interval", minimum=1) == 1
    with pytest.raises(ValueError, match="interval must be positive, got 1e-09"):
        microseconds(1e-9, "interval", minimum=1)


def test_a_minimum_is_named_in_seconds() -> None:
    with pytest.raises(ValueError, match=r"ttl must be at least 1\.5 s, got 1"):
        microseconds(1, "ttl", minimum=1_500_000)
