"""At least once: an occurrence whose holder died is run again, before any later one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from aiosched import (
    Claim,
    Cron,
    LockerUnavailable,
    MemoryLocker,
    Refusal,
    Retry,
    Run,
    Scheduler,
    Status,
    TooEarly,
    veto,
)
from tests.engine import support
from tests.engine.stores import Holder, Told, die_holding, is_free
from tests.engine.support import settle

HOURLY = Cron("0 * * * *")
HOUR = 3600


def at(seconds):
    """Return the moment so many seconds after virtual time began."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


class Ledger:
    """A job that notes each of its runs: when it was due, which attempt it was and why it ran."""

    def __init__(self):
        self.lines: list[tuple[datetime, int, str]] = []
        self.seconds = 0.0

    async def __call__(self, run: Run):
        self.lines.append((run.due_at, run.delivery_attempt, str(run.cause)))
        await asyncio.sleep(self.seconds)


@pytest.fixture
def locker(virtual_time):
    locker = MemoryLocker()
    locker.use_clock(virtual_time)
    return locker


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture
def replica(virtual_time, locker):
    """Make a scheduler of the fleet with the one job."""

    def make(ledger, clock=virtual_time, **options):
        scheduler = Scheduler(clock=clock, locker=locker)
        options = {"delivery": "at_least_once", **options}
        scheduler.add(ledger, HOURLY, name="hourly", **options)
        return scheduler

    return make


@pytest.fixture
def holder():
    holder = Holder()
    yield holder
    holder.die()


def redeliver(seconds):
    return Claim("hourly", at(seconds), redeliver=True)


async def test_an_occurrence_whose_holder_died_is_run_before_the_next_one(
    virtual_time, locker, ledger, replica
):
    scheduler = replica(ledger, start_at=at(2 * HOUR))
    told = support.Told(scheduler)
    await scheduler.start()
    await die_holding_later(virtual_time, locker)
    await asyncio.sleep(2 * HOUR)
    await scheduler.stop()
    assert ledger.lines == [
        (at(HOUR), 2, "redelivery"),
        (at(2 * HOUR), 1, "trigger"),
        (at(3 * HOUR), 1, "trigger"),
    ]
    assert told.statuses() == ["succeeded"] * 3
    assert [each.run.due_at for each in told.outcomes] == [at(HOUR), at(2 * HOUR), at(3 * HOUR)]


async def test_a_replica_that_waits_takes_over_when_the_holder_dies_however_rare_the_job(
    virtual_time, locker, ledger, replica, holder
):
    slow = virtual_time.skewed(-1)  # so that another replica is sooner
    scheduler = replica(ledger, clock=slow, start_at=at(HOUR))
    await scheduler.start()
    await asyncio.sleep(HOUR + 0.5)
    await holder.claim(locker, redeliver(HOUR))
    await asyncio.sleep(30)
    assert ledger.lines == []
    (job,) = scheduler
    assert job.running == ()
    died = virtual_time.now()
    holder.die()
    while not ledger.lines:
        await asyncio.sleep(0.01)
    assert virtual_time.now() - died <= 1_020_000
    assert ledger.lines == [(at(HOUR), 2, "redelivery")]
    await scheduler.stop()


async def test_a_replica_that_waits_is_refused_when_the_holder_completes(
    virtual_time, locker, ledger, replica
):
    slow = Ledger()
    slow.seconds = 30
    first, second = replica(slow), replica(ledger)
    told = support.Told(second)
    async with first, second:
        await asyncio.sleep(HOUR + 20)
        assert told.outcomes == []
        await asyncio.sleep(12)
    assert told.reasons() == [("lock", "already_ran")]
    assert slow.lines == [(at(HOUR), 1, "trigger")]
    assert ledger.lines == []


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "timed_out"])
async def test_what_came_to_its_end_is_not_delivered_again(virtual_time, locker, replica, outcome):
    runs: list[Run] = []

    async def job(run: Run):
        runs.append(run)
        if outcome == "failed":
            raise ValueError
        if outcome == "timed_out":
            await asyncio.sleep(100)

    scheduler = Scheduler(clock=virtual_time, locker=locker)
    scheduler.add(job, HOURLY, name="hourly", delivery="at_least_once", timeout=10)
    async with scheduler:
        await asyncio.sleep(HOUR + 20)
        assert scheduler["hourly"].last.status == outcome
    async with scheduler:
        await asyncio.sleep(HOUR)
    assert [run.due_at for run in runs] == [at(HOUR), at(2 * HOUR)]


