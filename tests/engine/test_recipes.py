"""Jobs of one function share what was worked out once; what one of them changes is its own."""

from __future__ import annotations

import contextvars
import gc
import weakref

import pytest

from aiosched import Every, Run, Scheduler
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


class Session:
    """What a service has one of for each of its users."""

    async def poll(self) -> None: ...


def of_a_closure() -> tuple[object, object]:
    session = Session()

    async def poll() -> None:
        await session.poll()

    return session, poll


def of_a_method() -> tuple[object, object]:
    session = Session()
    return session, session.poll


@pytest.mark.parametrize("make_function", [of_a_closure, of_a_method])
@pytest.mark.parametrize("options", [{}, {"timeout": 5}, {"tags": ["a"]}])
def test_what_a_removed_job_called_is_not_kept_alive(make_function, options):
    scheduler = Scheduler()
    session, func = make_function()
    session = weakref.ref(session)
    jobs = [scheduler.add(func, NEVER, name=name, **options) for name in "ab"]
    jobs[1].update(max_runs=5)
    jobs[1].update(priority=5)
    for job in jobs:
        job.remove()
    del func, jobs, job
    gc.collect()
    assert session() is None


def test_a_context_of_a_removed_job_is_not_kept_alive():
    scheduler = Scheduler()
    session = Session()
    context = contextvars.copy_context()
    context.run(contextvars.ContextVar("session").set, session)
    session = weakref.ref(session)
    scheduler.add(nothing, NEVER, name="a", context=context).remove()
    del context
    gc.collect()
    assert session() is None


def test_a_function_that_others_still_call_stays_known():
    scheduler = Scheduler()
    first, second = (scheduler.add(nothing, NEVER, name=name) for name in "ab")
    first.remove()
    assert scheduler.add(nothing, NEVER, name="c").spec is second.spec


async def test_more_ways_to_give_arguments_than_are_remembered(make):
    scheduler = make()

    async def job(run: Run, *args: int, **kwargs: int) -> object:
        return run.number, args, kwargs

    async with scheduler:
        for number in (*range(40), *range(40)):
            args, kwargs = tuple(range(number)), {f"k{number}": number}
            added = scheduler.add(job, NEVER, name="job", args=args, kwargs=kwargs)
            assert (await added.run_now()).value == (1, args, kwargs)
            added.remove()


async def test_arguments_are_as_they_were_when_the_job_was_added(make):
    scheduler = make()

    async def job(*args: int, **kwargs: int) -> object:
        return args, kwargs

    async with scheduler:
        args, kwargs = [1], {"a": 1}
        added = scheduler.add(job, NEVER, name="job", args=args, kwargs=kwargs)
        args.append(2)
        kwargs["b"] = 2
        added.update(timeout=5)
        assert (await added.run_now()).value == ((1,), {"a": 1})
