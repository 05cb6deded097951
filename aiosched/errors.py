"""Every exception aiosched raises on purpose.

AioschedError
├── InvalidTrigger (ValueError)        a trigger's definition cannot be right
├── DuplicateJob (ValueError)          the name is taken in this scheduler
├── UnknownJob (LookupError)           no such job in this scheduler
├── SchedulerClosed (RuntimeError)     the call needs a running scheduler
├── SchedulerFailed (RuntimeError)     the scheduler's own machinery broke
├── RunDeadlock (RuntimeError)         a run would wait for itself
└── LockError                          what a locker answers instead of a lock
    ├── LockHeld                       somebody else holds the key now
    ├── AlreadyRan                     the occurrence was claimed before
    ├── Superseded                     older than the last claimed occurrence
    ├── TooEarly                       the store's clock has not reached it
    ├── TooLate                        the store's clock is past its lateness
    ├── LockerUnavailable              the store could not be asked
    │   └── UnfitStore                 what is there is no store of ours, or must not be one
    ├── LockLost                       a lock that was ours no longer is
    └── StaleFence                     what is written to has seen a newer grant
"""

from __future__ import annotations


class AioschedError(Exception):
    """Base of all exceptions of this package."""


class InvalidTrigger(AioschedError, ValueError):
    """A trigger's argument is wrong, or the trigger could never fire."""


class DuplicateJob(AioschedError, ValueError):
    """A job of that name is registered already."""


class UnknownJob(AioschedError, LookupError):
    """No job of that name, or for that function, is registered."""


class SchedulerClosed(AioschedError, RuntimeError):
    """The call needs a running scheduler, and this one is not running."""


class SchedulerFailed(AioschedError, RuntimeError):
    """The scheduler's own machinery raised; the cause is chained."""


class RunDeadlock(AioschedError, RuntimeError):
    """A run asked to wait for a run of a job that is waiting for it."""


class LockError(AioschedError):
    """What a locker raises where it gives no lock."""


class LockHeld(LockError):
    """Somebody else holds the key.

    Attributes:
        remaining: Seconds after which asking again makes sense, None when the store cannot tell.
        same_occurrence: The holder runs the very occurrence that was asked for and has not
            completed it, so that it will be given to the one who asks if the holder dies.
        behind_redelivery: The holder makes up for an older occurrence whose first holder died; the
            one that was asked for can still have its turn.
    """

    def __init__(
        self,
        message: str = "",
        /,
        *,
        remaining: float | None = None,
        same_occurrence: bool = False,
        behind_redelivery: bool = False,
    ) -> None:
        super().__init__(message or "held by another")
        self.remaining = remaining
        self.same_occurrence = same_occurrence
        self.behind_redelivery = behind_redelivery


class AlreadyRan(LockError):
    """The occurrence was claimed before, here or elsewhere."""


class Superseded(LockError):
    """The occurrence is older than the last claimed one and was never run."""


class TooEarly(LockError):
    """By the store's clock the occurrence is still to come.

    Attributes:
        wait: Seconds until it is due on the store's clock.
    """

    def __init__(self, message: str = "", /, *, wait: float) -> None:
        super().__init__(message or f"due in {wait:.3f} s by the store's clock")
        self.wait = wait


class TooLate(LockError):
    """By the store's clock the occurrence is older than its lateness allows."""


class LockerUnavailable(LockError):
    """The store could not be asked, or did not answer; the cause is chained where there is one."""


class UnfitStore(LockerUnavailable):
    """What was found is no store of ours or must not be used as one; waiting alone will not help.

    `open` raises it; a claim raises it as well, and works again once the cause is removed.
    """


class LockLost(LockError):
    """A lock that was granted is held no longer: expired, taken over, or its session is gone."""


class StaleFence(LockError):
    """What is to be written to has been written to under a newer grant of the key."""
