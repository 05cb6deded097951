"""A working directory with a user's module in it, as `aiosched` finds it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A shell without a terminal lets what runs in the background ignore SIGINT; here it is wanted.
COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from aiosched.cli import main
main()
"""

WriteModule = Callable[..., str]


@pytest.fixture
def write_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[WriteModule]:
    """Write a module into the working directory under a name of its own; give the name back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(text: str, name: str = "app") -> str:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        return name

    yield write
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a subprocess that finds this aiosched from any directory."""
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(tmp_path),
    }


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start `aiosched ARGUMENTS` in the working directory; kill at the end what is still there."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> Process:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


Process = subprocess.Popen[str]
