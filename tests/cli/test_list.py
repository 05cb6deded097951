"""`aiosched list`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rich.console import Console

from aiosched.cli import list as list_command
from aiosched.cli._app import run_app

WriteModule = Callable[..., str]

APP = """
    from aiosched import Scheduler

    scheduler = Scheduler()

    @scheduler.cron("0 9 * * MON-FRI", tz="Europe/Berlin", tags=["office", "mail"])
    async def report(): ...

    @scheduler.daily(at="02:30", name="nightly")
    async def back_up(): ...

    scheduler["nightly"].pause()
"""


@pytest.fixture
def target(write_module: WriteModule) -> str:
    return f"{write_module(APP)}:scheduler"


def test_each_job_is_a_line_of_fields(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["list", target]) == 0
    heading, report, nightly = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert heading == ["job", "state", "next", "", "trigger", "tags"]
    assert report[:2] == ["app:report", "scheduled"]
    assert " 09:00:00 +0" in report[2]
    assert report[3].startswith("in ")
    assert "0 9 * * MON-FRI" in report[4]
    assert report[5] == "office,mail"
    assert nightly[:2] == ["nightly", "paused"]
    assert nightly[5] == "-"


BROKEN = """
    from aiosched import Scheduler

    class Tides:
        def next_after(self, moment):
            raise LookupError("no tide table for this port,\\n\\tand none to be had " + 60 * "x")

        def __str__(self):
            return "tides"

    async def sail(): ...

    scheduler = Scheduler()
    scheduler.add(sail, Tides(), name="tides")
    scheduler.every(seconds=30, name="beat")(sail)
"""


def test_a_trigger_that_raises_is_a_broken_row_among_the_others(
    write_module: WriteModule, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["list", f"{write_module(BROKEN)}:scheduler"]) == 0
    _heading, tides, beat = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert tides[:2] == ["tides", "broken"]
    assert tides[2].startswith("LookupError: no tide table for this port, and none to")
    assert len(tides[2]) == 60
    assert tides[3:] == ["-", "tides", "-"]
    assert beat[:2] == ["beat", "scheduled"]
    assert beat[3].startswith("in ")


def test_a_broken_row_is_in_the_table_too(
    write_module: WriteModule, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(list_command, "Console", lambda: Console(force_terminal=True, width=160))
    assert run_app(["list", f"{write_module(BROKEN)}:scheduler"]) == 0
    assert "LookupError: no tide table" in capsys.readouterr().out


def test_with_a_locker_an_interval_is_shown_as_it_was_written(
    write_module: WriteModule, capsys: pytest.CaptureFixture[str]
) -> None:
    locked = BROKEN.replace("Scheduler()", "Scheduler(locker=MemoryLocker())")
    module = write_module(locked.replace("import Scheduler", "import MemoryLocker, Scheduler"))
    assert run_app(["list", f"{module}:scheduler"]) == 0
    assert "\tEvery(seconds=30)\t" in capsys.readouterr().out


def test_on_a_terminal_it_is_a_table(
    target: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(list_command, "Console", lambda: Console(force_terminal=True, width=160))
    assert run_app(["list", target]) == 0
    shown = capsys.readouterr().out
    assert "\x1b[" in shown
    assert "app:report" in shown


def test_a_wrong_target_is_one_line_and_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["list", "absent_module:scheduler"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
