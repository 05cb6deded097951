"""What comes in goes out: each occurrence of an active job has one outcome, and no other has any.

Whatever pauses, steps of the wall clock, misfires and overlaps happen meanwhile.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from aiosched import Cause, Cron, Every, Outcome, RandomEvery, Scheduler
from aiosched.moments import to_us
from aiosched.testing import VirtualClock, run
from tests.effort import examples

START = datetime(2026, 1, 1, tzinfo=UTC)
TRIGGERS = [
    Every(seconds=7, anchor=START + timedelta(seconds=3)),
    Cron("*/10 * * * * *"),
    Cron("* * * * *"),
    RandomEvery(2, 9, seed="law"),
]
STEPS = st.tuples(
    st.sampled_from(
        ["wait", "wait", "step", "step back", "pause", "resume", "pause all", "resume all"]
    ),
    st.integers(1, 100),
)


class Ledger:
    """The stretches of the wall clock in which the job was active, end included."""

    def __init__(self, trigger, now: int) -> None:
        self.trigger = trigger
        self.covered: list[tuple[int, int]] = []
        self.reached = self.since = now
        self.active = True

    def stop(self, now: int) -> None:
        if self.active:
            end = max(now, self.reached)
            self.covered.append((self.since, end))
            self.reached = end
            self.active = False

    def start(self, now: int) -> None:
        if not self.active:
            # Planned anew; what was due before is never repeated, though the clock was set back.
            self.since = self.reached = max([now, *self.expected()[-1:]])
            self.active = True

    def note(self, now: int) -> None:
        if self.active:
            self.reached = max(self.reached, now)

    def expected(self) -> list[int]:
        due: list[int] = []
        for since, until in self.covered:
            found = self.trigger.next_us(since)
            while found is not None and found <= until:
                due.append(found)
                found = self.trigger.next_us(found)
        return due


def history(trigger, options, works_for, steps):
    outcomes: list[Outcome] = []

    async def main(clock: VirtualClock) -> list[int]:
        scheduler = Scheduler(clock=clock)
        scheduler.on(Outcome, outcomes.append)

        async def work() -> None:
            await asyncio.sleep(works_for)

        job = scheduler.add(work, trigger, name="job", **options)
        async with scheduler:
            ledger = Ledger(trigger, clock.now())
            paused = {"job": False, "all": False}
            for action, amount in steps:
                if action == "wait":
                    await asyncio.sleep(amount / 2 + 0.25)
                elif action.startswith("step"):
                    clock.step(-amount if action == "step back" else amount)
                elif action == "pause":
                    job.pause()
                    paused["job"] = True
                elif action == "resume":
                    job.resume()
                    paused["job"] = False
                elif action == "pause all":
                    scheduler.pause()
                    paused["all"] = True
                else:
                    scheduler.resume()
                    paused["all"] = False
                if any(paused.values()):
                    ledger.stop(clock.now())
                else:
                    ledger.start(clock.now())
                await asyncio.sleep(0.001)  # what has come due is taken
                ledger.note(clock.now())
            ledger.stop(clock.now())
            scheduler.pause()
            await asyncio.sleep(3600)  # whatever is queued or goes on comes to its end
        return ledger.expected()

    return run(main, start=START), outcomes


@example(TRIGGERS[0], "latest", None, "skip", 0, [("step", 50), ("wait", 9)])
@example(TRIGGERS[1], "all", None, "queue", 12, [("wait", 9), ("step back", 60), ("wait", 100)])
@example(
    TRIGGERS[1], "latest", 1, "skip", 0, [("pause", 1), ("step", 60), ("resume", 1), ("wait", 60)]
)
@settings(max_examples=examples(300), deadline=None)
@given(
    trigger=st.sampled_from(TRIGGERS),
    coalesce=st.sampled_from(["latest", "earliest", "all"]),
    grace=st.sampled_from([None, 1, 20]),
    overlap=st.sampled_from(["skip", "queue", "replace"]),
    works_for=st.sampled_from([0, 1, 12]),
    steps=st.lists(STEPS, min_size=1, max_size=25),
)
def test_each_occurrence_while_active_has_one_outcome(  # noqa: PLR0917 - what is drawn
    trigger, coalesce, grace, overlap, works_for, steps
):
    options = {"coalesce": coalesce, "misfire_grace": grace, "overlap": overlap, "max_queued": 2}
    expected, outcomes = history(trigger, options, works_for, steps)
    fired = sorted(to_us(each.run.due_at) for each in outcomes)
    assert {each.run.cause for each in outcomes} <= {Cause.TRIGGER}
    assert fired == expected
