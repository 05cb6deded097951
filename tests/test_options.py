"""Options: each is checked by itself, then all together; a mistake is named with its value."""

from __future__ import annotations

import contextvars
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aiosched import (
    Every,
    JobOptions,
    JobSpec,
    LockHeld,
    Retry,
    Scheduler,
    ThreadExecutor,
    UnknownJob,
)
from aiosched.durations import MINUTE, SECOND
from aiosched.moments import to_us
from aiosched.options import defaults, resolve

START = datetime(2026, 1, 1, tzinfo=UTC)
STOP = datetime(2026, 2, 1, tzinfo=UTC)


class SomeLocker:
    async def lock(self, key: str) -> Any:
        raise LockHeld


class SomeElector:
    async def is_leader(self) -> bool:
        return True


async def work() -> None: ...


async def of_another() -> None: ...


def spec_of(**options: Any) -> JobSpec:
    return Scheduler().add(work, Every(seconds=1), **options).spec


# -- what is given is what holds ------------------------------------------------------------------


def test_the_defaults_are_those_of_the_contract() -> None:
    spec = spec_of()
    assert (spec.tags, spec.start_at, spec.stop_at, spec.run_on_start) == ((), None, None, False)
    assert (spec.max_runs, spec.from_completion, spec.max_instances) == (None, False, 1)
    assert (spec.overlap, spec.max_queued, spec.misfire_grace) == ("skip", 1, None)
    assert (spec.coalesce, spec.jitter, spec.timeout, spec.retry) == ("latest", 0, None, None)
    assert (spec.priority, spec.executor, spec.context) == (0, None, None)
    assert (spec.locker, spec.lock_key, spec.exclusive, spec.elector) == (None, None, True, None)
    assert (spec.delivery, spec.catch_up, spec.catch_up_window) == ("at_most_once", "none", None)
    assert (spec.on_lock_lost, spec.gates, spec.expect_within) == ("cancel", (), None)


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("tags", ["a", "b"], ("a", "b")),
        ("start_at", START, to_us(START)),
        ("stop_at", STOP, to_us(STOP)),
        ("run_on_start", True, True),
        ("max_runs", 3, 3),
        ("from_completion", True, True),
        ("max_instances", None, None),
        ("overlap", "replace", "replace"),
        ("max_queued", None, None),
        ("max_queued", 0, 0),
        ("misfire_grace", "1m", MINUTE),
        ("coalesce", "all", "all"),
        ("jitter", timedelta(seconds=2), 2 * SECOND),
        ("timeout", "500ms", 0.5),
        ("retry", Retry(attempts=2), Retry(attempts=2)),
        ("priority", -5, -5),
        ("lock_key", "tenant", "tenant"),
        ("exclusive", False, False),
        ("delivery", "at_least_once", "at_least_once"),
        ("catch_up", "latest", "latest"),
        ("on_lock_lost", "notify", "notify"),
        ("expect_within", 60, MINUTE),
    ],
)
def test_an_option_is_kept_checked(name: str, given: object, kept: object) -> None:
    assert getattr(spec_of(**{name: given}), name) == kept


@pytest.mark.parametrize(
    "name",
    [
        "tags",
        "start_at",
        "stop_at",
        "run_on_start",
        "max_runs",
        "from_completion",
        "misfire_grace",
        "jitter",
        "timeout",
        "retry",
        "priority",
        "executor",
        "context",
        "locker",
        "lock_key",
        "elector",
        "catch_up",
        "catch_up_window",
        "gates",
        "expect_within",
    ],
)
def test_none_is_off(name: str) -> None:
    assert getattr(spec_of(**{name: None}), name) == getattr(JobSpec(), name)


def test_objects_are_kept_as_they_are() -> None:
    locker, elector, executor = SomeLocker(), SomeElector(), ThreadExecutor()
    context = contextvars.copy_context()
    spec = spec_of(
        name="job",
        locker=locker,
        elector=elector,
        executor=executor,
        context=context,
        gates=[print],
    )
    assert spec.locker is locker
    assert spec.elector is elector
    assert spec.executor is executor
    assert spec.context is context
    assert spec.gates == (print,)


