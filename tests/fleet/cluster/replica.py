"""One incarnation of a worker: a real scheduler on a host, and what it tells the history."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from aiosched import Every, Outcome, Run, Scheduler
from aiosched.errors import LockError
from aiosched.lockers import HeldLock, RedisLocker
from aiosched.lockers._renewal import LeaseActor, LeasedLock, Renewal
from aiosched.model import Claim
from aiosched.moments import from_us
from tests.fleet.cluster.host import WALL_START, Host
from tests.fleet.history import REASONS

Note = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Task:
    """A job of the fleet, as data.

    Attributes:
        name: Of the job.
        every: Microseconds between its occurrences.
        options: Of the job.
        lengths: Seconds that a run takes, one occurrence after the other.
        blocks: Seconds for which a run blocks its loop, one occurrence after the other.
    """

    name: str
    every: int
    options: dict[str, Any]
    lengths: tuple[float, ...]
    blocks: tuple[float, ...] = (0.0,)


class NotingRenewal(Renewal):
    """Tells which leases it has prolonged."""

    note: Callable[[LeasedLock], None]

    def _apply(self, answers, sent_at: float) -> bool:
        pairs = list(answers)
        before = [lock.deadline for lock, _ in pairs]
        complete = super()._apply(pairs, sent_at)
        for (lock, _), deadline in zip(pairs, before, strict=True):
            if lock.deadline != deadline:
                self.note(lock)
        return complete


class NotingActor(LeaseActor):
    """Tells what became of locks."""

    renewal = NotingRenewal

    def __init__(self, perform, *, name: str, lease, host: Host, note: Note) -> None:
        super().__init__(perform, name=name, lease=lease, clock=host.boot_time)
        self._renewal = self.renewal(self._put, lease, name=f"{name} renewal", clock=host.boot_time)
        self._renewal.note = partial(self._renewed, host, note)
        self._note = note

    async def give_back(self, lock: HeldLock, /, *, done: bool) -> bool:
        held = await super().give_back(lock, done=done)
        self._note("freed", key=lock.key, due=lock.due_us, fence=lock.fence, held=held)
        return held

    def _renewed(self, host: Host, note: Note, lock: LeasedLock) -> None:
        note("renewed", key=lock.key, fence=lock.fence, until=host.true_at(lock.deadline))


class NotingLocker(RedisLocker):
    """The real one, on the clock of its host, which tells what it was asked and answered."""

    actor: type[NotingActor] = NotingActor

    def __init__(self, client: Any, ttl: float, *, host: Host, note: Note, **options: Any) -> None:
        super().__init__(client, ttl, prefix="sim", **options)
        self._host = host
        self._note = note

    def _new_actor(self, perform) -> LeaseActor:
        return self.actor(
            perform, name=self._name, lease=self._lease, host=self._host, note=self._note
        )

    async def claim(self, claim: Claim, /) -> HeldLock:
        about = {"key": claim.key, "due": claim.due_us}
        self._note("asked", **about)
        try:
            lock = await super().claim(claim)
        except LockError as error:
            self._note("refused", **about, reason=REASONS[type(error)])
            raise
        until = self._host.true_at(lock.deadline) if isinstance(lock, LeasedLock) else None
        granted = {"key": lock.key, "due": lock.due_us, "fence": lock.fence}
        self._note("granted", **granted, attempt=lock.attempt, until=until, asked=claim.due_us)
        lock.lost.add_callback(partial(self._note, "lost", **granted))
        return lock


class Replica:
    """A scheduler with its jobs.

    Args:
        host: What it lives on.
        locker: Its way to the store.
        tasks: Its jobs.
        until: Seconds after the beginning after which nothing comes due.
        spread: As `Scheduler` takes it.
        note: Writes into the history, in its name.
    """

    def __init__(
        self,
        host: Host,
        locker: NotingLocker,
        tasks: tuple[Task, ...],
        *,
        until: float,
        spread: float,
        note: Note,
    ) -> None:
        self.host = host
        self._note = note
        self._scheduler = Scheduler(
            clock=host,
            locker=locker,
            instance=host.name,
            spread=spread,
            listeners=[(Outcome, self._hear)],
        )
        for task in tasks:
            self._scheduler.add(
                partial(self._work, task),
                Every(timedelta(microseconds=task.every), anchor=from_us(WALL_START)),
                name=task.name,
                start_at=from_us(WALL_START + 2_000_000),
                stop_at=from_us(WALL_START + round(until * 1e6)),
                **task.options,
            )

    async def live(self) -> None:
        """Start."""
        await self._scheduler.start()
        self._note("up")

    async def leave(self, *, drain: bool) -> None:
        """Stop, and be gone."""
        self._note("leaving")
        await self._scheduler.stop(drain=drain)
        self._note("down")
        self.host.vanish()

    async def _work(self, task: Task, run: Run) -> None:
        about = {"key": task.name, "due": run.due_us, "fence": run.fence}
        number = (run.due_us - WALL_START) // task.every
        done = False
        self._note("start", **about, attempt=run.delivery_attempt)
        try:
            block = task.blocks[number % len(task.blocks)]
            if block and run.delivery_attempt == 1:  # it is not the occurrence that does it
                self._note_block(block)
                self.host.block(block)
            await asyncio.sleep(task.lengths[number % len(task.lengths)])
            done = True
        finally:
            self._note("end", **about, done=done, status="done" if done else "cancelled")

    def _note_block(self, seconds: float) -> None:
        self.host.loop.call_soon(partial(self._note, "stalled", seconds=seconds))

    def _hear(self, outcome: Outcome) -> None:
        refusal = outcome.refusal
        if refusal is not None:
            run = outcome.run
            reason = "job_limit" if refusal.gate == "job_limit" else refusal.reason
            self._note("passed", key=run.job.name, due=run.due_us, reason=reason)
