"""Registering: decorators and `add`, names and lock keys, and how jobs are found again."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from aiosched import (
    Cron,
    Daily,
    DuplicateJob,
    Every,
    InvalidTrigger,
    JobGroup,
    LockHeld,
    Monthly,
    Once,
    RandomEvery,
    Scheduler,
    SystemClock,
    UnknownJob,
    Weekly,
)

MOMENT = datetime(2030, 1, 1, tzinfo=UTC)


class SomeLocker:
    async def lock(self, key: str) -> Any:
        raise LockHeld


async def work() -> None: ...


async def more() -> None: ...


class Custom:
    def next_after(self, moment: datetime) -> datetime | None:
        return None


# -- decorators ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decorate", "trigger"),
    [
        (lambda to: to.every(seconds=30, minutes=1), Every(seconds=90)),
        (lambda to: to.every("90s"), Every(seconds=90)),
        (lambda to: to.every(hours=1, anchor=MOMENT), Every(hours=1, anchor=MOMENT)),
        (lambda to: to.random_every(1, "2s", seed="x"), RandomEvery(1, 2, seed="x")),
        (
            lambda to: to.cron("0 9 * * MON-FRI", tz="Europe/Berlin", dst="skip"),
            Cron("0 9 * * MON-FRI", tz="Europe/Berlin", dst="skip"),
        ),
        (
            lambda to: to.daily(["10:30", "12:00"], 2, tz="UTC", anchor=date(2026, 1, 1)),
            Daily(at=["10:30", "12:00"], every=2, tz="UTC", anchor=date(2026, 1, 1)),
        ),
        (
            lambda to: to.weekly("MON", "10:30", 2, week_start="SUN", tz="UTC"),
            Weekly(on="MON", at="10:30", every=2, week_start="SUN", tz="UTC"),
        ),
        (
            lambda to: to.monthly([1, -1], "10:30", 3, missing="clamp", tz="UTC", dst="both"),
            Monthly(on=[1, -1], at="10:30", every=3, missing="clamp", tz="UTC", dst="both"),
        ),
        (lambda to: to.once(MOMENT), Once(MOMENT)),
    ],
)
def test_a_decorator_takes_its_triggers_arguments(decorate: Any, trigger: Any) -> None:
    scheduler = Scheduler()
    decorate(scheduler)(work)
    assert scheduler[work].trigger == trigger


def test_a_decorator_returns_the_function_unchanged() -> None:
    scheduler = Scheduler()
    assert scheduler.every(seconds=1)(work) is work
    assert scheduler.job(Custom(), name="custom")(more) is more


def test_a_decorator_takes_the_options_of_a_job() -> None:
    scheduler = Scheduler()
    scheduler.daily("10:30", name="report", tags=["mail"], timeout=5)(work)
    job = scheduler["report"]
    assert (job.tags, job.spec.timeout) == (("mail",), 5)


def test_decorators_stack_on_one_function() -> None:
    scheduler = Scheduler()

    @scheduler.every(seconds=1, name="often")
    @scheduler.cron("@daily", name="daily")
    async def job() -> None: ...

    assert list(scheduler.jobs) == ["daily", "often"]


def test_a_trigger_of_ones_own_needs_only_next_after() -> None:
    scheduler, trigger = Scheduler(), Custom()
    assert scheduler.add(work, trigger).trigger is trigger


def test_once_after_a_delay_counts_from_the_start() -> None:
    scheduler = Scheduler()
    scheduler.once(after="90s")(work)
    assert scheduler[work].next_run is not None


@pytest.mark.parametrize("arguments", [((), None), ((MOMENT,), "90s")])
def test_once_takes_moments_or_a_delay(arguments: tuple) -> None:
    moments, after = arguments
    with pytest.raises(TypeError, match="once takes moments or after"):
        Scheduler().once(*moments, after=after)


def test_a_wrong_trigger_is_refused_where_it_is_made() -> None:
    with pytest.raises(InvalidTrigger, match="interval must be positive"):
        Scheduler().every(seconds=0)


@pytest.mark.parametrize("trigger", [None, "90s", 5, Every, Custom])
def test_what_is_no_trigger_is_refused(trigger: object) -> None:
    scheduler = Scheduler()
    with pytest.raises(TypeError, match="trigger must have next_after"):
        scheduler.add(work, trigger)
    assert not scheduler.jobs


def test_after_is_refused_with_a_locker() -> None:
    scheduler = Scheduler(locker=SomeLocker())
    with pytest.raises(InvalidTrigger, match="refused with a locker"):
        scheduler.once(after=1)(work)
    scheduler.once(after=1, locker=None)(work)
    assert len(scheduler) == 1


def test_from_completion_needs_an_interval() -> None:
    with pytest.raises(ValueError, match="from_completion needs an Every or a RandomEvery"):
        Scheduler().cron("* * * * *", from_completion=True)(work)


# -- names ---------------------------------------------------------------------------------------


def test_a_job_is_called_by_its_functions_module_and_qualname() -> None:
    class Service:
        async def tick(self) -> None: ...

    scheduler = Scheduler()
    assert scheduler.add(work, Every(seconds=1)).name == f"{__name__}:work"
    assert scheduler.add(Service().tick, Every(seconds=1)).name.endswith("Service.tick")


def test_a_name_is_taken_once() -> None:
    scheduler = Scheduler()
    scheduler.add(work, Every(seconds=1))
    with pytest.raises(DuplicateJob, match="give another name"):
        scheduler.add(work, Every(seconds=2))
    assert scheduler[work].trigger == Every(seconds=1)


def test_a_name_is_free_again_when_its_job_was_removed() -> None:
    scheduler = Scheduler()
    scheduler.add(work, Every(seconds=1)).remove()
    assert scheduler.add(work, Every(seconds=2)) is scheduler[work]


@pytest.mark.parametrize("func", [lambda: None, type("Local", (), {"__call__": work})()])
def test_a_locker_needs_a_stable_name(func: Any) -> None:
    def local() -> None: ...

    scheduler = Scheduler(locker=SomeLocker())
    for each in (func, local):
        if "<" in getattr(each, "__qualname__", ""):
            with pytest.raises(ValueError, match="name must be given with a locker"):
                scheduler.add(each, Every(seconds=1))
    assert scheduler.add(local, Every(seconds=1), name="stable").lock_key == "stable"


def test_a_name_of_main_is_not_stable() -> None:
    def job() -> None: ...

    job.__module__, job.__qualname__ = "__main__", "job"
    with pytest.raises(ValueError, match="name must be given with a locker for '__main__:job'"):
        Scheduler().add(job, Every(seconds=1), locker=SomeLocker())


# -- lock keys -----------------------------------------------------------------------------------


async def of_tenant(tenant: str, region: str = "eu", **more: object) -> None: ...


@pytest.mark.parametrize(
    ("template", "kwargs", "key"),
    [
        (None, {}, "job"),
        ("plain", {}, "plain"),
        ("report/{tenant}", {}, "report/acme"),
        ("{tenant}/{region}", {}, "acme/eu"),
        ("{tenant}/{shard:03d}", {"shard": 7}, "acme/007"),
        ("{{{tenant}}}", {}, "{acme}"),
    ],
)
def test_a_lock_key_may_hold_fields_of_the_arguments(
    template: str | None, kwargs: dict, key: str
) -> None:
    job = Scheduler().add(
        of_tenant, Every(seconds=1), name="job", args=("acme",), kwargs=kwargs, lock_key=template
    )
    assert job.lock_key == key


@pytest.mark.parametrize("template", ["{nobody}", "{0}", "{tenant.nothing}", "{tenant", "a}"])
def test_a_lock_key_that_does_not_fit_is_refused(template: str) -> None:
    scheduler = Scheduler()
    with pytest.raises(ValueError, match=r"lock_key .* does not fit the arguments"):
        scheduler.add(of_tenant, Every(seconds=1), args=("acme",), lock_key=template)
    assert not scheduler.jobs


# -- looking up ----------------------------------------------------------------------------------


def test_a_job_is_found_by_its_name_its_function_and_itself() -> None:
    scheduler = Scheduler()
    job = scheduler.add(work, Every(seconds=1), name="job")
    assert scheduler["job"] is scheduler[work] is scheduler[job] is job


@pytest.mark.parametrize("wanted", ["nothing", more])
def test_an_unknown_job_is_said_to_be_so(wanted: Any) -> None:
    scheduler = Scheduler()
    scheduler.add(work, Every(seconds=1))
    with pytest.raises(UnknownJob, match="no such job"):
        scheduler[wanted]


def test_a_function_with_several_jobs_names_none_of_them() -> None:
    scheduler = Scheduler()
    scheduler.add(work, Every(seconds=1), name="a")
    scheduler.add(work, Every(seconds=1), name="b")
    with pytest.raises(UnknownJob, match="it has several: a, b"):
        scheduler[work]


def test_a_job_of_another_scheduler_is_unknown() -> None:
    scheduler, other = Scheduler(), Scheduler()
    scheduler.add(work, Every(seconds=1), name="job")
    foreign = other.add(work, Every(seconds=1), name="job")
    with pytest.raises(UnknownJob, match="no such job"):
        scheduler.remove(foreign)
    assert list(other) == [foreign]
    assert len(scheduler) == 1


def test_jobs_is_a_live_mapping_that_cannot_be_written() -> None:
    scheduler = Scheduler()
    jobs = scheduler.jobs
    job = scheduler.add(work, Every(seconds=1), name="job")
    assert dict(jobs) == {"job": job}
    with pytest.raises(TypeError):
        jobs["other"] = job


def test_a_scheduler_has_the_jobs_it_has() -> None:
    scheduler = Scheduler()
    job = scheduler.add(work, Every(seconds=1), name="job")
    assert "job" in scheduler
    assert work in scheduler
    assert job in scheduler
    assert "other" not in scheduler
    assert more not in scheduler
    assert list(scheduler) == [job]
    assert len(scheduler) == 1


def test_tags_find_jobs_that_have_all_of_them() -> None:
    scheduler = Scheduler()
    both = scheduler.add(work, Every(seconds=1), name="both", tags=["mail", "slow"])
    mail = scheduler.add(work, Every(seconds=1), name="mail", tags=["mail"])
    assert scheduler.jobs_by_tag("mail") == [both, mail]
    assert scheduler.jobs_by_tag("mail", "slow") == [both]
    assert scheduler.jobs_by_tag("other") == []


def test_tags_remove_jobs_that_have_any_of_them() -> None:
    scheduler = Scheduler()
    slow = scheduler.add(work, Every(seconds=1), name="slow", tags=["slow"])
    mail = scheduler.add(work, Every(seconds=1), name="mail", tags=["mail", "a"])
    kept = scheduler.add(work, Every(seconds=1), name="kept", tags=["b"])
    assert scheduler.remove_by_tags("mail", "slow") == [slow, mail]
    assert list(scheduler) == [kept]
    assert scheduler.remove_by_tags() == []


def test_a_job_is_removed_by_name_or_function_once() -> None:
    scheduler = Scheduler()
    job = scheduler.add(work, Every(seconds=1))
    scheduler.remove(work)
    assert job.state == "removed"
    with pytest.raises(UnknownJob):
        scheduler.remove(work)
    with pytest.raises(UnknownJob, match="is not in this scheduler"):
        job.remove()


def test_a_scheduler_and_a_job_say_what_they_are() -> None:
    scheduler = Scheduler(instance="web-1")
    job = scheduler.add(work, Every(seconds=30), name="job")
    assert repr(scheduler) == "<Scheduler web-1 new jobs=1>"
    assert repr(job) == "<Job 'job' scheduled Every(seconds=30)>"


def test_a_scheduler_tells_its_zone_and_clock() -> None:
    scheduler = Scheduler(timezone="Europe/Berlin", clock=(clock := SystemClock(skew=5)))
    assert str(scheduler.timezone) == "Europe/Berlin"
    assert scheduler.clock is clock
    assert repr(clock) == "SystemClock(skew=5)"
    assert repr(SystemClock()) == "SystemClock()"
    with pytest.raises(ValueError, match="skew must be finite, got inf"):
        SystemClock(skew=float("inf"))


# -- the scheduler's locker ----------------------------------------------------------------------


def test_a_locker_can_be_set_afterwards_for_jobs_that_inherit_it() -> None:
    scheduler, locker = Scheduler(), SomeLocker()
    heir = scheduler.add(work, Every(seconds=60), name="heir")
    local = scheduler.add(more, Every(seconds=60), name="local", locker=None)
    scheduler.use_locker(locker)
    assert (heir.spec.locker, local.spec.locker, scheduler.locker) == (locker, None, locker)
    assert heir.trigger == Every(seconds=60, anchor=datetime(1970, 1, 1, tzinfo=UTC))
    assert scheduler.add(work, Every(seconds=1), name="later").spec.locker is locker


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_instances": 2, "name": "job"}, "max_instances=2 with a locker"),
        ({"from_completion": True, "name": "job"}, "from_completion=True is refused with a locker"),
    ],
)
def test_a_locker_that_a_job_does_not_go_with_changes_nothing(options: dict, message: str) -> None:
    scheduler = Scheduler()
    first = scheduler.add(work, Every(seconds=60), name="first")
    scheduler.add(more, Every(seconds=60), **options)
    with pytest.raises(ValueError, match=message):
        scheduler.use_locker(SomeLocker())
    assert first.spec.locker is None
    assert scheduler.locker is None


@pytest.mark.parametrize("prefix", ["", "mail/"])
def test_a_locker_set_afterwards_needs_stable_names_too(prefix: str) -> None:
    group = JobGroup()
    group.add(lambda: None, Every(seconds=60))
    scheduler = Scheduler()
    scheduler.include(group, prefix=prefix)
    with pytest.raises(ValueError, match="name must be given with a locker"):
        scheduler.use_locker(SomeLocker())


def test_a_delay_does_not_go_with_a_locker_set_afterwards() -> None:
    scheduler = Scheduler()
    first = scheduler.add(work, Every(seconds=60), name="first")
    scheduler.once(after=5, name="once")(more)
    with pytest.raises(InvalidTrigger, match="refused with a locker"):
        scheduler.use_locker(SomeLocker())
    assert (first.spec.locker, first.trigger) == (None, Every(seconds=60))


@pytest.mark.parametrize("options", [{"name": None}, {"name": None, "timeout": 5}])
def test_no_name_is_no_stable_name(options: dict) -> None:
    scheduler = Scheduler()
    scheduler.add(work, Every(seconds=60), name="stable", timeout=5)
    scheduler.add(lambda: None, Every(seconds=60), **options)
    with pytest.raises(ValueError, match="name must be given with a locker"):
        scheduler.use_locker(SomeLocker())


def test_a_locker_set_afterwards_must_be_one() -> None:
    with pytest.raises(TypeError, match="locker must have an async lock"):
        Scheduler().use_locker("memory:")


@pytest.mark.parametrize(
    ("options", "meant"),
    [({"minute": 5}, "minutes"), ({"sec": 30}, "seconds"), ({"hours": 1, "timout": 3}, "timeout")],
)
def test_a_misspelt_part_of_an_interval_is_recognised(options, meant):
    with pytest.raises(TypeError, match=f"unknown option '.*', did you mean '{meant}'"):
        Scheduler().every(**options)


def test_what_is_no_group_or_no_prefix_is_named():
    with pytest.raises(TypeError, match="group must be a JobGroup, got 3"):
        Scheduler().include(3)
    with pytest.raises(TypeError, match="prefix must be text, got 3"):
        Scheduler().include(JobGroup(), prefix=3)
