"""A worker process of the drill: a scheduler on a shared store that writes down all it does."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from aiosched import Every, Outcome, Run, Scheduler, SystemClock
from aiosched.errors import LockError
from aiosched.lockers import locker_from_url
from aiosched.lockers._lease import HeldLock
from aiosched.lockers._renewal import LeasedLock, boot_time
from aiosched.model import Claim
from aiosched.moments import from_us
from aiosched.protocols import ClaimingLocker
from tests.fleet.chaos.broken import BROKEN
from tests.fleet.chaos.plan import JobPlan
from tests.fleet.history import REASONS, Writer

Note = Callable[..., None]

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)

_TICK = 0.04
_STALL = 0.12  # seconds without a turn of the loop that are told


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker needs to know.

    Attributes:
        name: With its incarnation.
        url: Of its way to the store.
        history: The file that it appends to.
        first, last: The span of the occurrences, in µs.
        nap: Seconds for which SIGUSR1 makes it block its loop.
        broken: What is wrong with its locker; empty: nothing.
    """

    name: str
    url: str
    history: str
    skew: float
    spread: float
    jobs: tuple[JobPlan, ...]
    first: int
    last: int
    nap: float
    broken: str = ""


class Noting:
    """A locker that tells what it was asked, what it answered, and what became of its locks."""

    def __init__(self, inner: ClaimingLocker, note: Note) -> None:
        self._inner = inner
        self._note = note

    async def open(self) -> None:
        await self._inner.open()

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def lock(self, key: str, /) -> Any:
        return await self._inner.lock(key)

    async def last_claimed(self, key: str, /) -> Any:
        return await self._inner.last_claimed(key)

    async def claim(self, claim: Claim, /) -> Any:
        note, about = self._note, {"key": claim.key, "due": claim.due_us}
        note("asked", **about)
        try:
            lock: Any = await self._inner.claim(claim)
        except LockError as error:
            note("refused", **about, reason=REASONS[type(error)])
            raise
        except asyncio.CancelledError:
            note("refused", **about, reason="unavailable")
            raise
        granted = {"key": lock.key, "due": lock.due_us, "fence": lock.fence}
        until = lock.deadline if isinstance(lock, LeasedLock) else None
        note("granted", **granted, attempt=lock.attempt, until=until, asked=claim.due_us)
        lock.lost.add_callback(partial(note, "lost", **granted))
        lock.__class__ = _noting_class(type(lock), note)
        return lock


def _noting_class(base: type[HeldLock], note: Note) -> type[HeldLock]:
    """Return *base* with eyes for its deadline and its end; a lock can become one."""
    if base not in _CLASSES:
        _CLASSES[base] = _new_class(base, note)
    return _CLASSES[base]


_CLASSES: dict[type[HeldLock], type[HeldLock]] = {}


def _new_class(base: Any, note: Note) -> type[HeldLock]:
    async def unlock(self: Any, *, done: bool = True) -> bool:
        held = await base.unlock(self, done=done)
        note("freed", key=self.key, due=self.due_us, fence=self.fence, held=held)
        return bool(held)

    body: dict[str, Any] = {"__slots__": (), "unlock": unlock}
    if issubclass(base, LeasedLock):
        slot: Any = base.deadline

        def move(self: Any, until: float) -> None:
            slot.__set__(self, until)
            note("renewed", key=self.key, fence=self.fence, until=until)

        body["deadline"] = property(slot.__get__, move)
    return type(f"Noting{base.__name__}", (base,), body)


def serve(orders: Orders) -> None:
    """Be the worker until SIGTERM."""
    logging.getLogger("aiosched").setLevel(logging.CRITICAL)
    asyncio.run(_serve(orders))


async def _serve(orders: Orders) -> None:
    writer = Writer(Path(orders.history))

    def note(event: str, **about: Any) -> None:
        writer.write(boot_time(), orders.name, event, **about)

    leave = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_complain)
    loop.add_signal_handler(signal.SIGTERM, leave.set)
    loop.add_signal_handler(signal.SIGUSR1, time.sleep, orders.nap)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    locker: Any = locker_from_url(orders.url)
    if orders.broken:
        locker = BROKEN[orders.broken](locker)
    scheduler = Scheduler(
        locker=Noting(locker, note),
        clock=SystemClock(skew=orders.skew),
        spread=orders.spread,
        shutdown_timeout=3.0,
        instance=orders.name,
    )
    for job in orders.jobs:
        _add(scheduler, job, orders, note)

    @scheduler.on(Outcome)
    def tell(outcome: Outcome) -> None:
        if outcome.started_at is None:
            note("passed", key=outcome.run.job.name, due=outcome.run.due_us, reason=_why(outcome))

    watch = asyncio.create_task(_tell_of_stalls(note))
    async with scheduler:
        note("up")
        await leave.wait()
        note("leaving")
    note("down")
    watch.cancel()


def _complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say what asyncio says, but for one future of asyncpg's own.

    It is left behind, with this error, where a server goes away while it is connected to.
    """
    if str(context.get("exception")) != "unexpected connection_lost() call":
        loop.default_exception_handler(context)


def _add(scheduler: Scheduler, job: JobPlan, orders: Orders, note: Note) -> None:
    async def work(run: Run) -> None:
        about = {"key": job.name, "due": run.due_us, "fence": run.fence}
        about["attempt"] = run.delivery_attempt
        note("start", **about)
        try:
            await asyncio.sleep(random.uniform(*job.length))
        except asyncio.CancelledError:
            note("end", **about, done=False, status="cancelled")
            raise
        is_bad = job.fails and run.due_us // round(job.every * 1e6) % 3 == 0
        note("end", **about, done=True, status="failed" if is_bad else "succeeded")
        if is_bad:
            raise RuntimeError("it fails, as it was told")

    every = Every(timedelta(seconds=job.every))
    span = {"start_at": from_us(orders.first), "stop_at": from_us(orders.last)}
    scheduler.add(work, every, **span, **job.options())


def _why(outcome: Outcome) -> str:
    refusal = outcome.refusal
    if refusal is None:
        return outcome.status.value
    return refusal.reason if refusal.gate == "lock" else refusal.gate


async def _tell_of_stalls(note: Note) -> None:
    last = boot_time()
    while True:
        await asyncio.sleep(_TICK)
        now = boot_time()
        if now - last > _STALL:
            note("stalled", seconds=now - last)
        last = now
