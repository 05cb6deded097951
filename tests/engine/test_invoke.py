"""From a user's function to a call: what receives the run, which arguments fit, what is refused."""

from __future__ import annotations

import asyncio
import functools
import threading
import typing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Optional, Union

import pytest

import aiosched
from aiosched import Every, Run, Scheduler, current_run

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForTypes

NEVER = Every(days=1)


@pytest.fixture
async def call(scheduler: Scheduler):
    """Run a function once as a job; give what it returned, and raise what it raised."""

    async def once(func: Any, *args: Any, **options: Any) -> Any:
        job = scheduler.add(func, NEVER, name=f"job {len(scheduler)}", args=args, **options)
        outcome = await job.run_now()
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    async with scheduler:
        yield once


# -- the run -------------------------------------------------------------------------------------


async def plainly(run: Run) -> object:
    return run


async def qualified(run: aiosched.Run) -> object:
    return run


async def perhaps(run: Run | None = None) -> object:
    return run


async def optionally(run: Optional[Run]) -> object:  # noqa: UP045 - as users write it
    return run


async def either(run: Union[Run, None]) -> object:  # noqa: UP007 - as users write it
    return run


async def annotated(run: Annotated[Run, "the run"]) -> object:
    return run


async def quoted(run: "Run") -> object:  # noqa: UP037 - as users write it
    return run


async def by_keyword(*, run: Run) -> object:
    return run


async def by_position(run: Run, /) -> object:
    return run


async def of_any_name(this: Run) -> object:
    return this


async def beside_a_stranger(run: Run, value: OnlyForTypes | None = None) -> object:
    return run


async def beside_a_stranger_optionally(
    value: OnlyForTypes | None = None,
    run: typing.Optional[Run] = None,  # noqa: UP045 - as users write it
) -> object:
    return run


@pytest.mark.parametrize(
    "func",
    [
        plainly,
        qualified,
        perhaps,
        optionally,
        either,
        annotated,
        quoted,
        by_keyword,
        by_position,
        of_any_name,
        beside_a_stranger,
        beside_a_stranger_optionally,
    ],
    ids=lambda func: func.__name__,
)
async def test_a_parameter_annotated_run_receives_the_run(func: Any, scheduler: Scheduler) -> None:
    job = scheduler.add(func, NEVER)
    async with scheduler:
        outcome = await job.run_now()
    assert outcome.value is outcome.run


def define(parameters: str, **names: Any) -> Any:
    """Define a job with annotations as text, in a module where only *names* are known."""
    source = f"from __future__ import annotations\nasync def job({parameters}): ..."
    exec(compile(source, "<test>", "exec", dont_inherit=True), names)
    return names["job"]


def test_annotations_that_only_a_type_checker_knows_are_read_as_text(scheduler: Scheduler) -> None:
    job = define("a: 'Run', b: 'x.Run | None', c: 'Optional[x.Run]', d: 'Annotated[Run, 1]'")
    assert scheduler.add(job, NEVER, name="job")


@pytest.mark.parametrize("note", ["list[Run]", "type[Run]", "dict[str, Run]", "Runs", "'Runner'"])
def test_an_annotation_that_only_speaks_of_runs_receives_none(
    note: str, scheduler: Scheduler
) -> None:
    for known in ({}, {"Run": Run, "Runs": str, "Runner": str}):
        with pytest.raises(TypeError, match="missing a required argument: 'about'"):
            scheduler.add(define(f"about: {note}", **known), NEVER, name="job")


def test_another_class_called_run_receives_none(scheduler: Scheduler) -> None:
    job = define("about: Run, other: 'Unknown' = None", Run=type("Run", (), {}))
    with pytest.raises(TypeError, match="missing a required argument: 'about'"):
        scheduler.add(job, NEVER, name="job")


