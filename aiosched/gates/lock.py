"""The gate before a locker: it maps the store's answer to come in, refuse, or ask again later.

Nothing more: redelivery, catch-up and what to claim have files of their own in the engine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiosched.errors import (
    AlreadyRan,
    LockError,
    LockerUnavailable,
    LockHeld,
    Superseded,
    TooEarly,
    TooLate,
)
from aiosched.model import Cause, Claim, Refusal, Run, Status

if TYPE_CHECKING:
    from aiosched.protocols import Lock

log: logging.Logger = logging.getLogger("aiosched")

_FOREIGN_UNLOCK_TIMEOUT: Final = 30.0
_ASK_AGAIN: Final = 1.0  # seconds, where a store does not say when
_AT_LEAST: Final = 0.05
_COMPLETE: Final = frozenset({Status.SUCCEEDED, Status.FAILED, Status.TIMED_OUT})
_REASONS: Final[dict[type[LockError], str]] = {
    LockHeld: "held",
    AlreadyRan: "already_ran",
    Superseded: "superseded",
    TooLate: "too_late",
}


@dataclass(frozen=True, slots=True)
class Postponed(Refusal):
    """Not now, and not never: the run leaves its gates and slots and asks again.

    Attributes:
        wait: Seconds until it asks again; 0 where an older occurrence, granted in its place, has to
            be run first.
        is_last: It asks once more, and if it cannot even do that, this is why it was refused.
    """

    wait: float = 0.0
    is_last: bool = False


class ClaimPolicy(Protocol):
    """What to ask the store for, and for how long to go on asking."""

    def claim_for(self, run: Run) -> Claim | None:
        """Return what to claim; None: nothing, let it in."""
        ...

    def patience(self, run: Run) -> float:
        """Return the seconds for which an unavailable store may be asked again."""
        ...

    def vigil(self, run: Run) -> float:
        """Return the seconds for which a holder that may die is watched."""
        ...

    def backoff(self, run: Run) -> float:
        """Return the seconds until an unavailable store is asked again."""
        ...

    def courtesy(self, run: Run) -> float:
        """Return the seconds to wait before the first claim, so that others win, too."""
        ...

    def note(self, *, won: bool) -> None:
        """Hear how a claim ended."""
        ...


class LockGate:
    """Takes a run's lock.

    Args:
        locker: The locker.
        claims: Whether it claims occurrences, or only excludes.
        policy: What to ask for.
        ready: Awaited before the locker is asked.

    Attributes:
        trouble: Why the locker could not be asked the last time; None if it could.
    """

    __slots__ = ("_claims", "_locker", "_policy", "_ready", "trouble")

    name = "lock"

    def __init__(
        self,
        locker: Any,
        *,
        claims: bool,
        policy: ClaimPolicy,
        ready: Callable[[Any], Awaitable[None]],
    ) -> None:
        self._locker = locker
        self._claims = claims
        self._policy = policy
        self._ready = ready
        self.trouble: str | None = None

    def __call__(self, run: Run) -> _Passage:
        return _Passage(self, run)

    async def ask(self, run: Run) -> Lock | Refusal | None:
        """Ask the store once; None: this run needs no lock."""
        claim = self._policy.claim_for(run)
        if claim is None:
            return None
        if not run._was_courteous and (wait := self._policy.courtesy(run)) > 0:
            run._was_courteous = True
            await asyncio.sleep(wait)
        answer = await self._ask(run, claim)
        self._policy.note(won=not isinstance(answer, Refusal))
        self.trouble = None
        if isinstance(answer, Refusal) and answer.reason == "unavailable":
            self.trouble = repr(answer.error)
        return answer

    async def _ask(self, run: Run, claim: Claim) -> Lock | Refusal:
        try:
            await self._ready(self._locker)
            if self._claims:
                lock: Lock = await self._locker.claim(claim)
            else:
                lock = await self._locker.lock(claim.key)
        except TooEarly as error:
            return Postponed("lock", "too_early", error, wait=error.wait)
        except LockHeld as error:
            return self._held(run, claim, error)
        except LockerUnavailable as error:
            return self._unavailable(run, error)
        except LockError as error:
            return Refusal("lock", _REASONS.get(type(error), "held"), error)
        except Exception as error:  # a locker of the user's own may raise anything
            log.exception("locker %r raised for %s", self._locker, run.id)
            return Refusal("lock", "unavailable", error)
        return lock

    def _held(self, run: Run, claim: Claim, error: LockHeld) -> Refusal:
        left = 0.0
        longest = inf
        if run.cause is Cause.CATCH_UP:
            # Another replica makes up for an older one: whoever went on would overtake it, and
            # refuse what lies between to everybody.
            left = self._policy.vigil(run)
            longest = _ASK_AGAIN
        elif claim.redeliver and error.same_occurrence:
            left = self._policy.vigil(run)
        elif claim.redeliver and error.behind_redelivery:
            left = self._policy.patience(run)
        if left <= 0:
            return Refusal("lock", "held", error)
        remaining = _ASK_AGAIN if error.remaining is None else error.remaining
        wait = min(max(_AT_LEAST, remaining), longest)
        return Postponed("lock", "held", error, wait=wait)

    def _unavailable(self, run: Run, error: LockerUnavailable) -> Refusal:
        left = self._policy.patience(run)
        if left <= 0:
            return Refusal("lock", "unavailable", error)
        pause = self._policy.backoff(run)
        is_last = left <= pause
        return Postponed("lock", "unavailable", error, wait=min(left, pause), is_last=is_last)


class _Passage:
    """One run's way through the gate, and out of it."""

    __slots__ = ("_forget", "_gate", "_lock", "_run")

    def __init__(self, gate: LockGate, run: Run) -> None:
        self._gate = gate
        self._run = run
        self._lock: Any = None
        self._forget: Callable[[], object] | None = None

    async def __aenter__(self) -> Refusal | None:
        run = self._run
        answer: Any = run._granted
        if answer is None:
            answer = await self._gate.ask(run)
        if answer is None or isinstance(answer, Refusal):
            return answer
        # No await from here on: a lock that was granted must reach `_lock`.
        if run._granted is None and _is_of_another(answer, run):
            run._granted = answer
            return Postponed("lock", "redelivery")
        run._granted = None
        self._lock = run.lock = answer
        run.fence = getattr(answer, "fence", None)
        run.delivery_attempt = getattr(answer, "attempt", 1)
        if run.delivery_attempt > 1:
            run.cause = Cause.REDELIVERY  # also where it was waiting for its holder to die
        self._watch()
        return None

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        lock = self._lock
        if lock is None:
            return
        if self._forget is not None:
            self._forget()
        if self._gate._claims:
            # Synchronous up to where it waits for the answer, so cancelling loses nothing.
            await lock.unlock(done=self._run._status in _COMPLETE and not self._run._lock_lost)
        else:
            await _to_its_end(lock.unlock(), self._run)

    def _watch(self) -> None:
        lost: Any = getattr(self._lock, "lost", None)
        if not callable(getattr(lost, "wait", None)):
            return  # whatever a lock of the user's own means by it
        if hasattr(lost, "add_callback"):
            lost.add_callback(self._on_lost)
            self._forget = partial(lost.remove_callback, self._on_lost)
            return
        task = asyncio.ensure_future(_when(lost, self._on_lost))
        self._forget = task.cancel

    def _on_lost(self) -> None:
        run = self._run
        if run._status is not None or run.job.spec.on_lock_lost == "notify":
            return
        run._lock_lost = True
        if run._task is not None:
            run._task.cancel("the lock was lost")