async def test_a_run_that_a_shutdown_cancelled_is_delivered_again_after_a_restart(
    virtual_time, locker, ledger, replica
):
    ledger.seconds = 100
    scheduler = replica(ledger)
    told = support.Told(scheduler)
    await scheduler.start()
    await asyncio.sleep(HOUR + 10)
    await scheduler.stop(drain=False)
    ledger.seconds = 0
    await asyncio.sleep(60)
    async with scheduler:
        await asyncio.sleep(1)
    assert told.statuses() == ["cancelled", "succeeded"]
    assert ledger.lines == [(at(HOUR), 1, "trigger"), (at(HOUR), 2, "redelivery")]


async def test_a_run_that_a_shutdown_cancelled_is_delivered_to_another_replica(
    virtual_time, locker, ledger, replica
):
    slow = Ledger()
    slow.seconds = 100
    first, second = replica(slow), replica(ledger)
    async with second:
        await first.start()
        await asyncio.sleep(HOUR - 1)
        second.pause()
        await asyncio.sleep(5)  # the first one has the occurrence for certain
        second.resume()
        await asyncio.sleep(5)
        await first.stop(drain=False)
        await asyncio.sleep(HOUR)
    assert ledger.lines == [(at(HOUR), 2, "redelivery"), (at(2 * HOUR), 1, "trigger")]


async def test_a_run_that_lost_its_lock_is_delivered_again(virtual_time, locker, ledger, replica):
    ledger.seconds = 30
    scheduler = replica(ledger)
    job = scheduler["hourly"]
    async with scheduler:
        await asyncio.sleep(HOUR + 10)
        job.running[0].lock.lose("taken over")
        await settle()
        ledger.seconds = 0
        await asyncio.sleep(HOUR)
    assert [line[:2] for line in ledger.lines] == [
        (at(HOUR), 1),
        (at(HOUR), 2),
        (at(2 * HOUR), 1),
    ]


async def test_a_lone_replica_that_lost_its_lock_runs_again_however_rare_the_job(
    virtual_time, locker, ledger, replica
):
    ledger.seconds = 30
    scheduler = replica(ledger, misfire_grace=120)
    job = scheduler["hourly"]
    async with scheduler:
        await asyncio.sleep(HOUR + 10)
        for _ in range(2):
            job.running[0].lock.lose("it could not be renewed")
            await asyncio.sleep(5)
        await asyncio.sleep(60)
        assert ledger.lines == [
            (at(HOUR), 1, "trigger"),
            (at(HOUR), 2, "redelivery"),
            (at(HOUR), 3, "redelivery"),
        ]
        assert not job.running
        assert job.last.status == "succeeded"


async def test_a_run_that_lost_its_lock_to_another_replica_waits_for_its_end(
    virtual_time, locker, ledger, replica, holder
):
    ledger.seconds = 30
    scheduler = replica(ledger)
    job = scheduler["hourly"]
    async with scheduler:
        await asyncio.sleep(HOUR + 10)
        lock = job.running[0].lock
        await locker.give_back(lock, done=False)  # its lease was over
        other = await holder.claim(locker, redeliver(HOUR))
        assert (other.due_at, other.attempt) == (at(HOUR), 2)
        lock.lose("taken over")
        await asyncio.sleep(10)
        assert len(ledger.lines) == 1
        await holder_completes(locker, other)
        await asyncio.sleep(10)
        assert len(ledger.lines) == 1
        assert job.last.refusal.reason == "already_ran"


