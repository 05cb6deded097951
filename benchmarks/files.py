"""What a claim costs on one host: `FileLocker`, alone and with processes that race for its keys."""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Barrier
from typing import NamedTuple

from aiosched import Claim, FileLocker, LockError
from benchmarks.harness import Figures, Line, Scenario, Topic, run_in

_AGO = timedelta(hours=12)  # occurrences begin then, so that none is too early


def measure_pairs(at_once: Sequence[int], seconds: float) -> Figures:
    """Claim and unlock so many keys at once, again and again."""
    with tempfile.TemporaryDirectory() as folder:
        return run_in(_all_pairs(folder, at_once, seconds))


async def _all_pairs(folder: str, at_once: Sequence[int], seconds: float) -> Figures:
    locker = FileLocker(folder)
    await locker.open()
    figures = {str(keys): await _pairs(locker, keys, seconds) for keys in at_once}
    await locker.aclose()
    return figures


async def _pairs(locker: FileLocker, keys: int, seconds: float) -> float:
    due_at = datetime.now(UTC) - _AGO
    began, turns = time.perf_counter(), 0
    while not turns or time.perf_counter() - began < seconds:
        turns += 1
        due_at += timedelta(milliseconds=1)
        claims = [Claim(f"{keys}-{key}", due_at) for key in range(keys)]
        locks = await asyncio.gather(*map(locker.claim, claims))
        await asyncio.gather(*(lock.unlock() for lock in locks))
    return keys * turns / (time.perf_counter() - began)


def measure_race(processes: int, keys: int, turns: int) -> Figures:
    """Let *processes* claim the same occurrences of the same keys."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        entry = (folder, datetime.now(UTC) - _AGO, keys, turns)
        with ProcessPoolExecutor(processes, spawn, _line_up, (spawn.Barrier(processes),)) as pool:
            ended = list(pool.map(_enter_race, [entry] * processes))
    granted = Counter(occurrence for each in ended for occurrence in each.granted)
    seconds = max(each.ended for each in ended) - min(each.began for each in ended)
    return {
        "asked": processes * keys * turns / seconds,
        "twice": granted.total() - len(granted),
    }


class _Ended(NamedTuple):
    began: float
    ended: float
    granted: list[tuple[int, int]]  # turns and keys


def _line_up(barrier: Barrier) -> None:
    barrier.wait()


def _enter_race(entry: tuple[str, datetime, int, int]) -> _Ended:
    return asyncio.run(_race(*entry))


async def _race(folder: str, base: datetime, keys: int, turns: int) -> _Ended:
    locker = FileLocker(folder)
    await locker.open()
    began, granted = time.time(), []
    for turn in range(turns):
        due_at = base + timedelta(seconds=turn)
        claims = (_claim_once(locker, Claim(f"key{key}", due_at)) for key in range(keys))
        for key, was_granted in enumerate(await asyncio.gather(*claims)):
            if was_granted:
                granted.append((turn, key))
    ended = time.time()
    await locker.aclose()
    return _Ended(began, ended, granted)


async def _claim_once(locker: FileLocker, claim: Claim) -> bool:
    try:
        lock = await locker.claim(claim)
    except LockError:
        return False
    await lock.unlock()
    return True


_AT_ONCE = (1, 10, 100, 1_000)

TOPIC = Topic(
    scenarios=(
        Scenario(
            "file",
            measure_pairs,
            full={"at_once": _AT_ONCE, "seconds": 1},
            quick={"at_once": _AT_ONCE, "seconds": 0.4},
            tiny={"at_once": (1, 10), "seconds": 0},
        ),
        Scenario(
            "file-race",
            measure_race,
            full={"processes": 4, "keys": 100, "turns": 50},
            quick={"processes": 4, "keys": 100, "turns": 10},
            tiny={"processes": 2, "keys": 2, "turns": 2},
            repeats=1,
        ),
    ),
    lines=(
        *(
            Line(f"FileLocker: claim + unlock, {keys:,} in one turn", f"file:{keys}", "/s")
            for keys in _AT_ONCE
        ),
        Line("FileLocker: 4 processes after the same keys, claims", "file-race:asked", "/s"),
        Line("· occurrences granted twice", "file-race:twice", "", first=0),
    ),
)
