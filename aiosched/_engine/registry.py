"""Which jobs there are: adding, changing, pausing and removing them, at any time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import tzinfo
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aiosched._engine.build import (
    Shop,
    Work,
    call_for,
    lock_key_for,
    name_for,
    recipe_for,
    trigger_for,
)
from aiosched._engine.record import JobRecord
from aiosched._engine.specs import SpecBook
from aiosched._engine.timepiece import Timepiece
from aiosched._engine.timing import by_elapsed, public
from aiosched._engine.wheel import IDLE
from aiosched.errors import DuplicateJob, UnknownJob
from aiosched.events import JobChange, JobChanged
from aiosched.model import JobState
from aiosched.moments import from_us
from aiosched.options import JobSpec, resolve

if TYPE_CHECKING:
    from aiosched._engine.bus import Bus
    from aiosched._engine.dispatcher import Dispatcher
    from aiosched._engine.health import Watch
    from aiosched._engine.lockers import Lockers
    from aiosched._engine.planner import Planner

log = logging.getLogger("aiosched")


class Registry:
    """The jobs of one scheduler, by name."""

    def __init__(  # noqa: PLR0913 - wired in one place, by the engine
        self,
        *,
        engine: Any,
        make: type[JobRecord],
        time: Timepiece,
        bus: Bus,
        planner: Planner,
        dispatcher: Dispatcher,
        lockers: Lockers,
        watch: Watch,
        specs: SpecBook,
        shop: Shop,
    ) -> None:
        self._engine = engine
        self._make = make
        self._time = time
        self._bus = bus
        self._planner = planner
        self._dispatcher = dispatcher
        self._lockers = lockers
        self._watch = watch
        self._shop = shop
        self._specs = specs
        self._jobs: dict[str, JobRecord] = {}
        self.by_name: Mapping[str, JobRecord] = MappingProxyType(self._jobs)

    @property
    def timezone(self) -> tzinfo:
        """The zone of triggers that have none."""
        return self._shop.timezone

    def make(  # noqa: PLR0913, PLR0917 - what a job is made of
        self,
        func: Callable[..., Any],
        trigger: Any,
        work: Work | None,
        name: str | None,
        spec: JobSpec,
        prefix: str = "",
    ) -> JobRecord:
        """Check everything and make a job, but do not register it.

        Raises:
            DuplicateJob: The name is taken.
            TypeError, ValueError: Something does not fit.
        """
        name = prefix + name_for(func, name, spec)
        if name in self._jobs:
            raise DuplicateJob(f"a job named {name!r} exists already: give another name")
        shop = self._shop
        recipe = recipe_for(func, work, spec, shop)
        return self._make(
            self._engine,
            name,
            recipe.work,
            trigger_for(trigger, name, spec, shop.timezone),
            spec,
            recipe.call,
            None if spec.is_usual else self._lockers.gates_for(spec),
            name if spec.lock_key is None else lock_key_for(spec.lock_key, name, recipe.arguments),
        )

    def add(self, job: JobRecord) -> JobRecord:
        """Register a job that was made here just now."""
        self._jobs[job.name] = job
        self._count_priority(job._spec, 1)
        if job._spec.expect_within is not None:
            self._watch.expect(job)
        self._tell(job, JobChange.ADDED)
        self._plan(job)
        return job

    def add_all(self, jobs: Iterable[JobRecord]) -> list[JobRecord]:
        """Register all of *jobs*, which were made here just now, or none.

        Raises:
            DuplicateJob: Two have the same name.
        """
        new: dict[str, JobRecord] = {}
        for job in jobs:
            if job.name in new:
                raise DuplicateJob(f"two jobs of a group are named {job.name!r}")
            new[job.name] = job
        return [self.add(job) for job in new.values()]

    def remove(self, job: JobRecord, *, cancel: bool) -> None:
        """Forget *job*; runs that go on are cancelled if *cancel*, queued runs always."""
        if self._jobs.get(job.name) is not job:
            raise UnknownJob(f"job {job.name!r} is not in this scheduler (any more)")
        del self._jobs[job.name]
        self._planner.unplan(job)
        self._watch.forget(job)
        job._state = JobState.REMOVED
        self._count_priority(job._spec, -1)
        self._dispatcher.cancel_waiting(job, "the job was removed")
        if cancel:
            self._dispatcher.cancel_runs(job, "the job was removed")
        self._tell(job, JobChange.REMOVED)

    def pause(self, job: JobRecord, until_us: int | None) -> None:
        """Let no occurrence of *job* be due, for good or until a moment (itself may be due)."""
        self._check(job)
        if job._state is JobState.FINISHED:
            return
        self._planner.unplan(job)
        job._pause_until = until_us
        job._state = JobState.PAUSED if until_us is None else JobState.SCHEDULED
        self._tell(job, JobChange.PAUSED)
        self._plan(job)

    def resume(self, job: JobRecord) -> None:
        """Go on with *job*; what would have been due meanwhile is not made up for."""
        self._check(job)
        if job._state is not JobState.PAUSED and job._pause_until is None:
            return
        job._pause_until = None
        job._state = JobState.SCHEDULED
        self._tell(job, JobChange.RESUMED)
        self._plan(job)

    def update(self, job: JobRecord, trigger: Any, options: Mapping[str, Any]) -> None:
        """Change *job*'s trigger (None: keep it) or options; its history and phase are kept.

        Raises:
            TypeError, ValueError: Something does not fit; nothing has changed.
        """
        self._check(job)
        if "name" in options:
            raise TypeError(
                f"name cannot be updated, got {options['name']!r}: remove and add the job"
            )
        spec = self._specs.resolve(job._spec, options) if options else job._spec
        self._rebuild(job, trigger, spec)
        if job._queue:
            self._dispatcher.admission.reconsider(job)
        self._tell(job, JobChange.UPDATED)

    def inherit_locker(self, locker: Any) -> None:
        """Give *locker* to every job that has none of its own; to none if one cannot take it."""
        heirs = [job for job in self._jobs.values() if "locker" not in job._spec.given]
        specs = [resolve(job._spec, {"locker": locker}) for job in heirs]
        for job, spec in zip(heirs, specs, strict=True):
            name_for(job._work.func, job.name if _was_named(job) else None, spec)
            trigger_for(public(job._trigger), job.name, spec, self._shop.timezone)
        for job, spec in zip(heirs, specs, strict=True):
            self._rebuild(job, None, replace(spec, given=job._spec.given))

    def finish(self, job: JobRecord) -> None:
        """Nothing more will come of *job*, unless somebody updates it or mends its trigger."""
        if job.name in self._watch.broken:
            return
        if job._state is JobState.SCHEDULED and self._planner.active:
            job._state = JobState.FINISHED
            self._tell(job, JobChange.FINISHED)

    def broken(self, job: JobRecord, error: Exception) -> None:
        """The trigger of *job* has raised: it fires no more, and says so."""
        log.error(
            "the trigger of job %s raised; the job fires no more",
            job.name,
            exc_info=error,
            extra={"aiosched_job": job.name},
        )
        self._planner.unplan(job)
        self._watch.broken[job.name] = error
        self._tell(job, JobChange.BROKEN, error)

    def begin(self, job: JobRecord) -> None:
        """Plan the first occurrence of *job* from now; if there is none it is finished."""
        if job._state is not JobState.SCHEDULED:
            return None
        try:
            self._planner.begin(job)
        except Exception as error:  # noqa: BLE001 - a trigger of the user's own
            return self.broken(job, error)
        if self._watch.broken:
            self._watch.broken.pop(job.name, None)
        if job._at == IDLE and not job._runs:
            self.finish(job)
        return None

    def _plan(self, job: JobRecord) -> None:
        if self._planner.active:
            self._planner.read_quietly()
            self.begin(job)
            self._planner.arm_for(job)

    def _rebuild(self, job: JobRecord, trigger: Any, spec: JobSpec) -> None:
        """Build *job* from what it is made of, as far as that has changed; None: its trigger."""
        old_spec, old = job._spec, job._trigger
        bound = old
        if trigger is not None or _binding(spec) != _binding(old_spec):
            given = public(old) if trigger is None else trigger
            bound = trigger_for(given, job.name, spec, self._shop.timezone)
        same_plan = bound is old or bound == old
        was_by_elapsed = self._planner.is_by_elapsed(job)
        if spec is not old_spec:
            same_plan = same_plan and _timing(spec) == _timing(old_spec)
            self._respecify(job, spec)
        job._trigger = bound
        if not same_plan and by_elapsed(bound, spec) != was_by_elapsed:
            job._prev = None  # it belonged to the other clock
        if job._state is JobState.FINISHED:
            job._state = JobState.SCHEDULED
        if not same_plan or job._at == IDLE or job._is_spent:
            self._planner.unplan(job)
            self._plan(job)

    def _respecify(self, job: JobRecord, spec: JobSpec) -> None:
        call, key, gates = job._call, job._lock_key, job._gates
        if _calling(spec) != _calling(job._spec):
            call, arguments = call_for(job._work, spec, self._shop)
            key = lock_key_for(spec.lock_key, job.name, arguments)
        if _gating(spec) != _gating(job._spec):
            gates = self._lockers.gates_for(spec)
        # Nothing below this line raises.
        self._count_priority(job._spec, -1)
        self._count_priority(spec, 1)
        if spec.expect_within != job._spec.expect_within:
            self._watch.expect(job)
        job._call, job._spec = call, spec
        job._gates, job._lock_key = gates, key

    def _count_priority(self, spec: JobSpec, by: int) -> None:
        if spec.priority:
            self._dispatcher.prioritised += by

    def _check(self, job: JobRecord) -> None:
        if job._state is JobState.REMOVED:
            raise UnknownJob(f"job {job.name!r} was removed")

    def _tell(self, job: JobRecord, change: JobChange, error: Exception | None = None) -> None:
        if self._bus.wants_job_changes:
            at = from_us(self._time.now())
            self._bus.publish(JobChanged(at=at, job=job, change=change, error=error))


# What of a spec each part of a job is made of; whatever may be equal, yet another, by identity.


def _binding(spec: JobSpec) -> tuple[Any, ...]:
    return (spec.start_at, spec.from_completion, spec.locker is None)


def _timing(spec: JobSpec) -> tuple[Any, ...]:
    return (spec.start_at, spec.stop_at, spec.jitter, spec.from_completion, id(spec.locker))


def _calling(spec: JobSpec) -> tuple[Any, ...]:
    return (id(spec.executor), spec.timeout, id(spec.retry), spec.lock_key)


def _gating(spec: JobSpec) -> tuple[Any, ...]:
    return (id(spec.locker), id(spec.elector), *map(id, spec.gates))


def _was_named(job: JobRecord) -> bool:
    return "name" in job._spec.given
