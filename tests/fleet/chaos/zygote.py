"""Forks workers from a process that has imported everything: a start costs a few milliseconds."""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.fleet.chaos.worker import SIGNALS, Orders, serve

_HEADER = struct.Struct("<I")


class Zygote:
    """The process that forks, seen from whoever asks it to. What it forks dies with it."""

    def __init__(self, errors: Path) -> None:
        with errors.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                cwd=Path(__file__).parents[3],
            )

    def fork(self, orders: Orders) -> int:
        """Start a worker and return its process id."""
        return int(self._ask("fork", orders))

    def living(self) -> set[int]:
        """Return the processes that have not ended."""
        return set(self._ask("living", None))

    def close(self) -> None:
        """End it and all that it forked."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def _ask(self, what: str, value: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        _send(self._process.stdin.fileno(), (what, value))
        return _receive(self._process.stdout.fileno())


def main() -> None:
    """Serve stdin until it ends."""
    import asyncpg  # noqa: F401 - each worker would import them
    import redis.asyncio  # noqa: F401

    gc.freeze()
    living: set[int] = set()
    while (question := _receive(0)) is not None:
        what, value = question
        _reap(living)
        if what == "fork":
            pid = _fork(value)
            living.add(pid)
            _send(1, pid)
        else:
            _send(1, sorted(living))
    for pid in living:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _fork(orders: Orders) -> int:
    parent = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # the worker takes them when it is ready to
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return pid
    status = 1
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(1, 9)  # die with the zygote
        if os.getppid() == parent:
            os.close(0)
            os.dup2(2, 1)
            serve(orders)
            status = 0
    except BaseException:  # noqa: BLE001 - the border of the process
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _reap(living: set[int]) -> None:
    with suppress(ChildProcessError):
        while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            living.discard(pid)


def _send(file: int, what: object) -> None:
    data = pickle.dumps(what)
    os.write(file, _HEADER.pack(len(data)) + data)


def _receive(file: int) -> Any:
    header = _read(file, _HEADER.size)
    return None if header is None else pickle.loads(_read(file, *_HEADER.unpack(header)) or b"")


def _read(file: int, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        select.select([file], [], [])
        part = os.read(file, size - len(data))
        if not part:
            return None
        data += part
    return data


if __name__ == "__main__":
    main()
