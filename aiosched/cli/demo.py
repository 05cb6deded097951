"""`aiosched demo`: four worker processes, one is killed, and each occurrence is completed once."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

import typer
from rich.console import Console

from aiosched.cli._demo_fleet import Fleet
from aiosched.cli._demo_screen import Scene, Screen, clock, name, screen_for
from aiosched.cli._demo_tally import Report, Tally
from aiosched.cli._mistake import Mistake
from aiosched.moments import from_us, to_us
from aiosched.triggers import Every

_TERMINATED = 128 + signal.SIGTERM
_FRAME = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """How much the demo shows; durations in seconds.

    Attributes:
        every: From one occurrence to the next.
        takes: How long a run goes on.
        patience: How long after the last occurrence a missing one may still come.
    """

    workers: int = 4
    occurrences: int = 16
    every: float = 1.0
    takes: float = 0.4
    patience: float = 10.0


class WorkerDied(Exception):
    """A worker ended that nobody had killed; the message has its complaints."""


def demo() -> None:
    """Show a fleet of four processes: one is killed, yet nothing runs twice and nothing is lost."""
    if os.name != "posix":
        raise Mistake("the demo shares locks through files, which needs Linux or macOS")
    screen = screen_for(Console())
    try:
        tally = asyncio.run(perform(Plan(), screen))
    except asyncio.CancelledError:
        raise typer.Exit(_TERMINATED) from None
    except WorkerDied as error:
        screen.say(str(error), "red")
        raise typer.Exit(1) from None
    screen.say(str(tally), "bold green" if tally.is_right else "bold red")
    raise typer.Exit(0 if tally.is_right else 1)


async def perform(plan: Plan, screen: Screen) -> Tally:
    """Do all of *plan* on *screen*, leave no process and no file behind, and return the count."""
    with _cancelled_by_signals(), TemporaryDirectory(prefix="aiosched-demo-") as folder:
        screen.say(f"Starting {plan.workers} processes that share their locks in {folder}")
        async with Fleet(plan.workers, Path(folder)) as fleet:
            await _all_ready(fleet, plan)
            scene = Scene(fleet.pids, Tally(_occurrences(plan)))
            first, last = scene.tally.expected[0], scene.tally.expected[-1]
            fleet.tell(every=plan.every, takes=plan.takes, first=str(first), last=str(last))
            with screen:
                await _Show(plan, fleet, scene, screen).watch()
        while not fleet.reports.empty():
            scene.tally.add(fleet.reports.get_nowait())  # what came after the last one
    return scene.tally


@contextmanager
def _cancelled_by_signals() -> Iterator[None]:
    """Cancel the current task on SIGTERM and SIGHUP, as SIGINT does, so that it cleans up."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    signals = (signal.SIGTERM, signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, lambda: task and task.cancel())
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def _all_ready(fleet: Fleet, plan: Plan) -> None:
    for _ in range(plan.workers):
        report = await fleet.reports.get()
        if report.said == "gone":
            raise WorkerDied(f"{name(report.worker)} did not start:\n{fleet.complaints}")


def _occurrences(plan: Plan) -> tuple[datetime, ...]:
    """Ask the trigger what must come, from the next whole second but one on."""
    first = datetime.fromtimestamp(ceil(time.time()) + 1, UTC)
    coming = Every(seconds=plan.every, anchor=first).upcoming(to_us(first) - 1)
    return tuple(from_us(moment) for moment in islice(coming, plan.occurrences))


class _Show:
    """The demo while the job runs: hear the workers, kill one halfway, see who takes over."""

    def __init__(self, plan: Plan, fleet: Fleet, scene: Scene, screen: Screen) -> None:
        self._plan = plan
        self._fleet = fleet
        self._scene = scene
        self._screen = screen
        self._killed_at = 0.0

    async def watch(self) -> None:
        """Go on until all is completed, or patience ends."""
        tally = self._scene.tally
        end = tally.expected[-1] + timedelta(seconds=self._plan.takes + self._plan.patience)
        while tally.lost and datetime.now(UTC) < end:
            self._screen.draw(self._scene)
            try:
                async with asyncio.timeout(_FRAME):
                    report = await self._fleet.reports.get()
            except TimeoutError:
                continue
            self._hear(report)
        self._screen.draw(self._scene)

    def _hear(self, report: Report) -> None:
        if report.said == "gone":
            self._check_death(report.worker)
        self._scene.tally.add(report)
        self._screen.hear(self._scene, report)
        if report.said == "started" and report.due is not None:
            self._look_at_start(report.worker, report.due, report.attempt)

    def _check_death(self, worker: int) -> None:
        if worker not in self._scene.dead:
            raise WorkerDied(f"{name(worker)} ended by itself:\n{self._fleet.complaints}")

    def _look_at_start(self, worker: int, due: datetime, attempt: int) -> None:
        tally = self._scene.tally
        if due in tally.killed:
            after = f"{time.monotonic() - self._killed_at:.2f} s"
            text = f"↻ {after} later {name(worker)} takes {clock(due)} over: delivery {attempt}"
            self._screen.tell(self._scene, text, "green")
        elif not tally.killed and self._is_in_the_middle(due):
            self._kill(worker, due)

    def _is_in_the_middle(self, due: datetime) -> bool:
        """Say whether half of the occurrences have come, and the run of *due* cannot be over yet.

        Told late of its start, one might kill who has ended it, and is in the next one.
        """
        half = self._scene.tally.expected[self._plan.occurrences // 2]
        return due >= half and datetime.now(UTC) - due < timedelta(seconds=self._plan.takes / 2)

    def _kill(self, worker: int, due: datetime) -> None:
        self._fleet.kill(worker)
        self._killed_at = time.monotonic()
        self._scene.tally.killed[due] = worker
        self._scene.dead.add(worker)
        pid = self._scene.pids[worker]
        text = f"✗ kill -9 {pid}: {name(worker)} dies in the middle of {clock(due)}"
        self._screen.tell(self._scene, text, "bold red")
