"""What a fleet promises, as data: jobs, their occurrences, and how a store lets go of the dead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Delivery = Literal["at_most_once", "at_least_once"]
Store = Literal["lease", "session", "file"]


@dataclass(frozen=True, slots=True)
class Job:
    """A job whose occurrences are known beforehand.

    Attributes:
        key: Of its lock.
        dues: Its occurrences in µs since the Unix epoch, ascending: a range will do.
        delivery: As the job's option.
        exclusive: As the job's option.
        exact: The store remembers each occurrence (``coalesce="all"``).
        grace: Its misfire grace in seconds; None: without end.
    """

    key: str
    dues: Sequence[int]
    delivery: Delivery = "at_most_once"
    exclusive: bool = True
    exact: bool = False
    grace: float | None = None

    @property
    def repeats(self) -> bool:
        return self.delivery == "at_least_once"


@dataclass(frozen=True, slots=True)
class Rules:
    """All that a history is held to.

    Attributes:
        jobs: Whatever the history has of other keys is a finding.
        store: How a key becomes free when its holder dies or falls silent: a ``lease`` ends after
            the TTL; a ``session`` ends with the connection, which takes the TTL when the network is
            in the way or the holder is stopped; ``file`` ends with the process and only with it.
        ttl: In seconds.
        epoch: The moment 0 of the history's clock, in µs since the Unix epoch.
        window: First and last due that must not be lost, in µs; None: all.
        reach: How far the replicas' clocks are from the store's at most, in seconds.
        slack: Seconds that a signal, a message and a busy machine may take.
        recovery: Seconds after which a replica is healthy again when its trouble is over.
        servers: Of the store. It works as long as a majority does.
    """

    jobs: tuple[Job, ...]
    store: Store = "lease"
    ttl: float = 1.0
    epoch: int = 0
    window: tuple[int, int] | None = None
    reach: float = 0.25
    slack: float = 0.5
    recovery: float = 1.0
    servers: int = 1
    keys: dict[str, Job] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", {job.key: job for job in self.jobs})

    def moment(self, due: int) -> float:
        """Return *due* on the history's clock."""
        return (due - self.epoch) / 1e6