async def holder_completes(locker, lock):
    assert await locker.give_back(lock, done=True)


@pytest.mark.parametrize("end", ["pause", "remove"])
async def test_a_run_that_lost_its_lock_is_not_run_again_here_when_its_job_has_stopped(
    virtual_time, locker, ledger, replica, end
):
    ledger.seconds = 30
    scheduler = replica(ledger)
    job = scheduler["hourly"]
    async with scheduler:
        await asyncio.sleep(HOUR + 10)
        lock = job.running[0].lock
        getattr(job, end)()
        lock.lose("it could not be renewed")
        await asyncio.sleep(60)
        assert len(ledger.lines) == 1


async def test_redelivery_ends_with_the_misfire_grace(virtual_time, locker, ledger, replica):
    await die_holding_later(virtual_time, locker)
    scheduler = replica(ledger, misfire_grace=60)
    told = support.Told(scheduler)
    virtual_time.step(120)
    async with scheduler:
        await asyncio.sleep(HOUR)
    assert ledger.lines == [(at(2 * HOUR), 1, "trigger")]
    assert told.reasons()[0] == ("lock", "too_late")


async def test_redelivery_within_the_misfire_grace_starts_with_the_scheduler(
    virtual_time, locker, ledger, replica
):
    await die_holding_later(virtual_time, locker)
    scheduler = replica(ledger, misfire_grace=180)
    virtual_time.step(120)
    async with scheduler:
        await settle()
    assert ledger.lines == [(at(HOUR), 2, "redelivery")]


async def die_holding_later(clock, locker, seconds=HOUR):
    """Let the occurrence come, and its holder die."""
    await settle()  # who starts has asked for the last occurrence by then
    clock.step(seconds)
    await die_holding(locker, redeliver(seconds))


async def test_each_further_death_counts_as_one_attempt_more(virtual_time, locker, ledger, replica):
    await die_holding_later(virtual_time, locker)
    for attempt in (2, 3):
        lock = await die_holding(locker, redeliver(HOUR))
        assert lock.attempt == attempt
    scheduler = replica(ledger)
    async with scheduler:
        await settle()
        job = scheduler["hourly"]
        assert job.last.run.delivery_attempt == 4
        assert job.last.run.attempt == 1
    assert await is_free(locker, "hourly")


async def test_a_job_of_at_most_once_is_not_delivered_again(virtual_time, locker, ledger, replica):
    await die_holding_later(virtual_time, locker)
    async with replica(ledger, delivery="at_most_once"):
        await asyncio.sleep(HOUR)
    assert ledger.lines == [(at(2 * HOUR), 1, "trigger")]


async def test_the_newer_occurrence_waits_without_refusal_until_the_older_has_run(
    virtual_time, locker, ledger, replica
):
    scheduler = replica(ledger, start_at=at(2 * HOUR))
    told = support.Told(scheduler)
    job = scheduler["hourly"]
    await scheduler.start()
    await die_holding_later(virtual_time, locker)
    ledger.seconds = 10
    await asyncio.sleep(HOUR + 5)
    assert [run.due_at for run in job.running] == [at(HOUR)]
    await asyncio.sleep(10)
    assert [run.due_at for run in job.running] == [at(2 * HOUR)]
    await scheduler.stop()
    assert told.reasons() == [None, None]


