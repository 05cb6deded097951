"""Real schedulers on each shared store: what was missed, what a dead replica left, what is left."""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import AsyncExitStack

import pytest

from aiosched import Once, Outcome, Run, Scheduler, SystemClock
from aiosched.lockers.file import FileLocker
from aiosched.lockers.postgres import PostgresLocker
from aiosched.lockers.redis import RedisLocker
from aiosched.lockers.redlock import RedlockLocker
from aiosched.model import Claim
from tests.lockers.support import ago, drop, opened

TTL = 0.6
HOUR = 3600
LEASED = ["redis", "redlock", "advisory", "lease"]


def maker(kind, request):
    """Return what makes a locker on one of the servers."""
    if kind in ("advisory", "lease"):
        server = request.getfixturevalue("postgres_server")
        dsn = server.dsn(request.getfixturevalue("postgres_database"))
        return lambda: PostgresLocker(dsn, ttl=TTL, mode=kind, timeout=2)
    if kind == "redis":
        url = request.getfixturevalue("redis_server").url
        return lambda: RedisLocker(url, ttl=TTL, timeout=2)
    urls = [server.url for server in request.getfixturevalue("five_redis_servers")[:3]]
    return lambda: RedlockLocker(urls, ttl=TTL, timeout=2)


@pytest.fixture(params=LEASED)
def leased(request):
    return maker(request.param, request)


@pytest.fixture(params=["file", *LEASED])
def make(request, tmp_path):
    if request.param == "file":
        return lambda: FileLocker(tmp_path / "locks")
    return maker(request.param, request)


