"""The front door: a scheduler's jobs, its life, and who listens."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, tzinfo
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, Unpack, cast, overload

from aiosched._engine.build import NO_ARGS
from aiosched._engine.bus import EventStream, check_kind
from aiosched._engine.current import find_current
from aiosched._engine.drain import DrainReport
from aiosched._engine.engine import Engine
from aiosched._engine.health import Health
from aiosched._engine.rehearsal import rehearsing
from aiosched._engine.settings import base_spec, check_choice, check_limit, clock_or_host, several
from aiosched._engine.signals import first_of, on_signals
from aiosched._engine.spread import Spread
from aiosched.durations import SECOND, Duration, microseconds
from aiosched.errors import RunDeadlock, SchedulerClosed, UnknownJob
from aiosched.events import Event, SchedulerState
from aiosched.job import Job
from aiosched.options import check_locker
from aiosched.protocols import Clock, Elector, Listener, Locker, Trigger
from aiosched.registrar import JobGroup, Registrar
from aiosched.triggers.walltime import zone

if TYPE_CHECKING:
    from aiosched.options import JobOptions

E = TypeVar("E", bound=Event)
L = TypeVar("L", bound=Listener)


_log = logging.getLogger("aiosched")


class Scheduler(Registrar):
    """Runs jobs in the service's own process and event loop.

    Making one needs no running loop and starts nothing. ``async with scheduler``, `start` and
    `stop`, `serve` or `run` bring it to life, one after the other, also on other loops.

    Args:
        locker: What makes each occurrence run on one replica only; jobs may override it.
        elector: Who leads, if only the leader is to run; jobs may override it.
        defaults: Options of every job, as `add` takes them.
        timezone: The zone of triggers that have none; a name or a tzinfo.
        max_running: Runs at once in this process; None: no limit.
        when_full: What happens to a run when there are so many: it waits, or is refused.
        shutdown_timeout: How long `stop` waits for runs before it cancels them.
        on_failure: ``"exit"`` sends SIGTERM to the own process when the machinery fails;
            ``"raise"`` leaves it at raising where the scheduler is entered or served.
        clock: Where time comes from; default the host's.
        listeners: Called with every event, or ``(event type, listener)`` pairs.
        spread: How long a replica may wait before it claims, longer the more it has won of late, so
            that a clock that is ahead does not win every time. 0: not at all.
        instance: What this replica is called; default host and process id.

    Raises:
        TypeError, ValueError: An argument is wrong; the message names it and its value.
    """

    def __init__(  # noqa: PLR0913 - the front door
        self,
        *,
        locker: Locker | None = None,
        elector: Elector | None = None,
        defaults: JobOptions | None = None,
        timezone: str | tzinfo = UTC,
        max_running: int | None = None,
        when_full: Literal["queue", "skip"] = "queue",
        shutdown_timeout: Duration = 25.0,
        on_failure: Literal["raise", "exit"] = "raise",
        clock: Clock | None = None,
        listeners: Iterable[Listener | tuple[type[Event], Listener]] = (),
        spread: Duration = 0.0,
        instance: str | None = None,
    ) -> None:
        check_choice("when_full", when_full, ("queue", "skip"))
        check_choice("on_failure", on_failure, ("raise", "exit"))
        check_limit(max_running)
        self._shutdown_timeout = microseconds(shutdown_timeout, "shutdown_timeout") / SECOND
        if instance is not None and not (isinstance(instance, str) and instance):
            raise TypeError(f"instance must be text, or None, got {instance!r}")
        self.instance: str = instance or f"{socket.gethostname()}:{os.getpid()}"
        self._engine = Engine(
            clock=clock_or_host(clock),
            timezone=zone(timezone, "timezone"),
            max_running=max_running,
            when_full=when_full,
            on_failure=on_failure,
            spread=Spread(microseconds(spread, "spread"), self.instance),
            base=base_spec(locker, elector, defaults),
            job_type=Job,
        )
        self._serving: asyncio.AbstractEventLoop | None = None
        self._stop_asked = asyncio.Event()
        self._listened_to: set[str] = set()
        for listener in several("listeners", listeners):
            self.on(*(listener if isinstance(listener, tuple) else (Event, listener)))

    # -- jobs -----------------------------------------------------------------------------------

    @property
    def jobs(self) -> Mapping[str, Job]:
        """The jobs by name, read-only and live."""
        return cast("Mapping[str, Job]", self._engine.registry.by_name)

    def add(
        self,
        func: Callable[..., Any],
        trigger: Trigger,
        /,
        *,
        args: Sequence[Any] = NO_ARGS,
        kwargs: Mapping[str, Any] | None = None,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Register *func*, called with *args* and *kwargs* whenever *trigger* says.

        A parameter annotated `Run` receives the run. A plain function runs in a worker thread.

        Raises:
            DuplicateJob: The name is taken.
            TypeError, ValueError: Something does not fit; nothing is registered.
        """
        engine = self._engine
        added = engine.in_loop(engine.registry.add)(func, trigger, args, kwargs, options)
        job: Job = added  # type: ignore[assignment] # of the type that the engine was given
        return job

    def include(self, group: JobGroup, *, prefix: str = "") -> list[Job]:
        """Add the jobs of *group*, named after *prefix*; none of them if one cannot be added.

        Raises:
            DuplicateJob, TypeError, ValueError: As `add`.
        """
        if not isinstance(group, JobGroup):
            raise TypeError(f"group must be a JobGroup, got {group!r}")
        if not isinstance(prefix, str):
            raise TypeError(f"prefix must be text, got {prefix!r}")
        engine = self._engine
        return cast("list[Job]", engine.in_loop(engine.registry.add_all)(group, prefix))

    def remove(self, job: str | Callable[..., Any] | Job, *, cancel: bool = False) -> None:
        """Forget a job. Queued runs are cancelled; those that go on only with *cancel*."""
        self[job].remove(cancel=cancel)

    def remove_by_tags(self, *tags: str, cancel: bool = False) -> list[Job]:
        """Forget every job that has any of *tags*; return them."""
        found = [job for job in self if not set(tags).isdisjoint(job.tags)]
        for job in found:
            job.remove(cancel=cancel)
        return found

    def jobs_by_tag(self, *tags: str) -> list[Job]:
        """Return the jobs that have all of *tags*."""
        return [job for job in self if set(tags).issubset(job.tags)]

    def __getitem__(self, job: str | Callable[..., Any] | Job) -> Job:
        """Return the job of that name, or of that function.

        Raises:
            UnknownJob: There is none here, or the function has several.
        """
        if isinstance(job, Job):
            found = [job] if self.jobs.get(job.name) is job else []
        elif isinstance(job, str):
            found = [self.jobs[job]] if job in self.jobs else []
        else:
            found = [each for each in self if each.func == job]
        if len(found) == 1:
            return found[0]
        several = f"; it has several: {', '.join(each.name for each in found)}" if found else ""
        raise UnknownJob(f"no such job: {job!r}{several}")

    def __contains__(self, job: object) -> bool:
        if isinstance(job, str):
            return job in self.jobs
        return any(each is job or each.func == job for each in self)

    def __iter__(self) -> Iterator[Job]:
        return iter(tuple(self.jobs.values()))

    def __len__(self) -> int:
        return len(self.jobs)

    def use_locker(self, locker: Locker | None) -> None:
        """Set the scheduler's locker before it starts, also for jobs that inherit it.

        Raises:
            SchedulerClosed: It runs.
            TypeError, ValueError: A job does not go with a locker; nothing has changed.
        """
        self._check_idle("another locker")
        if locker is not None:
            check_locker(locker)
        self._engine.registry.inherit_locker(locker)

    def use_clock(self, clock: Clock) -> None:
        """Take the time from another clock: for simulations, before a start.

        Raises:
            SchedulerClosed: It runs.
        """
        self._check_idle("another clock")
        self._engine.use_clock(clock_or_host(clock))

    @contextmanager
    def rehearsal(self, clock: Clock) -> Iterator[None]:
        """Live by another clock for a while, as if nothing had been before: for simulations.

        What happens meanwhile is forgotten at the end: runs count for no job, and the scheduler
        has its own clock again. A `MemoryLocker` forgets, too; other stores do not.

        Raises:
            SchedulerClosed: It runs, or does so at the end.
        """
        self._check_idle("a rehearsal")
        with rehearsing(self._engine, clock_or_host(clock)):
            yield
            self._check_idle("the end of a rehearsal")

    def _check_idle(self, what: str) -> None:
        if self._engine.is_running:
            raise SchedulerClosed(f"{what} is possible only while the scheduler does not run")

    # -- listening ------------------------------------------------------------------------------

    @overload
    def on(
        self, event: type[Event], listener: L, *, job: str | Callable[..., Any] | Job | None = None
    ) -> L: ...
    @overload
    def on(
        self,
        event: type[Event],
        listener: None = None,
        *,
        job: str | Callable[..., Any] | Job | None = None,
    ) -> Callable[[L], L]: ...
    def on(
        self,
        event: type[Event],
        listener: Listener | None = None,
        *,
        job: str | Callable[..., Any] | Job | None = None,
    ) -> Any:
        """Call *listener*, sync or async, with each event of a type, and of its subclasses.

        Also a decorator: ``@scheduler.on(Outcome)``. Events of an async listener are handled one
        after the other. A listener that raises is logged and changes nothing.

        Args:
            event: The type; `Event` for all of them.
            listener: A function of the event.
            job: Only events of this job: a name, a function or a job. It need not be there yet.

        Raises:
            TypeError: *event* is no type of event, *listener* cannot be called, or *job* is none of
                these.
        """
        check_kind(event, "event must be an event type")
        wanted = None if job is None else _of_job(job)
        if isinstance(job, str):
            self._listened_to.add(job)

        def subscribe(each: Listener) -> Listener:
            self._engine.bus.subscribe(event, each, wanted)
            return each

        return subscribe if listener is None else subscribe(listener)

    def off(self, listener: Listener) -> bool:
        """Never call *listener* again. Was it listening?"""
        return self._engine.bus.unsubscribe(listener)

    @overload
    def events(self, *, size: int = 1_000) -> EventStream[Event]: ...
    @overload
    def events(self, *types: type[E], size: int = 1_000) -> EventStream[E]: ...
    def events(self, *types: type[Any], size: int = 1_000) -> EventStream[Any]:
        """Return the events from now on, for ``async for``; it ends when the scheduler has stopped.

        Args:
            types: Only these and their subclasses; default all.
            size: How far a reader may be behind; then the oldest are dropped, and counted.
        """
        return EventStream(self._engine.bus, types or (Event,), size)

    # -- life -----------------------------------------------------------------------------------

    @property
    def state(self) -> SchedulerState:
        """``new``, ``running``, ``paused``, ``draining``, ``stopped`` or ``failed``."""
        return self._engine.state

    @property
    def queued(self) -> int:
        """Runs that wait for a limit."""
        return len(self._engine.dispatcher.queued)

    @property
    def running(self) -> int:
        """Runs that have a task."""
        return len(self._engine.dispatcher.tasks)

    @property
    def locker(self) -> Locker | None:
        """The locker that jobs inherit."""
        return self._engine.registry.recipes.base.locker

    @property
    def elector(self) -> Elector | None:
        """The elector that jobs inherit."""
        return self._engine.registry.recipes.base.elector

    @property
    def timezone(self) -> tzinfo:
        """The zone of triggers that have none."""
        return self._engine.registry.timezone

    @property
    def clock(self) -> Clock:
        """Where time comes from."""
        return self._engine.time.clock

    async def start(self) -> None:
        """Open the lockers and electors and begin to fire, in this loop.

        Raises:
            SchedulerClosed: It runs already.
            Exception: What a locker raised that cannot be opened.
        """
        for name in sorted(self._listened_to - self.jobs.keys()):
            _log.warning("a listener waits for events of job %s, which does not exist (yet)", name)
        await self._engine.start()

    async def stop(self, *, drain: bool = True, timeout: Duration | None = None) -> DrainReport:
        """Fire no more, let runs end or cancel them, unlock everything, close what was opened.

        Cancelling the caller leaves it going on. On a scheduler that does not run nothing happens.

        Args:
            drain: Whether to wait for runs before they are cancelled.
            timeout: How long; None: `shutdown_timeout`.

        Raises:
            RunDeadlock: A run calls it, which it would have to wait for; see `request_stop`.
        """
        current = find_current()
        if current is not None and current.job._engine is self._engine:
            raise RunDeadlock("stop() from inside a run would wait for it: use request_stop()")
        seconds = (
            self._shutdown_timeout if timeout is None else microseconds(timeout, "timeout") / SECOND
        )
        return await self._engine.stop(drain_first=drain, timeout=seconds)

    def request_stop(self) -> None:
        """Let `serve` come to its end, as a signal does; the second time runs are cancelled.

        May be called from any thread.
        """
        if self._serving is None:
            raise SchedulerClosed("nobody serves this scheduler: call stop()")
        self._serving.call_soon_threadsafe(self._ask_to_stop)

    def _ask_to_stop(self) -> None:
        if self._stop_asked.is_set():
            self._engine.hurry()
        self._stop_asked.set()
        self._engine.give_up_opening()

    def pause(self) -> None:
        """Let nothing be due until `resume`; runs that go on are not touched."""
        self._engine.in_loop(self._engine.pause)()

    def resume(self) -> None:
        """Go on; what would have been due meanwhile is not made up for."""
        self._engine.in_loop(self._engine.resume)()

    def health(self) -> Health:
        """Return whether all is well, and what is not."""
        return self._engine.health()

    async def serve(self) -> None:
        """Run until SIGTERM, SIGINT or `request_stop`, then drain; a second signal cancels at once.

        Raises:
            SchedulerFailed: The scheduler's own machinery has failed; at once.
            SchedulerClosed: It runs already.
        """
        if self._serving is not None:
            raise SchedulerClosed("the scheduler is being served already")
        self._serving = asyncio.get_running_loop()
        self._stop_asked.clear()
        try:
            with on_signals(self.request_stop):
                async with self:
                    await first_of(self._stop_asked, self._engine.failed)
        except SchedulerClosed:
            if not self._stop_asked.is_set():
                raise
        finally:
            self._serving = None

    def run(self) -> None:
        """Block: `serve` in a loop of its own.

        Raises:
            RuntimeError: A loop runs already in this thread; there it is ``await serve()``.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(self.serve())
        else:
            raise RuntimeError("run() needs a thread without a running loop: await serve() instead")

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[Mapping[str, Any]]:
        """Run for as long as an ASGI application does: ``FastAPI(lifespan=scheduler.lifespan)``.

        Requests find the scheduler as ``request.state.scheduler``.
        """
        async with self:
            yield {"scheduler": self}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()
        if error is None:
            self._engine.raise_failure()

    def __repr__(self) -> str:
        return f"<Scheduler {self.instance} {self.state} jobs={len(self)}>"


def _of_job(wanted: str | Callable[..., Any] | Job) -> Callable[[Job], bool]:
    if isinstance(wanted, str):
        return lambda job: job.name == wanted
    if not (isinstance(wanted, Job) or callable(wanted)):
        raise TypeError(f"job must be a name, a function or a job, got {wanted!r}")
    return lambda job: job is wanted or job.func == wanted
