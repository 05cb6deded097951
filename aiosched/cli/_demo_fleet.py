"""The worker processes of the demo: started, listened to, killed, and never left behind."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from aiosched.cli._demo_tally import Report

_WORKER = "aiosched.cli._demo_worker"
_GRACE = 5.0
"""Seconds that a worker has to go by itself, once its stdin is closed."""


class Fleet:
    """Worker processes that share a folder of locks.

    Attributes:
        reports: What the workers say, in the order of its arrival.
    """

    def __init__(self, size: int, folder: Path) -> None:
        self.reports: asyncio.Queue[Report] = asyncio.Queue()
        self._size = size
        self._folder = folder
        self._workers: list[Process] = []
        self._listeners: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        try:
            for number in range(self._size):
                await self._start(number)
        except BaseException:
            await self._end(0.0)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end(_GRACE if error is None else 0.0)

    @property
    def pids(self) -> list[int]:
        """The workers' process ids."""
        return [worker.pid for worker in self._workers]

    @property
    def complaints(self) -> str:
        """What the workers wrote to stderr."""
        return self._errors.read_text(errors="replace")

    @property
    def _errors(self) -> Path:
        return self._folder / "stderr"

    def tell(self, **plan: object) -> None:
        """Send *plan* to every worker."""
        line = json.dumps(plan).encode() + b"\n"
        for worker in self._workers:
            if worker.stdin is not None:
                worker.stdin.write(line)

    def kill(self, number: int) -> None:
        """Do to a worker what `kill -9` does."""
        with suppress(ProcessLookupError):
            self._workers[number].kill()

    async def _start(self, number: int) -> None:
        with self._errors.open("ab") as errors:
            worker = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                _WORKER,
                str(self._folder / "locks"),
                stdin=PIPE,
                stdout=PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is for us alone; we end the workers
            )
        self._workers.append(worker)
        self._listeners.append(asyncio.create_task(self._listen(number, worker)))

    async def _listen(self, number: int, worker: Process) -> None:
        while worker.stdout is not None and (line := await worker.stdout.readline()):
            report = json.loads(line)
            if "due" in report:
                report["due"] = datetime.fromisoformat(report["due"])
            self.reports.put_nowait(Report(number, **report))
        await worker.wait()
        self.reports.put_nowait(Report(number, "gone"))

    async def _end(self, grace: float) -> None:
        """Close every stdin, kill who is still there after *grace* seconds, and wait for all."""
        for worker in self._workers:
            if worker.stdin is not None:
                worker.stdin.close()
        if self._listeners:
            await asyncio.wait(self._listeners, timeout=grace)
        for number, worker in enumerate(self._workers):
            if worker.returncode is None:
                self.kill(number)
        await asyncio.gather(*self._listeners)
