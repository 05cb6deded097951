"""How long nobody leads: candidates in three processes; the leader dies, stops or resigns."""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from aiosched import LeaseElector, MemoryLocker
from benchmarks.harness import Figures, Line, Scenario, Topic, run_in
from benchmarks.postgreslocks import server
from benchmarks.redislocks import servers
from tests.electors.fleet import Candidate, Fleet

Kind = Literal["file", "redis", "advisory", "lease"]

_NANO = 1e9
_MILLI = 1e3


@contextmanager
def store(kind: Kind) -> Iterator[str]:
    """Have one for the candidates; yield where it is."""
    if kind == "file":
        with tempfile.TemporaryDirectory() as folder:
            yield folder
    elif kind == "redis":
        with servers(1) as (url,):
            yield url
    else:
        with server() as dsn:
            yield dsn


def measure_failover(kind: Kind, ttl: float, rounds: int) -> Figures:
    """Measure the milliseconds until another one says that it leads."""
    taken: dict[str, list[float]] = {}
    with store(kind) as where, Fleet(kind, where, ttl) as fleet:
        fleet.add(3)
        for _ in range(rounds):
            for act, change in _CHANGES.items():
                if kind == "file" and act == "stop":
                    continue  # there, who is stopped leads on
                time.sleep(random.uniform(0, ttl))  # so that it meets others at any moment
                taken.setdefault(act, []).append(change(fleet))
    figures = {}
    for what, seconds in taken.items():
        figures[f"{what}_median"] = _MILLI * statistics.median(seconds)
        figures[f"{what}_max"] = _MILLI * max(seconds)
    return figures


def _kill(fleet: Fleet) -> float:
    seconds: float = fleet.change(Candidate.kill)
    fleet.add()
    return seconds


def _resign(fleet: Fleet) -> float:
    seconds: float = fleet.change(lambda leader: leader.tell("resign"))
    return seconds


def _stop(fleet: Fleet) -> float:
    stopped = fleet.leader()
    seconds: float = fleet.change(Candidate.pause)
    since = len(fleet.said)
    stopped.resume()
    fleet.wait_for(stopped, "ended", since=since)
    return seconds


_CHANGES = {"kill": _kill, "resign": _resign, "stop": _stop}


def measure_asking(times: int) -> Figures:
    """Measure the nanoseconds of `is_leader` by the leader."""
    return run_in(_ask(times))


async def _ask(times: int) -> Figures:
    elector = LeaseElector(MemoryLocker())
    await elector.open()
    await asyncio.sleep(0)
    began = time.process_time()
    for _ in range(times):
        await elector.is_leader()
    ended = time.process_time()
    await elector.aclose()
    return {"ns": _NANO * (ended - began) / times}


_NAMES: dict[Kind, str] = {
    "file": "FileElector",
    "redis": "RedisElector",
    "advisory": "PostgresElector, sessions",
    "lease": "PostgresElector, leases",
}


def _lines(kind: Kind) -> Iterator[Line]:
    acts = {"kill": "is killed", "stop": "is stopped", "resign": "resigns"}
    for act, words in acts.items():
        if kind != "file" or act != "stop":
            for figure in ("median", "max"):
                what = f"{_NAMES[kind]}: the leader {words}, another leads, {figure}"
                yield Line(what, f"election-{kind}:{act}_{figure}", "ms")


TOPIC = Topic(
    scenarios=(
        *(
            Scenario(
                f"election-{kind}",
                measure_failover,
                fixed={"kind": kind},
                full={"ttl": 3.0, "rounds": 12},
                quick=None,
                tiny={"ttl": 0.5, "rounds": 1},
                repeats=1,
            )
            for kind in _NAMES
        ),
        Scenario(
            "election-asking",
            measure_asking,
            full={"times": 1_000_000},
            quick={"times": 200_000},
            tiny={"times": 10},
        ),
    ),
    lines=(
        Line("Electors: `is_leader` of the leader", "election-asking:ns", "ns"),
        *(line for kind in _NAMES for line in _lines(kind)),
    ),
)