async def test_the_run_goes_where_it_is_asked_for_among_arguments(call: Any) -> None:
    async def job(a: int, run: Run, b: int = 2, *rest: int, c: int = 3, **more: int) -> tuple:
        return (a, type(run), b, rest, c, more)

    assert await call(job, 1) == (1, Run, 2, (), 3, {})
    assert await call(job, 1, 20, 30) == (1, Run, 20, (30,), 3, {})
    assert await call(job, 1, kwargs={"c": 4, "d": 5}) == (1, Run, 2, (), 4, {"d": 5})


async def test_an_argument_given_by_name_is_not_replaced_by_the_run(call: Any) -> None:
    assert await call(perhaps, kwargs={"run": "mine"}) == "mine"


async def test_several_parameters_may_receive_the_run(call: Any) -> None:
    async def job(first: Run, second: Run) -> bool:
        return first is second

    assert await call(job)


async def test_arguments_that_equal_everything_are_not_taken_for_the_run(call: Any) -> None:
    class Agreeable:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None

    async def job(value: Agreeable, run: Run) -> tuple[object, object]:
        return value, run

    value, run = await call(job, agreeable := Agreeable())
    assert value is agreeable
    assert isinstance(run, Run)


async def test_current_run_is_known_throughout_a_run(call: Any) -> None:
    async def job(run: Run) -> list[bool]:
        in_a_task = await asyncio.create_task(deeper())
        return [current_run() is run, in_a_task is run]

    async def deeper() -> Run:
        return current_run()

    assert await call(job) == [True, True]


async def test_current_run_is_known_in_a_worker_thread(call: Any) -> None:
    def job(run: Run) -> bool:
        return current_run() is run

    assert await call(job)


async def test_there_is_no_current_run_outside(scheduler: Scheduler) -> None:
    with pytest.raises(LookupError, match="inside a job only"):
        current_run()


# -- kinds of functions --------------------------------------------------------------------------


async def test_a_plain_function_runs_in_a_worker_thread(call: Any) -> None:
    assert await call(threading.get_ident) != threading.get_ident()


async def test_a_plain_function_runs_in_the_loops_thread_on_demand(call: Any) -> None:
    def job(run: Run) -> tuple[int, Run]:
        return threading.get_ident(), run

    thread, run = await call(job, executor="async")
    assert thread == threading.get_ident()
    assert isinstance(run, Run)


@pytest.mark.parametrize("executor", ["async", "thread", None])
async def test_a_lambda_around_a_coroutine_is_awaited(executor: Any, call: Any) -> None:
    async def greet(name: str) -> str:
        return f"hello {name}"

    assert await call(lambda: greet("world"), executor=executor) == "hello world"


async def test_methods_partials_and_callable_objects_are_functions(call: Any) -> None:
    class Service:
        name = "service"

        async def method(self, run: Run, word: str) -> str:
            return f"{self.name} {word} {run.number}"

        async def __call__(self, run: Run) -> str:
            return f"{self.name} called {run.number}"

    service = Service()
    assert await call(service.method, "by method") == "service by method 1"
    assert await call(functools.partial(service.method, word="partially")) == "service partially 1"
    assert await call(service) == "service called 1"


async def test_a_class_is_a_function_that_makes_one(call: Any) -> None:
    @dataclass
    class Report:
        title: str

    assert await call(Report, "q1") == Report("q1")


async def test_a_builtin_without_a_signature_is_called_as_it_is(call: Any) -> None:
    assert await call(max, 3, 5) == 5


async def test_objects_that_are_equal_are_called_each_for_itself(call: Any) -> None:
    @dataclass(frozen=True)
    class Counter:
        word: str
        calls: list[int] = field(default_factory=list, compare=False)

        async def __call__(self, run: Run) -> None:
            self.calls.append(run.number)

    first, second = Counter("a"), Counter("a")
    await call(first)
    await call(second)
    assert (first.calls, second.calls) == ([1], [1])


