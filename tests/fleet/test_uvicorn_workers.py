"""Four uvicorn workers on one host: no tick twice and none lost, also when one is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PATIENCE = 40.0


class Log:
    """What the workers wrote: (word, occurrence, process)."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def lines(self) -> list[tuple[str, int, int]]:
        if not self._path.exists():
            return []
        split = (line.split() for line in self._path.read_text().splitlines())
        return [(word, int(due), int(pid)) for word, due, pid in split]

    def count(self, word: str) -> Counter[int]:
        return Counter(due for said, due, _ in self.lines() if said == word)

    def wait(self, fulfilled: Callable[[list[tuple[str, int, int]]], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not fulfilled(self.lines()):
            assert time.monotonic() < end, self.lines()
            time.sleep(0.01)

    def wait_for_workers(self, killed: int = 0) -> None:
        """Wait until there are four, after so many were killed."""
        self.wait(lambda _: sum(self.count("running").values()) >= 4 + killed)

    def wait_for_completed(self, more: int) -> None:
        before = sum(self.count("completed").values())
        self.wait(lambda _: sum(self.count("completed").values()) >= before + more)


@contextmanager
def service(tmp_path: Path, delivery: str) -> Iterator[Log]:
    log = tmp_path / "log"
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "LOG": str(log),
        "LOCKS": str(tmp_path / "locks"),
        "DELIVERY": delivery,
    }
    command = "-m uvicorn --workers 4 --port 0 --log-level warning ticking_app:app"
    with (tmp_path / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, *command.split()], cwd=HERE, env=environment, stderr=errors
        )
    try:
        yield Log(log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM), (tmp_path / "stderr").read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def kill_in_the_middle(log: Log) -> int:
    """Kill -9 the worker that starts the next tick, and return the tick."""
    seen = len(log.lines())
    log.wait(lambda lines: [line for line in lines[seen:] if line[0] == "started"])
    _, due, pid = next(line for line in log.lines()[seen:] if line[0] == "started")
    os.kill(pid, signal.SIGKILL)
    return due


def all_seconds(counted: Counter[int]) -> list[int]:
    """Every tick that there must be from the first to the last that is there."""
    return list(range(min(counted), max(counted) + 1))


def test_no_tick_runs_twice_and_none_is_lost(tmp_path: Path) -> None:
    with service(tmp_path, "at_most_once") as log:
        log.wait_for_workers()
        log.wait_for_completed(5)
    completed = log.count("completed")
    assert completed == Counter(all_seconds(completed)), log.lines()
    assert log.count("started") == completed


def test_a_killed_worker_leaves_at_most_its_own_tick_unfinished(tmp_path: Path) -> None:
    with service(tmp_path, "at_most_once") as log:
        log.wait_for_workers()
        log.wait_for_completed(2)
        killed = kill_in_the_middle(log)
        log.wait_for_completed(4)
    started = log.count("started")
    assert started == Counter(all_seconds(started))
    assert started - log.count("completed") == Counter([killed])


def test_at_least_once_a_killed_workers_tick_is_finished_by_another(tmp_path: Path) -> None:
    with service(tmp_path, "at_least_once") as log:
        log.wait_for_workers()
        log.wait_for_completed(2)
        killed = kill_in_the_middle(log)
        log.wait_for_completed(4)
    completed = log.count("completed")
    assert completed == Counter(all_seconds(completed)), log.lines()
    assert log.count("started") - completed == Counter([killed])


def test_nothing_is_lost_when_one_worker_after_the_other_dies(tmp_path: Path) -> None:
    with service(tmp_path, "at_least_once") as log:
        killed: list[int] = []
        for _ in range(3):
            log.wait_for_workers(len(killed))
            log.wait_for_completed(1)
            killed.append(kill_in_the_middle(log))
        log.wait_for_completed(3)
    completed = log.count("completed")
    assert completed == Counter(all_seconds(completed)), log.lines()
    assert log.count("started") - completed == Counter(killed)
