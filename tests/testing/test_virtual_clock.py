"""The virtual clock shows its loop's time, and a wall time that may step."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from aiosched.moments import to_us
from aiosched.protocols import Clock
from aiosched.testing import VirtualClock, VirtualLoop, run

START = datetime(2026, 3, 8, 6, 59, tzinfo=UTC)
SECOND = 1_000_000


def on(loop, main):
    """Run *main* on a loop that goes on afterwards."""
    return loop.run_until_complete(main)


@pytest.fixture
def loop():
    made = VirtualLoop()
    yield made
    made.close()


def test_it_is_a_clock():
    assert isinstance(VirtualClock(), Clock)


def test_before_a_loop_runs_it_shows_the_start():
    clock = VirtualClock(START)
    assert clock.now() == to_us(START)
    assert clock.monotonic() == 0


def test_it_begins_with_the_year_2026_unless_told():
    assert VirtualClock().now() == to_us(datetime(2026, 1, 1, tzinfo=UTC))


def test_the_start_may_be_in_any_zone():
    local = timezone(timedelta(hours=-5))
    assert VirtualClock(START.astimezone(local)).now() == to_us(START)


def test_a_naive_start_is_refused():
    with pytest.raises(ValueError, match="start must be aware"):
        VirtualClock(datetime(2026, 1, 1))  # noqa: DTZ001


def test_both_readings_move_with_the_loop_exactly(loop):
    clock = VirtualClock(START)

    async def main():
        for _ in range(1000):
            await asyncio.sleep(0.000_007)
        await asyncio.sleep(3600.1)
        return clock.now() - to_us(START), clock.monotonic()

    assert on(loop, main()) == (3_600_107_000, 3_600_107_000)


def test_clocks_made_at_different_times_of_one_loop_agree(loop):
    async def main():
        early = VirtualClock(START)
        await asyncio.sleep(60)
        return early.now(), VirtualClock(START).now()

    early, late = on(loop, main())
    assert early == late == to_us(START) + 60 * SECOND


def test_it_still_shows_the_time_when_the_loop_has_stopped(loop):
    clock = VirtualClock(START)
    on(loop, asyncio.sleep(5, clock.follow(loop)))
    assert clock.now() == to_us(START) + 5 * SECOND
    assert clock.monotonic() == 5 * SECOND


def test_wall_time_goes_on_on_the_next_loop_and_the_monotonic_begins_anew():
    clock = VirtualClock(START)

    async def main():
        clock.now()
        await asyncio.sleep(10)
        return clock.now() - to_us(START), clock.monotonic()

    seen = []
    for _ in range(3):
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            seen.append(runner.run(main()))
    assert seen == [
        (10 * SECOND, 10 * SECOND),
        (20 * SECOND, 10 * SECOND),
        (30 * SECOND, 10 * SECOND),
    ]


def test_on_a_real_loop_it_counts_from_the_first_look():
    clock = VirtualClock(START)

    async def main():
        loop = asyncio.get_running_loop()
        first = clock.now()
        before = loop.time()
        monotonic = clock.monotonic()
        return first, before, monotonic, loop.time()

    first, before, monotonic, after = asyncio.run(main())
    assert 0 <= first - to_us(START) < SECOND
    assert before * SECOND - 1 <= monotonic <= after * SECOND + 1


def test_a_thread_sees_the_time_of_the_loop_that_runs(loop):
    clock = VirtualClock(START)

    async def main():
        clock.now()
        await asyncio.sleep(60)
        return await asyncio.to_thread(clock.now)

    assert on(loop, main()) == to_us(START) + 60 * SECOND


def test_a_loop_in_another_thread_does_not_take_the_clock_over(loop):
    clock = VirtualClock(START)

    async def look():
        return clock.now()

    async def main():
        clock.now()
        await asyncio.sleep(60)
        return await asyncio.to_thread(asyncio.run, look())

    assert on(loop, main()) == to_us(START) + 60 * SECOND


# -- steps and skew -------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [3600, -3600, 0.000_001])
def test_a_step_moves_the_wall_and_not_the_monotonic(loop, seconds):
    clock = VirtualClock(START)

    async def main():
        await asyncio.sleep(10)
        before = clock.now(), clock.monotonic()
        clock.step(seconds)
        return clock.now() - before[0], clock.monotonic() - before[1]

    assert on(loop, main()) == (round(seconds * SECOND), 0)


def test_skew_is_added_to_the_wall():
    assert VirtualClock(START, skew=-2.5).now() == to_us(START) - 2_500_000


def test_a_skewed_view_shows_the_same_time_with_another_error(loop):
    clock = VirtualClock(START, skew=1)
    fast = clock.skewed(30)

    async def main():
        await asyncio.sleep(10)
        clock.step(100)
        return fast.now() - clock.now(), fast.monotonic() - clock.monotonic()

    assert on(loop, main()) == (29 * SECOND, 0)
    assert (clock.skew, fast.skew) == (1, 30)


def test_setting_the_skew_steps_that_view_alone():
    clock = VirtualClock(START)
    other = clock.skewed(0)
    clock.skew = 7
    assert clock.now() == to_us(START) + 7 * SECOND
    assert other.now() == to_us(START)


def test_steps_are_told_until_one_stops_listening():
    clock, told = VirtualClock(START), []
    stop = clock.skewed(5).on_step(lambda: told.append(clock.now() - to_us(START)))
    clock.step(1)
    clock.skew = 2
    stop()
    clock.step(1)
    assert told == [1 * SECOND, 3 * SECOND]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_step_or_skew_that_is_no_number_is_refused(bad):
    clock = VirtualClock(START)
    with pytest.raises(ValueError, match=f"seconds must be finite, got {bad}"):
        clock.step(bad)
    with pytest.raises(ValueError, match=f"skew must be finite, got {bad}"):
        VirtualClock(skew=bad)


def test_it_shows_itself():
    assert repr(VirtualClock(START, skew=0.5)) == "<VirtualClock 2026-03-08T06:59:00Z skew=0.5>"


# -- run ------------------------------------------------------------------------------------------


def test_run_takes_a_coroutine():
    async def main():
        await asyncio.sleep(365 * 86400)
        return asyncio.get_running_loop().time()

    assert run(main()) == 365 * 86400


def test_run_takes_a_function():
    async def main():
        return type(asyncio.get_running_loop())

    assert run(main) is VirtualLoop


def test_run_gives_a_function_the_clock():
    async def main(clock):
        await asyncio.sleep(60)
        return clock.now()

    assert run(main, start=START) == to_us(START) + 60 * SECOND


def test_run_cancels_what_is_left():
    ended = []

    async def leftover():
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(asyncio.get_running_loop().time())

    async def main():
        asyncio.get_running_loop().leftover = asyncio.create_task(leftover())
        await asyncio.sleep(1)

    run(main)
    assert ended == [1]


def test_run_closes_async_generators():
    closed = []

    async def numbers():
        try:
            yield 1
        finally:
            closed.append(True)

    async def main():
        asyncio.get_running_loop().left = left = numbers()
        return await anext(left)

    assert run(main) == 1
    assert closed == [True]


def test_run_moves_the_wall_clocks_of_the_code_along_where_time_machine_is():
    pytest.importorskip("time_machine")

    async def main(clock):
        await asyncio.sleep(3600)
        clock.step(60)
        in_thread = await asyncio.to_thread(time.time_ns)
        return datetime.now(UTC), time.time(), in_thread

    later = START + timedelta(seconds=3660)
    assert run(main, start=START) == (later, later.timestamp(), to_us(later) * 1000)
    assert datetime.now(UTC) != later


def test_run_works_without_time_machine(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "time_machine", None)

    async def main(clock):
        return clock.now(), time.time()

    virtual, real = run(main, start=START)
    assert virtual == to_us(START)
    assert real != START.timestamp()


def test_run_in_a_thread_is_as_good():
    results = []

    async def main():
        await asyncio.sleep(86400)
        return asyncio.get_running_loop().time()

    thread = threading.Thread(target=lambda: results.append(run(main)))
    thread.start()
    thread.join()
    assert results == [86400]


def test_the_package_names_what_it_has():
    import aiosched.testing

    for name in aiosched.testing.__all__:
        assert getattr(aiosched.testing, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = aiosched.testing.Nothing