def test_a_schedulers_defaults_are_inherited_and_none_turns_them_off() -> None:
    scheduler = Scheduler(defaults={"timeout": 5, "tags": ("service",), "max_instances": 4})
    inherits = scheduler.add(work, Every(seconds=1), name="inherits", max_instances=2)
    differs = scheduler.add(work, Every(seconds=1), name="differs", timeout=None)
    assert (inherits.spec.timeout, inherits.tags, inherits.spec.max_instances) == (
        5,
        ("service",),
        2,
    )
    assert (differs.spec.timeout, differs.tags, differs.spec.max_instances) == (
        None,
        ("service",),
        4,
    )


def test_a_schedulers_locker_and_elector_are_inherited_unless_none() -> None:
    locker, elector = SomeLocker(), SomeElector()
    scheduler = Scheduler(locker=locker, elector=elector)
    fleet = scheduler.add(work, Every(seconds=1), name="fleet")
    local = scheduler.add(work, Every(seconds=1), name="local", locker=None, elector=None)
    assert (fleet.spec.locker, fleet.spec.elector) == (locker, elector)
    assert (local.spec.locker, local.spec.elector) == (None, None)


def test_jobs_with_the_same_options_share_one_spec() -> None:
    scheduler = Scheduler()
    first = scheduler.add(work, Every(seconds=1), name="first", timeout=1)
    second = scheduler.add(work, Every(seconds=9), name="second", timeout=1)
    assert first.spec is second.spec


@pytest.mark.parametrize(
    "options",
    [{"tags": ("a", "b")}, {"tags": ["a"]}, {"executor": ThreadExecutor()}, {"name": None}],
    ids=lambda options: next(iter(options)),
)
def test_so_do_jobs_with_the_same_tags_or_objects(options: dict) -> None:
    scheduler = Scheduler()
    first = scheduler.add(work, Every(seconds=1), **{"name": "first", **options})
    second = scheduler.add(of_another, Every(seconds=9), **{"name": "second", **options})
    assert first.spec is second.spec


def test_options_that_cannot_be_hashed_work_as_well() -> None:
    class Unhashable(SomeLocker):
        __hash__ = None

    locker = Unhashable()
    assert spec_of(name="job", tags=["a"], locker=locker).locker is locker


def test_equal_but_different_objects_are_not_mixed_up() -> None:
    class Equal(SomeLocker):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Equal)

        def __hash__(self) -> int:
            return 1

    first, second = Equal(), Equal()
    scheduler = Scheduler()
    scheduler.add(work, Every(seconds=1), name="first", locker=first)
    assert scheduler.add(work, Every(seconds=1), name="second", locker=second).spec.locker is second


def test_a_thousand_different_options_are_kept_apart() -> None:
    scheduler = Scheduler()
    for seconds in range(1, 1_200):
        job = scheduler.add(work, Every(seconds=1), name=f"job {seconds}", timeout=seconds)
        assert job.spec.timeout == seconds
    assert scheduler["job 1"].spec.timeout == 1


def test_claims_must_remember_each_occurrence_when_all_of_them_are_to_run() -> None:
    assert not JobSpec().exact
    assert JobSpec(coalesce="all").exact
    assert JobSpec(catch_up="all").exact