async def test_executors_that_are_equal_are_used_each_for_itself(call: Any) -> None:
    class Equal:
        """Equal to others of its kind, and without a hash."""

        def __init__(self, word: str) -> None:
            self.word = word

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Equal)

        __hash__ = None

        async def submit(self, run: Run, func: Any, args: Any, kwargs: Any, /) -> str:
            return self.word

    words = [await call(plainly, executor=Equal(word)) for word in "abc"]
    assert words == ["a", "b", "c"]


async def test_an_object_without_a_hash_can_be_a_job(call: Any) -> None:
    @dataclass
    class Job:
        word: str

        async def __call__(self) -> str:
            return self.word

    assert await call(Job("a")) == "a"


def test_names_come_from_what_is_called_in_the_end(scheduler: Scheduler) -> None:
    class Service:
        async def __call__(self) -> None: ...

    partial = functools.partial(functools.partial(plainly))
    assert scheduler.add(partial, NEVER).name == f"{__name__}:plainly"
    assert scheduler.add(Service(), NEVER).name.endswith("Service")
    assert scheduler.add(max, NEVER, args=(1, 2)).name == "builtins:max"


# -- mistakes ------------------------------------------------------------------------------------


async def needs(a: int, b: int, *, c: int = 0) -> None: ...


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), None, "missing a required argument: 'a'"),
        ((1,), {}, "missing a required argument: 'b'"),
        ((1, 2, 3), None, "too many positional arguments"),
        ((1, 2), {"d": 1}, "got an unexpected keyword argument 'd'"),
        ((1, 2), {"a": 1}, "multiple values for argument 'a'"),
        ("ab", None, "args must be a sequence of arguments, got 'ab'"),
        (5, None, "args must be a sequence of arguments, got 5"),
        (0, None, "args must be a sequence of arguments, got 0"),
        ((1, 2), 5, "kwargs must be a mapping of arguments, got 5"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    args: Any, kwargs: Any, message: str, scheduler: Scheduler
) -> None:
    with pytest.raises(TypeError) as caught:
        scheduler.add(needs, NEVER, args=args, kwargs=kwargs)
    assert message in str(caught.value)
    assert not scheduler.jobs


def test_a_mistaken_argument_names_the_function(scheduler: Scheduler) -> None:
    with pytest.raises(TypeError, match=rf"{__name__}:needs: missing"):
        scheduler.add(needs, NEVER)


async def generates_async():
    yield 1


def generates():
    yield 1


@pytest.mark.parametrize(
    ("func", "message"),
    [
        (None, "func must be callable, got None"),
        ("module:func", "func must be callable, got 'module:func'"),
        (plainly.__code__, "func must be callable"),
        (generates, "got the generator <function generates"),
        (generates_async, "got the generator <function generates_async"),
    ],
)
def test_what_is_no_function_is_refused(func: Any, message: str, scheduler: Scheduler) -> None:
    with pytest.raises(TypeError) as caught:
        scheduler.add(func, NEVER)
    assert message in str(caught.value)
    assert not scheduler.jobs


def test_a_coroutine_is_no_function(scheduler: Scheduler) -> None:
    coroutine = perhaps()
    with pytest.raises(TypeError, match="func must be callable, got <coroutine"):
        scheduler.add(coroutine, NEVER)
    coroutine.close()


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_an_async_function_needs_a_loop(executor: Any, scheduler: Scheduler) -> None:
    with pytest.raises(TypeError, match=f"executor='{executor}' needs a plain function"):
        scheduler.add(plainly, NEVER, executor=executor)


def wants_run(run: Run) -> None: ...


def test_a_run_cannot_be_handed_to_a_process(scheduler: Scheduler) -> None:
    with pytest.raises(TypeError, match="executor='process' cannot hand the Run to"):
        scheduler.add(wants_run, NEVER, executor="process")


def test_a_function_without_a_place_in_a_module_cannot_go_to_a_process(
    scheduler: Scheduler,
) -> None:
    with pytest.raises(TypeError, match="executor='process' needs a function that can be imported"):
        scheduler.add(lambda: None, NEVER, executor="process")
