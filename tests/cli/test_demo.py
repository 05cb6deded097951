"""`aiosched demo`: with real processes, one of which is really killed."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from aiosched.cli import _demo_fleet
from aiosched.cli._demo_screen import Screen
from aiosched.cli.demo import Plan, WorkerDied, perform

QUICK = Plan(workers=3, occurrences=6, every=0.5, takes=0.2)


@pytest.fixture
def screen() -> Screen:
    return Screen(Console(file=io.StringIO(), width=200))


def lines(screen: Screen) -> list[str]:
    assert isinstance(screen.console.file, io.StringIO)
    return screen.console.file.getvalue().splitlines()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo makes its folder: empty again when it is over."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


async def test_one_dies_and_another_takes_over_and_nothing_is_lost(
    screen: Screen, folder: Path
) -> None:
    tally = await perform(QUICK, screen)
    assert tally.is_right, lines(screen)
    assert len(tally.killed) == 1
    (due, dead), *_ = tally.killed.items()
    assert tally.started[due][0] == dead
    assert tally.completed[due] == [tally.started[due][1]] != [dead]
    assert any("kill -9" in line for line in lines(screen))
    assert any("delivery 2" in line for line in lines(screen))
    assert not list(folder.iterdir())


async def test_cancelled_it_leaves_no_process_and_no_file(screen: Screen, folder: Path) -> None:
    showing = asyncio.create_task(perform(QUICK, screen))
    while not any("completed" in line for line in lines(screen)):
        await asyncio.sleep(0.05)
    pids = re.findall(r"w\d \((\d+)\)", "\n".join(lines(screen)))
    showing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await showing
    assert not list(folder.iterdir())
    assert pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)


async def test_a_worker_that_does_not_start_is_said_with_its_complaint(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(_demo_fleet, "_WORKER", "aiosched.cli.absent")
    with pytest.raises(WorkerDied, match=r"(?s)w. did not start.*aiosched.cli.absent"):
        await perform(QUICK, screen)
    assert not list(folder.iterdir())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_cleanly(
    number: int, code: int, start: Callable[..., subprocess.Popen[str]], folder: Path
) -> None:
    process = start("demo")
    assert process.stdout is not None
    assert "Starting 4 processes" in process.stdout.readline()
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (code, "")
    assert not list(folder.glob("aiosched-demo-*"))