# -- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"nmae": "x"}, TypeError, "unknown option 'nmae', did you mean 'name'?; known are catch_"),
        ({"tags": "abc"}, TypeError, "tags must be several texts, got the one text 'abc'"),
        ({"tags": 5}, TypeError, "tags must be several texts, got 5"),
        ({"tags": [1]}, TypeError, "a tag must be text, got 1"),
        ({"start_at": START.replace(tzinfo=None)}, ValueError, "start_at must be aware"),
        ({"stop_at": "tomorrow"}, TypeError, "stop_at must be an aware datetime, got 'tomorrow'"),
        ({"run_on_start": 1}, TypeError, "run_on_start must be True or False, got 1"),
        ({"max_runs": 0}, ValueError, "max_runs must be at least 1, got 0"),
        ({"max_runs": True}, TypeError, "max_runs must be an int, got True"),
        ({"max_instances": 0}, ValueError, "max_instances must be at least 1, got 0"),
        ({"max_instances": 1.5}, TypeError, "max_instances must be an int, got 1.5"),
        (
            {"overlap": "drop"},
            ValueError,
            "overlap must be one of skip, queue, replace, got 'drop'",
        ),
        ({"overlap": None}, ValueError, "overlap must be one of skip, queue, replace, got None"),
        ({"max_queued": -1}, ValueError, "max_queued must be at least 0, got -1"),
        ({"misfire_grace": 0}, ValueError, "misfire_grace must be positive, got 0"),
        ({"coalesce": "none"}, ValueError, "coalesce must be one of latest, earliest, all"),
        ({"jitter": -1}, ValueError, "jitter must be at least 0 s, got -1"),
        ({"timeout": 0}, ValueError, "timeout must be positive, got 0"),
        ({"timeout": "soon"}, ValueError, "timeout must look like '90s' or '1h30m', got 'soon'"),
        ({"retry": 3}, TypeError, "retry must be a Retry or None, got 3"),
        ({"priority": "high"}, TypeError, "priority must be an int, got 'high'"),
        ({"executor": "fork"}, TypeError, "executor must be 'async', 'thread', 'process' or an"),
        ({"context": {}}, TypeError, "context must be a contextvars.Context or None, got {}"),
        ({"locker": "redis"}, TypeError, "locker must have an async lock(key), got 'redis'"),
        ({"locker": SomeLocker}, TypeError, "locker must have an async lock(key), got <class"),
        ({"lock_key": 7}, TypeError, "lock_key must be text, got 7"),
        ({"exclusive": None}, TypeError, "exclusive must be True or False, got None"),
        ({"elector": "me"}, TypeError, "elector must have an async is_leader(), got 'me'"),
        ({"elector": SomeElector}, TypeError, "elector must have an async is_leader(), got <class"),
        ({"delivery": "once"}, ValueError, "delivery must be one of at_most_once, at_least_once"),
        ({"catch_up": "every"}, ValueError, "catch_up must be one of none, latest, all"),
        ({"catch_up_window": 0}, ValueError, "catch_up_window must be positive, got 0"),
        ({"on_lock_lost": "die"}, ValueError, "on_lock_lost must be one of cancel, notify"),
        ({"gates": ["x"]}, TypeError, "gates must be callables of a run, got 'x'"),
        ({"gates": print}, TypeError, "gates must be several callables of a run, got <built-in"),
        ({"expect_within": 0}, ValueError, "expect_within must be positive, got 0"),
        ({"name": 5}, TypeError, "name must be text, got 5"),
        ({"name": ""}, ValueError, "name must not be empty, got ''"),
    ],
)
def test_a_mistake_is_named_with_its_value(options: dict, error: type, message: str) -> None:
    scheduler = Scheduler()
    with pytest.raises(error) as caught:
        scheduler.add(work, Every(seconds=1), **options)
    assert message in str(caught.value)
    assert not scheduler.jobs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"start_at": STOP, "stop_at": START},
            "stop_at must not be before start_at, got start_at=2026-02-01T00:00:00+00:00, stop_at=",
        ),
        (
            {"delivery": "at_least_once", "exclusive": False},
            "delivery='at_least_once' needs exclusive=True, got exclusive=False",
        ),
        (
            {"name": "job", "locker": SomeLocker(), "max_instances": 2},
            "max_instances=2 with a locker needs exclusive=False",
        ),
        (
            {"name": "job", "locker": SomeLocker(), "max_instances": None},
            "max_instances=None with a locker needs exclusive=False",
        ),
        (
            {"name": "job", "locker": SomeLocker(), "from_completion": True},
            "from_completion=True is refused with a locker",
        ),
        (
            {"catch_up_window": "1h"},
            "catch_up_window needs catch_up='latest' or 'all', got catch_up='none'",
        ),
    ],
)
def test_options_that_exclude_each_other_are_refused(options: dict, message: str) -> None:
    scheduler = Scheduler()
    with pytest.raises(ValueError, match=re.escape(message)):
        scheduler.add(work, Every(seconds=1), **options)
    assert not scheduler.jobs


def test_the_same_mistake_is_found_again_after_a_right_value_that_equals_it() -> None:
    scheduler = Scheduler()
    scheduler.add(work, Every(seconds=1), name="right", max_runs=1)
    with pytest.raises(TypeError, match="max_runs must be an int, got True"):
        scheduler.add(work, Every(seconds=1), name="wrong", max_runs=True)


