"""From due to outcome: takes due jobs out of the wheel, makes their runs, and settles them."""

from __future__ import annotations

import asyncio
import heapq
import sys
from asyncio import Task
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from aiosched._engine import logs, shortcut
from aiosched._engine.admission import Admission
from aiosched._engine.current import find_current
from aiosched._engine.eager import Start, starter
from aiosched._engine.outcome import SUCCEEDED, TRIGGER, outcome_of, remember
from aiosched._engine.postponed import Postponements
from aiosched._engine.record import JobRecord
from aiosched._engine.runner import Runner
from aiosched._engine.timepiece import Timepiece
from aiosched._engine.wheel import IDLE
from aiosched.events import Started
from aiosched.model import Cause, JobState, Refusal, Run, Status
from aiosched.moments import from_us

if TYPE_CHECKING:
    from aiosched._engine.bus import Bus
    from aiosched._engine.planner import Planner

_SLICE: Final = 1_000  # microseconds of firing before the loop has its turn
_AT_ONCE: Final = 64  # overdue occurrences of one job: about 0.2 ms
_LATE: Final = Refusal("misfire", "too_late")
_COALESCED: Final = Refusal("coalesce", "superseded")
_OCCURRENCES: Final = frozenset({Cause.TRIGGER, Cause.CATCH_UP, Cause.REDELIVERY})
_STOPPED: Final = frozenset({JobState.PAUSED, JobState.REMOVED})
_ENOUGH: Final = Refusal("job_limit", "max_runs")


