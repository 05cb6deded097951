"""Locked runs: what each answer of a store becomes, and that every lock comes back."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from aiosched import (
    AlreadyRan,
    Cron,
    Every,
    LockError,
    LockerUnavailable,
    LockHeld,
    LockLost,
    MemoryLocker,
    Once,
    Outcome,
    Run,
    Scheduler,
    Status,
    Superseded,
    TooEarly,
    TooLate,
)
from tests.engine import support
from tests.engine.stores import Minimal, Told, is_free
from tests.engine.support import settle

HOUR = 3600
MINUTELY = Cron("* * * * *")


async def nothing():
    """Be a job."""


# -- who is a locker ----------------------------------------------------------------------------


@pytest.mark.parametrize("thing", [object(), "redis://", MemoryLocker, asyncio.Lock()])
def test_what_is_no_locker_is_refused_where_it_is_given(thing):
    with pytest.raises(TypeError, match=r"locker must have an async lock\(key\), got"):
        Scheduler(locker=thing)
    with pytest.raises(TypeError, match="locker must have"):
        Scheduler(defaults={"locker": thing})
    scheduler = Scheduler()
    with pytest.raises(TypeError, match="locker must have"):
        scheduler.add(nothing, MINUTELY, locker=thing)
    with pytest.raises(TypeError, match="locker must have"):
        scheduler.use_locker(thing)
    assert len(scheduler) == 0
    assert scheduler.locker is None


def test_a_locker_that_only_excludes_is_told_of_once(caplog):
    locker = Minimal()
    scheduler = Scheduler(locker=locker)
    for name in "abc":
        scheduler.add(nothing, MINUTELY, name=name)
    (line,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "only excludes" in line.getMessage()


def test_a_locker_that_claims_is_nothing_to_be_warned_of(caplog):
    Scheduler(locker=MemoryLocker()).add(nothing, MINUTELY, name="a")
    assert caplog.records == []


# -- names and keys -----------------------------------------------------------------------------


def test_a_name_that_other_processes_do_not_share_is_refused_with_a_locker():
    scheduler = Scheduler(locker=MemoryLocker())

    async def local():
        pass

    def of_main():
        pass

    of_main.__module__ = "__main__"
    of_main.__qualname__ = "of_main"
    for func in (local, lambda: None, of_main):
        with pytest.raises(ValueError, match="name must be given with a locker"):
            scheduler.add(func, MINUTELY)
        scheduler.add(func, MINUTELY, name=f"named {func.__name__}")
        scheduler.add(func, MINUTELY, locker=None)


async def test_the_name_is_the_key_of_the_lock(virtual_time):
    locker = Told()
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    scheduler.add(nothing, MINUTELY)
    async with scheduler:
        await asyncio.sleep(61)
    assert [each.key for each in locker.claims] == [f"{__name__}:nothing"]


async def test_a_key_may_hold_fields_of_the_arguments(virtual_time):
    locker = Told()
    scheduler = Scheduler(clock=virtual_time, locker=locker)

    async def sync(tenant, region="eu", *, plan):
        pass

    job = scheduler.add(
        sync,
        MINUTELY,
        name="sync",
        args=("acme",),
        kwargs={"plan": {"kind": "big"}},
        lock_key="sync/{tenant}/{region}/{plan[kind]}",
    )
    assert job.lock_key == "sync/acme/eu/big"
    async with scheduler:
        await asyncio.sleep(61)
    assert [each.key for each in locker.claims] == ["sync/acme/eu/big"]


@pytest.mark.parametrize("template", ["{nobody}", "{0}", "{tenant.nothing}", "{", "{tenant!x}"])
def test_a_key_with_a_field_that_is_no_argument_is_refused(template):
    async def sync(tenant):
        pass

    scheduler = Scheduler(locker=MemoryLocker())
    with pytest.raises(ValueError, match="does not fit the arguments"):
        scheduler.add(sync, MINUTELY, name="sync", args=("acme",), lock_key=template)
    assert len(scheduler) == 0


async def test_jobs_of_one_key_exclude_each_other(virtual_time):
    scheduler = Scheduler(clock=virtual_time, locker=MemoryLocker())
    told = support.Told(scheduler)

    async def slow():
        await asyncio.sleep(10)

    scheduler.add(slow, Every(seconds=60), name="a", lock_key="shared")
    scheduler.add(slow, Every(seconds=60), name="b", lock_key="shared", start_at=at(63))
    async with scheduler:
        await asyncio.sleep(75)
    assert told.reasons() == [("lock", "held"), None]


async def test_a_job_with_a_locker_keeps_to_the_epoch_so_that_replicas_agree(virtual_time):
    virtual_time.step(-17)
    scheduler = Scheduler(clock=virtual_time, locker=MemoryLocker())
    job = scheduler.add(nothing, Every(minutes=5), name="aligned")
    local = scheduler.add(nothing, Every(minutes=5), name="local", locker=None)
    async with scheduler:
        assert job.next_run == at(0)
        assert local.next_run == at(283)


# -- where the lock comes from ------------------------------------------------------------------


async def test_a_job_may_have_a_locker_of_its_own_or_none(virtual_time):
    common, own = Told(), Told()
    scheduler = Scheduler(clock=virtual_time, locker=common)
    locks: dict[str, object] = {}

    async def look(run: Run):
        locks[run.job.name] = (run.lock, run.fence)

    scheduler.add(look, MINUTELY, name="common")
    scheduler.add(look, MINUTELY, name="own", locker=own)
    scheduler.add(look, MINUTELY, name="local", locker=None)
    async with scheduler:
        await asyncio.sleep(61)
    assert [each.key for each in common.claims] == ["common"]
    assert [each.key for each in own.claims] == ["own"]
    assert locks["local"] == (None, None)
    assert locks["own"][1] > 0


async def test_the_locker_of_a_job_can_be_changed_while_it_runs(virtual_time):
    first, second = Told(), Told()
    scheduler = Scheduler(clock=virtual_time, locker=first)
    told = support.Told(scheduler)

    async def slow():
        await asyncio.sleep(10)

    job = scheduler.add(slow, MINUTELY, name="slow")
    async with scheduler:
        for locker in (second, None, first):
            await asyncio.sleep(61)
            job.update(locker=locker)
    assert told.statuses() == ["succeeded"] * 3
    assert len(first.claims) == len(second.claims) == 1
    assert await is_free(first.memory, "slow")
    assert await is_free(second.memory, "slow")


async def test_a_locker_that_is_set_later_is_inherited_by_jobs_without_one(virtual_time):
    own, late = Told(), Told()
    scheduler = Scheduler(clock=virtual_time)
    scheduler.add(nothing, MINUTELY, name="heir")
    scheduler.add(nothing, MINUTELY, name="own", locker=own)
    scheduler.add(nothing, MINUTELY, name="local", locker=None)
    scheduler.use_locker(late)
    async with scheduler:
        await asyncio.sleep(61)
    assert [each.key for each in late.claims] == ["heir"]
    assert [each.key for each in own.claims] == ["own"]


def test_a_locker_that_a_job_cannot_have_is_set_for_none():
    scheduler = Scheduler()
    heir = scheduler.add(nothing, MINUTELY, name="heir")
    scheduler.add(nothing, Every(seconds=1), name="counts", from_completion=True)
    with pytest.raises(ValueError, match="from_completion=True is refused with a locker"):
        scheduler.use_locker(MemoryLocker())
    assert scheduler.locker is None
    assert heir.spec.locker is None


# -- what is asked ------------------------------------------------------------------------------


async def test_an_occurrence_is_claimed_with_what_the_options_say(virtual_time):
    locker = Told()
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    scheduler.add(nothing, MINUTELY, name="plain")
    scheduler.add(
        nothing,
        Cron("0 0 1 1 *"),
        name="rare",
        start_at=at(0),
        jitter=20,
        misfire_grace=100,
        delivery="at_least_once",
    )
    scheduler.add(nothing, MINUTELY, name="every", coalesce="all", exclusive=False)
    virtual_time.step(-60)
    async with scheduler:
        await asyncio.sleep(80.5)
    claims = {each.key: each for each in locker.claims if each.due_at == at(0)}
    plain, rare, every = claims["plain"], claims["rare"], claims["every"]
    week = timedelta(days=7)
    assert (plain.keep, plain.late, plain.exclusive, plain.exact) == (week, week, True, False)
    assert not plain.redeliver
    assert rare.keep == 2 * timedelta(days=365)
    assert rare.late == timedelta(seconds=120)  # the grace counts from the end of the jitter
    assert rare.redeliver
    assert (every.exclusive, every.exact) == (False, True)


async def test_manual_and_on_start_runs_take_the_lock_but_claim_no_occurrence(virtual_time):
    locker = Told()
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    job = scheduler.add(nothing, MINUTELY, name="a", run_on_start=True)
    async with scheduler:
        await settle()
        assert (await job.run_now()).status is Status.SUCCEEDED
        assert [(each.key, each.due_at) for each in locker.claims] == [("a", None)] * 2
        assert await locker.memory.last_claimed("a") is None
        await asyncio.sleep(60)
        assert job.last.status is Status.SUCCEEDED


async def test_manual_runs_of_a_job_that_only_claims_take_no_lock(virtual_time):
    locker = Told()
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    job = scheduler.add(nothing, MINUTELY, name="a", exclusive=False)
    async with scheduler:
        outcome = await job.run_now()
    assert outcome.status is Status.SUCCEEDED
    assert outcome.run.fence is None
    assert locker.claims == []


async def test_a_manual_run_is_refused_while_another_replica_runs(virtual_time):
    locker = MemoryLocker()
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    job = scheduler.add(nothing, MINUTELY, name="a")
    async with scheduler, await locker.lock("a"):
        outcome = await job.run_now()
    assert outcome.status is Status.REFUSED
    assert (outcome.refusal.gate, outcome.refusal.reason) == ("lock", "held")
    assert isinstance(outcome.error, LockHeld)


# -- what is answered ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (LockHeld("busy"), "held"),
        (AlreadyRan("before"), "already_ran"),
        (Superseded("newer"), "superseded"),
        (TooLate("old"), "too_late"),
        (LockLost("of another"), "held"),
        (LockError("something else"), "held"),
        (ZeroDivisionError("a bug"), "unavailable"),
    ],
)
async def test_each_refusal_of_a_store_is_an_outcome_with_its_reason(virtual_time, error, reason):
    locker = Told(lambda _: error)
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    job = scheduler.add(nothing, MINUTELY, name="a")
    async with scheduler:
        await asyncio.sleep(61)
        assert job.last.status is Status.REFUSED
        assert (job.last.refusal.gate, job.last.refusal.reason) == ("lock", reason)
        assert job.last.error is job.last.refusal.error is error
        assert job.last.started_at is None
        assert len(locker.claims) == 1


async def test_a_store_of_ones_own_that_raises_anything_is_logged(virtual_time, caplog):
    scheduler = Scheduler(clock=virtual_time, locker=Told(lambda _: ZeroDivisionError("a bug")))
    scheduler.add(nothing, MINUTELY, name="a")
    async with scheduler:
        await asyncio.sleep(61)
    assert "raised for a@2026-01-01T00:01:00.000000Z" in caplog.text
    assert "ZeroDivisionError: a bug" in caplog.text


async def test_a_run_has_its_lock_its_fence_and_its_attempt(virtual_time):
    scheduler = Scheduler(clock=virtual_time, locker=MemoryLocker())
    seen: list[tuple[int, int]] = []

    async def look(run: Run):
        run.lock.check()
        seen.append((run.fence, run.delivery_attempt))

    job = scheduler.add(look, MINUTELY, name="a")
    async with scheduler:
        await asyncio.sleep(61)
        await job.run_now()
        await asyncio.sleep(60)
    fences = [fence for fence, _ in seen]
    assert fences == sorted(set(fences))
    assert len(fences) == 3
    assert {attempt for _, attempt in seen} == {1}
    with pytest.raises(LockLost, match="unlocked"):
        job.last.run.lock.check()


async def test_a_claim_is_answered_before_the_slot_of_a_second_run_is_taken(virtual_time):
    scheduler = Scheduler(clock=virtual_time, locker=MemoryLocker(), max_running=1)
    told = support.Told(scheduler)

    async def slow():
        await asyncio.sleep(1)

    for name in "abc":
        scheduler.add(slow, MINUTELY, name=name)
    async with scheduler:
        await asyncio.sleep(65)
    assert told.statuses() == ["succeeded"] * 3


async def test_a_job_that_only_claims_may_overlap_itself(virtual_time):
    locker = Told()
    scheduler = Scheduler(clock=virtual_time, locker=locker)

    async def slow():
        await asyncio.sleep(150)

    job = scheduler.add(slow, MINUTELY, name="a", exclusive=False, max_instances=None)
    async with scheduler:
        await asyncio.sleep(130)
        assert len(job.running) == 2
        assert await is_free(locker.memory, "a")


async def test_a_job_that_is_exclusive_does_not_overlap_itself_in_the_fleet(virtual_time):
    locker = MemoryLocker()
    replicas = [Scheduler(clock=virtual_time, locker=locker) for _ in range(2)]
    told = support.Told(*replicas)
    at_work = most = 0

    async def slow():
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(90)
        at_work -= 1

    for scheduler in replicas:
        scheduler.add(slow, MINUTELY, name="a")
        await scheduler.start()
    await asyncio.sleep(10 * 60 + 30)
    for scheduler in replicas:
        await scheduler.stop()
    assert most == 1
    assert told.statuses().count("succeeded") == 5
    refused = {each for each in told.reasons() if each}
    assert refused <= {("lock", "held"), ("lock", "already_ran"), ("job_limit", "running")}


# -- the store cannot be asked ------------------------------------------------------------------


class Outage:
    """A store that cannot be asked between two moments of virtual time."""

    def __init__(self, clock, begins, ends):
        self._clock, self._begins, self._ends = clock, begins, ends

    def __call__(self, _claim):
        since = (self._clock.now() - START) / 1e6
        return LockerUnavailable("away") if self._begins <= since < self._ends else None


START = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1e6)


def at(seconds):
    """Return the moment so many seconds after virtual time began."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


