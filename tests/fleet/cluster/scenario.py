"""From a seed to a fleet, its jobs and its troubles, and what came of it all."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from aiosched.durations import SECOND
from tests.fleet.checker import Report, check
from tests.fleet.cluster.cluster import Cluster, Worker
from tests.fleet.cluster.host import WALL_START
from tests.fleet.cluster.network import Weather
from tests.fleet.cluster.replica import NotingLocker, Task
from tests.fleet.cluster.store import SimStore
from tests.fleet.history import Event
from tests.fleet.rules import Job, Rules

TTL = 2.0
BEGIN, UNTIL, QUIET, END = 2.0, 44.0, 62.0, 74.0
"""The first occurrences, the last ones and faults, the end of waiting, the end of stopping."""
REACH = 2.5
"""What offsets, steps and drift of a replica's clock and the store's come to at most."""
FAULTS = ("kill", "pause", "suspend", "step", "weather", "cut", "store", "replace", "add")


@dataclass(frozen=True, slots=True)
class Setting:
    """What a test may replace.

    Attributes:
        store: Which kind of store.
        locker: Which kind of locker.
        trusting: The lockers take no notice of a store's loss of memory.
        forgets: The store does; None: as the seed says.
        faults: How many; None: as the seed says.
        kinds: Of the faults.
        weather: Bad weather; None: as the seed says.
        tasks: The jobs; None: as the seed says.
    """

    store: type[SimStore] = SimStore
    locker: type[NotingLocker] = NotingLocker
    trusting: bool = False
    forgets: bool | None = None
    faults: int | None = None
    kinds: tuple[str, ...] = FAULTS
    weather: Weather | None = None
    tasks: tuple[Task, ...] | None = None


@dataclass(slots=True)
class Result:
    """What came of a scenario."""

    seed: int
    history: list[Event]
    report: Report
    counts: dict[str, int] = field(default_factory=dict)

    def lines(self) -> str:
        """Return the history as text."""
        return "".join(f"{event.line()}\n" for event in self.history)

    def digest(self) -> str:
        """Return a hash of that."""
        return hashlib.sha256(self.lines().encode()).hexdigest()


USUAL = Setting()


def play(seed: int, setting: Setting = USUAL) -> Result:
    """Carry out the scenario of *seed*."""
    chance = Random(f"{seed}/scenario")
    tasks = setting.tasks or _tasks(chance)
    forgets = chance.random() < 0.3
    if setting.forgets is not None:
        forgets = setting.forgets
    store_offset, store_drift = _microseconds(chance, 0.4), chance.randrange(-2000, 2001)
    cluster = Cluster(
        str(seed),
        tasks,
        until=UNTIL,
        ttl=TTL,
        store=lambda conductor: setting.store(
            conductor, persists=not forgets, offset=store_offset, drift=store_drift
        ),
        locker=setting.locker,
        on_amnesia="run" if setting.trusting else None,
        spread=chance.choice([0.0, 0.0, 0.3]),
    )
    logger, level = logging.getLogger("aiosched"), logging.getLogger("aiosched").level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        _begin(cluster, chance)
        number = chance.randrange(4, 14) if setting.faults is None else setting.faults
        for _ in range(number):
            _plan(cluster, chance, setting, empty=forgets)
        cluster.conductor.at(round(QUIET * SECOND), partial(_end, cluster))
        cluster.run(END)
    finally:
        cluster.close()
        logger.setLevel(level)
    rules = Rules(
        jobs=tuple(_job(task) for task in tasks),
        ttl=TTL,
        epoch=WALL_START,
        window=(WALL_START + round((BEGIN + 3) * SECOND), WALL_START + round(UNTIL * SECOND)),
        reach=REACH,
        slack=0.5,
        recovery=2.0,
    )
    return Result(seed, cluster.history, check(cluster.history, rules))


LENGTHS = {
    "short": (0.01, 0.05, 0.3, 0.001),
    "middling": (0.2, 1.2, 0.6, 1.9),
    "long": (1.5, 5.0, 3.0, 2.1, 0.5),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "once": {},
    "least": {"delivery": "at_least_once", "misfire_grace": 30},
    "shared": {"exclusive": False},
    "all": {"coalesce": "all", "misfire_grace": 20},
    "least of all": {"coalesce": "all", "delivery": "at_least_once", "misfire_grace": 30},
    "overlapping": {"exclusive": False, "max_instances": None, "coalesce": "all"},
    "caught up": {"catch_up": "all", "catch_up_window": 20, "misfire_grace": 20},
    "jittered": {"jitter": 0.4},
}


def _tasks(chance: Random) -> tuple[Task, ...]:
    tasks = []
    for kind, options in OPTIONS.items():
        if kind != "once" and chance.random() < 0.45:
            continue
        length = chance.choice(list(LENGTHS))
        every = chance.choice([4, 5, 7] if length == "long" else [1, 2, 3])
        blocks = (0.0,) * 6 + (chance.uniform(0.2, 3.0),) if chance.random() < 0.2 else (0.0,)
        tasks.append(Task(kind, every * SECOND, options, LENGTHS[length], blocks))
    return tuple(tasks)


def _job(task: Task) -> Job:
    begin = WALL_START + -(-round(BEGIN * SECOND) // task.every) * task.every
    options = task.options
    return Job(
        task.name,
        range(begin, WALL_START + round(UNTIL * SECOND) + 1, task.every),
        delivery=options.get("delivery", "at_most_once"),
        exclusive=options.get("exclusive", True),
        exact="all" in {options.get("coalesce"), options.get("catch_up")},
        grace=options.get("misfire_grace"),
    )


def _begin(cluster: Cluster, chance: Random) -> None:
    for number in range(1, chance.randrange(2, 6) + 1):
        worker = Worker(number, _microseconds(chance, 0.4), chance.randrange(-2000, 2001))
        cluster.workers.append(worker)
        cluster.conductor.after(chance.uniform(0, 0.5), partial(cluster.launch, worker))


def _microseconds(chance: Random, seconds: float) -> int:
    return round(chance.uniform(-seconds, seconds) * SECOND)


def _plan(cluster: Cluster, chance: Random, setting: Setting, *, empty: bool) -> None:
    """Draw one trouble and when it comes."""
    own = Random(chance.random())
    trouble = Trouble(cluster, own, setting.weather or _weather(own), empty=empty)
    at = own.uniform(BEGIN + 1, UNTIL - 6)
    befall = getattr(trouble, own.choice(setting.kinds))
    cluster.conductor.at(round(at * SECOND), befall)


class Trouble:
    """One of each kind, for whoever is there when it comes."""

    def __init__(self, cluster: Cluster, chance: Random, weather: Weather, *, empty: bool) -> None:
        self._cluster = cluster
        self._chance = chance
        self._weather = weather
        self._empty = empty

    def store(self) -> None:
        if self._chance.random() < 0.4:
            self._cluster.pause_store(self._chance.uniform(0.1, 3.0))
        else:
            seconds = self._chance.choice([0.01, 0.3, 1.0, 3.0])
            self._cluster.restart_store(seconds, empty=self._empty)

    def add(self) -> None:
        offset = _microseconds(self._chance, 0.4)
        worker = Worker(len(self._cluster.workers) + 1, offset, 0)
        self._cluster.workers.append(worker)
        self._cluster.launch(worker)

    def kill(self) -> None:
        if worker := self._somebody():
            handles, again_after = self._chance.randrange(1, 60), self._chance.uniform(0.1, 4.0)
            self._cluster.kill(worker, handles, again_after)

    def pause(self) -> None:
        if worker := self._somebody():
            self._cluster.pause(worker, self._a_while())

    def suspend(self) -> None:
        if worker := self._somebody():
            self._cluster.pause(worker, self._a_while(), suspended=True)

    def step(self) -> None:
        if worker := self._somebody():
            self._cluster.step(worker, self._chance.uniform(-1.5, 1.5) - worker.offset / SECOND)

    def weather(self) -> None:
        if worker := self._somebody():
            self._cluster.disturb(worker, self._chance.uniform(0.3, 6.0), self._weather)

    def cut(self) -> None:
        if worker := self._somebody():
            self._cluster.disturb(worker, self._chance.uniform(0.1, 5.0), None)

    def replace(self) -> None:
        if worker := self._somebody():
            drain, again_after = self._chance.random() < 0.5, self._chance.uniform(0.0, 2.0)
            self._cluster.leave(worker, drain=drain, again_after=again_after)

    def _somebody(self) -> Worker | None:
        fit = [worker for worker in self._cluster.workers if worker.is_fit]
        return self._chance.choice(fit) if fit else None

    def _a_while(self) -> float:
        return self._chance.choice([0.2, 0.7, 1.5, 2.5, 6.0]) * self._chance.uniform(0.7, 1.3)


def _weather(chance: Random) -> Weather:
    return Weather(
        delay=(0.0005, chance.choice([0.005, 0.05, 0.2])),
        slow=(chance.uniform(0, 0.3), chance.choice([0.5, 2.0, 4.0])),
        lost_requests=chance.choice([0, 0.1, 0.3]),
        lost_replies=chance.choice([0, 0.1, 0.3, 0.5]),
        resets=chance.choice([0, 0.1, 0.3]),
    )


def _end(cluster: Cluster) -> None:
    for worker in cluster.workers:
        if worker.is_fit:
            cluster.leave(worker, drain=True, again_after=None)
