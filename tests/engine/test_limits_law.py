"""A law: under any interleaving no limit is exceeded and no run is lost or told twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from aiosched import Job, Run, Scheduler, testing
from tests.effort import examples
from tests.engine.support import NEVER, Told, settle

KINDS: list[dict[str, Any]] = [
    {},
    {"max_instances": 2, "priority": 3},
    {"overlap": "queue", "max_queued": 2},
    {"overlap": "queue", "max_instances": 2, "max_queued": None, "priority": -1},
    {"overlap": "replace"},
    {"overlap": "replace", "max_instances": 2},
    {"max_instances": None},
]
MOST = 3  # jobs at once, so that they meet
STEPS = st.tuples(
    st.sampled_from(
        ["start"] * 6 + ["end", "fail", "cancel", "turns", "remove", "cancel job", "allow more"]
    ),
    st.integers(0, 7),
)


class Law:
    """A scheduler under a sequence of steps, and what must hold after each of them."""

    def __init__(
        self, clock: testing.VirtualClock, limit: int | None, when_full: Any, kinds: list[int]
    ) -> None:
        self.scheduler = Scheduler(clock=clock, max_running=limit, when_full=when_full)
        self.told = Told(self.scheduler)
        self.limit = limit
        self.when_full = when_full
        self.fired: list[Run] = []
        self.inside: dict[Run, asyncio.Task[Any]] = {}
        self.goes_on: dict[Run, asyncio.Future[None]] = {}
        self.kinds = kinds
        self.jobs: list[Job] = [self.add(number) for number in range(len(kinds))]

    def add(self, number: int) -> Job:
        kind = self.kinds[number]
        gates = [self.gate] if kind % 2 else []
        return self.scheduler.add(
            self.work, NEVER, name=f"{number} {len(self.fired)}", gates=gates, **KINDS[kind]
        )

    @asynccontextmanager
    async def gate(self, run: Run) -> AsyncIterator[None]:
        await asyncio.sleep(0)
        try:
            yield
        finally:
            await asyncio.sleep(0)

    async def work(self, run: Run) -> None:
        self.goes_on[run] = asyncio.get_running_loop().create_future()
        self.inside[run] = asyncio.current_task()
        try:
            self.check_limits()
            await self.goes_on[run]
        finally:
            del self.inside[run], self.goes_on[run]

    def check_limits(self) -> None:
        if self.limit is not None:
            assert len(self.inside) <= self.limit
            assert self.scheduler.running <= self.limit
        for job in self.jobs:
            allowed = job.spec.max_instances
            if allowed is not None:
                assert sum(run.job is job for run in self.inside) <= allowed
                assert len(job.running) <= allowed

    def check_nobody_waits_in_vain(self) -> None:
        waiting = self.scheduler.queued
        full = self.limit is not None and len(self.inside) >= self.limit
        busy = any(
            job.spec.max_instances is not None and len(job.running) >= job.spec.max_instances
            for job in self.jobs
        )
        assert not waiting or full or busy

    def step(self, action: str, number: int) -> None:
        chosen = list(self.inside)[number] if number < len(self.inside) else None
        number %= len(self.jobs)
        if action == "start":
            self.fired.append(self.jobs[number].trigger_now())
        elif action == "end" and chosen and not self.goes_on[chosen].done():
            self.goes_on[chosen].set_result(None)
        elif action == "fail" and chosen and not self.goes_on[chosen].done():
            self.goes_on[chosen].set_exception(ValueError("on purpose"))
        elif action == "cancel" and chosen:
            self.inside[chosen].cancel()
        elif action in {"remove", "cancel job"}:
            self.jobs[number].remove(cancel=action == "cancel job")
            self.jobs[number] = self.add(number)
        elif action == "allow more" and self.jobs[number].spec.max_instances is not None:
            self.jobs[number].update(max_instances=3)

    async def come_to_rest(self) -> None:
        for _ in range(2 * len(self.fired) + 2):
            await settle()
            if not self.scheduler.running:
                return
            self.check_nobody_waits_in_vain()
            for future in self.goes_on.values():
                if not future.done():
                    future.set_result(None)


@example(
    limit=2,
    when_full="skip",
    kinds=[0, 2],
    steps=[("start", 0), ("start", 1), ("start", 1), ("cancel job", 0), ("allow more", 1)],
)
@settings(max_examples=examples(120), deadline=None)
@given(
    limit=st.sampled_from([None, 1, 1, 2]),
    when_full=st.sampled_from(["queue", "skip"]),
    kinds=st.lists(st.integers(0, len(KINDS) - 1), min_size=2, max_size=MOST),
    steps=st.lists(STEPS, min_size=15, max_size=40),
)
def test_limits_hold_and_no_run_is_lost_under_any_interleaving(
    limit: int | None, when_full: str, kinds: list[int], steps: list[tuple[str, int]]
) -> None:
    async def main(clock: testing.VirtualClock) -> None:
        law = Law(clock, limit, when_full, kinds)
        async with law.scheduler:
            for action, number in steps:
                if action == "turns":
                    await settle(number + 1)
                else:
                    law.step(action, number)
                law.check_limits()
            await law.come_to_rest()
            assert (law.scheduler.queued, law.scheduler.running) == (0, 0)
            assert not any(job.running for job in law.jobs)
            ended = [outcome.run for outcome in law.told.outcomes]
            assert len(ended) == len(set(ended)) == len(law.fired)
            assert set(ended) == set(law.fired)
            assert not any(isinstance(each.error, AssertionError) for each in law.told.outcomes)
            allowed = {"running", "queue_full", "replaced", "full"}
            refused = {reason[1] for reason in law.told.reasons() if reason}
            assert refused <= (allowed if when_full == "skip" else allowed - {"full"})

    testing.run(main)
