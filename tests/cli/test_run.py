"""`aiosched run`, as a process of its own."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aiosched.cli._app import run_app

WriteModule = Callable[..., str]
Start = Callable[..., "subprocess.Popen[str]"]

APP = """
    import asyncio, gc
    from aiosched import Scheduler

    scheduler = Scheduler()

    @scheduler.every(seconds=0.2, name="beat")
    async def beat():
        print("frozen" if gc.get_freeze_count() else "thawed", flush=True)

    @scheduler.every(hours=1, run_on_start=True, name="slow")
    async def slow():
        print("slow begins", flush=True)
        await asyncio.sleep(0.5)
        print("slow ends", flush=True)
"""


def test_it_runs_with_the_collector_frozen_and_drains_on_sigterm(
    write_module: WriteModule, start: Start
) -> None:
    process = start("run", f"{write_module(APP)}:scheduler")
    assert process.stdout is not None
    lines = []
    while "slow begins\n" not in lines or "frozen\n" not in lines:
        lines.append(process.stdout.readline())
        assert lines[-1], process.stderr and process.stderr.read()
    process.send_signal(signal.SIGTERM)
    rest, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors
    assert "slow ends" in "".join(lines) + rest
    assert "app:scheduler runs (jobs: 2)" in errors
    assert "app:scheduler has stopped" in errors


ENDLESS = """
    import asyncio
    from aiosched import Scheduler

    scheduler = Scheduler()

    @scheduler.every(hours=1, run_on_start=True, name="endless")
    async def endless():
        print("begins", flush=True)
        await asyncio.Event().wait()
"""


def test_a_drain_says_how_many_runs_go_on_and_a_second_signal_cancels_them(
    write_module: WriteModule, start: Start
) -> None:
    process = start("run", f"{write_module(ENDLESS)}:scheduler")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "begins\n"
    process.send_signal(signal.SIGTERM)
    assert "runs (jobs: 1)" in process.stderr.readline()
    line = process.stderr.readline()
    assert "INFO" in line
    assert "it drains (runs still going on: 1); Ctrl-C again cancels them" in line
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors
    assert "app:scheduler has stopped" in errors


def test_a_drain_of_nothing_is_silent(write_module: WriteModule, start: Start) -> None:
    text = ENDLESS.replace("await asyncio.Event().wait()", "pass")
    process = start("run", f"{write_module(text)}:scheduler")
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=10)
    assert process.returncode == 0, errors
    assert "drains" not in errors


def test_the_locker_is_the_one_that_is_asked_for(
    write_module: WriteModule, start: Start, tmp_path: Path
) -> None:
    process = start("run", f"{write_module(APP)}:scheduler", "--locker", "file:locks")
    assert process.stdout is not None
    assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 0
    assert list((tmp_path / "locks").iterdir())


def test_reload_passes_the_locker_on(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[str] = []

    def run_process(*paths: Path, target: str, **options: object) -> None:
        commands.append(target)

    monkeypatch.setattr("watchfiles.run_process", run_process)
    assert run_app(["run", "app:scheduler", "--locker", "file:a b", "--reload"]) == 0
    (command,) = commands
    assert shlex.split(command)[1:] == [
        *("-m", "aiosched.cli", "run", "app:scheduler"),
        *("--locker", "file:a b"),
    ]


@pytest.mark.parametrize("url", ["nonsense:", "file:app.py"])
def test_a_locker_that_cannot_be_is_one_line_and_2(
    url: str, write_module: WriteModule, start: Start
) -> None:
    process = start("run", f"{write_module(APP)}:scheduler", "--locker", url)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert errors.startswith("aiosched: --locker: ")
    assert errors.count("\n") == 1


def test_a_locker_without_its_driver_is_one_line_and_2(
    write_module: WriteModule, environment: dict[str, str]
) -> None:
    code = "import sys; sys.modules['redis'] = None; from aiosched.cli import main; main()"
    done = subprocess.run(
        [
            *(sys.executable, "-c", code, "run", f"{write_module(APP)}:scheduler"),
            *("--locker", "redis://x"),
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("aiosched: --locker: Redis needs its driver")
    assert done.stderr.count("\n") == 1


def test_a_module_that_breaks_shows_its_traceback_and_1(
    write_module: WriteModule, start: Start
) -> None:
    process = start("run", f"{write_module('1 / 0')}:scheduler")
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "ZeroDivisionError" in errors


def test_reload_starts_the_changed_module(write_module: WriteModule, start: Start) -> None:
    process = start("run", f"{write_module(APP)}:scheduler", "--reload")
    assert process.stdout is not None
    while "frozen" not in process.stdout.readline():
        assert process.poll() is None
    write_module(APP.replace('"frozen"', '"changed"'))
    while "changed" not in process.stdout.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 0
