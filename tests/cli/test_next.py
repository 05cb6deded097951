"""`aiosched next`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from aiosched.cli import next as next_command
from aiosched.cli._app import run_app
from aiosched.cli._show import moment
from aiosched.triggers import Cron

LINE = re.compile(r"[A-Z][a-z]{2} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d\d:\d\d( [A-Z]+)?  in .+")


@pytest.mark.parametrize(
    "expression", ["*/5 * * * *", "@hourly", "30 0 9 * * MON-FRI", "@every 90s"]
)
def test_each_occurrence_is_a_line(expression: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["next", expression, "-n", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all(LINE.fullmatch(line) for line in lines)


def test_ten_are_shown_unless_another_number_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    run_app(["next", "@daily"])
    assert len(capsys.readouterr().out.splitlines()) == 10


def test_the_zone_is_the_one_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    run_app(["next", "0 9 1 7 *", "--tz", "America/New_York", "-n", "1"])
    assert "07-01 09:00:00 -04:00 EDT" in capsys.readouterr().out


def test_a_zone_in_the_expression_wins(capsys: pytest.CaptureFixture[str]) -> None:
    run_app(["next", "CRON_TZ=Asia/Tokyo 0 9 * * *", "--tz", "America/New_York", "-n", "1"])
    assert "09:00:00 +09:00 JST" in capsys.readouterr().out


@pytest.mark.parametrize("expression", ["H H * * *", "TZ=Asia/Tokyo H H * * *", "@every 90s"])
def test_with_a_name_it_is_the_trigger_of_that_job(
    expression: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trigger = Cron(expression, tz="America/New_York").bind(name="report", tz=UTC)
    arguments = ["next", expression, "--tz", "America/New_York", "--name", "report", "-n", "1"]
    before = datetime.now(UTC).replace(microsecond=0)
    assert run_app(arguments) == 0
    line = capsys.readouterr().out
    after = datetime.now(UTC).replace(microsecond=0)
    seconds = range(int((after - before).total_seconds()) + 1)
    nows = [before + timedelta(seconds=second) for second in seconds]
    expected = [trigger.next_after(now) for now in nows]
    assert line.partition("  ")[0] in [moment(at) for at in expected if at is not None]


def test_what_ends_shows_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["next", "0 0 0 1 1 * 2098,2099", "-n", "5"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["61 * * * *"], "61 * * * *"),
        (["nonsense"], "nonsense"),
        (["0 0 31 2 *"], "0 0 31 2 *"),
        (["@daily", "--tz", "Europe/Atlantis"], "Europe/Atlantis"),
        (["0 0 0 1 1 * 2020"], "'0 0 0 1 1 * 2020' never comes again"),
        (["H * * * *"], "'H * * * *' has an H, which draws from a job's name: give --name NAME"),
        (["TZ=Asia/Tokyo H H * * *"], "give --name NAME"),
        (["H H 30 2 *", "--name", "report"], "no such date exists"),
        (["@daily", "-n", "0"], "-n must be at least 1, got 0"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(["next", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert said in captured.err


def test_on_a_terminal_it_is_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(next_command, "Console", lambda: Console(force_terminal=True, width=100))
    run_app(["next", "@daily", "-n", "2"])
    shown = capsys.readouterr().out
    assert "\x1b[" in shown
    assert len(shown.splitlines()) == 2
