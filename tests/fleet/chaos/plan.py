"""A scenario as data, made of a seed: workers, jobs, and a timetable of what befalls them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from tests.fleet.rules import Delivery

TTL = 1.0
LASTS = 5.0
"""Seconds from the first occurrence to the last."""


@dataclass(frozen=True, slots=True)
class JobPlan:
    """A job.

    Attributes:
        every: Seconds between its occurrences, the first of which all jobs have in common.
        length: Seconds that a run takes, from and to.
        fails: Whether every third occurrence raises; it is completed all the same.
        grace: Its misfire grace in seconds.
    """

    name: str
    every: float
    length: tuple[float, float]
    delivery: Delivery = "at_most_once"
    exclusive: bool = True
    coalesce: str = "latest"
    fails: bool = False
    grace: float | None = None

    def options(self) -> dict[str, Any]:
        """Return what the scheduler is told besides the trigger."""
        several = None if not self.exclusive else 1
        return {
            "name": self.name,
            "delivery": self.delivery,
            "exclusive": self.exclusive,
            "coalesce": self.coalesce,
            "max_instances": several,
            "misfire_grace": self.grace,
        }


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens to a worker, its network, or a server.

    Attributes:
        at: Seconds after the first occurrence.
        what: ``kill, stop, leave, nap, delay, silence, deaf, mute, reset, refuse, server_kill,
            server_pause``.
        number: Which worker, or which server.
        seconds: How long it lasts, or how long a respawn takes.
    """

    at: float
    what: str
    number: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A scenario.

    Attributes:
        skews: Of each worker's clock, in seconds.
        spread: As `Scheduler` takes it.
        faults: In the order of time.
    """

    seed: int
    skews: tuple[float, ...]
    spread: float
    jobs: tuple[JobPlan, ...]
    faults: tuple[Fault, ...]


_WORKER = ("kill", "kill", "stop", "stop", "leave", "nap")
_NETWORK = ("delay", "silence", "deaf", "mute", "reset", "refuse")
_SERVER = ("server_kill", "server_pause")
_LENGTHS = {
    "kill": (0.05, 0.6),
    "stop": (0.2, 1.8),
    "leave": (0.05, 0.5),
    "nap": (0.2, 1.2),
    "delay": (0.2, 1.0),
    "reset": (0.0, 0.0),
    "server_kill": (0.02, 0.5),
    "server_pause": (0.1, 0.9),
}


def plan_of(seed: int, *, servers: int) -> Plan:
    """Return the scenario of *seed* for a store of so many servers; 0: it has none."""
    dice = random.Random(f"{seed} of {servers}")
    workers = dice.choice((3, 4, 4))
    skews = tuple(round(dice.uniform(-0.25, 0.25), 3) for _ in range(workers))
    spread = dice.choice((0.0, 0.0, 0.1))
    faults = tuple(sorted(_faults(dice, workers, servers), key=lambda fault: fault.at))
    return Plan(seed, skews, spread, _jobs(dice), faults)


def _jobs(dice: random.Random) -> tuple[JobPlan, ...]:
    coalesce = dice.choice(("latest", "all"))
    grace = dice.choice((None, None, 4.0))
    return (
        JobPlan("quick", 0.2, (0.0, 0.03)),
        JobPlan("sure", 0.4, (0.02, 0.3), "at_least_once", coalesce=coalesce, grace=grace),
        JobPlan(
            "shared", 0.25, (0.1, 0.6), exclusive=False, coalesce=dice.choice(("latest", "all"))
        ),
        JobPlan("exact", 0.5, (0.0, 0.2), coalesce="all", fails=True),
        JobPlan("long", 2.5, (TTL, 1.5 * TTL), dice.choice(("at_least_once", "at_most_once"))),
    )


def _faults(dice: random.Random, workers: int, servers: int) -> list[Fault]:
    kinds = [*_WORKER, *(_NETWORK if servers else ()), *(_SERVER if servers else ())]
    first = dice.choice((0, 1, 1))  # often one is left in peace, so that nothing may be lost
    faults = []
    for _ in range(dice.randint(3, 7)):
        what = dice.choice(kinds)
        number = dice.randrange(servers) if what in _SERVER else dice.randrange(first, workers)
        at = round(dice.uniform(0.2, LASTS - 1.0), 3)
        shortest, longest = _LENGTHS.get(what, (0.2, 1.2))
        faults.append(Fault(at, what, number, round(dice.uniform(shortest, longest), 3)))
    return faults
