"""The command as a whole: help, exit codes, and what it says without its extra."""

from __future__ import annotations

import subprocess
import sys

import pytest

from aiosched import __version__
from aiosched.cli._app import run_app


def test_without_arguments_it_shows_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app([]) == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in ("run", "list", "next", "locks", "demo"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["next"], "Missing argument 'EXPR'"),
        (["next", "@daily", "--nonsense"], "No such option: --nonsense"),
        (["next", "@daily", "-n", "many"], "-n must be a whole number, got 'many'"),
        (["locks", "memory:", "-n", "many"], "-n must be a whole number, got 'many'"),
    ],
)
def test_wrong_usage_is_one_line_and_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_app(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("aiosched: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err


def test_it_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["--version"]) == 0
    assert capsys.readouterr().out == f"aiosched {__version__}\n"


def test_an_interruption_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("aiosched.cli._app.app", interrupted)
    assert run_app(["demo"]) == 130


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [
        ("typer", ["next", "@daily"]),
        ("rich", ["next", "@daily"]),
        ("watchfiles", ["run", "app:scheduler", "--reload"]),
    ],
)
def test_without_the_extra_it_says_what_to_install(missing: str, arguments: list[str]) -> None:
    done = without(missing, *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert 'pip install "aiosched-py[cli]"' in done.stderr


def test_another_module_that_is_missing_is_not_blamed_on_the_extra() -> None:
    done = without("croniter", "next", "@daily")
    assert done.returncode == 1
    assert "aiosched-py[cli]" not in done.stderr
    assert "croniter" in done.stderr


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "aiosched.cli", "next", "@daily", "-n", "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 2


def without(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command where the module *name* is as good as not installed."""
    code = f"import sys; sys.modules[{name!r}] = None; from aiosched.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
