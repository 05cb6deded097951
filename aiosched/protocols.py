"""Every seam of aiosched: what a part must offer to take another's place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import asyncio

    from aiosched.model import Claim, LockRecord, Refusal, Run


@runtime_checkable
class Trigger(Protocol):
    """WHEN: a pure, immutable value that names moments."""

    def next_after(self, moment: datetime, /) -> datetime | None:
        """Return the first occurrence strictly later than the aware *moment*; None: no more."""
        ...


@runtime_checkable
class BindableTrigger(Trigger, Protocol):
    """A trigger that wants to know the job's name or the scheduler's zone."""

    def bind(self, *, name: str, tz: tzinfo) -> Trigger:
        """Return the trigger that knows them: itself where nothing changes."""
        ...


@runtime_checkable
class MicrosecondTrigger(Trigger, Protocol):
    """A trigger that can also count in integers; the planner prefers it."""

    def next_us(self, us: int, /) -> int | None:
        """As `next_after`, in microseconds since the Unix epoch."""
        ...


@runtime_checkable
class ElapsedTrigger(Protocol):
    """A trigger that counts elapsed time from the job's start instead of naming wall moments.

    It is one when `elapsed` is true; the planner then keeps its job on the monotonic clock.
    """

    @property
    def elapsed(self) -> bool:
        """Whether the occurrences are spaced by elapsed time."""
        ...

    def gap(self, index: int, /) -> int | None:
        """Return µs from the occurrence before (or the start) to number *index*; None: no more."""
        ...


class Gate(Protocol):
    """WHETHER: asked before a run starts, left when it is over."""

    def __call__(self, run: Run, /) -> AbstractAsyncContextManager[Refusal | None]:
        """Return a context manager whose value is None (come in) or why not."""
        ...


@runtime_checkable
class Lock(Protocol):
    """A lock that is held."""

    async def unlock(self) -> object:
        """Give it back. Never raises for a lock that is no longer held."""
        ...


@runtime_checkable
class Locker(Protocol):
    """WHERE locks live. These two methods are all that a locker of one's own needs."""

    async def lock(self, key: str, /) -> Lock:
        """Try once; never wait for the holder.

        Raises:
            LockHeld: Somebody else holds *key* now.
            LockerUnavailable: The backend could not be asked.
        """
        ...


@runtime_checkable
class ClaimedLock(Lock, Protocol):
    """What the built-in lockers grant."""

    @property
    def key(self) -> str: ...
    @property
    def due_at(self) -> datetime | None:
        """The occurrence that was granted; not the one asked for when it is a redelivery."""
        ...

    @property
    def fence(self) -> int:
        """Grows with every grant of the key."""
        ...

    @property
    def attempt(self) -> int:
        """Grants of this occurrence, from 1."""
        ...

    @property
    def lost(self) -> asyncio.Event:
        """Set when the lock is no longer held although nobody unlocked it."""
        ...

    def check(self) -> None:
        """Raise `LockLost` unless the lock is still held, as far as is known here. No I/O."""
        ...

    async def unlock(self, *, done: bool = True) -> bool:
        """Give it back and, with *done*, complete its occurrence. Was it still held?"""
        ...


@runtime_checkable
class ClaimingLocker(Locker, Protocol):
    """A locker that remembers occurrences: one run per occurrence in the fleet."""

    async def lock(self, key: str, /) -> ClaimedLock: ...

    async def claim(self, claim: Claim, /) -> ClaimedLock:
        """Ask once for an occurrence; never wait for the holder.

        Raises:
            LockHeld, AlreadyRan, Superseded, TooEarly, TooLate: No, and why.
            LockerUnavailable: The backend could not be asked.
        """
        ...

    async def last_claimed(self, key: str, /) -> datetime | None:
        """Return the newest occurrence of *key* that was claimed; None: none is remembered."""
        ...

    async def open(self) -> None:
        """Get ready on the running loop; counted, so that schedulers may share a locker."""
        ...

    async def aclose(self) -> None:
        """Give everything back when the last user closes."""
        ...


