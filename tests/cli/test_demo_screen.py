"""How the demo looks."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from aiosched.cli._demo_screen import LiveScreen, Scene, Screen, clock, picture, screen_for
from aiosched.cli._demo_tally import Report, Tally

FIRST = datetime(2026, 3, 8, 12, 0, tzinfo=UTC)
DUES = tuple(FIRST + timedelta(seconds=second) for second in range(4))


def console(*, terminal: bool = True, width: int = 100, term: str = "xterm") -> Console:
    return Console(
        file=io.StringIO(), force_terminal=terminal, width=width, _environ={"TERM": term}
    )


def shown(on: Console) -> str:
    assert isinstance(on.file, io.StringIO)
    return on.file.getvalue()


@pytest.fixture
def scene() -> Scene:
    """w1 has completed the first; w2 was killed in the second, which w1 runs again."""
    tally = Tally(DUES)
    tally.add(Report(0, "started", DUES[0]))
    tally.add(Report(0, "completed", DUES[0]))
    tally.add(Report(1, "started", DUES[1]))
    tally.killed[DUES[1]] = 1
    tally.add(Report(0, "started", DUES[1], 2))
    return Scene([4711, 4712], tally, dead={1})


@pytest.mark.parametrize("on", [console(terminal=False), console(width=60), console(term="dumb")])
def test_without_a_terminal_to_draw_on_there_are_plain_lines(on: Console) -> None:
    assert type(screen_for(on)) is Screen


def test_a_terminal_gets_the_live_picture() -> None:
    assert isinstance(screen_for(console()), LiveScreen)


def test_the_picture_has_workers_down_and_occurrences_across(scene: Scene) -> None:
    on = console()
    on.print(picture(scene))
    lines = shown(on).splitlines()
    first = next(line for line in lines if "4711" in line)
    second = next(line for line in lines if "4712" in line)
    assert "●" in first
    assert "◐" in first
    assert "✗" in second
    assert "1 of 4" in shown(on)


def test_an_event_is_said_below_the_picture(scene: Scene) -> None:
    on = console()
    with screen_for(on) as screen:
        screen.tell(scene, "w2 dies", "red")
        screen.hear(scene, Report(0, "completed", DUES[1], 2))
    assert "w2 dies" in shown(on)


def test_plain_lines_say_who_did_what(scene: Scene) -> None:
    on = console(terminal=False)
    with screen_for(on) as screen:
        screen.hear(scene, Report(0, "ready"))
        screen.hear(scene, Report(0, "started", DUES[1], 2))
        screen.tell(scene, "w2 dies", "red")
        screen.draw(scene)
    time = clock(DUES[1])
    assert shown(on) == f"w1 (4711) started {time}, delivery 2\nw2 dies\n"


def test_signs_that_the_console_does_not_have_are_left_out(scene: Scene) -> None:
    written = io.BytesIO()
    file = io.TextIOWrapper(written, encoding="latin-1")
    with screen_for(Console(file=file, force_terminal=True, width=100)) as screen:
        screen.tell(scene, "✗ kill -9 4712", "red")
    file.flush()
    assert written.getvalue() == b"kill -9 4712\n"


def test_a_clock_shows_tenths_only_where_there_are_some() -> None:
    assert len(clock(FIRST)) == len("12:00:00")
    assert clock(FIRST + timedelta(milliseconds=250)).endswith(":00.2")
