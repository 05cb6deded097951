"""Jobs of one function share what was worked out once; what one of them changes is its own."""

from __future__ import annotations

import pytest

from aiosched import Every, Scheduler
from aiosched.lockers import MemoryLocker
from tests.engine.support import NEVER, nothing


class Doubler:
    """A callable that equals every other one, and is yet another."""

    __hash__ = None

    def __init__(self) -> None:
        self.calls = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Doubler)

    async def __call__(self) -> None:
        self.calls += 1


def test_jobs_of_a_function_share_their_options():
    scheduler = Scheduler()
    first, second = (scheduler.add(nothing, NEVER, name=name, timeout=5) for name in "ab")
    assert first.spec is second.spec


@pytest.mark.parametrize(
    ("this", "that"),
    [
        ({}, {"tags": ("t",)}),
        ({"priority": 1}, {"priority": 2}),
        ({"max_runs": 1}, {"max_runs": None}),
        ({"tags": ["a"]}, {"tags": ["b"]}),
    ],
)
def test_other_options_make_another_job_of_the_same_function(this, that):
    scheduler = Scheduler()
    first = scheduler.add(nothing, NEVER, name="a", **this)
    second = scheduler.add(nothing, NEVER, name="b", **that)
    expected = [Scheduler().add(nothing, NEVER, name="c", **options) for options in (this, that)]
    assert [first.spec, second.spec] == [job.spec for job in expected]


def test_a_value_of_another_type_is_checked_although_an_equal_one_was_good():
    scheduler = Scheduler()
    scheduler.add(nothing, NEVER, name="a", max_runs=1)
    with pytest.raises(TypeError, match="max_runs must be an int, got True"):
        scheduler.add(nothing, NEVER, name="b", max_runs=True)


async def test_a_callable_that_equals_another_is_called_itself(make):
    scheduler = make()
    doublers = [Doubler(), Doubler()]
    async with scheduler:
        for name, doubler in zip("ab", doublers, strict=True):
            await scheduler.add(doubler, NEVER, name=name).run_now()
        assert [doubler.calls for doubler in doublers] == [1, 1]


def test_a_locker_that_is_set_later_is_inherited_by_jobs_that_come_later():
    scheduler = Scheduler()
    scheduler.add(nothing, NEVER, name="before")
    locker = MemoryLocker()
    scheduler.use_locker(locker)
    scheduler.add(nothing, NEVER, name="after")
    assert [job.spec.locker for job in scheduler] == [locker, locker]
    scheduler.use_locker(None)
    assert scheduler.add(nothing, NEVER, name="last").spec.locker is None


def test_an_update_leaves_the_others_of_its_function_alone():
    scheduler = Scheduler()
    jobs = [scheduler.add(nothing, NEVER, name=name) for name in "abc"]
    jobs[0].update(max_runs=3)
    jobs[1].update(max_runs=3)
    assert [job.spec.max_runs for job in jobs] == [3, 3, None]
    assert jobs[0].spec is jobs[1].spec
    assert scheduler.add(nothing, NEVER, name="d").spec.max_runs is None


async def test_an_update_of_several_keeps_what_each_is_called_with(make):
    scheduler = make()
    called = []

    async def note(who: str) -> None:
        called.append(who)

    async with scheduler:
        jobs = [scheduler.add(note, NEVER, name=who, args=(who,)) for who in "ab"]
        for job in jobs:
            job.update(timeout=5, lock_key="{who}")
            await job.run_now()
        assert called == ["a", "b"]
        assert [job.lock_key for job in jobs] == ["a", "b"]


def test_more_functions_than_are_remembered_are_kept_apart():
    scheduler = Scheduler()

    def make(number: int):
        async def function() -> int:
            return number

        return function

    functions = [make(number) for number in range(1_100)]
    for number, function in enumerate(functions):
        scheduler.add(function, Every(hours=1), name=str(number))
    assert [job.func for job in scheduler] == functions


def test_more_updates_than_are_remembered_are_kept_apart():
    scheduler = Scheduler()
    jobs = [scheduler.add(nothing, NEVER, name=str(number)) for number in range(1_100)]
    for number, job in enumerate(jobs):
        job.update(priority=number)
    assert [job.spec.priority for job in jobs] == list(range(1_100))
