"""`aiosched run MODULE:ATTR`: a scheduler as a process of its own, until a signal drains it."""

from __future__ import annotations

import gc
import logging
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from aiosched.cli._mistake import Mistake
from aiosched.cli._target import Target, load
from aiosched.events import SchedulerChanged, SchedulerState
from aiosched.lockers import locker_from_url
from aiosched.scheduler import Scheduler

_log = logging.getLogger("aiosched.cli")
_LOG_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def run(
    target: Target,
    locker: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Where its locks live, such as file:/var/lib/app/locks."),
    ] = None,
    reload: Annotated[  # noqa: FBT002 - a command's flag
        bool, typer.Option("--reload", help="Start again whenever a Python file changes.")
    ] = False,
) -> None:
    """Run a scheduler until SIGINT or SIGTERM, and drain it then; a second signal cancels."""
    if reload:
        raise typer.Exit(_reload(target, locker))
    scheduler = load(target)
    if locker is not None:
        _use(scheduler, locker)
    logging.basicConfig(level=logging.INFO, format=_LOG_LINE)
    scheduler.on(SchedulerChanged, _freeze)
    scheduler.on(SchedulerChanged, partial(_tell_what_goes_on, scheduler))
    _log.info("%s runs (jobs: %d) until SIGTERM or Ctrl-C", target, len(scheduler))
    scheduler.run()
    _log.info("%s has stopped", target)


def _use(scheduler: Scheduler, url: str) -> None:
    try:
        scheduler.use_locker(locker_from_url(url))
    except (TypeError, ValueError, ModuleNotFoundError, NotImplementedError) as error:
        raise Mistake(f"--locker: {error}") from error


def _freeze(event: SchedulerChanged) -> None:
    """Take what is there at the start out of the collector's sight, and its pauses away."""
    if event.state is SchedulerState.RUNNING:
        gc.collect()
        gc.freeze()


def _tell_what_goes_on(scheduler: Scheduler, event: SchedulerChanged) -> None:
    """Say at the beginning of a drain what it waits for."""
    if event.state is SchedulerState.DRAINING and scheduler.running:
        _log.info(
            "it drains (runs still going on: %d); Ctrl-C again cancels them", scheduler.running
        )


def _reload(target: str, locker: str | None) -> int:
    from watchfiles import PythonFilter, run_process  # noqa: PLC0415 - only needed here

    command = [sys.executable, "-m", "aiosched.cli", "run", target]
    if locker is not None:
        command += ["--locker", locker]
    run_process(
        Path.cwd(), target=shlex.join(command), target_type="command", watch_filter=PythonFilter()
    )
    return 0
