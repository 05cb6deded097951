"""How the demo looks: plain lines, or a live picture where there is a terminal to draw on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aiosched.cli._demo_tally import Report, Tally

_COLOURS = ("cyan", "green", "magenta", "yellow")
_NARROWEST = 80
_TITLE = "[bold]aiosched demo[/]   one folder of locks, one job, at least once"
_LEGEND = "● completed   ◐ running   ✗ killed in the middle   ↻ taken over"


@dataclass(slots=True)
class Scene:
    """What there is to see.

    Attributes:
        pids: The workers' process ids.
        tally: Their runs.
        dead: Workers that were killed.
        events: What happened, said in words, with a style.
    """

    pids: list[int]
    tally: Tally
    dead: set[int] = field(default_factory=set)
    events: list[tuple[str, str]] = field(default_factory=list)


def name(worker: int) -> str:
    """Return what a worker is called."""
    return f"w{worker + 1}"


def clock(moment: datetime) -> str:
    """Return the local wall time of *moment*, with its tenths only where it has some."""
    local = moment.astimezone()
    return f"{local:%H:%M:%S}" + (f".{local.microsecond // 100_000}" if local.microsecond else "")


def screen_for(console: Console) -> Screen:
    """Return the live screen if *console* can show it, else plain lines."""
    can_draw = console.is_terminal and not console.is_dumb_terminal and _knows_unicode(console)
    return LiveScreen(console) if can_draw and console.width >= _NARROWEST else Screen(console)


def _knows_unicode(console: Console) -> bool:
    return console.encoding.startswith("utf")


class Screen:
    """Plain lines, one for each thing that happens."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def say(self, text: str, style: str = "") -> None:
        """Print a line, with what signs there are."""
        if not _knows_unicode(self.console):
            text = text.encode("ascii", "ignore").decode().strip()
        self.console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)

    def tell(self, scene: Scene, text: str, style: str) -> None:
        """Say an event of *scene*."""
        scene.events.append((text, style))
        self.say(text)

    def hear(self, scene: Scene, report: Report) -> None:
        """Say what a worker reported."""
        if report.due is not None:
            who = f"{name(report.worker)} ({scene.pids[report.worker]})"
            again = f", delivery {report.attempt}" if report.attempt > 1 else ""
            self.say(f"{who} {report.said} {clock(report.due)}{again}")

    def draw(self, scene: Scene) -> None:
        """Nothing: lines stay."""


class LiveScreen(Screen):
    """A picture: workers down, occurrences across."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def tell(self, scene: Scene, text: str, style: str) -> None:
        """Put an event below the picture."""
        scene.events.append((text, style))
        self.draw(scene)

    def hear(self, scene: Scene, report: Report) -> None:  # noqa: ARG002 - the tally has it
        """Show it in the picture."""
        self.draw(scene)

    def draw(self, scene: Scene) -> None:
        """Draw all of it anew."""
        self._live.update(picture(scene), refresh=True)


def picture(scene: Scene) -> RenderableType:
    """Return *scene* as a panel of workers by occurrences, events and progress."""
    tally = scene.tally
    grid = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    grid.add_column("worker", width=6)
    grid.add_column("pid", width=8)
    grid.add_column("runs", width=4, justify="right")
    grid.add_column("")
    for due in tally.expected:
        grid.add_column(f"{due.astimezone():%S}", width=2)
    for worker in range(len(scene.pids)):
        grid.add_row(*_row(scene, worker))
    events = [Text(text, style=style) for text, style in scene.events]
    progress = Table.grid(padding=(0, 2))
    progress.add_row(
        ProgressBar(
            total=len(tally.expected),
            completed=tally.done,
            width=52,
            complete_style="green",
            finished_style="bold green",
        ),
        Text(f"{tally.done} of {len(tally.expected)}", style="bold"),
    )
    body = Group(grid, Text(), *events, *[Text()] * (2 - len(events)), Text(), progress)
    return Panel.fit(
        body,
        title=_TITLE,
        subtitle=f"[dim]{_LEGEND}[/]",
        title_align="left",
        subtitle_align="left",
        padding=(1, 2),
    )


def _row(scene: Scene, worker: int) -> list[Text]:
    alive = worker not in scene.dead
    colour = _COLOURS[worker % len(_COLOURS)]
    runs = sum(ends.count(worker) for ends in scene.tally.completed.values())
    return [
        Text(name(worker), style=f"bold {colour}" if alive else "bold red"),
        Text(str(scene.pids[worker]), style="dim" if alive else "red strike"),
        Text(str(runs)),
        Text(),
        *(_cell(scene.tally, worker, due, colour) for due in scene.tally.expected),
    ]


def _cell(tally: Tally, worker: int, due: datetime, colour: str) -> Text:
    if tally.killed.get(due) == worker:
        return Text("✗", style="bold red")
    if worker in tally.completed.get(due, ()):
        return Text("↻" if due in tally.killed else "●", style=f"bold {colour}")
    if worker in tally.started.get(due, ()):
        return Text("◐", style=colour)
    return Text("·", style="dim")