async def test_an_outage_of_five_seconds_loses_no_hourly_occurrence(virtual_time):
    locker = Told(Outage(virtual_time, 2 * HOUR - 1, 2 * HOUR + 4))
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    told = support.Told(scheduler)
    scheduler.add(nothing, Every(hours=1), name="hourly")
    async with scheduler:
        await asyncio.sleep(3 * HOUR + 10)
    assert told.statuses() == ["succeeded"] * 3
    late = told.outcomes[1]
    assert late.run.due_at == at(2 * HOUR)
    assert 4 <= late.lateness < 6


async def test_a_store_that_is_away_is_asked_again_at_growing_intervals(virtual_time):
    locker = Told(Outage(virtual_time, 0, HOUR + 600))
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    asked: list[float] = []
    outage = locker.answer
    locker.answer = lambda claim: asked.append(virtual_time.monotonic() / 1e6) or outage(claim)
    scheduler.add(nothing, Every(hours=1), name="hourly")
    async with scheduler:
        await asyncio.sleep(HOUR + 500)
    gaps = [round(later - sooner, 6) for sooner, later in pairwise(asked)]
    assert gaps[0] == pytest.approx(0.1, abs=0.001)
    assert gaps == sorted(gaps)
    assert gaps[-1] == pytest.approx(5, abs=0.001)
    assert len(gaps) < 150


