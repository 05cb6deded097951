"""The machinery put together, and its life: start, pause, drain, stop, fail."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from datetime import datetime, tzinfo
from typing import Any, Literal, ParamSpec, TypeVar

from aiosched._engine import catchup
from aiosched._engine.build import Shop
from aiosched._engine.bus import Bus
from aiosched._engine.dispatcher import Dispatcher
from aiosched._engine.drain import DrainReport, drain
from aiosched._engine.electors import Electors
from aiosched._engine.forecast import upcoming
from aiosched._engine.health import Health, Watch
from aiosched._engine.lockers import Lockers
from aiosched._engine.logs import tell_vain_promises
from aiosched._engine.planner import Planner
from aiosched._engine.record import JobRecord
from aiosched._engine.registry import Registry
from aiosched._engine.spread import Spread
from aiosched._engine.timepiece import Timepiece
from aiosched._engine.timing import by_elapsed
from aiosched.durations import SECOND
from aiosched.errors import SchedulerClosed, SchedulerFailed
from aiosched.events import ClockStepped, SchedulerChanged, SchedulerState
from aiosched.executors import ProcessExecutor, ThreadExecutor
from aiosched.model import Cause, JobState
from aiosched.moments import from_us
from aiosched.options import JobSpec
from aiosched.protocols import Clock

log = logging.getLogger("aiosched")
P = ParamSpec("P")
T = TypeVar("T")

_SLICE = 1_000  # jobs planned before the loop has its turn


class Engine:
    """Everything behind a `Scheduler`."""

    def __init__(  # noqa: PLR0913 - the scheduler's own options
        self,
        *,
        clock: Clock,
        timezone: tzinfo,
        max_running: int | None,
        when_full: Literal["queue", "skip"],
        on_failure: Literal["raise", "exit"],
        spread: Spread,
        base: JobSpec,
        job_type: type[JobRecord],
    ) -> None:
        self.time = Timepiece(clock)
        self.state = SchedulerState.NEW
        self.error: BaseException | None = None
        self.failed = asyncio.Event()
        self.bus = Bus()
        self.watch = Watch(self.time)
        self.electors = Electors(self.time, self.bus, self._elected)
        self.lockers = Lockers(self.time, spread, self.electors)
        self.planner = Planner(self.time, self.bus, self._wake)
        self.dispatcher = Dispatcher(
            time=self.time,
            bus=self.bus,
            planner=self.planner,
            max_running=max_running,
            skip_when_full=when_full == "skip",
            on_idle=self._finish,
            on_success=self.watch.succeeded,
            on_failure=self.fail,
            on_trigger_error=lambda job, error: self.registry.broken(job, error),  # noqa: PLW0108
        )
        self.registry = Registry(
            engine=self,
            make=job_type,
            time=self.time,
            bus=self.bus,
            planner=self.planner,
            dispatcher=self.dispatcher,
            lockers=self.lockers,
            watch=self.watch,
            shop=Shop(timezone, ThreadExecutor(), ProcessExecutor()),
            base=base,
        )
        self.draining = False
        self._on_failure = on_failure
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[DrainReport] | None = None
        self._hurried = asyncio.Event()
        self._waiting_for_stop: set[asyncio.Task[Any] | None] = set()

    # -- life -----------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether runs can be fired."""
        return self.state in (SchedulerState.RUNNING, SchedulerState.PAUSED)

    async def start(self) -> None:
        """Open the lockers, plan every job, and begin.

        Raises:
            SchedulerClosed: It runs already, is starting or stopping, or was stopped meanwhile.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not None and not self._loop.is_closed():
            raise SchedulerClosed(f"the scheduler cannot be started: it is {self.state}")
        was_left = self._loop is not None
        self._loop, self._opening, self._stopping = loop, None, None
        self._thread = threading.get_ident()
        self._hurried = asyncio.Event()
        try:
            if was_left:
                await self._bury()
            await self._open()
            self._begin(loop)
            await self._plan_all()
        except BaseException:
            await self.stop(drain_first=False, timeout=0.0)
            raise
        self.planner.refresh()

    async def _open(self) -> None:
        assert self._loop is not None  # noqa: S101 - start() has set it
        self._opening = self._loop.create_task(self._open_all(), name="aiosched start")
        try:
            await asyncio.wait({self._opening})
        finally:
            self._opening.cancel()
        if self._stopping is not None or self._opening.cancelled():
            raise SchedulerClosed("the scheduler was stopped while it was starting")
        self._opening.result()

    async def _open_all(self) -> None:
        await self.lockers.open(self.used("locker"))
        await self.electors.open(self.used("elector"))

    async def _close_all(self) -> None:
        try:
            await self.electors.close()
        finally:
            await self.lockers.close()

    def give_up_opening(self) -> None:
        """Let a start fail that still waits for a locker."""
        if self._opening is not None:
            self._opening.cancel()

    async def _bury(self) -> None:
        """Forget what went on in a loop that was closed without a stop."""
        self.planner.stop()
        self._forget_plans()
        self._tasks.clear()
        self.dispatcher.dismiss()
        await self._close_all()

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        context = contextvars.copy_context()
        self.draining = False
        self.error = None
        self.failed = asyncio.Event()
        self.watch.begin()
        self.bus.start(loop, context)
        self.planner.start(loop, context)
        self.dispatcher.start(loop, context)
        self._become(SchedulerState.RUNNING)
        self.electors.begin()

    async def _plan_all(self) -> None:
        """Plan every job, in slices; fire what runs on a start, and make up for what was missed."""
        for count, job in enumerate(tuple(self.registry.by_name.values()), 1):
            if job._state is JobState.SCHEDULED:
                self._plan_first(job)
            if not count % _SLICE:
                self.planner.refresh()
                await asyncio.sleep(0)
                if self._stopping is not None:
                    raise SchedulerClosed("the scheduler was stopped while it was starting")

    def _plan_first(self, job: JobRecord) -> None:
        tell_vain_promises(job)
        if job._due is None:
            self.registry.begin(job)
        if job._is_spent or (job._pause_until or 0) > self.planner.wall:
            return
        if job._spec.run_on_start:
            self.dispatcher.fire(job, self.planner.wall, Cause.START)
            if job._spec.from_completion and job._runs:
                self.planner.unplan(job)  # the interval counts from the end
        if catchup.wants_it(job) and self.electors.may_lead(job._spec.elector):
            self.spawn(self._make_up(job, self.planner.wall), f"{job.name} (catch-up)")

    async def stop(self, *, drain_first: bool, timeout: float) -> DrainReport:
        """Fire no more, let runs end for *timeout* seconds, cancel the rest, and close everything.

        Whoever calls it a second time waits for the first, and without *drain_first* hurries it;
        cancelling a caller leaves it going on.
        """
        if self._loop is None:
            return DrainReport()
        if self._loop is not asyncio.get_running_loop():
            raise SchedulerClosed("the scheduler was started on another event loop: stop it there")
        if self._stopping is None:
            work = self._stop(timeout if drain_first else 0.0)
            self._stopping = self._loop.create_task(work, name="aiosched stop")
        elif not drain_first:
            self.hurry()
        self._waiting_for_stop.add(asyncio.current_task())
        # Shielded: a cancelled caller must not leave locks and tasks behind.
        return await asyncio.shield(self._stopping)

    async def _stop(self, timeout: float) -> DrainReport:
        has_run = self.is_running
        self.draining = True
        if has_run:
            self._become(SchedulerState.DRAINING)
        self.planner.stop()
        helpers = [*self._tasks, *([] if self._opening is None else [self._opening])]
        for task in helpers:
            task.cancel()
        try:
            report = await self._drain(timeout)
            await asyncio.gather(*helpers, return_exceptions=True)
        finally:
            await self._close_all()
            self._forget_plans()
            if has_run:
                self._become(SchedulerState.STOPPED)
            await self.bus.drain(5.0, besides=self._waiting_for_stop)
            self.bus.close_streams()
            self._waiting_for_stop.clear()
            self._loop = None
        return report

    async def _drain(self, timeout: float) -> DrainReport:
        try:
            return await drain(self.dispatcher, timeout, self._hurried)
        except asyncio.CancelledError:
            # Somebody cancels all tasks of the loop, us among them: locks must be given back still.
            self.hurry()
            return await drain(self.dispatcher, 0.0, self._hurried)

    def hurry(self) -> None:
        """Cancel what a drain is waiting for, and no longer wait for threads."""
        self._hurried.set()
        for task in tuple(self.dispatcher.tasks.values()):
            task.cancel("told to stop at once")

    def pause(self) -> None:
        """Let nothing be due until `resume`; runs that go on are not touched."""
        self.check_running()
        if self.state is SchedulerState.RUNNING:
            self.planner.stop()
            self._forget_plans(phase=True)
            self._become(SchedulerState.PAUSED)

    def resume(self) -> None:
        """Go on; what would have been due meanwhile is not made up for."""
        self.check_running()
        if self.state is SchedulerState.PAUSED:
            self.planner.go_on()
            self.planner.read_quietly()
            self._become(SchedulerState.RUNNING)
            jobs = list(self.registry.by_name.values())
            for job in jobs[:_SLICE]:
                self.registry.begin(job)
            if len(jobs) > _SLICE:
                self.spawn(self._replan(jobs[_SLICE:]), "aiosched resume")
            self._wake()

    async def _replan(self, jobs: list[JobRecord]) -> None:
        for count, job in enumerate(jobs, 1):
            if job._state is JobState.SCHEDULED and job._due is None and self.planner.active:
                self.registry.begin(job)
            if not count % _SLICE:
                self.planner.refresh()
                await asyncio.sleep(0)
        self.planner.refresh()

    def fail(self, error: BaseException) -> None:
        """The machinery itself has raised: stop firing, and be loud."""
        if self.state is SchedulerState.FAILED:
            return
        log.critical("the scheduler's machinery failed: %r", error, exc_info=error)
        self.error = error
        self.failed.set()
        self.planner.stop()
        self._become(SchedulerState.FAILED, error)
        self.spawn(self.electors.close(), "aiosched resign")  # who fires nothing must not lead
        if self._on_failure == "exit":
            os.kill(os.getpid(), signal.SIGTERM)

    def raise_failure(self) -> None:
        """Raise `SchedulerFailed` if the machinery has failed."""
        if self.error is not None:
            raise SchedulerFailed(
                f"the scheduler's machinery failed: {self.error!r}"
            ) from self.error

    def use_clock(self, clock: Clock) -> None:
        """Read another clock, from the next start on; moments of the last one are forgotten."""
        self.time.use(clock)
        self.lockers.tell_clock()
        self.electors.tell_clock()
        for job in self.registry.by_name.values():
            job._prev, job._overdue = None, False

    def health(self) -> Health:
        """Return how the scheduler is."""
        problems: list[str] = []
        if self.is_running:
            problems += self.lockers.problems() + self.electors.problems()
            problems += self.watch.problems(self.registry.by_name.values())
        if self.error is not None:
            problems.insert(0, f"the scheduler's machinery failed: {self.error!r}")
        return Health(
            ok=self.is_running and not problems,
            state=self.state,
            problems=tuple(problems),
            jobs=len(self.registry.by_name),
            running=len(self.dispatcher.tasks),
            queued=len(self.dispatcher.queued),
        )

    # -- for jobs and the scheduler --------------------------------------------------------------

    def check_running(self) -> None:
        """Raise `SchedulerClosed` unless runs can be fired."""
        if not self.is_running:
            raise SchedulerClosed(f"the call needs a running scheduler; this one is {self.state}")

    def check_loop(self) -> None:
        """Raise `SchedulerClosed` if the caller is in another event loop than the runs."""
        if self._loop is not asyncio.get_running_loop():
            raise SchedulerClosed("the scheduler runs on another event loop: await this there")

    def in_loop(self, call: Callable[P, T]) -> Callable[P, T]:
        """Return what makes a change where the machinery runs: *call*, if the caller is there.

        A sync job calls from its worker thread, which then waits for the loop.
        """
        loop = self._loop
        if loop is None or threading.get_ident() == self._thread or not loop.is_running():
            return call
        return _handed_over(call, loop)

    def forecast(self, job: JobRecord, n: int) -> list[datetime]:
        """Return up to *n* coming occurrences of *job*."""
        return upcoming(job, self.planner, self.time.now(), n)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Own a task that ends with the scheduler at the latest."""
        assert self._loop is not None  # noqa: S101 - callers check
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    # -- inside ---------------------------------------------------------------------------------

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.fail(error)

    def _wake(self) -> None:
        """The timer: notice a step of the wall clock, and fire what is due."""
        try:
            step = self.planner.read()
            if step:
                self._stepped(step)
            self.dispatcher.fire_due()
        except Exception as error:  # noqa: BLE001 - whatever it is, it must be loud
            self.fail(error)

    def _stepped(self, step: int) -> None:
        log.warning("the wall clock stepped by %+.3f s", step / SECOND)
        if self.planner.store_offsets:
            self.planner.store_offsets.clear()
            self.spawn(self._wake_anew(), "aiosched step")
        at = from_us(self.planner.wall)
        self.bus.publish(ClockStepped(at=at, seconds=step / SECOND))

    async def _wake_anew(self) -> None:
        for count, job in enumerate(tuple(self.registry.by_name.values()), 1):
            self.planner.wake_anew(job)
            if not count % _SLICE:
                await asyncio.sleep(0)
        self.planner.refresh()

    async def _make_up(self, job: JobRecord, started_at: int) -> None:
        try:
            await catchup.make_up(job, started_at, self.dispatcher, self.lockers)
        except Exception:
            log.exception("catch-up of job %s failed", job.name)

    def _elected(self, elector: Any) -> None:
        """Make up for what came due while others led, or nobody."""
        if self.state is not SchedulerState.RUNNING:
            return
        now = self.time.now()
        for job in self.registry.by_name.values():
            is_led = job._spec.elector is elector and catchup.wants_it(job)
            if is_led and job._state is JobState.SCHEDULED and (job._pause_until or 0) <= now:
                self.spawn(self._make_up(job, now), f"{job.name} (catch-up)")

    def _finish(self, job: JobRecord) -> None:
        self.registry.finish(job)

    def _become(self, state: SchedulerState, error: BaseException | None = None) -> None:
        self.state = state
        self.bus.publish(SchedulerChanged(at=from_us(self._now()), state=state, error=error))

    def _now(self) -> int:
        try:
            return self.time.now()
        except Exception:  # noqa: BLE001 - a clock of the user's own, which may be what has failed
            return self.planner.wall

    def used(self, option: Literal["locker", "elector"]) -> list[Any]:
        """Return the lockers or electors of all jobs, each once."""
        used = [getattr(job._spec, option) for job in self.registry.by_name.values()]
        return [each for each in {id(each): each for each in used}.values() if each is not None]

    def _forget_plans(self, *, phase: bool = False) -> None:
        for job in self.registry.by_name.values():
            self.planner.forget(job)
            if not phase and by_elapsed(job._trigger, job._spec):
                job._prev = None  # unanchored intervals begin anew with the next start


def _handed_over(call: Callable[P, T], loop: asyncio.AbstractEventLoop) -> Callable[P, T]:
    """Return what has *call* called by *loop*, from another thread, and waits for its result."""

    def hand_over(*args: P.args, **kwargs: P.kwargs) -> T:
        result: Future[T] = Future()

        def work() -> None:
            try:
                result.set_result(call(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller
                result.set_exception(error)

        loop.call_soon_threadsafe(work)
        return result.result()

    return hand_over
