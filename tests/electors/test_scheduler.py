"""Schedulers with electors: opened, asked, told of, closed; and what a new leader makes up for."""

from __future__ import annotations

import asyncio

import pytest

from aiosched import (
    Every,
    LeadershipChanged,
    LeaseElector,
    LockerUnavailable,
    LockLost,
    MemoryLocker,
    Outcome,
    Planned,
    Run,
    Scheduler,
    SchedulerChanged,
    Status,
)
from aiosched.errors import UnfitStore
from tests.electors.support import leaders, own_tasks

pytestmark = pytest.mark.virtual_time


async def nothing():
    """Be a job."""


class Replica:
    """A scheduler with an elector over a shared locker, and what it tells."""

    def __init__(self, clock, votes, *, locker=None, **options):
        self.elector = LeaseElector(votes, **options)
        self.scheduler = Scheduler(clock=clock, elector=self.elector, locker=locker)
        self.outcomes = []
        self.changes = []
        self.scheduler.on(Outcome, self.outcomes.append)
        self.scheduler.on(LeadershipChanged, self.changes.append)

    def summary(self):
        return [(each.status.value, each.refusal and each.refusal.reason) for each in self.outcomes]

    async def __aenter__(self):
        await self.scheduler.start()
        return self

    async def __aexit__(self, *_):
        await self.scheduler.stop()

    def die(self):
        """End the leadership as a process that is gone would, and do not stand again."""
        lock = self.elector._candidacy._lock
        for task in self.elector._candidacy._tasks:
            task.cancel()
        self.elector._candidacy._lock = None
        self.elector.locker._release(lock, done=False)


@pytest.fixture
def votes():
    return MemoryLocker()


async def test_the_leader_runs_and_who_follows_refuses(virtual_time, votes):
    async with Replica(virtual_time, votes) as first, Replica(virtual_time, votes) as second:
        for each in (first, second):
            each.scheduler.add(nothing, Every(seconds=1), name="job")
        await asyncio.sleep(3.5)
        assert first.scheduler.elector is first.elector
    assert first.summary() == [("succeeded", None)] * 3
    assert second.summary() == [("refused", "not_leader")] * 3
    assert {each.refusal.gate for each in second.outcomes} == {"leader"}


async def test_a_run_on_start_is_let_in_where_the_replica_leads(virtual_time, votes):
    replica = Replica(virtual_time, votes)
    replica.scheduler.add(nothing, Every(hours=1), run_on_start=True)
    async with replica:
        await asyncio.sleep(1)
    assert replica.summary() == [("succeeded", None)]


async def test_a_scheduler_tells_when_its_replica_begins_and_ceases_to_lead(virtual_time, votes):
    first, second = Replica(virtual_time, votes), Replica(virtual_time, votes)
    for each in (first, second):
        each.scheduler.add(nothing, Every(hours=1), name="job")
    async with first, second:
        term = first.elector.term
        await first.elector.resign()
        await asyncio.sleep(1)
        later = second.elector.term
        assert [(each.is_leader, each.term, each.key) for each in first.changes] == [
            (True, term, "leader"),
            (False, term, "leader"),
        ]
        assert [(each.is_leader, each.term) for each in second.changes] == [(True, later)]
    assert [each.is_leader for each in second.changes] == [True, False]
    assert own_tasks() == []


async def test_the_leader_leads_until_its_runs_have_ended(virtual_time, votes):
    replica, leads = Replica(virtual_time, votes), []

    async def job():
        await asyncio.sleep(5)
        leads.append(await replica.elector.is_leader())

    replica.scheduler.add(job, Every(seconds=1), name="job")
    states = []
    replica.scheduler.on(SchedulerChanged, lambda event: states.append(event.state.value))
    replica.scheduler.on(LeadershipChanged, lambda event: states.append(event.is_leader))
    async with replica:
        await asyncio.sleep(1.5)
    assert leads == [True]
    assert states == ["running", True, "draining", False, "stopped"]


async def test_jobs_may_have_electors_of_their_own_or_none(virtual_time, votes):
    other = LeaseElector(votes, "other")
    async with Replica(virtual_time, votes) as leader, Replica(virtual_time, votes) as replica:
        leader.scheduler.add(nothing, Every(seconds=1), name="led")
        replica.scheduler.add(nothing, Every(seconds=1), name="led")
        replica.scheduler.add(nothing, Every(seconds=1), name="own", elector=other)
        replica.scheduler.add(nothing, Every(seconds=1), name="everywhere", elector=None)
        await asyncio.sleep(2.5)
        assert {each.key for each in replica.changes} == {"other"}
    statuses = {(each.job.name, each.status.value) for each in replica.outcomes}
    assert statuses == {("led", "refused"), ("own", "succeeded"), ("everywhere", "succeeded")}
    assert other.term is None