async def test_a_store_that_stays_away_is_given_up_at_the_next_occurrence(virtual_time):
    locker = Told(Outage(virtual_time, 0, 130))
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    told = support.Told(scheduler)
    scheduler.add(nothing, MINUTELY, name="a")
    async with scheduler:
        await asyncio.sleep(181)
    assert [each.run.due_at for each in told.outcomes] == [at(60), at(120), at(180)]
    assert told.reasons() == [("lock", "unavailable"), None, None]
    assert told.outcomes[0].at == pytest.approx(at(120), abs=timedelta(milliseconds=1))
    assert isinstance(told.outcomes[0].error, LockerUnavailable)


async def test_a_store_that_stays_away_is_given_up_when_the_grace_is_over(virtual_time):
    locker = Told(Outage(virtual_time, 0, HOUR))
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    told = support.Told(scheduler)
    scheduler.add(nothing, MINUTELY, name="a", misfire_grace=7)
    async with scheduler:
        await asyncio.sleep(68)
    assert told.reasons() == [("lock", "unavailable")]
    assert told.outcomes[0].at == pytest.approx(at(67), abs=timedelta(milliseconds=1))


async def test_the_grace_of_a_run_with_jitter_counts_from_when_it_was_to_start(virtual_time):
    locker = Told()
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    told = support.Told(scheduler)
    for number in range(20):
        scheduler.add(nothing, MINUTELY, name=str(number), jitter=50, misfire_grace=1)
    async with scheduler:
        await asyncio.sleep(111)
    assert told.statuses() == ["succeeded"] * 20


