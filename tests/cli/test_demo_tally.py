"""The demo's count: what is lost, what is double."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aiosched.cli._demo_tally import Report, Said, Tally

FIRST = datetime(2026, 3, 8, 12, 0, tzinfo=UTC)
SECOND = FIRST + timedelta(seconds=1)


def tally(*said: tuple[int, Said, datetime]) -> Tally:
    counted = Tally((FIRST, SECOND))
    for worker, word, due in said:
        counted.add(Report(worker, word, due))
    return counted


def test_each_occurrence_completed_once_is_right() -> None:
    counted = tally(
        (0, "started", FIRST),
        (0, "completed", FIRST),
        (1, "started", SECOND),
        (1, "completed", SECOND),
    )
    assert counted.is_right
    assert str(counted) == "occurrences 2, completed 2, double 0, lost 0"


def test_an_occurrence_that_nobody_completed_is_lost() -> None:
    counted = tally((0, "started", FIRST), (0, "completed", FIRST), (1, "started", SECOND))
    assert (counted.done, counted.lost, counted.double) == (1, 1, 0)
    assert not counted.is_right


def test_a_second_start_without_a_death_is_double() -> None:
    counted = tally((0, "started", FIRST), (1, "started", FIRST), (1, "completed", FIRST))
    assert counted.double == 1


def test_a_second_start_after_a_death_is_a_redelivery() -> None:
    counted = tally((0, "started", FIRST), (1, "started", FIRST), (1, "completed", FIRST))
    counted.killed[FIRST] = 0
    assert counted.double == 0


def test_a_third_start_after_one_death_is_double() -> None:
    counted = tally(*[(worker, "started", FIRST) for worker in range(3)])
    counted.killed[FIRST] = 0
    assert counted.double == 1


def test_two_completions_are_double_even_after_a_death() -> None:
    counted = tally(
        *[(worker, word, FIRST) for worker in range(2) for word in ("started", "completed")]
    )
    counted.killed[FIRST] = 0
    assert counted.double == 1


def test_an_occurrence_that_the_trigger_does_not_know_is_double() -> None:
    stranger = FIRST + timedelta(milliseconds=500)
    assert tally((0, "started", stranger)).double == 1


@pytest.mark.parametrize("word", ["ready", "gone"])
def test_a_word_without_an_occurrence_counts_nothing(word: Said) -> None:
    counted = Tally((FIRST,))
    counted.add(Report(0, word))
    assert (counted.done, counted.double) == (0, 0)