@runtime_checkable
class RehearsedLocker(Protocol):
    """A locker that can set aside what it remembers, for a simulation."""

    def rehearsal(self) -> AbstractContextManager[None]:
        """Return a context within which nothing is remembered of before, nor after it of within."""
        ...


@runtime_checkable
class ClockedLocker(Protocol):
    """A locker that lives by its scheduler's clock instead of a store's."""

    def use_clock(self, clock: Clock, /) -> None: ...


@runtime_checkable
class InspectableLocker(Protocol):
    """A locker whose store can be looked into, and be told that a key is free."""

    async def records(self) -> list[LockRecord]:
        """Return what is remembered, by key.

        Raises:
            LockerUnavailable: The store could not be asked.
        """
        ...

    async def release(self, key: str, /) -> bool:
        """Take *key* away from whoever holds it. Did somebody?

        What was claimed stays claimed. A holder with a lease or a session hears of it with his
        next renewal, one in this process at once.

        Raises:
            LockerUnavailable: The store could not be asked.
        """
        ...


@runtime_checkable
class RingingLocker(Protocol):
    """A locker whose store can tell those who wait for a key that it is free.

    A hint and no more: a ring may be lost, and nothing but promptness depends on it.
    """

    def ring(self, key: str, /) -> None:
        """Tell all who listen for *key*: behind what was given back so far. Nobody is told how."""
        ...

    async def listen(self, key: str, call: Callable[[], object], /) -> None:
        """Call *call* as soon as rings are heard, and with each ring; end by an error only.

        Raises:
            LockerUnavailable: They are heard no longer, or this store cannot ring.
        """
        ...


class Elector(Protocol):
    """Who leads. Asked before every run, so it answers from memory."""

    async def is_leader(self) -> bool: ...


@runtime_checkable
class CandidateElector(Elector, Protocol):
    """What the built-in electors are: they stand for election while somebody has them open."""

    @property
    def key(self) -> str:
        """What is led: candidates of one key stand against each other."""
        ...

    @property
    def term(self) -> int | None:
        """The fence of the leadership, which grows with each; None: others lead, or nobody."""
        ...

    @property
    def last_error(self) -> Exception | None:
        """Why it could not stand the last time; None: it could."""
        ...

    @property
    def on_leadership_lost(self) -> str:
        """What becomes of runs that began in a term when it ends: ``finish`` or ``cancel``."""
        ...

    def observe(self, listener: Callable[[bool, int], object], /) -> Callable[[], object]:
        """Call *listener* with each change: whether it leads, and the term that began or ended.

        At once if it leads already. Return how to stop that.
        """
        ...

    async def open(self) -> None:
        """Stand for election in the running loop; counted, so that schedulers may share it."""
        ...

    async def aclose(self) -> None:
        """When the last user closes: resign, and stand no more."""
        ...

    async def resign(self) -> bool:
        """Hand the leadership over at once. Was there one?"""
        ...


@runtime_checkable
class Executor(Protocol):
    """WHO computes: runs a job's function and returns its result."""

    async def submit(
        self,
        run: Run,
        func: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        /,
    ) -> object: ...


@runtime_checkable
class Clock(Protocol):
    """One wall reading and one monotonic reading; asyncio's loop is the timer."""

    def now(self) -> int:
        """Microseconds since the Unix epoch."""
        ...

    def monotonic(self) -> int:
        """Microseconds on the clock of the running loop's timers."""
        ...


@runtime_checkable
class SteppingClock(Clock, Protocol):
    """A clock that tells when its wall reading steps, so that nobody has to look."""

    def on_step(self, listener: Callable[[], object], /) -> Callable[[], object]:
        """Call *listener* after each step; return how to stop that."""
        ...


Listener = Callable[[Any], Awaitable[object] | object]
"""A function of one event, sync or async."""
