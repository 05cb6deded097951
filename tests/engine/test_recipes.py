"""Jobs of one function share what was worked out once; what one of them changes is its own."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiosched import Claim, DuplicateJob, Every, JobGroup, Retry, Run, Scheduler
from aiosched._engine.recipes import Recipe
from aiosched.executors import ProcessExecutor, ThreadExecutor
from aiosched.lockers import MemoryLocker
from tests.engine.support import NEVER, nothing


def a_sync_job() -> None: ...


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


@pytest.mark.parametrize(
    ("trigger", "options"),
    [
        (5, {"name": "new"}),
        (NEVER, {"name": "taken"}),
        (NEVER, {"name": "new", "lock_key": "{nobody}"}),
        (NEVER, {"name": "new", "tags": ["t"], "timeout": -1}),
    ],
)
def test_what_could_not_be_added_is_not_kept_alive(trigger, options):
    scheduler = Scheduler()
    scheduler.add(nothing, NEVER, name="taken")
    session, func = of_a_closure()
    session = weakref.ref(session)
    with pytest.raises((TypeError, ValueError)):
        scheduler.add(func, trigger, **options)
    del func
    gc.collect()
    assert session() is None


def test_what_a_group_could_not_add_is_not_kept_alive():
    scheduler = Scheduler()
    session, func = of_a_closure()
    session = weakref.ref(session)
    group = JobGroup()
    group.add(func, NEVER, name="good")
    group.add(func, NEVER, name="good")
    with pytest.raises(DuplicateJob):
        scheduler.include(group)
    del func, group
    gc.collect()
    assert session() is None


def test_an_update_that_is_refused_leaves_nothing_behind():
    scheduler = Scheduler()
    session, func = of_a_closure()
    session = weakref.ref(session)
    job = scheduler.add(func, NEVER, name="a")
    with pytest.raises(TypeError, match="trigger must have next_after"):
        job.update(trigger=5, timeout=3)
    assert job.spec.timeout is None
    job.remove()
    del func, job
    gc.collect()
    assert session() is None


def test_updates_of_one_job_do_not_add_up():
    scheduler = Scheduler()
    job = scheduler.add(nothing, NEVER, name="a")

    def recipes() -> int:
        gc.collect()
        return sum(type(each) is Recipe for each in gc.get_objects())

    for turn in range(5):
        job.update(priority=turn)
    before = recipes()
    for turn in range(500):
        job.update(priority=turn % 5)
    assert recipes() == before


@pytest.mark.parametrize("gates", [[], (), None])
def test_gates_of_a_removed_job_are_not_kept_alive(gates):
    scheduler = Scheduler()
    session = Session()

    @asynccontextmanager
    async def gate(run: Run, session: Session = session) -> AsyncIterator[None]:
        yield

    session = weakref.ref(session)
    given = None if gates is None else type(gates)([gate])
    job = scheduler.add(nothing, NEVER, name="a", gates=given)
    job.update(priority=5)
    job.remove()
    del gate, job, given
    gc.collect()
    assert session() is None


def test_an_executor_named_by_another_text_is_that_executor():
    scheduler = Scheduler()
    for turn in range(20):
        name = ("thread", "process")[turn % 2]
        config = json.loads(json.dumps([{"executor": name, "tags": ["t"]} for _ in range(30)]))
        for number, options in enumerate(config):
            job = scheduler.add(a_sync_job, NEVER, name=str(number), **options)
            assert job.spec.executor == name
            cells = [cell.cell_contents for cell in job._call.__closure__]
            assert {"thread": ThreadExecutor, "process": ProcessExecutor}[name] in map(type, cells)
        del config, options
        for job in scheduler:
            job.remove()
        del job


def test_retries_that_only_look_equal_are_kept_apart():
    class Steps(Retry):
        def __init__(self, *steps: float) -> None:
            super().__init__()
            object.__setattr__(self, "steps", steps)

    scheduler = Scheduler()
    these, those = Steps(1, 2), Steps(100, 200)
    jobs = [
        scheduler.add(nothing, NEVER, name=name, retry=retry)
        for name, retry in (("a", these), ("b", those))
    ]
    assert jobs[0].spec.retry is these
    assert jobs[1].spec.retry is those


async def test_a_locker_and_an_elector_that_are_falsy_are_asked(make):
    asked = []

    class Locker(MemoryLocker):
        def __len__(self) -> int:
            return 0

        async def claim(self, claim: Claim) -> Any:
            asked.append("locker")
            return await super().claim(claim)

    class Elector:
        def __bool__(self) -> bool:
            return False

        async def is_leader(self) -> bool:
            asked.append("elector")
            return False

    scheduler = make()
    scheduler.add(nothing, Every(seconds=5), name="a", locker=Locker())
    scheduler.add(nothing, Every(seconds=5), name="b", elector=Elector())
    async with scheduler:
        await asyncio.sleep(5.5)
        assert sorted(asked) == ["elector", "locker"]
        assert str(scheduler["b"].last.status) == "refused"


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
