"""What the engine's tests share: what was told, jobs whose end a test decides, a moment's peace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from aiosched import Every, Job, Outcome, Run, Scheduler
from aiosched.testing import VirtualLoop

START = datetime(2026, 1, 1, tzinfo=UTC)
"""When virtual time begins."""

NEVER = Every(days=1)
"""For jobs that are run by hand."""

Make = Callable[..., Scheduler]


async def nothing() -> None: ...


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def seconds(*moments: datetime | None) -> list[float | None]:
    """Return the seconds since the start, without the microseconds that a wake-up takes."""
    return [moment and round((moment - START).total_seconds(), 3) for moment in moments]


def due(told: Told, job: Job | None = None) -> list[float | None]:
    return seconds(*(each.run.due_at for each in told.of(job)))


class Told:
    """The outcomes that a scheduler has told so far, and what can be asked of them."""

    def __init__(self, *schedulers: Scheduler) -> None:
        self.outcomes: list[Outcome] = []
        for scheduler in schedulers:
            scheduler.on(Outcome, self.outcomes.append)

    def of(self, job: Job | None = None) -> list[Outcome]:
        return [each for each in self.outcomes if job is None or each.job is job]

    def statuses(self, job: Job | None = None) -> list[str]:
        return [str(each.status) for each in self.of(job)]

    def reasons(self, job: Job | None = None) -> list[tuple[str, str] | None]:
        """The gate and the reason of each outcome, None for those that were let in."""
        refusals = [each.refusal for each in self.of(job)]
        return [each and (each.gate, each.reason) for each in refusals]

    def numbers(self, *statuses: str) -> list[int]:
        """The numbers of the runs that ended so, in the order in which they were told."""
        return [each.run.number for each in self.outcomes if each.status in statuses]


class Work:
    """A job's function that goes on until it is let go."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.running = 0
        self.most = 0
        self._gates: dict[int, asyncio.Future[None]] = {}

    async def __call__(self, run: Run) -> int:
        self.began.append(run.number)
        self.running += 1
        self.most = max(self.most, self.running)
        self._gates[run.number] = asyncio.get_running_loop().create_future()
        try:
            await self._gates[run.number]
        finally:
            self.running -= 1
            del self._gates[run.number]
        return run.number

    def end(self, *numbers: int, error: Exception | None = None) -> None:
        """Let these runs come to their end; without numbers all that go on."""
        for number in numbers or tuple(self._gates):
            if error is None:
                self._gates[number].set_result(None)
            else:
                self._gates[number].set_exception(error)


async def settle(turns: int = 10) -> None:
    """Let everything that is ready have its turn, without time passing."""
    for _ in range(turns):
        await asyncio.sleep(0)


def block(seconds: float) -> None:
    """Block the loop: time passes, on both clocks, and nothing else has a turn."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop._jump(seconds)