async def test_a_store_that_is_away_refuses_a_manual_run_at_once(virtual_time):
    scheduler = Scheduler(clock=virtual_time, locker=Told(lambda _: LockerUnavailable("away")))
    job = scheduler.add(nothing, MINUTELY, name="a")
    async with scheduler:
        outcome = await job.run_now()
    assert (outcome.refusal.gate, outcome.refusal.reason) == ("lock", "unavailable")
    assert outcome.elapsed == 0


async def test_the_last_occurrence_of_all_is_asked_for_as_long_as_its_claim_would_be_kept(
    virtual_time,
):
    locker = Told(Outage(virtual_time, 0, 24 * HOUR))
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    told = support.Told(scheduler)
    scheduler.add(nothing, Once(at(60)), name="once")
    async with scheduler:
        await asyncio.sleep(24 * HOUR + 10)
    assert told.statuses() == ["succeeded"]


async def test_a_run_that_waits_for_its_store_takes_no_slot(virtual_time):
    locker = Told(lambda claim: LockerUnavailable("away") if claim.due_at else None)
    scheduler = Scheduler(clock=virtual_time, locker=locker, max_running=1)
    waits = scheduler.add(nothing, MINUTELY, name="waits")
    other = scheduler.add(nothing, Every(seconds=1), name="other", locker=None)
    async with scheduler:
        await asyncio.sleep(90.5)
        assert waits.running == ()
        assert other.last.run.number == 90
        assert (await waits.run_now()).status is Status.SUCCEEDED
        assert scheduler.running == 1  # its task waits all the same


async def test_a_run_that_comes_back_waits_for_the_scheduler_like_any_other(virtual_time):
    locker = Told(Outage(virtual_time, 0, 62))
    scheduler = Scheduler(clock=virtual_time, locker=locker, max_running=1)
    told = support.Told(scheduler)

    async def slow():
        await asyncio.sleep(10)

    waits = scheduler.add(slow, MINUTELY, name="waits")
    scheduler.add(slow, Every(seconds=61), name="slow", locker=None)
    async with scheduler:
        await asyncio.sleep(65)
        assert scheduler.queued == 1
        await asyncio.sleep(20)
    assert told.statuses() == ["succeeded"] * 2
    assert waits.last.started_at == pytest.approx(at(71), abs=timedelta(milliseconds=1))


async def test_a_run_that_comes_back_to_a_job_with_no_room_is_refused(virtual_time):
    locker = Told(Outage(virtual_time, 0, 62))
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    told = support.Told(scheduler)

    async def slow():
        await asyncio.sleep(10)

    job = scheduler.add(slow, MINUTELY, name="a", exclusive=False)
    async with scheduler:
        await asyncio.sleep(60.5)
        job.trigger_now()
        await asyncio.sleep(20)
    assert told.reasons() == [("job_limit", "running"), None]
    assert told.outcomes[0].run.due_at == at(60)


async def test_a_run_that_comes_back_may_be_replaced_while_it_waits_for_the_scheduler(virtual_time):
    locker = Told(Outage(virtual_time, 0, 62))
    scheduler = Scheduler(clock=virtual_time, locker=locker, max_running=1)
    told = support.Told(scheduler)

    async def slow():
        await asyncio.sleep(10)

    job = scheduler.add(nothing, MINUTELY, name="a", overlap="replace")
    scheduler.add(slow, Every(seconds=61), name="slow", locker=None)
    async with scheduler:
        await asyncio.sleep(65)
        assert scheduler.queued == 1
        newer = job.trigger_now()
        await asyncio.sleep(10)
    assert told.reasons(job) == [("job_limit", "replaced"), None]
    assert told.of(job)[1].run is newer


