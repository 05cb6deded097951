"""The two limits: how many runs of a job, and how many in all, may go on at once in this process.

A run passes the job's limit first and then holds a slot of the job, also while it waits for one of
the scheduler. Nothing here waits: whoever enters is let in now, refused now, or called back later.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from aiosched.model import Refusal, Run

if TYPE_CHECKING:
    from aiosched._engine.record import JobRecord

Go = Callable[[Run], None]

RUNNING: Final = Refusal("job_limit", "running")
QUEUE_FULL: Final = Refusal("job_limit", "queue_full")
REPLACED: Final = Refusal("job_limit", "replaced")
FULL: Final = Refusal("scheduler_limit", "full")


class Admission:
    """Lets runs in.

    Args:
        max_running: Runs at once in the scheduler; None: no limit.
        skip_when_full: Refuse instead of queueing when there are so many.
        refuse: Called with a queued run that is refused after all.
    """

    __slots__ = ("_heap", "_kept", "_seq", "_waiting", "max_running", "refuse", "running", "skip")

    def __init__(
        self,
        max_running: int | None,
        *,
        skip_when_full: bool,
        refuse: Callable[[Run, Refusal], None],
    ) -> None:
        self.max_running = max_running
        self.skip = skip_when_full
        self.refuse = refuse
        self.running = 0
        self._seq = 0
        self._heap: list[tuple[int, int, Run]] = []  # runs with a job's slot, without a scheduler's
        self._kept: dict[JobRecord, None] = {}  # jobs whose queue waits although they have room
        self._waiting: dict[Run, Go] = {}  # every queued run

    @property
    def waiting(self) -> tuple[Run, ...]:
        """Runs that are queued, for a job's limit or the scheduler's."""
        return tuple(self._waiting)

    @property
    def has_waiting(self) -> bool:
        """Whether anybody is queued."""
        return bool(self._waiting)

    def enter(self, run: Run, go: Go) -> Refusal | None:
        """Let *run* in: `go(run)` is called now or when its turn comes, unless it is refused.

        Whoever was let in must `leave`.
        """
        job: JobRecord = run.job
        runs = job._runs
        if runs is None:
            if self.max_running is None or self.running < self.max_running:
                self.running += 1
                job._runs = {run: None}
                go(run)
                return None
        elif (limit := job._spec.max_instances) is not None and len(runs) >= limit:
            return self._overlap(run, go)
        return self._take(run, go)

    def would_queue(self, job: JobRecord) -> bool:
        """Say whether a run of *job*, entering now, would wait for a slot of the scheduler."""
        limit = job._spec.max_instances
        if self.skip or not self._is_full():
            return False
        return limit is None or len(job._runs or ()) < limit

    def leave(self, run: Run) -> None:
        """Give the slots of *run* back and let in who waited for them."""
        self.running -= 1
        if self._heap:
            self._release()
        self._leave_job(run)
        if self._kept:
            self._let_kept_in()

    def hand_over(self, run: Run, successor: Run) -> None:
        """Let *successor*, of the same job, have the slots of *run* without a gap."""
        runs = run.job._runs
        del runs[run]
        runs[successor] = None

    def withdraw(self, run: Run) -> bool:
        """Take *run* out of the queues. Was it in one?"""
        if self._waiting.pop(run, None) is None:
            return False
        job: JobRecord = run.job
        if job._queue is not None and run in job._queue:
            job._queue.remove(run)
            self._tidy(job)
        else:
            self._heap = [item for item in self._heap if item[2] is not run]
            heapq.heapify(self._heap)
            self._leave_job(run)
        return True

    def dismiss(self) -> list[Run]:
        """Take every run out of the queues, and let none in for it."""
        waiting = list(self._waiting)
        self._waiting.clear()
        self._heap.clear()
        for run in waiting:
            job: JobRecord = run.job
            job._queue = None
            if job._runs is not None and run in job._runs:
                self._leave_job(run)
        return waiting

    def _is_full(self) -> bool:
        return self.max_running is not None and self.running >= self.max_running

    def _take(self, run: Run, go: Go) -> Refusal | None:
        if self._is_full():
            if self.skip:
                return FULL
            self._hold(run)
            self._waiting[run] = go
            self._seq += 1
            heapq.heappush(self._heap, (-run.job._spec.priority, self._seq, run))
            return None
        self._hold(run)
        self.running += 1
        go(run)
        return None

    def _overlap(self, run: Run, go: Go) -> Refusal | None:
        job: JobRecord = run.job
        spec = job._spec
        if spec.overlap == "replace" and not run._backlog:
            self._replace(run, go)
            return None
        queue = job._queue
        if not run._backlog:
            if spec.overlap == "skip":
                return RUNNING
            bounded = sum(not each._backlog for each in queue or ())
            if spec.max_queued is not None and bounded >= spec.max_queued:
                return QUEUE_FULL
        self._enqueue(run, go)
        return None

    def _replace(self, run: Run, go: Go) -> None:
        job: JobRecord = run.job
        for waiting in tuple(job._queue or ()):
            if not waiting._backlog:
                self.withdraw(waiting)
                self.refuse(waiting, REPLACED)
        self._enqueue(run, go)
        oldest = next(iter(job._runs or ()))  # somebody is in, or there were nobody to replace
        if self.withdraw(oldest):  # it only waited for the scheduler's limit
            self.refuse(oldest, REPLACED)
        elif oldest._task is not None and not oldest._replaced:
            oldest._replaced = True  # a second time would break into its cleaning up
            oldest._task.cancel("replaced by a newer run")

    def _enqueue(self, run: Run, go: Go) -> None:
        job: JobRecord = run.job
        if job._queue is None:
            job._queue = deque()
        job._queue.append(run)
        self._waiting[run] = go

    def _release(self) -> None:
        limit = self.max_running
        while self._heap and (limit is None or self.running < limit):
            _, _, run = heapq.heappop(self._heap)
            self.running += 1
            self._waiting.pop(run)(run)

    def _hold(self, run: Run) -> None:
        job: JobRecord = run.job
        if job._runs is None:
            job._runs = {run: None}
        else:
            job._runs[run] = None

    def _leave_job(self, run: Run) -> None:
        job: JobRecord = run.job
        runs = job._runs or {}
        if len(runs) == 1:
            job._runs = None
        else:
            del runs[run]
        if job._queue:
            self._next_of(job)

    def _next_of(self, job: JobRecord) -> None:
        limit = job._spec.max_instances
        while job._queue and (limit is None or len(job._runs or ()) < limit):
            if self.skip and self._is_full():
                self._kept[job] = None  # a run that was queued is not refused for it
                break
            run = job._queue.popleft()
            self._take(run, self._waiting.pop(run))
        self._tidy(job)

    def _let_kept_in(self) -> None:
        jobs, self._kept = tuple(self._kept), {}
        for job in jobs:
            if job._queue:
                self._next_of(job)

    def reconsider(self, job: JobRecord) -> None:
        """Let queued runs of *job* in if its limit has grown."""
        if job._queue:
            self._next_of(job)

    def _tidy(self, job: JobRecord) -> None:
        if job._queue is not None and not job._queue:
            job._queue = None