async def test_an_elector_is_shared_by_schedulers(virtual_time, votes):
    elector = LeaseElector(votes)
    one, two = (Scheduler(clock=virtual_time, elector=elector) for _ in range(2))
    told = []
    for each in (one, two):
        each.add(nothing, Every(seconds=1), name="job")
        each.on(LeadershipChanged, lambda event: told.append(event.is_leader))
    async with one:
        async with two:
            assert told == [True, True]
        assert await elector.is_leader()
    assert not await elector.is_leader()
    assert told == [True, True, False]


@pytest.mark.parametrize("leads", [True, False])
async def test_both_are_asked_the_elector_and_the_locker(virtual_time, votes, leads):
    claims = MemoryLocker()
    if not leads:
        await LeaseElector(votes).open()  # somebody else's
    async with Replica(virtual_time, votes, locker=claims) as replica:
        replica.scheduler.add(nothing, Every(seconds=1), name="job")
        await asyncio.sleep(2.5)
    claimed = await claims.last_claimed("job")
    assert (claimed is not None) == leads
    assert replica.summary()[0] == (("succeeded", None) if leads else ("refused", "not_leader"))


async def test_what_cannot_be_agreed_upon_is_allowed_with_an_elector(virtual_time, votes):
    scheduler = Scheduler(clock=virtual_time, elector=LeaseElector(votes))
    ran = []
    scheduler.every(seconds=2, from_completion=True, name="a")(lambda: ran.append("a"))
    scheduler.once(after="1s", name="b")(lambda: ran.append("b"))
    async with scheduler:
        await asyncio.sleep(5)
    assert sorted(ran) == ["a", "a", "b"]


async def test_health_says_that_an_elector_cannot_be_asked_and_the_start_goes_on(virtual_time):
    class Away(MemoryLocker):
        async def lock(self, key, /):
            raise LockerUnavailable("gone")

    async with Replica(virtual_time, Away()) as replica:
        replica.scheduler.add(nothing, Every(seconds=1), name="job")
        await asyncio.sleep(1.5)
        health = replica.scheduler.health()
    assert not health.ok
    assert health.problems == ("LeaseElector cannot stand for election: LockerUnavailable('gone')",)
    assert replica.summary() == [("refused", "not_leader")]


class Unfit(MemoryLocker):
    async def open(self):
        raise UnfitStore("not ours")


async def test_an_elector_that_can_never_be_opened_fails_the_start(virtual_time):
    replica = Replica(virtual_time, Unfit())
    replica.scheduler.add(nothing, Every(seconds=1), name="job")
    with pytest.raises(UnfitStore):
        await replica.scheduler.start()
    assert own_tasks() == []


async def test_one_that_a_job_brings_later_refuses_its_runs(virtual_time):
    async with Replica(virtual_time, Unfit()) as replica:
        replica.scheduler.add(nothing, Every(seconds=1), name="job")
        await asyncio.sleep(1.5)
    assert replica.summary() == [("refused", "not_leader")]
    assert isinstance(replica.outcomes[0].error, UnfitStore)


async def test_when_the_leadership_is_lost_runs_finish(virtual_time, votes):
    async with Replica(virtual_time, votes) as replica:
        replica.scheduler.add(lambda: asyncio.sleep(3), Every(seconds=10), name="sync")
        replica.scheduler.add(_three_seconds, Every(seconds=10), name="job")
        await asyncio.sleep(11)
        replica.elector._candidacy._lock.lose("a test says so")
        await asyncio.sleep(4)
    assert {each.status for each in replica.outcomes} == {Status.SUCCEEDED}


async def _three_seconds(run: Run):
    await asyncio.sleep(3)


async def test_or_they_are_cancelled_where_that_is_wanted(virtual_time, votes):
    async with Replica(virtual_time, votes, on_leadership_lost="cancel") as replica:
        replica.scheduler.add(_three_seconds, Every(seconds=10), name="job")
        replica.scheduler.add(_three_seconds, Every(seconds=10), name="other", elector=None)
        await asyncio.sleep(11)
        replica.elector._candidacy._lock.lose("a test says so")
        await asyncio.sleep(4)
        ended = {each.job.name: each for each in replica.outcomes}
        assert ended["job"].status is Status.FAILED
        assert isinstance(ended["job"].error, LockLost)
        assert ended["other"].status is Status.SUCCEEDED
        await asyncio.sleep(6)
        await replica.elector.resign()
        await asyncio.sleep(1)
        assert [each.status for each in replica.outcomes if each.job.name == "job"] == [
            Status.FAILED,
            Status.FAILED,
        ]


