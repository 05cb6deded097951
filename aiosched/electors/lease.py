"""`LeaseElector`: who holds one lock of a locker leads."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Final, Literal, get_args

from aiosched.electors._candidacy import Candidacy
from aiosched.protocols import ClaimingLocker, Clock, ClockedLocker

_log = logging.getLogger("aiosched.electors")

OnLeadershipLost = Literal["finish", "cancel"]

_OPENING: Final = 1.0
"""Seconds that opening waits for the first answer of a store."""


class LeaseElector:
    """Elects one leader among all who stand for *key* in one store.

    The schedulers that use it open it when they start, and then it stands for election; with the
    last one that stops it resigns, and another leads at once. A leader that dies or is cut off is
    replaced as soon as the locker gives its lock to another: with leases after their time, with
    `FileLocker` and sessions of PostgreSQL within about a second. Before that it has stepped down
    by itself, unless its whole process stands still; then it does so when it wakes.

    It may be used in one event loop at a time.

    Args:
        locker: One that claims; it may also be the scheduler's. A wrapper should forward
            everything.
        key: What is led. The lock is called ``elector:KEY``.
        on_leadership_lost: What becomes of runs that began in a term when it ends: they may
            ``"finish"``, or are cancelled and ``failed`` with `LockLost`.

    Raises:
        TypeError: *locker* is none that claims, or *key* is not text.
        ValueError: *key* is empty, or another argument cannot be right.
    """

    def __init__(
        self,
        locker: ClaimingLocker,
        key: str = "leader",
        *,
        on_leadership_lost: OnLeadershipLost = "finish",
    ) -> None:
        if isinstance(locker, type) or not isinstance(locker, ClaimingLocker):
            raise TypeError(f"locker must be one that claims occurrences, got {locker!r}")
        if not isinstance(key, str):
            raise TypeError(f"key must be text, got {key!r}")
        if not key:
            raise ValueError("key must not be empty, got ''")
        if on_leadership_lost not in get_args(OnLeadershipLost):
            raise ValueError(
                f"on_leadership_lost must be 'finish' or 'cancel', got {on_leadership_lost!r}"
            )
        self.key: str = key
        self.locker: ClaimingLocker = locker
        self.on_leadership_lost: OnLeadershipLost = on_leadership_lost
        self._observers: list[Callable[[bool, int], object]] = []
        self._users = 0
        self._process = 0
        self._candidacy: Candidacy | None = None

    async def is_leader(self) -> bool:
        """Say whether this process leads, from memory: nothing is asked or waited for."""
        return self.term is not None

    @property
    def term(self) -> int | None:
        """The fence of the leadership, which grows with each; None: others lead, or nobody."""
        return None if self._candidacy is None else self._candidacy.term

    @property
    def last_error(self) -> Exception | None:
        """Why the store could not be asked the last time; None: it could."""
        return None if self._candidacy is None else self._candidacy.trouble

    def observe(self, listener: Callable[[bool, int], object], /) -> Callable[[], object]:
        """Call *listener* with each change: whether it leads, and the term that began or ended.

        At once if it leads already; later in the loop in which it is open. Return how to stop
        that.
        """
        self._observers.append(listener)
        if (term := self.term) is not None:
            self._tell(listener, is_leader=True, term=term)
        return lambda: self._observers.remove(listener) if listener in self._observers else None

    def use_clock(self, clock: Clock, /) -> None:
        """Let a locker that lives by its scheduler's clock know it."""
        if isinstance(self.locker, ClockedLocker):
            self.locker.use_clock(clock)

    async def open(self) -> None:
        """Stand for election in the running loop; counted, so that schedulers may share it.

        Returns when it is known whether it leads, or the store does not answer within a second;
        then it goes on trying.

        Raises:
            RuntimeError: It is open in another event loop.
            UnfitStore: As the locker's `open`.
        """
        self._check_loop()
        await self.locker.open()
        # No await from here to the `try`.
        if self._candidacy is None:
            self._candidacy = Candidacy(self.locker, f"elector:{self.key}", self._changed)
            self._users, self._process = 0, os.getpid()
        self._users += 1
        try:
            await self._candidacy.first_answer(_OPENING)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """When the last user closes: resign, wake the next one, and stand no more."""
        self._check_loop()
        candidacy = None
        self._users = max(self._users - 1, 0)
        if not self._users:
            candidacy, self._candidacy = self._candidacy, None
        try:
            if candidacy is not None:
                await candidacy.withdraw()
        finally:
            await self.locker.aclose()

    async def resign(self) -> bool:
        """Hand the leadership over at once, and stand again two seconds later. Was there one?

        Cancelling it abandons only the waiting for the store.

        Raises:
            RuntimeError: It is open in another event loop.
        """
        self._check_loop()
        return False if self._candidacy is None else await self._candidacy.resign()

    # ── inside ────────────────────────────────────────────────────────────────────────────────

    def _check_loop(self) -> None:
        if self._candidacy is None or self._candidacy.loop is asyncio.get_running_loop():
            return
        if self._process == os.getpid() and not self._candidacy.loop.is_closed():
            raise RuntimeError(
                f"the elector of {self.key!r} is open in another event loop: make one for each"
            )
        # Its loop was closed without it, or is the parent's of this process: the locker sees to
        # the lock.
        self._candidacy = None
        self._users = 0

    def _changed(self, is_leader: bool, term: int) -> None:  # noqa: FBT001 - as events have it
        for listener in tuple(self._observers):
            self._tell(listener, is_leader=is_leader, term=term)

    def _tell(self, listener: Callable[[bool, int], object], *, is_leader: bool, term: int) -> None:
        try:
            listener(is_leader, term)
        except Exception:  # noqa: BLE001 - a border: what users gave us
            _log.exception("an observer of the elector of %r raised", self.key)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.key!r}, term={self.term}>"