class Dispatcher:
    """Fires, launches and settles runs.

    Args:
        time: Where time comes from.
        bus: Where starts and outcomes are published.
        planner: Where the next occurrences are planned.
        admission: The limits.
        on_idle: Called with a job when it has nothing planned and nothing running.
        on_failure: Called when the machinery itself has raised.
        on_trigger_error: Called with a job whose trigger has raised.
    """

    def __init__(  # noqa: PLR0913 - wired in one place, by the engine
        self,
        *,
        time: Timepiece,
        bus: Bus,
        planner: Planner,
        max_running: int | None,
        skip_when_full: bool,
        on_idle: Callable[[JobRecord], None],
        on_success: Callable[[JobRecord], None],
        on_failure: Callable[[BaseException], None],
        on_trigger_error: Callable[[JobRecord, Exception], None],
    ) -> None:
        self.time = time
        self.bus = bus
        self.planner = planner
        self.admission = Admission(
            max_running, skip_when_full=skip_when_full, refuse=self._refuse_queued
        )
        self.postponed = Postponements(self.admission, planner, self.begin)
        self.postpone = self.postponed.postpone
        self.runner = Runner(self)
        self.tasks: dict[Run, Task[None]] = {}  # every run that has one; asyncio's own are weak
        self.prioritised = 0  # jobs with a priority other than 0
        self._on_idle = on_idle
        self._on_success = on_success
        self._on_failure = on_failure
        self._on_trigger_error = on_trigger_error
        self._ranked: list[tuple[int, int, Run]] = []  # fired runs, by priority, to be launched
        self._seq = 0
        self._continuing = False
        self._unentered: deque[Run] = deque()
        self.at_once = False
        self._occurring: JobRecord | None = None
        self._start: Start | None = None
        self._fire: shortcut.Fire | None = None
        self._loop: asyncio.AbstractEventLoop
        self._context: Context

    def start(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        """Run on *loop*, each run in a copy of *context*."""
        self._loop = loop
        self._context = context
        self._continuing = False
        self._start = start = starter(loop)
        self._fire = None if start is None else shortcut.way(self, loop, start, context)
        self._unentered.clear()
        for run, task in tuple(self.tasks.items()):
            if task.get_loop() is not loop:
                self._bury(run)

    # -- due ------------------------------------------------------------------------------------

    def fire_due(self) -> None:
        """Fire what is due, for about a millisecond; the rest in the loop's next turn.

        Runs begin at once. So whatever a run does, it does in the middle of this.
        """
        planner = self.planner
        planner.held = True
        self.at_once = self._start is not None and asyncio.current_task(self._loop) is None
        try:
            finished = self._fire_slice()
        except BaseException:
            self._continue()  # an exit that a run asked for: the others are not to blame
            raise
        finally:
            self.at_once = planner.held = False
        return planner.arm() if finished else self._continue()

    def _fire_slice(self) -> bool:
        """Fire for about a millisecond. Was that all?"""
        planner = self.planner
        monotonic = self.time.monotonic
        until = planner.mono + _SLICE
        fire = self._fire if self.at_once else None
        count = 0
        for wheel, now in ((planner.instants, planner.wall), (planner.ladder, planner.mono)):
            for job in wheel.due(now):
                if not planner.active:
                    return True  # a run has paused the scheduler, or its machinery has failed
                if fire is None or not job._spec.is_usual or not fire(job, now):
                    self._occur(job, now)
                count += 1
                if not count & 7 and monotonic() >= until:
                    return False
        return not self._ranked or self._launch_ranked(until)

    def fire(
        self,
        job: JobRecord,
        due: int,
        cause: Cause,
        *,
        backlog: bool = False,
        waiter: asyncio.Future[Any] | None = None,
    ) -> Run:
        """Fire one run that the trigger has not asked for now.

        Args:
            job: The job.
            due: The wall moment it stands for.
            cause: Why.
            backlog: It waits for the job's limit, whatever the job's overlap policy.
            waiter: Gets the outcome.
        """
        job._fired += 1
        run = Run(job, due, due, job._fired, cause)
        run._backlog = backlog
        run._waiter = waiter
        if waiter is not None:
            run._origin = find_current()
        self.launch(run)
        return run

    def launch(self, run: Run) -> None:
        """Let *run* in, or refuse it."""
        refusal = self.admission.enter(run, self.begin)
        if refusal is not None:
            self.conclude(run, Status.REFUSED, refusal)

    def withdraw(self, run: Run, reason: BaseException | None = None) -> bool:
        """Cancel a run that has no task yet, because it is queued. Had it none?"""
        ranked = [item for item in self._ranked if item[2] is not run]
        if len(ranked) < len(self._ranked):
            heapq.heapify(ranked)
            self._ranked = ranked
        elif run._task is not None or not self.admission.withdraw(run):
            return False
        run._error = reason
        self.conclude(run, Status.CANCELLED, None)
        return True

    def dismiss(self) -> list[Run]:
        """Empty the queues; return who was in. The caller must cancel those that have a task."""
        waiting = list(self.queued)
        self._ranked.clear()
        self.admission.dismiss()
        for run in waiting:
            if run._task is None:
                self.conclude(run, Status.CANCELLED, None)
        return waiting

    def cancel_waiting(self, job: JobRecord, why: str) -> None:
        """Cancel the runs of *job* that wait: for a limit, for their turn, or for a store."""
        for run in (*self.queued, *self.postponed.away):
            if run.job is job and not self.withdraw(run) and run._task is not None:
                run._task.cancel(why)

    def cancel_runs(self, job: JobRecord, why: str) -> None:
        """Cancel every run of *job* that has a task."""
        for run, task in tuple(self.tasks.items()):
            if run.job is job:
                task.cancel(why)

    @property
    def queued(self) -> tuple[Run, ...]:
        """Runs that wait for a limit, or for their turn in a burst."""
        return (*self.admission.waiting, *(item[2] for item in self._ranked))

    def _continue(self) -> None:
        if not self._continuing:
            self._continuing = True
            self._loop.call_soon(self._next_slice, context=self._context)

    def _next_slice(self) -> None:
        self._continuing = False
        if not self.planner.active:
            return
        try:
            self.planner.read_quietly()
            self.fire_due()
        except Exception as error:  # noqa: BLE001 - whatever it is, it must be loud
            self._on_failure(error)

    def _occur(self, job: JobRecord, now: int) -> None:
        """Take what is due of *job*: the occurrence, or with it those that are overdue behind it.

        A scheduler that is behind must come to an occurrence that runs: would it take one at a time
        through the wheel, as many might fall due meanwhile.
        """
        self._occurring = job
        try:
            more = self._take(job, now)
            left = _AT_ONCE
            while more and left and job._wheel is not None and IDLE != job._at <= now:
                job._wheel.discard(job)
                more = self._take(job, now)
                left -= 1
        finally:
            self._occurring = None
        if job._spec.max_runs is not None and job._is_spent:
            self.planner.unplan(job)
            self.rest(job)

    def _take(self, job: JobRecord, now: int) -> bool:
        """Take one due occurrence of *job*: run it or miss it, and plan the next.

        Is the next one overdue, too?
        """
        due = job._due
        spec = job._spec
        planner = self.planner
        if due is None:
            return False
        job._prev = due
        job._nth += 1
        job._fired += 1
        following = None
        if not spec.from_completion:
            try:
                following = planner.following(job, due)
            except Exception as error:  # noqa: BLE001 - a trigger of the user's own
                self._on_trigger_error(job, error)
        elapsed = job._wheel is planner.ladder
        wake = due if spec.is_usual else planner.wake_of(job, due)
        offset = planner.offset if elapsed else 0
        run = Run(job, due + offset, wake + offset, job._fired, TRIGGER)
        if not planner.place(job, following):
            following = None
        slack = 0 if spec.is_usual else spec.jitter + planner.behind(spec)
        overdue = following is not None and following + slack <= now
        if overdue or job._overdue or spec.misfire_grace is not None:
            self._occur_late(run, now - wake, overdue=overdue)
        elif self.prioritised:
            self._rank(run)
        else:
            refusal = self.admission.enter(run, self.begin)
            if refusal is not None:
                self.conclude(run, Status.REFUSED, refusal)
        return overdue

    def _occur_late(self, run: Run, late: int, *, overdue: bool) -> None:
        """Decide on an occurrence that is late, or one of several that are overdue."""
        job: JobRecord = run.job
        spec = job._spec
        earlier = job._overdue
        if spec.misfire_grace is not None and late > spec.misfire_grace:
            return self.conclude(run, Status.MISSED, _LATE)
        job._overdue = overdue
        skipped = {"latest": overdue, "earliest": earlier, "all": False}[spec.coalesce]
        if skipped:
            return self.conclude(run, Status.MISSED, _COALESCED)
        run._backlog = spec.coalesce == "all" and (overdue or earlier)
        return self._rank(run) if self.prioritised else self.launch(run)

    def _rank(self, run: Run) -> None:
        self._seq += 1
        heapq.heappush(self._ranked, (-run.job._spec.priority, self._seq, run))

    def _launch_ranked(self, until: int) -> bool:
        while self._ranked:
            self.launch(heapq.heappop(self._ranked)[2])
            if self.time.monotonic() >= until:
                return False
        return True

    # -- run ------------------------------------------------------------------------------------

    def begin(self, run: Run) -> None:
        """Give *run*, which was let in, a task: at once if it is fired just now and has no gates.

        What a run in turn lets in begins in the next turn, or they would nest without an end.
        """
        job: JobRecord = run.job
        runner = self.runner
        work = runner.conduct(run) if job._recipe.gates is None else runner.perform(run)
        context = job._spec.context
        if context is None:
            context = self._context
        start = self._start
        if self.at_once and start is not None and job._recipe.gates is None:
            self.at_once = False
            start(work, job.name, context.copy())
            self.at_once = True
            return
        task: Task[None] = Task(work, loop=self._loop, name=job.name, context=context.copy())
        run._task = self.tasks[run] = task
        self._unentered.append(run)
        if len(self._unentered) == 1:
            self._loop.call_soon(self._check_entered, context=self._context)

    def _check_entered(self) -> None:
        """Settle runs whose task was cancelled before its first step, which runs no line of theirs.

        One such look at all that began in a loop's turn is much cheaper than a callback for each.
        """
        runs = self._unentered
        while runs and (runs[0]._entered or _is_done(runs[0])):
            run = runs.popleft()
            if not run._entered:
                self._settle_unentered(run)
        if runs:
            self._loop.call_soon(self._check_entered, context=self._context)

    def _settle_unentered(self, run: Run) -> None:
        if run._granted is None:
            return self.settle(run)
        # The lock that came with it goes back first, in the run's name, so that a drain sees it.
        work = self.runner.give_back(run)
        run._task = self.tasks[run] = Task(work, loop=self._loop, name=run.job.name)
        return None

    def started(self, run: Run) -> Refusal | None:
        """Count and publish the start, unless the job has had all its runs."""
        job: JobRecord = run.job
        limit = job._spec.max_runs
        if limit is not None:
            if job._started >= limit:
                return _ENOUGH
            if job._started + 1 == limit and job is not self._occurring:
                self.planner.unplan(job)  # else when all that is overdue has had its outcome
        job._started += 1
        if self.bus.wants_started:
            self.bus.publish(Started(at=from_us(self._wall()), run=run))
        return None

    def _refuse_queued(self, run: Run, refusal: Refusal) -> None:
        if not self.postponed.refuse(run, refusal):
            self.conclude(run, Status.REFUSED, refusal)

    # -- outcome --------------------------------------------------------------------------------

    def conclude(self, run: Run, status: Status, refusal: Refusal | None) -> None:
        """End a run that never had a task."""
        run._status = status
        run._refusal = refusal
        run._ended = self.time.monotonic()
        self.tell(run)
        self.rest(run.job)

    def settle(self, run: Run) -> None:
        """Free the slots of a run that has left its gates, and publish its outcome.

        The last thing that its task does.
        """
        try:
            job: JobRecord = run.job
            if self.tasks.pop(run, None) is None:
                return  # its loop was closed, and it has been told
            task, run._task = run._task, None
            error = sys.exception()
            if error is not None:
                self._note_end(run, task, error)
            if job._runs is not None and run in job._runs:
                self.admission.leave(run)
            if not run._told:
                self.tell(run)
            if run._lock_lost:
                self._deliver_again(run)
            if job._at == IDLE:
                self.rest(job)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must be loud
            self._on_failure(error)

    def _deliver_again(self, run: Run) -> None:
        """Ask for what *run* did not complete, as it may be that no other replica watches it."""
        job: JobRecord = run.job
        is_ours = job._spec.delivery == "at_least_once" and run.cause in _OCCURRENCES
        if is_ours and not (job.draining or job._is_spent or job._state in _STOPPED):
            self.fire(job, run.due_us, Cause.REDELIVERY, backlog=True)

    def _bury(self, run: Run) -> None:
        """End a run whose loop is not ours any more: it was abandoned, or its loop was closed."""
        run._task = run._waiter = None
        del self.tasks[run]
        self.postponed.away.discard(run)
        if run.job._runs is not None and run in run.job._runs:
            self.admission.leave(run)
        if not run._told:
            self.tell(run)

    def _note_end(self, run: Run, task: Task[None] | None, error: BaseException) -> None:
        """The task ends by *error*: a cancellation, an exit, or our own code has raised."""
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            return
        if task is not None:
            task.add_done_callback(_hear)
        if run._status is None:
            run._status = Status.FAILED
            run._error = error
            if isinstance(error, Exception):
                self._on_failure(error)

    def tell(self, run: Run) -> None:
        """Publish the outcome of a run, which need not have left its gates."""
        job: JobRecord = run.job
        if run._status is None:
            run._status = Status.CANCELLED
        if run._ended == 0:
            run._ended = self.time.monotonic()
        run._told = True
        run._offset = self.planner.offset
        job._last = run if self.bus.wants_outcome else remember(job, run)
        if run._status is SUCCEEDED:
            if job._spec.expect_within is not None:
                self._on_success(job)
        elif run._error is not None:
            logs.tell_failure(run)
        elif run._refusal is not None:
            logs.tell_refusal(run)
        if run._waiter is not None and not run._waiter.done():
            run._waiter.set_result(outcome_of(run))
        if self.bus.wants_outcome:
            self.bus.publish(outcome_of(run))

    def rest(self, job: JobRecord) -> None:
        """Plan what waited for the end of a run; a job with nothing more to come is finished."""
        if job._at != IDLE or job._runs or job._queue or job._state is not JobState.SCHEDULED:
            return None
        if job._wheel is None:
            return None  # it has not been planned yet
        planner = self.planner
        if job._spec.from_completion and not job._is_spent and planner.active:
            try:
                if planner.place_after_completion(job):
                    return planner.arm()
            except Exception as error:  # noqa: BLE001 - a trigger of the user's own
                self._on_trigger_error(job, error)
        return self._on_idle(job)

    def _wall(self) -> int:
        return self.time.monotonic() + self.planner.offset


def _hear(task: Task[None]) -> None:
    """Take note of what a task has raised, so that asyncio does not call it never retrieved."""
    if not task.cancelled():
        task.exception()


def _is_done(run: Run) -> bool:
    return run._task is None or run._task.done()
