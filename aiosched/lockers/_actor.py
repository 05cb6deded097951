"""The I/O actor: callers await futures, the store is asked in batches, and no grant is orphaned.

Cancelling a caller never cancels the asking. What was not sent yet is dropped; a grant that
arrives for a caller who has gone is given back; a release is on its way before anybody waits for
it. One actor serves one event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Any, TypeVar

from aiosched.errors import LockError, LockerUnavailable
from aiosched.lockers._holder import new_asker
from aiosched.lockers._lease import UNHELD, HeldLock
from aiosched.lockers._requests import Ask, Release, Request, Ring
from aiosched.model import Claim

_log = logging.getLogger("aiosched.lockers")

Perform = Callable[[Sequence[Request]], Awaitable[Sequence[object]]]
"""Asks the store: one answer for each request, a `LockError` where it says no.

It must come to an end by itself. If it raises, the outcome of the whole batch is unknown.
"""

_LARGEST_BATCH = 2_000
_MOST_REMEMBERED = 4_096
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0

T = TypeVar("T")


class Actor:
    """Serves the callers of one loop.

    Args:
        perform: Asks the store.
        name: Of its task.
        release_tries: How often a release is sent that gets no answer; None: until it gets one.
    """

    def __init__(self, perform: Perform, *, name: str, release_tries: int | None = None) -> None:
        self.unanswered_releases = 0
        self._perform = perform
        self._name = name
        self._release_tries = release_tries
        self._loop = asyncio.get_running_loop()
        self._queue: list[Request] = []
        self._on_the_wire: Sequence[Request] = ()
        self._owed: list[Release] = []  # releases without an answer, to be sent again
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._held: dict[str, HeldLock] = {}
        self._unknown: dict[Claim, str] = {}  # attempts whose outcome is not known
        self._attempts = new_asker()
        self._count = 0
        self._closed = False

    # ── callers ───────────────────────────────────────────────────────────────────────────────

    async def claim(self, claim: Claim) -> HeldLock:
        """Ask once. Cancelled or not, either the caller gets the lock or nobody holds it."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._put(Ask(claim, self._attempt_for(claim), future))
        try:
            answer = await future
        except BaseException:
            self._abandon_answer(future)
            raise
        if isinstance(answer, HeldLock):
            return answer
        try:
            raise answer
        finally:
            del answer, future  # the error's traceback knows this frame: no cycle for each refusal

    async def read(self, request: Request) -> Any:
        """Ask what changes nothing.

        Raises:
            LockerUnavailable: The store could not be asked.
        """
        answer = await self._ask(request)
        if not isinstance(answer, LockError):
            return answer
        try:
            raise answer
        finally:
            del answer

    async def give_back(self, lock: HeldLock, /, *, done: bool) -> bool:
        """Release *lock*; was it still held? It is out of the held ones before this waits."""
        self._held.pop(lock.id, None)
        answer: asyncio.Future[object] = self._loop.create_future()
        self._put(Release(lock.key, lock.id, lock.due_us, done=done, future=answer))
        return await answer is True  # an error is no yes, and is not this caller's to handle

    async def close(self, within: float) -> None:
        """Grant nothing more, give everything back, and wait up to *within* seconds for that."""
        if not self._closed:
            self._closed = True
            self._give_everything_back()
        deadline = self._loop.time() + within
        try:
            while self._task is not None and (left := deadline - self._loop.time()) > 0:
                await asyncio.wait([self._task], timeout=left)
        finally:
            self._give_up()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=within)

    def send(self, request: Release | Ring) -> None:
        """Have *request* sent, although nobody waits for it."""
        self._put(request)

    def leave(self) -> None:
        """Close at once, in its loop: the store is going away and frees everything by itself."""
        self._closed = True
        self.lose_all("the locker was closed")
        self._give_up()

    def abandon(self) -> list[Release]:
        """Close an actor whose loop does not run any more; return what gives everything back."""
        self._closed = True
        releases = [Release.of(lock) for lock in self._held.values()]
        for request in (*self._on_the_wire, *self._queue, *self._owed):
            if isinstance(request, Ask):
                releases.append(Release(request.key, request.attempt))
            elif isinstance(request, Release):
                releases.append(request.anew())
        self.lose_all("its event loop is gone", quietly=True)
        self._queue.clear()
        self._owed.clear()
        return releases

    def lose_all(self, why: str, *, quietly: bool = False) -> None:
        """Note that the store knows no lock of ours any longer."""
        lost, self._held = self._held, {}
        for lock in lost.values():
            lock.forsake(why, quietly=quietly)

    # ── the queue ─────────────────────────────────────────────────────────────────────────────

    def _attempt_for(self, claim: Claim) -> str:
        if self._unknown and (attempt := self._unknown.pop(claim, None)) is not None:
            return attempt
        self._count += 1
        return f"{self._attempts}.{self._count:x}"

    async def _ask(self, request: Request) -> Any:
        future = request.future or self._loop.create_future()
        request.future = future
        self._put(request)
        try:
            return await future
        except BaseException:
            self._abandon_answer(future)
            raise

    def _abandon_answer(self, future: asyncio.Future[Any]) -> None:
        """Let go of what its caller will never see."""
        # It may hold a lock: cancelled in the same turn in which the answer came, or closed from
        # outside.
        if future.done() and not future.cancelled():
            self._take_back(future.result())
        elif not self._loop.is_closed():
            future.cancel()

    def _put(self, request: Request) -> None:
        if self._closed and not isinstance(request, Release):
            request.tell(LockerUnavailable("the locker is closed"))
            return
        self._queue.append(request)
        if self._task is None:
            self._wake()

    def _wake(self) -> None:
        if self._task is None:
            # Not loop.create_task: an eager task would send the first request of a turn alone. An
            # empty context, as it serves all and not the one who happened to come first.
            self._task = asyncio.Task(
                self._drain(), loop=self._loop, name=self._name, context=Context()
            )
            self._task.add_done_callback(self._drained)

    def _take_back(self, answer: object) -> None:
        if isinstance(answer, HeldLock) and self._held.pop(answer.id, None) is not None:
            answer.forsake("its caller was cancelled")
            self._send_first(Release.of(answer))

    def _send_first(self, release: Release) -> None:
        self._queue.insert(0, release)  # so that who waits behind finds the key free
        self._wake()

    # ── the task ──────────────────────────────────────────────────────────────────────────────

    async def _drain(self) -> None:
        while self._queue:
            taken, self._queue = self._queue[:_LARGEST_BATCH], self._queue[_LARGEST_BATCH:]
            batch = [*self._owed, *(each for each in taken if not each.is_unwanted)]
            self._owed.clear()
            if batch:
                self._on_the_wire = batch
                answers = await self._answers(batch)
                if answers is not None:
                    self._deliver_all(batch, answers)
                self._on_the_wire = ()

    async def _answers(self, batch: Sequence[Request]) -> Sequence[object] | None:
        """Ask the store; None if its answers are unknown, which everybody was then told."""
        try:
            return await self._perform(batch)
        except asyncio.CancelledError as error:
            # All tasks of the loop are being cancelled. Who still has a lock gives it back in
            # its `finally`, so this goes on until nobody asks.
            self._lose_answers(batch, LockerUnavailable("cancelled while asking"), error)
            if not self._closed:
                self._send_owed_now()
        except LockError as error:
            self._lose_answers(batch, error, error.__cause__)
        except Exception as error:  # noqa: BLE001 - a driver's border
            _log.exception("%s: the store could not be asked", self._name)
            self._lose_answers(batch, LockerUnavailable(f"{type(error).__name__}: {error}"), error)
        return None

    def _drained(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            requests = (*self._on_the_wire, *self._queue)
            self._queue.clear()
            for request in requests:
                request.tell(LockerUnavailable("the locker broke"))
            self._loop.call_exception_handler(
                {"message": f"{self._name} broke", "exception": error, "task": task}
            )
        elif self._queue:  # cancelled before its first step: nobody may be left waiting
            self._wake()
        if self._owed and self._timer is None and not self._closed:
            self._timer = self._loop.call_later(self._pause(), self._send_owed, context=Context())

    # ── answers ───────────────────────────────────────────────────────────────────────────────

    def _deliver_all(self, batch: Sequence[Request], answers: Sequence[object]) -> None:
        for request, answer in zip(batch, answers, strict=True):
            if isinstance(request, Ask) and not isinstance(answer, LockError):
                self._grant(request, answer)
            else:
                request.tell(answer)

    def _grant(self, ask: Ask, granted: Any) -> None:
        lock = self._hold(ask, granted)
        if ask.is_unwanted or self._closed:
            self._take_back(lock)
            ask.tell(LockerUnavailable("the locker is closed"))
        else:
            ask.tell(lock)

    def _hold(self, ask: Ask, granted: Any) -> HeldLock:
        if not ask.claim.exclusive:
            return HeldLock(ask.key, ask.attempt, granted, UNHELD)
        lock = self._held[ask.attempt] = HeldLock(ask.key, ask.attempt, granted, self)
        return lock

    def _lose_answers(
        self, batch: Sequence[Request], error: LockError, cause: BaseException | None
    ) -> None:
        for request in batch:
            if isinstance(request, Release):
                self._owe(request)
                request.tell(answer=False)
                continue
            if isinstance(request, Ask):
                self._remember_unknown(request)
            # An exception of its own for each, as each gets the traceback of who raises it.
            answer = type(error)(*error.args)
            answer.__cause__ = cause
            request.tell(answer)

    def _remember_unknown(self, ask: Ask) -> None:
        """Its claim may have been granted: ask again as the same attempt, or give it back."""
        if ask.is_unwanted or self._closed:
            self._owe(Release(ask.key, ask.attempt))
        else:
            self._unknown[ask.claim] = ask.attempt
            while len(self._unknown) > _MOST_REMEMBERED:
                del self._unknown[next(iter(self._unknown))]

    def _owe(self, release: Release) -> None:
        release.tries += 1
        if self._release_tries is None or release.tries < self._release_tries:
            self._owed.append(release)
        else:
            self.unanswered_releases += 1

    def _pause(self) -> float:
        tries = min((release.tries for release in self._owed), default=1)
        return min(_FIRST_PAUSE * 2.0 ** min(tries - 1, 16), _LONGEST_PAUSE)

    def _send_owed_now(self) -> None:
        """Send what is owed for the first time: the loop may end before a timer goes off."""
        self._queue[:0] = [each for each in self._owed if each.tries == 1]
        self._owed = [each for each in self._owed if each.tries > 1]

    def _send_owed(self) -> None:
        self._timer = None
        owed, self._owed = self._owed, []
        self._queue[:0] = owed
        self._wake()

    # ── the end ───────────────────────────────────────────────────────────────────────────────

    def _give_everything_back(self) -> None:
        releases = [Release.of(lock) for lock in self._held.values()]
        self.lose_all("the locker was closed")
        queue, self._queue = self._queue, []
        for request in queue:
            if not isinstance(request, Release):
                request.tell(LockerUnavailable("the locker is closed"))
        waiting = (each for each in queue if isinstance(each, Release))
        self._queue = [*self._owed, *waiting, *releases]
        self._owed.clear()
        if self._queue:
            self._wake()

    def _give_up(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        requests = (*self._on_the_wire, *self._queue)
        self._queue.clear()
        self._owed.clear()
        for request in requests:
            closed = LockerUnavailable("the locker is closed")
            request.tell(False if isinstance(request, Release) else closed)
        if self._task is not None:
            self._task.cancel()
            self._task.cancel()  # the second one ends even a `perform` that sees its I/O through
