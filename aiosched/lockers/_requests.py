"""What can be asked of a store, one object for each question on its way."""

from __future__ import annotations

import asyncio
from typing import Any

from aiosched.lockers._lease import HeldLock
from aiosched.model import Claim


class Request:
    """A question and, where somebody waits for it, the future of its answer."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[Any] | None = None) -> None:
        self.future = future

    @property
    def is_unwanted(self) -> bool:
        """Whether nobody waits for the answer, so that it need not be asked."""
        return self.future is None or self.future.done()

    def tell(self, answer: object) -> None:
        """Hand the answer over. Errors are values here: one that nobody reads is no accident."""
        if self.future is not None and not self.future.done():
            self.future.set_result(answer)


class Ping(Request):
    """Is the store there, and fit for use?"""

    __slots__ = ()


class Survey(Request):
    """All records, as `LockRecord`s."""

    __slots__ = ()


class Evict(Request):
    """Freeing a key, whoever holds it. Was it held?"""

    __slots__ = ("key",)

    def __init__(self, key: str, future: asyncio.Future[Any]) -> None:
        super().__init__(future)
        self.key = key


class Look(Request):
    """The newest claimed occurrence of a key."""

    __slots__ = ("key",)

    def __init__(self, key: str, future: asyncio.Future[Any]) -> None:
        super().__init__(future)
        self.key = key


class Ask(Request):
    """A claim, under the id of its attempt."""

    __slots__ = ("attempt", "claim")

    def __init__(self, claim: Claim, attempt: str, future: asyncio.Future[Any]) -> None:
        super().__init__(future)
        self.claim = claim
        self.attempt = attempt

    @property
    def key(self) -> str:
        return self.claim.key


class Ring(Request):
    """Telling those who listen to a channel that a key may be free. Nobody waits for an answer."""

    __slots__ = ("channel",)

    def __init__(self, channel: str | bytes) -> None:
        super().__init__()
        self.channel = channel

    @property
    def is_unwanted(self) -> bool:
        return False


class Release(Request):
    """Giving back what an attempt was granted. Always asked, whether anybody waits or not.

    Attributes:
        tries: How often it was sent without an answer.
    """

    __slots__ = ("attempt", "done", "due", "key", "tries")

    def __init__(
        self,
        key: str,
        attempt: str,
        due: int | None = None,
        *,
        done: bool = False,
        future: asyncio.Future[Any] | None = None,
    ) -> None:
        super().__init__(future)
        self.key = key
        self.attempt = attempt
        self.due = due
        self.done = done
        self.tries = 0

    @classmethod
    def of(
        cls, lock: HeldLock, *, done: bool = False, future: asyncio.Future[Any] | None = None
    ) -> Release:
        """Return what gives back *lock*."""
        return cls(lock.key, lock.id, lock.due_us, done=done, future=future)

    def anew(self) -> Release:
        """Return the same for another loop, with nobody waiting."""
        return Release(self.key, self.attempt, self.due, done=self.done)

    @property
    def is_unwanted(self) -> bool:
        return False
