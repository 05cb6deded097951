"""From `MODULE:ATTR` to a scheduler."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from aiosched import Scheduler
from aiosched.cli._mistake import Mistake
from aiosched.cli._target import load

WriteModule = Callable[..., str]

APP = """
    from aiosched import Scheduler

    scheduler = Scheduler()
    class Service:
        jobs = scheduler
"""


@pytest.mark.parametrize("attribute", ["scheduler", "Service.jobs"])
def test_a_module_of_the_working_directory_is_found(
    attribute: str, write_module: WriteModule
) -> None:
    assert isinstance(load(f"{write_module(APP)}:{attribute}"), Scheduler)


def test_the_working_directory_is_made_importable(
    write_module: WriteModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"{write_module(APP, name='elsewhere')}:scheduler"
    here = str(Path.cwd())
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != here])
    assert isinstance(load(target), Scheduler)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("app", "expected MODULE:ATTR"),
        ("app:", "expected MODULE:ATTR"),
        (":scheduler", "expected MODULE:ATTR"),
        ("app.py/x:scheduler", "expected MODULE:ATTR"),
        (".app:scheduler", "expected MODULE:ATTR"),
        ("absent:scheduler", "no module named 'absent'"),
        ("app.absent:scheduler", "no module named 'app.absent'"),
        ("app:absent", "no attribute 'absent'"),
        ("app:Service.absent", "no attribute 'Service.absent'"),
        ("app:Service", "app:Service is not a Scheduler but type"),
    ],
)
def test_what_is_no_scheduler_is_a_mistake(
    target: str, said: str, write_module: WriteModule
) -> None:
    write_module(APP)
    with pytest.raises(Mistake, match=said):
        load(target)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import absent_library", "ModuleNotFoundError: No module named 'absent_library'"),
        ("1 / 0", "ZeroDivisionError"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_module_that_breaks_shows_its_own_traceback(
    text: str, said: str, write_module: WriteModule, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as exit_:
        load(f"{write_module(text)}:scheduler")
    assert exit_.value.exit_code == 1
    shown = capsys.readouterr().err
    assert said in shown
    assert "app.py" in shown
    assert "_target.py" not in shown
    assert "importlib" not in shown
