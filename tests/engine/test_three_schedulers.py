"""A small fleet whose clocks disagree: each occurrence is run once, and none is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product

import pytest

from aiosched import Cron, Daily, Every, MemoryLocker, RandomEvery, Run, Scheduler
from aiosched.lockers import FileLocker
from tests.engine import support
from tests.engine.support import settle

HOUR = 3600


def at(seconds):
    """Return the moment so many seconds after virtual time began."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


class Log:
    """What ran, and how much of it at once."""

    def __init__(self):
        self.dues: dict[str, list[datetime]] = {}
        self.fences: dict[str, list[int]] = {}
        self.at_once: Counter[str] = Counter()
        self.overlapped: set[str] = set()

    async def __call__(self, run: Run):
        name = run.job.name
        self.dues.setdefault(name, []).append(run.due_at)
        if run.fence is not None:
            self.fences.setdefault(name, []).append(run.fence)
        self.at_once[name] += 1
        if self.at_once[name] > 1:
            self.overlapped.add(name)
        await asyncio.sleep(0.5)
        self.at_once[name] -= 1


def occurrences(trigger, name, since, until):
    """Return the trigger's occurrences after one moment and up to another."""
    bound = trigger.bind(name=name, tz=UTC)
    found = []
    moment = bound.next_after(since)
    while moment is not None and moment <= until:
        found.append(moment)
        moment = bound.next_after(moment)
    return found


TRIGGERS = {
    "minutely": Cron("* * * * *"),
    "often": Every(seconds=10, anchor=at(0)),
    "rare": Every(minutes=47, anchor=at(0)),
    "random": RandomEvery(40, 80),
    "daily": Daily(["01:30", "02:30", "02:31"]),
}
OPTIONS = {
    "plain": {},
    "claims only": {"exclusive": False},
    "at least once": {"delivery": "at_least_once"},
    "every one": {"coalesce": "all"},
    "jitter": {"jitter": 5},
}
JOBS = {*product(TRIGGERS, ["plain"]), *product(["minutely", "random"], OPTIONS)}


@pytest.mark.parametrize("skews", [(0, 0, 0), (0, 3.3, -4.7), (61, 0, -59)])
async def test_each_occurrence_runs_once_whatever_the_clocks_say(virtual_time, skews):
    locker, log = MemoryLocker(), Log()
    fleet = [Scheduler(clock=virtual_time.skewed(skew), locker=locker) for skew in skews]
    told = support.Told(*fleet)
    for scheduler in fleet:
        for name, kind in sorted(JOBS):
            options = {"name": f"{name}, {kind}", "start_at": at(120), **OPTIONS[kind]}
            scheduler.add(log, TRIGGERS[name], **options)
        await scheduler.start()
    await asyncio.sleep(2 * HOUR)
    await asyncio.gather(*(scheduler.stop() for scheduler in fleet))
    for job in fleet[0]:
        # Up to where the slowest clock has looked, and jitter has let it.
        expected = occurrences(job.trigger, job.name, at(119), at(2 * HOUR - 70))
        ran = [due for due in log.dues[job.name] if due <= at(2 * HOUR - 70)]
        assert sorted(ran) == expected, job.name
        assert max(Counter(log.dues[job.name]).values()) == 1
        fences = log.fences[job.name]
        assert fences == sorted(set(fences))
    assert not {name for name in log.overlapped if "claims only" not in name}
    gates = {each and each[0] for each in told.reasons()}
    assert gates <= {None, "lock", "coalesce", "job_limit"}


async def test_a_fleet_that_is_replaced_one_by_one_loses_nothing(virtual_time):
    locker, log = MemoryLocker(), Log()

    def replica(skew):
        scheduler = Scheduler(clock=virtual_time.skewed(skew), locker=locker)
        scheduler.add(log, Every(seconds=10, anchor=at(0)), name="often", start_at=at(10))
        return scheduler

    fleet = [replica(skew) for skew in (0, 0.7, -0.8)]
    for scheduler in fleet:
        await scheduler.start()
    for round_ in range(60):
        await asyncio.sleep(37)
        await fleet.pop(0).stop(drain=round_ % 2 == 0)
        fleet.append(replica((round_ % 5 - 2) * 0.4))
        await fleet[-1].start()
    until = datetime.fromtimestamp(virtual_time.now() // 1_000_000, UTC)
    await asyncio.sleep(20)
    for scheduler in fleet:
        await scheduler.stop()
    expected = occurrences(Every(seconds=10, anchor=at(0)), "often", at(9), until)
    ran = Counter(log.dues["often"])
    assert max(ran.values()) == 1
    assert not set(expected) - set(ran)


async def test_at_least_once_a_fleet_completes_each_occurrence_though_replicas_are_shot(
    virtual_time,
):
    locker = MemoryLocker()
    completed: Counter[datetime] = Counter()

    async def slow(run: Run):
        await asyncio.sleep(4)
        completed[run.due_at] += 1

    def replica():
        scheduler = Scheduler(clock=virtual_time, locker=locker)
        scheduler.add(
            slow,
            Every(seconds=10, anchor=at(0)),
            name="often",
            delivery="at_least_once",
            start_at=at(10),
        )
        return scheduler

    fleet = [replica() for _ in range(3)]
    for scheduler in fleet:
        await scheduler.start()
    for _ in range(60):
        await asyncio.sleep(23)
        # One that is in the middle of a run if there is one: its run is cancelled.
        fleet.sort(key=lambda scheduler: -len(scheduler["often"].running))
        await fleet.pop(0).stop(drain=False)
        fleet.append(replica())
        await fleet[-1].start()
    until = datetime.fromtimestamp(virtual_time.now() // 1_000_000, UTC)
    await asyncio.sleep(30)
    for scheduler in fleet:
        await scheduler.stop()
    expected = occurrences(Every(seconds=10, anchor=at(0)), "often", at(9), until)
    assert not set(expected) - set(completed)
    assert max(completed.values()) == 1  # a run that was shot did not come to its end


async def test_a_fleet_on_one_directory_runs_each_occurrence_once(tmp_path):
    log = Log()
    fleet = [Scheduler(locker=FileLocker(tmp_path)) for _ in range(3)]
    told = support.Told(*fleet)

    async def tick(run: Run):
        log.dues.setdefault(run.job.name, []).append(run.due_at)
        await asyncio.sleep(0.001)

    for scheduler in fleet:
        for number in range(5):
            # Late ones are run, too, so that a busy machine loses none.
            options = {"coalesce": "all", "exclusive": False, "max_instances": None}
            scheduler.add(tick, Every(milliseconds=50), name=str(number), **options)
        await scheduler.start()
    await asyncio.sleep(1.5)
    for scheduler in fleet:
        await scheduler.stop()
    await settle()
    for dues in log.dues.values():
        assert max(Counter(dues).values()) == 1
        gaps = {later - sooner for sooner, later in pairwise(sorted(dues))}
        assert gaps == {timedelta(milliseconds=50)}
        assert len(dues) > 20
    claimed_once = Counter(each.run.id for each in told.outcomes if each.status == "succeeded")
    assert set(claimed_once.values()) == {1}
