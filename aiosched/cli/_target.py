"""From `MODULE:ATTR` to the scheduler that it names."""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Annotated

import typer

from aiosched.cli._mistake import Mistake
from aiosched.scheduler import Scheduler

Target = Annotated[
    str, typer.Argument(metavar="MODULE:ATTR", help="Where the scheduler is: app.main:scheduler.")
]


def load(target: str) -> Scheduler:
    """Import the module of *target* (the working directory counts) and return its scheduler.

    Raises:
        Mistake: *target* does not name a scheduler.
        typer.Exit: The module raised while it was imported; its traceback has been printed.
    """
    module_name, _, path = target.partition(":")
    if not path or not all(part.isidentifier() for part in module_name.split(".")):
        raise Mistake(f"expected MODULE:ATTR such as app.main:scheduler, got {target!r}")
    found: object = _import(module_name)
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise Mistake(f"module {module_name!r} has no attribute {path!r}") from None
    if not isinstance(found, Scheduler):
        raise Mistake(f"{target} is not a Scheduler but {type(found).__name__}")
    return found


def _import(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise Mistake(f"no module named {error.name!r} (looked from {here})") from None
        _show(error)
    except Exception as error:  # noqa: BLE001 - the user's module may raise anything
        _show(error)
    raise typer.Exit(1)


def _show(error: Exception) -> None:
    """Print the traceback from the user's module on; how we came there is of no interest."""
    traceback.print_exception(error.with_traceback(_below_import(error.__traceback__)))


def _below_import(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and _is_machinery(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    return frames


def _is_machinery(filename: str) -> bool:
    return filename == __file__ or "importlib" in filename
