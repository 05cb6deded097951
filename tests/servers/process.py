"""A server of our own: started on a loopback port, killed, paused and restarted, never orphaned."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

HOST = "127.0.0.1"

_PATIENCE = 20.0
# Below the range from which the kernel takes the ports of outgoing connections, so that a server
# that is down finds its port free when it comes back.
_PORTS = range(20_000, 32_000)
# It becomes the server: no thread of ours has to be forked, and it dies with the thread that began
# it. PR_SET_PDEATHSIG comes after the change of user, which would clear it.
_LAUNCH = """
import ctypes, os, sys
parent, user, group, *command = sys.argv[1:]
if user:
    os.setgroups([])
    os.setgid(int(group))
    os.setuid(int(user))
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
if os.getppid() == int(parent):
    os.execv(command[0], command)
"""


class Server:
    """One process with its children, on one port and in one directory for its whole life.

    Args:
        command: What to run.
        port: Where it listens.
        log: The file that its output goes to.
        is_ready: Tells whether it answers; must not raise.
        user: Numbers of the user and group that it runs as; None: as we do.
    """

    host = HOST

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        port: int,
        log: Path,
        is_ready: Callable[[], bool],
        user: tuple[int, int] | None = None,
    ) -> None:
        self.port = port
        self._command = [str(part) for part in command]
        self._log = log
        self._is_ready = is_ready
        self._user = ("", "") if user is None else tuple(map(str, user))
        self._process: subprocess.Popen[bytes] | None = None
        self._paused: list[int] = []

    @property
    def pid(self) -> int:
        """The process; it must have been started."""
        assert self._process is not None, "it was never started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start it, and do not wait until it answers."""
        assert threading.current_thread() is threading.main_thread(), "it would die with its thread"
        assert not self.is_running, "it runs already"
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *self._user]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*launcher, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._log.parent,
                env=clean_environment(),
            )

    def wait(self) -> None:
        """Wait until it answers."""
        deadline = time.monotonic() + _PATIENCE
        while not self._is_ready():
            if not self.is_running or time.monotonic() > deadline:
                log = self._log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self._command[0]} does not answer on {self.port}:\n{log}")
            time.sleep(0.002)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.launch()
        self.wait()

    def stop(self) -> None:
        """End it as an administrator would, if it runs."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power switch would: `kill -9` of the process and all its children."""
        self.pause()  # so that none is born meanwhile
        self._end(signal.SIGKILL)

    def restart(self, *, kill: bool = False) -> None:
        """Stop (or kill) it and start it again: same port, same data."""
        if kill:
            self.kill()
        else:
            self.stop()
        self.start()

    def pause(self) -> None:
        """Stop the process and all its children by SIGSTOP: connections stay, nothing answers."""
        if not self.is_running:
            return
        while fresh := [pid for pid in _tree(self.pid) if pid not in self._paused]:
            for pid in fresh:
                _send(pid, signal.SIGSTOP)
            self._paused += fresh

    def resume(self) -> None:
        """Let a paused one go on."""
        paused, self._paused = self._paused, []
        for pid in paused:
            _send(pid, signal.SIGCONT)

    def ensure(self) -> None:
        """Be up, whatever a test has done."""
        self.resume()
        if not self.is_running:
            self.start()

    def _end(self, how: signal.Signals) -> None:
        if not self.is_running:
            return
        assert self._process is not None
        tree = list(_tree(self.pid))
        if how is signal.SIGKILL:
            for pid in tree:
                _send(pid, how)
        else:
            self.resume()
            _send(self.pid, how)
        self._paused = []
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
        deadline = time.monotonic() + _PATIENCE
        while not all(map(_is_gone, tree)) and time.monotonic() < deadline:
            time.sleep(0.001)


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    for port in random.sample(_PORTS, 200):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return port
    raise RuntimeError("no free port found")


def clean_environment() -> dict[str, str]:
    """Return the environment without what would change a server or a client of it."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_"))}
    return {**kept, "LC_ALL": "C", "LANG": "C"}


def _send(pid: int, how: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, how)


def _tree(pid: int) -> Iterator[int]:
    """Return *pid* and all that descend from it, parents first."""
    # By parents, not by group or session: PostgreSQL's backends make sessions of their own.
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    waiting = [pid]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting += children.get(pid, ())


def _parents() -> Iterator[tuple[int, int]]:
    if not Path("/proc/self/stat").exists():
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True)
        for line in listed.stdout.splitlines():
            pid, parent = line.split()
            yield int(pid), int(parent)
        return
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            yield int(entry.name), int(stat[1])


def _is_gone(pid: int) -> bool:
    if Path("/proc/self/stat").exists():
        stat = _stat(pid)
        return not stat or stat[0] == "Z"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