@pytest.mark.parametrize("moment", [61, 62.5])
async def test_a_run_that_waits_for_its_store_or_for_its_turn_is_cancelled_by_a_stop(
    virtual_time, moment
):
    locker = Told(Outage(virtual_time, 0, 62))
    scheduler = Scheduler(clock=virtual_time, locker=locker, max_running=1)
    told = support.Told(scheduler)

    async def slow():
        await asyncio.sleep(3)

    job = scheduler.add(nothing, MINUTELY, name="a")
    scheduler.add(slow, Every(seconds=60.5), name="slow", locker=None)
    await scheduler.start()
    await asyncio.sleep(moment)
    report = await scheduler.stop()
    assert virtual_time.now() == pytest.approx(START + 63.5e6, abs=10)
    assert told.statuses(job) == ["cancelled"]
    assert report.cancelled == (job.last.run.id,)
    assert report.finished == 1


async def test_a_run_that_its_store_sends_away_during_a_drain_is_cancelled_at_once(virtual_time):
    locker = Told(lambda _: LockerUnavailable("away"))
    locker.latency = 1
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    job = scheduler.add(nothing, MINUTELY, name="a")
    await scheduler.start()
    await asyncio.sleep(60.5)
    report = await scheduler.stop()
    assert virtual_time.now() == pytest.approx(START + 61e6, abs=10)
    assert report.cancelled == (job.last.run.id,)


@pytest.mark.parametrize("cancel", [True, False])
async def test_a_run_that_waits_for_its_store_goes_with_its_job(virtual_time, cancel):
    scheduler = Scheduler(clock=virtual_time, locker=Told(lambda _: LockerUnavailable("away")))
    job = scheduler.add(nothing, MINUTELY, name="a")
    async with scheduler:
        await asyncio.sleep(61)
        job.remove(cancel=cancel)
        await settle()
        assert job.last.status is Status.CANCELLED
        assert scheduler.running == 0


# -- the store's clock --------------------------------------------------------------------------


async def test_a_host_whose_clock_is_fast_waits_for_the_store_without_a_slot(virtual_time):
    fast = virtual_time.skewed(5)
    locker = MemoryLocker()
    scheduler = Scheduler(clock=fast, locker=locker, max_running=1)
    told = support.Told(scheduler)
    job = scheduler.add(nothing, MINUTELY, name="a")
    async with scheduler:
        await asyncio.sleep(57)
        assert job.running == ()
        assert told.outcomes == []
        await asyncio.sleep(4)
        assert job.last.status is Status.SUCCEEDED
        assert job.last.run.due_at == at(60)
        assert job.last.lateness == pytest.approx(5, abs=0.01)


async def test_the_offset_of_a_store_is_applied_to_the_next_wake_ups(virtual_time):
    fast = virtual_time.skewed(5)
    locker = Told()
    scheduler = Scheduler(clock=fast, locker=locker)
    told = support.Told(scheduler)
    for name in "abc":  # the offset is measured, not added up
        scheduler.add(nothing, MINUTELY, name=name)
    async with scheduler:
        await asyncio.sleep(121)
    assert told.statuses() == ["succeeded"] * 6
    assert [each.lateness for each in told.outcomes] == pytest.approx([5] * 3 + [0] * 3, abs=0.01)
    assert len(locker.claims) == 3 * 2 + 3


async def test_an_interval_shorter_than_the_offset_misses_nothing(virtual_time):
    fast = virtual_time.skewed(5)
    scheduler = Scheduler(clock=fast, locker=MemoryLocker())
    told = support.Told(scheduler)
    scheduler.add(nothing, Every(seconds=1), name="a")
    async with scheduler:
        await asyncio.sleep(20.5)
        told.outcomes.clear()
        await asyncio.sleep(60)
    assert told.statuses() == ["succeeded"] * 60


async def test_a_step_of_the_hosts_clock_forgets_what_was_measured_for_all_of_many_jobs(
    virtual_time,
):
    fast = virtual_time.skewed(600)
    scheduler = Scheduler(clock=fast, locker=Told())
    told = support.Told(scheduler)
    for number in range(1_200):
        scheduler.add(nothing, MINUTELY, name=str(number), start_at=at(660))
    async with scheduler:
        await asyncio.sleep(661)
        assert told.statuses() == ["succeeded"] * 1_200
        fast.skew = 0
        await asyncio.sleep(60)
    assert told.statuses() == ["succeeded"] * 2_400
    assert all(each.lateness < 0.01 for each in told.outcomes[1_200:])


async def test_a_step_of_the_hosts_clock_forgets_what_was_measured(virtual_time):
    fast = virtual_time.skewed(5)
    scheduler = Scheduler(clock=fast, locker=MemoryLocker())
    told = support.Told(scheduler)
    scheduler.add(nothing, MINUTELY, name="a")
    async with scheduler:
        await asyncio.sleep(61)
        fast.skew = 0
        await asyncio.sleep(60)
    assert told.statuses() == ["succeeded"] * 2
    assert told.outcomes[1].lateness < 0.01
    assert told.outcomes[1].at == pytest.approx(at(120), abs=timedelta(milliseconds=1))