async def test_an_older_occurrence_that_fails_lets_the_newer_one_run(
    virtual_time, locker, ledger, replica
):
    async def fails_once(run: Run):
        await ledger(run)
        if run.delivery_attempt == 2:
            raise ValueError("again")

    scheduler = Scheduler(clock=virtual_time, locker=locker)
    scheduler.add(
        fails_once,
        HOURLY,
        name="hourly",
        delivery="at_least_once",
        retry=Retry(2),
        start_at=at(2 * HOUR),
    )
    await scheduler.start()
    await die_holding_later(virtual_time, locker)
    await asyncio.sleep(HOUR + 5)
    await scheduler.stop()
    assert ledger.lines == [
        (at(HOUR), 2, "redelivery"),
        (at(HOUR), 2, "redelivery"),  # an attempt within the run
        (at(2 * HOUR), 1, "trigger"),
    ]


async def test_an_older_occurrence_that_a_gate_refuses_is_not_overtaken(
    virtual_time, locker, ledger, replica
):
    closed = True

    def only_fresh(run):
        return "stale" if closed and run.cause == "redelivery" else None

    scheduler = replica(ledger, gates=[veto(only_fresh)], start_at=at(2 * HOUR))
    told = support.Told(scheduler)
    await scheduler.start()
    await die_holding_later(virtual_time, locker)
    await asyncio.sleep(HOUR + 60)
    assert told.reasons() == [("only_fresh", "stale")] * 2
    assert ledger.lines == []
    assert await is_free(locker, "hourly")
    closed = False
    await asyncio.sleep(HOUR)
    await scheduler.stop()
    assert [line[0] for line in ledger.lines] == [at(HOUR), at(3 * HOUR)]


async def test_an_older_occurrence_that_cancels_itself_is_delivered_again_a_second_later(
    virtual_time, locker, ledger, replica
):
    starts: list[float] = []

    async def suicidal(run: Run):
        await ledger(run)
        starts.append(virtual_time.monotonic() / 1e6)
        if run.delivery_attempt in (2, 3):
            raise asyncio.CancelledError

    scheduler = Scheduler(clock=virtual_time, locker=locker)
    scheduler.add(suicidal, HOURLY, name="hourly", delivery="at_least_once", start_at=at(2 * HOUR))
    await scheduler.start()
    await die_holding_later(virtual_time, locker)
    await asyncio.sleep(HOUR + 60)
    await scheduler.stop()
    assert [line[:2] for line in ledger.lines] == [
        (at(HOUR), 2),
        (at(HOUR), 3),
        (at(HOUR), 4),
        (at(2 * HOUR), 1),
    ]
    assert [round(start - starts[0]) for start in starts] == [0, 1, 2, 2]


async def test_a_stop_while_an_older_occurrence_runs_in_a_runs_place_cancels_the_newer_one(
    virtual_time, locker, ledger, replica
):
    scheduler = replica(ledger, start_at=at(2 * HOUR))
    told = support.Told(scheduler)
    await scheduler.start()
    await die_holding_later(virtual_time, locker)
    ledger.seconds = 10
    await asyncio.sleep(HOUR + 5)
    report = await scheduler.stop()
    assert (report.finished, len(report.cancelled)) == (1, 1)
    assert [(each.run.due_at, str(each.status)) for each in told.outcomes] == [
        (at(2 * HOUR), "cancelled"),
        (at(HOUR), "succeeded"),
    ]
    assert await is_free(locker, "hourly")


async def test_a_lock_that_came_with_an_older_run_is_given_back_if_that_never_begins(
    virtual_time, locker, ledger, replica
):
    scheduler = replica(ledger, start_at=at(2 * HOUR))
    told = support.Told(scheduler)
    await scheduler.start()
    await die_holding_later(virtual_time, locker)
    dispatcher = scheduler._engine.dispatcher
    begin = dispatcher.postponed._begin

    def begin_and_cancel(run):
        begin(run)
        for each in scheduler["hourly"]._engine.dispatcher.tasks.values():
            each.cancel()

    dispatcher.postponed._begin = begin_and_cancel
    await asyncio.sleep(HOUR + 5)
    assert told.statuses() == ["cancelled"] * 2
    assert ledger.lines == []
    assert await is_free(locker, "hourly")
    await scheduler.stop()