def _is_of_another(lock: Any, run: Run) -> bool:
    """Tell whether *lock* was granted for another occurrence than that of *run*."""
    due_us: int | None = getattr(lock, "due_us", None)  # ours have it, which spares two datetimes
    if due_us is not None:
        return due_us != run.due_us
    due_at = getattr(lock, "due_at", None)
    return due_at is not None and due_at != run.due_at


async def _when(event: asyncio.Event, call: Callable[[], None]) -> None:
    await event.wait()
    call()


async def _to_its_end(unlock: Any, run: Run) -> None:
    """Let a foreign unlock finish although the run is cancelled; the cancellation follows."""
    task = asyncio.ensure_future(unlock)
    cancelled: asyncio.CancelledError | None = None
    deadline = asyncio.get_running_loop().time() + _FOREIGN_UNLOCK_TIMEOUT
    while not task.done() and asyncio.get_running_loop().time() < deadline:
        try:
            await asyncio.wait({task}, timeout=_FOREIGN_UNLOCK_TIMEOUT)
        except asyncio.CancelledError as error:
            cancelled = error
    if not task.done():
        task.cancel()
        log.error("unlock of %s did not end within %s s", run.id, _FOREIGN_UNLOCK_TIMEOUT)
    elif not task.cancelled() and task.exception() is not None:
        log.error("unlock of %s raised", run.id, exc_info=task.exception())
    if cancelled is not None:
        raise cancelled