async def test_an_offset_that_shrinks_slowly_is_not_believed_for_ever(virtual_time):
    fast = virtual_time.skewed(5)
    scheduler = Scheduler(clock=fast, locker=MemoryLocker())
    told = support.Told(scheduler)
    scheduler.add(nothing, MINUTELY, name="a")
    async with scheduler:
        for number in range(20):
            await asyncio.sleep(60)
            fast.skew = max(0.0, 5 - (number + 1) * 0.05)  # less at once is no step
            assert number == 0 or behind(told.outcomes[-1]) > 3
        while fast.skew > 0:
            await asyncio.sleep(60)
            fast.skew = max(0.0, fast.skew - 0.05)
        await asyncio.sleep(1200)
    assert set(told.statuses()) == {"succeeded"}
    assert behind(told.outcomes[-1]) < 0.01


def behind(outcome):
    """Return how long after its occurrence it was told, by the clock of its host."""
    return (outcome.at - outcome.run.due_at).total_seconds()


async def test_a_host_whose_clock_is_slow_is_told_what_ran_before(virtual_time):
    slow = virtual_time.skewed(-5)
    locker = MemoryLocker()
    replicas = [Scheduler(clock=clock, locker=locker) for clock in (virtual_time, slow)]
    told = support.Told(*replicas)
    for scheduler in replicas:
        scheduler.add(nothing, MINUTELY, name="a", start_at=at(60))
        await scheduler.start()
    await asyncio.sleep(66)
    for scheduler in replicas:
        await scheduler.stop()
    assert told.reasons() == [None, ("lock", "already_ran")]


async def test_the_store_refuses_what_its_own_clock_calls_late(virtual_time):
    slow = virtual_time.skewed(-20)
    scheduler = Scheduler(clock=slow, locker=MemoryLocker())
    told = support.Told(scheduler)
    scheduler.add(nothing, MINUTELY, name="a", misfire_grace=10, start_at=at(60))
    async with scheduler:
        await asyncio.sleep(81)
    assert told.reasons() == [("lock", "too_late")]


async def test_a_store_that_wants_us_later_again_and_again_is_obeyed(virtual_time):
    answers = iter([TooEarly(wait=1), TooEarly(wait=2), None])
    scheduler = Scheduler(clock=virtual_time, locker=Told(lambda _: next(answers)))
    job = scheduler.add(nothing, MINUTELY, name="a")
    async with scheduler:
        await asyncio.sleep(70)
        assert job.last.status is Status.SUCCEEDED
        assert job.last.lateness == pytest.approx(3, abs=0.01)


# -- losing it ----------------------------------------------------------------------------------


async def lose(job, why="taken over"):
    """Take the lock of the job's only run away."""
    (run,) = job.running
    run.lock.lose(why)
    await settle()
    return run


async def test_a_run_that_loses_its_lock_is_cancelled_and_has_failed(virtual_time):
    locker = MemoryLocker()
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    cancelled: list[str] = []

    async def slow():
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError as error:
            cancelled.extend(error.args)
            raise

    job = scheduler.add(slow, MINUTELY, name="a")
    async with scheduler:
        await asyncio.sleep(61)
        run = await lose(job)
        assert cancelled == ["the lock was lost"]
        assert job.last.run is run
        assert job.last.status is Status.FAILED
        assert isinstance(job.last.error, LockLost)
        assert "was lost while it ran" in str(job.last.error)
        assert job.last.refusal is None
        assert job.running == ()


@pytest.mark.parametrize("ending", ["returns", "raises"])
async def test_a_run_that_makes_something_else_of_the_loss_has_lost_its_lock_all_the_same(
    virtual_time, ending
):
    scheduler = Scheduler(clock=virtual_time, locker=MemoryLocker())

    async def stubborn():
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            if ending == "raises":
                raise ValueError("what now?") from None

    job = scheduler.add(stubborn, MINUTELY, name="a")
    async with scheduler:
        await asyncio.sleep(61)
        await lose(job)
        assert job.last.status is Status.FAILED
        assert isinstance(job.last.error, LockLost)


async def test_a_loss_is_worth_no_other_attempt(virtual_time):
    from aiosched import Retry

    scheduler = Scheduler(clock=virtual_time, locker=MemoryLocker())

    async def slow():
        await asyncio.sleep(30)

    job = scheduler.add(slow, MINUTELY, name="a", retry=Retry(attempts=5), timeout=40)
    async with scheduler:
        await asyncio.sleep(61)
        run = await lose(job)
        assert run.attempt == 1
        assert isinstance(job.last.error, LockLost)


async def test_an_occurrence_whose_lock_was_lost_is_not_completed(virtual_time):
    locker = MemoryLocker()
    scheduler = Scheduler(clock=virtual_time, locker=locker)

    async def slow():
        await asyncio.sleep(30)

    job = scheduler.add(slow, MINUTELY, name="a")
    async with scheduler:
        await asyncio.sleep(61)
        await lose(job)
        (record,) = await locker.records()
        assert record.uncompleted == at(60)


