"""Which jobs there are: adding, changing, pausing and removing them, at any time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import tzinfo
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aiosched._engine.build import (
    Shop,
    lock_key_for,
    name_for,
    trigger_for,
)
from aiosched._engine.logs import tell_vain_promises
from aiosched._engine.recipes import Recipe, RecipeBook
from aiosched._engine.record import JobRecord
from aiosched._engine.timepiece import Timepiece
from aiosched._engine.timing import by_elapsed, public
from aiosched._engine.wheel import IDLE
from aiosched.errors import DuplicateJob, UnknownJob
from aiosched.events import JobChange, JobChanged
from aiosched.model import JobState
from aiosched.moments import from_us
from aiosched.options import JobSpec, defaults, resolve

if TYPE_CHECKING:
    from aiosched._engine.bus import Bus
    from aiosched._engine.dispatcher import Dispatcher
    from aiosched._engine.health import Watch
    from aiosched._engine.lockers import Lockers
    from aiosched._engine.planner import Planner

log = logging.getLogger("aiosched")


class Registry:
    """The jobs of one scheduler, by name.

    Attributes:
        recipes: What they are made of, and the options that they inherit.
        by_name: The jobs, read-only and live.
    """

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
        shop: Shop,
        base: JobSpec,
    ) -> None:
        self._make = make
        self._time = time
        self._bus = bus
        self._planner = planner
        self._dispatcher = dispatcher
        self._watch = watch
        self._shop = shop
        self.recipes = RecipeBook(engine, shop, base, lockers.gates_for)
        self._jobs: dict[str, JobRecord] = {}
        self.by_name: Mapping[str, JobRecord] = MappingProxyType(self._jobs)

    @property
    def timezone(self) -> tzinfo:
        """The zone of triggers that have none."""
        return self._shop.timezone

    def add(
        self,
        func: Callable[..., Any],
        trigger: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None,
        options: Mapping[str, Any],
    ) -> JobRecord:
        """Check everything, and register a job.

        Raises:
            DuplicateJob: The name is taken.
            TypeError, ValueError: Something does not fit; nothing is registered.
        """
        job = self._build(func, trigger, args, kwargs, options)
        self._register(job)
        return job

    def add_all(self, entries: Iterable[tuple[Any, ...]], prefix: str) -> list[JobRecord]:
        """Register a job for each of *entries*, arguments of `add`, or none.

        Raises:
            DuplicateJob: A name is taken, or two have the same.
            TypeError, ValueError: Something does not fit.
        """
        new: dict[str, JobRecord] = {}
        for entry in entries:
            job = self._build(*entry, prefix=prefix)
            if job.name in new:
                raise DuplicateJob(f"two jobs of a group are named {job.name!r}")
            new[job.name] = job
        for job in new.values():
            self._register(job)
        return list(new.values())

    def _build(  # noqa: PLR0913 - what a job is made of
        self,
        func: Callable[..., Any],
        trigger: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any] | None,
        options: Mapping[str, Any],
        *,
        prefix: str = "",
    ) -> JobRecord:
        recipe = self.recipes.find(func, args, kwargs, options)
        spec = recipe.spec
        name = options.get("name")
        if type(name) is not str or not name:
            name = name_for(func, name, spec)
        name = prefix + name
        if name in self._jobs:
            raise DuplicateJob(f"a job named {name!r} exists already: give another name")
        bound = trigger_for(trigger, name, spec, self._shop.timezone)
        key = name if spec.lock_key is None else lock_key_for(name, recipe)
        return self._make(name, bound, recipe, key)

    def _register(self, job: JobRecord) -> None:
        spec = job._spec
        self._jobs[job.name] = job
        self.recipes.join(job._recipe)
        if spec.priority:
            self._dispatcher.prioritised += 1
        if spec.expect_within is not None:
            self._watch.expect(job)
        if self._bus.wants_job_changes:
            self._tell(job, JobChange.ADDED)
        if self._planner.active:
            tell_vain_promises(job)
            self._plan(job)

    def remove(self, job: JobRecord, *, cancel: bool) -> None:
        """Forget *job*; runs that go on are cancelled if *cancel*, queued runs always."""
        if self._jobs.get(job.name) is not job:
            raise UnknownJob(f"job {job.name!r} is not in this scheduler (any more)")
        del self._jobs[job.name]
        self._planner.unplan(job)
        self._watch.forget(job)
        job._state = JobState.REMOVED
        self.recipes.leave(job._recipe)
        self._dispatcher.prioritised -= bool(job._spec.priority)
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
        recipe = self.recipes.changed(job._recipe, options) if options else job._recipe
        self._rebuild(job, trigger, recipe)
        if job._queue:
            self._dispatcher.admission.reconsider(job)
        self._tell(job, JobChange.UPDATED)

    def inherit_locker(self, locker: Any) -> None:
        """Give *locker* to jobs that have none, now and later; to none if one cannot take it."""
        heirs = [job for job in self._jobs.values() if "locker" not in job._spec.given]
        specs = [resolve(job._spec, {"locker": locker}) for job in heirs]
        for job, spec in zip(heirs, specs, strict=True):
            name_for(job._recipe.func, job.name if _was_named(job) else None, spec)
            trigger_for(public(job._trigger), job.name, spec, self._shop.timezone)
        for job, spec in zip(heirs, specs, strict=True):
            inherited = replace(spec, given=job._spec.given)
            self._rebuild(job, None, self.recipes.inheriting(job._recipe, inherited))
        self.recipes.base = defaults(self.recipes.base, {"locker": locker})

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
        planner = self._planner
        if planner.active:
            planner.read_quietly()
            self.begin(job)
            planner.arm_for(job)

    def _rebuild(self, job: JobRecord, trigger: Any, recipe: Recipe) -> None:
        """Let *job* follow another trigger (None: its own) and recipe; what is planned may stay."""
        spec, old_spec, old = recipe.spec, job._spec, job._trigger
        bound, key = old, job._lock_key
        if trigger is not None or _binding(spec) != _binding(old_spec):
            given = public(old) if trigger is None else trigger
            bound = trigger_for(given, job.name, spec, self._shop.timezone)
        if spec.lock_key != old_spec.lock_key:
            key = lock_key_for(job.name, recipe)
        stays = (bound is old or bound == old) and _timing(spec) == _timing(old_spec)
        # Nothing below this line raises.
        if not stays and by_elapsed(bound, spec) != self._planner.is_by_elapsed(job):
            job._prev = None  # it belonged to the other clock
        job._trigger = bound
        if spec is not old_spec:
            self._follow(job, recipe, key)
        if job._state is JobState.FINISHED:
            job._state = JobState.SCHEDULED
        if not stays or job._at == IDLE or job._is_spent:
            self._plan(job)

    def _follow(self, job: JobRecord, recipe: Recipe, lock_key: str) -> None:
        spec, old_spec = recipe.spec, job._spec
        self._dispatcher.prioritised += bool(spec.priority) - bool(old_spec.priority)
        if spec.expect_within != old_spec.expect_within:
            self._watch.expect(job)
        self.recipes.join(recipe)
        self.recipes.leave(job._recipe)
        job._recipe, job._spec, job._call, job._lock_key = recipe, spec, recipe.call, lock_key

    def _check(self, job: JobRecord) -> None:
        if job._state is JobState.REMOVED:
            raise UnknownJob(f"job {job.name!r} was removed")

    def _tell(self, job: JobRecord, change: JobChange, error: Exception | None = None) -> None:
        if self._bus.wants_job_changes:
            at = from_us(self._time.now())
            self._bus.publish(JobChanged(at=at, job=job, change=change, error=error))


# What of a spec the trigger and the plan of a job are made of.


def _binding(spec: JobSpec) -> tuple[Any, ...]:
    return (spec.start_at, spec.from_completion, spec.locker is None)


def _timing(spec: JobSpec) -> tuple[Any, ...]:
    return (spec.start_at, spec.stop_at, spec.jitter, spec.from_completion, id(spec.locker))


def _was_named(job: JobRecord) -> bool:
    return "name" in job._spec.given