@pytest.fixture(params=LEASED)
def unreachable(request):
    """A locker whose servers are not there."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    if request.param in ("advisory", "lease"):
        dsn = f"postgresql://nobody@127.0.0.1:{port}/none"
        return PostgresLocker(dsn, ttl=TTL, mode=request.param, timeout=0.2)
    if request.param == "redis":
        return RedisLocker(f"redis://127.0.0.1:{port}", ttl=TTL, timeout=0.2)
    hosts = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
    urls = [f"redis://{host}:{port}" for host in hosts]
    return RedlockLocker(urls, ttl=TTL, timeout=0.2)


class Fleet:
    """Replicas of one job that was due each hour, last an hour ago."""

    def __init__(self, key):
        self.key = key
        self.dues = [ago(hours * HOUR) for hours in (4, 3, 2, 1)]
        self.ran = []

    async def run(self, make, expected, **options):
        async def job(run: Run) -> None:
            self.ran.append((self.dues.index(run.due_at), run.delivery_attempt))

        async with AsyncExitStack() as stack:
            outcomes = []
            for _ in range(3):
                scheduler = Scheduler(locker=make())
                scheduler.on(Outcome, outcomes.append)
                scheduler.add(job, Once(*self.dues), name=self.key, **options)
                await stack.enter_async_context(scheduler)
            async with asyncio.timeout(20):
                while sum(each.status == "succeeded" for each in outcomes) < len(expected):
                    await asyncio.sleep(0.02)
        assert self.ran == expected


@pytest.fixture
def fleet(request):
    return Fleet(f"fleet.{request.node.name}.{secrets.token_hex(8)}")


@pytest.mark.parametrize(
    ("options", "missed"),
    [
        ({"catch_up": "latest"}, [3]),
        ({"catch_up": "all"}, [1, 2, 3]),
        ({"catch_up": "all", "catch_up_window": "2h 30m"}, [2, 3]),
    ],
)
async def test_what_came_due_while_the_whole_fleet_was_down_is_made_up_for_once(
    make, fleet, options, missed
):
    async with opened(make()) as before:
        await (await before.claim(Claim(fleet.key, fleet.dues[0]))).unlock()
    await fleet.run(make, [(number, 1) for number in missed], **options)


async def test_what_a_dead_replica_left_is_run_again_before_what_came_later(leased, fleet):
    holder = leased()
    await holder.claim(Claim(fleet.key, fleet.dues[0], redeliver=True))
    await drop(holder)
    expected = [(0, 2), (1, 1), (2, 1), (3, 1)]
    await fleet.run(leased, expected, delivery="at_least_once", catch_up="all")


async def test_a_manual_run_is_refused_while_another_replica_runs(make, fleet):
    began, end = asyncio.Event(), asyncio.Event()

    async def job() -> None:
        began.set()
        await end.wait()

    async with Scheduler(locker=make()) as ours, Scheduler(locker=make()) as theirs:
        jobs = [each.add(job, Once(ago(-HOUR)), name=fleet.key) for each in (ours, theirs)]
        first = asyncio.ensure_future(jobs[0].run_now())
        await began.wait()
        refused = await jobs[1].run_now()
        assert (refused.status, refused.refusal.reason) == ("refused", "held")
        end.set()
        assert (await first).status == "succeeded"
        assert (await jobs[1].run_now()).status == "succeeded"


async def test_what_another_replica_ran_is_refused_as_already_run(make, fleet):
    due = ago(-0.5)
    told = asyncio.Queue()

    async def job() -> None:
        pass

    async with AsyncExitStack() as stack:
        for clock in (
            SystemClock(),
            SystemClock(skew=-1.5),
        ):  # which asks a second and a half later
            scheduler = Scheduler(locker=make(), clock=clock)
            scheduler.add(job, Once(due), name=fleet.key)
            scheduler.on(Outcome, told.put_nowait)
            await stack.enter_async_context(scheduler)
        async with asyncio.timeout(20):
            first, second = await told.get(), await told.get()
    assert first.status == "succeeded"
    assert (second.status, second.refusal.gate) == ("refused", "lock")
    assert second.refusal.reason == "already_ran"
    assert second.run.due_at == first.run.due_at


async def test_what_is_older_than_what_ran_is_refused_as_superseded(make, fleet):
    older, newer = ago(2), ago(1)
    async with opened(make()) as other:
        await (await other.claim(Claim(fleet.key, newer))).unlock()
    refused = await outcome_of(make(), fleet.key, older)
    assert (refused.gate, refused.reason) == ("lock", "superseded")


async def test_what_another_replica_holds_is_refused_as_held(make, fleet):
    async with opened(make()) as other:
        lock = await other.lock(fleet.key)
        refused = await outcome_of(make(), fleet.key, ago(1), misfire_grace=1.5)
        assert (refused.gate, refused.reason) == ("lock", "held")
        await lock.unlock()


async def test_a_store_that_nobody_reaches_is_refused_as_unavailable(unreachable, fleet):
    refused = await outcome_of(unreachable, fleet.key, ago(1), misfire_grace=1.5)
    assert (refused.gate, refused.reason) == ("lock", "unavailable")


async def outcome_of(locker, key, due, **options):
    """Return why the occurrence of *due* is refused, by a replica to which it is due just now."""
    told = asyncio.Queue()

    async def job() -> None:
        pass

    skew = (due - ago(0)).total_seconds() - 0.2
    async with Scheduler(locker=locker, clock=SystemClock(skew=skew)) as scheduler:
        scheduler.on(Outcome, told.put_nowait)
        scheduler.add(job, Once(due), name=key, **options)
        async with asyncio.timeout(20):
            outcome = await told.get()
    assert outcome.status == "refused"
    return outcome.refusal


async def test_a_run_of_five_leases_keeps_its_lock_and_leaves_nothing(leased, fleet):
    tasks = asyncio.all_tasks()
    locker, lost = leased(), []

    async def job(run: Run) -> None:
        await asyncio.sleep(5 * TTL)
        run.lock.check()
        lost.append(run.lock.lost.is_set())

    async with opened(locker):
        idle = {task.get_name() for task in asyncio.all_tasks() - tasks}
        async with Scheduler(locker=locker) as scheduler:
            outcome = await scheduler.add(job, Once(ago(-HOUR)), name=fleet.key).run_now()
        assert outcome.status == "succeeded"
        assert lost == [False]
        assert {task.get_name() for task in asyncio.all_tasks() - tasks} <= idle
        assert {each.key: each.held for each in await locker.records()}[fleet.key] is False
    assert asyncio.all_tasks() == tasks
