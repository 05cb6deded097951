"""WHEN: keeps the next moment of each job in the wheel, and one timer for the earliest of them.

There are two clocks. Wall-clock triggers and anchored intervals follow the wall clock, which may
step; intervals without an anchor follow the monotonic clock. Wall decides what is due, monotonic
decides when to wake, and both are read again at each wake-up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Final

from aiosched._engine.jitter import share
from aiosched._engine.record import JobRecord
from aiosched._engine.timepiece import Timepiece
from aiosched._engine.timing import by_elapsed
from aiosched._engine.wheel import IDLE, Instants, Ladder
from aiosched.durations import MILLISECOND, MINUTE, SECOND
from aiosched.events import Planned
from aiosched.moments import from_us
from aiosched.protocols import SteppingClock

if TYPE_CHECKING:
    from aiosched._engine.bus import Bus
    from aiosched.model import Run
    from aiosched.options import JobSpec

_STEP: Final = 100 * MILLISECOND  # less is slewing, or a reading between two ticks
_BELIEVED: Final = 10 * MINUTE  # how long a measured offset is
_LOOK: Final = SECOND  # how long a step of the wall clock may go unnoticed


class Planner:
    """Plans jobs.

    Args:
        time: Where time comes from.
        bus: Where what is planned is published.
        wake: Called when something may be due; never early by more than the clock's resolution.
    """

    def __init__(self, time: Timepiece, bus: Bus, wake: Callable[[], None]) -> None:
        self.wall = self.mono = self.offset = 0
        self.instants: Instants[JobRecord] = Instants()
        self.ladder: Ladder[JobRecord] = Ladder()
        self.store_offsets: dict[int, tuple[int, int]] = {}
        self.active = False
        self.held = False  # whoever fires sets the timer when all is fired
        self._known = False
        self._time = time
        self._bus = bus
        self._wake = wake
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context: Context | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed_at = 0
        self._coarse = False
        self._look: int | None = _LOOK
        self._forget_steps: Callable[[], object] | None = None

    def start(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        """Run on *loop*; timers run in *context*."""
        self._loop = loop
        self._context = context
        # uvloop rounds timers to milliseconds and starts them from a time that it has cached.
        kinds = type(loop).__mro__
        self._coarse = any(kind.__module__.partition(".")[0] == "uvloop" for kind in kinds)
        self._known = False
        self.go_on()
        self.read()

    def go_on(self) -> None:
        """Wake again, after a start or a stop."""
        self.active = True
        if isinstance(self._time.clock, SteppingClock):
            self._look = None
            self._forget_steps = self._time.clock.on_step(self._on_step)

    def stop(self) -> None:
        """Wake no more. What is planned is forgotten by `unplan`, not here."""
        self.active = False
        self._disarm()
        if self._forget_steps is not None:
            self._forget_steps()
            self._forget_steps = None

    def read(self) -> int:
        """Read both clocks; return by how many microseconds the wall clock has stepped since."""
        known, before = self._known, self.offset
        self._known = True
        self.mono = self._time.monotonic()
        self.wall = self._time.now()
        self.offset = self.wall - self.mono
        if not known or -_STEP < self.offset - before < _STEP:
            return 0
        # The process may have been stopped between the two readings: look again.
        self.mono = self._time.monotonic()
        self.wall = self._time.now()
        self.offset = self.wall - self.mono
        step = self.offset - before
        return 0 if -_STEP < step < _STEP else step

    def begin(self, job: JobRecord) -> None:
        """Plan the first occurrence of *job* from now; what was due before is never repeated."""
        if job._at != IDLE:
            self.unplan(job)
        job._due = None
        job._overdue = False
        counts = by_elapsed(job._trigger, job._spec)
        job._wheel = self.ladder if counts else self.instants
        if job._is_spent or (job._spec.from_completion and job._runs):
            return  # nothing is to come, or `place_after_completion` will see to it
        if not counts:
            self.place(job, job._trigger.next_us(begin_after(job, self.wall)))
            return
        due = first_elapsed(job, self.mono, self.offset)
        if job._prev is None:
            job._prev = self.mono
        self.place(job, due)

    def is_by_elapsed(self, job: JobRecord) -> bool:
        """Say which clock *job* follows: the monotonic one, or the wall clock."""
        if job._wheel is None:
            return by_elapsed(job._trigger, job._spec)
        return job._wheel is self.ladder

    def forget(self, job: JobRecord) -> None:
        """Take *job* out of the wheel; it has to `begin` again before anything comes of it."""
        self.unplan(job)
        job._wheel = None

    def following(self, job: JobRecord, due: int) -> int | None:
        """Return the occurrence after *due*, on the job's clock."""
        if job._wheel is self.ladder:
            gap = job._trigger.gap(job._nth)
            return None if gap is None else due + int(gap)
        found: int | None = job._trigger.next_us(due)
        return found

    def place_after_completion(self, job: JobRecord) -> bool:
        """Plan *job*, whose run has ended, one interval from now; False: nothing is to come."""
        self.read_quietly()
        gap = job._trigger.gap(job._nth)
        job._prev = self.mono
        return gap is not None and self.place(job, self.mono + int(gap))

    def place(self, job: JobRecord, due: int | None) -> bool:
        """Put *due* into the wheel; False: there is none, or it lies beyond the bounds."""
        spec = job._spec
        wheel = job._wheel
        if due is None or wheel is None or not self.active:
            job._due = None
            return False
        if spec.stop_at is not None and self.wall_of(job, due) > spec.stop_at:
            job._due = None
            return False
        job._due = due
        wheel.add(job, due if spec.is_usual else self.wake_of(job, due))
        if self._bus.wants_planned:
            self._tell(job, due)
        return True

    def unplan(self, job: JobRecord) -> None:
        """Take *job* out of the wheel."""
        if job._at != IDLE and job._wheel is not None:
            job._wheel.discard(job)
        job._due = None

    def wake_of(self, job: JobRecord, due: int) -> int:
        """Return when to wake for *due*: after its jitter, by the clock of the job's store."""
        spec = job._spec
        if spec.jitter:
            due += int(share(job.name, due) * spec.jitter)
        if spec.locker is not None and self.store_offsets:
            due += self.behind(spec)
        return due

    def wall_of(self, job: JobRecord, due: int) -> int:
        """Return *due*, on the job's clock, as wall microseconds."""
        return due + self.offset if job._wheel is self.ladder else due

    def behind(self, spec: JobSpec) -> int:
        """Return by how much the clock of the store is behind ours, as far as it is known.

        What was measured some time ago is not believed for ever: a clock that is set right slowly
        makes no step. Whoever is early then is told so, and it is measured again.
        """
        offset, until = self.store_offsets.get(id(spec.locker), (0, 0))
        return offset if self.mono < until else 0

    def note_early(self, run: Run, wait: float) -> None:
        """Remember what it tells of a store's clock that *run* is due in *wait* seconds by it."""
        measured = self._time.now() - run.due_us + round(wait * SECOND)
        job: JobRecord = run.job
        believed_until = self._time.monotonic() + _BELIEVED
        self.store_offsets[id(job._spec.locker)] = max(0, measured), believed_until
        self.wake_anew(job)
        self.arm()

    def wake_anew(self, job: JobRecord) -> None:
        """Wake for the planned occurrence of *job* by what is known of its store's clock now."""
        if job._due is not None and job._wheel is self.instants:
            self.instants.add(job, self.wake_of(job, job._due))

    def arm(self) -> None:
        """Set the timer to the earliest moment, unless it is set to an earlier one."""
        if not self.active or self.held or self._loop is None:
            return None
        wake_at = self._earliest()
        if wake_at is None:
            return self._disarm()
        if self._timer is not None:
            if self._armed_at <= wake_at:
                return None
            self._timer.cancel()
        self._armed_at = wake_at
        # A trifle more, since a float of seconds may round down to just before the moment.
        delay = max(0, wake_at - self.mono) + 0.25
        if self._coarse:
            delay = -(-delay // MILLISECOND) * MILLISECOND + MILLISECOND
        self._timer = self._loop.call_at(
            self._now() + delay / SECOND, self._on_timer, context=self._context
        )
        return None

    def arm_for(self, job: JobRecord) -> None:
        """As `arm`, after a change of *job* alone: mostly the timer is set to an earlier moment."""
        at = job._at
        if at == IDLE or self._timer is None:
            return self.arm()
        if job._wheel is self.instants:
            at -= self.wall - self.mono
            if self._look is not None:  # it may be the first for which the wall clock is watched
                at = min(at, self.mono + self._look)
        return self.arm() if at < self._armed_at else None

    def refresh(self) -> None:
        """Read the clocks and set the timer: after a change from outside of a wake-up."""
        if self.active:
            self.read_quietly()
            self.arm()

    def read_quietly(self) -> None:
        """Read both clocks, leaving a step of the wall clock for the next wake-up to notice."""
        self.mono = self._time.monotonic()
        self.wall = self._time.now()

    def _tell(self, job: JobRecord, due: int) -> None:
        at, due_at = from_us(self.wall), from_us(self.wall_of(job, due))
        self._bus.publish(Planned(at=at, job=job, due_at=due_at))

    def _now(self) -> float:
        # The monotonic reading in the loop's own seconds: the two need not share an origin.
        assert self._loop is not None  # noqa: S101 - arm() looked
        return self._loop.time() - max(0, self._time.monotonic() - self.mono) / SECOND

    def _on_step(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._on_timer, context=self._context)

    def _on_timer(self) -> None:
        self._disarm()
        if self.active:
            self._wake()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _earliest(self) -> int | None:
        """Return the monotonic moment of the next wake-up."""
        by_ladder = self.ladder.next_at()
        by_wall = self.instants.next_at()
        if by_wall is None:
            return by_ladder
        wait = by_wall - self.wall
        look = self.mono + (wait if self._look is None else min(wait, self._look))
        return look if by_ladder is None else min(look, by_ladder)


def first_elapsed(job: JobRecord, mono: int, offset: int) -> int | None:
    """Return the first occurrence of *job* from the monotonic moment *mono* on; None: never.

    The phase of a job that ran before is kept; else the job starts at *mono*. Plus *offset*,
    monotonic moments are wall moments.
    """
    spec = job._spec
    gap = job._trigger.gap(job._nth)
    if gap is None:
        return None
    earliest, start_at = mono, spec.start_at
    if start_at is not None and start_at - offset > earliest:
        earliest = start_at - offset
    if job._pause_until is not None and job._pause_until - offset > earliest:
        earliest = job._pause_until - offset
    due = (mono if job._prev is None else job._prev) + int(gap)
    if start_at is not None and spec.from_completion and job._prev is None:
        due = max(due - int(gap), start_at - offset)
    if due >= earliest:
        return due
    if job._trigger.gap(job._nth + 1) is None:
        return None  # a single delay, which has passed
    return due + -(-(earliest - due) // int(gap)) * int(gap)


def begin_after(job: JobRecord, now: int) -> int:
    """Return the wall moment after which the first occurrence of *job* lies."""
    after = now
    for bound in (job._spec.start_at, job._pause_until):
        if bound is not None and bound > after:
            after = bound - 1  # the bound itself is included
    return after if job._prev is None else max(after, job._prev)
