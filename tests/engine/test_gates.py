"""Gates of one's own: asked in order before a run, left in reverse after it, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiosched import JobGroup, Refusal, Run, Scheduler, Started, current_run, veto
from tests.engine.support import NEVER, Told, Work, settle


class Log(list[str]):
    """What happened, in order; and gates that write into it."""

    def gate(
        self,
        name: str,
        *,
        refusal: Any = None,
        on_enter: BaseException | None = None,
        on_exit: BaseException | None = None,
        slow: float = 0,
    ) -> Callable[[Run], Any]:
        @asynccontextmanager
        async def passage(run: Run) -> AsyncIterator[Any]:
            self.append(f"into {name}")
            await asyncio.sleep(slow)
            if on_enter:
                raise on_enter
            try:
                yield refusal
            finally:
                await asyncio.sleep(slow)
                self.append(f"out of {name}")
                if on_exit:
                    raise on_exit

        passage.__name__ = name
        return passage

    def work(self, error: BaseException | None = None) -> Callable[[], Any]:
        async def work() -> str:
            self.append("work")
            if error:
                raise error
            return "done"

        return work


@pytest.fixture
def log() -> Log:
    return Log()


# -- in and out ----------------------------------------------------------------------------------


async def test_gates_are_entered_in_order_and_left_in_reverse(
    scheduler: Scheduler, log: Log
) -> None:
    job = scheduler.add(log.work(), NEVER, gates=[log.gate("a"), log.gate("b")])
    scheduler.on(Started, lambda _: log.append("started"))
    async with scheduler:
        outcome = await job.run_now()
    assert outcome.value == "done"
    assert log == ["into a", "into b", "started", "work", "out of b", "out of a"]


async def test_a_gate_that_refuses_ends_the_run_before_its_start(
    scheduler: Scheduler, told: Told, log: Log
) -> None:
    refusal = Refusal("maintenance", "tonight")
    gates = [log.gate("a"), log.gate("b", refusal=refusal), log.gate("c")]
    job = scheduler.add(log.work(), NEVER, gates=gates)
    async with scheduler:
        outcome = await job.run_now()
    assert (outcome.status, outcome.refusal, outcome.started_at) == ("refused", refusal, None)
    assert log == ["into a", "into b", "out of b", "out of a"]
    assert len(told.outcomes) == 1


@pytest.mark.parametrize("error", [None, ValueError("bad"), asyncio.CancelledError("enough")])
async def test_gates_are_left_whatever_the_function_does(
    error: BaseException | None, scheduler: Scheduler, told: Told, log: Log, caplog: Any
) -> None:
    caplog.set_level("CRITICAL")
    job = scheduler.add(log.work(error), NEVER, gates=[log.gate("a", slow=1)], timeout=60)
    async with scheduler:
        await job.run_now()
        assert log == ["into a", "work", "out of a"]
    assert len(told.outcomes) == 1


async def test_an_outcome_is_told_when_all_gates_are_left(scheduler: Scheduler, log: Log) -> None:
    job = scheduler.add(log.work(), NEVER, gates=[log.gate("a", slow=5)])
    async with scheduler:
        outcome = await job.run_now()
        assert log == ["into a", "work", "out of a"]
    assert outcome.elapsed == 0  # the function's, not the gates'


async def test_gates_of_a_scheduler_hold_for_all_its_jobs(make: Any, log: Log) -> None:
    scheduler = make(defaults={"gates": [log.gate("a")]})
    ours = scheduler.add(log.work(), NEVER, name="ours")
    free = scheduler.add(log.work(), NEVER, name="free", gates=())
    async with scheduler:
        await free.run_now()
        assert log == ["work"]
        await ours.run_now()
    assert log == ["work", "into a", "work", "out of a"]


async def test_a_group_may_bring_gates(scheduler: Scheduler, log: Log) -> None:
    group = JobGroup(gates=[log.gate("a")])
    group.every(days=1, name="job")(log.work())
    scheduler.include(group)
    async with scheduler:
        await scheduler["job"].run_now()
    assert log == ["into a", "work", "out of a"]


async def test_a_gate_is_part_of_the_run(scheduler: Scheduler) -> None:
    seen: list[bool] = []

    @asynccontextmanager
    async def gate(run: Run) -> AsyncIterator[None]:
        seen.append(current_run() is run)
        yield
        seen.append(current_run() is run)

    async def nothing() -> None: ...

    job = scheduler.add(nothing, NEVER, gates=[gate])
    async with scheduler:
        await job.run_now()
    assert seen == [True, True]


async def test_an_update_brings_other_gates(scheduler: Scheduler, log: Log) -> None:
    job = scheduler.add(log.work(), NEVER, gates=[log.gate("a")])
    async with scheduler:
        job.update(gates=[log.gate("b")])
        await job.run_now()
        job.update(gates=None)
        await job.run_now()
    assert log == ["into b", "work", "out of b", "work"]


# -- gates that break ----------------------------------------------------------------------------


async def test_a_gate_that_raises_refuses(
    scheduler: Scheduler, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    error = OSError("no network")
    gates = [log.gate("a"), log.gate("ping", on_enter=error)]
    job = scheduler.add(log.work(), NEVER, gates=gates)
    async with scheduler:
        outcome = await job.run_now()
        assert scheduler.health().ok
    assert outcome.refusal == Refusal("ping", "error", error)
    assert outcome.error is error
    assert log == ["into a", "into ping", "out of a"]
    assert "gate ping raised for" in caplog.text


@pytest.mark.parametrize("answer", [True, False, "no", 0])
async def test_a_gate_that_answers_anything_else_refuses(
    answer: object, scheduler: Scheduler, log: Log
) -> None:
    job = scheduler.add(log.work(), NEVER, gates=[log.gate("odd", refusal=answer)])
    async with scheduler:
        outcome = await job.run_now()
    assert (outcome.refusal.gate, outcome.refusal.reason) == ("odd", "error")
    assert str(outcome.error) == f"a gate must yield None or a Refusal, got {answer!r}"
    assert log == ["into odd", "out of odd"]


class NoContextManager:
    def __call__(self, run: Run) -> None:
        return None


class Named(NoContextManager):
    name = "by name"


@pytest.mark.parametrize(
    ("gate", "name"), [(NoContextManager(), "NoContextManager"), (Named(), "by name")]
)
async def test_what_is_no_gate_refuses_and_is_named(
    gate: Any, name: str, scheduler: Scheduler, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")
    job = scheduler.add(log.work(), NEVER, gates=[gate])
    async with scheduler:
        outcome = await job.run_now()
    assert (outcome.refusal.gate, outcome.refusal.reason) == (name, "error")
    assert log == []


async def test_a_gate_that_raises_on_the_way_out_changes_nothing(
    scheduler: Scheduler, told: Told, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    gates = [log.gate("a"), log.gate("b", on_exit=OSError("jammed"))]
    job = scheduler.add(log.work(), NEVER, gates=gates)
    async with scheduler:
        outcome = await job.run_now()
        assert scheduler.health().ok
        assert job.running == ()
    assert (outcome.status, outcome.error) == ("succeeded", None)
    assert log == ["into a", "into b", "work", "out of b", "out of a"]
    assert "leaving a gate of" in caplog.text
    assert told.statuses() == ["succeeded"]


# -- cancelled within gates ----------------------------------------------------------------------


async def test_a_run_can_be_cancelled_on_its_way_in(
    scheduler: Scheduler, told: Told, log: Log
) -> None:
    gates = [log.gate("a"), log.gate("b", slow=10)]
    job = scheduler.add(log.work(), NEVER, gates=gates)
    async with scheduler:
        job.trigger_now()
        await asyncio.sleep(5)
        job.remove(cancel=True)
        await settle()
        assert told.statuses() == ["cancelled"]
    assert log == ["into a", "into b", "out of a"]
    assert told.outcomes[0].started_at is None


async def test_a_run_that_is_cancelled_on_its_way_out_has_succeeded(
    scheduler: Scheduler, told: Told, log: Log
) -> None:
    gates = [log.gate("a"), log.gate("b", slow=10)]
    job = scheduler.add(log.work(), NEVER, gates=gates)
    async with scheduler:
        job.trigger_now()
        await asyncio.sleep(15)
        job.remove(cancel=True)
        await settle()
        assert told.statuses() == ["succeeded"]
        assert job.running == ()
    assert log == ["into a", "into b", "work", "out of a"]


async def test_a_gate_may_cancel_the_run(scheduler: Scheduler, told: Told, log: Log) -> None:
    job = scheduler.add(log.work(), NEVER, gates=[log.gate("a", on_enter=asyncio.CancelledError())])
    async with scheduler:
        assert (await job.run_now()).status == "cancelled"
    assert told.statuses() == ["cancelled"]


async def test_a_stop_waits_for_runs_in_their_gates(scheduler: Scheduler, told: Told) -> None:
    entered = asyncio.Event()

    @asynccontextmanager
    async def gate(run: Run) -> AsyncIterator[None]:
        entered.set()
        await asyncio.sleep(5)
        yield

    async def nothing() -> None: ...

    job = scheduler.add(nothing, NEVER, gates=[gate])
    async with scheduler:
        job.trigger_now()
        await entered.wait()
    assert told.statuses() == ["succeeded"]


# -- veto ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "refusal"),
    [
        (None, None),
        (True, None),
        (False, Refusal("hook", "vetoed")),
        ("on holiday", Refusal("hook", "on holiday")),
        ("", Refusal("hook", "")),
    ],
)
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_hook_may_say_no(
    verdict: Any, refusal: Refusal | None, kind: str, scheduler: Scheduler, log: Log
) -> None:
    def hook(run: Run) -> Any:
        log.append(run.job.name)
        return verdict

    async def async_hook(run: Run) -> Any:
        return hook(run)

    async_hook.__name__ = "hook"
    gate = veto(hook if kind == "sync" else async_hook)
    job = scheduler.add(log.work(), NEVER, name="job", gates=[gate])
    async with scheduler:
        outcome = await job.run_now()
    assert outcome.refusal == refusal
    assert log == (["job"] if refusal else ["job", "work"])


async def test_a_hook_that_raises_says_no(
    scheduler: Scheduler, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")

    @veto
    def hook(run: Run) -> bool:
        raise KeyError("no such tenant")

    job = scheduler.add(log.work(), NEVER, gates=[hook])
    async with scheduler:
        outcome = await job.run_now()
    assert (outcome.refusal.gate, outcome.refusal.reason) == ("hook", "error")
    assert isinstance(outcome.error, KeyError)


async def test_an_object_may_be_a_hook(scheduler: Scheduler, log: Log) -> None:
    class Quota:
        """Lets so many runs in."""

        def __init__(self, left: int) -> None:
            self.left = left

        def __call__(self, run: Run) -> bool:
            self.left -= 1
            return self.left >= 0

    job = scheduler.add(log.work(), NEVER, gates=[veto(Quota(2))])
    async with scheduler:
        outcomes = [await job.run_now() for _ in range(3)]
    assert [each.status for each in outcomes] == ["succeeded", "succeeded", "refused"]
    assert outcomes[2].refusal == Refusal("Quota", "vetoed")


async def test_a_veto_keeps_its_hooks_name() -> None:
    def before(run: Run) -> None:
        """Look first."""

    gate = veto(before)
    assert (gate.__name__, gate.__doc__) == ("before", "Look first.")


async def test_limits_come_before_gates(scheduler: Scheduler, told: Told, log: Log) -> None:
    work = Work()
    job = scheduler.add(work, NEVER, gates=[log.gate("a")])
    async with scheduler:
        job.trigger_now()
        await settle()
        job.trigger_now()
        await settle()
        assert log == ["into a"]
        assert told.reasons() == [("job_limit", "running")]
        work.end()