async def test_a_run_may_ask_to_be_told_of_the_loss_only(virtual_time):
    scheduler = Scheduler(clock=virtual_time, locker=MemoryLocker())
    noticed: list[float] = []

    async def careful(run: Run):
        await run.lock.lost.wait()
        noticed.append(virtual_time.now())
        await asyncio.sleep(5)
        return "in good order"

    job = scheduler.add(careful, MINUTELY, name="a", on_lock_lost="notify")
    async with scheduler:
        await asyncio.sleep(61)
        await lose(job)
        assert len(noticed) == 1
        await asyncio.sleep(6)
        assert (job.last.status, job.last.value) == (Status.SUCCEEDED, "in good order")


async def test_a_lock_that_is_lost_before_the_start_cancels_the_run(virtual_time):
    class Hasty(Told):
        async def claim(self, claim, /):
            lock = await super().claim(claim)
            lock.lose("at once")
            return lock

    scheduler = Scheduler(clock=virtual_time, locker=Hasty())
    ends: list[str] = []

    async def slow():
        await asyncio.sleep(30)
        ends.append("never")

    job = scheduler.add(slow, MINUTELY, name="a")
    async with scheduler:
        await asyncio.sleep(100)
        assert ends == []
        assert isinstance(job.last.error, LockLost)


async def test_a_loss_after_the_end_changes_nothing(virtual_time):
    locker = Told()
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    locks: list[object] = []

    async def look(run: Run):
        locks.append(run.lock)

    job = scheduler.add(look, MINUTELY, name="a")
    async with scheduler:
        await asyncio.sleep(61)
        locks[0].lose("too late")
        await settle()
        assert job.last.status is Status.SUCCEEDED


async def test_a_foreign_lock_that_tells_of_its_loss_by_an_event_is_heard(virtual_time):
    class Expiring(Minimal):
        async def lock(self, key):
            lock = await super().lock(key)
            lock.lost = asyncio.Event()
            return lock

    scheduler = Scheduler(clock=virtual_time, locker=Expiring())
    before = asyncio.all_tasks()

    async def slow():
        await asyncio.sleep(30)

    job = scheduler.add(slow, MINUTELY, name="a")
    async with scheduler:
        await asyncio.sleep(61)
        job.running[0].lock.lost.set()
        await settle()
        assert isinstance(job.last.error, LockLost)
        await asyncio.sleep(100)
        assert job.last.status is Status.SUCCEEDED
    await settle()
    assert asyncio.all_tasks() == before


async def test_a_foreign_lock_may_mean_by_lost_what_it_likes(virtual_time):
    class Flagged(Minimal):
        async def lock(self, key):
            lock = await super().lock(key)
            lock.lost = False
            return lock

    scheduler = Scheduler(clock=virtual_time, locker=Flagged())
    job = scheduler.add(nothing, MINUTELY, name="a")
    async with scheduler:
        await asyncio.sleep(61)
        assert job.last.status is Status.SUCCEEDED


# -- giving it back -----------------------------------------------------------------------------


async def fails():
    raise ValueError("no")


async def too_slow():
    await asyncio.sleep(30)


@pytest.mark.parametrize(
    ("func", "status", "completed"),
    [
        (nothing, Status.SUCCEEDED, True),
        (fails, Status.FAILED, True),
        (too_slow, Status.TIMED_OUT, True),
    ],
)
async def test_however_a_run_ends_its_lock_is_given_back(virtual_time, func, status, completed):
    locker = MemoryLocker()
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    job = scheduler.add(func, MINUTELY, name="a", timeout=10)
    async with scheduler:
        await asyncio.sleep(75)
        assert job.last.status is status
        (record,) = await locker.records()
        assert not record.held
        assert (record.uncompleted is None) is completed


async def test_a_cancelled_run_gives_its_lock_back_and_does_not_complete_its_occurrence(
    virtual_time,
):
    locker = MemoryLocker()
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    job = scheduler.add(too_slow, MINUTELY, name="a")
    async with scheduler:
        await asyncio.sleep(65)
        job.running[0]._task.cancel()
        await settle()
        assert job.last.status is Status.CANCELLED
        (record,) = await locker.records()
        assert not record.held
        assert record.uncompleted == at(60)


async def test_a_lock_granted_to_a_job_that_has_had_all_its_runs_is_given_back(virtual_time):
    locker = Told()
    locker.latency = 1
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    told = support.Told(scheduler)
    job = scheduler.add(
        nothing, MINUTELY, name="a", exclusive=False, max_instances=None, max_runs=1
    )
    async with scheduler:
        await asyncio.sleep(60.5)
        await job.run_now()
        await asyncio.sleep(5)
    assert told.reasons() == [None, ("job_limit", "max_runs")]
    assert await is_free(locker.memory, "a")


async def test_a_minimal_locker_of_ones_own_excludes(virtual_time):
    locker = Minimal()
    replicas = [Scheduler(clock=virtual_time, locker=locker) for _ in range(2)]
    told = support.Told(*replicas)

    async def slow():
        await asyncio.sleep(10)

    for scheduler in replicas:
        scheduler.add(slow, MINUTELY, name="a")
        await scheduler.start()
    await asyncio.sleep(75)
    for scheduler in replicas:
        await scheduler.stop()
    assert sorted(told.statuses()) == ["refused", "succeeded"]
    assert locker.log == ["lock a", "unlock a"]
    succeeded = told.outcomes[-1].run
    assert (succeeded.fence, succeeded.delivery_attempt) == (None, 1)


