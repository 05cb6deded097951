"""The stores of the drills: their servers, the URLs to them, and what is left there."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from aiosched.errors import LockerUnavailable
from aiosched.lockers import locker_from_url
from tests.fleet import rules
from tests.fleet.chaos.plan import TTL
from tests.servers.postgres import PostgresServer, find_programs
from tests.servers.process import HOST, Server
from tests.servers.redis import RedisServer, find_valkey

BACKENDS = ("file", "redis", "redlock", "postgres-advisory", "postgres-lease")
_PATIENCE = 4 * TTL
_PATIENT = 0.2
# "everysec" answers before it has written, where the disk is slow: `kill -9` then forgets answers.
_DURABLE = ("--appendfsync", "always")


class Backend(Protocol):
    """A store with its servers, used by one scenario after the other.

    Attributes:
        servers: That can be killed and paused; none: a store of files.
        semantics: How it lets go of the dead.
    """

    servers: Sequence[Server]
    semantics: rules.Store

    def begin(self) -> None:
        """Have everything up, and a fresh name for what comes."""
        ...

    def url(self, ports: Sequence[int]) -> str:
        """Return the URL of the locker that reaches each server at one of *ports*."""
        ...

    def leftovers(self) -> list[str]:
        """Say what is left although nobody lives who could need it."""
        ...


class Files:
    """A directory for each scenario."""

    semantics: rules.Store = "file"

    def __init__(self, home: Path) -> None:
        self.servers: Sequence[Server] = ()
        self._home = home
        self._path = home

    def begin(self) -> None:
        self._path = self._home / f"locks-{secrets.token_hex(6)}"

    def url(self, ports: Sequence[int]) -> str:
        return f"file:{quote(str(self._path))}"

    def leftovers(self) -> list[str]:
        return _held(self.url(()))


class Redis:
    """One server, or several independent ones, with append-only files."""

    semantics: rules.Store = "lease"

    def __init__(self, home: Path, servers: int) -> None:
        program = find_valkey()
        self.servers: list[RedisServer] = []
        for number in range(servers):
            folder = home / f"redis-{number}"
            folder.mkdir()
            self.servers.append(RedisServer(program, folder, *_DURABLE))
        self._prefix = ""

    def begin(self) -> None:
        for server in self.servers:
            server.ensure()
            server.ask("FLUSHALL")
        self._prefix = f"c{secrets.token_hex(6)}"

    def url(self, ports: Sequence[int]) -> str:
        options = f"ttl={TTL}&prefix={self._prefix}"
        urls = [f"redis://{HOST}:{port}" for port in ports]
        if len(urls) == 1:
            return f"{urls[0]}?{options}"
        # By default it waits 50 ms for each server: too short where the machine is busy, too.
        return f"redlock:{','.join(urls)}?{options}&timeout={_PATIENT}"

    def leftovers(self) -> list[str]:
        return _held(self.url([server.port for server in self.servers]))


class Postgres:
    """One server; a schema for each scenario."""

    def __init__(self, home: Path, mode: str) -> None:
        folder = home / "postgres"
        folder.mkdir()
        self._server = PostgresServer(find_programs(home / "programs"), folder)
        self.servers: Sequence[Server] = (self._server,)
        self.semantics: rules.Store = "session" if mode == "advisory" else "lease"
        self._mode = mode
        self._schema = ""

    def begin(self) -> None:
        self._server.ensure()
        self._schema = f"c{secrets.token_hex(6)}"
        self._server.sql(f"CREATE SCHEMA {self._schema}")

    def url(self, ports: Sequence[int]) -> str:
        options = f"ttl={TTL}&mode={self._mode}&schema={self._schema}"
        return f"postgresql://postgres@{HOST}:{ports[0]}/postgres?{options}"

    def leftovers(self) -> list[str]:
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        found = _within(lambda: [] if (n := self._server.sql(locks)) == "0" else [f"pg_locks {n}"])
        found += _held(self.url([self._server.port]))
        self._server.sql(f"DROP SCHEMA {self._schema} CASCADE")
        return found


def backend_of(name: str, home: Path) -> Backend:
    """Return the store called *name*, its servers not started."""
    match name:
        case "file":
            return Files(home)
        case "redis":
            return Redis(home, 1)
        case "redlock":
            return Redis(home, 3)
        case "postgres-advisory" | "postgres-lease":
            return Postgres(home, name.partition("-")[2])
    raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {name!r}")


def _held(url: str) -> list[str]:
    """Return the keys that are held although their TTL is over."""
    return _within(lambda: [f"{key} is held" for key in asyncio.run(_keys_held(url))])


async def _keys_held(url: str) -> list[str]:
    locker: Any = locker_from_url(url)
    await locker.open()
    try:
        return [record.key for record in await locker.records() if record.held]
    except LockerUnavailable as error:  # on a busy machine even that takes its time
        return [repr(error)]
    finally:
        await locker.aclose()


def _within(look: Any) -> list[str]:
    deadline = time.monotonic() + _PATIENCE
    while found := look():
        if time.monotonic() > deadline:
            return list(found)
        time.sleep(0.05)
    return []