@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
async def test_a_new_leader_makes_up_for_what_came_due_while_nobody_led(
    virtual_time, votes, catch_up
):
    claims = MemoryLocker()
    first = Replica(virtual_time, votes, locker=claims)
    second = Replica(virtual_time, votes, locker=claims)
    ran = []

    async def job(run: Run):
        ran.append(run.due_at.second)

    for each in (first, second):
        each.scheduler.add(job, Every(seconds=2), name="job", catch_up=catch_up)
    async with first, second:
        await asyncio.sleep(2.1)
        second.elector._candidacy._campaign.cancel()  # it does not look, for a while
        first.die()
        await asyncio.sleep(6)
        assert leaders([first.elector, second.elector]) == []
        assert ran == [2]
        second.elector._candidacy._campaign = second.elector._candidacy._spawn(
            second.elector._candidacy._stand()
        )
        await asyncio.sleep(0.5)
        assert leaders([first.elector, second.elector]) == [second.elector]
        assert ran == {"none": [2], "latest": [2, 8], "all": [2, 4, 6, 8]}[catch_up]
        await asyncio.sleep(2)
    assert ran[-1] == 10
    causes = [each.run.cause for each in second.outcomes if each.status is Status.SUCCEEDED]
    assert [cause.value for cause in causes[:-1]] == ["catch_up"] * (len(ran) - 2)


async def test_a_new_leader_runs_again_what_a_dead_one_left_unfinished(virtual_time, votes):
    claims = MemoryLocker()
    first = Replica(virtual_time, votes, locker=claims)
    second = Replica(virtual_time, votes, locker=claims)
    attempts = []

    async def job(run: Run):
        attempts.append(run.delivery_attempt)
        await asyncio.sleep(0 if run.delivery_attempt > 1 else 3600)

    for each in (first, second):
        each.scheduler.add(job, Every(hours=1), name="job", delivery="at_least_once")
    async with first, second:
        await asyncio.sleep(3600.5)
        (held,) = claims._holdings.values()
        claims._release(held.lock, done=False)
        first.die()
        await asyncio.sleep(3)
        assert attempts == [1, 2]
        first.scheduler["job"].remove(cancel=True)


async def test_who_does_not_lead_makes_up_for_nothing_when_it_starts(virtual_time, votes):
    claims = MemoryLocker()
    async with Replica(virtual_time, votes, locker=claims) as first:
        first.scheduler.add(nothing, Every(seconds=2), name="job")
        await asyncio.sleep(2.1)
        second = Replica(virtual_time, votes, locker=claims)
        second.scheduler.add(nothing, Every(seconds=2), name="job", catch_up="all")
        async with second:
            await asyncio.sleep(1)
            assert second.outcomes == []


async def test_a_paused_scheduler_makes_up_for_nothing(virtual_time, votes):
    claims = MemoryLocker()
    async with Replica(virtual_time, votes, locker=claims) as first:
        first.scheduler.add(nothing, Every(seconds=2), name="job")
        await asyncio.sleep(2.1)
        second = Replica(virtual_time, votes, locker=claims)
        second.scheduler.add(nothing, Every(seconds=2), name="job", catch_up="all")
        async with second:
            second.scheduler.pause()
            await first.scheduler.stop()
            await asyncio.sleep(4)
            assert second.elector.term is not None
            assert second.outcomes == []


async def test_a_stopped_scheduler_stands_again_when_it_starts_again(virtual_time, votes):
    replica = Replica(virtual_time, votes)
    replica.scheduler.add(nothing, Every(seconds=1), name="job")
    for _ in range(2):
        async with replica:
            await asyncio.sleep(1.5)
    assert replica.summary() == [("succeeded", None)] * 2
    assert [each.is_leader for each in replica.changes] == [True, False] * 2
    assert own_tasks() == []


async def test_a_scheduler_that_fails_leads_no_longer(virtual_time, votes):
    def occur(*_):
        raise ZeroDivisionError("our own mistake")

    first, second = Replica(virtual_time, votes), Replica(virtual_time, votes)
    for each in (first, second):
        each.scheduler.add(nothing, Every(seconds=2), name="job")
    async with first, second:
        first.scheduler._engine.dispatcher._occur = occur
        first.scheduler.on(Planned, lambda _: None)  # so that the long way is taken
        await asyncio.sleep(4.5)
        assert first.scheduler.state == "failed"
        assert (first.elector.term, [each.is_leader for each in first.changes]) == (
            None,
            [True, False],
        )
        assert second.summary() == [("refused", "not_leader"), ("succeeded", None)]
    assert own_tasks() == []


class Fixed:
    """An elector of one's own, with the one method."""

    async def is_leader(self):
        return True


async def test_one_of_your_own_needs_one_method(virtual_time):
    scheduler = Scheduler(clock=virtual_time, elector=Fixed())
    job = scheduler.add(nothing, Every(seconds=1))
    async with scheduler:
        await asyncio.sleep(1.5)
        assert scheduler.health().ok
    assert job.last.status is Status.SUCCEEDED


async def test_terms_are_told_by_the_schedulers_clock(virtual_time, votes):
    async with Replica(virtual_time, votes) as replica:
        replica.scheduler.add(nothing, Every(seconds=1), name="job")
        await asyncio.sleep(1.5)
        (change,) = replica.changes
    assert change.term == int(change.at.timestamp()) * 10**6
