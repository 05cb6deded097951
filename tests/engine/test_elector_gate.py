"""Only the leader runs, and leadership comes before the lock."""

from __future__ import annotations

import asyncio

import pytest

from aiosched import Every, JobOptions, Scheduler, Status
from tests.engine import support
from tests.engine.stores import Told


async def nothing():
    """Be a job."""


class Leader:
    """An elector that a test elects."""

    def __init__(self, leads=True):
        self.leads = leads
        self.asked = 0

    async def is_leader(self):
        self.asked += 1
        if isinstance(self.leads, Exception):
            raise self.leads
        return self.leads


async def test_the_leader_runs(virtual_time):
    leader = Leader()
    scheduler = Scheduler(clock=virtual_time, elector=leader)
    told = support.Told(scheduler)
    scheduler.add(nothing, Every(seconds=1))
    async with scheduler:
        await asyncio.sleep(3.5)
    assert told.statuses() == ["succeeded"] * 3
    assert leader.asked == 3


async def test_who_does_not_lead_is_refused(virtual_time):
    scheduler = Scheduler(clock=virtual_time, elector=Leader(leads=False))
    told = support.Told(scheduler)
    job = scheduler.add(nothing, Every(seconds=1))
    async with scheduler:
        await asyncio.sleep(1.5)
        assert (await job.run_now()).status is Status.REFUSED
    assert told.reasons() == [("leader", "not_leader")] * 2


async def test_leadership_is_asked_for_each_run(virtual_time):
    leader = Leader()
    scheduler = Scheduler(clock=virtual_time, elector=leader)
    told = support.Told(scheduler)
    scheduler.add(nothing, Every(seconds=1))
    async with scheduler:
        await asyncio.sleep(1.5)
        leader.leads = False
        await asyncio.sleep(1)
        leader.leads = True
        await asyncio.sleep(1)
    assert told.statuses() == ["succeeded", "refused", "succeeded"]


@pytest.mark.parametrize("leads", [True, False])
async def test_who_does_not_lead_asks_no_store(virtual_time, leads):
    locker = Told()
    scheduler = Scheduler(clock=virtual_time, elector=Leader(leads=leads), locker=locker)
    scheduler.add(nothing, Every(seconds=60), name="a")
    async with scheduler:
        await asyncio.sleep(61)
    assert len(locker.claims) == (1 if leads else 0)


async def test_an_elector_that_raises_refuses(virtual_time, caplog):
    scheduler = Scheduler(clock=virtual_time, elector=Leader(OSError("no vote")))
    job = scheduler.add(nothing, Every(seconds=1), name="a")
    async with scheduler:
        await asyncio.sleep(1.5)
        assert (job.last.refusal.gate, job.last.refusal.reason) == ("leader", "error")
        assert isinstance(job.last.error, OSError)
    assert "gate leader raised for a@" in caplog.text


async def test_a_job_may_have_an_elector_of_its_own_or_run_on_every_replica(virtual_time):
    scheduler = Scheduler(clock=virtual_time, elector=Leader(leads=False))
    own = scheduler.add(nothing, Every(seconds=1), name="own", elector=Leader())
    everywhere = scheduler.add(nothing, Every(seconds=1), name="everywhere", elector=None)
    inherited = scheduler.add(nothing, Every(seconds=1), name="inherited")
    async with scheduler:
        await asyncio.sleep(1.5)
        statuses = [job.last.status for job in (own, everywhere, inherited)]
    assert statuses == [Status.SUCCEEDED, Status.SUCCEEDED, Status.REFUSED]


async def test_an_elector_keeps_intervals_to_each_replicas_own_start(virtual_time):
    scheduler = Scheduler(clock=virtual_time, elector=Leader())
    virtual_time.step(17)
    job = scheduler.add(nothing, Every(seconds=60), from_completion=True)
    async with scheduler:
        await asyncio.sleep(60.5)
        assert job.last.status is Status.SUCCEEDED


@pytest.mark.parametrize("thing", [object(), "me", Leader])
def test_what_is_no_elector_is_refused_where_it_is_given(thing):
    for give in (
        lambda: Scheduler(elector=thing),
        lambda: Scheduler(defaults=JobOptions(elector=thing)),
        lambda: Scheduler().add(nothing, Every(seconds=1), elector=thing),
    ):
        with pytest.raises(TypeError, match=r"elector must have an async is_leader\(\), got"):
            give()
