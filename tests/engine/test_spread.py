"""With a spread no replica always wins, however far its clock is ahead."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from aiosched import MemoryLocker, Scheduler, Status
from aiosched.testing import simulate

START = datetime(2026, 1, 1, tzinfo=UTC)
SKEWS = (0.0, 0.017, 0.033, 0.05)


def won_by(spread, **options):
    """Run 300 occurrences in a fleet of four; return how many each replica has run."""
    locker = MemoryLocker()
    won = Counter()

    def replica(number):
        scheduler = Scheduler(locker=locker, spread=spread, instance=f"replica {number}")

        @scheduler.every(seconds=0.5, name="tick", **options)
        async def tick():
            won[number] += 1

        return scheduler

    fleet = [replica(number) for number in range(4)]
    result = simulate(fleet, START, START + timedelta(seconds=150.4), skews=SKEWS)
    ran = Counter(each.run.id for each in result.outcomes if each.status is Status.SUCCEEDED)
    assert set(ran.values()) == {1}
    return won


def test_without_a_spread_one_clock_wins_nearly_all():
    assert max(won_by(0.0).values()) > 200


def test_with_a_spread_the_busiest_of_four_has_at_most_two_fifths():
    won = won_by(0.15)
    assert sum(won.values()) >= 300
    assert len(won) == 4
    assert max(won.values()) <= 120


def test_a_spread_takes_half_of_the_grace_at_the_most():
    won = won_by(10.0, misfire_grace=0.4)
    assert sum(won.values()) >= 250


@pytest.mark.parametrize(("spread", "message"), [(-1, "spread must be at least 0 s, got -1")])
def test_a_spread_that_cannot_be_is_refused(spread, message):
    with pytest.raises(ValueError, match=message):
        Scheduler(spread=spread)


def test_manual_runs_do_not_wait():
    scheduler = Scheduler(locker=MemoryLocker(), spread=10)

    @scheduler.every(hours=1, name="hourly", run_on_start=True)
    async def hourly(): ...

    result = simulate(scheduler, START, START + timedelta(minutes=1))
    assert [each.lateness for each in result.of("hourly")] == [0.0]
