"""`aiosched demo`: with real processes, one of which is really killed."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from aiosched.cli import _demo_fleet
from aiosched.cli import demo as demo_command
from aiosched.cli._app import run_app
from aiosched.cli._demo_screen import Scene, Screen
from aiosched.cli._demo_tally import Report, Tally
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
    assert tally.is_right, "\n".join(lines(screen))
    assert len(tally.killed) == 1
    (due, dead), *_ = tally.killed.items()
    assert tally.started[due][0] == dead
    assert tally.completed[due] == [tally.started[due][1]] != [dead]
    assert any("kill -9" in line for line in lines(screen))
    assert any("delivery 2" in line for line in lines(screen))
    assert not list(folder.iterdir())


@pytest.mark.parametrize(("late", "killed"), [(0.0, [0]), (0.15, [])])
def test_who_is_no_longer_in_the_middle_is_not_killed(
    late: float, killed: list[int], screen: Screen
) -> None:
    due = datetime.now(UTC) - timedelta(seconds=late)
    scene, kills = Scene([10, 11, 12], Tally((due,) * QUICK.occurrences)), []
    fleet = SimpleNamespace(kill=kills.append)
    demo_command._Show(QUICK, fleet, scene, screen)._hear(Report(0, "started", due))  # type: ignore[arg-type]
    assert kills == killed
    assert bool(scene.tally.killed) is bool(killed)


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


async def test_a_worker_that_ends_by_itself_ends_the_demo(screen: Screen, folder: Path) -> None:
    showing = asyncio.create_task(perform(QUICK, screen))
    while not (found := re.search(r"w\d \((\d+)\) completed", "\n".join(lines(screen)))):
        await asyncio.sleep(0.02)
    os.kill(int(found[1]), signal.SIGKILL)
    with pytest.raises(WorkerDied, match="ended by itself"):
        await showing
    assert not list(folder.iterdir())


@pytest.mark.parametrize(("lost", "code"), [(False, 0), (True, 1)])
def test_the_count_is_the_last_line_and_the_exit_code(
    lost: bool, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def performed(plan: Plan, screen: Screen) -> Tally:
        return Tally((datetime(2026, 3, 8, tzinfo=UTC),) if lost else ())

    monkeypatch.setattr(demo_command, "perform", performed)
    assert run_app(["demo"]) == code
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"occurrences {lost:d}, completed 0, double 0, lost {lost:d}"


def test_a_death_that_nobody_wanted_is_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def perished(plan: Plan, screen: Screen) -> Tally:
        raise WorkerDied("w2 ended by itself")

    monkeypatch.setattr(demo_command, "perform", perished)
    assert run_app(["demo"]) == 1
    assert "w2 ended by itself" in capsys.readouterr().out


def test_without_posix_it_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo_command, "os", SimpleNamespace(name="nt"))
    assert run_app(["demo"]) == 2
    assert "Linux or macOS" in capsys.readouterr().err


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
