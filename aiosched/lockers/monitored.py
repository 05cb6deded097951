"""`Monitored`: a locker that tells how each asking ended, and how long it took."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Self, overload

from aiosched.errors import LockError, LockerUnavailable
from aiosched.lockers._wrapper import AnyLock, Claims, Wrapper
from aiosched.protocols import ClaimingLocker, Locker

_log = logging.getLogger("aiosched.lockers")

OnResult = Callable[[str, float, LockError | None], object]


class Monitored(Wrapper):
    """Calls *on_result* for every `lock` and `claim`, granted or refused.

    It does all that *locker* does; around one with two methods it has no more than these.

    Args:
        locker: Any locker.
        on_result: Called with the key, the seconds that it took to answer, and why it was
            refused: None for a grant. It must not wait, so it is no coroutine function. What it
            raises is logged and changes nothing. An asking that is cancelled has no result; what a
            locker of one's own raises that is no `LockError` is told as the `LockerUnavailable`
            that it counts as.

    Raises:
        TypeError: One of them is of a wrong kind.
    """

    if TYPE_CHECKING:

        @overload
        def __new__(cls, locker: ClaimingLocker, /, on_result: OnResult) -> _Claiming: ...
        @overload
        def __new__(cls, locker: Locker, /, on_result: OnResult) -> Self: ...
        def __new__(cls, locker: Locker, /, on_result: OnResult) -> Self: ...

    def __init__(self, locker: Locker, /, on_result: OnResult) -> None:
        super().__init__(locker)
        call = getattr(on_result, "__call__", None)  # noqa: B004 - of an object that is called
        if not callable(on_result) or any(map(inspect.iscoroutinefunction, (on_result, call))):
            raise TypeError(f"on_result must be a function that is not async, got {on_result!r}")
        self._on_result = on_result

    async def _asked(self, key: str, asking: Awaitable[AnyLock]) -> AnyLock:
        began = time.perf_counter()
        try:
            lock = await asking
        except LockError as error:
            self._tell(key, began, error)
            raise
        except Exception as error:
            unavailable = LockerUnavailable(f"{type(error).__name__}: {error}")
            unavailable.__cause__ = error
            self._tell(key, began, unavailable)
            raise
        self._tell(key, began, None)
        return lock

    def _tell(self, key: str, began: float, error: LockError | None) -> None:
        try:
            self._on_result(key, time.perf_counter() - began, error)
        except Exception:  # noqa: BLE001 - a monitor must not harm what it watches
            _log.exception("on_result raised for %r", key)

    def __repr__(self) -> str:
        return f"Monitored({self.inner!r})"


if TYPE_CHECKING:

    class _Claiming(Claims, Monitored):
        """What is made around a locker that claims."""