async def test_a_lock_that_came_with_an_older_run_is_given_back_if_a_gate_refuses_it(
    virtual_time, locker, ledger, replica
):
    class Once:
        """Lets one run in."""

        def __init__(self):
            self.count = 0

        def __call__(self, _run):
            return self

        async def __aenter__(self):
            self.count += 1
            return None if self.count == 1 else Refusal("once", "no more")

        async def __aexit__(self, *_):
            """Hold nothing."""

    scheduler = replica(ledger, gates=[Once()], start_at=at(2 * HOUR))
    told = support.Told(scheduler)
    await scheduler.start()
    await die_holding_later(virtual_time, locker)
    await asyncio.sleep(HOUR + 5)
    assert told.reasons() == [("once", "no more")] * 2
    assert await is_free(locker, "hourly")
    await scheduler.stop()


async def test_a_replica_whose_watch_meets_an_outage_goes_on_watching(virtual_time, ledger, holder):
    trouble = False
    locker = Told(lambda _: LockerUnavailable("away") if trouble else None)
    locker.use_clock(virtual_time)
    scheduler = Scheduler(clock=virtual_time.skewed(-1), locker=locker)
    scheduler.add(ledger, HOURLY, name="hourly", delivery="at_least_once", start_at=at(HOUR))
    async with scheduler:
        await asyncio.sleep(HOUR + 0.5)
        await holder.claim(locker.memory, redeliver(HOUR))
        await asyncio.sleep(10)
        trouble = True
        await asyncio.sleep(10)
        holder.die()
        trouble = False
        await asyncio.sleep(10)
    assert ledger.lines == [(at(HOUR), 2, "redelivery")]


async def test_on_a_start_the_last_occurrence_is_asked_for_when_the_store_can_be_asked(
    virtual_time, ledger
):
    trouble = True
    locker = Told(lambda _: LockerUnavailable("away") if trouble else None)
    locker.use_clock(virtual_time)
    virtual_time.step(HOUR)
    await die_holding(locker.memory, redeliver(HOUR))
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    scheduler.add(ledger, HOURLY, name="hourly", delivery="at_least_once")
    async with scheduler:
        await asyncio.sleep(30)
        assert ledger.lines == []
        trouble = False
        await asyncio.sleep(6)
    assert ledger.lines == [(at(HOUR), 2, "redelivery")]


async def test_a_store_that_cannot_tell_its_last_claim_is_logged_and_harms_nobody(
    virtual_time, ledger, caplog
):
    locker = Told(lambda claim: None if claim.due_at else ZeroDivisionError("a bug"))
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    scheduler.add(ledger, HOURLY, name="hourly", delivery="at_least_once")
    async with scheduler:
        await asyncio.sleep(HOUR + 1)
    assert ledger.lines == [(at(HOUR), 1, "trigger")]
    assert "catch-up of job hourly failed" in caplog.text


async def test_a_redelivery_that_its_store_finds_early_waits_like_any_other(virtual_time, ledger):
    answers = iter([TooEarly(wait=2), None, None])
    locker = Told(lambda claim: next(answers) if claim.due_at else None)
    locker.use_clock(virtual_time)
    virtual_time.step(HOUR)
    await die_holding(locker.memory, redeliver(HOUR))
    scheduler = Scheduler(clock=virtual_time, locker=locker)
    job = scheduler.add(ledger, HOURLY, name="hourly", delivery="at_least_once")
    async with scheduler:
        await asyncio.sleep(3)
    assert job.last.status is Status.SUCCEEDED
    assert ledger.lines == [(at(HOUR), 2, "redelivery")]


def test_at_least_once_needs_an_exclusive_job():
    scheduler = Scheduler(locker=MemoryLocker())
    with pytest.raises(ValueError, match="delivery='at_least_once' needs exclusive=True"):
        scheduler.add(Ledger(), HOURLY, name="hourly", delivery="at_least_once", exclusive=False)