def test_bounds_may_be_one_moment() -> None:
    assert spec_of(start_at=START, stop_at=START).stop_at == to_us(START)


def test_runs_may_overlap_with_a_locker_that_only_claims() -> None:
    spec = spec_of(name="job", locker=SomeLocker(), max_instances=3, exclusive=False)
    assert spec.max_instances == 3


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"defaults": {"name": "x"}}, TypeError, "defaults must not have a name, got 'x'"),
        ({"defaults": {"timeout": -1}}, ValueError, "timeout must be positive, got -1"),
        ({"defaults": {"bogus": 1}}, TypeError, "unknown option 'bogus'"),
        ({"locker": object()}, TypeError, "locker must have an async lock(key)"),
        ({"elector": object()}, TypeError, "elector must have an async is_leader()"),
        ({"max_running": 0}, ValueError, "max_running must be at least 1, got 0"),
        ({"max_running": True}, TypeError, "max_running must be None or an int, got True"),
        ({"when_full": "drop"}, ValueError, "when_full must be one of queue, skip, got 'drop'"),
        ({"defaults": 3}, TypeError, "defaults must be a mapping of options, got 3"),
        ({"defaults": ["x"]}, TypeError, "defaults must be a mapping of options, got ['x']"),
        ({"listeners": print}, TypeError, "listeners must be several, got <built-in"),
        ({"instance": 4}, TypeError, "instance must be text, or None, got 4"),
        ({"on_failure": "cry"}, ValueError, "on_failure must be one of raise, exit, got 'cry'"),
        ({"shutdown_timeout": -1}, ValueError, "shutdown_timeout must be at least 0 s, got -1"),
        ({"timezone": "Mars/Olympus"}, ValueError, "timezone"),
        ({"clock": 5}, TypeError, "clock must have now() and monotonic(), got 5"),
        ({"listeners": [5]}, TypeError, "listener must be callable, got 5"),
        (
            {"listeners": [(int, print)]},
            TypeError,
            "event must be an event type, got <class 'int'>",
        ),
    ],
)
def test_a_schedulers_mistake_is_named(arguments: dict, error: type, message: str) -> None:
    with pytest.raises(error) as caught:
        Scheduler(**arguments)
    assert message in str(caught.value)


def test_the_typed_options_are_those_that_are_checked() -> None:
    known = set(JobOptions.__annotations__) - {"name"}
    assert known == set(JobSpec.__dataclass_fields__) - {"given", "is_usual"}
    base = defaults(JobSpec(), {"priority": 3})
    assert resolve(base, {"timeout": 1}).given == {"timeout"}


# -- update ---------------------------------------------------------------------------------------


def test_an_update_changes_what_it_names_and_keeps_the_rest() -> None:
    job = Scheduler().add(work, Every(seconds=1), tags=("a",), timeout=1, priority=2)
    job.update(timeout="2s", priority=0)
    assert (job.tags, job.spec.timeout, job.spec.priority) == (("a",), 2.0, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": -1},
        {"bogus": 1},
        {"name": "other"},
        {"trigger": object()},
        {"lock_key": "{nothing}"},
        {"executor": "process"},
        {"delivery": "at_least_once", "exclusive": False},
    ],
)
def test_an_update_that_is_wrong_changes_nothing(wrong: dict) -> None:
    job = Scheduler().add(work, Every(seconds=1), timeout=1)
    before, trigger = job.spec, job.trigger
    with pytest.raises((TypeError, ValueError)):
        job.update(**{"priority": 5, **wrong})
    assert job.spec is before
    assert job.trigger == trigger


def test_a_removed_job_cannot_be_updated() -> None:
    job = Scheduler().add(work, Every(seconds=1))
    job.remove()
    with pytest.raises(UnknownJob, match="was removed"):
        job.update(timeout=1)


class StoreClient:
    """Has a ``lock`` as clients of stores have: it makes an object and asks nobody."""

    def lock(self, name: str) -> object:
        return name


@pytest.mark.parametrize("wrong", [StoreClient(), SomeLocker, object(), "redis://"])
def test_what_has_no_async_lock_is_no_locker(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"locker must have an async lock\(key\), got"):
        Scheduler(locker=wrong)
