"""`FileElector`: a leader among the processes of one host."""

from __future__ import annotations

import os

from aiosched.durations import Duration
from aiosched.electors.lease import LeaseElector, OnLeadershipLost
from aiosched.lockers.file import FileLocker


class FileElector(LeaseElector):
    """A `LeaseElector` with a `FileLocker` of its own.

    A leader whose process dies is replaced within half a second. One that is stopped (SIGSTOP)
    leads until it goes on or dies.

    Args:
        path, timeout: As for `FileLocker`.
        key, on_leadership_lost: As for `LeaseElector`.

    Raises:
        TypeError, ValueError, NotImplementedError: As theirs.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        /,
        key: str = "leader",
        *,
        timeout: Duration = 5.0,
        on_leadership_lost: OnLeadershipLost = "finish",
    ) -> None:
        locker = FileLocker(path, timeout=timeout)
        super().__init__(locker, key, on_leadership_lost=on_leadership_lost)
