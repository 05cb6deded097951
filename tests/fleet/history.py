"""What happened in a fleet, one JSON object a line: written by workers and who disturbs them.

``{"at": 12.5, "worker": "w1#2", "event": "granted", …}``. *at* is in seconds on a clock that all
share: CLOCK_BOOTTIME of the machine, or a simulation's true time. A worker is named with its
incarnation. Moments of occurrences are microseconds since the Unix epoch.

| event | what else | who writes it |
| --- | --- | --- |
| up, leaving, down | | a worker: it schedules, was asked to stop, has stopped |
| stalled | seconds | a worker: its loop had no turn for so long, until now |
| asked | key, due | its locker, before it asks the store |
| granted | key, due, fence, attempt, until, asked | after a yes; *asked*: the due asked for |
| refused | key, due, reason | after a no, or without an answer (``unavailable``) |
| renewed | key, fence, until | when a lease was prolonged; *until* is on the clock of *at* |
| start, end | key, due, fence, attempt; done, status | the run: its function began, and is over |
| lost | key, due, fence | the lock: it is held no longer |
| freed | key, due, fence, held | after an unlock was answered; *held*: the store said yes |
| passed | key, due, reason | the scheduler: this replica will not run it |
| killed, stopped, continued | | who sends the signals |
| network | mode | who disturbs the worker's network; ``fine`` ends it |
| server | server, mode | who disturbs the store: killed, paused; ``fine`` ends it; ``empty``: the
  whole store has forgotten everything |
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from aiosched.errors import (
    AlreadyRan,
    LockError,
    LockerUnavailable,
    LockHeld,
    Superseded,
    TooEarly,
    TooLate,
)

REASONS: dict[type[LockError], str] = {
    AlreadyRan: "already_ran",
    LockHeld: "held",
    LockerUnavailable: "unavailable",
    Superseded: "superseded",
    TooEarly: "too_early",
    TooLate: "too_late",
}
"""What a line says of a refusal."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line. *until* None: the lock has no deadline; *key* None: it is about no job."""

    at: float
    worker: str
    event: str
    key: str | None = None
    due: int | None = None
    fence: int | None = None
    attempt: int | None = None
    until: float | None = None
    asked: int | None = None
    reason: str | None = None
    done: bool | None = None
    status: str | None = None
    held: bool | None = None
    seconds: float | None = None
    server: str | None = None
    mode: str | None = None

    def line(self) -> str:
        """Return it as JSON, without what it does not have."""
        return json.dumps(
            {name: value for name, value in asdict(self).items() if value is not None}
        )

    @classmethod
    def parse(cls, line: str) -> Self:
        """Return the event of a line."""
        return cls(**json.loads(line))


class Writer:
    """Appends to a file, each line in one write: a kill leaves it whole, or leaves it out."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, at: float, worker: str, event: str, **about: Any) -> None:
        """Append one event."""
        os.write(self._file, Event(at, worker, event, **about).line().encode() + b"\n")

    def close(self) -> None:
        os.close(self._file)


def read(paths: Iterable[Path]) -> list[Event]:
    """Return the events of all files in the order of time."""
    lines = (line for path in paths for line in path.read_text().splitlines())
    return sorted((Event.parse(line) for line in lines), key=lambda event: event.at)