async def test_a_minimal_lock_is_given_back_although_the_run_is_cancelled_meanwhile(virtual_time):
    locker = Minimal()
    locker.delay = 2
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    job = scheduler.add(nothing, MINUTELY, name="a")
    async with scheduler:
        await asyncio.sleep(61)
        (run,) = job.running
        for _ in range(3):
            run._task.cancel()
            await asyncio.sleep(0.1)
        assert locker.log == ["lock a"]
        await asyncio.sleep(2)
        assert locker.log == ["lock a", "unlock a"]
        assert job.last.status is Status.SUCCEEDED


async def test_a_minimal_lock_whose_unlock_raises_does_not_change_the_outcome(virtual_time, caplog):
    locker = Minimal()
    locker.error = OSError("gone")
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    job = scheduler.add(nothing, MINUTELY, name="a")
    async with scheduler:
        await asyncio.sleep(61)
        assert job.last.status is Status.SUCCEEDED
    assert "unlock of a@2026-01-01T00:01:00.000000Z raised" in caplog.text


async def test_a_minimal_lock_whose_unlock_hangs_is_given_up(virtual_time, caplog):
    locker = Minimal()
    locker.delay = HOUR
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    job = scheduler.add(nothing, Every(minutes=5), name="a")
    async with scheduler:
        await asyncio.sleep(340)
        assert job.last.status is Status.SUCCEEDED
        assert job.running == ()
    assert "did not end within 30.0 s" in caplog.text


async def test_a_claiming_lock_whose_unlock_raises_does_not_change_the_outcome(
    virtual_time, caplog
):
    class Bad(Told):
        async def claim(self, claim, /):
            lock = await super().claim(claim)
            return BadLock(lock)

    class BadLock:
        due_at, fence, attempt, lost = at(60), 7, 1, None

        def __init__(self, lock):
            self._lock = lock

        async def unlock(self, *, done=True):
            await self._lock.unlock(done=done)
            raise OSError("gone")

    scheduler = Scheduler(clock=virtual_time, locker=Bad())
    job = scheduler.add(nothing, MINUTELY, name="a")
    async with scheduler:
        await asyncio.sleep(61)
        assert (job.last.status, job.last.run.fence) == (Status.SUCCEEDED, 7)
    assert "leaving a gate of a@2026-01-01T00:01:00.000000Z raised" in caplog.text


async def test_the_lock_of_a_run_in_a_thread_is_kept_until_the_thread_ends(virtual_time):
    locker = MemoryLocker()
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    told = support.Told(scheduler)
    over = threading.Event()

    def deaf():
        over.wait(10)

    job = scheduler.add(deaf, Every(hours=1), name="a", timeout=0.01)
    async with scheduler:
        job.trigger_now()
        while not told.outcomes:
            await asyncio.sleep(0.001)
        assert told.statuses() == ["timed_out"]
        assert not await is_free(locker, "a")
        over.set()
        while job.running:
            await asyncio.sleep(0.001)
        assert await is_free(locker, "a")
    assert told.statuses() == ["timed_out"]


async def test_a_run_in_a_thread_that_loses_its_lock_has_failed_and_keeps_its_slot(virtual_time):
    scheduler = Scheduler(clock=virtual_time, locker=MemoryLocker())
    told = support.Told(scheduler)
    began, over = threading.Event(), threading.Event()

    def deaf():
        began.set()
        over.wait(10)

    job = scheduler.add(deaf, Every(hours=1), name="a")
    async with scheduler:
        run = job.trigger_now()
        while not began.is_set():
            await asyncio.sleep(0.001)
        run.lock.lose("taken over")
        await settle()
        assert isinstance(told.outcomes[0].error, LockLost)
        assert run.stopping.is_set()
        assert job.running == (run,)
        over.set()
        while job.running:
            await asyncio.sleep(0.001)
    assert told.statuses() == ["failed"]


async def test_the_lock_of_a_thread_that_a_drain_gave_up_is_given_back(virtual_time):
    locker = MemoryLocker()
    scheduler = Scheduler(clock=virtual_time, locker=locker, shutdown_timeout=0.01)
    began, over = threading.Event(), threading.Event()

    def deaf():
        began.set()
        over.wait(10)

    job = scheduler.add(deaf, Every(hours=1), name="a")
    await scheduler.start()
    run = job.trigger_now()
    while not began.is_set():
        await asyncio.sleep(0.001)
    report = await scheduler.stop()
    over.set()
    assert report.abandoned == (run.id,)
    assert await is_free(locker, "a")


async def test_outcomes_are_told_when_the_lock_is_back(virtual_time):
    locker = MemoryLocker()
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    held: list[bool] = []

    @scheduler.on(Outcome)
    def look(_):
        held.append(bool(locker._holdings))

    scheduler.add(nothing, MINUTELY, name="a")
    async with scheduler:
        await asyncio.sleep(61)
    assert held == [False]
