"""Groups: jobs collected without a scheduler, which go into one whole or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from aiosched import Cron, DuplicateJob, Every, JobChanged, JobGroup, LockHeld, Scheduler

MOMENT = datetime(2030, 1, 1, tzinfo=UTC)


class SomeLocker:
    async def lock(self, key: str) -> Any:
        raise LockHeld


async def work() -> None: ...


async def more() -> None: ...


async def of_tenant(tenant: str, region: str = "eu", **more: object) -> None: ...


def test_a_group_collects_jobs_for_any_scheduler() -> None:
    group = JobGroup()
    group.every(seconds=1)(work)
    group.add(of_tenant, Cron("@daily"), args=("acme",), kwargs={"region": "us"}, name="tenant")
    first, second = Scheduler(), Scheduler()
    assert [job.name for job in first.include(group)] == [f"{__name__}:work", "tenant"]
    assert second.include(group)[0] is not first[work]
    assert len(group) == 2


def test_a_groups_names_come_after_the_prefix() -> None:
    group = JobGroup()
    group.every(seconds=1)(work)
    group.every(seconds=1, name="named")(more)
    jobs = Scheduler().include(group, prefix="mail/")
    assert [job.name for job in jobs] == [f"mail/{__name__}:work", "mail/named"]


def test_a_groups_options_are_defaults_and_its_tags_add_up() -> None:
    group = JobGroup(tags=["mail"], timeout=5)
    group.every(seconds=1)(work)
    group.every(seconds=1, timeout=None, tags=["slow"])(more)
    plain, own = Scheduler().include(group)
    assert (plain.tags, plain.spec.timeout) == (("mail",), 5)
    assert (own.tags, own.spec.timeout) == (("mail", "slow"), None)


def test_a_groups_tags_and_gates_may_be_any_iterable() -> None:
    group = JobGroup(tags=(tag for tag in ["mail"]))
    group.every(seconds=1, tags=(tag for tag in ["slow"]), gates=(gate for gate in [print]))(work)
    group.every(seconds=1)(more)
    first, second = Scheduler().include(group)
    assert (first.tags, first.spec.gates, second.tags) == (("mail", "slow"), (print,), ("mail",))


def test_a_group_goes_in_whole_or_not_at_all() -> None:
    group = JobGroup()
    group.every(seconds=1)(work)
    group.every(seconds=1, name="taken")(more)
    scheduler = Scheduler()
    kept = scheduler.add(more, Every(seconds=9), name="taken")
    with pytest.raises(DuplicateJob):
        scheduler.include(group)
    assert list(scheduler) == [kept]


def test_nobody_hears_of_a_group_that_did_not_go_in() -> None:
    group = JobGroup()
    group.every(seconds=1)(work)
    group.add(of_tenant, Every(seconds=1))  # without its argument
    scheduler = Scheduler()
    heard: list[JobChanged] = []
    scheduler.on(JobChanged, heard.append)
    with pytest.raises(TypeError, match="missing a required argument: 'tenant'"):
        scheduler.include(group)
    assert heard == []


@pytest.mark.parametrize("prefix", ["", "tenant/"])
def test_a_groups_lambda_needs_a_name_with_a_locker(prefix: str) -> None:
    group = JobGroup()
    group.add(lambda: None, Every(seconds=1))
    scheduler = Scheduler(locker=SomeLocker())
    with pytest.raises(ValueError, match="name must be given with a locker"):
        scheduler.include(group, prefix=prefix)
    assert not scheduler.jobs


def test_a_group_is_checked_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="timeout must be positive"):
        JobGroup(timeout=0)
    with pytest.raises(TypeError, match="name must be given to a job, not to its group, got 'x'"):
        JobGroup(name="x")
    with pytest.raises(TypeError, match="unknown option 'bogus'"):
        JobGroup().every(seconds=1, bogus=1)(work)
    with pytest.raises(TypeError, match="tags must be several texts, got the one text 'mail'"):
        JobGroup(tags="mail")
    with pytest.raises(TypeError, match="tags must be several texts, got 7"):
        JobGroup().every(seconds=1, tags=7)(work)
